"""One step of a cellular automaton: every cell looks at its neighbors, and those that fire change (section 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import CBAM
from .config import NCAConfig

LEAK = 0.01
CELLS_AT_ONCE = 4096
"""Bounds the memory for hidden units and keeps them in the processor's cache."""


def draw_fire(shape: tuple[int, ...], rate: float, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Which cells fire in one step, bool of `shape` on `device`.

    Drawn on the generator's own device, so that a CPU generator gives the same cells whatever `device` is.
    """
    source = device if generator is None else generator.device
    return (torch.rand(shape, generator=generator, device=source) < rate).to(device)


class Rule(nn.Module):
    """The rule of one level, shared by all its cells and steps. A new rule changes nothing: its last layer is zero."""

    def __init__(self, config: NCAConfig, kernel: int) -> None:
        super().__init__()
        channels, full = config.channels, config.perception == "full"
        convolution = nn.Conv2d if config.spatial_dim == 2 else nn.Conv3d
        self.cbam = CBAM(config) if config.cbam else None
        # The two full convolutions of the paper, as one of twice the width: same weights, less traffic.
        self.perceive = convolution(channels, channels * (2 if full else 1), kernel, groups=1 if full else channels)
        self.fc0 = nn.Linear(channels + self.perceive.out_channels, config.hidden)
        self.norm = nn.LayerNorm(config.hidden) if config.norm == "cell" else None
        self.fc1 = nn.Linear(config.hidden, channels, bias=False)
        nn.init.zeros_(self.fc1.weight)
        self.margins = (kernel // 2,) * (2 * config.spatial_dim)

    def forward(self, state: Tensor, fire: Tensor, sparse: bool) -> Tensor:
        """The next state (B, C, *spatial); every axis is longer than the kernel's radius.

        fire: (B, 1, *spatial) bool. sparse: compute the changes of firing cells only. Both ways give the same numbers up
        to rounding; the state itself is never attended to, only what cells see of it.
        """
        seen = state if self.cbam is None else self.cbam(state)
        perceived = _cells(self.perceive(F.pad(seen, self.margins, mode="reflect")))
        # In half precision the cells lie in single all the same: only what they see and how they change is rounded.
        cells, seen = _cells(state), _cells(seen).to(perceived.dtype)
        if sparse:
            firing = fire.flatten().nonzero().squeeze(1)
            # Taken out once and then cut: the gradient of every cut would else be as large as the image.
            inputs = torch.cat([seen.index_select(0, firing), perceived.index_select(0, firing)], dim=1)
            changes = torch.cat([self._change(some) for some in inputs.split(CELLS_AT_ONCE)])
            cells = cells.index_add(0, firing, changes.to(cells.dtype))
        else:
            cells = cells + self._change(torch.cat([seen, perceived], dim=1)) * fire.reshape(-1, 1)
        return cells.reshape(state.shape[0], *state.shape[2:], -1).movedim(-1, 1)

    def _change(self, inputs: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.fc0(inputs), LEAK)
        return self.fc1(hidden if self.norm is None else self.norm(hidden))


def _cells(state: Tensor) -> Tensor:
    """(B, C, *spatial) as one row per cell, (B * cells, C); free of copies when channels lie last in memory."""
    return state.movedim(1, -1).reshape(-1, state.shape[1])
