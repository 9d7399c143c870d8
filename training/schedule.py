"""Learning-rate schedules: linear warm-up, then a half cosine (spec section 6).

`corrected` and `published` are pure: a position (epoch or optimizer step, 0-based) and the lengths in the same unit give
the factor on the nominal learning rate. `of_run` gives what torch's LambdaLR takes.
"""

from collections.abc import Callable
from math import cos, pi
from typing import Literal

ScheduleName = Literal["corrected", "published", "constant"]

# The published run: 300 epochs, 10 of them warm-up, nominal 2.5e-4, down to 6e-6.
EPOCHS = 300
WARMUP = 10
NOMINAL = 2.5e-4
FLOOR = 6e-6 / NOMINAL


def corrected(position: int, total: int = EPOCHS, warmup: int = WARMUP, floor: float = FLOOR) -> float:
    """The schedule that was meant: rises to 1 during the warm-up and falls from 1 to `floor`. The default."""
    return warmup_cosine(position, total, warmup, peak=1.0, floor=floor)


def published(position: int, total: int = EPOCHS, warmup: int = WARMUP, floor: float = FLOOR) -> float:
    """The schedule as the published code runs it, for comparisons.

    Its warm-up is stepped once too often and the cosine starts from what that left: the peak is
    (warmup + 1) / warmup, 1.1 times the nominal rate in the published run.
    """
    peak = (warmup + 1) / warmup if warmup else 1.0
    return warmup_cosine(position, total, warmup, peak=peak, floor=floor)


def warmup_cosine(position: int, total: int, warmup: int, peak: float, floor: float) -> float:
    """Rises linearly to 1 at the last warm-up position, then a half cosine from `peak` towards `floor`.

    `floor` itself is reached at position `total`, one after the last, and kept from there on.
    """
    if not 0 <= warmup <= total:
        raise ValueError(f"warm-up of {warmup} does not fit into a schedule of length {total}")
    if position < warmup:
        return (position + 1) / warmup
    if position >= total:
        return floor
    return floor + (peak - floor) * (1 + cos(pi * (position - warmup) / (total - warmup))) / 2


SCHEDULES = {"corrected": corrected, "published": published}


def of_run(name: ScheduleName, steps: int, warmup: int) -> Callable[[int], float]:
    """The factor by optimizer step of a run of `steps`, the first `warmup` of them rising.

    The published schedule changes once an epoch and overshoots for that reason: a run counts as its 300 epochs, ten of which
    rise.
    """
    if name == "constant":
        return lambda step: 1.0
    if name == "published":
        return lambda step: published(step * EPOCHS // steps)
    return lambda step: corrected(step, steps, warmup)
