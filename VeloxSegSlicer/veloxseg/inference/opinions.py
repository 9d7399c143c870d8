"""Several passes of networks over one volume: their mean, and where and how much they differ."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from veloxseg.inference.case import Network
from veloxseg.inference.progress import Listener, Run


class Opinions(NamedTuple):
    """On the working grid.

    classes: mean probabilities (K, x, y, z). variance: over the passes, of the class in which they differ most, 0 to 0.25.
    agreement: Dice of the masks of two passes, all pairs and labels pooled, 1 when all are empty. Both are None for one pass.
    """

    classes: torch.Tensor
    variance: torch.Tensor | None
    agreement: float | None


class _Part:
    """A listener that hears one of several passes and tells of all as one."""

    def __init__(self, listener: Listener, before: int, passes: int) -> None:
        self._listener, self._before, self._passes = listener, before, passes
        self.stage, self.note, self.cancelled = listener.stage, listener.note, listener.cancelled

    def progress(self, done: int, total: int) -> None:
        self._listener.progress(self._before * total + done, self._passes * total)


def opinions(
    probabilities: Callable[[Network, Run], torch.Tensor], networks: Sequence[Network], threshold: float | None, run: Run
) -> Opinions:
    """All passes, one after the other; only their sums are kept.

    probabilities: the class probabilities (K, x, y, z) that a network gives to the image; hears of `run`. networks: one for
    every pass. threshold: of the one label, None for several labels, of which the most probable class counts.
    """
    if len(networks) == 1:
        return Opinions(probabilities(networks[0], run), None, None)
    for before, network in enumerate(networks):
        found = probabilities(network, _listening(run, before, len(networks)))
        if not before:
            mean, squares, votes = torch.zeros_like(found), torch.zeros_like(found), torch.zeros_like(found, dtype=torch.int16)
        labels = _labels(found, threshold)
        votes.scatter_add_(0, labels[None], torch.ones_like(labels, dtype=torch.int16)[None])
        # Welford's update in place: these maps are large
        away = found.sub_(mean)
        mean.add_(away, alpha=1 / (before + 1))
        squares.addcmul_(away, away, value=before / (before + 1))
    return Opinions(mean, squares.amax(dim=0).div_(len(networks)), _agreement(votes[1:], len(networks)))


def _listening(run: Run, before: int, passes: int) -> Run:
    part = copy.copy(run)
    part.listener = _Part(run.listener, before, passes)
    return part


def _labels(classes: torch.Tensor, threshold: float | None) -> torch.Tensor:
    return classes.argmax(dim=0) if threshold is None else (1 - classes[0] >= threshold).long()


def _agreement(votes: torch.Tensor, passes: int) -> float:
    """votes: (labels, x, y, z), in how many passes a voxel had a label."""
    size = sum(int(label.sum()) for label in votes)
    shared = sum(int((label * (label.long() - 1)).sum()) for label in votes)
    return shared / ((passes - 1) * size) if size else 1.0
