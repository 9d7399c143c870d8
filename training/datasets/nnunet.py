"""A raw data set of nnU-Net (version 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from training.datasets import cards
from training.datasets.base import LABEL, DataSet, Options, find, pair
from training.datasets.description import read_description
from veloxseg.contract.errors import VeloxSegError


@dataclass(frozen=True, kw_only=True)
class NnUnet(Options):
    """nnU-Net raw folder: dataset.json, imagesTr/<id>_0000.nii.gz and so on by channel, labelsTr/<id>.nii.gz."""

    source: Path
    """Folder DatasetXXX_Name."""
    spacing_mm: tuple[float, float, float]
    """Voxel size that the network works on, x y z in mm."""
    reference: str | None = None
    """Channel whose grid results have; the first one if not given."""

    def listing(self) -> DataSet:
        """Raises DATASET_FILE for a dataset.json that cannot be used and DATASET_* as `find` and `pair`."""
        path = self.source / "dataset.json"
        description = read_description(path)
        channels, labels = _channels(path, description), _labels(path, description)
        ending = str(description.get("file_ending", ".nii.gz"))
        name = re.sub(r"^Dataset\d+_", "", self.source.resolve().name)
        roles = list(channels.values())
        card = cards.made(name, roles, cards.reference(self.reference, roles), labels, self.spacing_mm)
        end = re.escape(ending)
        found = chain(
            find(self.source / "imagesTr", rf"(?P<id>.+)_(?P<part>\d{{4}}){end}", channels),
            find(self.source / "labelsTr", rf"(?P<id>.+){end}", {}),
        )
        expected = {role: f"imagesTr/{{id}}_{number}{ending}" for number, role in channels.items()}
        cases = pair(found, expected | {LABEL: f"labelsTr/{{id}}{ending}"}, self.source)
        return DataSet(card, cards.groups(card), {value: value for value in labels}, cases)


def _channels(path: Path, description: dict) -> dict[str, str]:
    """Number of four digits -> name of a role."""
    names = description.get("channel_names")
    if not isinstance(names, dict) or not names:
        raise VeloxSegError("DATASET_FILE", path=path, reason="it has no channel_names")
    try:
        channels = {f"{int(number):04d}": cards.role_name(str(name)) for number, name in names.items()}
    except ValueError as error:
        raise VeloxSegError("DATASET_FILE", path=path, reason=f"channel_names has a number that is none ({error})") from error
    if len(set(channels.values())) < len(channels):
        raise VeloxSegError("DATASET_FILE", path=path, reason="channel_names has one name twice")
    return dict(sorted(channels.items()))


def _labels(path: Path, description: dict) -> dict[int, str]:
    """Value -> name, without background."""
    names = description.get("labels")
    if not isinstance(names, dict) or not names:
        raise VeloxSegError("DATASET_FILE", path=path, reason="it has no labels")
    if not all(isinstance(value, int) and 0 <= value <= 255 for value in names.values()):
        raise VeloxSegError(
            "DATASET_FILE", path=path, reason="its labels are regions or ignored ones, and plain values from 0 to 255 are needed"
        )
    return {value: name for name, value in names.items() if value != 0}
