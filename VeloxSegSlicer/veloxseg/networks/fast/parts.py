"""What every part of the fast form uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Frozen(nn.Module):
    """A module whose weights are copies that move with it but can neither be trained nor saved: files hold the plain form."""

    def keep(self, name: str, value: Tensor | None) -> None:
        """Keeps a copy of a tensor as an attribute."""
        self.register_buffer(name, None if value is None else value.detach().clone(), persistent=False)


def matrix(conv: nn.Conv3d) -> Tensor:
    """(C, C') of a 1x1x1 convolution."""
    return conv.weight.flatten(1).T.contiguous()


def rows(x: Tensor, wanted: Tensor) -> Tensor:
    """(M, B, n, C) to (M, B, m, C): the rows `wanted` (m)."""
    y = x.new_empty(*x.shape[:2], len(wanted), x.shape[3])
    # along the first axis torch copies whole rows; along a later one it is ten times slower
    for source, target in zip(x.flatten(0, 1), y.flatten(0, 1)):
        torch.index_select(source, 0, wanted, out=target)
    return y
