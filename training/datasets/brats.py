"""BraTS 2021: gliomas on four MRI sequences, already on one grid and without skull."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from training.datasets import cards
from training.datasets.base import LABEL, NIFTI, DataSet, Found, Options, find, pair
from veloxseg.contract.errors import VeloxSegError

PARTS = {"flair": "FLAIR", "t1": "T1", "t1ce": "T1ce", "t2": "T2", "seg": LABEL}
PATTERN = rf"(?P<id>.+)_(?P<part>flair|t1|t1ce|t2|seg){NIFTI}"
EXPECTED = {role: f"{{id}}/{{id}}_{part}.nii.gz" for part, role in PARTS.items()}
# the data set leaves out 3
LABEL_VALUES = {1: 1, 2: 2, 4: 3}


@dataclass(frozen=True, kw_only=True)
class Brats(Options):
    """BraTS 2021: <id>/<id>_flair.nii.gz, _t1, _t1ce, _t2 and _seg (1 necrosis, 2 edema, 4 enhancing tumor)."""

    source: Path
    """Folder with a folder for each case."""

    def listing(self) -> DataSet:
        """Raises DATASET_* as `find` and `pair`."""
        card = cards.load(cards.FOLDER / "brats.json")
        return DataSet(card, cards.groups(card), LABEL_VALUES, pair(_files(self.source), EXPECTED, self.source))


def _files(source: Path) -> Iterable[Found]:
    if not source.is_dir():
        raise VeloxSegError("DATASET_FOLDER", path=source)
    for folder in sorted(source.iterdir()):
        if folder.is_dir():
            yield from find(folder, PATTERN, PARTS)
