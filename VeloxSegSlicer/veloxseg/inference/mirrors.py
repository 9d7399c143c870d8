"""The mirror image as a second opinion: an anatomy as it could be, which a steady network segments alike.

Only left and right are exchanged; networks never saw a patient upside down (training/augmentation.py). Where labels are of one
side of the body, left and right change their names, too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from veloxseg.inference.case import Network
from veloxseg.inference.progress import Listener, Run

LEFT_RIGHT = 2  # axis x of (B, C, x, y, z)


class Opinions(NamedTuple):
    """Of the image and its mirror image, on the working grid.

    classes: mean probabilities (K, x, y, z). variance: over the two, of the class in which they differ most, 0 to 0.25.
    agreement: Dice of the two masks, all labels pooled, 1 when both are empty.
    """

    classes: torch.Tensor
    variance: torch.Tensor
    agreement: float


class Mirrored:
    """A network that looks at every window in the mirror. Its answer lies the right way round.

    classes: what each class is in the mirror, see `contract.card.Card.mirrored_classes`.
    """

    def __init__(self, network: Network, classes: Sequence[int]) -> None:
        self.relative = getattr(network, "relative", False)
        self._network = network
        # a relative network does not answer for class 0, which is itself in the mirror
        self._classes = [number - 1 for number in classes[1:]] if self.relative else list(classes)

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        return self._network(windows.flip(LEFT_RIGHT)).flip(LEFT_RIGHT)[:, self._classes]


class _Half:
    """A listener that hears one of two passes and tells of both as one."""

    def __init__(self, listener: Listener, passes_before: int) -> None:
        self._listener, self._before = listener, passes_before
        self.stage, self.note, self.cancelled = listener.stage, listener.note, listener.cancelled

    def progress(self, done: int, total: int) -> None:
        self._listener.progress(self._before * total + done, 2 * total)


def opinions(
    probabilities: Callable[[Network, Run], torch.Tensor],
    network: Network,
    classes: Sequence[int],
    threshold: float | None,
    run: Run,
) -> Opinions:
    """Both passes, one after the other.

    probabilities: the class probabilities (K, x, y, z) that a network gives to the image; hears of `run`. classes: what each
    class is in the mirror. threshold: of the one label, None for several labels, of which the most probable class counts.
    """
    first, second = (
        probabilities(seen, _listening(run, number)) for number, seen in enumerate((network, Mirrored(network, classes)))
    )
    agreement = _agreement(_labels(first, threshold), _labels(second, threshold))
    variance = ((first - second) / 2).square_().amax(dim=0)
    return Opinions(first.add_(second).div_(2), variance, agreement)


def _listening(run: Run, passes_before: int) -> Run:
    part = copy.copy(run)
    part.listener = _Half(run.listener, passes_before)
    return part


def _labels(classes: torch.Tensor, threshold: float | None) -> torch.Tensor:
    return classes.argmax(dim=0) if threshold is None else (1 - classes[0] >= threshold).long()


def _agreement(first: torch.Tensor, second: torch.Tensor) -> float:
    size = int((first > 0).sum()) + int((second > 0).sum())
    return 2 * int(((first == second) & (first > 0)).sum()) / size if size else 1.0
