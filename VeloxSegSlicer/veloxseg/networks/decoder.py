"""Segmentation decoder, reconstruction decoders (teachers) and the Gram matrix that ties them (specification 3.8-3.10)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import N_STAGES, VeloxSegConfig
from .jlc import Up, jlc_layer
from .layers import CONV, PIXEL_SHUFFLE, InstanceNorm, pointwise
from .pwa import Maps


class DecoderTrunk(nn.Module):
    """Three up-sampling levels with added skips; the base of both kinds of decoder."""

    def __init__(self, config: VeloxSegConfig, **first: nn.Module) -> None:
        """`first` are modules to register before the own ones: optimizer states count parameters by position."""
        super().__init__()
        for name, module in first.items():
            self.add_module(name, module)
        self.layer_up3 = Up(config.conv_channels(3), config.spatial_dim)
        self.layer_up2 = Up(config.conv_channels(2), config.spatial_dim)
        self.layer_up1 = Up(config.conv_channels(1), config.spatial_dim)
        self.layer1 = jlc_layer(0, config)
        self.layer2 = jlc_layer(1, config)
        self.layer3 = jlc_layer(2, config)

    def levels(self, features: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """(up1, up2, up3) from four maps, finest first."""
        e1, e2, e3, e4 = features
        up3 = self.layer3(e3 + self.layer_up3(e4))
        up2 = self.layer2(e2 + self.layer_up2(up3))
        up1 = self.layer1(e1 + self.layer_up1(up2))
        return up1, up2, up3


class SegmentationDecoder(DecoderTrunk):
    """Class logits at the resolution of the image; `out_conv2..4` are the heads of deep supervision."""

    def __init__(self, config: VeloxSegConfig) -> None:
        super().__init__(config)
        self.out_conv1 = full_resolution_head(config.n_classes, config)
        if config.deep_supervision:
            self.out_conv2 = pointwise(config.conv_channels(1), config.n_classes, config.spatial_dim)
            self.out_conv3 = pointwise(config.conv_channels(2), config.n_classes, config.spatial_dim)
            self.out_conv4 = pointwise(config.conv_channels(3), config.n_classes, config.spatial_dim)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits (B, K, *input_size)."""
        return self.out_conv1(self.levels(features)[0])


class ReconstructionDecoder(DecoderTrunk):
    """Rebuilds one modality from its attention maps and the encoder features; teacher of the segmentation decoder."""

    def __init__(self, channels: int, config: VeloxSegConfig) -> None:
        mixers = {}
        for stage in reversed(range(N_STAGES)):
            joined = config.attn_channels(stage) + config.conv_channels(stage)
            mix = pointwise(joined, config.conv_channels(stage), config.spatial_dim)
            mixers[f"enc2rc_{stage + 1}"] = nn.Sequential(mix, InstanceNorm())
        super().__init__(config, **mixers)
        self.out_conv = full_resolution_head(channels, config)

    def forward(self, joined: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Reconstruction (B, in_ch[m], *input_size) and up1, from the four maps of `join_maps`."""
        mixers = [self.get_submodule(f"enc2rc_{stage}") for stage in range(1, 5)]
        up1, _, _ = self.levels([mixer(r) for mixer, r in zip(mixers, joined)])
        return self.out_conv(up1), up1


def join_maps(attention: list[Maps], features: list[Tensor], modality: int) -> list[Tensor]:
    """R_i[m]: the attention map of a modality, then the encoder feature, on the channel axis."""
    return [torch.cat((maps[modality], feature), dim=1) for maps, feature in zip(attention, features)]


def full_resolution_head(channels: int, config: VeloxSegConfig) -> nn.Sequential:
    """Convolution of kernel size 3 and pixel shuffle from the finest grid to the image."""
    dim = config.spatial_dim
    conv = CONV[dim](config.base_ch, channels * config.patch_size**dim, 3, padding=1)
    return nn.Sequential(conv, PIXEL_SHUFFLE[dim](config.patch_size))


def gram_matrix(features: Tensor) -> Tensor:
    """(B, b, b) channel correlations of (B, b, *grid), divided by b and the number of grid points."""
    # flatten and matmul, not einsum: the gradient of an einsum may arrive channels-last (see InstanceNorm)
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])
