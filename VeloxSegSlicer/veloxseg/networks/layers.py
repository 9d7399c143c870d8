"""Small layers that every part of VeloxSeg uses. Tensors are (B, C, H, W, D), in 2D (B, C, H, W)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class InstanceNorm(nn.Module):
    """Instance norm without affine parameters and running statistics, eps 1e-5 (specification section 3)."""

    def forward(self, x: Tensor) -> Tensor:
        y = F.instance_norm(x, eps=1e-5)
        if y.requires_grad and y.shape[0] == 1:
            # torch's CPU backward gives wrong gradients for a channels-last gradient at batch 1
            y.register_hook(lambda gradient: gradient.contiguous())
        return y


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channel axis at each voxel, eps 1e-6, affine."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, 1e-6).movedim(-1, 1)


class PixelShuffle3d(nn.Module):
    """(B, K*p^3, H, W, D) to (B, K, H*p, W*p, D*p); channel ((k*p + s1)*p + s2)*p + s3 goes to offset (s1, s2, s3)."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w, d = x.shape
        p = self.scale
        x = x.reshape(b, c // p**3, p, p, p, h, w, d).permute(0, 1, 5, 2, 6, 3, 7, 4)
        return x.reshape(b, c // p**3, h * p, w * p, d * p)


Convolution = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d

# By number of spatial axes.
CONV = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED_CONV = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
PIXEL_SHUFFLE = {2: nn.PixelShuffle, 3: PixelShuffle3d}
MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
LINEAR = {2: "bilinear", 3: "trilinear"}


class DropPath(nn.Module):
    """Drops a residual branch per sample with the given probability, in training only (stochastic depth)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        return x * x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep) / keep


def pointwise(c_in: int, c_out: int, spatial_dim: int, bias: bool = True) -> nn.Module:
    """Convolution of kernel size 1."""
    return CONV[spatial_dim](c_in, c_out, 1, bias=bias)


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Linear interpolation to another grid, corners on corners (align_corners)."""
    return F.interpolate(x, size=size, mode=LINEAR[len(size)], align_corners=True)


def split_axes(x: Tensor, block: tuple[int, ...]) -> Tensor:
    """(B, C, H, W, D) to (B, C, H/h, h, W/w, w, D/d, d) for blocks of (h, w, d)."""
    return x.reshape(*x.shape[:2], *(n for size, b in zip(x.shape[2:], block) for n in (size // b, b)))


def init_weights(module: nn.Module) -> None:
    """Kaiming normal (fan in, leaky-relu slope 0.01) for convolutions, zero biases (specification section 4)."""
    if isinstance(module, Convolution):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
