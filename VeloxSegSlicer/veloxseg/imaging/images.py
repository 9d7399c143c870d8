"""Images in space: reading, writing, grids and resampling by position.

World coordinates are LPS millimeters. A `Grid` counts its axes (i, j, k), first index fastest, as SimpleITK
does. Arrays that leave this file are (x, y, z): axis 0 is the first index of the grid. On a working grid
these are the world axes.
"""

import errno
import itertools
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from veloxseg.contract import errors, limits
from veloxseg.contract.errors import Hear, VeloxSegError, unheard
from veloxseg.files import replacing
from veloxseg.imaging import axes, reading
from veloxseg.imaging.stored import contradiction

# A voxel of width w is modeled as a Gaussian of this full width at half maximum; going from source width s
# to target width t needs the variance (t^2 - s^2) * FWHM_TO_VARIANCE. Source: Cardoso et al., Scale factor
# point spread function matching, MICCAI 2015.
FWHM_TO_VARIANCE = 1.0 / (8.0 * math.log(2.0))
SMALLEST_BLUR_VOXELS = 0.1
LARGEST_STRETCH = 2e-3
# How far a voxel's border may stand out of the working grid. More than what two grids that are the same differ by, and no
# fraction of a voxel that sizes and spacings in use give.
LARGEST_OVERHANG_VOXELS = 0.12
LARGEST_DRIFT_VOXELS = 1e-3
INCOMPLETE = "the system did not take the whole file, as beyond a quota"


@dataclass(frozen=True)
class Grid:
    """Voxel grid: `size` (i, j, k), `spacing` in mm, `origin` of voxel (0, 0, 0) in LPS mm, `direction`
    row-major 3x3."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    @property
    def index_to_world(self) -> np.ndarray:
        """(3, 3) matrix from voxel steps to millimeters."""
        return np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing)

    @property
    def to_world(self) -> np.ndarray:
        """(4, 4) matrix from voxel indices to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.index_to_world, self.origin
        return matrix

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return abs(float(np.linalg.det(self.index_to_world))) / 1000.0

    def world(self, index: np.ndarray) -> np.ndarray:
        """World position (..., 3) in LPS mm of (fractional) voxel indices (..., 3)."""
        return np.asarray(index, dtype=np.float64) @ self.index_to_world.T + np.asarray(self.origin)

    def index(self, world: np.ndarray) -> np.ndarray:
        """Fractional voxel indices (..., 3) of world positions (..., 3) in LPS mm."""
        steps = np.asarray(world, dtype=np.float64) - np.asarray(self.origin)
        return steps @ np.linalg.inv(self.index_to_world).T

    def corners(self) -> np.ndarray:
        """(8, 3) world positions of the outer corners of the corner voxels."""
        ends = [(-0.5, n - 0.5) for n in self.size]
        return self.world(np.array([(i, j, k) for i in ends[0] for j in ends[1] for k in ends[2]]))


def grid_of(image: sitk.Image) -> Grid:
    """The grid of a 3D SimpleITK image."""
    return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def around_center(grid: Grid, direction: np.ndarray) -> Grid:
    """The grid with another direction (3, 3), turned around the center of its box."""
    turned = Grid(grid.size, grid.spacing, (0.0, 0.0, 0.0), tuple(direction.ravel().tolist()))
    middle = (np.asarray(grid.size) - 1) / 2
    origin = grid.world(middle) - turned.world(middle)
    return Grid(grid.size, grid.spacing, tuple(origin.tolist()), turned.direction)


def same_grid(first: Grid, second: Grid) -> bool:
    """Equal size, spacing within 1e-3 mm, direction within 1e-3, origin within 0.1 mm and 5 % of a voxel."""
    origin_limit = min(limits.ORIGIN_TOLERANCE_MM, limits.ORIGIN_TOLERANCE_VOXELS * min(first.spacing))
    return (
        first.size == second.size
        and np.allclose(first.spacing, second.spacing, rtol=0, atol=limits.SPACING_TOLERANCE_MM)
        and np.allclose(first.direction, second.direction, rtol=0, atol=limits.DIRECTION_TOLERANCE)
        and np.allclose(first.origin, second.origin, rtol=0, atol=origin_limit)
    )


def straight(grid: Grid) -> Grid:
    """The grid, or where `same_grid` would take its directions for those of the world, the grid along these around the same
    center."""
    directions = np.reshape(grid.direction, (3, 3))
    along = np.round(directions)
    if np.array_equal(along, directions) or not np.allclose(along, directions, rtol=0, atol=limits.DIRECTION_TOLERANCE):
        return grid
    return around_center(grid, along)


def working_grid(reference: Grid, spacing: Sequence[float]) -> Grid:
    """The grid the network works on: axes along the LPS world axes, `spacing` (x, y, z) in mm.

    It is centered on the reference and covers the bounding box of its voxel corners. Every flip or permutation of the reference's
    array has the same working grid. Whether a voxel or the border between two lies at the center follows from the
    reference's own lengths, so that turning it a little adds voxels on both sides and moves none.
    """
    reference = straight(reference)
    corners = reference.corners()
    low, high = corners.min(axis=0), corners.max(axis=0)
    step = np.asarray(spacing, dtype=np.float64)
    own = np.maximum(np.ceil(_lengths_along_world(reference) / step - LARGEST_OVERHANG_VOXELS), 1)
    added = np.maximum(np.ceil(((high - low) / step - own) / 2 - LARGEST_OVERHANG_VOXELS), 0)
    size = (own + 2 * added).astype(int)
    origin = np.round((low + high) / 2 - (size - 1) / 2 * step, 6)
    return Grid(tuple(size.tolist()), tuple(step.tolist()), tuple(origin.tolist()))


def _lengths_along_world(grid: Grid) -> np.ndarray:
    """(3,) mm: the length of the grid's axis that lies nearest to each world axis."""
    nearness = np.abs(np.reshape(grid.direction, (3, 3)))
    partners = max(itertools.permutations(range(3)), key=lambda order: nearness[range(3), order].sum())
    return (np.asarray(grid.size) * grid.spacing)[list(partners)]


def overlap(first: Grid, second: Grid) -> float:
    """Fraction (0-1) of the smaller of two boxes in space that lies inside the other, sampled on 24^3
    points."""
    volumes = [math.prod(grid.size) * grid.voxel_ml for grid in (first, second)]
    smaller, larger = (first, second) if volumes[0] <= volumes[1] else (second, first)
    steps = (np.arange(limits.OVERLAP_SAMPLES) + 0.5) / limits.OVERLAP_SAMPLES
    unit = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    index = larger.index(smaller.world(unit * np.asarray(smaller.size) - 0.5))
    inside = np.all((index > -0.5) & (index < np.asarray(larger.size) - 0.5), axis=1)
    return float(inside.mean())


def array_of(image: sitk.Image) -> np.ndarray:
    """Copy of the voxels as an (x, y, z) array; SimpleITK itself gives (k, j, i) = (z, y, x)."""
    # np.ascontiguousarray would hand out the view itself where it is contiguous, as for one voxel: memory of the image
    return np.array(sitk.GetArrayViewFromImage(image).transpose(2, 1, 0), order="C")


def image_of(array: np.ndarray, grid: Grid) -> sitk.Image:
    """Image of an (x, y, z) array on a grid."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.transpose(array, (2, 1, 0))))
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


def read(
    source: reading.Source,
    role: str = "input",
    empty: Callable[[np.ndarray], float] = np.min,
    hear: Hear = unheard,
) -> sitk.Image:
    """`read_volume` for a network input, whose voxels are all numbers: see `finite`. Raises INPUT_NAN or INPUT_CONSTANT, too."""
    image = finite(read_volume(source, role, hear), role, empty, hear)
    check_contrast(image, role)
    return image


def read_volume(source: reading.Source, role: str = "input", hear: Hear = unheard) -> sitk.Image:
    """One 3D scalar image, from a file (NRRD, NIfTI, MetaImage) or memory, with its own pixel type and check that it is whole.

    `hear` gets the notes on what is odd about the file. A fourth axis of length one is dropped. Raises INPUT_MISSING,
    INPUT_UNREADABLE, INPUT_KIND or INPUT_GEOMETRY, each with the role's name.
    """
    return _right_angled(_one_volume(reading.read(source, role, hear), role), role, hear)


def _one_volume(image: sitk.Image, role: str) -> sitk.Image:
    if image.GetNumberOfComponentsPerPixel() > 1:
        channels = image.GetNumberOfComponentsPerPixel()
        raise VeloxSegError("INPUT_KIND", role=role, found=f"a color or vector image with {channels} channels")
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = sitk.Extract(image, [*image.GetSize()[:3], 0], [0, 0, 0, 0])
    if image.GetDimension() != 3:
        raise VeloxSegError("INPUT_KIND", role=role, found=f"{image.GetDimension()}-dimensional")
    if "complex" in image.GetPixelIDTypeAsString():
        raise VeloxSegError("INPUT_KIND", role=role, found="an image of complex numbers")
    return image


def _right_angled(image: sitk.Image, role: str, hear: Hear) -> sitk.Image:
    """The image with the nearest directions at right angles and the same center, and a note where they differ.

    Raises INPUT_GEOMETRY for axes that are further from right angles or no unit vectors.
    """
    grid = grid_of(image)
    axes = np.reshape(grid.direction, (3, 3))
    if not np.allclose(np.linalg.norm(axes, axis=0), 1, rtol=0, atol=LARGEST_STRETCH):
        raise contradiction(role, "its voxel spacing and its direction matrix contradict each other")
    shear = float(np.abs(axes.T @ axes - np.eye(3))[np.triu_indices(3, 1)].max())
    if shear <= limits.SMALLEST_SHEAR:
        return image
    degrees = math.degrees(math.asin(min(shear, 1.0)))
    if shear > limits.LARGEST_SHEAR:
        reason = f"its axes are not at right angles but {degrees:.2g} degrees away, as after a gantry tilt"
        raise contradiction(role, reason, remedy="resample it to a rectangular grid first, for example in 3D Slicer")
    left, _, right = np.linalg.svd(axes)
    straight = around_center(grid, left @ right)
    distance = float(np.linalg.norm(straight.corners() - grid.corners(), axis=1).max())
    hear(errors.note("INPUT_SHEAR", role=role, degrees=degrees, distance=distance))
    image = sitk.Image(image)
    image.SetOrigin(straight.origin)
    image.SetDirection(straight.direction)
    return image


def finite(image: sitk.Image, role: str, empty: Callable[[np.ndarray], float], hear: Hear = unheard) -> sitk.Image:
    """The image with `empty(its finite voxels)` in place of voxels that are not a number or infinite, and a note on them.

    Raises INPUT_NAN when these are the most.
    """
    voxels = sitk.GetArrayViewFromImage(image)
    if not np.issubdtype(voxels.dtype, np.floating):
        return image
    is_number = np.isfinite(voxels)
    wrong = voxels.size - int(np.count_nonzero(is_number))
    if wrong == 0:
        return image
    percent = 100 * wrong / voxels.size
    if percent > limits.LARGEST_PERCENT_NAN:
        raise VeloxSegError("INPUT_NAN", role=role, percent=percent)
    value = empty(voxels[is_number])
    hear(errors.note("INPUT_NAN", role=role, count=wrong, percent=percent, value=value))
    filled = sitk.GetImageFromArray(np.where(is_number, voxels, voxels.dtype.type(value)))
    filled.CopyInformation(image)
    return filled


def check_contrast(image: sitk.Image, role: str) -> None:
    """Raises INPUT_CONSTANT."""
    voxels = sitk.GetArrayViewFromImage(image)
    low, high = float(voxels.min()), float(voxels.max())
    if low == high:
        raise VeloxSegError("INPUT_CONSTANT", role=role, value=low)


def write(image: sitk.Image, path: Path, compress: bool = False) -> None:
    """Write an image, all or nothing, in the format of the file's extension.

    Exchange files stay uncompressed: compressing costs more than writing. Raises DISK_FULL or
    OUTPUT_UNWRITABLE.
    """
    with replacing(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=compress)
            # The NIfTI writer passes over a full disk in silence.
            whole = (
                sitk.Hash(sitk.ReadImage(str(temporary))) == sitk.Hash(image)
                if compress
                else temporary.stat().st_size > _byte_count(image)
            )
        except RuntimeError as error:
            raise OSError(_writing_errno(path, image), INCOMPLETE) from error
        if not whole:
            raise OSError(_writing_errno(path, image), INCOMPLETE)


def _byte_count(image: sitk.Image) -> int:
    return image.GetNumberOfPixels() * image.GetNumberOfComponentsPerPixel() * image.GetSizeOfPixelComponent()


def _writing_errno(path: Path, image: sitk.Image) -> int:
    """ITK does not pass on why writing failed; the free space tells a full disk from the rest."""
    free = shutil.disk_usage(Path(path).parent).free
    return errno.ENOSPC if free < _byte_count(image) else errno.EIO


def resample(image: sitk.Image, grid: Grid, interpolation: str = "linear", background: float = 0.0) -> sitk.Image:
    """Bring an image onto a grid by position in space.

    interpolation: "linear" gives float32 and first smooths every axis along which the target is coarser, so
    that thin structures are averaged instead of dropped; "nearest" is for labels and keeps the pixel type.
    Voxels outside the image get `background` (unit of the image).
    """
    if interpolation == "nearest":
        return _resample(image, grid, sitk.sitkNearestNeighbor, background)
    image = sitk.Cast(image, sitk.sitkFloat32)
    if same_grid(grid_of(image), grid):
        return image
    return _resample(_smooth_for(image, grid), grid, sitk.sitkLinear, background)


def _resample(image: sitk.Image, grid: Grid, interpolator: int, background: float) -> sitk.Image:
    return sitk.Resample(
        image,
        grid.size,
        sitk.Transform(),
        interpolator,
        grid.origin,
        grid.spacing,
        grid.direction,
        background,
        image.GetPixelID(),
    )


def blur_variances(source: Grid, target: Grid) -> np.ndarray:
    """(3,) variance in mm^2 to smooth along each source axis before sampling on the target; 0 where not
    coarser.

    The target's voxel width along a source axis is that of its voxel ellipsoid, so rotating a grid changes
    nothing for isotropic voxels and permuting or flipping it changes nothing at all.
    """
    source_axes = np.reshape(source.direction, (3, 3))
    target_in_source = source_axes.T @ np.reshape(target.direction, (3, 3))
    target_width_squared = (target_in_source**2) @ np.asarray(target.spacing) ** 2
    variances = (target_width_squared - np.asarray(source.spacing) ** 2) * FWHM_TO_VARIANCE
    smallest = (SMALLEST_BLUR_VOXELS * np.asarray(source.spacing)) ** 2
    return np.where(variances > smallest, variances, 0.0)


def _smooth_for(image: sitk.Image, grid: Grid) -> sitk.Image:
    variances = blur_variances(grid_of(image), grid)
    if not variances.any():
        return image
    return sitk.DiscreteGaussian(image, variances.tolist(), axes.LARGEST_KERNEL_VOXELS, [axes.KERNEL_ERROR] * 3, True)


def on_grid(image: sitk.Image, grid: Grid, background: float = 0.0) -> np.ndarray:
    """`resample` with linear interpolation as a float32 (x, y, z) array of `grid`, faster where the axes are parallel."""
    source = straight(grid_of(image))
    change = None if same_grid(source, grid) else _axis_change(source, grid)
    if change is None:
        return array_of(resample(image, grid, background=background))
    matrices, order = change
    voxels = sitk.GetArrayViewFromImage(image).astype(np.float32)
    voxels -= background
    result = axes.multiply(voxels, matrices[::-1]).transpose(2, 1, 0).transpose(order)
    result = np.ascontiguousarray(result)
    result += background
    return result


@lru_cache(maxsize=4)
def _axis_change(source: Grid, target: Grid) -> tuple[list[np.ndarray], np.ndarray] | None:
    """A matrix for each axis of `source`, and the order in which these are the axes of `target`; None for oblique grids."""
    steps = np.linalg.inv(source.index_to_world) @ target.index_to_world
    partners = np.abs(steps).argmax(axis=1)
    across = np.abs(steps)
    across[range(3), partners] = 0
    if len(set(partners)) < 3 or (across @ target.size).max() > LARGEST_DRIFT_VOXELS:
        return None
    first, variances = source.index(np.asarray(target.origin)), blur_variances(source, target)
    matrices = []
    for axis, partner in enumerate(partners):
        matrix = axes.sampling(source.size[axis], target.size[partner], first[axis], steps[axis, partner])
        if variances[axis]:
            matrix = matrix @ axes.smoothing(source.size[axis], source.spacing[axis], variances[axis])
        matrices.append(matrix)
    return matrices, np.argsort(partners)


def smooth(array: np.ndarray, grid: Grid, sigma_mm: float) -> np.ndarray:
    """An (x, y, z) map on a grid after a Gaussian of `sigma_mm`; 0 changes nothing."""
    if sigma_mm == 0:
        return array
    sides = zip(grid.size, grid.spacing, strict=True)
    return axes.multiply(array, [axes.smoothing(size, spacing, sigma_mm**2) for size, spacing in sides])


def labels_on_grid(
    class_maps: Iterable[np.ndarray],
    source: Grid,
    target: Grid,
    values: Sequence[int],
    progress: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Arg max of class probabilities on another grid, one class in memory at a time.

    class_maps: for every class, background first, an (x, y, z) float array on `source`. values: label value
    of each class. Returns a uint8 (x, y, z) array on `target`. Ties go to the earlier class. `progress` is
    called after each class.
    """
    best = np.full(target.size, -np.inf, dtype=np.float32)
    labels = np.zeros(target.size, dtype=np.uint8)
    for value, class_map in zip(values, class_maps, strict=True):
        current = map_on_grid(class_map, source, target)
        better = current > best
        labels[better] = value
        np.maximum(best, current, out=best)
        progress()
    return labels


def map_on_grid(array: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """One (x, y, z) probability map on another grid as float32; 0 outside."""
    target = straight(target)
    change = None if same_grid(source, target) else _axis_change(source, target)
    if change is None:
        return array_of(resample(image_of(array.astype(np.float32, copy=False), source), target))
    matrices, order = change
    return np.ascontiguousarray(axes.multiply(array, matrices).transpose(order)).clip(0, 1)
