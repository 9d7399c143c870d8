"""Segmentation by a cellular automaton on one or several grids, as the network of a diffusion or on its own.

Written from a description of MedSegDiffNCA (arXiv 2501.02447) and, in 3D, of the M3D-NCA backbone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .config import NCAConfig
from .rule import Rule, draw_fire
from .tiles import boxes


class NCAOutput(NamedTuple):
    """What the last step leaves in the cells."""

    prediction: Tensor
    """(B, n_classes - 1, *spatial): noise, velocity, mask or logits, as `NCAConfig.prediction` says."""
    readout: Tensor
    """(B, in_ch, *spatial): the image channels, which training turns into the mask."""


class NCA(nn.Module):
    """A cellular automaton with the arguments of `NCAConfig` (which checks them); 2D and 3D.

    `sparse` and `checkpointing` change time and memory, never the result: `sparse` computes firing cells only (None: on
    the CPU, where this is faster), `checkpointing` recomputes each step in the backward pass.
    """

    def __init__(self, *arguments, **keywords) -> None:
        super().__init__()
        self.config = NCAConfig(*arguments, **keywords)
        self.rules = nn.ModuleList(Rule(self.config, kernel) for kernel in self.config.kernels)
        self.sparse: bool | None = None
        self.checkpointing = False

    def forward(
        self,
        image: Tensor,
        noisy: Tensor | None = None,
        t: Tensor | None = None,
        generator: torch.Generator | None = None,
        tile: int | None = None,
    ) -> NCAOutput:
        """One run of all levels.

        image: (B, in_ch, *spatial) of any size, scaled to about -1 to 1. noisy: (B, 1, *spatial), the noisy mask; t: (B,)
        integers from 0 to diffusion_steps - 1; both are left out without a diffusion. generator: source of the
        firing cells, else torch's global one. tile: cells per axis of the pieces in which the finest level is computed,
        exact up to rounding, to save memory.
        Raises ValueError for images of another shape, for a missing or unwanted noisy mask, and for tiles of a network
        that needs the whole image at once.
        """
        self._check(image, noisy, t, tile)
        if noisy is None or t is None:
            noisy, t = torch.zeros_like(image[:, :1]), image.new_zeros(len(image))
        time = self.config.time(t).to(image)
        pyramid = [self._grown(torch.cat([image, noisy], dim=1))]
        while len(pyramid) < self.config.levels:
            pyramid.insert(0, self._shrunk(pyramid[0]))
        state: Any = None  # of the coarser level
        for rule, inputs in zip(self.rules, pyramid, strict=True):
            fires = self._fires(inputs, generator)
            if tile is not None and inputs is pyramid[-1]:
                state = self._tiled(rule, state, inputs, time, list(fires), tile)
            else:
                state = self._level(rule, state, inputs, time, fires)
        outputs = self.config.outputs
        kept = (slice(None), slice(outputs + self.config.in_ch), *(slice(n) for n in image.shape[2:]))
        return NCAOutput(state[kept][:, :outputs], state[kept][:, outputs:])

    def _check(self, image: Tensor, noisy: Tensor | None, t: Tensor | None, tile: int | None) -> None:
        config = self.config
        if image.ndim != 2 + config.spatial_dim or image.shape[1] != config.in_ch:
            raise ValueError(
                f"expected images of {config.in_ch} channel(s) and {config.spatial_dim} axes, got {tuple(image.shape[1:])}"
            )
        if (noisy is not None, t is not None) != (config.diffuses,) * 2:
            need = "a" if config.diffuses else "no"
            raise ValueError(f"the {config.prediction} prediction takes {need} noisy mask and {need} time")
        if noisy is not None and t is not None and (noisy.shape != image[:, :1].shape or t.shape != image.shape[:1]):
            raise ValueError(
                f"the noisy mask {tuple(noisy.shape)} and the times {tuple(t.shape)} don't fit the image {tuple(image.shape)}"
            )
        if tile is not None and (tile < 1 or not config.local):
            raise ValueError("tiles need at least one cell and a network without attention and position")

    def _grown(self, inputs: Tensor) -> Tensor:
        """Reflected at the end of each axis to a size that all levels can work with."""
        config = self.config
        multiple = config.factor ** (config.levels - 1)
        least = max((k // 2 + 1) * config.factor ** (config.levels - 1 - i) for i, k in enumerate(config.kernels))
        for axis in range(2, inputs.ndim):
            length = inputs.shape[axis]
            size = -(-max(length, least) // multiple) * multiple
            if size > length:
                # Also for images that are shorter than what is missing, where torch's own padding gives up.
                index = torch.arange(size, device=inputs.device) % max(2 * (length - 1), 1)
                inputs = inputs.index_select(axis, torch.minimum(index, 2 * (length - 1) - index))
        return inputs

    def _shrunk(self, inputs: Tensor) -> Tensor:
        """Linear interpolation without a filter: the noise that a coarse level sees depends on this choice."""
        size = [n // self.config.factor for n in inputs.shape[2:]]
        mode = "bilinear" if inputs.ndim == 4 else "trilinear"
        return F.interpolate(inputs, size=size, mode=mode, align_corners=False)

    def _fires(self, inputs: Tensor, generator: torch.Generator | None) -> Iterable[Tensor]:
        shape = (len(inputs), 1, *inputs.shape[2:])
        return (draw_fire(shape, self.config.fire_rate, generator, inputs.device) for _ in range(self.config.steps))

    def _level(self, rule: nn.Module, coarse: Tensor | None, inputs: Tensor, time: Tensor, fires: Iterable[Tensor]) -> Tensor:
        """State (B, channels, *spatial) of one level after its steps; `coarse` is the state of the level before."""
        state = self._seed(coarse, inputs, time)
        sparse = state.device.type == "cpu" if self.sparse is None else self.sparse
        for fire in fires:
            if self.checkpointing and torch.is_grad_enabled():
                state = checkpoint(rule, state, fire, sparse, use_reentrant=False)
            else:
                state = rule(state, fire, sparse)
        return state

    def _seed(self, coarse: Tensor | None, inputs: Tensor, time: Tensor) -> Tensor:
        """Cells with their inputs written over the grown state of the coarser level, if there is one."""
        batch, space, outputs = len(inputs), inputs.shape[2:], self.config.outputs
        tail = [time.reshape(-1, *(1 for _ in range(inputs.ndim - 1))).expand(batch, 1, *space)]
        if self.config.use_position:
            tail.insert(0, _position(inputs).expand(batch, 1, *space))
        memory = self.config.channels - outputs - inputs.shape[1] - len(tail)
        if coarse is None:
            head, middle = inputs.new_zeros(batch, outputs, *space), inputs.new_zeros(batch, memory, *space)
        else:
            grown = F.interpolate(coarse, size=space, mode="nearest")
            head, middle = grown[:, :outputs], grown[:, outputs + inputs.shape[1] :][:, :memory]
        state = torch.cat([head, inputs, middle, *tail], dim=1)
        return state.contiguous(memory_format=torch.channels_last if state.ndim == 4 else torch.channels_last_3d)

    def _tiled(
        self, rule: nn.Module, coarse: Tensor | None, inputs: Tensor, time: Tensor, fires: list[Tensor], tile: int
    ) -> Tensor:
        """The outputs and image channels of `_level`, tile by tile."""
        factor = self.config.factor if coarse is not None else 1
        kept = self.config.outputs + self.config.in_ch
        output = inputs.new_empty(len(inputs), kept, *inputs.shape[2:])
        halo = self.config.steps * (self.config.kernels[-1] // 2)
        for place, needed, inside in boxes(inputs.shape[2:], tile, halo, factor):
            cut: tuple[slice, ...] = (slice(None), slice(None), *needed)
            outer: tuple[slice, ...] = (slice(None), slice(None), *place)
            coarser = [slice(s.start // factor, s.stop // factor) for s in needed]
            below = None if coarse is None else coarse[(slice(None), slice(None), *coarser)]
            state = self._level(rule, below, inputs[cut], time, [fire[cut] for fire in fires])
            output[outer] = state[(slice(None), slice(kept), *inside)]
        return output


def _position(inputs: Tensor) -> Tensor:
    """(*spatial): the mean over the axes of the place from 0 to 1."""
    axes = [torch.linspace(0, 1, n, device=inputs.device, dtype=inputs.dtype) for n in inputs.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).mean(0)
