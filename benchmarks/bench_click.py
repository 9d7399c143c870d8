"""`veloxseg bench click`: from a request to written results, cold in a new process and warm in this one.

The other way is the usual one: the plain network under MONAI's inferer, with this engine's own reading, preparing and
writing. The images are those of a model's example, cut to one window.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks import bench_speed
from benchmarks.bench_speed import Comparison, Report
from veloxseg import api, files
from veloxseg.contract.card import Card
from veloxseg.imaging import images
from veloxseg.inference import pipeline, results, windows
from veloxseg.packages import cards, packages
from veloxseg.packages.warm import Keeper
from veloxseg.service import children

MODEL = "petct-lesions-demo"
COLD_PLAIN, COLD = "cold, plain network under MONAI", "cold, engine"
WARM_PLAIN, WARM, WINDOW = "warm, plain network under MONAI", "warm, engine", "warm, engine: the window alone"
STARTING = "starting"


def click(threads: int, rounds: int, picture: Path | None = None) -> Report:
    """All ways; `picture` gets a drawing of where the time goes (needs matplotlib). Needs MONAI.

    With one thread the time is that of all threads of the process on the processor, else that on the wall.
    """
    with tempfile.TemporaryDirectory() as folder, bench_speed.torch_threads(threads):
        request = write_request(Path(folder))
        cold, cold_parts = _cold(request, threads, rounds)
        warm, warm_parts = _warm(request, threads, rounds)
    if picture is not None:
        draw({COLD: cold_parts, WARM: warm_parts}, picture)
    notes = [_line(name, parts) for name, parts in ((COLD, cold_parts), (WARM, warm_parts))]
    return bench_speed.report(f"One click: {MODEL}, one window", threads, rounds, [*cold, *warm], notes)


def write_request(folder: Path) -> Path:
    """A request in `folder` for the model's example, cut to what fits into one window; the images are uncompressed."""
    package = packages.read(cards.find(MODEL))
    expected = json.loads((package.folder / packages.EXPECTED).read_text(encoding="utf-8"))
    inputs = {}
    for role, name in expected["inputs"].items():
        image = images.read(package.folder / "example" / name)
        room = np.multiply(package.card.window.size, package.card.spacing_mm) / image.GetSpacing()
        size = np.minimum(image.GetSize(), room.astype(int)).tolist()
        inputs[role] = str(folder / f"{role}.nrrd")
        images.write(image[: size[0], : size[1], : size[2]], Path(inputs[role]))
    request = folder / "request.json"
    files.write_json(request, {"schema_version": 1, "model": str(package.folder), "inputs": inputs, "device": "cpu"})
    return request


def _cold(request: Path, threads: int, rounds: int) -> tuple[list[Comparison], dict[str, float]]:
    job = f"bench_click.plain_job(Path({str(request)!r}))"
    plain = f"from pathlib import Path; from benchmarks import bench_click; {job}"
    commands = {COLD_PLAIN: ["-c", plain], COLD: ["-m", "veloxseg.service.runner", str(request)]}
    environment = children.environment(OMP_NUM_THREADS=str(threads), PYTHONPATH=bench_speed.PATHS)
    parts: list[dict[str, float]] = []

    def run(arguments: list[str]) -> None:
        begun = time.perf_counter()
        child = subprocess.Popen(children.command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, env=environment,
                                 cwd=request.parent, text=True)  # fmt: skip
        events = [json.loads(line) for line in child.stdout if line.startswith("{")]
        child.wait()
        seconds = next(event["seconds"] for event in events if event["event"] == "result")
        starting = time.perf_counter() - begun - seconds["total"]
        parts.append({STARTING: starting, **seconds})
        _remove(request.parent / "result")

    ways = {name: lambda arguments=arguments: run(arguments) for name, arguments in commands.items()}
    comparisons = bench_speed.interleaved(ways, threads, rounds, now=_clock(threads, "children_user", "children_system"))
    return comparisons, _medians(parts[1::2])


def _warm(request: Path, threads: int, rounds: int) -> tuple[list[Comparison], dict[str, float]]:
    content = json.loads(request.read_text(encoding="utf-8"))
    package = Keeper().package(packages.read(Path(content["model"])))
    plain = plain_network(package.cold)
    parts: list[dict[str, float]] = []

    def engine() -> None:
        result = api.segment(package, content["inputs"], request.parent / "result", device="cpu", outputs=("mask", "measures"))
        parts.append(result.run.times())
        _remove(request.parent / "result")

    network = package.network(torch.device("cpu"))
    prepared = pipeline.prepare(package.card, pipeline.read_inputs(package.card, content["inputs"]))
    empty = list(map(windows.Empty, prepared.pad_values))
    image, _ = windows.pad_to_window(prepared.volume, package.card.window, empty)

    def plain_way() -> None:
        plain_click(package.card, plain, content["inputs"], request.parent / "result")
        _remove(request.parent / "result")

    ways = {WARM_PLAIN: plain_way, WARM: engine, WINDOW: lambda: network(image[None])}
    for way in ways.values():
        way()
    parts.clear()
    return bench_speed.interleaved(ways, threads, rounds, now=_clock(threads, "user", "system")), _medians(parts)


def _clock(threads: int, *kinds: str) -> Callable[[], float]:
    """With one thread what all threads of this process, or of its children, have computed."""
    return (lambda: sum(getattr(os.times(), kind) for kind in kinds)) if threads == 1 else time.perf_counter


def plain_job(request: Path) -> None:
    """The other way's whole process: prints an event like the runner's."""
    begun = time.perf_counter()
    content = json.loads(request.read_text(encoding="utf-8"))
    package = packages.read(Path(content["model"]))
    plain_click(package.card, plain_network(package), content["inputs"], request.parent / "result")
    print(json.dumps({"event": "result", "seconds": {"total": time.perf_counter() - begun}}))


def plain_network(package: packages.ModelPackage) -> torch.nn.Module:
    """The network as it is trained, with the package's weights."""
    network = packages.build_network(package.card).eval()
    packages.load_weights(network, packages.load(package.check_weights()))
    return network


def plain_click(card: Card, network: torch.nn.Module, inputs: dict[str, str], folder: Path) -> None:
    """Files to mask.nrrd in `folder` with MONAI's inferer."""
    from monai.inferers import SlidingWindowInferer

    volumes = pipeline.read_inputs(card, inputs)
    prepared = pipeline.prepare(card, volumes)
    inferer = SlidingWindowInferer(card.window.size, 2, card.window.overlap, card.window.blend)
    with torch.inference_mode():
        classes = torch.softmax(inferer(prepared.volume[None], network)[0], dim=0)
    classes = torch.stack([torch.from_numpy(images.smooth(one.numpy(), prepared.grid, card.smoothing_mm)) for one in classes])
    grid = images.grid_of(volumes[card.reference.name])
    mask, _ = pipeline.mask_on(card, classes, prepared.grid, grid)
    folder.mkdir()
    images.write(images.image_of(mask, grid), folder / results.MASK)


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _medians(parts: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(one[name] for one in parts) for name in parts[0] if name != "total"}


def _line(name: str, parts: dict[str, float]) -> str:
    return f"{name}, wall ms: " + ", ".join(f"{part} {1000 * seconds:.0f}" for part, seconds in parts.items())


def draw(bars: dict[str, dict[str, float]], path: Path) -> None:
    """One bar for each way, a color for each stage, in seconds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for parts in bars.values() for name in parts))
    colors = dict(zip(names, pyplot.get_cmap("tab10").colors, strict=False))
    figure, plots = pyplot.subplots(len(bars), 1, figsize=(8, 1.5 * len(bars) + 1), layout="constrained")
    for plot, (title, parts) in zip(plots, bars.items(), strict=True):
        left = 0.0
        for name, seconds in parts.items():
            plot.barh(0, 1000 * seconds, left=left, color=colors[name], label=name)
            left += 1000 * seconds
        plot.set(title=f"{title}: {left:.0f} ms", yticks=[], xlim=(0, left))
        plot.spines[["top", "right", "left"]].set_visible(False)
    plots[-1].set_xlabel("time on the wall, ms")
    figure.legend(*plots[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names), fontsize="small")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
