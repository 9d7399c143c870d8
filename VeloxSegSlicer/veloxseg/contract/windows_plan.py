"""Where the windows of a volume lie. The rules (steps, border, padding) are those of MONAI's sliding window, which the published
network was used with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WindowPlan:
    """Windows of one size over volumes of any size, whose axes are those of `size`.

    Attributes:
        size: of a window in voxels (x, y, z).
        overlap: of neighbors as a share of the window, 0 to 0.9.
        blend: "constant", or "gaussian", which gives a window's center more weight than its border.

    Example:
        >>> plan = WindowPlan((96, 96, 96), 0.25)
        >>> plan.starts((200, 96, 40))
        [[0, 72, 104], [0], [0]]
        >>> plan.count((200, 96, 40))
        3
    """

    size: tuple[int, ...]
    overlap: float
    blend: str = "gaussian"

    def padded(self, volume: Sequence[int]) -> tuple[int, ...]:
        """Size of a volume whose axes were made at least as long as the window."""
        return tuple(max(length, window) for length, window in zip(volume, self.size, strict=True))

    def starts(self, volume: Sequence[int]) -> list[list[int]]:
        """First voxels of the windows along each axis of the padded volume.

        The step is int(window * (1 - overlap)), at least 1; the last window of an axis is shifted back to end at the border.
        """
        starts = []
        for length, window in zip(self.padded(volume), self.size, strict=True):
            step, last = max(int(window * (1 - self.overlap)), 1), length - window
            starts.append([*range(0, last, step), last])
        return starts

    def corners(self, volume: Sequence[int]) -> list[tuple[int, ...]]:
        """First corner of every window in the padded volume, last axis fastest."""
        return list(itertools.product(*self.starts(volume)))

    def count(self, volume: Sequence[int]) -> int:
        """How many windows there are."""
        return math.prod(map(len, self.starts(volume)))
