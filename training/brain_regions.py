"""Task `brain-regions`: T1 head to 8 groups of AAL regions, trained on symmetric left-hemisphere heads (see `heads.py`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from training import planning
from training.head_augmentation import (
    SpatialRanges,
    bias_field,
    cut_side,
    random_curve,
    random_points,
    random_resolution,
    rician_noise,
    sample,
    sampling_grid,
)
from training.heads import GROUPS, Head, load
from training.metrics import dice
from veloxseg.contract.windows_plan import WindowPlan
from veloxseg.imaging import images, intensities
from veloxseg.inference import windows
from veloxseg.networks import VeloxSegConfig

CARD = Path(__file__).parent / "cards" / "brain-regions-t1.json"
INTENSITY = {"kind": "zscore_foreground"}
VALIDATION_PATCHES, VALIDATION_SEED = 6, 987
N_TISSUES = 7  # air; in the brain: fluid, gray, white; outside: dark, middle, bright


@dataclass(frozen=True)
class BrainRegionsSettings:
    """What the patches are made of."""

    side: str = "left"
    """Hemisphere to train on: left, right or both (the whole head)."""
    size: tuple[int, int, int] = (96, 96, 96)
    spacing_mm: float = 2.0
    spatial: SpatialRanges = field(default_factory=SpatialRanges)
    synthetic: float = 0.25
    """Share of patches with a contrast drawn at random from the label maps; falls to a fifth of it at the end."""
    recolored: float = 0.35
    """Share of patches of the real T1 with a strong random intensity curve."""
    stripped: float = 0.5
    """Share of patches without skull."""
    cut: float = 0.3
    """Share of patches with a side of the field of view missing."""


class BrainRegions:
    """Random patches: image (1, x, y, z) float32 normalized as at inference, label (1, x, y, z) int64."""

    def __init__(self, settings: BrainRegionsSettings, total: int) -> None:
        self.settings, self.total, self.notes = settings, total, []
        self.split = {"train": [settings.side], "validation": [f"patch {n}" for n in range(VALIDATION_PATCHES)], "test": []}
        head = load(settings.side)
        self.origin = np.array(head.t1.GetOrigin())
        self.center = _center(head.groups)
        self.shape = head.t1.GetSize()
        self.t1 = _source(_smoothed(head.t1, settings.spacing_mm))
        self.groups = _source(_xyz(head.groups))
        self.mask = _source(gaussian_filter((_xyz(head.brain) > 0).astype(np.float32), 0.7))
        self.tissues = _source(_tissues(head))

    def patch(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Patch number `index` of a training of `total` patches."""
        s = self.settings
        spacing = np.full(3, s.spacing_mm)
        points = random_points(rng, s.spatial, s.size, spacing, self.center)
        # the source volumes have 1 mm voxels and LPS axes
        grid = sampling_grid(points - self.origin.astype(np.float32).reshape(3, 1, 1, 1), self.shape)
        label = sample(self.groups, grid, "nearest")
        image = self._contrast(rng, grid, label, index / self.total)
        if rng.random() < s.stripped:
            # real skull stripping is sometimes generous, sometimes not
            image = image * (sample(self.mask, grid, "bilinear") > rng.uniform(0.1, 0.7))
        image = image * bias_field(rng, s.size, rng.uniform(0, 0.3))
        image = rician_noise(rng, random_resolution(rng, image), rng.uniform(0, 0.06) * image.max())
        if rng.random() < s.cut:
            cut_side(rng, image, label)
        return intensities.apply(INTENSITY, image)[None], label[None].astype(np.int64)

    def adapt(self, network: VeloxSegConfig) -> VeloxSegConfig:
        """The network's settings with the channels, classes and patch size of the data."""
        return planning.fitted(network, self.settings.size, (1,), len(GROUPS) + 1)

    def describe(self) -> dict:
        """data.json of a run: what export needs to know about the data."""
        card = json.loads(CARD.read_text())
        card["roles"][0]["intensity"] = INTENSITY
        return {"card": card, "groups": [["T1"]], "split": self.split, "folder": None, "synthetic": False}

    def validate(self, network: torch.nn.Module, cases: list[str], device: torch.device) -> dict[str, float]:
        """Mean Dice over the groups on fixed patches of the *training* side: it watches learning, it proves nothing."""
        scores = {}
        for case in cases:
            number = self.split["validation"].index(case)
            image, label = self.patch(self.total, np.random.default_rng((VALIDATION_SEED, number)))
            plan = WindowPlan(self.settings.size, 0, "constant")
            logits = windows.sliding_window(network, torch.from_numpy(image), plan, [windows.Empty(0.0)], len(GROUPS) + 1, device)
            found = logits.argmax(0).numpy()
            groups = [dice(found == group, label[0] == group) for group in range(1, len(GROUPS) + 1)]
            scores[case] = float(np.nanmean(groups))
        return scores

    def _contrast(self, rng, grid, label, progress: float) -> np.ndarray:
        s = self.settings
        draw = rng.random()
        synthetic = s.synthetic * (1 - 0.8 * progress)
        if draw < synthetic:
            return self._synthetic(rng, grid, label)
        image = sample(self.t1, grid, "bilinear")
        strength = 1.0 if draw < synthetic + s.recolored * (1 - 0.5 * progress) else 0.2
        return random_curve(rng, image, strength)

    def _synthetic(self, rng, grid, label) -> np.ndarray:
        """Mean per tissue and, in gray matter, per group; partial volume by a slight blur."""
        means = rng.uniform(0.1, 1.0, (N_TISSUES, 9))
        means[:] = means[:, :1]
        means[2] += rng.normal(0, 0.06, 9)
        means[0] = 0.0
        tissues = sample(self.tissues, grid, "nearest").astype(np.int64)
        image = means[tissues, label.astype(np.int64)].astype(np.float32)
        return np.maximum(gaussian_filter(image, rng.uniform(0.3, 0.7)), 0)


def _center(groups: sitk.Image) -> np.ndarray:
    """Middle of the labeled box, mm."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(groups > 0)
    start, size = np.split(np.array(shape.GetBoundingBox(1), dtype=float), 2)
    return np.array(groups.TransformContinuousIndexToPhysicalPoint((start + (size - 1) / 2).tolist()))


def _xyz(image: sitk.Image) -> np.ndarray:
    return np.ascontiguousarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0))


def _source(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))[None, None]


def _smoothed(image: sitk.Image, spacing_mm: float) -> np.ndarray:
    """The 1 mm volume with the blur that the engine applies before it samples at `spacing_mm`."""
    source = images.grid_of(image)
    target = images.working_grid(source, (spacing_mm,) * 3)
    sigma = np.sqrt(images.blur_variances(source, target))
    return gaussian_filter(_xyz(image).astype(np.float32), sigma / np.array(image.GetSpacing()))


def _tissues(head: Head) -> np.ndarray:
    """Tissue 0-6 of each voxel by intensity: three classes in the brain (Otsu), three and air outside."""
    t1, brain = _xyz(head.t1), _xyz(head.brain) > 0
    low, high = (int(v) for v in _otsu(t1[brain], 2))
    tissues = np.where(brain, 1 + (t1 > low) + (t1 > high), 0)
    outside = ~brain & (t1 > 8)
    dark, bright = (int(v) for v in _otsu(t1[outside], 2))
    return np.where(outside, 4 + (t1 > dark).astype(int) + (t1 > bright), tissues).astype(np.uint8)


def _otsu(values: np.ndarray, thresholds: int) -> tuple[float, ...]:
    otsu = sitk.OtsuMultipleThresholdsImageFilter()
    otsu.SetNumberOfThresholds(thresholds)
    otsu.Execute(sitk.GetImageFromArray(values[None]))
    return otsu.GetThresholds()
