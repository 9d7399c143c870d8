"""Sliding windows: a network with a fixed input size over a volume of any size.

Volumes are (C, x, y, z) tensors. The rules (steps, border, padding, weights) are those of MONAI's sliding
window, which the published network was used with; only the blending of several windows at once is left out:
one window at a time.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch

from veloxseg.errors import VeloxSegError

GAUSSIAN_SIGMA = 0.125  # of the window's length, as MONAI's default
SMALLEST_WEIGHT = 1e-3


def plan(volume_size: Sequence[int], window: Sequence[int], overlap: float) -> list[tuple[int, ...]]:
    """First corner of every window, last axis fastest. Every axis of the volume is at least as long as the
    window.

    The step is int(window * (1 - overlap)), at least 1; the last window of an axis is shifted back to end at
    the border.
    """
    starts_per_axis = [
        _axis_starts(size, length, overlap) for size, length in zip(volume_size, window, strict=True)
    ]
    return list(itertools.product(*starts_per_axis))


def _axis_starts(size: int, length: int, overlap: float) -> list[int]:
    step = max(int(length * (1 - overlap)), 1)
    last = size - length
    return [*range(0, last, step), last]


@lru_cache(maxsize=2)
def importance(window: tuple[int, ...], blend: str) -> torch.Tensor:
    """Weight of every voxel of a window when windows are averaged, float32 of the window's shape; not to be changed.

    blend: "constant" gives 1; "gaussian" falls from 1 in the center with a deviation of 1/8 of each axis,
    never below 0.001.
    """
    weights = torch.ones(window, dtype=torch.float32)
    if blend == "constant":
        return weights
    for axis, length in enumerate(window):
        distance = torch.arange(length, dtype=torch.float32) - (length - 1) / 2
        profile = torch.exp(-(distance**2) / (2 * (GAUSSIAN_SIGMA * length) ** 2))
        shape = [1] * len(window)
        shape[axis] = length
        weights = weights * profile.reshape(shape)
    return weights.clamp_min(SMALLEST_WEIGHT)


def pad_to_window(
    volume: torch.Tensor, window: Sequence[int], pad_values: Sequence[float]
) -> tuple[torch.Tensor, list[slice]]:
    """Grow axes that are shorter than the window, equally on both sides, an odd voxel at the end.

    Returns the padded volume and the slices (x, y, z) that cut the original out of it.
    """
    missing = [max(length - size, 0) for size, length in zip(volume.shape[1:], window, strict=True)]
    inner = [slice(gap // 2, gap // 2 + size) for gap, size in zip(missing, volume.shape[1:], strict=True)]
    if not any(missing):
        return volume, inner
    padded_size = [size + gap for size, gap in zip(volume.shape[1:], missing, strict=True)]
    padded = torch.tensor(pad_values, dtype=volume.dtype).reshape(-1, 1, 1, 1).repeat(1, *padded_size)
    padded[(slice(None), *inner)] = volume
    return padded, inner


def count(volume_size: Sequence[int], window: Sequence[int], overlap: float) -> int:
    """Number of windows that `sliding_window` will compute."""
    padded = [max(size, length) for size, length in zip(volume_size, window, strict=True)]
    return len(plan(padded, window, overlap))


def sliding_window(
    network: Callable[[torch.Tensor], torch.Tensor],
    volume: torch.Tensor,
    window: Sequence[int],
    overlap: float,
    blend: str,
    pad_values: Sequence[float],
    outputs: int,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> torch.Tensor:
    """Logits (outputs, x, y, z) of a whole volume (C, x, y, z), float32 on the CPU.

    network: (1, C, *window) on `device` -> (1, outputs, *window). pad_values: one value per channel for
    volumes smaller than the window. `progress(done, total)` is called before the first and after every
    window. Raises CANCELLED as soon as `cancelled()` is true between two windows.

    Sums are kept on the CPU: a window of logits is small beside the network's own work, and the size of the
    image then never decides whether the GPU's memory is enough.
    """
    padded, inner = pad_to_window(volume.float(), window, pad_values)
    starts = plan(padded.shape[1:], window, overlap)
    weights = importance(tuple(window), blend)
    sums = torch.zeros((outputs, *padded.shape[1:]), dtype=torch.float32)
    weight_sums = torch.zeros(padded.shape[1:], dtype=torch.float32)
    progress(0, len(starts))
    with torch.inference_mode():
        for done, start in enumerate(starts, 1):
            if cancelled():
                raise VeloxSegError("CANCELLED")
            place = tuple(slice(first, first + length) for first, length in zip(start, window, strict=True))
            patch = padded[(slice(None), *place)].unsqueeze(0).contiguous().to(device)
            logits = network(patch)[0].float().cpu()
            sums[(slice(None), *place)].addcmul_(logits, weights)
            weight_sums[place] += weights
            progress(done, len(starts))
        sums /= weight_sums
    return sums[(slice(None), *inner)]
