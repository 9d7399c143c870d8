"""A smooth, lopsided solid with a known volume, sampled on any grid: the geometry proof of the pipeline.

The solid is three separate ellipsoids of different size that no mirror, turn or axis swap maps onto themselves. The
image crosses half of its contrast exactly on the surface, so a threshold at `level` is a perfect network: what it
loses on the way through the pipeline is the fault of the geometry alone.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from .fields import IDENTITY, PhantomGrid, rotation

# Center, half axes (both as parts of the size of the solid) and turn in degrees about x, y, z.
PARTS = (
    ((-0.08, 0.04, -0.06), (0.33, 0.21, 0.25), (15, -20, 35)),
    ((0.30, -0.20, 0.22), (0.15, 0.11, 0.13), (-30, 10, 20)),
    ((0.20, 0.29, 0.16), (0.11, 0.13, 0.09), (0, 25, -40)),
)


@dataclass(frozen=True)
class Solid:
    """Three ellipsoids in the world. `center` and `size` (x, y, z) in mm; it stays inside +- size / 2."""

    center: tuple
    size: float

    @property
    def volume_mm3(self):
        return float(sum(4 / 3 * np.pi * np.prod(half) for _c, half, _t in PARTS) * self.size**3)

    def distance(self, points):
        """First-order distance to the surface in mm, negative inside, of world points (..., 3) in mm."""
        points = (np.asarray(points, dtype=float) - np.asarray(self.center)) / self.size
        nearest = np.full(points.shape[:-1], np.inf)
        for center, half, turn in PARTS:
            local = ((points - np.asarray(center)) @ rotation(turn)) / np.asarray(half)
            radius = np.sqrt((local**2).sum(axis=-1))
            slope = np.sqrt(((local / np.asarray(half)) ** 2).sum(axis=-1))
            # The factor is exact on the surface; near the middle of an ellipsoid the slope vanishes.
            away = (radius - 1) * np.minimum(radius / np.maximum(slope, 1e-6), max(half))
            nearest = np.minimum(nearest, away)
        return nearest * self.size

    def inside(self, points):
        """True where world points (..., 3) in mm lie in the solid; exact."""
        points = (np.asarray(points, dtype=float) - np.asarray(self.center)) / self.size
        result = np.zeros(points.shape[:-1], bool)
        for center, half, turn in PARTS:
            local = ((points - np.asarray(center)) @ rotation(turn)) / np.asarray(half)
            result |= (local**2).sum(axis=-1) <= 1
        return result


@dataclass(frozen=True)
class ShapeCase:
    """image: float32 from background to foreground; mask: uint8 truth on the same grid; level: the surface value."""

    image: sitk.Image
    mask: sitk.Image
    solid: Solid
    level: float


def solid_in(grid: PhantomGrid, part: float = 0.8) -> Solid:
    """A solid in the middle of a grid; its size is `part` of the shortest side of the grid."""
    middle = grid.world((np.asarray(grid.size) - 1) / 2)
    return Solid(tuple(float(v) for v in middle), float(part * min(np.multiply(grid.size, grid.spacing))))


def sample_shape(
    spacing,
    size,
    direction=IDENTITY,
    origin=(0.0, 0.0, 0.0),
    solid=None,
    background=0.0,
    foreground=100.0,
    edge_mm=None,
    supersample=3,
) -> ShapeCase:
    """Sample a solid on a grid that may be oblique, flipped and anisotropic.

    spacing, size, origin: (x, y, z) as in SimpleITK, mm, voxels, mm; direction: 9 numbers, row by row.
    solid: the object, by default one that fits the grid; edge_mm: half width of the soft edge, by default the largest
    spacing. A voxel of the mask is 1 when at least half of its supersample^3 sub-voxels lie in the solid.
    """
    grid = PhantomGrid(
        tuple(int(n) for n in size),
        tuple(float(s) for s in spacing),
        tuple(float(o) for o in origin),
        tuple(float(d) for d in direction),
    )
    solid = solid or solid_in(grid)
    edge = float(edge_mm or max(grid.spacing))
    k, j, i = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    index = np.stack([i, j, k], axis=-1)
    distance = solid.distance(grid.world(index))
    # Straight across the edge zone, so that linear resampling keeps the surface where it is.
    image = np.clip(0.5 - 0.25 * distance / edge, 0.0, 1.0).astype(np.float32)
    mask = (distance <= 0).astype(np.uint8)
    border = np.abs(distance) < 2.0 * np.linalg.norm(grid.spacing)
    steps = (np.arange(supersample) + 0.5) / supersample - 0.5
    share = np.zeros(int(border.sum()))
    for offset in np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3):
        share += solid.inside(grid.world(index[border] + offset))
    mask[border] = share >= 0.5 * supersample**3
    image = background + (foreground - background) * image
    return ShapeCase(grid.to_image(image), grid.to_image(mask), solid, 0.5 * (background + foreground))
