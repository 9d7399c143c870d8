"""Auto-configuration: what a data set is like (its fingerprint) -> how VeloxSeg sees it (a plan).

Pure functions of numbers. `prepare.py` suggests the patch by them, `train.py` and the nnU-Net trainer build the network by them:
no patch, token, window or group size is typed by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf, isfinite, log, log2, prod
from typing import TYPE_CHECKING, TypeVar

from veloxseg.networks.config import FINE_TOKENS, N_STAGES, PATCH_SIZES, VeloxSegConfig, token_step

if TYPE_CHECKING:
    from training.networks import BaselineConfig

Network = TypeVar("Network", VeloxSegConfig, "BaselineConfig")

PUBLISHED = VeloxSegConfig(input_size=(96, 96, 96), patch_size=4, in_ch=(1, 1), depths=(1, 1, 1, 1), conv_drop=0.1)
"""As published for AutoPET. Windows follow the patch: 128 x 128 x 64 has those of HECKTOR as published."""
MOST_VOXELS = {2: 512**2, 3: 128 * 128 * 64}
"""Of a patch with the published tokens, by its axes; for volumes HECKTOR's, the largest patch of the paper."""
MOST_PATCHES, FEWEST_PATCHES = 4, 2
"""Of a batch: as published, and where the patch becomes smaller instead."""
PUBLISHED_GROUPS = (4, 8, 8, 16)
GROUPED = 4 * FINE_TOKENS[3]
"""Tokens times images up to which the published groups stand: the four images of BraTS on the largest patch."""
MEMORY_GIB = 8.0
"""What is planned for when nothing is said."""
FIXED_GIB = 0.8
"""Of a training process before its first patch."""
KIB_PER_TOKEN, KIB_PER_VOXEL = 6.5, 0.04
"""Of a step, per token and branch, and per voxel and output channel (classes, and the images that the teachers draw)."""


@dataclass(frozen=True)
class Fingerprint:
    """What a plan follows from. Raises ValueError with one sentence for numbers that no data set has."""

    shape: tuple[int, ...]
    """Median voxels per axis at the working spacing; three axes for volumes, two for photos and slices."""
    spacing: tuple[float, ...]
    """Millimeters per voxel and axis."""
    in_ch: tuple[int, ...]
    """Channels of every modality branch, see `branches`."""
    n_classes: int = 2
    """With the background."""
    memory_gib: float = MEMORY_GIB
    """Of the device that trains."""

    def __post_init__(self) -> None:
        if len(self.shape) not in MOST_VOXELS or len(self.spacing) != len(self.shape):
            raise ValueError(f"two or three axes are planned for, got the shape {self.shape} and the spacing {self.spacing}")
        for name in ("shape", "spacing", "in_ch", "memory_gib"):
            values = getattr(self, name)
            values = values if isinstance(values, tuple) else (values,)
            if not values or not all(isfinite(value) and value > 0 for value in values):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True)
class Plan:
    """The network with its patch, tokens, windows and groups, and the patches of a batch."""

    network: VeloxSegConfig
    batch_size: int


def plan(data: Fingerprint, base: VeloxSegConfig = PUBLISHED) -> Plan:
    """The plan for a data set. base: the rest of the network's settings, such as its widths, for as many axes.

    Raises ValueError with one sentence when the memory isn't enough for the smallest patch.
    """
    share, before, needed = 1.0, None, inf
    while (patch := largest_patch(data.shape, data.spacing, share)) != before:
        network = fitted(base, patch, data.in_ch, data.n_classes)
        patches = int((data.memory_gib - FIXED_GIB) / patch_gib(network))
        if patches >= FEWEST_PATCHES:
            return Plan(network, min(patches, MOST_PATCHES))
        needed = min(needed, FIXED_GIB + FEWEST_PATCHES * patch_gib(network))
        share, before = share / 2, patch
    raise ValueError(f"{data.memory_gib:g} GiB of memory aren't enough for any patch; {needed + 0.05:.1f} GiB would do")


def largest_patch(shape: Sequence[int], spacing: Sequence[float], share: float = 1.0) -> tuple[int, ...]:
    """The patch for volumes or slices of this median shape, axes in their order.

    It grows on the axis on which it is shortest in mm, up to the shape and to `share` of the voxels that are planned for. Tokens
    are the finest of which one patch can hold a whole median case.
    """
    axes = len(shape)
    most = {size: share * FINE_TOKENS[axes] * size**axes for size in PATCH_SIZES[:-1]}
    tokens = next((size for size in most if prod(shape) <= most[size]), PATCH_SIZES[-1])
    room = most.get(tokens, share * MOST_VOXELS[axes])
    step = token_step(tokens)
    patch, ends = [step] * axes, [ceil(n / step) * step for n in shape]
    # an instance norm needs two voxels on the deepest grid
    longest = max(range(axes), key=lambda axis: shape[axis] * spacing[axis])
    patch[longest], ends[longest] = 2 * step, max(ends[longest], 2 * step)

    def can_grow(axis: int) -> bool:
        return patch[axis] < ends[axis] and prod(patch) // patch[axis] * (patch[axis] + step) <= room

    while growing := [axis for axis in range(axes) if can_grow(axis)]:
        patch[min(growing, key=lambda axis: patch[axis] * spacing[axis])] += step
    return tuple(patch)


def fitted(base: Network, patch: tuple[int, ...], in_ch: tuple[int, ...], n_classes: int) -> Network:
    """The network for patches of a size: tokens and windows that divide it, and groups for its tokens and images.

    base: VeloxSeg, whose settings that somebody chose stay, or a baseline, which needs the sizes alone.
    Raises ValueError with one sentence that names the next sizes that work.
    """
    network = base.resized(patch, in_ch=in_ch, n_classes=n_classes)
    if not isinstance(network, VeloxSegConfig) or network.min_dim_group != PUBLISHED_GROUPS:
        return network
    return replace(network, min_dim_group=tuple(group_channels(network, stage) for stage in range(N_STAGES)))


def group_channels(network: VeloxSegConfig, stage: int) -> int:
    """Channels per group of a stage (0-based): as published, or as many more as the logarithm of its tokens and images asks for.

    The bound of Johnson and Lindenstrauss, on which the paper bases groups, grows with that logarithm.
    """
    logarithm = log(max(2, sum(network.in_ch) * prod(network.grid(stage))))
    needed = 2 ** ceil(log2(PUBLISHED_GROUPS[0] * logarithm / log(GROUPED)))
    return min(max(PUBLISHED_GROUPS[stage], needed), network.conv_channels(stage))


def branches(groups: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """Channels of every modality branch: one branch per group of images, or one for all when groups differ in size."""
    sizes = tuple(map(len, groups))
    return sizes if len(set(sizes)) == 1 else (sum(sizes),)


def patch_gib(network: VeloxSegConfig) -> float:
    """Memory of a training step for each patch of its batch, as measured on a CPU."""
    voxels = prod(network.input_size)
    tokens = voxels // network.patch_size ** len(network.input_size) * (1 + len(network.in_ch))
    return (tokens * KIB_PER_TOKEN + voxels * (network.n_classes + sum(network.in_ch)) * KIB_PER_VOXEL) / 2**20
