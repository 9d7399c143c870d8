"""Parts of masks on their grids. No scene here: arrays (k, j, i) and 4x4 matrices to RAS mm.

What a number means is said in `veloxseg.contract.measures`, by which the engine measures a new result, too.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from veloxseg.contract import measures

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
        return measures.voxel_ml(self.ijkToRas)

    @property
    def volumeMl(self) -> float:
        """Voxels times the volume of one."""
        return self.count * self.voxelMl

    @property
    def structure(self) -> measures.Structure:
        """The same for the engine's definitions of what is measured, whose axes are (i, j, k)."""
        return measures.Structure(self.mask.T, self.ijkToRas)

    @property
    def centerRas(self) -> np.ndarray:
        """(3,) mean position of the voxels, RAS mm."""
        return self.structure.center


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
    return measures.moved(ijkToRas, np.asarray(kji)[::-1])


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


def farthestMm(positions) -> float:
    """The largest distance between two of some positions in mm; 0 for fewer than two."""
    points = np.asarray(positions, dtype=float).reshape(-1, 3)
    return float(np.linalg.norm(points[:, None] - points[None], axis=-1).max()) if len(points) > 1 else 0.0


def meanOn(voxels: Voxels, values: np.ndarray, ijkToRas: np.ndarray) -> float:
    """Mean of another image's values (k, j, i) inside the voxels."""
    return measures.mean_on(voxels.structure, values.T, ijkToRas)


def photo(mask: np.ndarray, mmPerPx: float | None) -> dict[str, float]:
    """Area, perimeter and longest diameter of a mask (y, x) of square pixels, in px and with a scale in mm."""
    numbered, _count = ndimage.label(mask, np.ones((3, 3), bool))
    return measures.photo(numbered, mmPerPx)


def _toRas(kji: np.ndarray, ijkToRas: np.ndarray) -> np.ndarray:
    return measures.world(np.asarray(kji)[..., ::-1], ijkToRas)


def onGrid(voxels: Voxels, ijkToRas: np.ndarray) -> Voxels:
    """The voxels of another, endless grid whose centers lie inside; `ijkToRas` is the grid from any of its voxels."""
    low, isInside = measures.on_grid(voxels.structure, ijkToRas)
    return cut(isInside.T, measures.moved(ijkToRas, low))


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
