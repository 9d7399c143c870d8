"""Hyper-parameters of VeloxSeg (specification section 1) and the checks that a set of them must pass."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from math import ceil, floor, log2, prod

from torch import nn

N_STAGES = 4
PUBLISHED_WINDOWS = (3, 6, 3, 3)
"""Voxels per axis of the smallest window of every stage, on the published cube of 96."""
PATCH_SIZES = (1, 2, 4)
"""Voxels per token and axis that are chosen from; 4 is published."""
FINE_TOKENS = {2: 32**2, 3: 32 * 32 * 16}
"""By axes of the image: tokens up to which they are finer than the published ones. In volumes as many as HECKTOR's patch has."""
ACTIVATIONS = {"GELU": nn.GELU, "ReLU": nn.ReLU, "LeakyReLU": nn.LeakyReLU, "SiLU": nn.SiLU}


@dataclass(frozen=True)
class VeloxSegConfig:
    """Constructor arguments of `VeloxSeg`; per-stage entries have four values, sizes follow the axes of the image.

    Raises ValueError with one sentence when the values can't make a network.
    """

    input_size: tuple[int, ...]
    """Voxels of the window that the network sees, one number per axis."""
    patch_size: int
    """Voxels per token and axis; the finest grid is input_size / patch_size."""
    in_ch: tuple[int, ...]
    """Channels of each modality; all equal."""
    n_classes: int = 2
    base_ch: int = 16
    conv_depths: tuple[int, ...] = (1, 1, 1, 1)
    kernel_sizes: tuple[int, ...] = (1, 3, 5)
    min_dim_group: tuple[int, ...] = (4, 8, 8, 16)
    conv_expansion_factor: tuple[int, ...] = (3, 3, 2, 2)
    attn_base_ch: int = 16
    depths: tuple[int, ...] = (2, 2, 2, 2)
    min_big_window_sizes: tuple[tuple[int, ...], ...] = ()
    """One number per axis; empty for what `fitted_windows` gives: the published 3, 6, 3 and 3 on a cube of 96."""
    min_small_window_sizes: tuple[tuple[int, ...], ...] = ()
    """One number per axis; empty for the published 1 on every axis."""
    min_dim_head: tuple[int, ...] = (4, 8, 8, 16)
    scale_factors: tuple[int, ...] = (2, 2, 2, 2)
    num_heads: tuple[int, ...] = (1, 2, 2, 4)
    attn_drop: float = 0.1
    proj_drop: float = 0.1
    drop_path: float = 0.0
    ffn_expansion_ratio: tuple[int, ...] = (3, 3, 2, 2)
    act_layer: str = "GELU"
    """A name of `ACTIVATIONS`."""
    patch_norm: bool = False
    qkv_bias: bool = True
    conv_drop: float = 0.0
    deep_supervision: bool = True
    """Build the three extra heads, used in training only."""
    spatial_dim: int = 3
    """Axes of the image: 3 for volumes, 2 for photos and slices."""
    teachers: bool = True
    """Build the reconstruction decoders, used in training only."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, list):
                value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
                object.__setattr__(self, name, value)
        self._check_types()
        if not self.min_small_window_sizes:
            object.__setattr__(self, "min_small_window_sizes", ((1,) * len(self.input_size),) * N_STAGES)
        if fitted := not self.min_big_window_sizes:
            object.__setattr__(self, "min_big_window_sizes", ((1,) * len(self.input_size),) * N_STAGES)
        self._check_lists()
        self._check_grids()
        if fitted:
            object.__setattr__(self, "min_big_window_sizes", self._fitted())
        self._check_groups()
        for stage in range(N_STAGES):
            self.window_plan(stage)

    def arguments(self) -> dict:
        """The values as plain data (JSON)."""
        return asdict(self)

    def resized(self, input_size: tuple[int, ...], **changes) -> VeloxSegConfig:
        """The same for a window of another size; tokens and windows of attention that were fitted are fitted again."""
        windows = () if self.min_big_window_sizes == self._fitted() else self.min_big_window_sizes
        tokens = self.patch_size
        if tokens == fitted_patch_size(self.input_size):
            tokens = fitted_patch_size(input_size) or tokens
        return replace(self, input_size=input_size, patch_size=tokens, min_big_window_sizes=windows, **changes)

    def _fitted(self) -> tuple[tuple[int, ...], ...]:
        stages = zip(range(N_STAGES), PUBLISHED_WINDOWS, self.scale_factors)
        return tuple(fitted_windows(self.grid(stage), wanted, factor) for stage, wanted, factor in stages)

    def activation(self) -> nn.Module:
        return ACTIVATIONS[self.act_layer]()

    def grid(self, stage: int) -> tuple[int, ...]:
        """Tokens per axis at a stage (0-based)."""
        return tuple(n // self.patch_size // 2**stage for n in self.input_size)

    def conv_channels(self, stage: int) -> int:
        return self.base_ch * 2**stage

    def attn_channels(self, stage: int) -> int:
        return self.attn_base_ch * 2**stage

    def window_plan(self, stage: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """(big, small) window per scale of a stage (0-based); see `plan_windows`."""
        try:
            return plan_windows(
                self.grid(stage),
                self.min_big_window_sizes[stage],
                self.min_small_window_sizes[stage],
                self.scale_factors[stage],
            )
        except ValueError as error:
            raise ValueError(f"stage {stage + 1}: {error}") from None

    def _check_types(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            nested = field.type.startswith("tuple[tuple")
            if field.type.startswith("tuple") and not isinstance(value, tuple):
                raise ValueError(f"{field.name} must be a list, got {value!r}")
            if nested and not all(isinstance(entry, tuple) for entry in value):
                raise ValueError(f"{field.name} must list one window (a size per axis) per stage, got {value!r}")
        for name in ("attn_drop", "proj_drop", "drop_path", "conv_drop"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")

    def _check_lists(self) -> None:
        if self.spatial_dim not in (2, 3) or len(self.input_size) != self.spatial_dim:
            raise ValueError(
                f"spatial_dim must be 2 or 3 with as many numbers in input_size, got spatial_dim {self.spatial_dim} "
                f"and input_size {self.input_size}"
            )
        if not isinstance(self.patch_size, int) or self.patch_size < 1:
            raise ValueError(f"patch_size must be one positive integer, got {self.patch_size!r}")
        if not self.in_ch or min(self.in_ch) < 1 or len(set(self.in_ch)) != 1:
            raise ValueError(
                f"in_ch must list the same positive number of channels for every modality, got {self.in_ch}; "
                "join channels into one modality or repeat one"
            )
        if not self.kernel_sizes or any(k < 1 or k % 2 == 0 for k in self.kernel_sizes):
            raise ValueError(f"kernel_sizes must be odd positive numbers, got {self.kernel_sizes}")
        if self.act_layer not in ACTIVATIONS:
            raise ValueError(f"act_layer must be one of {', '.join(ACTIVATIONS)}, got {self.act_layer!r}")
        if self.n_classes < 2:
            raise ValueError(f"n_classes counts the background too and must be at least 2, got {self.n_classes}")
        for name in (
            "conv_depths",
            "min_dim_group",
            "conv_expansion_factor",
            "depths",
            "min_big_window_sizes",
            "min_small_window_sizes",
            "min_dim_head",
            "scale_factors",
            "num_heads",
            "ffn_expansion_ratio",
        ):
            values = getattr(self, name)
            if len(values) != N_STAGES:
                raise ValueError(f"{name} needs {N_STAGES} entries, one per stage, got {len(values)}")
        for name in (
            "conv_depths",
            "min_dim_group",
            "conv_expansion_factor",
            "depths",
            "min_dim_head",
            "num_heads",
            "ffn_expansion_ratio",
        ):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    def _check_grids(self) -> None:
        step = token_step(self.patch_size)
        if takes(self.input_size, self.patch_size):
            return
        near = " or ".join(str(size) for size in nearest_sizes(self.input_size, step))
        if any(n < step or n % step for n in self.input_size):
            raise ValueError(
                f"every axis of input_size must be a multiple of {step} (patch_size x 8), such as {near}, got {self.input_size}"
            )
        raise ValueError(
            f"input_size {self.input_size} leaves one voxel on the deepest grid, where an instance norm has no meaning; "
            f"{near} would do"
        )

    def _check_groups(self) -> None:
        for stage in range(N_STAGES):
            channels, groups = self.conv_channels(stage), self.conv_channels(stage) // self.min_dim_group[stage]
            if groups < 1 or channels % groups:
                raise ValueError(
                    f"stage {stage + 1}: {channels} channels can't be cut into groups of {self.min_dim_group[stage]}"
                )


def token_step(patch_size: int) -> int:
    """Voxels per axis that one voxel of the deepest grid stands for."""
    return patch_size * 2 ** (N_STAGES - 1)


def takes(input_size: tuple[int, ...], patch_size: int) -> bool:
    """Whether every grid of a window divides, and the deepest holds more than one voxel."""
    step = token_step(patch_size)
    return all(n >= step and n % step == 0 for n in input_size) and prod(input_size) > step ** len(input_size)


def fitted_patch_size(input_size: tuple[int, ...]) -> int | None:
    """Voxels per token and axis for a window: the fewest that leave no more than `FINE_TOKENS`, else the published ones.

    None when neither divides it.
    """
    most = FINE_TOKENS.get(len(input_size), 0)
    for size in PATCH_SIZES:
        is_fine = prod(input_size) <= most * size ** len(input_size)
        if takes(input_size, size) and (is_fine or size == PATCH_SIZES[-1]):
            return size
    return None


def nearest_sizes(input_size: tuple[int, ...], step: int) -> list[tuple[int, ...]]:
    """The next smaller and larger window whose axes are multiples of `step`, two of them on some axis; one if they agree."""
    found = []
    for rounded in (floor, ceil):
        size = [max(1, rounded(n / step)) * step for n in input_size]
        if prod(size) == step ** len(size):
            size[input_size.index(max(input_size))] *= 2
        found.append(tuple(size))
    return sorted(set(found))


def fitted_windows(grid: tuple[int, ...], wanted: int, factor: int = 2) -> tuple[int, ...]:
    """The smallest window for a grid, per axis: the grid cut by `factor` as often as brings its mean side nearest to `wanted`.

    Every scale from it up to the whole grid divides the grid, whatever the sides are, and windows keep the grid's proportions.
    """
    cuts = 0
    while all(n % factor ** (cuts + 1) == 0 for n in grid):
        cuts += 1
    side = sum(map(log2, grid)) / len(grid)
    best = min(range(cuts + 1), key=lambda cut: abs(side - cut * log2(factor) - log2(wanted)))
    return tuple(n // factor**best for n in grid)


def plan_windows(grid, big, small, scale_factor) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Windows of every scale of one stage (specification section 3.5), finest first.

    `grid`, `big` and `small` are in voxels of the stage per axis; each scale multiplies both windows by `scale_factor`
    while the big one fits the grid on every axis. Raises ValueError when none fits or one doesn't divide what holds it.
    """
    if scale_factor < 2:
        raise ValueError(f"scale factor must be at least 2, got {scale_factor}")
    if min(*big, *small) < 1 or len(big) != len(grid) or len(small) != len(grid):
        raise ValueError(f"windows need {len(grid)} positive sizes, got big {big} and small {small}")
    plan = []
    big, small = tuple(big), tuple(small)
    while all(b <= g for b, g in zip(big, grid)):
        if any(g % b for b, g in zip(big, grid)):
            raise ValueError(f"window {big} doesn't divide the grid {tuple(grid)}")
        if any(b % s for b, s in zip(big, small)):
            raise ValueError(f"small window {small} doesn't divide the big window {big}")
        plan.append((big, small))
        big, small = tuple(b * scale_factor for b in big), tuple(s * scale_factor for s in small)
    if not plan:
        raise ValueError(f"window {big} is larger than the grid {tuple(grid)}")
    return plan


def attention_channels(channels: int, n_scales: int, heads: int, min_dim_head: int) -> tuple[int, int]:
    """(C_qk, C_v) of a paired-window attention: C_v is the first multiple of C_qk that holds all channels."""
    c_qk = n_scales * heads * min_dim_head
    return c_qk, ceil(channels / c_qk) * c_qk
