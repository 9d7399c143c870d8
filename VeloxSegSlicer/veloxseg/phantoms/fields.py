"""Grids, smooth random fields and coordinates shared by the phantom generators.

Positions are millimeters in LPS (x to the left, y to the back, z to the head). Arrays are numpy (k, j, i),
so axis 0 runs along z, axis 1 along y and axis 2 along x of an undirected grid.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
FWHM_TO_SIGMA = 1.0 / 2.3548200450309493


@dataclass(frozen=True)
class PhantomGrid:
    """A sampling grid in the order SimpleITK uses: (i, j, k) sizes, mm spacing, position of voxel (0, 0, 0)."""

    size: tuple
    spacing: tuple
    origin: tuple
    direction: tuple = IDENTITY

    @property
    def shape(self):
        """numpy shape (k, j, i)."""
        return tuple(reversed(self.size))

    @property
    def index_to_world(self):
        """3 x 3 matrix that takes an (i, j, k) index step to a step in mm (x, y, z)."""
        return np.asarray(self.direction, dtype=float).reshape(3, 3) * np.asarray(self.spacing, dtype=float)

    def refined(self, factors):
        """The grid whose voxels split each voxel into factors = (along i, along j, along k) equal parts."""
        factors = np.asarray(factors)
        corner_shift = self.index_to_world @ (0.5 / factors - 0.5)
        return PhantomGrid(
            tuple(int(s * f) for s, f in zip(self.size, factors, strict=True)),
            tuple(float(s / f) for s, f in zip(self.spacing, factors, strict=True)),
            tuple(float(v) for v in np.asarray(self.origin) + corner_shift),
            self.direction,
        )

    def world(self, index):
        """World positions (..., 3) in mm of (i, j, k) indices (..., 3)."""
        return np.asarray(index, dtype=float) @ self.index_to_world.T + np.asarray(self.origin)

    def index(self, world):
        """Continuous (i, j, k) indices (..., 3) of world positions (..., 3) in mm."""
        return (np.asarray(world, dtype=float) - np.asarray(self.origin)) @ np.linalg.inv(self.index_to_world).T

    def to_image(self, array):
        """A SimpleITK image of a (k, j, i) array on this grid."""
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image


def centered_grid(size, spacing, center):
    """An axis-aligned grid whose middle lies at `center` (mm)."""
    origin = tuple(float(c - 0.5 * (n - 1) * s) for n, s, c in zip(size, spacing, center, strict=True))
    return PhantomGrid(tuple(size), tuple(float(s) for s in spacing), origin)


class SmoothField:
    """A stationary random field with zero mean and unit deviation, sampled anywhere by trilinear interpolation."""

    def __init__(self, rng, low, high, scale, channels=1):
        """`low`, `high`: (x, y, z) box in mm that is covered; `scale`: correlation length in mm."""
        self.low = np.asarray(low, dtype=np.float32)
        self.step = np.float32(scale / 2.5)
        size = np.ceil((np.asarray(high) - self.low) / self.step).astype(int) + 2
        noise = rng.standard_normal((channels, *size[::-1])).astype(np.float32)
        noise = ndimage.gaussian_filter(noise, (0, 1.25, 1.25, 1.25), mode="wrap")
        self.values = noise / noise.std(axis=(1, 2, 3), keepdims=True)

    def __call__(self, x, y, z, channel=0):
        """Values at positions in mm, any common shape; beyond the box the border value holds."""
        points = np.stack([(z - self.low[2]), (y - self.low[1]), (x - self.low[0])]) / self.step
        return ndimage.map_coordinates(self.values[channel], points, order=1, mode="nearest")


def stretch(coarse, shape):
    """Linear, separable upsampling of a (k, j, i) array so that the corner samples coincide."""
    result = coarse.astype(np.float32)
    for axis, count in enumerate(shape):
        have = result.shape[axis]
        place = np.linspace(0.0, have - 1.0, count)
        left = np.minimum(place.astype(int), max(have - 2, 0))
        weight = (place - left).astype(np.float32)
        weight = weight.reshape([-1 if a == axis else 1 for a in range(result.ndim)])
        right = np.minimum(left + 1, have - 1)
        result = np.take(result, left, axis) * (1 - weight) + np.take(result, right, axis) * weight
    return result


def grid_noise(rng, shape, correlation):
    """Unit-deviation noise (k, j, i), correlated over `correlation` = (k, j, i) voxels, made on a coarse lattice."""
    coarse = [max(2, int(np.ceil(n / max(c, 1.0))) + 1) for n, c in zip(shape, correlation, strict=True)]
    noise = ndimage.gaussian_filter(rng.standard_normal(coarse).astype(np.float32), 0.7, mode="wrap")
    return stretch(noise / noise.std(), shape)


def block_mean(array, factors):
    """Mean over blocks of a (k, j, i) array; `factors` = (along k, along j, along i)."""
    k, j, i = (n // f for n, f in zip(array.shape, factors, strict=True))
    return array.reshape(k, factors[0], j, factors[1], i, factors[2]).mean(axis=(1, 3, 5), dtype=np.float32)


def rotation(degrees_xyz):
    """3 x 3 rotation matrix, turning about x, then y, then z."""
    ax, ay, az = np.deg2rad(degrees_xyz)
    rx = np.array([[1, 0, 0], [0, np.cos(ax), -np.sin(ax)], [0, np.sin(ax), np.cos(ax)]])
    ry = np.array([[np.cos(ay), 0, np.sin(ay)], [0, 1, 0], [-np.sin(ay), 0, np.cos(ay)]])
    rz = np.array([[np.cos(az), -np.sin(az), 0], [np.sin(az), np.cos(az), 0], [0, 0, 1]])
    return rz @ ry @ rx
