"""The convolution branch and the decoders of the fast form (specification 3.2-3.4, 3.8 and 3.9).

Maps are (B, H, W, D, C): a 1x1x1 convolution is a matrix product and a norm over voxels one pass. A bias that an
instance norm removes again is left out.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parts import Dropout, Part, Plain, add_piecewise, instance_norm, matrix, rows, without_bias

EPS = 1e-5  # of the instance norms
JOINED = {8: torch.float64, 16: torch.complex128}
"""Types of so many bytes."""
WIDE_GROUP = 16  # channels from which a group fills the vectors of a convolution


class Convolution(Part):
    """A convolution of (B, H, W, D, C), as the plain one would give it without its bias, but with channels last.

    Narrow groups with a wide kernel take two neighbors of the last axis as one voxel of twice the channels, where that
    axis is even. That is a fifth more arithmetic, but on groups of twice the width.
    """

    def __init__(self, conv: Plain, depth: int) -> None:
        super().__init__(conv)
        self.stride, self.padding, self.groups = conv.stride, conv.padding, conv.groups
        width, size = conv.weight.shape[1], conv.weight.shape[-1]
        self.folded = conv.groups > 1 and width < WIDE_GROUP and size >= 5 and depth % 2 == 0
        if self.folded:
            self.keep("order", fold_order(conv.out_channels, conv.groups).to(conv.weight))
            self.keep("taps", fold_taps(size).to(conv.weight))
            self.padding = (*conv.padding[:2], self.taps.shape[1] // 2)

    def compose(self, conv: Plain) -> dict[str, Tensor]:
        weight = without_bias(conv)
        if self.folded:
            weight = fold_weight(weight, conv.groups, self.taps)
        return {"weight": weight.contiguous(memory_format=torch.channels_last_3d)}

    def forward(self, x: Tensor) -> Tensor:
        if not self.folded:
            return convolve(x, self.weight, None, self.stride, self.padding, self.groups)
        b, h, w, d, c = x.shape
        # the product with a permutation matrix is a much faster copy than torch's own
        folded = (x.view(-1, 2 * c) @ self.order).view(b, h, w, d // 2, 2 * c)
        y = convolve(folded, self.weight, None, self.stride, self.padding, self.groups).reshape(-1, 2 * c)
        return (y @ self.order.T).view(b, h, w, d, c)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride, padding, groups: int = 1) -> Tensor:
    """A convolution of (B, H, W, D, C) with a weight that is channels-last in memory."""
    x = x.permute(0, 4, 1, 2, 3)
    if x.is_cpu and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu") and onednn_convolution_works():
        y = torch.mkldnn_convolution(x, weight, bias, padding, stride, (1, 1, 1), groups)
    else:
        y = F.conv3d(x, weight, bias, stride, padding, 1, groups)
    return y.permute(0, 2, 3, 4, 1)


def fold_order(channels: int, groups: int) -> Tensor:
    """Permutation matrix (2C, 2C) from (voxel of the pair, group, c) to (group, voxel of the pair, c)."""
    place = torch.arange(2 * channels).view(2, groups, -1).transpose(0, 1).flatten()
    return torch.eye(2 * channels)[:, place]


def fold_taps(size: int) -> Tensor:
    """(size, pairs, 2, 2): 1 where a tap of a kernel of `size` leads from a pair and a voxel in it to a voxel of the result."""
    reach = (size // 2 + 1) // 2
    taps = torch.zeros(size, 2 * reach + 1, 2, 2)
    for out in range(2):
        for tap in range(size):
            pair, inside = divmod(out + tap - size // 2, 2)
            taps[tap, pair + reach, inside, out] = 1
    return taps


def fold_weight(weight: Tensor, groups: int, taps: Tensor) -> Tensor:
    """The kernel (2C, 2c, k, k, pairs) on pairs of the last axis that does what (C, c, k, k, k) does."""
    folded = torch.einsum("gochwt,tpis->gsoichwp", weight.unflatten(0, (groups, -1)), taps)
    return folded.flatten(3, 4).flatten(0, 2)


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


class FastJLC(Part):
    """`JLCBlock` on (B, H, W, D, C)."""

    def __init__(self, plain: Plain, depth: int) -> None:
        super().__init__(plain)
        self.bare = isinstance(plain.spatial_convs[0], nn.Conv3d)
        convs = [branch if self.bare else branch[0] for branch in plain.spatial_convs]
        self.branches = nn.ModuleList(Pointwise(conv) if conv.kernel_size[0] == 1 else Convolution(conv, depth) for conv in convs)
        self.activation, self.drop = plain.channel_conv[2], Dropout(plain.channel_conv[4].p)

    def compose(self, plain: Plain) -> dict[str, Tensor | None]:
        _, expand, _, reduce, _ = plain.channel_conv
        return {
            "spatial_bias": plain.spatial_convs[0].bias if self.bare else None,
            "expand": matrix(expand.weight),
            "expand_bias": expand.bias,
            "reduce": matrix(reduce.weight),
            "reduce_bias": reduce.bias,
        }

    def forward(self, x: Tensor) -> Tensor:
        if self.bare:
            h = x + self.spatial_bias
            h += self.branches[0](x)
        else:
            first, *others = self.branches
            h = x + self.activation(instance_norm(first(x), EPS))
            for branch in others:
                # without names for what lies between, its memory serves the next step while it is still in the cache
                h += self.activation(instance_norm(branch(x), EPS))
        plane = h[0, 0].numel() // h.shape[4]
        add_piecewise(h, self._mix_channels, instance_norm(h, EPS), 1, 2 * self.expand.shape[1] * plane)
        return h

    def _mix_channels(self, x: Tensor) -> Tensor:
        hidden = self.activation((x @ self.expand).add_(self.expand_bias))
        return self.drop((hidden @ self.reduce).add_(self.reduce_bias))


class Pointwise(Part):
    """A 1x1x1 convolution without its bias on (B, H, W, D, C), groups as blocks of one matrix."""

    def compose(self, conv: Plain) -> dict[str, Tensor]:
        return {"weight": torch.block_diag(*without_bias(conv).flatten(1).chunk(conv.groups)).T.contiguous()}

    def forward(self, x: Tensor) -> Tensor:
        return (x.view(-1, x.shape[4]) @ self.weight).view(x.shape)


class FastDown(Part):
    """`Down` on (B, H, W, D, C)."""

    def __init__(self, plain: Plain) -> None:
        super().__init__()
        self.conv = Convolution(plain.down, 1)

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(self.conv(x), EPS)


class FastStem(Part):
    """The first `Down`: an image (B, C, H, W, D), which has few channels and stays as it is, to (B, h, w, d, C')."""

    def __init__(self, plain: Plain) -> None:
        super().__init__(plain)
        self.stride, self.padding = plain.down.stride, plain.down.padding

    def compose(self, plain: Plain) -> dict[str, Tensor]:
        return {"weight": without_bias(plain.down)}

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(F.conv3d(x, self.weight, None, self.stride, self.padding).movedim(1, 4).contiguous(), EPS)


class FastUp(Part):
    """`Up` on (B, H, W, D, C): one matrix product, because kernel and stride are equal."""

    def compose(self, plain: Plain) -> dict[str, Tensor]:
        return {"weight": without_bias(plain.up).permute(0, 2, 3, 4, 1).flatten(1).contiguous()}

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, d, _ = x.shape
        y = (x.view(b * h * w * d, -1) @ self.weight).view(b, h, w, d, 2, 2, 2, -1).permute(0, 1, 4, 2, 5, 3, 6, 7)
        return instance_norm(y.reshape(b, 2 * h, 2 * w, 2 * d, -1), EPS)


class FastMixer(Part):
    """Modal mixer: (M, B, n, C) in window order to (B, H, W, D, C')."""

    def __init__(self, conv: Plain, modalities: int, grid: tuple[int, ...], to_grid: Tensor) -> None:
        super().__init__(conv)
        self.modalities, self.grid = modalities, grid
        self.keep("to_grid", to_grid)

    def compose(self, conv: Plain) -> dict[str, Tensor]:
        return {"weight": matrix(without_bias(conv)).unflatten(0, (self.modalities, -1))}

    def forward(self, maps: Tensor) -> Tensor:
        y = torch.bmm(maps.flatten(1, 2), self.weight).sum(0)
        return instance_norm(rows(y.view(1, *maps.shape[1:3], -1), self.to_grid).view(-1, *self.grid, y.shape[1]), EPS)


class FastHead(Part):
    """Final convolution and pixel shuffle: (B, H, W, D, C) to (B, K, H*p, W*p, D*p).

    With `relative`, the logits minus those of class 0, without class 0: (B, K - 1, H*p, W*p, D*p).
    """

    def __init__(self, conv: Plain, scale: int, relative: bool) -> None:
        super().__init__(conv)
        self.scale, self.relative = scale, relative
        self.padding = conv.padding

    def compose(self, conv: Plain) -> dict[str, Tensor]:
        weight, bias = (value.unflatten(0, (-1, self.scale**3)) for value in (conv.weight, conv.bias))
        if self.relative:
            weight, bias = (v[1:] - v[:1] for v in (weight, bias))
        return {
            "weight": weight.flatten(0, 1).contiguous(memory_format=torch.channels_last_3d),
            "bias": bias.flatten(),
        }

    def forward(self, x: Tensor) -> Tensor:
        y = convolve(x, self.weight, self.bias, (1, 1, 1), self.padding).contiguous()
        b, h, w, d, _ = y.shape
        p = self.scale
        y = y.view(b, h, w, d, -1, p, p, p)
        # the last p numbers stay neighbors: as one number each a processor copies them several times as fast
        joined = JOINED.get(p * y.itemsize) if y.is_cpu and not torch.is_grad_enabled() else None
        y = self._shuffle(y) if joined is None else self._shuffle(y.view(joined)).view(y.dtype)
        return y.view(b, -1, h * p, w * p, d * p)

    @staticmethod
    def _shuffle(y: Tensor) -> Tensor:
        """(B, H, W, D, K, p, p, q) to (B, K, H, p, W, p, D * q)."""
        return y.permute(0, 4, 1, 5, 2, 6, 3, 7).contiguous().flatten(6)
