"""Paired-window attention for inference (specification 3.5 and 3.6).

Maps of all modalities are one tensor (M, B, n, C) with the n tokens of the grid in window order (see `order`): a
1x1x1 convolution of every modality is then one batched matrix product, and every window a run of rows.
"""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import ChannelLayerNorm
from ..pwa import PairedWindowAttention, PatchMerging, PWABlock
from .order import children, positions, resize_matrix, window_order
from .parts import Frozen, matrix, rows

EPS = 1e-6  # of the layer norms


class FastAttention(Frozen):
    """`PairedWindowAttention` and the block's second residual: (M, B, n, C) to twice the input plus the projection."""

    def __init__(self, plain: PairedWindowAttention) -> None:
        super().__init__()
        self.heads, self.plan, self.tokens = plain.heads, plain.plan, prod(plain.tokens)
        modalities = len(plain.qkv_proj)
        order = window_order(plain.grid, self.plan)
        weight, bias = zip(*(fold_norm(norm, *joined_qkv(convs, plain))
                             for norm, convs in zip(plain.input_norms, plain.qkv_proj)))
        self.width = weight[0].shape[1] // len(self.plan)
        self.qk = plain.qkv_proj[0][0].out_channels // len(self.plan)
        # scale 0 is usually not pooled and then needs no gathering
        self.unpooled = int(prod(self.plan[0][1]) == 1)
        cut = self.unpooled * self.width
        weight, bias = torch.stack(weight), torch.stack(bias).unsqueeze(1)
        self.keep("weight_unpooled", weight[..., :cut].contiguous())
        self.keep("bias_unpooled", bias[..., :cut].contiguous())
        self.keep("weight_pooled", weight[..., cut:].contiguous())
        self.keep("bias_pooled", bias[..., cut:].unsqueeze(1).contiguous())
        self.keep("position_bias", plain.position_embedding().tile(1, modalities, modalities)[None])
        mix = torch.stack([matrix(conv) for conv in plain.mix_channels]).chunk(len(self.plan), dim=1)
        self.keep("mix_bias", torch.stack([conv.bias for conv in plain.mix_channels])[:, None, None])
        finer = order
        for scale, (big, small) in enumerate(self.plan):
            self.keep(f"mix_{scale}", mix[scale].contiguous())
            resize = None if big == plain.tokens else resize_matrix(plain.tokens, big, order).to(weight)
            self.keep(f"resize_{scale}", resize)
            if scale >= self.unpooled:
                cells = window_order(plain.grid, self.plan, scale, small)
                below = self.plan[scale - 1][1] if scale else (1, 1, 1)
                inner = children(cells, tuple(s // b for s, b in zip(small, below)))
                # the voxels to pool are the outer axis: their maximum then runs over whole rows
                self.keep(f"pool_{scale}", positions(finer, inner.transpose(1, 0, 2).reshape(-1, 3)))
                finer = cells

    def forward(self, x: Tensor) -> Tensor:
        u = torch.add(self.mix_bias, x, alpha=2)
        for scale, windows in enumerate(self._windows(F.layer_norm(x, x.shape[-1:], eps=EPS))):
            self._project(scale, self._attend(windows, x.shape[0]), u)
        return u

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
        for scale in range(self.unpooled, len(self.plan)):
            if scale > self.unpooled:
                rest = self._maximum(rows(rest, self.get_buffer(f"pool_{scale}")), scale)
            scales.append(rest[..., : self.width])
            rest = rest[..., self.width :]
        return scales

    def _maximum(self, x: Tensor, scale: int) -> Tensor:
        small, below = self.plan[scale][1], self.plan[scale - 1][1] if scale else (1, 1, 1)
        return x.view(*x.shape[:2], prod(small) // prod(below), -1, x.shape[3]).amax(2)

    def _attend(self, windows: Tensor, modalities: int) -> Tensor:
        """(M, B, n, q k v) to (M, B * n, heads * c)."""
        width, length = windows.shape[3], modalities * self.tokens
        windows = windows.view(modalities, -1, self.tokens, width).transpose(0, 1).reshape(-1, length, width)
        query, key, value = (
            part.view(-1, length, self.heads, part.shape[2] // self.heads).transpose(1, 2)
            for part in windows.split((self.qk, self.qk, width - 2 * self.qk), dim=2)
        )
        # the scores' scale is in the weights of the query
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=self.position_bias, scale=1.0)
        out = out.transpose(1, 2).reshape(-1, modalities, self.tokens, self.heads * value.shape[3])
        return out.transpose(0, 1).reshape(modalities, -1, out.shape[3])

    def _project(self, scale: int, out: Tensor, u: Tensor) -> None:
        """Adds one scale's share of the output projection to u (M, B, n, C), in place."""
        weight, resize = self.get_buffer(f"mix_{scale}"), getattr(self, f"resize_{scale}")
        if resize is None:
            u.flatten(1, 2).baddbmm_(out, weight)
            return
        # both maps are linear, one in space and one in channels: the projection is cheaper before the resizing
        small = torch.bmm(out, weight).view(-1, self.tokens, u.shape[3])
        u.view(-1, resize.shape[0], u.shape[3]).baddbmm_(resize.expand(len(small), -1, -1), small)


class FastBlock(Frozen):
    """`PWABlock` on (M, B, n, C)."""

    def __init__(self, plain: PWABlock) -> None:
        super().__init__()
        self.attention = FastAttention(plain.attn)
        self.activation = plain.ffns[0].act
        first, bias = zip(*(fold_norm(norm, matrix(ffn.linear1), ffn.linear1.bias)
                            for norm, ffn in zip(plain.norms, plain.ffns)))
        self.keep("weight1", torch.stack(first))
        self.keep("bias1", torch.stack(bias).unsqueeze(1))
        self.keep("weight2", torch.stack([matrix(ffn.linear2) for ffn in plain.ffns]))
        self.keep("bias2", torch.stack([ffn.linear2.bias for ffn in plain.ffns]).unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        u = self.attention(x)
        hidden = self.activation(linear(F.layer_norm(u, u.shape[-1:], eps=EPS), self.weight1, self.bias1))
        u.flatten(1, 2).baddbmm_(hidden.flatten(1, 2), self.weight2).add_(self.bias2)
        return u


class FastMerging(Frozen):
    """`PatchMerging` of all modalities from one window order to that of the next stage."""

    def __init__(self, plains: list[PatchMerging], finer: PairedWindowAttention, coarser: PairedWindowAttention) -> None:
        super().__init__()
        weight, bias = zip(*(fold_norm(plain.norm, matrix(plain.reduction)) for plain in plains))
        self.keep("weight", torch.stack(weight))
        self.keep("bias", torch.stack(bias).unsqueeze(1))
        inner = children(window_order(coarser.grid, coarser.plan), (2, 2, 2))
        self.keep("gather", positions(window_order(finer.grid, finer.plan), inner.reshape(-1, 3)))

    def forward(self, x: Tensor) -> Tensor:
        m, b, n, c = x.shape
        x = rows(x, self.gather).view(m, b, n // 8, 8 * c)
        return linear(F.layer_norm(x, x.shape[-1:], eps=EPS), self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(M, B, n, C) times (M, C, C') plus (M, 1, C')."""
    y = torch.bmm(x.flatten(1, 2), weight)
    # one pass in place is faster than baddbmm, which first spreads the bias over the output
    return (y if bias is None else y.add_(bias)).view(*x.shape[:3], -1)


def fold_norm(norm: ChannelLayerNorm, weight: Tensor, bias: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """(C, C') and (C',) that do on the bare norm what the given ones do on the norm with its affine part."""
    scale, shift = norm.weight.double(), norm.bias.double()
    folded = bias + shift @ weight.double()
    return (scale[:, None] * weight.double()).to(weight.dtype), folded.to(weight.dtype)


def joined_qkv(convs: nn.ModuleList, plain: PairedWindowAttention) -> tuple[Tensor, Tensor]:
    """(C, C') and (C',) of query, key and value together, channels in the order (scale, q k v, head, c)."""
    scales = len(plain.plan)
    per_head = convs[0].out_channels // scales // plain.heads
    parts = []
    for conv, factor in zip(convs, (per_head**-0.5, 1.0, 1.0)):
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias
        joined = torch.cat((conv.weight.flatten(1), bias.to(conv.weight)[:, None]), dim=1) * factor
        parts.append(joined.unflatten(0, (scales, -1)))
    joined = torch.cat(parts, dim=1).flatten(0, 1)
    return joined[:, :-1].T.contiguous(), joined[:, -1].contiguous()
