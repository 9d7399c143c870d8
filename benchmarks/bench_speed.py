"""`veloxseg bench patch`: the fast form of the network against the plain one, and what all benches of speed have in common.

Ways that are compared take turns, so that a busy machine slows them alike. With one thread the time is that of the
thread on the processor, which other programs hardly change; with several it is the time on the wall.
"""

import os
import platform
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

import torch

from veloxseg.networks import VeloxSeg, fast
from veloxseg.networks.published import inference_network
from veloxseg.service import children

# For processes of their own: neither the engine nor this folder need be installed.
PATHS = os.pathsep.join(map(str, (children.ENGINE, Path(__file__).resolve().parents[1])))


@dataclass(frozen=True)
class Comparison:
    """One way of computing: how many times faster than the first of its run (median over the rounds), its seconds, and
    their interquartile range."""

    name: str
    ratio: float
    median_s: float
    spread: float


@dataclass(frozen=True)
class Report:
    """A run of a bench: where, how, and its comparisons; `notes` are sentences for people."""

    title: str
    hardware: str
    threads: int
    clock: str
    rounds: int
    comparisons: list[Comparison]
    notes: list[str]

    def content(self) -> dict:
        """As plain data (JSON)."""
        return asdict(self)

    def text(self) -> str:
        """As a table."""
        lines = [
            self.title,
            f"{self.hardware}; {self.threads} thread(s), {self.clock} time, {self.rounds} round(s)",
            "",
            f"{'':<44}{'ratio':>8}{'median s':>12}{'spread s':>12}",
        ]
        lines += [f"{c.name:<44}{c.ratio:>8.2f}{c.median_s:>12.4f}{c.spread:>12.4f}" for c in self.comparisons]
        return "\n".join([*lines, *self.notes])


def patch(threads: int, rounds: int, network: VeloxSeg | None = None) -> Report:
    """One window through the plain and the fast form; random weights, which make no difference to the time."""
    torch.manual_seed(0)
    network = network or inference_network()
    image = torch.randn(1, sum(network.config.in_ch), *network.config.input_size)
    forms = {
        "plain form": network,
        "fast form, all logits": fast.convert(network),
        "fast form, relative to background": fast.convert(network, relative=True),
    }
    with torch_threads(threads), torch.inference_mode():
        logits = {name: form(image) for name, form in forms.items()}
        comparisons = interleaved({name: lambda f=form: f(image) for name, form in forms.items()}, threads, rounds)
    plain, every, relative = logits.values()
    error = max((every - plain).abs().max().item(), (relative - plain[:, 1:] + plain[:, :1]).abs().max().item())
    note = f"largest difference of logits {error:.1e}, of {plain.abs().max():.1f}"
    return report(f"One window of {tuple(image.shape[1:])}", threads, rounds, comparisons, [note])


def interleaved(
    ways: dict[str, Callable[[], torch.Tensor]],
    threads: int,
    rounds: int,
    seen: Callable[[torch.Tensor], None] = lambda result: None,
    now: Callable[[], float] | None = None,
) -> list[Comparison]:
    """Every way once in each round; the first is the one that the others are compared with.

    `seen` gets every result; `now` gives the time in seconds, by default that of `clock`.
    """
    now = now or clock(threads)
    seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begun = now()
            result = way()
            seconds[name].append(now() - begun)
            seen(result)
    first = next(iter(seconds.values()))
    return [
        Comparison(name, median(a / b for a, b in zip(first, own)), median(own), interquartile(own))
        for name, own in seconds.items()
    ]


def clock(threads: int) -> Callable[[], float]:
    """Seconds of this thread on the processor, or on the wall where several threads work."""
    return time.thread_time if threads == 1 else time.perf_counter


def interquartile(values: list[float]) -> float:
    """Distance of the quartiles; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return high - low


def report(title: str, threads: int, rounds: int, comparisons: list[Comparison], notes: list[str]) -> Report:
    """The comparisons with where and how they were made."""
    hardware = f"{processor_name()}, torch {torch.__version__}"
    return Report(title, hardware, threads, "processor" if threads == 1 else "wall", rounds, comparisons, notes)


def processor_name() -> str:
    """Number and name of the processors."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(named)} x {named[0]}" if named else platform.processor() or platform.machine()


@contextmanager
def torch_threads(count: int):
    """Give torch's operations so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
