"""Task `photos`: a prepared dataset of photos (see prepare.py). Working squares, augmentation, validation.

Arrays have the axes (y, x) and, for colors, (y, x, channel), row 0 on top, as in `veloxseg.imaging.photos`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from training import case_cache, planning
from training.cases import Network, absent_labels, read_description, split_of, unlabeled
from training.metrics import dice
from training.photo_augmentation import augmented
from veloxseg import diffusion
from veloxseg.contract.card import Card
from veloxseg.contract.errors import Note, VeloxSegError
from veloxseg.diffusion.ensemble import ENOUGH_CALLS
from veloxseg.imaging import photos
from veloxseg.inference import photo_pipeline
from veloxseg.networks.nca import NCA, NCAConfig

PHOTO, MASK = "photo.png", "mask.png"


@dataclass(frozen=True)
class PhotosSettings:
    """Which prepared dataset of photos, how it is split, and how large the network sees them."""

    folder: Path = Path("data/skin")
    """Folder that prepare.py wrote."""
    folds: int = 5
    """Equal parts of the patients; ignored when the dataset has a fixed split."""
    fold: int = 0
    """The part that is kept for testing; the next one validates."""
    split_seed: int = 2026
    size: int | None = None
    """Side of the square that the network sees, in pixels; the dataset's suggestion when not given."""
    augmentation: Literal["strong", "none"] = "strong"
    validation_members: int = 2
    """Runs of the cellular automaton that are averaged for a validation photo."""


class Photos:
    """Random training photos: image (3, size, size) float32 from -1 to 1, label (1, size, size) int64 of 0 and 1."""

    def __init__(self, settings: PhotosSettings, _total: int) -> None:
        """Raises DATASET for a folder that can't be trained on."""
        self.settings = settings
        description = read_description(settings.folder)
        self.groups, self.synthetic = description["groups"], description["synthetic"]
        if not Card.of(description["card"]).takes_photo:
            raise VeloxSegError("DATASET", path=settings.folder, reason="it holds volumes", remedy="choose the task cases")
        self.size = settings.size or description["patch_size"][0]
        self.card = Card.of(description["card"] | {"working_size": self.size})
        self.split = split_of(description, settings)
        self.store = Store(settings.folder, self.size)
        for case in tqdm([*self.split["train"], *self.split["validation"]], desc="reading photos", leave=False):
            self.store.ensure(case)
        self.notes = self._absent_labels()

    def _absent_labels(self) -> list[Note]:
        """Raises DATASET when no training photo has a label."""
        lesion = self.card.labels[0]
        present = {part: [self._has_lesion(case, part) for case in cases] for part, cases in self.split.items()}
        if not any(present["train"]):
            raise unlabeled(self.settings.folder)
        values = {part: [{lesion.value} if has else set() for has in cases] for part, cases in present.items()}
        return absent_labels(values, {lesion.value: lesion.name})

    def _has_lesion(self, case: str, part: str) -> bool:
        if part == "test":
            return bool(read_mask(self.settings.folder / "cases" / case / MASK).any())
        return bool(self.store.load(case)[1].any())

    def adapt(self, network: Network) -> Network:
        """The network's settings with the channels, classes and size of photos. Raises DATASET where they don't fit."""
        try:
            if isinstance(network, NCAConfig):
                return replace(network, spatial_dim=2, in_ch=3)
            return planning.fitted(network, (self.size,) * 2, (3,), 2)
        except ValueError as error:
            raise VeloxSegError(
                "DATASET",
                path=self.settings.folder,
                reason=f"no network fits: {error}",
                remedy="choose another --data.size or other settings of the network",
            ) from error

    def describe(self) -> dict:
        """data.json of a run: what evaluation and export need to know about the data."""
        folder = str(self.settings.folder.resolve())
        return {
            "card": self.card.content,
            "groups": self.groups,
            "split": self.split,
            "folder": folder,
            "synthetic": self.synthetic,
        }

    def patch(self, _index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One random training photo; a pure function of the generator's state."""
        case = self.split["train"][rng.integers(len(self.split["train"]))]
        if self.settings.augmentation == "strong":
            return augmented(*self.store.load(case), rng)
        pixels, mask = self.store.load(case)
        return photo_pipeline.prepare(pixels, self.size)[0].numpy(), mask[None].astype(np.int64)

    def validate(self, network: torch.nn.Module, cases: list[str], device: torch.device) -> dict[str, float]:
        """Dice in the working square of each of `cases`; the cellular automaton draws the same noise every time."""
        sampling = None
        if isinstance(network, NCA):
            calls = ENOUGH_CALLS[network.config.prediction]
            sampling = diffusion.Sampling(self.settings.validation_members, calls, threshold=self.card.threshold)
        scores = {}
        for case in cases:
            pixels, mask = self.store.load(case)
            image, _ = photo_pipeline.prepare(pixels, self.size)
            answer = photo_pipeline.answer(self.card, network, image, sampling, device)
            scores[case] = dice(answer.support >= answer.cut, mask, both_empty=1.0)
        return scores


class Store:
    """Working squares as uint8 .npy files (y, x, red green blue mask) beside the dataset, memory-mapped: any number fits."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.cache = folder / "cache" / str(size)

    def ensure(self, case: str) -> None:
        """Makes the square of a case that isn't stored yet, or whose files have changed since."""
        sources = [self.folder / "cases" / case / name for name in (PHOTO, MASK)]
        case_cache.ensure(self.cache, case, sources, lambda: self.load(case), lambda: self._make(case, *sources))

    def _make(self, case: str, photo: Path, mask: Path) -> None:
        pixels, placement = photos.to_working(photos.read(photo), self.size)
        square = photos.mask_to_working(read_mask(mask), placement)
        case_cache.save_array(self.cache / f"{case}.npy", np.dstack([pixels, square.astype(np.uint8)]))

    def load(self, case: str) -> tuple[np.ndarray, np.ndarray]:
        """Photo uint8 (size, size, 3) and mask uint8 (size, size) of 0 and 1."""
        both = np.load(self.cache / f"{case}.npy", mmap_mode="r")
        return np.asarray(both[..., :3]), np.asarray(both[..., 3])


def read_mask(path: Path) -> np.ndarray:
    """The mask of a prepared case as bool (y, x). Raises DATASET when it can't be read."""
    try:
        with Image.open(path, formats=("PNG",)) as file:
            return np.array(file.convert("L")) > 0
    except (OSError, SyntaxError, ValueError) as error:
        raise VeloxSegError(
            "DATASET",
            path=path,
            reason="it can't be read as PNG",
            detail=str(error),
            remedy="delete the folder of the case and prepare it again",
        ) from error
