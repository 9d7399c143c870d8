"""Several runs of one network on one image: their mean, their spread, and one mask (specification section 6)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Literal, NamedTuple, get_args

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from veloxseg import parallel
from veloxseg.contract.errors import VeloxSegError
from veloxseg.networks.nca import NCA

from .samplers import Method, gaussian, sample
from .schedule import Schedule

Fusion = Literal["mean", "majority", "staple"]
ENOUGH_CALLS = {"direct": 1, "logits": 1, "v": 2, "noise": 4}
"""Calls per member after which more were no gain in a first trial (specification section 9)."""
SURE = 1e-4
"""Probabilities of a mask end this far from 0 and 1 where they become logits, which would be infinite."""


@dataclass(frozen=True)
class Sampling:
    """How an ensemble is drawn and joined. Raises ValueError with one sentence for values that make no sense."""

    members: int = 10
    calls: int = 2
    """Calls of the network per member; without a diffusion it is always one."""
    method: Method = "ddim"
    fusion: Fusion = "mean"
    """mean: the mean probability above the threshold. majority: more than half of the members above it. staple: the truth
    that STAPLE (Warfield et al. 2004) finds behind the members, each cut at the threshold."""
    threshold: float = 0.5
    seed: int = 0
    tile: int | None = None
    """Cells per axis of the pieces in which the finest level is computed, for volumes; None: all at once."""

    def __post_init__(self) -> None:
        for name in ("members", "calls"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name, known in (("method", get_args(Method)), ("fusion", get_args(Fusion))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold must be at least 0 and below 1, got {self.threshold}")
        if self.tile is not None and self.tile < 1:
            raise ValueError(f"tile must be at least 1, got {self.tile}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    @classmethod
    def preset(cls, name: Literal["draft", "normal", "paper"], network: NCA) -> Sampling:
        """draft: 4 members; normal: 10 members; paper: 10 members through every step of the diffusion, which takes hours
        on a CPU. The number of calls follows from what the network predicts."""
        config = network.config
        if name == "paper":
            return cls(members=10, calls=config.diffusion_steps, method="ddpm")
        return cls(members={"draft": 4, "normal": 10}[name], calls=ENOUGH_CALLS[config.prediction])


class Ensemble(NamedTuple):
    """All on the CPU, of the image's spatial shape."""

    mask: Tensor
    """bool, by the chosen fusion."""
    probability: Tensor
    """float32: mean of the members' masks before any threshold, from 0 to 1."""
    variance: Tensor
    """float32: variance over the members, from 0 (all the same) to 0.25: the uncertainty map."""
    agreement: float | None
    """Dice of two members cut at the threshold, all pairs pooled: the sum of their overlaps over the sum of their mean
    sizes. 1 when all are the same (all empty included), None for a single member. It equals 1 - (unbiased variance of
    the cut members, summed over the image) / (their mean area)."""


def member_generator(seed: int, member: int, call: int) -> torch.Generator:
    """A CPU generator that depends on these three numbers only; call 0 is the starting noise."""
    state = np.random.SeedSequence((seed, member, call)).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


def draw_member(
    network: NCA, image: Tensor, sampling: Sampling, member: int, after_call: Callable[[], None] = lambda: None
) -> Tensor:
    """Probability (*spatial), float32 on the CPU, of one member of a network with one label: a pure function of the image,
    the seed and the number.

    image: (1, in_ch, *spatial) on the network's device. Noise and firing cells are drawn on the CPU, so that another
    device gives the same member up to rounding. after_call: called after every call of the network; may raise.
    """
    return _probabilities(network, image, sampling, member, after_call)[0, 0].float().cpu()


class Member:
    """One member of an ensemble as a network for the windows of volumes, usable from several threads.

    (B, in_ch, *window) -> (B, n_classes - 1, *window), logits minus those of the background. In every window the same cells
    fire, so that neither the order nor the number of windows decides what one of them gives.
    """

    relative = True

    def __init__(self, network: NCA, sampling: Sampling, number: int) -> None:
        self._network, self._sampling, self._number = network, sampling, number

    def __call__(self, windows: Tensor) -> Tensor:
        return torch.cat([self._logits(window) for window in windows.split(1)])

    def _logits(self, window: Tensor) -> Tensor:
        if self._network.config.prediction == "logits":
            return _single_call(self._network, window, self._sampling, self._number)
        return torch.logit(_probabilities(self._network, window, self._sampling, self._number), SURE)


def _single_call(network: NCA, image: Tensor, sampling: Sampling, member: int) -> Tensor:
    generator = member_generator(sampling.seed, member, 1)
    return network(image, generator=generator, tile=sampling.tile).prediction


def _probabilities(
    network: NCA, image: Tensor, sampling: Sampling, member: int, after_call: Callable[[], None] = lambda: None
) -> Tensor:
    """(1, 1, *spatial) of `draw_member`, on the network's device."""
    config = network.config

    def predict(noisy: Tensor | None, t: int | None, generator: torch.Generator) -> Tensor:
        time = None if t is None else torch.full((1,), t, device=image.device)
        output = network(image, noisy, time, generator, sampling.tile).prediction
        after_call()
        return output

    def generator_at(call: int) -> torch.Generator:
        return member_generator(sampling.seed, member, call + 1)

    if config.prediction == "logits":
        return predict(None, None, generator_at(0)).sigmoid()
    if config.prediction == "direct":
        mask = predict(None, None, generator_at(0)).clamp(*config.mask_range)
    else:
        schedule = Schedule(config.diffusion_steps)
        start = gaussian(image[:, :1].shape, member_generator(sampling.seed, member, 0), image)
        mask = sample(
            predict, start, schedule, schedule.grid(sampling.calls), config.prediction, config.mask_range,
            sampling.method, generator_at,
        )  # fmt: skip
    low, high = config.mask_range
    return (mask - low) / (high - low)


def segment(
    network: NCA,
    image: Tensor,
    sampling: Sampling,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Ensemble:
    """Several runs of one network on one image, and what they have in common (specification section 6).

    On a CPU as many members as torch has threads are drawn at once; each has one thread to itself, so that the result does not
    depend on their number. Members are not kept; only STAPLE needs their masks, one byte per pixel and member.

    Args:
        network: in eval mode.
        image: (in_ch, *spatial), which is moved to the network's device.
        sampling: how the ensemble is drawn and joined.
        progress: hears (done, total) calls of the network, before the first and after every one, perhaps from other threads.
        cancelled: asked before every call, perhaps from other threads.

    Returns:
        The `Ensemble`, on the CPU.

    Raises:
        VeloxSegError: CANCELLED as soon as `cancelled()` is true, NUMERIC when a member is not a number.
    """
    calls = sampling.calls if network.config.diffuses else 1
    total, done, stopped, counting = sampling.members * calls, 0, False, Lock()

    def report(more: int) -> None:
        nonlocal done, stopped
        with counting:
            if not stopped:
                done += more
                progress(done, total)
                stopped = done < total and cancelled()
            if stopped:
                raise VeloxSegError("CANCELLED")

    report(0)
    image = image.unsqueeze(0).to(next(network.parameters()))
    mean, squares, votes = (torch.zeros(image.shape[2:]) for _ in range(3))
    kept = []
    with torch.inference_mode(), contextlib.closing(_drawn(network, image, sampling, lambda: report(1))) as drawn:
        for member, probability in enumerate(drawn):
            if not probability.isfinite().all():
                raise VeloxSegError("NUMERIC")
            # Welford's update: stable, and one pass.
            away = probability - mean
            mean += away / (member + 1)
            squares += away * (probability - mean)
            cut = probability > sampling.threshold
            votes += cut
            if sampling.fusion == "staple":
                kept.append(cut.numpy().astype(np.uint8))
    if sampling.fusion == "majority":
        mask = votes > sampling.members / 2
    elif sampling.fusion == "staple":
        mask = _staple(kept)
    else:
        mask = mean > sampling.threshold
    return Ensemble(mask, mean, squares / sampling.members, _agreement(votes, sampling.members))


def _drawn(network: NCA, image: Tensor, sampling: Sampling, after_call: Callable[[], None]) -> Iterator[Tensor]:
    """The members in their order; on a CPU several at a time."""

    def draw(member: int) -> Tensor:
        with torch.inference_mode():
            return draw_member(network, image, sampling, member, after_call)

    threads = torch.get_num_threads()
    if image.device.type != "cpu" or min(threads, sampling.members) == 1:
        yield from map(draw, range(sampling.members))
        return
    with parallel.pool(threads) as pool:
        yield from pool.map(draw, range(sampling.members))


def _agreement(votes: Tensor, members: int) -> float | None:
    if members == 1:
        return None
    votes = votes.double()
    area = float(votes.sum())
    return float((votes * (votes - 1)).sum()) / ((members - 1) * area) if area else 1.0


def _staple(masks: list[np.ndarray]) -> Tensor:
    if not any(mask.any() for mask in masks) or all(mask.all() for mask in masks):
        # Without both classes the filter divides by nothing.
        return torch.from_numpy(masks[0] > 0)
    truth = sitk.STAPLE([sitk.GetImageFromArray(mask) for mask in masks], 1.0)
    return torch.from_numpy(sitk.GetArrayFromImage(truth) > 0.5)
