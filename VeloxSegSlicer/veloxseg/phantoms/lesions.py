"""Star-shaped lesions with an analytic inside test and a known volume."""

from dataclasses import dataclass

import numpy as np

# Real harmonics of degree 2 and 3 as polynomials of the unit direction (x, y, z), scaled to a peak near 1.
HARMONICS = (
    lambda x, y, z: 2 * x * y,
    lambda x, y, z: 2 * y * z,
    lambda x, y, z: 2 * x * z,
    lambda x, y, z: x * x - y * y,
    lambda x, y, z: 1.5 * z * z - 0.5,
    lambda x, y, z: 5 * x * y * z,
    lambda x, y, z: x * (x * x - 3 * y * y),
    lambda x, y, z: z * (2.5 * z * z - 1.5),
    lambda x, y, z: 2.5 * z * (x * x - y * y),
    lambda x, y, z: y * (3 * x * x - y * y),
)


def sphere_directions(count):
    """Nearly even unit directions (count, 3) on a golden spiral: a quadrature rule with equal weights."""
    number = np.arange(count) + 0.5
    z = 1 - 2 * number / count
    angle = np.pi * (1 + 5**0.5) * number
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=-1)


@dataclass(frozen=True)
class PhantomLesion:
    """One lesion in the world of the PET image.

    `diameter_mm` is the diameter of the ball of equal volume. `core_fraction` > 0 makes the inner part, scaled by
    that factor, cold with uptake `core_suv`; it still belongs to the lesion and to the label.
    """

    center_mm: tuple
    diameter_mm: float
    harmonics: tuple
    site: str
    suv: float
    contrast: float
    core_fraction: float = 0.0
    core_suv: float = 0.0
    hu: float | None = None

    @property
    def volume_ml(self):
        return float(np.pi / 6 * self.diameter_mm**3 / 1000)

    def _relative(self, directions):
        x, y, z = np.moveaxis(directions, -1, 0)
        swell = sum(a * h(x, y, z) for a, h in zip(self.harmonics, HARMONICS, strict=True))
        return np.maximum(1 + swell, 0.35)

    @property
    def base_radius(self):
        """Radius factor that makes the volume, the integral of r^3 / 3 over all directions, that of the ball."""
        mean_cube = float((self._relative(sphere_directions(4000)) ** 3).mean())
        return 0.5 * self.diameter_mm / mean_cube ** (1 / 3)

    @property
    def reach_mm(self):
        """Largest distance of the border from the center."""
        return float(self.base_radius * self._relative(sphere_directions(4000)).max() * 1.01)

    def depth(self, points):
        """Distance from the center over the distance of the border in that direction; <= 1 inside. (..., 3) mm."""
        offset = np.asarray(points) - np.asarray(self.center_mm)
        distance = np.sqrt((offset**2).sum(axis=-1))
        directions = offset / np.maximum(distance, 1e-6)[..., None]
        return distance / (self.base_radius * self._relative(directions))
