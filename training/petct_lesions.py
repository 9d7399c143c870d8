"""Task `petct-lesions`: PET/CT phantoms to lesions, the AutoPET configuration (CT first, then PET). All data is synthetic."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from augmentation import SpatialRanges, random_points, sample, sampling_grid
from metrics import dice
from veloxseg import images, intensities, windows
from veloxseg.phantoms import petct

# Limits and moments of HU over lesion voxels of the training cases, as the published recipe takes them:
# python training/petct_lesions.py
CT_INTENSITY = {"kind": "clip_zscore", "low": -848.0, "high": 735.0, "mean": 28.0, "std": 255.0}
PET_INTENSITY = {"kind": "scale", "divide_by": 5.0, "clip": [0.0, 30.0]}


@dataclass(frozen=True)
class PetCtLesionsSettings:
    """Which phantoms, and how patches are taken from them."""

    cache: Path = Path("runs/petct-phantoms")
    """Folder of generated cases; missing ones are generated."""
    train_seeds: tuple[int, int] = (10000, 10055)
    """First and one past the last seed of the training cases."""
    validation_seeds: tuple[int, int] = (20000, 20006)
    size: tuple[int, int, int] = (96, 96, 96)
    spacing_mm: tuple[float, float, float] = (4.07, 4.07, 3.0)
    lesion_centered: float = 0.5
    """Share of patches centered on a lesion voxel, where the case has one."""
    spatial: SpatialRanges = field(
        default_factory=lambda: SpatialRanges(
            rotation_degrees=12.0, scale=(0.88, 1.14), shift_mm=20.0, elastic_mm=4.0, flip_axes=(0,)
        )
    )


class PetCtLesions:
    """Random patches: image (2, x, y, z) float32 as at inference, label (1, x, y, z) int64."""

    def __init__(self, settings: PetCtLesionsSettings, total: int) -> None:
        self.settings, self.total = settings, total
        self.train = load_cases(settings, settings.train_seeds)
        self.held_out = load_cases(settings, settings.validation_seeds)

    def patch(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        s = self.settings
        case = self.train[rng.integers(len(self.train))]
        spacing = np.array(s.spacing_mm)
        points = random_points(rng, s.spatial, s.size, spacing, self._center(rng, case) * spacing)
        grid = sampling_grid(points / spacing.astype(np.float32).reshape(3, 1, 1, 1), case["label"].shape)
        # images are stored with air at 0, which is what lies outside
        ct = sample(_source(case["ct"]), grid, "bilinear") - 1000
        pet = sample(_source(case["pet"]), grid, "bilinear") * np.float32(np.exp(rng.normal(0, 0.1)))
        label = sample(_source(case["label"]), grid, "nearest")
        return _normalised(ct, pet), label[None].astype(np.int64)

    def _center(self, rng, case) -> np.ndarray:
        lesion = case["lesion_voxels"]
        if len(lesion) and rng.random() < self.settings.lesion_centered:
            return lesion[rng.integers(len(lesion))].astype(float)
        return rng.uniform(0.25, 0.75, 3) * np.array(case["label"].shape)

    def validate(self, network: torch.nn.Module) -> float:
        """Mean Dice over the held-out cases that have lesions, by sliding window."""
        scores = []
        for case in self.held_out:
            if not len(case["lesion_voxels"]):
                continue
            image = torch.from_numpy(_normalised(case["ct"].astype(np.float32) - 1000, case["pet"].astype(np.float32)))
            with torch.inference_mode():
                logits = windows.sliding_window(
                    network, image, self.settings.size, 0.25, "gaussian", [float(c.min()) for c in image], 2
                )
            scores.append(dice(logits.argmax(0).numpy() > 0, case["label"] > 0))
        return float(np.mean(scores))


def load_cases(settings: PetCtLesionsSettings, seeds: tuple[int, int]) -> list[dict[str, np.ndarray]]:
    """Cases on the working grid, axes (x, y, z): `ct` in HU + 1000, `pet` in SUVbw, `label`, `lesion_voxels` (n, 3)."""
    settings.cache.mkdir(parents=True, exist_ok=True)
    cases = []
    for seed in tqdm(range(*seeds), desc="phantoms"):
        path = settings.cache / f"{petct.VERSION}-{seed}.npz"
        if not path.exists():
            _generate(settings, seed, path)
        with np.load(path, allow_pickle=False) as stored:
            case = dict(stored)
        case["lesion_voxels"] = np.argwhere(case["label"])
        cases.append(case)
    return cases


def _generate(settings: PetCtLesionsSettings, seed: int, path: Path) -> None:
    case = petct.generate(seed)
    grid = images.working_grid(images.grid_of(case.pet), settings.spacing_mm)
    ct = images.array_of(images.resample(case.ct, grid, "linear", -1000.0))
    pet = images.array_of(images.resample(case.pet, grid, "linear", 0.0))
    label = images.array_of(images.resample(case.label, grid, "nearest", 0))
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, ct=(ct + 1000).astype(np.float16), pet=pet.astype(np.float16), label=label.astype(np.uint8))
    os.replace(temporary, path)


def _normalised(ct: np.ndarray, pet: np.ndarray) -> np.ndarray:
    return np.stack([intensities.apply(CT_INTENSITY, ct), intensities.apply(PET_INTENSITY, pet)])


def _source(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))[None, None]


def ct_statistics(settings: PetCtLesionsSettings) -> dict[str, float]:
    """0.5 and 99.5 percentile, mean and deviation of HU over the lesion voxels of the training cases."""
    values = np.concatenate([c["ct"][c["label"] > 0] for c in load_cases(settings, settings.train_seeds)])
    values = values.astype(np.float64) - 1000
    low, high = np.percentile(values, (0.5, 99.5))
    clipped = np.clip(values, low, high)
    return {"low": low, "high": high, "mean": clipped.mean(), "std": clipped.std()}


if __name__ == "__main__":
    print(ct_statistics(PetCtLesionsSettings()))
