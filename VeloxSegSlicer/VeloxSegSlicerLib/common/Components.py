"""Connected pieces of a mask and what is measured on them. No scene here: arrays (k, j, i) and 4x4 matrices to RAS mm.

The engine measures a new result by the same definitions (measures and photo_measures of veloxseg.imaging); these functions
follow what happens to it afterwards: another sensitivity, removed lesions, edits. Testing/engine compares the two.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from veloxseg.contract import limits

AXES_26 = np.ones((3, 3, 3), bool)
SMALLEST_SIDE = 0.1
"""Share of a structure from which on a piece of it has a position of its own."""


@dataclass(frozen=True)
class Voxels:
    """A bool mask (k, j, i), cut to what is in it, and `ijkToRas`, (4, 4), of its first voxel."""

    mask: np.ndarray
    ijkToRas: np.ndarray

    @property
    def count(self) -> int:
        """Voxels that belong to it."""
        return int(np.count_nonzero(self.mask))

    @property
    def voxelMl(self) -> float:
        """Volume of one voxel in milliliters."""
        return abs(float(np.linalg.det(self.ijkToRas[:3, :3]))) / 1000.0

    @property
    def volumeMl(self) -> float:
        """Voxels times the volume of one."""
        return self.count * self.voxelMl

    @property
    def centerRas(self) -> np.ndarray:
        """(3,) mean position of the voxels, RAS mm."""
        return _toRas(np.argwhere(self.mask).mean(axis=0), self.ijkToRas)


def cut(mask: np.ndarray, ijkToRas: np.ndarray) -> Voxels:
    """The part of a mask that is not empty; an empty mask gives an empty one."""
    box = boxOf(mask)
    return Voxels(mask[box], movedTo(ijkToRas, [part.start for part in box]))


def boxOf(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box (k, j, i) with everything that is not zero."""
    box = []
    for axis in range(mask.ndim):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0))
    return tuple(box)


def movedTo(ijkToRas: np.ndarray, kji) -> np.ndarray:
    """The matrix of a part of an array that begins at (k, j, i)."""
    moved = ijkToRas.copy()
    moved[:3, 3] = _toRas(np.asarray(kji), ijkToRas)
    return moved


def pieces(voxels: Voxels) -> list[Voxels]:
    """Connected pieces (26 neighbors), largest first."""
    if not voxels.count:
        return []
    numbered, _count = ndimage.label(voxels.mask, AXES_26)
    found = [
        Voxels(numbered[box] == number, movedTo(voxels.ijkToRas, [part.start for part in box]))
        for number, box in enumerate(ndimage.find_objects(numbered), start=1)
    ]
    return sorted(found, key=lambda piece: -piece.count)


def positions(voxels: Voxels) -> tuple[tuple[float, float, float], ...]:
    """Where a structure is, RAS mm: its center, or those of its left and right piece in this order.

    None for several pieces elsewhere, and for one that bends around its own center: such a center would mislead.
    """
    large = [piece for piece in pieces(voxels) if piece.count >= SMALLEST_SIDE * voxels.count]
    centers = sorted(tuple(piece.centerRas.tolist()) for piece in large)
    if len(large) == 1 and _holds(large[0], centers[0]):
        return tuple(centers)
    isTwoSided = len(large) == 2 and int(np.abs(np.subtract(*centers)).argmax()) == 0
    return tuple(centers) if isTwoSided else ()


def nearestTo(voxels: Voxels, positionRas) -> np.ndarray:
    """(3,) center of the voxel that is nearest to a position, RAS mm."""
    centers = _toRas(np.argwhere(voxels.mask), voxels.ijkToRas)
    return centers[np.linalg.norm(centers - np.asarray(positionRas), axis=1).argmin()]


def _holds(voxels: Voxels, positionRas) -> bool:
    kji = np.rint(np.linalg.solve(voxels.ijkToRas[:3, :3], np.asarray(positionRas) - voxels.ijkToRas[:3, 3]))[::-1].astype(int)
    return bool(voxels.mask[tuple(kji)])


def diameterMm(voxels: Voxels) -> float:
    """Greatest distance between two voxel centers plus the width of a voxel (cube root of its volume).

    Compared are the voxels that lie outermost in 500 evenly spread directions.
    """
    points = _toRas(_rowEnds(voxels.mask), voxels.ijkToRas)
    outermost = {end(points @ direction) for direction in _directions() for end in (np.argmin, np.argmax)}
    corners = points[sorted(outermost)]
    distances = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
    return float(distances.max() + (voxels.voxelMl * 1000.0) ** (1 / 3))


def farthestMm(positions) -> float:
    """The largest distance between two of some positions in mm; 0 for fewer than two."""
    points = np.asarray(positions, dtype=float).reshape(-1, 3)
    return float(np.linalg.norm(points[:, None] - points[None], axis=-1).max()) if len(points) > 1 else 0.0


def suv(voxels: Voxels, values: np.ndarray, ijkToRas: np.ndarray) -> dict[str, float]:
    """SUVmax, SUVmean, SUVpeak and total lesion glycolysis (SUVmean x ml) on the untouched voxels of a PET image.

    SUVpeak is the highest mean over a 1 ml sphere centered on a voxel of the lesion (PERCIST).

    :param values: SUV (k, j, i).
    :param ijkToRas: the grid of the PET image.
    """
    indices = _indicesOn(voxels, values.shape, ijkToRas)
    inside = values[tuple(indices.T)].astype(np.float64)
    voxelMl = Voxels(np.ones((1, 1, 1), bool), ijkToRas).voxelMl
    return {
        "suv_max": float(inside.max()),
        "suv_mean": float(inside.mean()),
        "suv_peak": _peak(values, indices, ijkToRas),
        "tlg": float(inside.sum() * voxelMl),
    }


def meanOn(voxels: Voxels, values: np.ndarray, ijkToRas: np.ndarray) -> float:
    """Mean of another image's values inside the voxels."""
    return float(values[tuple(_indicesOn(voxels, values.shape, ijkToRas).T)].mean(dtype=np.float64))


def photo(mask: np.ndarray, mmPerPx: float | None) -> dict[str, float]:
    """Area, perimeter and longest diameter of a mask (y, x) of square pixels, in px and with a scale in mm.

    The perimeter follows Cauchy and Crofton with lines in four directions; the diameter is that of the largest part.
    """
    padded = np.pad(mask, 1)
    straight = sum(np.count_nonzero(np.diff(padded, axis=axis)) for axis in (0, 1))
    diagonal = np.count_nonzero(padded[1:, 1:] != padded[:-1, :-1]) + np.count_nonzero(padded[1:, :-1] != padded[:-1, 1:])
    parts, count = ndimage.label(padded, np.ones((3, 3), bool))
    measured = {
        "area_px": float(np.count_nonzero(mask)),
        "perimeter_px": float(math.pi / 8 * (straight + diagonal / math.sqrt(2))),
        "diameter_px": max((_edgeDistance(parts == number) for number in range(1, count + 1)), default=0.0),
    }
    if mmPerPx is not None:
        measured["area_mm2"] = measured["area_px"] * mmPerPx**2
        measured["perimeter_mm"] = measured["perimeter_px"] * mmPerPx
        measured["diameter_mm"] = measured["diameter_px"] * mmPerPx
    return measured


def _edgeDistance(padded: np.ndarray) -> float:
    """Longest distance between the middles of two pixel edges on the border."""
    down = np.argwhere(np.diff(padded, axis=0)) + (0.5, 0.0)
    across = np.argwhere(np.diff(padded, axis=1)) + (0.0, 0.5)
    points = np.concatenate([down, across])
    angles = np.arange(limits.DIAMETER_DIRECTIONS) * math.pi / limits.DIAMETER_DIRECTIONS
    directions = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    ends = {end(points @ direction) for direction in directions for end in (np.argmin, np.argmax)}
    corners = points[sorted(ends)]
    return float(np.linalg.norm(corners[:, None] - corners[None], axis=-1).max())


def _toRas(kji: np.ndarray, ijkToRas: np.ndarray) -> np.ndarray:
    return np.asarray(kji, dtype=float)[..., ::-1] @ ijkToRas[:3, :3].T + ijkToRas[:3, 3]


def _rowEnds(mask: np.ndarray) -> np.ndarray:
    """(n, 3) the first and the last voxel of every row: what lies outermost in any direction is among them."""
    rows = np.argwhere(mask.any(axis=2))
    inRows = mask[tuple(rows.T)]
    first, last = inRows.argmax(axis=1), mask.shape[2] - 1 - inRows[:, ::-1].argmax(axis=1)
    return np.concatenate([np.column_stack([rows, first]), np.column_stack([rows, last])])


def _directions() -> np.ndarray:
    """Unit vectors spread over half a sphere on a golden spiral."""
    steps = np.arange(limits.DIAMETER_DIRECTIONS)
    height = (steps + 0.5) / limits.DIAMETER_DIRECTIONS
    angle = steps * math.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


def onGrid(voxels: Voxels, ijkToRas: np.ndarray) -> Voxels:
    """The voxels of another, endless grid whose centers lie inside; `ijkToRas` is the grid from any of its voxels."""
    low, high = _reach(voxels, ijkToRas)
    box = _indices(low, high)
    return cut(_isInside(voxels, box, ijkToRas), movedTo(ijkToRas, low))


def united(first: Voxels, second: Voxels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two masks of one grid in one box: both masks (k, j, i), and the matrix to RAS of the box."""
    parts = [part for part in (first, second) if part.count]
    if not parts:
        return first.mask, second.mask, first.ijkToRas
    toGrid = np.linalg.inv(parts[0].ijkToRas)
    starts = {id(part): startOn(part, toGrid) for part in parts}
    low = np.min(list(starts.values()), axis=0)
    high = np.max([starts[id(part)] + part.mask.shape for part in parts], axis=0)
    masks = []
    for part in (first, second):
        mask = np.zeros(high - low, bool)
        if part.count:
            start = starts[id(part)] - low
            mask[tuple(slice(a, a + n) for a, n in zip(start, part.mask.shape, strict=True))] = part.mask
        masks.append(mask)
    return masks[0], masks[1], movedTo(parts[0].ijkToRas, low)


def startOn(part: Voxels, rasToIjk: np.ndarray) -> np.ndarray:
    """(3,) index (k, j, i) of the first voxel of a part on a grid with equal voxels."""
    return np.rint(rasToIjk[:3, :3] @ part.ijkToRas[:3, 3] + rasToIjk[:3, 3]).astype(int)[::-1]


def _reach(voxels: Voxels, ijkToRas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest index (k, j, i) of another grid that may lie inside."""
    corners = np.array(np.meshgrid(*([-0.5, size - 0.5] for size in voxels.mask.shape))).reshape(3, -1).T
    reached = _toRas(_toRas(corners, voxels.ijkToRas)[..., ::-1], np.linalg.inv(ijkToRas))[..., ::-1]
    return np.floor(reached.min(axis=0)).astype(int), np.ceil(reached.max(axis=0)).astype(int)


def _indices(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(k, j, i, 3) all indices of a box, its ends included."""
    return np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)


def _isInside(voxels: Voxels, indices: np.ndarray, ijkToRas: np.ndarray) -> np.ndarray:
    """bool (...) for indices (..., 3) of another grid: whether their centers lie inside."""
    own = _toRas(_toRas(indices, ijkToRas)[..., ::-1], np.linalg.inv(voxels.ijkToRas))[..., ::-1]
    own = np.rint(own).astype(int)
    isInside = np.all((own >= 0) & (own < voxels.mask.shape), axis=-1)
    isInside[isInside] = voxels.mask[tuple(own[isInside].T)]
    return isInside


def _indicesOn(voxels: Voxels, shape: tuple[int, ...], ijkToRas: np.ndarray) -> np.ndarray:
    """(n, 3) indices (k, j, i) of an image's voxels whose centers lie inside; at least the nearest to the center."""
    last = np.array(shape) - 1
    low, high = (np.clip(end, 0, last) for end in _reach(voxels, ijkToRas))
    box = _indices(low, high)
    isInside = _isInside(voxels, box, ijkToRas)
    if isInside.any():
        return box[isInside]
    nearest = np.rint(_toRas(voxels.centerRas[::-1], np.linalg.inv(ijkToRas))[::-1]).astype(int)
    return np.clip(nearest, 0, last)[None]


def _peak(values: np.ndarray, indices: np.ndarray, ijkToRas: np.ndarray) -> float:
    sums, counts = np.zeros(len(indices)), np.zeros(len(indices))
    for offset in _sphere(ijkToRas):
        neighbors = indices + offset
        isThere = np.all((neighbors >= 0) & (neighbors < values.shape), axis=1)
        sums[isThere] += values[tuple(neighbors[isThere].T)]
        counts[isThere] += 1
    return float((sums / counts).max())


def _sphere(ijkToRas: np.ndarray) -> np.ndarray:
    """(n, 3) steps (k, j, i) to the voxels whose centers lie in a 1 ml sphere around a voxel."""
    radius = (limits.PEAK_SPHERE_ML * 1000.0 * 3 / (4 * math.pi)) ** (1 / 3)
    reach = (radius / np.linalg.norm(ijkToRas[:3, :3], axis=0)).astype(int)[::-1]
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    return steps[np.linalg.norm(steps[:, ::-1] @ ijkToRas[:3, :3].T, axis=1) <= radius]
