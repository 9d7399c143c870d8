"""VeloxSeg for inference, built from the plain network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoder import PatchEmbedding
from ..layers import ChannelLayerNorm
from ..network import VeloxSeg
from .attention import EPS, FastBlock, FastMerging
from .convolution import FastDown, FastHead, FastJLC, FastMixer, FastStem, FastUp
from .order import positions, window_order
from .parts import Frozen, rows


class FastVeloxSeg(Frozen):
    """The eval form of a `VeloxSeg`: an image (B, sum(in_ch), *input_size) to logits (B, n_classes, *input_size).

    Takes a copy of the weights; nothing in it can be trained. The logits of the two forms differ by rounding, less
    than 1e-4. With `relative` they are given minus those of class 0, whose map is zero: softmax and argmax are the
    same, and the final convolution has one class less to compute. Raises ValueError for an image of another size.
    """

    def __init__(self, plain: VeloxSeg, relative: bool) -> None:
        super().__init__()
        self.config = config = plain.config
        self.relative = relative
        encoder, decoder = plain.encoder, plain.decoder
        branch = encoder.encoder_attn
        firsts = [layer.blocks[0].attn for layer in branch.layers]
        orders = [window_order(first.grid, first.plan) for first in firsts]
        depths = [config.grid(stage)[2] for stage in range(4)]
        self.embeddings = nn.ModuleList(FastEmbedding(embedding) for embedding in branch.patch_embeds)
        grids = [window_order(first.grid, []) for first in firsts]
        self.keep("to_windows", positions(grids[0], orders[0]))
        self.stages = nn.ModuleList(nn.Sequential(*map(FastBlock, layer.blocks)) for layer in branch.layers)
        self.mergings = nn.ModuleList(
            FastMerging(list(layer.downs), finer, coarser)
            for layer, finer, coarser in zip(branch.layers, firsts, firsts[1:])
        )
        mixers = (encoder.attn2conv_1, encoder.attn2conv_2, encoder.attn2conv_3, encoder.attn2conv_4)
        self.mixers = nn.ModuleList(
            FastMixer(mixer[0], len(config.in_ch), first.grid, positions(order, grid))
            for mixer, first, order, grid in zip(mixers, firsts, orders, grids)
        )
        downs, layers = zip(*encoder.encoder_conv.stages())
        self.downs = nn.ModuleList((FastStem(downs[0]), *map(FastDown, downs[1:])))
        self.encoder = nn.ModuleList(fast_layer(layer, depth) for layer, depth in zip(layers, depths))
        ups = (decoder.layer_up1, decoder.layer_up2, decoder.layer_up3)
        self.ups = nn.ModuleList(FastUp(up) for up in ups)
        layers = (decoder.layer1, decoder.layer2, decoder.layer3)
        self.decoder = nn.ModuleList(fast_layer(layer, depth) for layer, depth in zip(layers, depths))
        self.head = FastHead(decoder.out_conv1[0], config.patch_size, depths[0], relative)
        self.eval()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        expected = (sum(self.config.in_ch), *self.config.input_size)
        if tuple(x.shape[1:]) != expected:
            raise ValueError(f"expected an image of (channels, sizes) {expected}, got {tuple(x.shape[1:])}")
        x = x.contiguous()
        parts = x.chunk(len(self.embeddings), dim=1)
        maps = torch.stack([embed(part) for embed, part in zip(self.embeddings, parts)])
        maps = rows(maps, self.to_windows)
        features = []
        for stage, (down, layer) in enumerate(zip(self.downs, self.encoder)):
            maps = self.stages[stage](maps)
            x = layer(down(x) + self.mixers[stage](maps))
            features.append(x)
            if stage < len(self.mergings):
                maps = self.mergings[stage](maps)
        for feature, up, layer in reversed(list(zip(features, self.ups, self.decoder))):
            x = layer(feature + up(x))
        return self.head(x)


class FastEmbedding(Frozen):
    """`PatchEmbedding`: (B, c, H, W, D) to tokens (B, n, C) in C order."""

    def __init__(self, plain: PatchEmbedding) -> None:
        super().__init__()
        self.stride = plain.proj.stride
        self.keep("weight", plain.proj.weight)
        self.keep("bias", plain.proj.bias)
        normed = isinstance(plain.norm, ChannelLayerNorm)
        self.keep("scale", plain.norm.weight if normed else None)
        self.keep("shift", plain.norm.bias if normed else None)

    def forward(self, x: Tensor) -> Tensor:
        tokens = F.conv3d(x, self.weight, self.bias, self.stride).flatten(2).transpose(1, 2)
        return tokens if self.scale is None else F.layer_norm(tokens, self.scale.shape, self.scale, self.shift, EPS)


def fast_layer(plain: nn.Sequential, depth: int) -> nn.Sequential:
    """The JLC blocks of one layer; `depth` is the grid's size on the last axis."""
    return nn.Sequential(*(FastJLC(block, depth) for block in plain))


@torch.no_grad()
def convert(network: nn.Module, relative: bool = False) -> nn.Module:
    """The fast form of a VeloxSeg for volumes, on its device, in eval mode; any other network as it is.

    See `FastVeloxSeg`. Weights are folded in float64, which not every device has: convert first, then move.
    """
    if isinstance(network, VeloxSeg) and network.config.spatial_dim == 3:
        return FastVeloxSeg(network, relative).to(next(network.parameters()).device)
    return network
