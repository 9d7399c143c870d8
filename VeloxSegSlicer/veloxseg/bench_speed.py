"""`veloxseg bench patch` and `veloxseg bench volume`: the engine's speed against the plain network's, in the same run.

Both ways take turns, so that a busy machine slows them alike. With one thread the time is that of the thread on the
processor, which other programs hardly change; with several it is the time on the wall.
"""

import json
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

import torch
from safetensors.torch import load_file

from veloxseg import cards, packages, pipeline, windows
from veloxseg.bench import inference_network
from veloxseg.networks import VeloxSeg, fast, load_weights

VOLUME_MODEL = "petct-lesions-demo"
OVERLAP, BLEND = 0.5, "gaussian"
PUBLISHED_BATCH = 2  # windows that the published inference computes at once


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
    with _threads(threads), torch.inference_mode():
        logits = {name: form(image) for name, form in forms.items()}
        comparisons = _interleaved({name: lambda f=form: f(image) for name, form in forms.items()}, threads, rounds)
    plain, every, relative = logits.values()
    error = max((every - plain).abs().max().item(), (relative - plain + plain[:, :1]).abs().max().item())
    note = f"largest difference of logits {error:.1e}, of {plain.abs().max():.1f}"
    return _report(f"One window of {tuple(image.shape[1:])}", threads, rounds, comparisons, [note])


def volume(threads: int, rounds: int, size: Sequence[int], model: Path | None = None) -> Report:
    """A volume of `size` voxels (x, y, z) by MONAI's inferer around the plain network and by the engine.

    The volume repeats the example of the model (a package's folder, by default a shipped one). Needs MONAI.
    """
    from monai.inferers import SlidingWindowInferer

    package = packages.read(model or cards.find(VOLUME_MODEL))
    network = packages.build_network(package.card).eval()
    load_weights(network, load_file(package.folder / packages.WEIGHTS))
    image = _repeated(_example(package), size)
    window, pads = pipeline.window_size(package.card), (0.0,) * len(image)
    theirs = SlidingWindowInferer(window, PUBLISHED_BATCH, OVERLAP, BLEND)
    ours = package.network()
    ways = {
        "MONAI inferer, plain form": lambda: theirs(image[None], network)[0],
        "engine": lambda: windows.sliding_window(
            ours, image, window, OVERLAP, BLEND, pads, network.config.n_classes
        ),
    }
    labels = []
    with _threads(threads), torch.inference_mode():
        comparisons = _interleaved(ways, threads, rounds, lambda logits: labels.append(logits.argmax(0)))
    differing = sum(int((one != labels[0]).sum()) for one in labels)
    notes = [
        f"{windows.count(size, window, OVERLAP)} windows, overlap {OVERLAP}, {BLEND}",
        f"labels that differ: {differing} of {labels[0].numel()} ({int((labels[0] > 0).sum())} not background)",
    ]
    return _report(f"{package.card['title']}, volume of {tuple(image.shape)}", threads, rounds, comparisons, notes)


def _example(package: packages.ModelPackage) -> torch.Tensor:
    """The network's input (C, x, y, z) for the package's own example."""
    expected = json.loads((package.folder / packages.EXPECTED).read_text(encoding="utf-8"))
    paths = {role: package.folder / "example" / name for role, name in expected["inputs"].items()}
    return pipeline.prepare(package.card, pipeline.read_inputs(package.card, paths)).volume


def _repeated(image: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    times = [-(-wanted // have) for wanted, have in zip(size, image.shape[1:], strict=True)]
    return image.repeat(1, *times)[(slice(None), *(slice(n) for n in size))].contiguous()


def _interleaved(
    ways: dict[str, Callable[[], torch.Tensor]],
    threads: int,
    rounds: int,
    seen: Callable[[torch.Tensor], None] = lambda result: None,
) -> list[Comparison]:
    clock = time.thread_time if threads == 1 else time.perf_counter
    seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begun = clock()
            result = way()
            seconds[name].append(clock() - begun)
            seen(result)
    first = next(iter(seconds.values()))
    return [
        Comparison(name, median(a / b for a, b in zip(first, own)), median(own), _interquartile(own))
        for name, own in seconds.items()
    ]


def _interquartile(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return high - low


def _report(title: str, threads: int, rounds: int, comparisons: list[Comparison], notes: list[str]) -> Report:
    clock = "processor" if threads == 1 else "wall"
    hardware = f"{_processor()}, torch {torch.__version__}"
    return Report(title, hardware, threads, clock, rounds, comparisons, notes)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(named)} x {named[0]}" if named else platform.processor() or platform.machine()


@contextmanager
def _threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
