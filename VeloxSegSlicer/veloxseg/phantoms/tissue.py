"""A drawn piece of a brain on T1 MR: a rod of gray matter, thicker in front, in white matter and beside fluid."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

FIELD_MM = (36.0, 50.0, 36.0)
GRAY, WHITE, FLUID = 60.0, 90.0, 15.0
ROD_MM, FLUID_MM = (6.0, 15.0, 6.0), (3.0, 15.0, 4.0)
"""Half axes."""
FLUID_AT_MM = (8.0, 0.0, 4.0)
TAPER = 0.35
"""How much thinner the rod is at its back end, and thicker in front, as a share."""
BLUR_MM, NOISE = 0.6, 1.5


def gray_rod(spacing: Sequence[float], seed: int) -> np.ndarray:
    """Whole numbers as float32 (x, y, z) in LPS, FIELD_MM large; spacing in mm."""
    sizes = [max(round(length / step), 1) for length, step in zip(FIELD_MM, spacing, strict=True)]
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(sizes, spacing, strict=True)]
    place = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    thickness = 1 - TAPER * place[..., 1] / ROD_MM[1]
    across = np.stack([thickness, np.ones_like(thickness), thickness], axis=-1)
    rod = ((place / (np.array(ROD_MM) * across)) ** 2).sum(-1) < 1
    fluid = (((place - FLUID_AT_MM) / FLUID_MM) ** 2).sum(-1) < 1
    values = np.where(rod, GRAY, np.where(fluid, FLUID, WHITE))
    blurred = ndimage.gaussian_filter(values, BLUR_MM / np.array(spacing))
    return np.round(blurred + np.random.default_rng(seed).normal(0, NOISE, values.shape)).astype(np.float32)
