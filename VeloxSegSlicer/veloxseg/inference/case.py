"""What a case is computed with: a model's card and network, and the network's input."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from veloxseg.contract.card import Card
from veloxseg.imaging import images

Network = Callable[[torch.Tensor], torch.Tensor]


class Package(Protocol):
    """What the pipeline needs of a model package."""

    @property
    def card(self) -> Card: ...

    def network(self, device: torch.device) -> Network:
        """The network, in eval mode, on a device."""


@dataclass(frozen=True)
class Prepared:
    """Network input: `volume` (C, x, y, z) float32 on the working `grid`, and each channel's value of empty
    space."""

    volume: torch.Tensor
    grid: images.Grid
    pad_values: list[float]

    def part(self, low: np.ndarray, high: np.ndarray) -> "Prepared":
        """The voxels from index `low` to before `high`, each (x, y, z)."""
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        origin = tuple(float(v) for v in self.grid.world(np.asarray(low, dtype=np.float64)[None])[0])
        size = tuple((np.asarray(high) - np.asarray(low)).tolist())
        grid = images.Grid(size, self.grid.spacing, origin, self.grid.direction)
        return Prepared(self.volume[(slice(None), *box)].contiguous(), grid, self.pad_values)
