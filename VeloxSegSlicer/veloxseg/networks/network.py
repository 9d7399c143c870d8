"""VeloxSeg, a light segmentation network for volumes of several modalities, and for photos.

Written from a description of the published network (VeloxSeg, ICLR 2026); names in the state dict are
compatible with it. Its 2D mode is the same network with every operation on two axes (the published one does not run).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import VeloxSegConfig
from .decoder import ReconstructionDecoder, SegmentationDecoder, gram_matrix, join_maps
from .encoder import Encoder
from .layers import init_weights, resize


class TrainingOutput(NamedTuple):
    """What the network gives in training mode."""

    seg: list[Tensor]
    """Logits (B, K, *input_size), finest first; four with deep supervision, else one."""
    reconstruction: Tensor | None
    """(B, sum(in_ch), *input_size), or None without teachers."""
    gram_seg: Tensor | None
    """(B, b, b) of the segmentation decoder, or None without teachers."""
    gram_teachers: list[Tensor]
    """(B, b, b) of each reconstruction decoder."""
    relative: bool = False
    """Logits are minus those of class 0, without class 0, which is zero: (B, K - 1, *input_size)."""


class VeloxSeg(nn.Module):
    """VeloxSeg (ICLR 2026), the plain form: the specification that the fast form is tested against.

    Args:
        arguments, keywords: those of `VeloxSegConfig`, which checks them.

    Shape:
        Input (B, sum(in_ch), *input_size), the modalities' channels in the order of `in_ch`. Output in eval mode: logits
        (B, n_classes, *input_size), background first; in training mode a `TrainingOutput`.

    Raises:
        ValueError: for arguments that make no network, and for an image of another size.

    Example:
        >>> import torch
        >>> from veloxseg.networks import VeloxSeg
        >>> network = VeloxSeg((32, 32, 32), patch_size=2, in_ch=(1, 1), n_classes=3, base_ch=8, attn_base_ch=4).eval()
        >>> network(torch.zeros(1, 2, 32, 32, 32)).shape
        torch.Size([1, 3, 32, 32, 32])
    """

    def __init__(self, *arguments, **keywords) -> None:
        super().__init__()
        config = VeloxSegConfig(*arguments, **keywords)
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = SegmentationDecoder(config)
        if config.teachers:
            self.rc_decoders = nn.ModuleList(ReconstructionDecoder(c, config) for c in config.in_ch)
        self.apply(init_weights)

    def forward(self, x: Tensor) -> Tensor | TrainingOutput:
        expected = (sum(self.config.in_ch), *self.config.input_size)
        if tuple(x.shape[1:]) != expected:
            raise ValueError(f"expected an image of (channels, sizes) {expected}, got {tuple(x.shape[1:])}")
        features, attention = self.encoder(x)
        if not self.training:
            return self.decoder(features)
        return self._train_output(features, attention)

    def _train_output(self, features, attention) -> TrainingOutput:
        up1, up2, up3 = self.decoder.levels(features)
        seg = [self.decoder.out_conv1(up1)]
        if self.config.deep_supervision:
            heads = (self.decoder.out_conv2, self.decoder.out_conv3, self.decoder.out_conv4)
            seg += [self._resize(head(level)) for head, level in zip(heads, (up2, up3, features[3]))]
        if not self.config.teachers:
            return TrainingOutput(seg, None, None, [])
        taught = [teacher(join_maps(attention, features, m)) for m, teacher in enumerate(self.rc_decoders)]
        reconstruction = torch.cat([image for image, _ in taught], dim=1)
        return TrainingOutput(seg, reconstruction, gram_matrix(up1), [gram_matrix(up) for _, up in taught])

    def _resize(self, logits: Tensor) -> Tensor:
        return resize(logits, self.config.input_size)
