"""The layout of ISIC 2018 task 1: photos of skin lesions and their masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from training.datasets import cards
from training.datasets.base import LABEL, Case, DataSet, LoadedPhoto, Options, find, pair
from training.datasets.description import read_rows
from training.datasets.given_split import given_split
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import photos

PHOTO = "Photo"


@dataclass(frozen=True)
class IsicCase(Case):
    """A photo with its mask."""

    def load(self, card: Card) -> LoadedPhoto:
        """Raises the PHOTO_* codes, and for the mask DATASET_FILE or LABEL_VALUES."""
        pixels = photos.read(self.sources[PHOTO])
        return LoadedPhoto(pixels, read_mask(self.label, pixels.shape[:2]))


@dataclass(frozen=True, kw_only=True)
class Isic(Options):
    """ISIC task 1, and own photos named alike: <id>.jpg in one folder, <id>_segmentation.png or <id>.png in another.

    Masks have the values 0 and 255.
    """

    images: Path
    """Folder of the photos, for example ISIC2018_Task1-2_Training_Input."""
    masks: Path
    """Folder of the masks, for example ISIC2018_Task1_Training_GroundTruth."""
    cases: Path | None = None
    """A CSV or JSON list of the photos to take: columns id, split (train, validation or test; optional) and group (optional;
    photos of one lesion or person, which stay on one side)."""
    card: Path = cards.FOLDER / "isic.json"
    """Static model card with the role Photo."""
    register: tyro.conf.Suppress[bool] = False

    def listing(self) -> DataSet:
        """Raises DATASET_FILE for a card of volumes or a list that can't be used, and what `cases` raises."""
        card = cards.load(self.card)
        if [role.name for role in card.roles] != [PHOTO]:
            raise VeloxSegError("DATASET_FILE", path=self.card, reason=f"its only role isn't {PHOTO}")
        found, split = cases(self.images, self.masks), None
        if self.cases is not None:
            found, split = _listed(self.cases, found)
        return DataSet(card, cards.groups(card), {1: 1}, found, split=split)


def _listed(path: Path, found: list[Case]) -> tuple[list[Case], dict[str, list[str]] | None]:
    """The cases that a list names, each with its group as patient, and the split that it gives. Raises DATASET_FILE."""
    rows = read_rows(path)
    by_id = {case.id: case for case in found}
    seen = set()
    for row in rows:
        case = row["id"]
        if case not in by_id or case in seen:
            what = "stands in it twice" if case in seen else "has no photo"
            raise VeloxSegError("DATASET_FILE", path=path, reason=f"{case} {what}")
        seen.add(case)
    groups = {row["id"]: row.get("group", row["id"]) for row in rows}
    listed = [replace(by_id[case], patient=groups[case]) for case in sorted(groups)]
    return listed, given_split(path, rows, groups)


def cases(images: Path, masks: Path) -> list[Case]:
    """Photos and masks paired by id: `sources["Photo"]` and `label` of each case; every lesion is a patient of its own.

    images: folder with <id>.jpg, for example ISIC2018_Task1-2_Training_Input. masks: its sibling with <id>_segmentation.png or
    <id>.png, for example ISIC2018_Task1_Training_GroundTruth. Other files are passed over. Raises DATASET_FOLDER, DATASET_EMPTY,
    or an ExceptionGroup with DATASET_ID, DATASET_MISSING and DATASET_DOUBLE.
    """
    found = chain(
        find(images, r"(?P<id>.+)(?P<part>)\.jpe?g", {"": PHOTO}),
        find(masks, r"(?P<id>.+?)(_segmentation)?\.png", {}),
    )
    expected = {PHOTO: f"{images.name}/{{id}}.jpg", LABEL: f"{masks.name}/{{id}}_segmentation.png"}
    return pair(found, expected, images.parent, case_type=IsicCase)


def read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """A mask as bool (y, x), true inside the lesion. shape: (rows, columns) of its photo.

    Raises DATASET_FILE or LABEL_VALUES.
    """
    try:
        with Image.open(path, formats=("PNG",)) as file:
            values = np.array(file.convert("L"))
    except (OSError, SyntaxError, ValueError) as error:
        raise VeloxSegError("DATASET_FILE", path=path, reason="it cannot be read as PNG", detail=str(error)) from error
    if values.shape != tuple(shape):
        sizes = [f"{columns} x {rows}" for rows, columns in (values.shape, shape)]
        raise VeloxSegError("DATASET_FILE", path=path, reason=f"it has {sizes[0]} pixels and its photo {sizes[1]}")
    strange = set(np.unique(values).tolist()) - {0, 255}
    if strange:
        raise VeloxSegError("LABEL_VALUES", path=path, found=", ".join(map(str, sorted(strange)[:5])), known="0 and 255")
    return values > 0
