"""AutoPET II: FDG-PET-CT-Lesions of The Cancer Imaging Archive as NIfTI."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.datasets import cards
from training.datasets.base import LABEL, DataSet, Found, Options, pair
from veloxseg.contract.errors import VeloxSegError

FILES = {"CT": "CTres.nii.gz", "PET": "SUV.nii.gz", LABEL: "SEG.nii.gz"}
SEPARATOR = "__"


@dataclass(frozen=True, kw_only=True)
class AutoPet(Options):
    """AutoPET II, FDG-PET-CT-Lesions as NIfTI: <patient>/<study>/ with CTres.nii.gz, SUV.nii.gz and SEG.nii.gz."""

    source: Path
    """Folder with a folder for each patient."""
    reference: Literal["PET", "CT"] = "PET"
    """Image whose grid results have and onto which the other one is moved with --register."""
    published: bool = False
    """PET z-scored as in the paper, for the configuration autopet-published; by default SUV is divided by 5."""

    def listing(self) -> DataSet:
        """Raises DATASET_* as `pair`."""
        card = cards.load(cards.FOLDER / "autopet.json", self.reference)
        if self.published:
            card = cards.with_scored_pet(card)
        expected = {part: f"{name} in the folder of {{id}}" for part, name in FILES.items()}
        cases = pair(_files(self.source), expected, self.source, lambda case: case.partition(SEPARATOR)[0])
        return DataSet(card, cards.groups(card), {1: 1}, cases)


def _files(source: Path) -> Iterable[Found]:
    """Every study folder that has at least one of the files; other files are passed over."""
    if not source.is_dir():
        raise VeloxSegError("DATASET_FOLDER", path=source)
    for part, name in FILES.items():
        for path in source.glob(f"*/*/{name}"):
            study = re.sub(r"[^A-Za-z0-9._-]+", "_", path.parent.name)
            yield Found(f"{path.parent.parent.name}{SEPARATOR}{study}", part, path)
