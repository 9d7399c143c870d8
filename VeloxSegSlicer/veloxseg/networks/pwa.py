"""Paired-window attention across modalities and its transformer stages (specification 3.5 and 3.6).

A stage works on a list of M maps, one per modality, each (B, C, *grid). Every window pools its tokens from a big
window to a small grid, so that all scales give windows of the same number of tokens.
"""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import VeloxSegConfig, attention_channels
from .layers import MAX_POOL, ChannelLayerNorm, DropPath, pointwise, resize, split_axes

Maps = list[Tensor]


class RelativePositionBias(nn.Module):
    """Learned bias per head and coordinate difference of two tokens of a window of `size` tokens per axis."""

    def __init__(self, size: tuple[int, ...], heads: int) -> None:
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.empty(prod(2 * n - 1 for n in size), heads))
        # the published cut at +-2 is 100 standard deviations away: in effect a plain normal
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02, a=-2, b=2)
        self.relative_position_index: Tensor
        self.register_buffer("relative_position_index", relative_position_index(size))

    def forward(self) -> Tensor:
        """(heads, l, l), query times key."""
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)


def relative_position_index(size: tuple[int, ...]) -> Tensor:
    """(l, l) row of the bias table for each query and key token of a window, tokens in C order."""
    coordinates = torch.stack(torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")).flatten(1)
    difference = coordinates[:, :, None] - coordinates[:, None, :]
    index = torch.zeros_like(difference[0])
    for axis, n in enumerate(size):
        index = index * (2 * n - 1) + difference[axis] + n - 1
    return index


class PairedWindowAttention(nn.Module):
    """Attention of all modalities' tokens inside each window, for windows of every scale of the stage."""

    def __init__(self, stage: int, config: VeloxSegConfig) -> None:
        super().__init__()
        channels, n_modalities = config.attn_channels(stage), len(config.in_ch)
        self.plan = config.window_plan(stage)
        self.heads = config.num_heads[stage]
        self.grid = config.grid(stage)
        big, small = self.plan[0]
        self.tokens = tuple(b // s for b, s in zip(big, small))
        self.attn_drop = config.attn_drop
        c_qk, c_v = attention_channels(channels, len(self.plan), self.heads, config.min_dim_head[stage])
        self.position_embedding = RelativePositionBias(self.tokens, self.heads)
        self.input_norms = nn.ModuleList(ChannelLayerNorm(channels) for _ in range(n_modalities))
        self.qkv_proj = nn.ModuleList(
            nn.ModuleList(pointwise(channels, c, config.spatial_dim, config.qkv_bias) for c in (c_qk, c_qk, c_v))
            for _ in range(n_modalities)
        )
        self.mix_channels = nn.ModuleList(pointwise(c_v, channels, config.spatial_dim) for _ in range(n_modalities))
        self.proj_drop = nn.Dropout(config.proj_drop)

    def forward(self, maps: Maps) -> Maps:
        normed = [norm(x) for norm, x in zip(self.input_norms, maps)]
        query, key, value = (
            torch.cat([self.gather(conv(n)) for conv, n in zip(convs, normed)], dim=3)
            for convs in zip(*(projections.children() for projections in self.qkv_proj))
        )
        windows = self._attend(query, key, value).chunk(len(maps), dim=3)
        # the block adds the input once more: the doubled residual of the published network
        return [x + self.proj_drop(mix(self.scatter(w))) for x, mix, w in zip(maps, self.mix_channels, windows)]

    def gather(self, x: Tensor) -> Tensor:
        """(B, C', *grid) to (B, heads, windows of all scales, tokens, c); channels C' are in (scale, head, c) order."""
        windows = []
        for part, (_, small) in zip(x.chunk(len(self.plan), dim=1), self.plan):
            if prod(small) > 1:
                part = MAX_POOL[len(small)](part, small)
            windows.append(self._cut(part))
        return torch.cat(windows, dim=2)

    def scatter(self, windows: Tensor) -> Tensor:
        """Inverse of `gather` with linear resizing (align_corners) inside each window: (B, C', *grid)."""
        counts = [prod(g // b for g, b in zip(self.grid, big)) for big, _ in self.plan]
        parts = [self._paste(part, big) for part, (big, _) in zip(windows.split(counts, dim=2), self.plan)]
        return torch.cat(parts, dim=1)

    def _cut(self, x: Tensor) -> Tensor:
        b, c = x.shape[:2]
        x = split_axes(x, self.tokens).unflatten(1, (self.heads, c // self.heads))
        blocks, tokens = range(3, x.ndim, 2), range(4, x.ndim, 2)
        return x.permute(0, 1, *blocks, *tokens, 2).reshape(b, self.heads, -1, prod(self.tokens), c // self.heads)

    def _paste(self, windows: Tensor, big: tuple[int, ...]) -> Tensor:
        b, heads, n, _, c = windows.shape
        blocks = windows.permute(0, 2, 1, 4, 3).reshape(b * n, heads * c, *self.tokens)
        if big != self.tokens:
            blocks = resize(blocks, big)
        counts = [g // s for g, s in zip(self.grid, big)]
        blocks = blocks.reshape(b, *counts, heads * c, *big)
        channels = 1 + len(big)
        axes = (axis for i in range(1, channels) for axis in (i, channels + i))
        return blocks.permute(0, channels, *axes).reshape(b, heads * c, *self.grid)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        b, heads, n = query.shape[:3]
        modalities = query.shape[3] // prod(self.tokens)
        bias = self.position_embedding().tile(1, modalities, modalities)
        # windows join the batch, which leaves the four axes that the fused kernels want
        query, key, value = (t.transpose(1, 2).flatten(0, 1) for t in (query, key, value))
        out = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.to(query.dtype), dropout_p=self.attn_drop if self.training else 0.0
        )
        return out.unflatten(0, (b, n)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two pointwise convolutions with an activation between, dropout after each."""

    def __init__(self, channels: int, ratio: int, config: VeloxSegConfig) -> None:
        super().__init__()
        self.linear1 = pointwise(channels, channels * ratio, config.spatial_dim)
        self.act = config.activation()
        self.linear2 = pointwise(channels * ratio, channels, config.spatial_dim)
        self.drop = nn.Dropout(config.proj_drop)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.linear2(self.drop(self.act(self.linear1(x)))))


class PWABlock(nn.Module):
    """Paired-window attention and feed-forward, each with its own residual."""

    def __init__(self, stage: int, drop_path: float, config: VeloxSegConfig) -> None:
        super().__init__()
        channels, n_modalities = config.attn_channels(stage), len(config.in_ch)
        ratio = config.ffn_expansion_ratio[stage]
        self.attn = PairedWindowAttention(stage, config)
        self.ffns = nn.ModuleList(FeedForward(channels, ratio, config) for _ in range(n_modalities))
        self.norms = nn.ModuleList(ChannelLayerNorm(channels) for _ in range(n_modalities))
        self.drop_path = DropPath(drop_path)

    def forward(self, maps: Maps) -> Maps:
        maps = [x + self.drop_path(o) for x, o in zip(maps, self.attn(maps))]
        return [u + self.drop_path(ffn(norm(u))) for u, ffn, norm in zip(maps, self.ffns, self.norms)]


class PatchMerging(nn.Module):
    """The sub-lattices of stride 2 (eight, in 2D four) joined on the channels, norm, reduction to twice the channels."""

    def __init__(self, channels: int, spatial_dim: int) -> None:
        super().__init__()
        joined = 2**spatial_dim * channels
        self.reduction = pointwise(joined, 2 * channels, spatial_dim, bias=False)
        self.norm = ChannelLayerNorm(joined)

    def forward(self, x: Tensor) -> Tensor:
        x = split_axes(x, (2,) * (x.ndim - 2))
        grid, offsets = range(2, x.ndim, 2), range(3, x.ndim, 2)
        x = x.permute(0, *offsets, 1, *grid)
        return self.reduction(self.norm(x.flatten(1, len(offsets) + 1)))


class PWAStage(nn.Module):
    """The blocks of one stage; `downs` lead to the next stage and are absent in the last."""

    def __init__(self, stage: int, drop_paths: list[float], last: bool, config: VeloxSegConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(PWABlock(stage, rate, config) for rate in drop_paths)
        channels = config.attn_channels(stage)
        merged = () if last else config.in_ch
        self.downs = nn.ModuleList(PatchMerging(channels, config.spatial_dim) for _ in merged)

    def forward(self, maps: Maps) -> tuple[Maps, Maps]:
        """Maps of this stage, and the merged maps for the next one (empty after the last)."""
        for block in self.blocks:
            maps = block(maps)
        return maps, [down(x) for down, x in zip(self.downs, maps)]
