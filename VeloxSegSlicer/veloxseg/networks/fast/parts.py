"""What every part of the fast form uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CACHE = 2**20
"""Numbers that may lie between two steps at once: more are fetched from main memory again."""
FEW_CHANNELS = 32
Plain = Any
"""A module of the plain form; the docstring says which. torch gives its children no type that knows their weights."""


class Part(nn.Module):
    """A module that computes with weights composed from those of a plain one.

    Composed once they are copies that move with the module (inference); composed anew in every step they lead gradients
    to the plain weights (training). They are never saved: files hold the plain form.
    """

    def __init__(self, *plain: nn.Module) -> None:
        super().__init__()
        self._plain = plain  # in a tuple: not a child, whose weights would be listed twice

    if TYPE_CHECKING:
        # composed weights become attributes that no line of the class names

        def __getattr__(self, name: str) -> Any: ...

    def compose(self, *plain: Plain) -> Mapping[str, Tensor | None]:
        """The weights by name of attribute; differentiable."""
        return {}

    def renew(self) -> None:
        """Composes the weights, for one step."""
        # past the module, which would take them for buffers or parameters of its own
        self.__dict__.update(self.compose(*self._plain))

    def freeze(self) -> None:
        """Composes the weights for good; the plain module isn't needed any more."""
        for name, value in self.compose(*self._plain).items():
            self.keep(name, None if value is None else value.detach().clone(memory_format=torch.preserve_format))
        self._plain = ()

    def keep(self, name: str, value: Tensor | None) -> None:
        """Makes a tensor an attribute that moves with the module."""
        self.register_buffer(name, value, persistent=False)


def matrix(weight: Tensor) -> Tensor:
    """(C, C') of the weight of a 1x1x1 convolution."""
    return weight.flatten(1).T.contiguous()


def without_bias(conv: Plain) -> Tensor:
    """The weight of a convolution whose bias has no effect, because a norm follows.

    The bias stays in the graph: several processes train together only when every parameter gets a gradient.
    """
    return conv.weight if conv.bias is None else conv.weight + 0 * conv.bias.sum()


def piecewise(function: Callable[[Tensor], Tensor], x: Tensor, axis: int, numbers: int) -> Tensor:
    """function(x), whose rows along `axis` don't depend on each other and have `numbers` numbers each on the way.

    On a processor piece by piece, so that what lies between stays in the cache; with gradients or elsewhere in one go.
    """
    found = [function(piece) for piece in pieces(x, axis, numbers)]
    return found[0] if len(found) == 1 else torch.cat(found, axis)


def add_piecewise(target: Tensor, function: Callable[[Tensor], Tensor], x: Tensor, axis: int, numbers: int) -> None:
    """target += function(x), in the way of `piecewise`; `x` may be `target` itself."""
    for part, piece in zip(pieces(target, axis, numbers), pieces(x, axis, numbers)):
        part += function(piece)


def pieces(x: Tensor, axis: int, numbers: int) -> tuple[Tensor, ...]:
    """See `piecewise`."""
    if torch.is_grad_enabled() or not x.is_cpu:
        return (x,)
    return x.split(max(CACHE // numbers, 1), axis)


def total(terms: Iterable[Tensor]) -> Tensor:
    """Sum of tensors that nobody else needs: the first one holds the result."""
    terms = iter(terms)
    result = next(terms)
    for term in terms:
        result += term
    return result


def rows(x: Tensor, order: Tensor) -> Tensor:
    """(M, B, n, C) with its rows in another order: `order` (n) is a permutation."""
    return Rows.apply(x, order) if torch.is_grad_enabled() else take(x, order)


class Rows(torch.autograd.Function):
    """See `rows`."""

    @staticmethod
    def forward(ctx, x: Tensor, order: Tensor) -> Tensor:
        ctx.order = order
        return take(x, order)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        back = torch.empty_like(ctx.order)
        back[ctx.order] = torch.arange(len(back), device=back.device)
        return take(gradient, back), None


def take(x: Tensor, wanted: Tensor) -> Tensor:
    """(M, B, n, C) to (M, B, m, C): the rows `wanted` (m)."""
    y = x.new_empty(*x.shape[:2], len(wanted), x.shape[3])
    # along the first axis torch copies whole rows; along a later one it is ten times slower
    for source, target in zip(x.flatten(0, 1), y.flatten(0, 1)):
        torch.index_select(source, 0, wanted, out=target)
    return y


def layer_norm(x: Tensor, eps: float) -> Tensor:
    """Layer norm of the last axis without affine part; half precision becomes float32."""
    x = single(x)
    return LayerNorm.apply(x, eps) if torch.is_grad_enabled() else normed_rows(x, eps)[0]


def instance_norm(x: Tensor, eps: float) -> Tensor:
    """Instance norm of (B, H, W, D, C) over its voxels; half precision becomes float32.

    torch's own is slow with channels last, and has wrong gradients at batch 1.
    """
    voxels = single(x).flatten(1, 3)
    return (InstanceNormFunction.apply(voxels, eps) if torch.is_grad_enabled() else normed_columns(voxels, eps)[0]).view(x.shape)


def single(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def normed_rows(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The layer norm of the last axis, and 1 / standard deviation."""
    n = x.shape[-1]
    if n <= FEW_CHANNELS and x.is_cpu and not torch.is_autocast_enabled("cpu"):
        # sums of short rows are three times as fast as products with a constant matrix
        center, mean = row_sums(n, x.dtype)
        y = x @ center
        scale = ((y * y) @ mean).add_(eps).rsqrt_()
        return y.mul_(scale), scale
    y, _, scale = torch.native_layer_norm(x, (n,), None, None, eps)
    return y, scale


@cache
def row_sums(n: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Matrices (n, n) and (n, 1) that subtract the mean from rows of n numbers, and that give the mean."""
    return torch.eye(n, dtype=dtype) - 1 / n, torch.full((n, 1), 1 / n, dtype=dtype)


def normed_columns(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The instance norm (B, n, C) over n, and 1 / standard deviation (B, C)."""
    # a batch norm of one row per voxel
    samples = [torch.native_batch_norm(sample, None, None, None, None, True, 0.0, eps) for sample in x]
    if len(samples) == 1:
        y, _, scale = samples[0]
        return y[None], scale[None]
    ys, _, scales = zip(*samples)
    return torch.stack(ys), torch.stack(scales)


class Norm(torch.autograd.Function):
    """What the backward passes of both norms have in common: y and 1 / standard deviation along an axis are all they need."""

    AXIS: int

    @classmethod
    def backward(cls, ctx, gradient: Tensor) -> tuple[Tensor, None]:
        y, scale = ctx.saved_tensors
        shared = gradient.mean(cls.AXIS, keepdim=True)
        along = (gradient * y).mean(cls.AXIS, keepdim=True)
        return (gradient - shared).addcmul_(y, along, value=-1).mul_(scale), None


class LayerNorm(Norm):
    """See `layer_norm`."""

    AXIS = -1

    @staticmethod
    def forward(ctx, x: Tensor, eps: float) -> Tensor:
        y, scale = normed_rows(x, eps)
        ctx.save_for_backward(y, scale)
        return y


class InstanceNormFunction(Norm):
    """See `instance_norm`; (B, n, C)."""

    AXIS = 1

    @staticmethod
    def forward(ctx, x: Tensor, eps: float) -> Tensor:
        y, scale = normed_columns(x, eps)
        ctx.save_for_backward(y, scale.unsqueeze(1))
        return y


class Dropout(nn.Module):
    """Dropout with random bits in place of random numbers, which on a processor would cost more than the layers around."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        if not x.is_cpu:
            return F.dropout(x, self.probability)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        dropped = round(self.probability * 2**16)
        mask = bits[: x.numel()].view(x.shape) < dropped - 2**15
        return x.masked_fill(mask, 0) * (2**16 / (2**16 - dropped))
