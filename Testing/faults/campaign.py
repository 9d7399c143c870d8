"""A run over all kinds of faults, and its table."""

import contextlib
import io
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from . import batches, model_packages, panel, photos, processes, requests, texts, trainings, volumes
from .verdicts import BAD, OUTCOMES, WRONG, Verdict
from .workshop import Workshop, threshold_network

SUBJECTS = (volumes, photos, requests, model_packages, batches, panel, trainings, texts)
PROCESSES = processes.KINDS
ONE_PROCESS_IN = 40
"""Faults with a process of their own take seconds; of so many one is of these."""
KIND_COLUMN = 34

Injector = Callable[[Workshop, np.random.Generator], Verdict]


@dataclass
class Campaign:
    """Verdicts by kind."""

    seed: int
    counts: dict[str, Counter] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def table(self) -> str:
        """Kind of fault x outcome, with totals."""
        rows = [*self.counts.items(), ("all", sum(self.counts.values(), Counter()))]
        lines = [f"{'fault':<{KIND_COLUMN}}" + "".join(f"{outcome:>9}" for outcome in OUTCOMES) + f"{'all':>9}"]
        for kind, counts in rows:
            numbers = [*(counts[outcome] for outcome in OUTCOMES), counts.total()]
            lines.append(f"{kind:<{KIND_COLUMN}}" + "".join(f"{number:>9}" for number in numbers))
        return "\n".join([*self.bad, "", *lines, "", f"seed {self.seed}, {self.seconds:.0f} s"])


def kinds(only: str = "") -> dict[str, Injector]:
    """All kinds of faults, or those whose names contain a text."""
    every = {kind: inject for subject in SUBJECTS for kind, inject in subject.KINDS.items()} | PROCESSES
    return {kind: inject for kind, inject in every.items() if only in kind}


def run(seed: int, count: int, only: str = "", chosen: dict[str, Injector] | None = None) -> Campaign:
    """Inject `count` faults of all kinds in turn. A fault is a function of seed, kind and number alone."""
    torch.set_num_threads(1)
    found, begun = Campaign(seed), time.monotonic()
    every = kinds(only) if chosen is None else chosen
    with tempfile.TemporaryDirectory(prefix="veloxseg-faults-") as root, _quiet() as say, threshold_network():
        workshop = Workshop(Path(root))
        for kind, number in _shared_out(every, count):
            workshop.fresh()
            verdict = _verdict(every[kind], workshop, seed, kind, number)
            found.counts.setdefault(kind, Counter())[verdict.outcome] += 1
            if verdict.outcome in BAD:
                found.bad.append(f"{verdict.outcome}: {kind}, number {number}: {verdict.why}")
                say(found.bad[-1])
    found.seconds = time.monotonic() - begun
    return found


def _shared_out(every: dict[str, Injector], count: int) -> list[tuple[str, int]]:
    """Kind and number of every fault."""
    slow = [kind for kind in every if kind in PROCESSES]
    quick = [kind for kind in every if kind not in PROCESSES]
    few = count if not quick else count // ONE_PROCESS_IN if slow else 0
    shares = [(slow, few), (quick, count - few)]
    return [(some[number % len(some)], number // len(some)) for some, share in shares for number in range(share)]


def _verdict(inject: Injector, workshop: Workshop, seed: int, kind: str, number: int) -> Verdict:
    rng = np.random.default_rng([seed, number, *kind.encode()])
    try:
        return inject(workshop, rng)
    except Exception as error:  # noqa: BLE001 - one fault that cannot be judged must not hide the others
        return Verdict(WRONG, f"cannot be judged: {error!r}")


@contextlib.contextmanager
def _quiet():
    """Logs of the engine and of libraries go nowhere; what is found out is said at once."""
    out = os.dup(2)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(io.StringIO()):
        os.dup2(nowhere.fileno(), 2)
        try:
            yield lambda text: os.write(out, (text + "\n").encode("utf-8", "replace"))
        finally:
            os.dup2(out, 2)
            os.close(out)
    sys.stderr.flush()
