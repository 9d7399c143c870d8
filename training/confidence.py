"""How sure a mean over cases is: bootstrap intervals and the paired comparison of two models."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats

DRAWS = 10000


@dataclass(frozen=True)
class Paired:
    """Two models on the same cases: mean of second - first, its 95 % interval, p of the Wilcoxon signed rank test."""

    n: int
    difference: float
    interval_95: list[float] | None
    p: float


def interval(values: np.ndarray, seed: int) -> list[float] | None:
    """95 % bootstrap interval of the mean over cases (percentiles); None for fewer than two values.

    values: (cases,) without NaN.
    """
    if len(values) < 2:
        return None
    found = stats.bootstrap((np.asarray(values),), np.mean, n_resamples=DRAWS, method="percentile", rng=seed)
    return [float(end) for end in found.confidence_interval]


def interval_of_ratio(above: np.ndarray, below: np.ndarray, seed: int) -> list[float] | None:
    """The same of sum(above) / sum(below), where whole cases are drawn; both (cases,)."""
    if len(above) < 2:
        return None
    found = stats.bootstrap((np.asarray(above), np.asarray(below)), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True,
                            n_resamples=DRAWS, method="percentile", rng=seed)  # fmt: skip
    return [float(end) for end in found.confidence_interval]


def paired(first: np.ndarray, second: np.ndarray, seed: int) -> Paired:
    """Compares values of the same cases, (cases,) each and without NaN; two-sided. p is NaN without cases."""
    difference = np.asarray(second) - np.asarray(first)
    if not len(difference):
        return Paired(0, float("nan"), None, float("nan"))
    # scipy leaves out equal pairs and then has no rank left to test
    p = _wilcoxon(difference) if difference.any() else 1.0
    return Paired(len(difference), float(difference.mean()), interval(difference, seed), p)


def _wilcoxon(difference: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about ties, for which it turns to the normal approximation
        return float(stats.wilcoxon(difference).pvalue)
