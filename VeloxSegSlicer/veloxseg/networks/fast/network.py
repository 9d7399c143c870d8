"""VeloxSeg in its fast form, built from the plain network: once for inference, or to train the plain network's weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import VeloxSegConfig
from ..layers import ChannelLayerNorm
from ..network import VeloxSeg
from .attention import EPS, FastBlock, FastMerging
from .convolution import FastDown, FastHead, FastJLC, FastMixer, FastStem, FastUp
from .order import positions, window_order
from .parts import Dropout, Part, Plain, rows


class FastEncoder(Part):
    """`Encoder`: an image (B, sum(in_ch), *input_size) to features (B, H, W, D, C) and maps (M, B, n, C), finest first."""

    def __init__(self, plain: Plain, config: VeloxSegConfig) -> None:
        super().__init__()
        branch = plain.encoder_attn
        firsts = [layer.blocks[0].attn for layer in branch.layers]
        orders = [window_order(first.grid, first.plan) for first in firsts]
        grids = [window_order(first.grid, []) for first in firsts]
        self.embeddings = nn.ModuleList(FastEmbedding(embedding) for embedding in branch.patch_embeds)
        self.keep("to_windows", positions(grids[0], orders[0]))
        self.stages = nn.ModuleList(nn.Sequential(*map(FastBlock, layer.blocks)) for layer in branch.layers)
        self.mergings = nn.ModuleList(
            FastMerging(layer.downs, finer, coarser) for layer, finer, coarser in zip(branch.layers, firsts, firsts[1:])
        )
        mixers = (plain.attn2conv_1, plain.attn2conv_2, plain.attn2conv_3, plain.attn2conv_4)
        self.mixers = nn.ModuleList(
            FastMixer(mixer[0], len(config.in_ch), first.grid, positions(order, grid))
            for mixer, first, order, grid in zip(mixers, firsts, orders, grids)
        )
        downs, layers = zip(*plain.encoder_conv.stages())
        self.downs = nn.ModuleList((FastStem(downs[0]), *map(FastDown, downs[1:])))
        self.layers = nn.ModuleList(fast_layer(layer, config.grid(stage)[2]) for stage, layer in enumerate(layers))

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        x = x.contiguous()
        parts = x.chunk(len(self.embeddings), dim=1)
        maps = rows(torch.stack([embed(part) for embed, part in zip(self.embeddings, parts)]), self.to_windows)
        features, stages = [], []
        for stage, (down, layer) in enumerate(zip(self.downs, self.layers)):
            maps = self.stages[stage](maps)
            x = layer(down(x) + self.mixers[stage](maps))
            features.append(x)
            stages.append(maps)
            if stage < len(self.mergings):
                maps = self.mergings[stage](maps)
        return features, stages


class FastTrunk(Part):
    """`DecoderTrunk` on (B, H, W, D, C)."""

    def __init__(self, plain: Plain, config: VeloxSegConfig) -> None:
        super().__init__()
        self.ups = nn.ModuleList(FastUp(up) for up in (plain.layer_up1, plain.layer_up2, plain.layer_up3))
        layers = (plain.layer1, plain.layer2, plain.layer3)
        self.layers = nn.ModuleList(fast_layer(layer, config.grid(stage)[2]) for stage, layer in enumerate(layers))

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """(up1, up2, up3) from four maps, finest first."""
        levels: list[Tensor] = []
        x = features[3]
        for feature, up, layer in reversed(list(zip(features, self.ups, self.layers))):
            x = layer(feature + up(x))
            levels.insert(0, x)
        up1, up2, up3 = levels
        return up1, up2, up3


class FastVeloxSeg(Part):
    """The eval form of a `VeloxSeg`: an image (B, sum(in_ch), *input_size) to logits (B, n_classes, *input_size).

    Takes a copy of the weights; nothing in it can be trained. The logits of the two forms differ by rounding, less
    than 1e-4. With `relative` they are given minus those of class 0, whose map would be zero and is left out:
    (B, n_classes - 1, *input_size). Raises ValueError for an image of another size.
    """

    def __init__(self, plain: VeloxSeg, relative: bool) -> None:
        super().__init__()
        self.config, self.relative = plain.config, relative
        self.encoder = FastEncoder(plain.encoder, plain.config)
        self.decoder = FastTrunk(plain.decoder, plain.config)
        self.head = FastHead(plain.decoder.out_conv1[0], plain.config.patch_size, relative)
        for part in parts_of(self):
            part.freeze()
        self.eval()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        check_size(x, self.config)
        features, _ = self.encoder(x)
        return self.head(self.decoder(features)[0])


class FastEmbedding(Part):
    """`PatchEmbedding`: (B, c, H, W, D) to tokens (B, n, C) in C order."""

    def __init__(self, plain: Plain) -> None:
        super().__init__(plain)
        self.stride, self.drop = plain.proj.stride, Dropout(plain.drop.p)

    def compose(self, plain: Plain) -> dict[str, Tensor | None]:
        normed = isinstance(plain.norm, ChannelLayerNorm)
        return {
            "weight": plain.proj.weight,
            "bias": plain.proj.bias,
            "scale": plain.norm.weight if normed else None,
            "shift": plain.norm.bias if normed else None,
        }

    def forward(self, x: Tensor) -> Tensor:
        tokens = F.conv3d(x, self.weight, self.bias, self.stride).flatten(2).transpose(1, 2)
        if self.scale is not None:
            tokens = F.layer_norm(tokens, self.scale.shape, self.scale, self.shift, EPS)
        return self.drop(tokens)


def fast_layer(plain: Plain, depth: int) -> nn.Sequential:
    """The JLC blocks of one layer; `depth` is the grid's size on the last axis."""
    return nn.Sequential(*(FastJLC(block, depth) for block in plain))


def parts_of(network: nn.Module) -> list[Part]:
    return [module for module in network.modules() if isinstance(module, Part)]


def check_size(x: Tensor, config: VeloxSegConfig) -> None:
    """Raises ValueError for an image of another size."""
    expected = (sum(config.in_ch), *config.input_size)
    if tuple(x.shape[1:]) != expected:
        raise ValueError(f"expected an image of (channels, sizes) {expected}, got {tuple(x.shape[1:])}")


@torch.no_grad()
def convert(network: nn.Module, relative: bool = False) -> nn.Module:
    """The fast form of a VeloxSeg for volumes, on its device, in eval mode; any other network as it is.

    See `FastVeloxSeg`.
    """
    if isinstance(network, VeloxSeg) and network.config.spatial_dim == 3:
        return FastVeloxSeg(network, relative).to(next(network.parameters()).device)
    return network
