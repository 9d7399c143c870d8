"""Tissue maps of real brains (the MNI152 average, bundled with nilearn) and smooth random anatomy made from them.

Positions are mm in LPS of the MNI space, arrays are (k, j, i). Nothing is downloaded.
"""

import functools

import numpy as np
from scipy import ndimage

from veloxseg.contract.errors import VeloxSegError

from .fields import PhantomGrid, rotation

# Lateral ventricles where the choroid plexus lies: (x, y, z) of one side, half axes, mm.
CHOROID = (((22, 38, 10), (6, 8, 9)), ((15, 22, 19), (5, 12, 4)), ((28, 34, -3), (5, 7, 6)))
WHITE, GRAY, BRAIN, EXTRA = range(4)
VESSEL, PLEXUS, SPOT = 1, 2, 3


@functools.cache
def load_maps():
    """(PhantomGrid, white, gray, brain): shares 0..1 as float32 (k, j, i) at 1 mm. Raises PHANTOM_MAPS without nilearn."""
    try:
        from nilearn import datasets
    except ImportError as error:
        raise VeloxSegError("PHANTOM_MAPS") from error
    images = (
        datasets.load_mni152_wm_template(resolution=1),
        datasets.load_mni152_gm_template(resolution=1),
        datasets.load_mni152_template(resolution=1),
    )
    # nilearn gives (x, y, z) arrays with x to the right and y to the front.
    white, gray, head = (np.ascontiguousarray(np.asarray(m.dataobj, np.float32)[::-1, ::-1].T) for m in images)
    affine, size = images[0].affine, images[0].shape
    last = affine[:3, 3] + np.diag(affine)[:3] * (np.asarray(size) - 1)
    grid = PhantomGrid(tuple(size), (1.0, 1.0, 1.0), (-float(last[0]), -float(last[1]), float(affine[2, 3])))
    brain = (head > 0).astype(np.float32)
    for array in (white, gray):
        array *= brain
        array.setflags(write=False)
    brain.setflags(write=False)
    return grid, white, gray, brain


def sample(array, index_kji, order=1):
    """Values of a (k, j, i) array at (3, ...) continuous (k, j, i) indices; 0 beyond the border."""
    return ndimage.map_coordinates(array, index_kji, order=order, mode="constant", output=np.float32, prefilter=False)


class Anatomy:
    """A smooth invertible map from one head to the MNI space: random velocity field, then an affine map."""

    STEP = 6.0

    def __init__(self, rng, warp_mm, scale, turn_deg, center):
        """`warp_mm`: deviation of the (coarse, fine) velocity; `scale`: (x, y, z); `center`: mm, fixed point."""
        self.scale = tuple(float(rng.uniform(*scale)) for _ in range(3))
        self.turn = tuple(float(rng.uniform(-turn_deg, turn_deg)) for _ in range(3))
        self.flip = bool(rng.random() < 0.5)
        self.center = np.asarray(center, float)
        self.low = self.center - 126
        count = int(252 / self.STEP) + 1
        velocity = np.zeros((3, count, count, count), np.float32)
        for amplitude, length in zip(warp_mm, (34.0, 13.0), strict=True):
            noise = ndimage.gaussian_filter(
                rng.standard_normal(velocity.shape).astype(np.float32), (0, *[length / 2.5 / self.STEP * 1.25] * 3), mode="wrap"
            )
            velocity += amplitude * noise / noise.std()
        # Scaling and squaring: the flow of a smooth velocity never folds.
        self.shift = velocity / 2**5
        lattice = np.stack(np.meshgrid(*[np.arange(count, dtype=np.float32)] * 3, indexing="ij"))
        for _ in range(5):
            places = lattice + self.shift[::-1] / self.STEP
            self.shift = self.shift + np.stack([ndimage.map_coordinates(c, places, order=1, mode="nearest") for c in self.shift])

    def template(self, points):
        """MNI positions (..., 3) of positions (..., 3) of the head, mm."""
        places = np.moveaxis((points - self.low) / self.STEP, -1, 0)[::-1]
        shift = np.stack([ndimage.map_coordinates(c, places, order=1, mode="nearest") for c in self.shift], axis=-1)
        turned = (points + shift - self.center) @ rotation(self.turn).T / np.asarray(self.scale)
        if self.flip:
            turned[..., 0] *= -1
        return turned + self.center


def _tube(rng, array, start, direction, length, radius, bend):
    """Paint a winding tube of `VESSEL` into a uint8 (k, j, i) array; lengths in voxels of 1 mm."""
    reach = int(np.ceil(radius))
    ball = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    ball = ball[(ball**2).sum(1) <= radius**2 + 0.3]
    place = np.asarray(start, float)
    for _ in range(int(length)):
        spots = np.rint(place).astype(int) + ball
        spots = spots[((spots >= 0) & (spots < array.shape)).all(1)]
        array[tuple(spots.T)] = VESSEL
        direction = direction + bend * rng.standard_normal(3)
        direction = direction / np.linalg.norm(direction)
        place = place + direction


def draw_extras(rng, vessels, spots, spot_mm):
    """uint8 (k, j, i) map in MNI space of what is bright without being a tumor: VESSEL, PLEXUS and SPOT.

    `vessels`, `spots`: how many; `spot_mm`: (low, high) radius of white-matter lesions.
    """
    grid, white, gray, brain = load_maps()
    extras = np.zeros(grid.shape, np.uint8)
    fluid = _fluid_places()
    inner = _white_places()
    for _ in range(spots):
        place = inner[int(rng.integers(len(inner)))]
        radius = rng.uniform(*spot_mm) * np.exp(rng.uniform(-0.5, 0.5, 3))
        box = tuple(slice(max(int(p - r) - 1, 0), int(p + r) + 2) for p, r in zip(place, radius, strict=True))
        away = np.meshgrid(
            *[(np.arange(b.start, min(b.stop, n)) - p) / r for b, n, p, r in zip(box, extras.shape, place, radius, strict=True)],
            indexing="ij",
        )
        patch = extras[box]
        patch[(sum(a * a for a in away) < 1) & (white[box] > 0.4)] = SPOT
    for side in (-1, 1):
        for center, half in CHOROID:
            size = rng.uniform(0.5, 1.1)
            index = grid.index(np.array([side * center[0], *center[1:]]) + rng.uniform(-2, 2, 3))[::-1]
            reach = np.asarray(half)[::-1] * size
            box = tuple(slice(int(p - r), int(p + r) + 2) for p, r in zip(index, reach, strict=True))
            away = np.meshgrid(
                *[(np.arange(b.start, b.stop) - p) / r for b, p, r in zip(box, index, reach, strict=True)], indexing="ij"
            )
            patch = extras[box]
            free = (1 - white[box] - gray[box]) > 0.5
            patch[(sum(a * a for a in away) < 1) & free & (rng.random(patch.shape) < 0.75)] = PLEXUS
    for _ in range(vessels):
        start = fluid[int(rng.integers(len(fluid)))]
        direction = rng.standard_normal(3)
        _tube(rng, extras, start, direction / np.linalg.norm(direction), rng.uniform(15, 50), rng.uniform(0.7, 1.5), 0.18)
    radius = rng.uniform(1.2, 2.8)
    for j, k in _sinus_places():
        if rng.random() < 0.97:
            extras[int(k - 1.5 * radius) : int(k) + 1, j, int(98 - radius) : int(99 + radius)] = VESSEL
    extras[brain < 0.5] = 0
    return extras


@functools.cache
def _fluid_places():
    """(n, 3) indices (k, j, i) in the CSF of sulci and fissures."""
    _grid, white, gray, brain = load_maps()
    return np.argwhere((brain > 0.5) & (white + gray < 0.4))[::7]


@functools.cache
def _white_places():
    """(n, 3) indices (k, j, i) in white matter, deep ones three times as often."""
    _grid, white, _gray, brain = load_maps()
    deep = ndimage.distance_transform_edt(brain > 0.5) > 28
    inside = white > 0.8
    return np.concatenate([np.argwhere(inside)[::9], np.argwhere(inside & deep)[::4]])


@functools.cache
def _sinus_places():
    """(j, k) of the upper outline of the brain in the middle plane, where the sagittal sinus runs."""
    grid, _white, _gray, brain = load_maps()
    plane = brain[:, :, 96:101].max(axis=2) > 0.5
    columns = np.flatnonzero(plane.any(axis=0))
    tops = {j: int(np.flatnonzero(plane[:, j])[-1]) for j in columns}
    return tuple((int(j), tops[j]) for j in columns if tops[j] > 75)
