"""A region: a box in space outside of which nothing is looked for.

The network still sees what lies around a small box, up to its window, because tissue must not end where a box does. Only the
result is cut exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.settings import Region
from veloxseg.imaging import images


@dataclass(frozen=True)
class Inside:
    """The voxels of a grid within a region: `box` is slices (x, y, z) and `voxels` a bool array of that box."""

    box: tuple[slice, slice, slice]
    voxels: np.ndarray

    def keep(self, array: np.ndarray) -> np.ndarray:
        """An (x, y, z) array that is 0 outside of the region."""
        kept = np.zeros_like(array)
        kept[self.box] = np.where(self.voxels, array[self.box], 0)
        return kept


def inside(region: Region, grid: images.Grid) -> Inside:
    """Which voxels of a grid have their center in the region. Raises REQUEST when none has."""
    low, high = _index_box(region, grid)
    low, high = np.clip(low, 0, grid.size), np.clip(high, 0, grid.size)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    voxels = np.ones(np.maximum(high - low, 0), dtype=bool)
    for axis, size in zip(np.asarray(region.axes), region.size, strict=True):
        # The distance along an axis is a sum of three parts, one for each index.
        steps = axis @ grid.index_to_world
        start = axis @ (np.asarray(grid.origin) - np.asarray(region.center))
        x, y, z = (np.arange(part.start, part.stop) * step for part, step in zip(box, steps, strict=True))
        voxels &= np.abs(start + x[:, None, None] + y[:, None] + z) <= size / 2 + 1e-6
    if not voxels.any():
        raise VeloxSegError("REQUEST", reason="the region holds no voxel of the reference image")
    return Inside(box, voxels)


def box(grid: images.Grid, region: Region, least: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """First and last plus one index (x, y, z) of a part with the region, of `least` voxels or more where there are so many."""
    whole = np.array(grid.size)
    low, high = _index_box(region, grid)
    missing = np.maximum(np.asarray(least) - (high - low), 0)
    low, high = low - missing // 2, high + missing - missing // 2
    shift = np.maximum(-low, 0) - np.maximum(high - whole, 0)
    low, high = np.clip(low + shift, 0, whole - 1), np.clip(high + shift, 1, whole)
    return low, high


def _index_box(region: Region, grid: images.Grid) -> tuple[np.ndarray, np.ndarray]:
    """First and last plus one index (x, y, z) of the voxels that the region's bounding box touches."""
    signs = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    corners = np.asarray(region.center) + (signs * region.size) @ np.asarray(region.axes)
    index = grid.index(corners)
    return np.floor(index.min(axis=0) + 0.5).astype(int), np.floor(index.max(axis=0) + 0.5).astype(int) + 1
