"""The two-branch encoder of VeloxSeg: paired-window attention feeds a convolution branch (specification section 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import N_STAGES, VeloxSegConfig
from .jlc import Down, jlc_layer
from .layers import CONV, ChannelLayerNorm, InstanceNorm, pointwise
from .pwa import Maps, PWAStage


class PatchEmbedding(nn.Module):
    """One token per patch of one modality: (B, c, H, W, D) to (B, a, H/p, W/p, D/p), in 2D without D."""

    def __init__(self, in_channels: int, config: VeloxSegConfig) -> None:
        super().__init__()
        conv = CONV[config.spatial_dim]
        self.proj = conv(in_channels, config.attn_base_ch, config.patch_size, config.patch_size)
        self.norm = ChannelLayerNorm(config.attn_base_ch) if config.patch_norm else nn.Identity()
        self.drop = nn.Dropout(config.proj_drop)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(self.proj(x)))


class AttentionBranch(nn.Module):
    """Patch embeddings and four transformer stages on M maps."""

    def __init__(self, config: VeloxSegConfig) -> None:
        super().__init__()
        self.patch_embeds = nn.ModuleList(PatchEmbedding(c, config) for c in config.in_ch)
        rates = torch.linspace(0, config.drop_path, sum(config.depths), device="cpu").split(config.depths)
        self.layers = nn.ModuleList(
            PWAStage(stage, rates[stage].tolist(), stage == N_STAGES - 1, config) for stage in range(N_STAGES)
        )

    def forward(self, x: Tensor) -> list[Maps]:
        """Maps A_i[m] of the four stages, before patch merging."""
        maps = [embed(part) for embed, part in zip(self.patch_embeds, x.chunk(len(self.patch_embeds), dim=1))]
        stages = []
        for layer in self.layers:
            stage, maps = layer(maps)
            stages.append(stage)
        return stages


class ConvBranch(nn.Module):
    """Down-sampling convolutions and JLC layers, joined with the attention maps by the encoder."""

    def __init__(self, config: VeloxSegConfig) -> None:
        super().__init__()
        channels = [config.conv_channels(stage) for stage in range(N_STAGES)]
        self.down1 = Down(sum(config.in_ch), channels[0], config.patch_size, config.spatial_dim)
        self.down2 = Down(channels[0], channels[1], 2, config.spatial_dim)
        self.down3 = Down(channels[1], channels[2], 2, config.spatial_dim)
        self.down4 = Down(channels[2], channels[3], 2, config.spatial_dim)
        self.layer1 = jlc_layer(0, config)
        self.layer2 = jlc_layer(1, config)
        self.layer3 = jlc_layer(2, config)
        self.layer4 = jlc_layer(3, config)

    def stages(self) -> list[tuple[nn.Module, nn.Module]]:
        """(down, layer) of each stage."""
        return [(self.down1, self.layer1), (self.down2, self.layer2), (self.down3, self.layer3), (self.down4, self.layer4)]


class Encoder(nn.Module):
    """Both branches. The attention branch never sees the convolutions."""

    def __init__(self, config: VeloxSegConfig) -> None:
        super().__init__()
        self.encoder_attn = AttentionBranch(config)
        self.encoder_conv = ConvBranch(config)
        self.attn2conv_1 = modal_mixer(0, config)
        self.attn2conv_2 = modal_mixer(1, config)
        self.attn2conv_3 = modal_mixer(2, config)
        self.attn2conv_4 = modal_mixer(3, config)

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Maps]]:
        """Features E_1..E_4 and attention maps A_i[m] of an image (B, sum(in_ch), *input_size)."""
        attention = self.encoder_attn(x)
        mixers = (self.attn2conv_1, self.attn2conv_2, self.attn2conv_3, self.attn2conv_4)
        features = []
        for (down, layer), mixer, maps in zip(self.encoder_conv.stages(), mixers, attention):
            x = layer(down(x) + mixer(torch.cat(maps, dim=1)))
            features.append(x)
        return features, attention


def modal_mixer(stage: int, config: VeloxSegConfig) -> nn.Sequential:
    """Joins the M attention maps of a stage into the channels of the convolution branch (specification 3.7)."""
    c_in = len(config.in_ch) * config.attn_channels(stage)
    return nn.Sequential(pointwise(c_in, config.conv_channels(stage), config.spatial_dim), InstanceNorm())
