"""Johnson-Lindenstrauss guided convolution blocks and the resampling convolutions around them (specification 3.2-3.4)."""

from __future__ import annotations

from torch import Tensor, nn

from .config import VeloxSegConfig
from .layers import CONV, TRANSPOSED_CONV, InstanceNorm, pointwise


class Down(nn.Module):
    """Strided convolution (kernel 2r-1, stride r) and instance norm."""

    def __init__(self, c_in: int, c_out: int, stride: int, spatial_dim: int) -> None:
        super().__init__()
        self.down = CONV[spatial_dim](c_in, c_out, 2 * stride - 1, stride, stride - 1)
        self.norm = InstanceNorm()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.down(x))


class Up(nn.Module):
    """Transposed convolution that doubles the grid and halves the channels, and instance norm."""

    def __init__(self, channels: int, spatial_dim: int) -> None:
        super().__init__()
        self.up = TRANSPOSED_CONV[spatial_dim](channels, channels // 2, 2, 2)
        self.norm = InstanceNorm()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.up(x))


class JLCBlock(nn.Module):
    """Parallel grouped convolutions of several kernel sizes, then channel mixing; both residual."""

    def __init__(self, channels: int, groups: int, expansion: int, config: VeloxSegConfig) -> None:
        super().__init__()
        conv = CONV[config.spatial_dim]
        convs: list[nn.Module] = [conv(channels, channels, k, padding=k // 2, groups=groups) for k in config.kernel_sizes]
        if len(convs) > 1:
            convs = [nn.Sequential(conv, InstanceNorm(), config.activation()) for conv in convs]
        self.spatial_convs = nn.ModuleList(convs)
        self.channel_conv = nn.Sequential(
            InstanceNorm(),
            pointwise(channels, channels * expansion, config.spatial_dim),
            config.activation(),
            pointwise(channels * expansion, channels, config.spatial_dim),
            nn.Dropout(config.conv_drop),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for branch in self.spatial_convs:
            h = h + branch(x)
        return h + self.channel_conv(h)


def jlc_layer(stage: int, config: VeloxSegConfig) -> nn.Sequential:
    """The JLC blocks of one stage (0-based)."""
    channels = config.conv_channels(stage)
    groups = channels // config.min_dim_group[stage]
    expansion = config.conv_expansion_factor[stage]
    return nn.Sequential(*(JLCBlock(channels, groups, expansion, config) for _ in range(config.conv_depths[stage])))
