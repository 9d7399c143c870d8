"""`veloxseg bench volume`, `memory`, `scaling` and `floor`: whole volumes, from the network's input to labels.

The volume repeats the example of a model; what is compared is MONAI's inferer around the plain network, as published, and the
engine. Where a part of the field is empty, that part holds what padding holds.
"""

import json
import subprocess
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from safetensors.torch import load_file

from benchmarks import bench, bench_speed
from benchmarks.bench_speed import Comparison, Report
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.windows_plan import WindowPlan
from veloxseg.inference import pipeline, windows
from veloxseg.networks import VeloxSeg, fast, load_weights
from veloxseg.networks.published import AUTOPET, inference_network
from veloxseg.packages import cards, packages
from veloxseg.service import children

MODEL = "petct-lesions-demo"
OVERLAP, BLEND = 0.5, "gaussian"
PUBLISHED_BATCH = 2  # windows that the published inference computes at once
PLAIN, ENGINE = "MONAI inferer, plain form", "engine"
SCALES = ((64, 64, 64), (96, 96, 96), (128, 128, 128), (192, 192, 192), (256, 256, 192))
LARGEST = (512, 512, 600)
MODALITIES = (1, 2, 4)
MIB = 2**20


@dataclass(frozen=True)
class Field:
    """The network's input (C, x, y, z) of a package's model, and each channel's value of empty space."""

    package: packages.ModelPackage
    volume: torch.Tensor
    pad_values: list[float]

    @classmethod
    def make(cls, size: Sequence[int], body: float = 1.0, model: Path | None = None) -> "Field":
        """A field of `size` voxels, of which an elliptic cylinder along z, the fraction `body` of it, is not empty."""
        package = packages.read(model or cards.find(MODEL))
        expected = json.loads((package.folder / packages.EXPECTED).read_text(encoding="utf-8"))
        paths = {role: package.folder / "example" / name for role, name in expected["inputs"].items()}
        prepared = pipeline.prepare(package.card, pipeline.read_inputs(package.card, paths))
        volume = repeated(prepared.volume, size)
        if body < 1:
            x, y = (torch.linspace(-1, 1, n) for n in size[:2])
            # the ellipse that touches the border has pi / 4 of the area
            outside = x[:, None] ** 2 + y[None] ** 2 > body * 4 / torch.pi
            for channel, value in zip(volume, prepared.pad_values, strict=True):
                channel[outside] = value
        return cls(package, volume, prepared.pad_values)

    def labels_by(self, way: str) -> Callable[[], torch.Tensor]:
        """What computes the labels (x, y, z) of a model with one label: always into the same uint8."""
        window = self.package.card.window.size
        labels = torch.full(self.volume.shape[1:], 255, dtype=torch.uint8)
        if way == ENGINE:
            network = self.package.network()
            return lambda: self._engine(network, window, labels)
        from monai.inferers import SlidingWindowInferer

        network = packages.build_network(self.package.card).eval()
        load_weights(network, load_file(self.package.folder / packages.WEIGHTS))
        inferer = SlidingWindowInferer(window, PUBLISHED_BATCH, OVERLAP, BLEND)
        return lambda: self._plain(network, inferer, labels)

    def _plain(self, network: VeloxSeg, inferer: Callable, labels: torch.Tensor) -> torch.Tensor:
        background, lesion = inferer(self.volume[None], network)[0]
        # as argmax, which would need eight bytes for each voxel
        torch.gt(lesion, background, out=labels.view(torch.bool))
        return labels

    def _engine(self, network: windows.Network, window: Sequence[int], labels: torch.Tensor) -> torch.Tensor:
        empty = list(map(windows.Empty, self.pad_values))
        for place, logits in windows.slabs(network, self.volume, WindowPlan(tuple(window), OVERLAP, BLEND), empty, 2):
            labels[place] = logits[0] > 0
        return labels


def repeated(image: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """An image (C, x, y, z) side by side with itself, cut to `size`."""
    times = [-(-wanted // have) for wanted, have in zip(size, image.shape[1:], strict=True)]
    return image.repeat(1, *times)[(slice(None), *(slice(n) for n in size))].contiguous()


def volume(threads: int, rounds: int, size: Sequence[int], body: float = 1.0, busy: int = 0, model: Path | None = None) -> Report:
    """A volume by both ways, beside `busy` other processes that never rest. Needs MONAI."""
    field = Field.make(size, body, model)
    labels = []
    with bench_speed.torch_threads(threads), torch.inference_mode(), _neighbors(busy):
        ways = {way: field.labels_by(way) for way in (PLAIN, ENGINE)}
        comparisons = bench_speed.interleaved(ways, threads, rounds, lambda found: labels.append(found.clone()))
    empty = torch.tensor(field.pad_values).reshape(-1, 1, 1, 1)
    in_body = (field.volume != empty).any(dim=0)
    inside, outside = (sum(int((one != labels[0])[where].sum()) for one in labels) for where in (in_body, ~in_body))
    notes = [
        f"{replace(field.package.card.window, overlap=OVERLAP).count(size)} windows, overlap {OVERLAP}, {BLEND}; "
        f"{100 * body:g} % of the field is body; {busy} busy neighbor(s)",
        f"labels that differ: {inside} of {int(in_body.sum())} voxels that are not empty, {outside} of the others "
        f"({int((labels[0] > 0).sum())} are not background)",
    ]
    title = f"{field.package.card.title}, volume of {tuple(field.volume.shape)}"
    return bench_speed.report(title, threads, rounds, comparisons, notes)


@contextmanager
def _neighbors(count: int):
    others = [subprocess.Popen(children.command("-c", "while True: pass"), env=children.environment()) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def memory(threads: int, rounds: int, size: Sequence[int]) -> Report:
    """Peak memory that a volume adds to a process that has everything loaded, the array of labels, too: each way in
    processes of its own.

    The comparisons hold MiB instead of seconds: everything that is allocated, and what that is above a volume of two windows by
    the same network. Linux only: raises REQUEST elsewhere.
    """
    if not Path("/proc/self/clear_refs").exists():
        raise VeloxSegError("REQUEST", reason="bench memory needs Linux, which tells the peak memory of a process")
    found = {way: [_peaks_in_child(way, threads, size) for _ in range(rounds)] for way in (PLAIN, ENGINE)}
    comparisons = []
    for number, what in enumerate(("all that is added", "beyond a volume of two windows")):
        for way in found:
            own, first = ([peak[number] for peak in found[name]] for name in (way, PLAIN))
            ratio = median(a / b for a, b in zip(first, own, strict=True))
            comparisons.append(Comparison(f"{way}: {what}", ratio, median(own), bench_speed.interquartile(own)))
    notes = ["in MiB of resident memory, not seconds; ratio: how many times less than MONAI's inferer"]
    return bench_speed.report(f"Extra peak memory, volume of {tuple(size)}", threads, rounds, comparisons, notes)


def _peaks_in_child(way: str, threads: int, size: Sequence[int]) -> list[float]:
    code = f"from benchmarks import bench_volume; bench_volume.print_peaks({way!r}, {threads}, {tuple(size)!r})"
    finished = subprocess.run(
        children.command("-c", code),
        env=children.environment(PYTHONPATH=bench_speed.PATHS),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout.splitlines()[-1])


def print_peaks(way: str, threads: int, size: Sequence[int]) -> None:
    """Prints the MiB that labeling a volume of `size` adds to this process at most: to what is loaded before, and to
    what labeling a volume of two windows takes, which is the network's own share."""
    torch.set_num_threads(threads)
    field = Field.make(size)
    x, y, z = field.package.card.window.size
    compute = field.labels_by(way)
    compute_two = Field(field.package, repeated(field.volume, (x, y, z + z // 2)), field.pad_values).labels_by(way)
    loaded = _resident("VmRSS")
    with torch.inference_mode():
        compute_two()
        two_windows = _resident("VmHWM")
        compute()
    peak = _resident("VmHWM")
    print(json.dumps([(peak - loaded) / MIB, (peak - two_windows) / MIB]))


def _resident(kind: str) -> int:
    """Bytes of this process's memory: VmRSS, now, or VmHWM, the most since the last call."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    Path("/proc/self/clear_refs").write_text("5")
    return int(status[kind].split()[0]) * 1024


def scaling(threads: int, rounds: int) -> Report:
    """The engine on larger and larger volumes, and windows of one, two and four modalities."""
    comparisons = []
    with bench_speed.torch_threads(threads), torch.inference_mode():
        for size in SCALES:
            field = Field.make(size)
            compute = field.labels_by(ENGINE)
            count = replace(field.package.card.window, overlap=OVERLAP).count(size)
            name = f"{'x'.join(map(str, size))} ({count} window{'s' * (count > 1)})"
            comparisons += bench_speed.interleaved({name: compute}, threads, rounds)
        largest = replace(field.package.card.window, overlap=OVERLAP).count(LARGEST)
        seconds = comparisons[-1].median_s / count * largest
        comparisons.append(Comparison(f"{'x'.join(map(str, LARGEST))} ({largest} windows), extrapolated", 1, seconds, 0))
        forms = {f"one window, {n} modalities": _window_of(n) for n in MODALITIES}
        comparisons += bench_speed.interleaved(forms, threads, rounds)
    smallest = comparisons[0].median_s
    comparisons = [Comparison(c.name, smallest / c.median_s, c.median_s, c.spread) for c in comparisons]
    return bench_speed.report("Cost against volume size and modalities", threads, rounds, comparisons,
                              ["ratio: against the first line"])  # fmt: skip


def _window_of(modalities: int) -> Callable[[], torch.Tensor]:
    network = fast.convert(inference_network({**AUTOPET, "in_ch": (1,) * modalities}), relative=True)
    image = torch.randn(1, modalities, *network.config.input_size)
    return lambda: network(image)


def floor(threads: int, rounds: int, network: VeloxSeg | None = None) -> Report:
    """One window against the least time for its arithmetic and its bytes at the speeds that this machine shows."""
    network = network or inference_network()
    quick = fast.convert(network, relative=True)
    image = torch.randn(1, sum(network.config.in_ch), *network.config.input_size)
    # of two classes only the difference is computed
    head = network.decoder.out_conv1[0]
    cells = image[0, 0].numel() // network.config.patch_size**3
    operations = bench.flops(network) - 2 * head.weight.numel() * cells // network.config.n_classes
    size = sum(value.numel() for value in network.state_dict().values()) + image.numel() + image[0, 0].numel()
    square, wide = torch.randn(2048, 2048), torch.randn(1 << 26)
    target = torch.empty_like(wide)
    with bench_speed.torch_threads(threads), torch.inference_mode():
        quick(image)
        product, copy, window = bench_speed.interleaved(
            {"matrix product": lambda: square @ square, "copy": lambda: target.copy_(wide), "window": lambda: quick(image)},
            threads, rounds,
        )  # fmt: skip
    speed, bandwidth = 2 * 2048**3 / product.median_s, 2 * 4 * wide.numel() / copy.median_s
    least = {"arithmetic": operations / speed, "input, weights and output": 4 * size / bandwidth}
    comparisons = [Comparison("one window, fast form", 1.0, window.median_s, window.spread)]
    comparisons += [Comparison(f"least time for the {name}", window.median_s / s, s, 0) for name, s in least.items()]
    notes = [
        f"{operations / 1e9:.2f} G operations at {speed / 1e9:.0f} G/s (product of 2048 x 2048); "
        f"{4 * size / 1e6:.0f} MB at {bandwidth / 1e9:.0f} GB/s (copy)"
    ]
    return bench_speed.report("One window and the machine's limits", threads, rounds, comparisons, notes)
