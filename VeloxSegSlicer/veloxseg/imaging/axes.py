"""Smoothing and resampling along the axes of an array, as products with one small matrix for each axis.

Between grids whose axes are parallel, both are the same for every line of voxels along an axis. The matrices are what
SimpleITK makes of unit vectors, so the rules are its own; products are several times faster than its filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

# `veloxseg --help` and the preview of a batch must not wait for torch.
if TYPE_CHECKING:
    import torch

LARGEST_KERNEL_VOXELS = 256
KERNEL_ERROR = 0.001
BLOCK_ROWS = 64  # of a matrix, whose other entries than those near the diagonal are zero


@lru_cache(maxsize=8)
def smoothing(size: int, spacing: float, variance: float) -> np.ndarray:
    """(size, size): a Gaussian of `variance` (mm^2) along `size` voxels `spacing` mm apart; the image goes on constantly.

    Not to be changed."""
    image = _unit_vectors(size)
    image.SetSpacing((spacing, 1.0))
    smooth = sitk.DiscreteGaussian(image, (variance, 0.0), LARGEST_KERNEL_VOXELS, [KERNEL_ERROR] * 2, True)
    return sitk.GetArrayFromImage(smooth).T


def sampling(size: int, new_size: int, first: float, step: float) -> np.ndarray:
    """(new_size, size): linear interpolation at `first`, `first` + `step`, .. in voxels; 0 outside the voxels."""
    last = first + step * (new_size - 1)
    image = _unit_vectors(size)
    samples = sitk.Resample(
        image, (new_size, size), sitk.Transform(2, sitk.sitkIdentity), sitk.sitkLinear, (min(first, last), 0.0), (abs(step), 1.0)
    )
    matrix = sitk.GetArrayFromImage(samples).T
    return matrix if step > 0 else matrix[::-1]


def _unit_vectors(size: int) -> sitk.Image:
    return sitk.GetImageFromArray(np.eye(size, dtype=np.float32))


def multiply(array: np.ndarray, matrices: Sequence[np.ndarray | None]) -> np.ndarray:
    """A new float32 array: (n0, n1, n2) times one (m, n) matrix for each axis; None leaves an axis as it is."""
    import torch

    result = torch.from_numpy(np.array(array, dtype=np.float32))
    # axes that shrink go first
    axes = [axis for axis in range(3) if matrices[axis] is not None]
    for axis in sorted(axes, key=lambda axis: len(matrices[axis]) / matrices[axis].shape[1]):
        result = _along(result, np.ascontiguousarray(matrices[axis]), axis)
    return result.numpy()


def _along(x: torch.Tensor, matrix: np.ndarray, axis: int) -> torch.Tensor:
    import torch

    size = list(x.shape)
    size[axis] = len(matrix)
    result = x.new_empty(size)
    for first in range(0, len(matrix), BLOCK_ROWS):
        rows = matrix[first : first + BLOCK_ROWS]
        part = result.narrow(axis, first, len(rows))
        used = np.flatnonzero(rows.any(axis=0))
        if len(used) == 0:
            part.zero_()
            continue
        start, count = int(used[0]), int(used[-1] - used[0] + 1)
        block, source = torch.from_numpy(np.ascontiguousarray(rows[:, start : start + count])), x.narrow(axis, start, count)
        if axis == 0:
            part.copy_((block @ source.flatten(1)).view(part.shape))
        else:
            part.copy_(block @ source if axis == 1 else source @ block.T)
    return result
