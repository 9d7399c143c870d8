"""Paired-window attention of the fast form (specification 3.5 and 3.6).

Maps of all modalities are one tensor (M, B, n, C) with the n tokens of the grid in window order (see `order`): a
1x1x1 convolution of every modality is then one batched matrix product, and every window a run of rows.
"""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layers import ChannelLayerNorm
from .order import children, positions, resize_matrix, window_order
from .parts import Dropout, Part, Plain, add_piecewise, layer_norm, matrix, piecewise, rows, total

EPS = 1e-6  # of the layer norms
LONG_WINDOW = 128  # tokens from which torch's fused attention is faster than its separate steps


class FastAttention(Part):
    """`PairedWindowAttention`: (M, B, n, C) to the projection, before its dropout and the residual."""

    def __init__(self, plain: Plain) -> None:
        super().__init__(plain)
        self.heads, self.plan, self.tokens = plain.heads, plain.plan, prod(plain.tokens)
        self.drop = Dropout(plain.attn_drop)
        query, _, value = plain.qkv_proj[0]
        self.split = tuple(c // len(self.plan) for c in (query.out_channels, query.out_channels, value.out_channels))
        # scale 0 is usually not pooled and then needs no gathering
        self.unpooled = int(prod(self.plan[0][1]) == 1)
        order = finer = window_order(plain.grid, self.plan)
        for scale, (big, small) in enumerate(self.plan):
            resize = None if big == plain.tokens else resize_matrix(plain.tokens, big, order).to(query.weight)
            self.keep(f"resize_{scale}", resize)
            if scale >= self.unpooled:
                cells = window_order(plain.grid, self.plan, scale, small)
                below = self.plan[scale - 1][1] if scale else (1, 1, 1)
                inner = children(cells, tuple(s // b for s, b in zip(small, below)))
                # the voxels to pool are the outer axis: their maximum then runs over whole rows
                self.keep(f"pool_{scale}", positions(finer, inner.transpose(1, 0, 2).reshape(-1, 3)))
                finer = cells

    def compose(self, plain: Plain) -> dict[str, Tensor]:
        weights, biases = zip(
            *(fold_norm(norm, *joined_qkv(convs, plain)) for norm, convs in zip(plain.input_norms, plain.qkv_proj))
        )
        weight, bias = torch.stack(weights), torch.stack(biases).unsqueeze(1)
        cut = self.unpooled * sum(self.split)
        modalities = len(plain.qkv_proj)
        mix = torch.stack([matrix(conv.weight) for conv in plain.mix_channels]).chunk(len(self.plan), dim=1)
        return {
            "weight_unpooled": weight[..., :cut].contiguous(),
            "bias_unpooled": bias[..., :cut].contiguous(),
            "weight_pooled": weight[..., cut:].contiguous(),
            "bias_pooled": bias[..., cut:].unsqueeze(1).contiguous(),
            "position_bias": plain.position_embedding().tile(1, modalities, modalities).contiguous(),
            "mix_bias": torch.stack([conv.bias for conv in plain.mix_channels]).unsqueeze(1),
            **{f"mix_{scale}": part.contiguous() for scale, part in enumerate(mix)},
        }

    def forward(self, x: Tensor) -> Tensor:
        scales = enumerate(self._windows(layer_norm(x, EPS)))
        mixed = total(self._project(scale, self._attend(windows, x.shape[0])) for scale, windows in scales)
        return mixed.add_(self.mix_bias).view(x.shape)

    def _windows(self, x: Tensor) -> list[Tensor]:
        """(M, B, cells of the scale in window order, q k v of its channels) for every scale."""
        scales = []
        if self.unpooled:
            scales.append(linear(x, self.weight_unpooled, self.bias_unpooled))
        if len(self.plan) == self.unpooled:
            return scales
        first = self.get_buffer(f"pool_{self.unpooled}")
        # a coarser scale pools what the finer one has pooled; the bias can wait until the first maximum
        rest = linear(rows(x, first), self.weight_pooled)
        rest = self._maximum(rest, self.unpooled) + self.bias_pooled
        width = sum(self.split)
        for scale in range(self.unpooled, len(self.plan)):
            if scale > self.unpooled:
                rest = self._maximum(rows(rest, self.get_buffer(f"pool_{scale}")), scale)
            scales.append(rest[..., :width])
            rest = rest[..., width:]
        return scales

    def _maximum(self, x: Tensor, scale: int) -> Tensor:
        small, below = self.plan[scale][1], self.plan[scale - 1][1] if scale else (1, 1, 1)
        return x.view(*x.shape[:2], prod(small) // prod(below), -1, x.shape[3]).amax(2)

    def _attend(self, windows: Tensor, modalities: int) -> Tensor:
        """(M, B, n, q k v) to (M, B * n, heads * c)."""
        width, length = windows.shape[3], modalities * self.tokens
        windows = windows.reshape(modalities, -1, self.tokens, width).transpose(0, 1).reshape(-1, length, width)
        if self.training or (windows.is_cpu and length < LONG_WINDOW):
            out = piecewise(self._separate_steps, windows, 0, 2 * self.heads * length**2)
        else:
            query, key, value = self._split(windows)
            mask = self.position_bias[None].to(query.dtype)
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0).transpose(1, 2).flatten(2)
        out = out.view(-1, modalities, self.tokens, out.shape[2])
        return out.transpose(0, 1).reshape(modalities, -1, out.shape[3])

    def _separate_steps(self, windows: Tensor) -> Tensor:
        """Attention of (windows, tokens, q k v): (windows, tokens, heads * c)."""
        query, key, value = self._split(windows)
        scores = (query @ key.transpose(2, 3)).add_(self.position_bias)
        return (self.drop(scores.softmax(3)) @ value).transpose(1, 2).flatten(2)

    def _split(self, windows: Tensor) -> tuple[Tensor, ...]:
        """(windows, heads, tokens, c) of query, key and value; the scores' scale is in the weights of the query."""
        return tuple(part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in windows.split(self.split, dim=2))

    def _project(self, scale: int, out: Tensor) -> Tensor:
        """One scale's share of the output projection, (M, B * n, C)."""
        weight, resize = getattr(self, f"mix_{scale}"), getattr(self, f"resize_{scale}")
        small = torch.bmm(out, weight)
        if resize is None:
            return small
        # both maps are linear, one in space and one in channels: the projection is cheaper before the resizing
        return (resize @ small.view(-1, self.tokens, weight.shape[2])).view(len(weight), -1, weight.shape[2])


class FastBlock(Part):
    """`PWABlock` on (M, B, n, C)."""

    def __init__(self, plain: Plain) -> None:
        super().__init__(plain)
        self.attention = FastAttention(plain.attn)
        self.activation = plain.ffns[0].act
        self.drop = Dropout(plain.attn.proj_drop.p)
        self.drop_path = plain.drop_path.probability

    def compose(self, plain: Plain) -> dict[str, Tensor]:
        first, bias = zip(
            *(fold_norm(norm, matrix(ffn.linear1.weight), ffn.linear1.bias) for norm, ffn in zip(plain.norms, plain.ffns))
        )
        return {
            "weight1": torch.stack(first),
            "bias1": torch.stack(bias).unsqueeze(1),
            "weight2": torch.stack([matrix(ffn.linear2.weight) for ffn in plain.ffns]),
            "bias2": torch.stack([ffn.linear2.bias for ffn in plain.ffns]).unsqueeze(1),
        }

    def forward(self, x: Tensor) -> Tensor:
        # the published network adds the input twice, once inside the branch that drop path drops
        attended = self.drop(self.attention(x))
        x = x + self._kept(attended + x) if self._drops() else torch.add(attended, x, alpha=2)
        add_piecewise(x, lambda piece: self._kept(self._feed_forward(piece)), x, 2, 2 * self.weight1.numel() // x.shape[3])
        return x

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden = linear(layer_norm(x, EPS), self.weight1, self.bias1)
        return self.drop(linear(self.drop(self.activation(hidden)), self.weight2, self.bias2))

    def _drops(self) -> bool:
        return self.training and self.drop_path > 0

    def _kept(self, x: Tensor) -> Tensor:
        """Stochastic depth, drawn for every modality and sample."""
        if not self._drops():
            return x
        keep = 1 - self.drop_path
        return x * x.new_empty(*x.shape[:2], 1, 1).bernoulli_(keep) / keep


class FastMerging(Part):
    """`PatchMerging` of all modalities from one window order to that of the next stage."""

    def __init__(self, plains: Plain, finer: Plain, coarser: Plain) -> None:
        super().__init__(*plains)
        inner = children(window_order(coarser.grid, coarser.plan), (2, 2, 2))
        self.keep("gather", positions(window_order(finer.grid, finer.plan), inner.reshape(-1, 3)))

    def compose(self, *plains: Plain) -> dict[str, Tensor]:
        weight, bias = zip(*(fold_norm(plain.norm, matrix(plain.reduction.weight), 0.0) for plain in plains))
        return {"weight": torch.stack(weight), "bias": torch.stack(bias).unsqueeze(1)}

    def forward(self, x: Tensor) -> Tensor:
        m, b, n, c = x.shape
        x = rows(x, self.gather).view(m, b, n // 8, 8 * c)
        return linear(layer_norm(x, EPS), self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(M, B, n, C) times (M, C, C') plus (M, 1, C')."""
    y = torch.bmm(x.flatten(1, 2), weight)
    # one pass in place is faster than baddbmm, which first spreads the bias over the output
    return (y if bias is None else y.add_(bias)).view(*x.shape[:3], -1)


def fold_norm(norm: ChannelLayerNorm, weight: Tensor, bias: Tensor | float) -> tuple[Tensor, Tensor]:
    """(C, C') and (C',) that do on the bare norm what the given ones do on the norm with its affine part."""
    return norm.weight[:, None] * weight, bias + norm.bias @ weight


def joined_qkv(convs: Plain, plain: Plain) -> tuple[Tensor, Tensor]:
    """(C, C') and (C',) of query, key and value together, channels in the order (scale, q k v, head, c)."""
    scales = len(plain.plan)
    per_head = convs[0].out_channels // scales // plain.heads
    weights, biases = [], []
    for conv, factor in zip(convs, (per_head**-0.5, 1.0, 1.0)):
        bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
        weights.append(factor * matrix(conv.weight).unflatten(1, (scales, -1)))
        biases.append(factor * bias.unflatten(0, (scales, -1)))
    return torch.cat(weights, dim=2).flatten(1), torch.cat(biases, dim=1).flatten()
