"""From pure noise to a mask in few calls of a network (specification section 7).

DDPM: Ho et al. 2020, on a grid of steps; DDIM with eta 0: Song et al. 2021; DPM-Solver++(2M): Lu et al. 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, log, sqrt
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from .schedule import Schedule

Method = Literal["ddim", "ddpm", "dpm++"]


class _Estimate(NamedTuple):
    mask: Tensor
    noise: Tensor
    now: float
    """Squared signal."""


def gaussian(shape: Sequence[int], generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Unit white noise of the kind of `like`, drawn on the generator's own device (without one, on that of `like`)."""
    source = like.device if generator is None else generator.device
    return torch.randn(tuple(shape), generator=generator, device=source).to(like)


def sample(
    predict: Callable[[Tensor, int, torch.Generator | None], Tensor],
    start: Tensor,
    schedule: Schedule,
    times: Sequence[int],
    prediction: str,
    mask_range: tuple[float, float] = (-1.0, 1.0),
    method: Method = "ddim",
    generator_at: Callable[[int], torch.Generator | None] = lambda call: None,
) -> Tensor:
    """From a noisy mask to a mask in `len(times)` calls of a network.

    Args:
        predict: (noisy, t, generator) -> noise or velocity, as `prediction` says, of the shape of `start`.
        start: (B, 1, *spatial), the noisy mask at times[0].
        schedule: that the network was trained with.
        times: falling steps, usually `schedule.grid(calls)`.
        prediction: "noise" or "v".
        mask_range: lowest and highest value of a mask.
        method: "ddpm" (Ho et al. 2020), "ddim" with eta 0 (Song et al. 2021) or "dpm++", DPM-Solver++(2M) (Lu et al. 2022).
        generator_at: number of a call -> source of everything random in it, the noise that DDPM adds included.

    Returns:
        The mask (B, 1, *spatial), within `mask_range`.

    Raises:
        ValueError: for an unknown method, and for times that don't fall.

    Example:
        >>> truth = torch.ones(1, 1, 4, 4)
        >>> schedule = Schedule(100)
        >>> def knows(noisy, t, generator):  # a network that knows the noise
        ...     signal, spread = schedule.parts(t, noisy)
        ...     return (noisy - signal * truth) / spread
        >>> bool((sample(knows, torch.zeros(1, 1, 4, 4), schedule, [99, 49], "noise") - truth).abs().max() < 1e-3)
        True
    """
    if method not in get_args(Method):
        raise ValueError(f"the sampler must be one of {', '.join(get_args(Method))}, got {method!r}")
    if not times or any(a <= b for a, b in zip(times, times[1:])):
        raise ValueError(f"the times must fall from step to step, got {list(times)}")
    noisy, before = start, None
    for call, t in enumerate(times):
        generator = generator_at(call)
        mask, noise = schedule.estimate(predict(noisy, t, generator), noisy, t, prediction, mask_range)
        if call + 1 == len(times):
            # All three methods end here: without noise left, the mask is all there is.
            return mask
        estimate = _Estimate(mask, noise, float(schedule.alpha_bar[t]))
        later = float(schedule.alpha_bar[times[call + 1]])
        if method == "ddim":
            noisy = sqrt(later) * mask + sqrt(1 - later) * noise
        elif method == "ddpm":
            noisy = _ddpm(estimate, noisy, later, gaussian(noisy.shape, generator, noisy))
        else:
            noisy = _dpm(estimate, before, noisy, later)
        before = estimate


def _ddpm(estimate: _Estimate, noisy: Tensor, later: float, fresh: Tensor) -> Tensor:
    now = estimate.now
    beta = 1 - now / later
    mean = (sqrt(later) * beta * estimate.mask + sqrt(now / later) * (1 - later) * noisy) / (1 - now)
    return mean + sqrt(beta * (1 - later) / (1 - now)) * fresh


def _dpm(estimate: _Estimate, before: _Estimate | None, noisy: Tensor, later: float) -> Tensor:
    now, mask = estimate.now, estimate.mask
    step = _log_ratio(later) - _log_ratio(now)
    if before is not None:
        ratio = (_log_ratio(now) - _log_ratio(before.now)) / step
        mask = (1 + 1 / (2 * ratio)) * mask - before.mask / (2 * ratio)
    return sqrt((1 - later) / (1 - now)) * noisy - sqrt(later) * (exp(-step) - 1) * mask


def _log_ratio(alpha_bar: float) -> float:
    """Half the logarithm of signal to noise."""
    return 0.5 * log(alpha_bar / (1 - alpha_bar))
