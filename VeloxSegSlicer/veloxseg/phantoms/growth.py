"""Growth of an infiltrating tumor on tissue maps, and the push it gives to its surroundings.

Fisher-Kolmogorov: dc/dt = div(D grad c) + rho c (1 - c), with D ten times higher in white than in gray matter and no
diffusion or growth in CSF (Swanson 2000; Jbabdi 2005). Arrays are (k, j, i) on a grid of equal spacing in mm.
Time is in units of 1 / rho, so that `width` = sqrt(D_white / rho) in mm is the only length scale.
"""

import numpy as np

GRAY_RATIO = 0.1


def _between(diffusion, axis):
    """Diffusion coefficient on the faces between neighbors: the harmonic mean, so that CSF blocks the flow."""
    low = np.take(diffusion, range(diffusion.shape[axis] - 1), axis)
    high = np.take(diffusion, range(1, diffusion.shape[axis]), axis)
    return 2 * low * high / np.maximum(low + high, 1e-9)


def grow(white, gray, rate, seed, spacing, width, volume_ml, level, longest=60.0):
    """Logit of the tumor cell density (k, j, i, float32) when the visible part has reached `volume_ml`.

    `white`, `gray`: tissue shares 0..1; `rate`: local growth rate over rho; `seed`: (k, j, i) of the first cells;
    `level`: logit density from which the tumor is visible; `spacing`, `width` in mm; `longest` in units of 1 / rho.
    The logit falls about evenly with the distance from the center, also where the density is saturated.
    """
    tissue = np.clip(white + gray, 0, 1).astype(np.float64)
    diffusion = width**2 * (white + GRAY_RATIO * gray).astype(np.float64)
    faces = [_between(diffusion, axis) / spacing**2 for axis in range(3)]
    step = min(0.1, spacing**2 / (6.5 * width**2))
    reaction = rate * tissue * step
    density = np.zeros(white.shape)
    density[tuple(seed)] = 0.5
    visible = 1 / (1 + np.exp(-level))
    # Cortex shows little edema, so it counts little towards the visible volume.
    worth = (white + 0.3 * gray) * spacing**3 / 1000
    for number in range(int(longest / step)):
        change = reaction * density * (1 - density)
        for axis, face in enumerate(faces):
            flow = face * np.diff(density, axis=axis) * step
            low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
            high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
            change[low] += flow
            change[high] -= flow
        density += change
        if number % 4 == 0 and float(worth[density > visible].sum()) >= volume_ml:
            break
    bounded = np.clip(density, 1e-7, 1 - 1e-9)
    return np.log(bounded / (1 - bounded)).astype(np.float32)


def push(points, center, radius, strength, room):
    """Where the tissue at `points` (..., 3; mm) was before a tumor at `center` pushed it away, as a shift in mm.

    `radius`: mm at which the push is greatest; `strength` 0..1: share of the distance from the center; `room`: (...)
    weight, 0 at the skull. Radial and monotonic for a strength below 1, so tissue never folds over.
    """
    offset = points - np.asarray(center)
    square = (offset**2).sum(axis=-1) / radius**2
    return -offset * (strength * np.exp(-0.5 * square) * room)[..., None]
