"""Random changes of training patches, built on MONAI's transforms: the published recipe and a stronger default.

Patches are dictionaries of tensors `image` (C, x, y, z) float32 as the network sees it and `label` (1, x, y, z). Axis 0 of the
working grid points left, so a mirror image of axis 0 is anatomy as it could be; the other axes are never mirrored.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import radians

import monai
import numpy as np
import torch
from monai.transforms import (
    Compose,
    MapTransform,
    RandAdjustContrastd,
    RandAffined,
    RandGaussianNoised,
    RandGaussianSmoothd,
    Randomizable,
    RandRotated,
    RandScaleIntensityd,
    RandSimulateLowResolutiond,
    ResizeWithPadOrCropd,
)

# patches are plain arrays on the working grid: MONAI's bookkeeping of affines would only cost time
monai.data.set_track_meta(False)

BOTH = ("image", "label")
MARGIN = 1.3
"""Size of the region that is read for a patch, in patch sizes: what a rotation may bring in from outside the patch."""
LARGEST_CUT = 0.35
"""Of the side of a case."""


def published(size: Sequence[int], _empty: Sequence[float], _drop: float, _mirrored: Sequence[int]) -> Compose:
    """Rotation about the third axis by at most 15 degrees with probability 1/2, nothing else (specification section 6)."""
    return Compose([
        RandRotated(BOTH, range_z=radians(15), prob=0.5, mode=("bilinear", "nearest"), padding_mode="border"),
        ResizeWithPadOrCropd(BOTH, size),
    ])  # fmt: skip


def strong(size: Sequence[int], empty: Sequence[float], drop: float, mirrored: Sequence[int]) -> Compose:
    """Placement, mirror image, intensity, contrast, noise, resolution, missing modalities: the default.

    mirrored: the class that each class is in the mirror, see `contract.card.Card.mirrored_classes`.
    """
    return Compose([
        RandAffined(BOTH, prob=1.0, rotate_range=[radians(15)] * 3, scale_range=[(-0.2, 0.25)] * 3, spatial_size=size,
                    mode=("bilinear", "nearest"), padding_mode="border"),
        RandMirrord(0.5, mirrored),
        RandScaleIntensityd("image", factors=0.2, prob=0.5, channel_wise=True),
        RandAdjustContrastd("image", gamma=(0.75, 1.35), prob=0.3, retain_stats=True),
        RandGaussianNoised("image", prob=0.2, std=0.1),
        RandGaussianSmoothd("image", prob=0.15, sigma_x=(0.3, 0.9), sigma_y=(0.3, 0.9), sigma_z=(0.3, 0.9)),
        RandSimulateLowResolutiond("image", prob=0.15, zoom_range=(0.5, 1.0)),
        RandDropModalityd("image", prob=drop, empty=empty),
    ])  # fmt: skip


AUGMENTATIONS = {"strong": strong, "published": published}


class RandMirrord(MapTransform, Randomizable):
    """Image and label in the mirror, where left structures are right ones."""

    def __init__(self, prob: float, mirrored: Sequence[int]) -> None:
        super().__init__(BOTH)
        self.prob, self.mirrored = prob, torch.as_tensor(mirrored)

    def __call__(self, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if self.R.random() >= self.prob:
            return data
        image, label = (data[key].flip(1) for key in BOTH)
        return {**data, "image": image, "label": self.mirrored[label.long()].to(label.dtype)}


class RandDropModalityd(MapTransform, Randomizable):
    """Replaces one channel, chosen at random, by its value of empty space, as if that image had not been taken."""

    def __init__(self, keys: str, prob: float, empty: Sequence[float]) -> None:
        super().__init__(keys)
        self.prob = prob if len(empty) > 1 else 0.0
        self.empty = empty

    def __call__(self, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if self.R.random() >= self.prob:
            return data
        channel = self.R.randint(len(self.empty))
        data = dict(data)
        for key in self.key_iterator(data):
            data[key] = data[key].clone()
            data[key][channel] = self.empty[channel]
        return data


def cut_field(shape: Sequence[int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """First voxel and end of a field of view within `shape` that is smaller by up to `LARGEST_CUT` on half of its sides."""
    cuts = rng.uniform(0, LARGEST_CUT, (2, len(shape))) * (rng.random((2, len(shape))) < 0.5) * np.asarray(shape)
    return cuts[0].astype(int), np.asarray(shape) - cuts[1].astype(int)


def beyond_plane(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """bool of `shape`, true beyond a random plane across one axis in its middle half."""
    axis = rng.integers(len(shape))
    place = rng.uniform(0.25, 0.75) * shape[axis]
    across = np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return np.broadcast_to((across >= place) ^ (rng.random() < 0.5), shape)


def read_region(
    array: np.ndarray,
    center: np.ndarray,
    size: Sequence[int],
    outside: Sequence[float],
    field: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """The box of `size` voxels around voxel `center` of (C, x, y, z), filled with `outside` (one value per channel) beyond it.

    field: first voxel and end of the part of the array that is read; the whole one when not given.
    """
    low = np.asarray(center) - np.asarray(size) // 2
    begin, end = field or (0, array.shape[1:])
    region = np.empty((len(array), *size), dtype=array.dtype)
    region[:] = np.asarray(outside, dtype=array.dtype).reshape(-1, 1, 1, 1)
    first, last = np.maximum(low, begin), np.minimum(low + size, end)
    if (first < last).all():
        source = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        target = tuple(slice(a, b) for a, b in zip(first - low, last - low, strict=True))
        region[(slice(None), *target)] = array[(slice(None), *source)]
    return region
