"""The command `veloxseg bench`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from benchmarks import bench, bench_all, bench_click, bench_nca, bench_speed, bench_train, bench_volume
from veloxseg.contract.errors import VeloxSegError


@dataclass(frozen=True)
class Bench:
    """Print tables that the README quotes."""

    table: tyro.conf.Positional[
        Literal["params", "patch", "volume", "memory", "scaling", "floor", "click", "train-step", "nca", "all"]
    ]
    """params: parameters and arithmetic. patch: one window, plain against fast form. volume: a whole volume, MONAI's
    inferer around the plain form against the engine; memory: what that adds to the process. scaling: the engine on
    larger and larger volumes. floor: one window against the machine's limits. click: from a request to results.
    train-step: both passes in training, plain against fast form. nca: one photo by cellular automata and U-Nets. all: those of
    docs/performance.md with its settings, whatever the options say."""
    threads: int = 1
    """Threads of every operation."""
    rounds: int = 10
    """How often the ways that are compared take turns."""
    size: tuple[int, int, int] = (256, 256, 192)
    """Voxels of the volume, for volume and memory."""
    body: float = 1.0
    """Fraction of the volume that is not empty, above 0 to 1; for volume."""
    busy: int = 0
    """Other processes that keep a processor busy meanwhile; for volume."""
    picture: Path | None = None
    """PNG file that shows where the time goes; for click and all."""
    networks: tuple[str, ...] = ("compact",)
    """Networks for nca: those of `bench params`, multi_v, compact_direct, unet, unet_diffusion."""
    sides: tuple[int, ...] = (64, 256)
    """Pixels per side of the photo, for nca."""
    members: int = 10
    """Members of each ensemble, for nca."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print JSON instead of a table; for all one object a line."""

    def run(self) -> None:
        """Do it. Raises VeloxSegError."""
        if self.threads < 1 or self.rounds < 1 or not 0 < self.body <= 1 or self.busy < 0:
            raise VeloxSegError("REQUEST", reason="threads and rounds must be at least 1, body above 0 and at most 1")
        if self.table == "params":
            print(json.dumps(bench.parameters_content(), indent=2) if self.json else bench.parameters_report())
            return
        if self.table == "all":
            for report in bench_all.reports(self.picture):
                print(json.dumps(report.content()) if self.json else report.text() + "\n", flush=True)
            return
        report = self._report()
        print(json.dumps(report.content(), indent=2) if self.json else report.text())

    def _report(self):
        reports = {
            "patch": lambda: bench_speed.patch(self.threads, self.rounds),
            "volume": lambda: bench_volume.volume(self.threads, self.rounds, self.size, self.body, self.busy),
            "memory": lambda: bench_volume.memory(self.threads, self.rounds, self.size),
            "scaling": lambda: bench_volume.scaling(self.threads, self.rounds),
            "floor": lambda: bench_volume.floor(self.threads, self.rounds),
            "click": lambda: bench_click.click(self.threads, self.rounds, self.picture),
            "train-step": lambda: bench_train.train_step(self.threads, self.rounds),
            "nca": lambda: bench_nca.report(self.networks, self.sides, self.members, self.threads, self.rounds),
        }
        return reports[self.table]()


def read(arguments: Sequence[str]) -> Bench:
    """What was asked for. Raises SystemExit where it is help or no command."""
    return tyro.cli(Bench, prog="veloxseg bench", args=arguments)
