"""Random spatial and intensity changes for training patches. Every function takes its own random generator.

Arrays are numpy float32 (x, y, z); distances are in voxels of the patch unless a name says mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter


@dataclass(frozen=True)
class SpatialRanges:
    """Ranges of the random placement of a patch in the source volume; uniform unless said otherwise."""

    rotation_degrees: float = 25.0
    scale: tuple[float, float] = (0.8, 1.25)
    """Isotropic; each axis varies by a further +-8 %."""
    shift_mm: float = 20.0
    elastic_mm: float = 5.0
    """Standard deviation of the displacement at the knots of a coarse grid."""
    elastic_knots: int = 6
    flip_axes: tuple[int, ...] = ()


def rotation_matrix(degrees: np.ndarray) -> np.ndarray:
    """3x3 rotation by three angles about x, y, z, applied in this order."""
    cx, cy, cz = np.cos(np.deg2rad(degrees))
    sx, sy, sz = np.sin(np.deg2rad(degrees))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def random_points(
    rng: np.random.Generator, ranges: SpatialRanges, size: tuple[int, ...], spacing: np.ndarray, center: np.ndarray
) -> np.ndarray:
    """World positions in mm, float32 (3, *size), of the voxels of a patch placed at random around `center` (mm)."""
    scale = rng.uniform(*ranges.scale) * rng.uniform(0.92, 1.08, 3)
    flips = np.ones(3)
    for axis in ranges.flip_axes:
        flips[axis] = rng.choice((-1, 1))
    matrix = rotation_matrix(rng.uniform(-1, 1, 3) * ranges.rotation_degrees) @ np.diag(flips / scale)
    world = _elastic(rng, ranges, size)
    world += (center + rng.uniform(-1, 1, 3) * ranges.shift_mm).astype(np.float32).reshape(3, 1, 1, 1)
    for axis, (n, step) in enumerate(zip(size, spacing)):
        line = ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32)
        along = np.outer(matrix[:, axis], line).astype(np.float32)
        world += along.reshape(3, *(n if a == axis else 1 for a in range(3)))
    return world


def _elastic(rng: np.random.Generator, ranges: SpatialRanges, size: tuple[int, ...]) -> np.ndarray:
    strength = rng.uniform(0, ranges.elastic_mm)
    knots = torch.from_numpy(rng.normal(0, strength, (1, 3, *(ranges.elastic_knots,) * 3)).astype(np.float32))
    return F.interpolate(knots, size=size, mode="trilinear", align_corners=True)[0].numpy()


def sampling_grid(voxels: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    """Voxel coordinates (3, *size) in a volume of `shape` as the grid that `sample` takes."""
    scale = (2 / np.array(shape, dtype=np.float32)).reshape(3, 1, 1, 1)
    return torch.from_numpy((voxels + 0.5) * scale - 1).flip(0).permute(1, 2, 3, 0).contiguous()[None]


def sample(volume: torch.Tensor, grid: torch.Tensor, mode: str) -> np.ndarray:
    """Values of a float32 volume (1, 1, x, y, z) on a sampling grid, 0 outside; `mode` is "bilinear" or "nearest"."""
    return F.grid_sample(volume, grid, mode=mode, padding_mode="zeros", align_corners=False)[0, 0].numpy()


def random_curve(rng: np.random.Generator, image: np.ndarray, strength: float) -> np.ndarray:
    """A random monotone-in-places intensity curve; strength 0 changes nothing, 1 may invert the contrast. Air (0) stays 0."""
    top = float(np.percentile(image, 99.5)) or 1.0
    knots = np.linspace(0, 1, 7)
    values = knots + strength * rng.uniform(-0.6, 0.6, len(knots))
    values[0], values[1:] = 0.0, np.clip(values[1:], 0.05, 1.3)
    return np.interp(image / top, knots, values).astype(np.float32)


def bias_field(rng: np.random.Generator, size: tuple[int, ...], strength: float) -> np.ndarray:
    """Smooth positive factor around 1, exp of a coarse random field."""
    knots = torch.from_numpy(rng.normal(0, strength, (1, 1, 4, 4, 4)).astype(np.float32))
    return F.interpolate(knots, size=size, mode="trilinear", align_corners=True)[0, 0].exp().numpy()


def rician_noise(rng: np.random.Generator, image: np.ndarray, sigma: float) -> np.ndarray:
    """Magnitude of the image with complex Gaussian noise, as in MR magnitude images."""
    real = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.hypot(real, imaginary)


def random_resolution(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Blur as if the scan had been coarser, more along one axis."""
    sigma = rng.uniform(0, 0.5, 3)
    sigma[rng.integers(3)] *= 2
    return gaussian_filter(image, sigma, mode="nearest")


def cut_side(rng: np.random.Generator, image: np.ndarray, label: np.ndarray) -> None:
    """Blanks up to a quarter of the patch at one end of one axis, in image and label."""
    axis = rng.integers(3)
    n = int(rng.integers(1, image.shape[axis] // 4))
    part = [slice(None)] * 3
    part[axis] = slice(0, n) if rng.random() < 0.5 else slice(-n, None)
    image[tuple(part)] = 0
    label[tuple(part)] = 0
