"""The mirror image as a second opinion: an anatomy as it could be, which a steady network segments alike.

Only left and right are exchanged; networks never saw a patient upside down (training/augmentation.py). Where labels are of one
side of the body, left and right change their names, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from veloxseg.inference.case import Network

LEFT_RIGHT = 2  # axis x of (B, C, x, y, z)


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
