"""Sliding windows: a network with a fixed input size over a volume of any size.

Volumes are (C, x, y, z) tensors. The weights of windows are those of MONAI's sliding window, as is the plan.

Processor cores work on windows of their own instead of sharing every operation: threads that wait for each other
inside operations cost more than they bring as soon as another program needs a core.
"""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch

from veloxseg import parallel
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.windows_plan import WindowPlan
from veloxseg.inference.progress import Listener

GAUSSIAN_SIGMA = 0.125  # of the window's length, as MONAI's default
SMALLEST_WEIGHT = 1e-3
LARGEST_BATCH = 8  # windows that a GPU gets at once; more fill its memory without using it better
MEMORY_SHARE = 0.5  # of the GPU's free memory
SAMPLE_STEP = 16
BACKGROUND = 20.0  # how far the logit of class 0 lies above the others in a window that is empty

SILENT = Listener()

Network = Callable[[torch.Tensor], torch.Tensor]


class Empty(NamedTuple):
    """What a channel shows where nothing is: its value, and how far above or below that still counts as nothing."""

    value: float
    tolerance: float = 0.0


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


def pad_to_window(volume: torch.Tensor, plan: WindowPlan, empty: Sequence[Empty]) -> tuple[torch.Tensor, list[slice]]:
    """Grow axes that are shorter than the window, equally on both sides, an odd voxel at the end.

    Returns the padded volume and the slices (x, y, z) that cut the original out of it.
    """
    size = plan.padded(volume.shape[1:])
    missing = [length - own for length, own in zip(size, volume.shape[1:], strict=True)]
    inner = [slice(gap // 2, gap // 2 + own) for gap, own in zip(missing, volume.shape[1:], strict=True)]
    if not any(missing):
        return volume, inner
    values = [channel.value for channel in empty]
    padded = torch.tensor(values, dtype=volume.dtype).reshape(-1, 1, 1, 1).repeat(1, *size)
    padded[(slice(None), *inner)] = volume
    return padded, inner


def sliding_window(
    network: Network,
    volume: torch.Tensor,
    plan: WindowPlan,
    empty: Sequence[Empty],
    outputs: int,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Logits (outputs, x, y, z) of a whole volume (C, x, y, z), float32 on the CPU. See `slabs`."""
    logits = torch.empty((outputs, *volume.shape[1:]), dtype=torch.float32)
    for place, slab in slabs(network, volume, plan, empty, outputs, device):
        missing = outputs - len(slab)
        logits[:missing, place] = 0
        logits[missing:, place] = slab
    return logits


@torch.no_grad()
def slabs(
    network: Network,
    volume: torch.Tensor,
    plan: WindowPlan,
    empty: Sequence[Empty],
    outputs: int,
    device: torch.device | str = "cpu",
    listener: Listener = SILENT,
    workers: int | None = None,
    batch: int | None = None,
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Logits of a whole volume in slabs, each as soon as it is final. Only one slab as thick as a window is in memory.

    Windows are added up in the order of the plan whoever computed them: the result is the same bit by bit.

    Args:
        network: (B, C, *window) on `device` -> (B, K, *window), called from several threads. K is `outputs`, or one less where it
            has a true attribute `relative`: its logits are those minus the ones of class 0, which is left out.
        volume: (C, x, y, z).
        plan: where windows lie.
        empty: one per channel. Volumes smaller than the window are padded with its value, and windows that hold nothing else, up
            to the tolerance, are not computed but count as background: no voxel of a body lies in one.
        outputs: classes.
        device: of the network and of the slabs.
        listener: its `progress` is called before the first and after every window, its `cancelled` between two windows, both in
            the caller's thread.
        workers: windows that are computed at the same time; on the CPU by default one for every thread of torch, and these and
            the caller have one thread each then; elsewhere one.
        batch: windows that a worker computes at once; by default as many as half of the GPU's free memory takes.

    Yields:
        Slice of x and (K, its x, y, z), float32 on `device`, to be used before the next is asked for.

    Raises:
        VeloxSegError: CANCELLED.
    """
    padded, inner = pad_to_window(volume.float(), plan, empty)
    window, starts, corners = plan.size, plan.starts(padded.shape[1:]), plan.corners(padded.shape[1:])
    computing = Computing(network, padded, window, empty, outputs, torch.device(device))
    weights = importance(window, plan.blend).to(device)
    sums = torch.zeros((outputs - computing.first, window[0], *padded.shape[2:]), device=device)
    listener.progress(0, len(corners))
    with contextlib.closing(computing.logits(corners, workers, batch)) as logits:
        done = 0
        for x, end in itertools.pairwise([*starts[0], padded.shape[1]]):
            for y, z in itertools.product(*starts[1:]):
                if listener.cancelled():
                    raise VeloxSegError("CANCELLED")
                sums[:, :, y : y + window[1], z : z + window[2]].addcmul_(next(logits), weights)
                done += 1
                listener.progress(done, len(corners))
            for plane in range(end - x):
                sums[:, plane] /= weight_sums(weights, starts, x + plane, padded.shape[2:])
            final = slice(inner[0].start, min(inner[0].stop, end - x))
            yield slice(x, x + final.stop - final.start), sums[(slice(None), final, *inner[1:])]
            for plane in range(window[0]):
                sums[:, plane] = sums[:, plane + end - x] if plane + end - x < window[0] else 0


def weight_sums(weights: torch.Tensor, starts: Sequence[Sequence[int]], x: int, size: Sequence[int]) -> torch.Tensor:
    """Sum of the weights of all windows in one plane of the volume, (y, z) of `size`.

    starts: first voxels of the windows on the axes x, y, z; along each the windows can be added up by themselves.
    """
    sums = torch.stack([weights[x - start] for start in starts[0] if 0 <= x - start < len(weights)]).sum(0)
    for axis, length in enumerate(size):
        spread = sums.new_zeros([*sums.shape[:axis], length, *sums.shape[axis + 1 :]])
        for start in starts[axis + 1]:
            spread.narrow(axis, start, sums.shape[axis]).add_(sums)
        sums = spread
    return sums


class Computing:
    """The windows of one volume through a network. `first` is the first class that the network tells apart."""

    def __init__(
        self,
        network: Network,
        volume: torch.Tensor,
        window: Sequence[int],
        empty: Sequence[Empty],
        outputs: int,
        device: torch.device,
    ) -> None:
        self.first = int(getattr(network, "relative", False))
        self._network, self._volume, self._window, self._device = network, volume, window, device
        self._empty = [(channel.value - channel.tolerance, channel.value + channel.tolerance) for channel in empty]
        logits = torch.zeros(outputs)
        logits[0] = BACKGROUND
        relative = logits[self.first :] - BACKGROUND * self.first
        self._background = relative.view(-1, 1, 1, 1).expand(-1, *window).to(device)

    def logits(self, corners: Sequence[tuple[int, ...]], workers: int | None, batch: int | None) -> Iterator[torch.Tensor]:
        """(K, *window) of every window, in order. While several work, operations of the caller have one thread, too."""
        workers = workers or (torch.get_num_threads() if self._device.type == "cpu" else 1)
        batch = batch or self._batch_size(corners)
        tasks = [corners[first : first + batch] for first in range(0, len(corners), batch)]
        workers = min(workers, len(tasks))
        if workers == 1:
            for task in tasks:
                yield from self._compute(task)
            return
        waiting = deque()
        with parallel.pool(workers) as pool:
            for task in tasks:
                waiting.append(pool.submit(self._compute, task))
                # the next one lies ready for whoever is free first
                if len(waiting) > workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()

    def _batch_size(self, corners: Sequence[tuple[int, ...]]) -> int:
        if self._device.type != "cuda" or len(corners) == 1:
            return 1
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        self._run([self._patch(corners[0])])
        needed = torch.cuda.max_memory_allocated(self._device) - before
        free, _ = torch.cuda.mem_get_info(self._device)
        return min(max(int(MEMORY_SHARE * free / needed), 1), LARGEST_BATCH)

    def _compute(self, corners: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
        patches = [self._patch(corner) for corner in corners]
        empty = [self._is_empty(patch) for patch in patches]
        filled = [patch for patch, nothing in zip(patches, empty) if not nothing]
        computed = iter(self._run(filled) if filled else ())
        return [self._background if nothing else next(computed) for nothing in empty]

    def _patch(self, corner: tuple[int, ...]) -> torch.Tensor:
        place = (slice(first, first + length) for first, length in zip(corner, self._window, strict=True))
        return self._volume[(slice(None), *place)].contiguous()

    def _is_empty(self, patch: torch.Tensor) -> bool:
        # few voxels tell most windows apart
        few = patch[(slice(None), *[slice(None, None, SAMPLE_STEP)] * 3)]
        return self._is_padding(few) and self._is_padding(patch)

    def _is_padding(self, patch: torch.Tensor) -> bool:
        return all(low <= channel.min() and channel.max() <= high for channel, (low, high) in zip(patch, self._empty))

    def _run(self, patches: Sequence[torch.Tensor]) -> torch.Tensor:
        """(B, K, *window) on the device; a GPU still works on it when this returns."""
        images = patches[0][None] if len(patches) == 1 else torch.stack(list(patches))
        if self._device.type == "cuda":
            images = images.pin_memory().to(self._device, non_blocking=True)
        with torch.inference_mode():
            return self._network(images.to(self._device)).float()
