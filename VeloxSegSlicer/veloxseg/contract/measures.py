"""What is measured on the voxels of a segment, and on the pixels of a photo's mask: one definition for a new result and for what
becomes of it in the panel.

An array belongs to its matrix: the voxel `array[i, j, k]` lies at `to_world` (4, 4) applied to (i, j, k), in millimeters, RAS or
LPS as long as both images of a measurement agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from veloxseg.contract import limits

LARGEST_PROJECTION = 1 << 20
"""Values at once."""


@dataclass(frozen=True)
class Structure:
    """Voxels that are measured together: `mask`, bool (i, j, k) in a box around them, and `to_world` of the box's first voxel."""

    mask: np.ndarray
    to_world: np.ndarray

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in milliliters."""
        return voxel_ml(self.to_world)

    @property
    def center(self) -> np.ndarray:
        """(3,) mean position of the voxels in mm."""
        return world(np.argwhere(self.mask).mean(axis=0), self.to_world)


def world(index: np.ndarray, to_world: np.ndarray) -> np.ndarray:
    """Positions (..., 3) in mm of indices (..., 3)."""
    return np.asarray(index, dtype=float) @ to_world[:3, :3].T + to_world[:3, 3]


def moved(to_world: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(4, 4) matrix of a part of an array that begins at the index `first`."""
    result = np.array(to_world, dtype=float)
    result[:3, 3] = world(first, to_world)
    return result


def voxel_ml(to_world: np.ndarray) -> float:
    """Volume of one voxel in milliliters."""
    return abs(float(np.linalg.det(to_world[:3, :3]))) / 1000.0


def diameter_mm(structure: Structure) -> float:
    """Greatest distance between two voxel centers plus the width of a voxel (cube root of its volume).

    Compared are the voxels that lie outermost in 500 evenly spread directions: exact to a few thousandths for any shape.
    """
    points = world(_row_ends(structure.mask), structure.to_world)
    return _longest(points, _directions()) + (structure.voxel_ml * 1000.0) ** (1 / 3)


def suv(structure: Structure, values: np.ndarray, to_world: np.ndarray) -> dict[str, float]:
    """SUVmax, SUVmean, SUVpeak and total lesion glycolysis (SUVmean x ml) on the untouched voxels of a PET image.

    SUVpeak is the highest mean over a 1 ml sphere centered on a voxel of the structure (PERCIST).

    Args:
        values: SUV of the PET image, an array with the matrix `to_world`.

    Returns:
        `suv_max`, `suv_mean`, `suv_peak` in g/ml and `tlg` in SUV x ml.
    """
    indices = indices_on(structure, values.shape, to_world)
    inside = values[tuple(indices.T)].astype(np.float64)
    return {
        "suv_max": float(inside.max()),
        "suv_mean": float(inside.mean()),
        "suv_peak": _peak(values, indices, to_world),
        "tlg": float(inside.sum() * voxel_ml(to_world)),
    }


def mean_on(structure: Structure, values: np.ndarray, to_world: np.ndarray) -> float:
    """Mean of another image's values inside the structure."""
    return float(values[tuple(indices_on(structure, values.shape, to_world).T)].mean(dtype=np.float64))


def indices_on(structure: Structure, shape: tuple[int, ...], to_world: np.ndarray) -> np.ndarray:
    """(n, 3) indices of an image's voxels whose centers lie in the structure; at least the one nearest to its center."""
    last = np.array(shape) - 1
    low, high = (np.clip(end, 0, last) for end in _reach(structure, to_world))
    inside = np.argwhere(_inside(structure, low, high, to_world)) + low
    if len(inside):
        return inside
    nearest = np.rint(_index(structure.center, to_world)).astype(int)
    return np.clip(nearest, 0, last)[None]


def on_grid(structure: Structure, to_world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of another, endless grid whose centers lie in the structure: index (3,) of their box, and bool (i, j, k)."""
    low, high = _reach(structure, to_world)
    return low, _inside(structure, low, high, to_world)


def photo(numbered: np.ndarray, mm_per_px: float | None = None) -> dict[str, float]:
    """Sizes of a mask on a photo of square pixels.

    Args:
        numbered: int (y, x), the connected components (8 neighbors) of the mask numbered from 1, 0 outside.
        mm_per_px: side of a pixel in mm.

    Returns:
        `parts`, `area_px`, `perimeter_px`, `diameter_px` and, with a scale, `area_mm2`, `perimeter_mm`, `diameter_mm`. Area and
        perimeter are sums over all parts; where the photo's edge cuts the mask, that edge counts. The diameter is the longest
        distance between two border points of one part, right to a pixel.

    Raises:
        ValueError: for a scale that is not positive.
    """
    if mm_per_px is not None and not 0 < mm_per_px < np.inf:
        raise ValueError(f"the scale must be a positive number of mm per pixel, not {mm_per_px}")
    padded = np.pad(numbered, 1)
    area, perimeter, diameter = int(np.count_nonzero(padded)), _perimeter(padded > 0), _photo_diameter(padded)
    sizes = {"parts": int(padded.max()), "area_px": area, "perimeter_px": perimeter, "diameter_px": diameter}
    if mm_per_px is None:
        return sizes
    return sizes | {
        "area_mm2": area * mm_per_px**2, "perimeter_mm": perimeter * mm_per_px, "diameter_mm": diameter * mm_per_px,
    }  # fmt: skip


def _perimeter(padded: np.ndarray) -> float:
    """Length of the border by the Cauchy-Crofton formula with lines in four directions.

    Right on average over directions: exact in the limit for round shapes, 5 % too short for a square along the axes. Counting
    pixel edges would make a circle 27 % too long.
    """
    straight = np.count_nonzero(padded[1:] != padded[:-1]) + np.count_nonzero(padded[:, 1:] != padded[:, :-1])
    diagonal = np.count_nonzero(padded[1:, 1:] != padded[:-1, :-1]) + np.count_nonzero(padded[1:, :-1] != padded[:-1, 1:])
    return float(np.pi / 8 * (straight + diagonal / np.sqrt(2)))


def _photo_diameter(padded: np.ndarray) -> float:
    """Longest distance in pixels inside one of the numbered parts, whose border points are the middles of pixel edges: corners
    would make a circle larger, centers smaller."""
    # numbers of two parts never touch
    down, across = np.maximum(padded[1:], padded[:-1]), np.maximum(padded[:, 1:], padded[:, :-1])
    on_down, on_across = np.argwhere(padded[1:] != padded[:-1]), np.argwhere(padded[:, 1:] != padded[:, :-1])
    points = np.concatenate([on_down + (0.5, 0.0), on_across + (0.0, 0.5)])
    owners = np.concatenate([down[tuple(on_down.T)], across[tuple(on_across.T)]])
    order = np.argsort(owners, kind="stable")
    parts = np.split(points[order], np.flatnonzero(np.diff(owners[order])) + 1)
    extents = [float(np.hypot(*np.ptp(part, axis=0))) if len(part) else 0.0 for part in parts]
    angles = np.arange(limits.DIAMETER_DIRECTIONS) * math.pi / limits.DIAMETER_DIRECTIONS
    directions = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    longest = 0.0
    for number in np.argsort(extents)[::-1]:
        if extents[number] <= longest:
            break
        longest = max(longest, _longest(parts[number], directions))
    return longest


def _longest(points: np.ndarray, directions: np.ndarray) -> float:
    """Greatest distance between two of the points (n, d) that lie outermost in some direction (m, d)."""
    outermost: set[int] = set()
    together = max(LARGEST_PROJECTION // len(points), 1)
    for first in range(0, len(directions), together):
        along = points @ directions[first : first + together].T
        outermost.update(along.argmin(axis=0).tolist(), along.argmax(axis=0).tolist())
    corners = points[sorted(outermost)]
    return float(np.linalg.norm(corners[:, None] - corners[None], axis=-1).max())


@cache
def _directions() -> np.ndarray:
    """Unit vectors spread over half a sphere on a golden spiral."""
    steps = np.arange(limits.DIAMETER_DIRECTIONS)
    height = (steps + 0.5) / limits.DIAMETER_DIRECTIONS
    angle = steps * math.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


def _row_ends(mask: np.ndarray) -> np.ndarray:
    """(n, 3) the first and the last voxel of every row: what lies outermost in any direction is among them."""
    rows = np.argwhere(mask.any(axis=2))
    in_rows = mask[tuple(rows.T)]
    first, last = in_rows.argmax(axis=1), mask.shape[2] - 1 - in_rows[:, ::-1].argmax(axis=1)
    return np.concatenate([np.column_stack([rows, first]), np.column_stack([rows, last])])


def _box(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(i, j, k, 3) all indices of a box, its ends included."""
    return np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)


def _reach(structure: Structure, to_world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest index (3,) of another grid that may lie in the structure."""
    corners = np.array(np.meshgrid(*([-0.5, size - 0.5] for size in structure.mask.shape))).reshape(3, -1).T
    reached = _index(world(corners, structure.to_world), to_world)
    return np.floor(reached.min(axis=0)).astype(int), np.ceil(reached.max(axis=0)).astype(int)


def _inside(structure: Structure, low: np.ndarray, high: np.ndarray, to_world: np.ndarray) -> np.ndarray:
    """bool (i, j, k) for the voxels of another grid from index `low` to `high`: whether their centers lie in the structure."""
    found = np.zeros(high - low + 1, dtype=bool)
    # large structures by few planes at once: positions take much more memory than masks
    planes = max(LARGEST_PROJECTION // found[0].size, 1)
    for first in range(0, len(found), planes):
        start, end = low + (first, 0, 0), np.minimum(high, [low[0] + first + planes - 1, *high[1:]])
        own = np.rint(_index(world(_box(start, end), to_world), structure.to_world)).astype(int)
        inside = np.all((own >= 0) & (own < structure.mask.shape), axis=-1)
        inside[inside] = structure.mask[tuple(own[inside].T)]
        found[first : first + planes] = inside
    return found


def _index(position: np.ndarray, to_world: np.ndarray) -> np.ndarray:
    """Fractional indices (..., 3) of positions (..., 3) in mm."""
    return (position - to_world[:3, 3]) @ np.linalg.inv(to_world[:3, :3]).T


def _peak(values: np.ndarray, indices: np.ndarray, to_world: np.ndarray) -> float:
    sums, counts = np.zeros(len(indices)), np.zeros(len(indices))
    for offset in sphere_offsets(to_world):
        neighbors = indices + offset
        present = np.all((neighbors >= 0) & (neighbors < values.shape), axis=1)
        sums[present] += values[tuple(neighbors[present].T)]
        counts[present] += 1
    return float((sums / counts).max())


def sphere_offsets(to_world: np.ndarray) -> np.ndarray:
    """(n, 3) steps to the voxels whose centers lie in a 1 ml sphere around the center of a voxel."""
    radius = (limits.PEAK_SPHERE_ML * 1000.0 * 3 / (4 * math.pi)) ** (1 / 3)
    farthest = (radius / np.linalg.norm(to_world[:3, :3], axis=0)).astype(int)
    steps = _box(-farthest, farthest).reshape(-1, 3)
    return steps[np.linalg.norm(steps @ to_world[:3, :3].T, axis=1) <= radius]
