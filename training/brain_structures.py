"""Task `brain-structures`: MR heads of any contrast to structures of the brain, trained on heads drawn from label maps.

Real images take part in validation alone; see `drawn_heads.py` for what training sees.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from tqdm import tqdm

from training import drawn_heads
from training.brain_labels import NAMES, structures_of
from training.metrics import dice
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.windows_plan import WindowPlan
from veloxseg.imaging import images
from veloxseg.inference import pipeline, windows
from veloxseg.networks import VeloxSegConfig

CARD = Path(__file__).parent / "cards" / "brain-structures-mri.json"
MAPS, IMAGE, LABEL = "*.nii.gz", "_t1_brain.nii.gz", "_labels138.nii.gz"
VALIDATION_OVERLAP = 0.25
ROLE = "Head"


@dataclass(frozen=True)
class BrainStructuresSettings:
    """Where the heads are and what the patches are made of."""

    folder: Path = Path("../shared/data/brain_labelmaps")
    """FreeSurfer label maps of whole heads, 1 mm."""
    validation: Path = Path("../shared/data/brain_t1_validation")
    """Stripped T1 images with labels of Neuromorphometrics; never trained on."""
    size: tuple[int, int, int] = (48, 48, 48)
    spacing_mm: float | None = None
    """That of the card when not given."""
    ranges: drawn_heads.Ranges = field(default_factory=drawn_heads.Ranges)


class BrainStructures:
    """Random patches: image (1, x, y, z) float32 normalized as at inference, label (1, x, y, z) int64."""

    def __init__(self, settings: BrainStructuresSettings, _total: int) -> None:
        """Raises DATASET for a folder without label maps or without people to validate on."""
        self.settings, self.notes = settings, []
        content = json.loads(CARD.read_text(encoding="utf-8"))
        if settings.spacing_mm is not None:
            content["spacing_mm"] = [settings.spacing_mm] * 3
        self.card = Card.of(content)
        self.spacing = np.array(self.card.spacing_mm)
        maps = _files(settings.folder, MAPS)
        self.split = {"train": [path.name for path in maps], "validation": people_of(settings.validation), "test": []}
        self.heads = [drawn_heads.read(path) for path in tqdm(maps, desc="reading label maps", leave=False)]

    def patch(self, _index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A patch of a head drawn with `rng`."""
        head = self.heads[rng.integers(len(self.heads))]
        image, label = drawn_heads.draw(head, self.settings.ranges, self.settings.size, self.spacing, rng)
        return image[None], label[None].astype(np.int64)

    def adapt(self, network: VeloxSegConfig) -> VeloxSegConfig:
        """The network's settings with the channels, classes and patch size of the data."""
        return network.resized(self.settings.size, in_ch=(1,), n_classes=len(NAMES) + 1)

    def describe(self) -> dict:
        """data.json of a run: what export needs to know about the data."""
        return {"card": self.card.content, "groups": [[ROLE]], "split": self.split, "folder": None, "synthetic": False}

    def validate(self, network: torch.nn.Module, cases: list[str], device: torch.device) -> dict[str, float]:
        """Mean Dice over the structures of real images on the working grid."""
        return {case: self._score(network, case, device) for case in cases}

    def _score(self, network: torch.nn.Module, case: str, device: torch.device) -> float:
        image, truth = read_person(self.settings.validation, case)
        prepared = pipeline.prepare(self.card, {ROLE: image})
        truth = images.array_of(images.resample(truth, prepared.grid, "nearest", 0))
        plan, empty = WindowPlan(self.settings.size, VALIDATION_OVERLAP), list(map(windows.Empty, prepared.pad_values))
        logits = windows.sliding_window(network, prepared.volume, plan, empty, len(NAMES) + 1, device)
        return float(np.nanmean(structure_dice(logits.argmax(0).numpy(), truth)))


def people_of(folder: Path) -> list[str]:
    """Everybody with an image in the folder. Raises DATASET when it has none."""
    return [path.name.removesuffix(IMAGE) for path in _files(folder, f"*{IMAGE}")]


def read_person(folder: Path, case: str) -> tuple[sitk.Image, sitk.Image]:
    """T1 image and structures of a person on one grid. Raises DATASET_FILE for labels of another list or grid."""
    path = folder / f"{case}{LABEL}"
    image, label = images.read(folder / f"{case}{IMAGE}", ROLE), images.read_volume(path, "label")
    grid = images.grid_of(label)
    if not images.same_grid(images.grid_of(image), grid):
        raise VeloxSegError("DATASET_FILE", path=path, reason="it does not lie on the grid of its image")
    return image, images.image_of(structures_of(images.array_of(label), "neuromorphometrics", path), grid)


def structure_dice(found: np.ndarray, truth: np.ndarray, count: int = len(NAMES)) -> list[float]:
    """Of the structures 1 to `count`; nan for one that neither has."""
    return [dice(found == number, truth == number) for number in range(1, count + 1)]


def _files(folder: Path, pattern: str) -> list[Path]:
    if found := sorted(folder.glob(pattern)):
        return found
    raise VeloxSegError("DATASET", path=folder, reason=f"it has no {pattern}",
                        remedy="get the public sets that training/README.md names")  # fmt: skip
