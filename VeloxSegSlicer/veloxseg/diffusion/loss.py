"""What a cellular automaton is trained with (specification section 4): L = L_n + weight * L_RGB."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from veloxseg.networks.nca import NCAConfig, NCAOutput

from .samplers import gaussian
from .schedule import Schedule


class LossTerms(NamedTuple):
    """Scalar tensors; `total` is the one to call backward on, the others are not weighted."""

    total: Tensor
    prediction: Tensor
    """Of the output channel against the noise, the velocity or the mask."""
    readout: Tensor
    """Of the image channels against the mask, each of them."""


def training_loss(
    network: Callable[..., NCAOutput],
    config: NCAConfig,
    image: Tensor,
    mask: Tensor,
    readout_weight: float = 1.0,
    generator: torch.Generator | None = None,
) -> LossTerms:
    """Loss of one call of the network at a uniformly drawn step of the diffusion (of a plain call for "direct").

    network: an `NCA` with this config, or what wraps it for training on several devices. image: (B, in_ch, *spatial) as the
    network takes it. mask: (B, 1, *spatial) with 0 and 1. generator: source of steps, noise and firing cells, else torch's
    global one. The exponential moving average and the augmentation are the trainer's.
    Raises ValueError for shapes that don't fit: a mask that broadcasts would mix the images of a batch.
    """
    if mask.shape != image[:, :1].shape:
        raise ValueError(f"the mask {tuple(mask.shape)} doesn't fit the image {tuple(image.shape)}")
    low, high = config.mask_range
    clean = low + (high - low) * mask.to(image)
    if config.prediction == "direct":
        target, output = clean, network(image, generator=generator)
    else:
        schedule = Schedule(config.diffusion_steps)
        source = image.device if generator is None else generator.device
        t = torch.randint(schedule.steps, (len(image),), generator=generator, device=source).to(image.device)
        noise = gaussian(clean.shape, generator, clean)
        target = schedule.velocity(clean, noise, t) if config.prediction == "v" else noise
        output = network(image, schedule.noisy(clean, noise, t), t, generator)
    prediction = _squared_error(output.prediction, target)
    readout = _squared_error(output.readout, clean.expand(-1, config.in_ch, *clean.shape[2:]))
    return LossTerms(prediction + readout_weight * readout, prediction, readout)


def _squared_error(a: Tensor, b: Tensor) -> Tensor:
    if a.shape != b.shape:
        raise ValueError(f"shapes {tuple(a.shape)} and {tuple(b.shape)} of a loss must be equal")
    return (a - b).square().mean()
