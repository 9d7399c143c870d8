"""Medical Segmentation Decathlon, Task01 BrainTumour: four MRI sequences in one 4D file."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from training.datasets import cards, reading
from training.datasets.base import LABEL, NIFTI, Case, DataSet, Loaded, Options, find, pair
from training.datasets.description import read_description
from veloxseg.contract.card import Card
from veloxseg.contract.errors import Note, VeloxSegError

CHANNELS = ("FLAIR", "T1w", "t1gd", "T2w")
ROLES = ("FLAIR", "T1", "T1ce", "T2")
# The decathlon's own order is another than that of BraTS and of the card: 1 necrosis and non-enhancing, 2 edema, 3 enhancing.
LABELS = {1: "edema", 2: "non-enhancing tumor", 3: "enhancing tumour"}
LABEL_VALUES = {1: 2, 2: 1, 3: 3}
IMAGE = "image"
EXPECTED = {IMAGE: "imagesTr/{id}.nii.gz", LABEL: "labelsTr/{id}.nii.gz"}


@dataclass(frozen=True)
class ChannelsCase(Case):
    """A case whose roles are the channels of one 4D file."""

    def load(self, card: Card) -> Loaded:
        """Raises IMAGE_CHANNELS or the INPUT_* codes."""
        notes: list[Note] = []
        roles = {role.name: role for role in card.roles}
        channels = reading.read_channels(self.sources[IMAGE], [roles[name] for name in ROLES], notes.append)
        return Loaded({name: channels[name] for name in roles}, reading.read_label(self.label, notes.append), notes=notes)


@dataclass(frozen=True, kw_only=True)
class MsdBrainTumor(Options):
    """MSD Task01 BrainTumour: dataset.json, imagesTr/<id>.nii.gz with FLAIR, T1w, t1gd, T2w, labelsTr/<id>.nii.gz."""

    source: Path
    """Folder Task01_BrainTumour."""

    def listing(self) -> DataSet:
        """Raises DATASET_FILE for a dataset.json of another task and DATASET_* as `find` and `pair`."""
        path = self.source / "dataset.json"
        description = read_description(path)
        for key, own in (("modality", dict(enumerate(CHANNELS))), ("labels", LABELS)):
            given = description.get(key)
            if not isinstance(given, dict) or any(
                str(given.get(str(number), "")).lower() != name.lower() for number, name in own.items()
            ):
                raise VeloxSegError("DATASET_FILE", path=path, reason=f"its {key} is not that of Task01 BrainTumour")
        card = cards.load(cards.FOLDER / "msd-brain-tumor.json")
        images = find(self.source / "imagesTr", rf"(?P<id>.+?)(?P<part>){NIFTI}", {"": IMAGE})
        labels = find(self.source / "labelsTr", rf"(?P<id>.+){NIFTI}", {})
        cases = pair(chain(images, labels), EXPECTED, self.source, case_type=ChannelsCase)
        return DataSet(card, cards.groups(card), LABEL_VALUES, cases)
