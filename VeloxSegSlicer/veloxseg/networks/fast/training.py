"""VeloxSeg in its fast form for training: the same outputs and gradients from the plain network's own parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import VeloxSegConfig
from ..network import TrainingOutput, VeloxSeg
from .convolution import EPS, FastHead
from .network import FastEncoder, FastTrunk, check_size, parts_of
from .order import resize_axis
from .parts import Part, Plain, instance_norm, matrix, rows, without_bias


class FastTraining(Part):
    """The training form of a `VeloxSeg` for volumes: an image (B, sum(in_ch), *input_size) to a `TrainingOutput`.

    Has no parameters: its weights are composed from those of `plain` in every call, so that `plain` is what an optimizer
    changes and a file holds. Segmentations are relative (see `TrainingOutput`). Dropout draws other random numbers than in
    the plain form. Raises ValueError for an image of another size.
    """

    def __init__(self, plain: VeloxSeg) -> None:
        super().__init__()
        config, decoder = plain.config, plain.decoder
        self.config = config
        self.encoder = FastEncoder(plain.encoder, config)
        self.decoder = FastTrunk(decoder, config)
        self.head = FastHead(decoder.out_conv1[0], config.patch_size, relative=True)
        supervised = (decoder.out_conv2, decoder.out_conv3, decoder.out_conv4) if config.deep_supervision else ()
        self.supervised = nn.ModuleList(CoarseHead(conv, config.grid(i), config) for i, conv in enumerate(supervised, 1))
        teachers = plain.rc_decoders if config.teachers else ()
        self.teachers = nn.ModuleList(FastTeacher(teacher, self.encoder, config) for teacher in teachers)
        self.to(next(plain.parameters()).device)

    def forward(self, x: Tensor) -> TrainingOutput:
        check_size(x, self.config)
        with torch.autocast(x.device.type, enabled=False):
            for part in parts_of(self):
                part.renew()
        features, stages = self.encoder(x)
        up1, *coarse = self.decoder(features)
        seg = [self.head(up1), *(head(level) for head, level in zip(self.supervised, (*coarse, features[3])))]
        if not self.teachers:
            return TrainingOutput(seg, None, None, [], relative=True)
        taught = [teacher([maps[m : m + 1] for maps in stages], features) for m, teacher in enumerate(self.teachers)]
        reconstruction = torch.cat([image for image, _ in taught], dim=1)
        return TrainingOutput(seg, reconstruction, gram_matrix(up1), [gram_matrix(up) for _, up in taught], relative=True)


class CoarseHead(Part):
    """A head of deep supervision: (B, h, w, d, C) to relative logits (B, K - 1, *input_size)."""

    def __init__(self, conv: Plain, grid: tuple[int, ...], config: VeloxSegConfig) -> None:
        super().__init__(conv)
        for axis, (n, size) in enumerate(zip(grid, config.input_size)):
            self.keep(f"resize_{axis}", torch.from_numpy(resize_axis(n, size)).to(conv.weight))

    def compose(self, conv: Plain) -> dict[str, Tensor]:
        weight = matrix(conv.weight)
        return {"weight": weight[:, 1:] - weight[:, :1], "bias": conv.bias[1:] - conv.bias[:1]}

    def forward(self, x: Tensor) -> Tensor:
        logits = (x @ self.weight + self.bias).movedim(4, 1)
        with torch.autocast(x.device.type, enabled=False):
            # linear along one axis after the other: three products of matrices
            y = self.resize_1 @ (logits.to(self.resize_1.dtype) @ self.resize_2.T)
            return (self.resize_0 @ y.flatten(3)).view(*logits.shape[:2], -1, *y.shape[3:])


class FastTeacher(Part):
    """`ReconstructionDecoder`: maps (1, B, n, C) of its modality and features (B, H, W, D, C) to its image and up1."""

    def __init__(self, plain: Plain, encoder: FastEncoder, config: VeloxSegConfig) -> None:
        super().__init__()
        mixers = (plain.enc2rc_1, plain.enc2rc_2, plain.enc2rc_3, plain.enc2rc_4)
        orders = [mixer.get_buffer("to_grid") for mixer in encoder.mixers]
        self.mixers = nn.ModuleList(TeacherMixer(mixer[0], order) for mixer, order in zip(mixers, orders))
        self.trunk = FastTrunk(plain, config)
        self.head = FastHead(plain.out_conv[0], config.patch_size, relative=False)

    def forward(self, stages: list[Tensor], features: list[Tensor]) -> tuple[Tensor, Tensor]:
        joined = [mixer(maps, feature) for mixer, maps, feature in zip(self.mixers, stages, features)]
        up1, _, _ = self.trunk(joined)
        return self.head(up1), up1


class TeacherMixer(Part):
    """1x1x1 convolution of a modality's map and a feature, joined on the channels, and instance norm."""

    def __init__(self, conv: Plain, to_grid: Tensor) -> None:
        super().__init__(conv)
        self.keep("to_grid", to_grid)

    def compose(self, conv: Plain) -> dict[str, Tensor]:
        return {"weight": matrix(without_bias(conv))}

    def forward(self, maps: Tensor, feature: Tensor) -> Tensor:
        of_maps, of_feature = self.weight.split((maps.shape[3], feature.shape[4]))
        mixed = rows(maps @ of_maps, self.to_grid)[0].view(*feature.shape[:4], -1)
        return instance_norm(mixed + feature @ of_feature, EPS)


def gram_matrix(features: Tensor) -> Tensor:
    """(B, C, C) channel correlations of (B, H, W, D, C), divided by C and the number of grid points."""
    flat = features.flatten(1, 3)
    return flat.transpose(1, 2) @ flat / (flat.shape[1] * flat.shape[2])


def training_form(network: nn.Module) -> nn.Module:
    """The fast form for training of a VeloxSeg for volumes; any other network as it is."""
    return FastTraining(network) if isinstance(network, VeloxSeg) and network.config.spatial_dim == 3 else network
