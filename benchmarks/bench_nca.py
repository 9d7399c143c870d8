"""`veloxseg bench nca`: seconds and memory of one photo, from its pixels to the mask, by cellular automata and by U-Nets.

Random weights, which make no difference to the time. Every way runs in a process of its own, so that its peak of memory is its
own. Nothing is extrapolated: a line says how many members were drawn, and that is what was computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import bench_speed
from benchmarks.bench_speed import Comparison, Report
from veloxseg import diffusion
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.limits import PHOTO_SIDES
from veloxseg.imaging import photos
from veloxseg.inference import photo_pipeline
from veloxseg.networks.nca import NCA, PRESETS
from veloxseg.packages import cards
from veloxseg.service import children

UNET, UNET_DIFFUSION = "unet", "unet_diffusion"
NETWORKS = {name: arguments for name, arguments in PRESETS.items() if arguments.get("spatial_dim", 2) == 2}
NETWORKS |= {"multi_v": NETWORKS["multi"] | {"prediction": "v"}, "compact_direct": NETWORKS["compact"] | {"prediction": "direct"}}
CHOICES = (*NETWORKS, UNET, UNET_DIFFUSION)
MODEL = "skin-lesion-veloxseg-demo"
"""Its card says what becomes of the networks' answers."""


@dataclass(frozen=True)
class Measured:
    """Seconds of every round, and the peak of memory above what torch and the engine take by themselves, in MB (Linux)."""

    name: str
    seconds: list[float]
    peak_mb: float | None


class UNetDiffusion(nn.Module):
    """MONAI's diffusion U-Net in the place of a cellular automaton that predicts v."""

    def __init__(self) -> None:
        from monai.networks.nets import DiffusionModelUNet

        super().__init__()
        self.config = NCA(**PRESETS["compact"]).config
        self.network = DiffusionModelUNet(
            2, in_channels=4, out_channels=1, channels=(64, 128, 256), attention_levels=(False, False, True),
            num_res_blocks=1, num_head_channels=64,
        )  # fmt: skip

    def forward(self, image: Tensor, noisy: Tensor, t: Tensor, *_: object) -> "_Output":
        return _Output(self.network(torch.cat([image, noisy], dim=1), t))


@dataclass(frozen=True)
class _Output:
    prediction: Tensor


def report(names: Sequence[str], sides: Sequence[int], members: int, threads: int, rounds: int) -> Report:
    """One photo of each of `sides` pixels through each network. Raises REQUEST for unknown names; U-Nets need MONAI."""
    unknown = set(names) - set(CHOICES)
    if unknown or not names or min(sides, default=0) < PHOTO_SIDES[0] or members < 1:
        raise VeloxSegError("REQUEST", reason=f"networks are {', '.join(CHOICES)}, sides {PHOTO_SIDES[0]} pixels or more, "
                                              "members at least 1")  # fmt: skip
    measured = []
    with children.spawn_context().Pool(1, maxtasksperchild=1) as pool:
        for side in sides:
            for name in names:
                measured.append(pool.apply(measure, (name, side, members, threads, rounds)))
    first = measured[0].seconds
    comparisons = [
        Comparison(one.name, median(first) / median(one.seconds), median(one.seconds), bench_speed.interquartile(one.seconds))
        for one in measured
    ]
    peaks = [f"peak memory above torch, {one.name}: {one.peak_mb:.0f} MB" for one in measured if one.peak_mb is not None]
    return bench_speed.report("One photo, from pixels to mask, working size as large as the photo", threads, rounds,
                              comparisons, peaks)  # fmt: skip


def measure(name: str, side: int, members: int, threads: int, rounds: int) -> Measured:
    """One line of the report, in this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network, sampling = _network(name, members)
    card = replace(cards.read(cards.find(MODEL)), takes_turns=False)
    weights = sum(parameter.nbytes for parameter in network.parameters()) / 2**20
    before = _memory_mb("VmRSS")
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    clock = bench_speed.clock(threads)
    seconds = []
    for _ in range(rounds):
        begun = clock()
        image, placement = photo_pipeline.prepare(pixels, side)
        answer = photo_pipeline.answer(card, network, image, sampling, "cpu")
        photos.to_photo(answer.support, placement) >= answer.cut  # noqa: B015 - its time is part of the way
        seconds.append(clock() - begun)
    peak = _memory_mb("VmHWM")
    drawn = "" if sampling is None else f", {sampling.members} x {sampling.calls} calls"
    return Measured(f"{name}, {side} px{drawn}", seconds, None if peak is None else peak - before + weights)


def _network(name: str, members: int) -> tuple[nn.Module, diffusion.Sampling | None]:
    if name == UNET:
        from monai.networks.nets import UNet

        return UNet(2, 3, 2, channels=(16, 32, 64, 128, 256), strides=(2,) * 4, num_res_units=2).eval(), None
    network = UNetDiffusion() if name == UNET_DIFFUSION else NCA(**NETWORKS[name])
    for rule in getattr(network, "rules", ()):
        nn.init.normal_(rule.fc1.weight, std=0.01)
    return network.eval(), replace(diffusion.Sampling.preset("normal", network), members=members)


def _memory_mb(field: str) -> float | None:
    """A field of /proc/self/status; None where there is none."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), None)
