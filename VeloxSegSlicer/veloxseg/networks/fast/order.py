"""The order of tokens in which attention windows need no copies, and resizing inside windows as a matrix.

In window order the tokens of every window of every scale are neighbors: windows of the coarsest scale come first,
inside each of them those of the next finer scale, and so on down to the tokens of the finest window in C order.
Positions are rows of flat token arrays; grids and windows are in voxels, axis order (1, 2, 3).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Plan = list[tuple[tuple[int, ...], tuple[int, ...]]]


def window_order(grid: tuple[int, ...], plan: Plan, scale: int = 0, cell: tuple[int, ...] = (1, 1, 1)) -> np.ndarray:
    """Coordinates (n, 3) of the cells of `cell` voxels that tile the grid, in the window order of scales >= `scale`."""
    counts = [n // c for n, c in zip(grid, cell)]
    cells = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), -1).reshape(-1, 3)
    keys = [cells[:, axis] for axis in (2, 1, 0)]
    for big, _ in plan[scale:]:
        windows = cells * cell // big
        keys += [windows[:, axis] for axis in (2, 1, 0)]
    # lexsort takes the last key first
    return cells[np.lexsort(keys)]


def positions(order: np.ndarray, wanted: np.ndarray) -> Tensor:
    """Row in `order` (n, 3) of each coordinate in `wanted` (m, 3)."""
    table = np.empty(order.max(0) + 1, dtype=np.int64)
    table[tuple(order.T)] = np.arange(len(order))
    return torch.from_numpy(table[tuple(wanted.T)])


def children(parents: np.ndarray, factor: tuple[int, ...]) -> np.ndarray:
    """Coordinates (n, f, 3) of the finer cells inside each parent (n, 3), f the product of `factor`, in C order."""
    offsets = np.stack(np.meshgrid(*(np.arange(f) for f in factor), indexing="ij"), -1).reshape(-1, 3)
    return parents[:, None] * np.array(factor) + offsets


def resize_matrix(tokens: tuple[int, ...], big: tuple[int, ...], order: np.ndarray) -> Tensor:
    """(voxels of `big`, tokens): trilinear resizing with aligned corners, rows in window order, float64.

    `order` are the grid's coordinates in window order; its first rows are those of the first big window.
    """
    inside = order[: int(np.prod(big))]
    axes = [resize_axis(n, b)[inside[:, axis]] for axis, (n, b) in enumerate(zip(tokens, big))]
    return torch.from_numpy(np.einsum("vi,vj,vk->vijk", *axes).reshape(len(inside), -1))


def resize_axis(n: int, size: int) -> np.ndarray:
    """(size, n): linear resizing of one axis with aligned corners, float64."""
    place = np.arange(size) * ((n - 1) / max(size - 1, 1))
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(n)))
