"""Networks by name: VeloxSeg, the cellular automaton, and MONAI baselines of VeloxSeg's size class and above.

Baselines take the patch of the data, in 2D or 3D, and give logits of its size; their widths are MONAI's or the usual small ones
(parameters for two images and two classes of 96^3: unet 4.8 M, segresnet 1.2 M, dynunet 5.6 M, swinunetr 15.7 M, unetr 92.8 M).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Literal, get_args

import torch
from monai.networks.nets import UNETR, DynUNet, SegResNet, SwinUNETR, UNet
from torch import nn

from veloxseg.networks import VeloxSeg, VeloxSegConfig
from veloxseg.networks.nca import NCA, NCAConfig
from veloxseg.networks.network import TrainingOutput

NetworkName = Literal["veloxseg", "nca", "unet", "segresnet", "dynunet", "swinunetr", "unetr"]

# each takes (input channels, classes, patch size)
BASELINES: dict[str, Callable[[int, int, tuple[int, ...]], nn.Module]] = {
    "unet": lambda channels, classes, size: UNet(
        len(size), channels, classes, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2
    ),
    "segresnet": lambda channels, classes, size: SegResNet(
        len(size), init_filters=8, in_channels=channels, out_channels=classes
    ),
    "dynunet": lambda channels, classes, size: DynUNet(
        len(size), channels, classes, kernel_size=[3] * 5, strides=[1, 2, 2, 2, 2], upsample_kernel_size=[2] * 4,
        filters=[16, 32, 64, 128, 256],
    ),
    "swinunetr": lambda channels, classes, size: SwinUNETR(
        in_channels=channels, out_channels=classes, feature_size=24, spatial_dims=len(size)
    ),
    "unetr": lambda channels, classes, size: UNETR(channels, classes, img_size=size, spatial_dims=len(size)),
}  # fmt: skip
# pixels per axis of the coarsest grid's pixels, and how many of these the network needs at least (an instance norm: two)
STEPS = {"unet": (16, 2), "segresnet": (8, 1), "dynunet": (16, 2), "swinunetr": (32, 2), "unetr": (16, 1)}
OF_THE_ENGINE = ("veloxseg", "nca")
"""Those that the engine has too."""
assert {*OF_THE_ENGINE, *BASELINES} == set(get_args(NetworkName))


@dataclass(frozen=True)
class BaselineConfig:
    """What a baseline takes from the data. Raises ValueError with one sentence for a patch that the network can't take."""

    name: str = "unet"
    """A name of `BASELINES`."""
    input_size: tuple[int, ...] = (96, 96, 96)
    in_ch: tuple[int, ...] = (1,)
    n_classes: int = 2

    def __post_init__(self) -> None:
        for name in ("input_size", "in_ch"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        step, least = STEPS[self.name]
        fitting = [max(1, ceil(n / step)) * step for n in self.input_size]
        if prod(fitting) < least * step ** len(fitting):
            fitting[0] *= 2
        if tuple(fitting) != self.input_size:
            raise ValueError(f"{self.name} takes no patch of {self.input_size}; {tuple(fitting)} would do")

    @property
    def spatial_dim(self) -> int:
        return len(self.input_size)

    def resized(self, input_size: tuple[int, ...], **changes) -> BaselineConfig:
        """The same for a patch of another size."""
        return replace(self, input_size=input_size, **changes)


class Baseline(nn.Module):
    """A MONAI network that answers in training as VeloxSeg does: a `TrainingOutput` with one segmentation and no teachers."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor | TrainingOutput:
        logits = self.network(x)
        return TrainingOutput([logits], None, None, []) if self.training else logits


def build(name: NetworkName, config: VeloxSegConfig | NCAConfig | BaselineConfig) -> nn.Module:
    """The network `name` with its settings."""
    if name == "nca":
        return NCA(**config.arguments())
    if name == "veloxseg":
        return VeloxSeg(**config.arguments())
    return Baseline(BASELINES[name](sum(config.in_ch), config.n_classes, config.input_size))
