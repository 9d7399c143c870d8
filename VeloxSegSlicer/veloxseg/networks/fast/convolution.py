"""The convolution branch and the decoder for inference (specification 3.2-3.4 and 3.8).

Maps are (B, H, W, D, C): a 1x1x1 convolution is a matrix product and a norm over voxels one pass. A bias that an
instance norm removes again is left out.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..jlc import Down, JLCBlock, Up
from .parts import Frozen, matrix, rows

WIDE_GROUP = 16  # channels from which a group fills the vectors of a convolution


class Convolution(Frozen):
    """A convolution of (B, H, W, D, C), as the plain one would give it, but with channels last.

    Narrow groups with a wide kernel take two neighbors of the last axis as one voxel of twice the channels, where that
    axis is even. That is a fifth more arithmetic, but on groups of twice the width.
    """

    def __init__(self, conv: nn.Conv3d, depth: int) -> None:
        super().__init__()
        self.stride, self.padding, self.groups = conv.stride, conv.padding, conv.groups
        weight, self.folded = conv.weight, False
        if conv.groups > 1 and weight.shape[1] < WIDE_GROUP and weight.shape[-1] >= 5 and depth % 2 == 0:
            self.folded = True
            self.keep("order", fold_order(weight.shape[0], conv.groups).to(weight))
            weight, reach = fold_weight(weight, conv.groups)
            self.padding = (*conv.padding[:2], reach)
        self.keep("weight", weight.contiguous(memory_format=torch.channels_last_3d))
        self.keep("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        if not self.folded:
            return self._convolve(x)
        b, h, w, d, c = x.shape
        # the product with a permutation matrix is a much faster copy than torch's own
        folded = x.view(-1, 2 * c) @ self.order
        y = self._convolve(folded.view(b, h, w, d // 2, 2 * c)).reshape(-1, 2 * c)
        return (y @ self.order.T).view(b, h, w, d, c)

    def _convolve(self, x: Tensor) -> Tensor:
        x = x.permute(0, 4, 1, 2, 3)
        if x.is_cpu and x.dtype == torch.float32 and onednn_convolution_works():
            y = torch.mkldnn_convolution(x, self.weight, self.bias, self.padding, self.stride, (1, 1, 1), self.groups)
        else:
            y = F.conv3d(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
        return y.permute(0, 2, 3, 4, 1)


def fold_order(channels: int, groups: int) -> Tensor:
    """Permutation matrix (2C, 2C) from (voxel of the pair, group, c) to (group, voxel of the pair, c)."""
    place = torch.arange(2 * channels).view(2, groups, -1).transpose(0, 1).flatten()
    return torch.eye(2 * channels)[:, place]


def fold_weight(weight: Tensor, groups: int) -> tuple[Tensor, int]:
    """The kernel (2C, 2c, k, k, k') on pairs of the last axis that does what (C, c, k, k, k) does, and its padding."""
    channels, width, *_, size = weight.shape
    reach = (size // 2 + 1) // 2
    pairs = 2 * reach + 1
    folded = weight.new_zeros(groups, 2, channels // groups, 2, width, *weight.shape[2:4], pairs)
    grouped = weight.unflatten(0, (groups, -1))
    for out in range(2):
        for tap in range(size):
            pair, inside = divmod(out + tap - size // 2, 2)
            folded[:, out, :, inside, :, :, :, pair + reach] = grouped[..., tap]
    return folded.reshape(2 * channels, 2 * width, *weight.shape[2:4], pairs), reach


@cache
def onednn_convolution_works() -> bool:
    """Whether torch has its oneDNN convolution and it agrees with the public one.

    torch itself chooses a slow native convolution for kernels of 3 and batch 1, three times as slow. The operator is
    not documented, so it must prove itself first.
    """
    x, weight = torch.linspace(-1, 1, 250).view(1, 2, 5, 5, 5), torch.linspace(-1, 1, 216).view(4, 2, 3, 3, 3)
    try:
        y = torch.mkldnn_convolution(x, weight, None, (1, 1, 1), (2, 2, 2), (1, 1, 1), 1)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(y, F.conv3d(x, weight, None, 2, 1), atol=1e-5)


class FastJLC(Frozen):
    """`JLCBlock` on (B, H, W, D, C)."""

    def __init__(self, plain: JLCBlock, depth: int) -> None:
        super().__init__()
        self.bare = isinstance(plain.spatial_convs[0], nn.Conv3d)
        convs = [branch if self.bare else branch[0] for branch in plain.spatial_convs]
        self.branches = nn.ModuleList(
            Pointwise(conv) if conv.kernel_size[0] == 1 else Convolution(conv, depth) for conv in convs
        )
        _, expand, self.activation, reduce, _ = plain.channel_conv
        self.keep("expand", matrix(expand))
        self.keep("expand_bias", expand.bias)
        self.keep("reduce", matrix(reduce))
        # the norm between doesn't see a constant, so both biases can come first
        self.keep("bias", reduce.bias + convs[0].bias if self.bare else reduce.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = x + self.bias
        for branch in self.branches:
            # without names for what lies between, its memory serves the next step while it is still in the cache
            h += branch(x) if self.bare else self.activation(instance_norm(branch(x)))
        hidden = self.activation((instance_norm(h).view(-1, h.shape[4]) @ self.expand).add_(self.expand_bias))
        h.view(-1, h.shape[4]).addmm_(hidden, self.reduce)
        return h


class Pointwise(Frozen):
    """A 1x1x1 convolution without its bias on (B, H, W, D, C), groups as blocks of one matrix."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.keep("weight", torch.block_diag(*conv.weight.flatten(1).chunk(conv.groups)).T.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        return (x.view(-1, x.shape[4]) @ self.weight).view(x.shape)


class FastDown(Frozen):
    """`Down` on (B, H, W, D, C)."""

    def __init__(self, plain: Down) -> None:
        super().__init__()
        self.conv = Convolution(plain.down, 1)

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(self.conv(x))


class FastStem(Frozen):
    """The first `Down`: an image (B, C, H, W, D), which has few channels and stays as it is, to (B, h, w, d, C')."""

    def __init__(self, plain: Down) -> None:
        super().__init__()
        self.stride, self.padding = plain.down.stride, plain.down.padding
        self.keep("weight", plain.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(F.conv3d(x, self.weight, None, self.stride, self.padding).movedim(1, 4))


class FastUp(Frozen):
    """`Up` on (B, H, W, D, C): one matrix product, because kernel and stride are equal."""

    def __init__(self, plain: Up) -> None:
        super().__init__()
        self.keep("weight", plain.up.weight.permute(0, 2, 3, 4, 1).flatten(1).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, d, _ = x.shape
        y = (x.view(b * h * w * d, -1) @ self.weight).view(b, h, w, d, 2, 2, 2, -1).permute(0, 1, 4, 2, 5, 3, 6, 7)
        return instance_norm(y.reshape(b, 2 * h, 2 * w, 2 * d, -1))


class FastMixer(Frozen):
    """Modal mixer: (M, B, n, C) in window order to (B, H, W, D, C')."""

    def __init__(self, conv: nn.Conv3d, modalities: int, grid: tuple[int, ...], to_grid: Tensor) -> None:
        super().__init__()
        self.grid = grid
        self.keep("weight", matrix(conv).unflatten(0, (modalities, -1)).contiguous())
        self.keep("to_grid", to_grid)

    def forward(self, maps: Tensor) -> Tensor:
        y = maps[0].flatten(0, 1) @ self.weight[0]
        for one, weight in zip(maps[1:], self.weight[1:]):
            y.addmm_(one.flatten(0, 1), weight)
        return instance_norm(rows(y.view(1, *maps.shape[1:3], -1), self.to_grid).view(-1, *self.grid, y.shape[1]))


class FastHead(Frozen):
    """Final convolution and pixel shuffle: (B, H, W, D, C) to logits (B, K, H*p, W*p, D*p).

    With `relative`, all logits minus those of class 0: softmax and argmax are the same, and class 0 costs nothing.
    """

    def __init__(self, conv: nn.Conv3d, scale: int, depth: int, relative: bool) -> None:
        super().__init__()
        self.scale, self.relative = scale, relative
        weight, bias = (value.unflatten(0, (-1, scale**3)) for value in (conv.weight, conv.bias))
        if relative:
            weight, bias = (v[1:] - v[:1] for v in (weight, bias))
        self.classes = len(weight)
        self.conv = Convolution(conv, depth)
        self.conv.keep("weight", weight.flatten(0, 1).contiguous(memory_format=torch.channels_last_3d))
        self.conv.keep("bias", bias.flatten())

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).contiguous()
        b, h, w, d, _ = y.shape
        p = self.scale
        first = int(self.relative)
        logits = y.new_empty(b, first + self.classes, h, p, w, p, d, p)
        logits[:, :first] = 0
        logits[:, first:] = y.view(b, h, w, d, self.classes, p, p, p).permute(0, 4, 1, 5, 2, 6, 3, 7)
        return logits.view(b, -1, h * p, w * p, d * p)


def instance_norm(x: Tensor) -> Tensor:
    """Instance norm of (B, H, W, D, C), eps 1e-5."""
    if len(x) > 1:
        return F.instance_norm(x.movedim(4, 1)).movedim(1, 4).contiguous()
    # a batch norm of one row per voxel is faster than torch's own
    return F.batch_norm(x.reshape(-1, x.shape[4]), None, None, training=True, eps=1e-5).view(x.shape)
