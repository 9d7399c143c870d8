"""Convolutional block attention (CBAM, Woo et al. 2018) as the MedSegDiffNCA variants use it (specification section 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import CBAM_REDUCTION, NCAConfig

PIXEL_KERNEL = 7


class CBAM(nn.Module):
    """State (B, C, *spatial) plus the same state weighted by channel and then by pixel; the shape stays."""

    def __init__(self, config: NCAConfig) -> None:
        super().__init__()
        squeezed = config.channels // CBAM_REDUCTION
        convolution = nn.Conv2d if config.spatial_dim == 2 else nn.Conv3d
        self.squeeze = nn.Linear(config.channels, squeezed)
        self.excite = nn.Linear(squeezed, config.channels)
        self.pixels = convolution(2, 1, PIXEL_KERNEL, padding=PIXEL_KERNEL // 2, bias=False)

    def forward(self, state: Tensor) -> Tensor:
        space = tuple(range(2, state.ndim))
        gate = torch.sigmoid(self._channels(state.amax(space)) + self._channels(state.mean(space)))
        attended = state * gate.reshape(*gate.shape, *(1 for _ in space))
        pooled = torch.cat([attended.amax(1, keepdim=True), attended.mean(1, keepdim=True)], dim=1)
        return state + attended * torch.sigmoid(self.pixels(pooled))

    def _channels(self, pooled: Tensor) -> Tensor:
        return self.excite(F.relu(self.squeeze(pooled)))
