"""Tables of models or settings that were scored on the same photos: means, intervals, differences, and what is noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from training.confidence import interval, paired

SEED = 2026


@dataclass(frozen=True)
class Row:
    """One way of doing it: `dice` (cases,) on the same cases as all other rows, `more` what else its line shows."""

    name: str
    dice: np.ndarray
    more: dict[str, str] = field(default_factory=dict)


def against_first(rows: Sequence[Row], spread: float | None = 0.0) -> str:
    """Markdown: each row's mean Dice, its difference from the first row's on the same cases, and a verdict.

    spread: how far two trainings that differ in nothing but the seed lie apart, None where nobody knows. A difference is noise
    when its 95 % interval holds 0 or when it is not larger than that.
    """
    first = rows[0]
    lines = []
    for row in rows:
        found = paired(first.dice, row.dice, SEED)
        same = row is first
        low, high = found.interval_95 or (0.0, 0.0)
        noise = low <= 0 <= high or (spread is not None and abs(found.difference) <= spread)
        sign = "better" if found.difference > 0 else "worse"
        verdict = "" if same else "noise" if noise else sign if spread is not None else f"{sign}, unless by the seed"
        change = "" if same else f"{found.difference:+.3f} [{low:+.3f}, {high:+.3f}]"
        lines.append([row.name, *row.more.values(), mean(row.dice), change, verdict])
    return markdown(["", *first.more, "Dice [95 %]", "difference from the first row", "verdict"], lines)


def mean(values: np.ndarray) -> str:
    """Mean with its 95 % bootstrap interval over the cases."""
    ends = interval(np.asarray(values), SEED)
    return f"{np.mean(values):.3f}" + (f" [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else "")


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table as GitHub shows it."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *lines])
