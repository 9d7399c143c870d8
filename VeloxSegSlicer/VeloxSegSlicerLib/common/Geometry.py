"""Where voxels are: grids, overlap, transforms, and the one change between RAS and LPS."""

from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from veloxseg.contract import limits

from . import Names

AXIS_LETTERS = ("LR", "PA", "IS")
"""World axis -> letter of its negative and its positive end."""
SMALLEST_ANGLE = 0.5
LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class WorldGrid:
    """A voxel grid: `size` in voxels (i, j, k) and `ijkToRas`, a (4, 4) matrix to world millimeters."""

    size: tuple[int, int, int]
    ijkToRas: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """(3,) voxel edge lengths in mm along i, j, k."""
        return np.linalg.norm(self.ijkToRas[:3, :3], axis=0)

    @property
    def voxelMl(self) -> float:
        """Volume of one voxel in milliliters."""
        return abs(float(np.linalg.det(self.ijkToRas[:3, :3]))) / 1000.0

    def index(self, positionRas) -> np.ndarray:
        """(3,) fractional voxel index (i, j, k) of a position in RAS mm."""
        return np.linalg.solve(self.ijkToRas[:3, :3], np.asarray(positionRas) - self.ijkToRas[:3, 3])

    def description(self) -> str:
        """Size and spacing for a tooltip or the log."""
        spacing = " x ".join(f"{s:.2f}" for s in self.spacing)
        return f"{self.sizeText()}, {spacing} mm"

    def sizeText(self) -> str:
        """Voxels along i, j, k."""
        return " x ".join(str(n) for n in self.size)

    def spacingText(self) -> str:
        """Millimeters, one number where all are the same: "4.1" or "1.0 x 1.0 x 3.0"."""
        texts = [f"{s:.1f}" for s in self.spacing]
        return texts[0] if len(set(texts)) == 1 else " x ".join(texts)

    def orientation(self) -> str:
        """Where i, j and k lead, such as "LPS", and the angle to the body's axes where there is one."""
        axes = self.ijkToRas[:3, :3] / self.spacing
        along = np.abs(axes).argmax(axis=0)
        letters = "".join(AXIS_LETTERS[row][int(axes[row, column] > 0)] for column, row in enumerate(along))
        angle = float(np.degrees(np.arccos(np.clip(np.abs(axes).max(axis=0).min(), 0, 1))))
        return letters if angle < SMALLEST_ANGLE else f"{letters} {angle:.0f} deg"


def rasFromLps(position) -> np.ndarray:
    """(3,) RAS mm of a position in LPS mm; the same function also goes back."""
    return np.asarray(position, dtype=float) * LPS_FROM_RAS


def positionText(positionRas) -> str:
    """A position for people: whole millimeters with the letter of the side, such as "L 32, A 12, S 40"."""
    letters = [sides[0] if value >= 0 else sides[1] for value, sides in zip(positionRas, ("RL", "AP", "SI"), strict=True)]
    return ", ".join(f"{letter} {abs(value):.0f}" for letter, value in zip(letters, positionRas, strict=True))


def isMoved(volumeNode) -> bool:
    """Whether the volume is under a transform."""
    return volumeNode.GetParentTransformNode() is not None


def isMovedNonlinearly(volumeNode) -> bool:
    """Whether a transform bends the volume, so that no grid can describe it."""
    transform = volumeNode.GetParentTransformNode()
    return transform is not None and not transform.IsTransformToWorldLinear()


def worldGrid(volumeNode) -> WorldGrid:
    """The grid of a volume in world coordinates, with its linear parent transforms applied and slight shear taken out."""
    return _straightened(_storedGrid(volumeNode))


def shear(volumeNode) -> float:
    """The largest cosine between two voxel axes of a volume in the world; 1 where they span no space."""
    axes = _storedGrid(volumeNode).ijkToRas[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(lengths).all() or lengths.min() == 0:
        return 1.0
    cosines = np.abs((axes / lengths).T @ (axes / lengths))
    return float(cosines[np.triu_indices(3, 1)].max())


def _storedGrid(volumeNode) -> WorldGrid:
    ijkToRas = _ijkToRas(volumeNode)
    transform = volumeNode.GetParentTransformNode()
    if transform is not None:
        ijkToRas = _matrixToWorld(transform) @ ijkToRas
    return WorldGrid(tuple(volumeNode.GetImageData().GetDimensions()), ijkToRas)


def copyInWorld(volumeNode):
    """A copy outside the scene with linear transforms hardened; it shares the voxels."""
    voxels = vtk.vtkImageData()
    voxels.ShallowCopy(volumeNode.GetImageData())
    copy = type(volumeNode)()
    copy.SetName(Names.nameOf(volumeNode))
    copy.SetAndObserveImageData(voxels)
    copy.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(worldGrid(volumeNode).ijkToRas))
    return copy


def isFinite(grid: WorldGrid) -> bool:
    """Whether position, spacing and direction are numbers."""
    return bool(np.isfinite(grid.ijkToRas).all())


def isRectangular(grid: WorldGrid) -> bool:
    """Whether the voxel axes are at right angles, as all file formats in use need it; not where they are no numbers."""
    if not isFinite(grid) or np.linalg.matrix_rank(grid.ijkToRas[:3, :3]) < 3:
        return False
    axes = grid.ijkToRas[:3, :3] / grid.spacing
    return bool(np.allclose(axes.T @ axes, np.eye(3), atol=limits.LARGEST_SHEAR))


def _straightened(grid: WorldGrid) -> WorldGrid:
    """The grid with the nearest axes at right angles around the same center, as the engine reads a file with slight shear."""
    if not np.isfinite(grid.ijkToRas).all() or not isRectangular(grid):
        return grid
    axes = grid.ijkToRas[:3, :3] / grid.spacing
    if np.abs(axes.T @ axes - np.eye(3)).max() <= limits.SMALLEST_SHEAR:
        return grid
    left, _values, right = np.linalg.svd(axes)
    middle = (np.array(grid.size) - 1) / 2
    ijkToRas = np.eye(4)
    ijkToRas[:3, :3] = left @ right * grid.spacing
    ijkToRas[:3, 3] = grid.ijkToRas[:3, 3] + (grid.ijkToRas[:3, :3] - ijkToRas[:3, :3]) @ middle
    return WorldGrid(grid.size, ijkToRas)


def isSameGrid(first: WorldGrid, second: WorldGrid) -> bool:
    """Equal size, spacing, origin and direction within the tolerances above."""
    if first.size != second.size or not np.allclose(first.spacing, second.spacing, rtol=0, atol=limits.SPACING_TOLERANCE_MM):
        return False
    limit = min(limits.ORIGIN_TOLERANCE_MM, limits.ORIGIN_TOLERANCE_VOXELS * float(first.spacing.min()))
    directions = [grid.ijkToRas[:3, :3] / grid.spacing for grid in (first, second)]
    return np.allclose(first.ijkToRas[:3, 3], second.ijkToRas[:3, 3], rtol=0, atol=limit) and np.allclose(
        *directions, rtol=0, atol=limits.DIRECTION_TOLERANCE
    )


def overlap(first: WorldGrid, second: WorldGrid) -> float:
    """Fraction (0-1) of the smaller box that lies inside the other one, sampled on 24^3 points."""
    smaller, larger = sorted((first, second), key=lambda grid: np.prod(grid.size) * grid.voxelMl)
    steps = (np.arange(limits.OVERLAP_SAMPLES) + 0.5) / limits.OVERLAP_SAMPLES
    unit = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    indices = unit * np.array(smaller.size) - 0.5
    world = indices @ smaller.ijkToRas[:3, :3].T + smaller.ijkToRas[:3, 3]
    inLarger = (world - larger.ijkToRas[:3, 3]) @ np.linalg.inv(larger.ijkToRas[:3, :3]).T
    inside = np.all((inLarger > -0.5) & (inLarger < np.array(larger.size) - 0.5), axis=1)
    return float(inside.mean())


def _ijkToRas(volumeNode) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _matrixToWorld(transformNode) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    transformNode.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
