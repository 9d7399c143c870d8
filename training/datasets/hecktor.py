"""HECKTOR 2022: head and neck tumors on PET/CT."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from training.datasets import cards
from training.datasets.base import LABEL, NIFTI, DataSet, Options, find, pair

IMAGES = rf"(?P<id>.+)__(?P<part>CT|PT){NIFTI}"
LABELS = rf"(?P<id>.+){NIFTI}"
PARTS = {"ct": "CT", "pt": "PET"}
EXPECTED = {"CT": "imagesTr/{id}__CT.nii.gz", "PET": "imagesTr/{id}__PT.nii.gz", LABEL: "labelsTr/{id}.nii.gz"}


@dataclass(frozen=True, kw_only=True)
class Hecktor(Options):
    """HECKTOR 2022: imagesTr/<id>__CT.nii.gz, imagesTr/<id>__PT.nii.gz, labelsTr/<id>.nii.gz (1 primary tumor, 2 nodes)."""

    source: Path
    """Folder with imagesTr and labelsTr."""
    reference: Literal["CT", "PET"] = "CT"
    """Image whose grid results have and onto which the other one is moved with --register."""
    published: bool = False
    """The task of the paper, for the configuration hecktor-published: tumor and nodes as one label, PET z-scored."""

    def listing(self) -> DataSet:
        """Raises DATASET_* as `find` and `pair`."""
        card, values = cards.load(cards.FOLDER / "hecktor.json", self.reference), {1: 1, 2: 2}
        if self.published:
            card, values = cards.with_scored_pet(cards.with_one_label(card, "Tumor or node")), {1: 1, 2: 1}
        found = chain(find(self.source / "imagesTr", IMAGES, PARTS), find(self.source / "labelsTr", LABELS, {}))
        return DataSet(card, cards.groups(card), values, pair(found, EXPECTED, self.source))
