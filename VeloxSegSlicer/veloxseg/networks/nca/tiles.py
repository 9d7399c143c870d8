"""Exact tiles of a cellular automaton: what a cell becomes depends on `steps` x `radius` neighbors and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

Box = tuple[slice, ...]


def boxes(size: Sequence[int], tile: int, halo: int, multiple: int) -> Iterator[tuple[Box, Box, Box]]:
    """For every tile: its place in the grid, the larger place that it depends on, and its place inside the latter.

    size: cells per axis of the grid, each a multiple of `multiple`; tile, halo: cells. The larger places begin and end at
    multiples of `multiple`, where a coarser grid can be cut, and stop at the border of the grid.
    """
    step = -(-tile // multiple) * multiple
    margin = -(-halo // multiple) * multiple
    for corner in product(*(range(0, length, step) for length in size)):
        ends = [min(start + step, length) for start, length in zip(corner, size, strict=True)]
        starts = [max(start - margin, 0) for start in corner]
        yield (
            tuple(slice(start, end) for start, end in zip(corner, ends, strict=True)),
            tuple(slice(start, min(end + margin, length)) for start, end, length in zip(starts, ends, size, strict=True)),
            tuple(slice(a - start, end - start) for a, end, start in zip(corner, ends, starts, strict=True)),
        )
