"""`veloxseg bench all`: the runs behind docs/performance.md, one after the other."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks import bench_click, bench_nca, bench_speed, bench_train, bench_volume
from benchmarks.bench_speed import Report

CORES = 2
VOLUME = (256, 256, 192)
WIDE_FIELD, BODY = (400, 400, 326), 0.2
MEMBERS = 10


def reports(picture: Path | None = None) -> Iterator[Report]:
    """Every report as soon as it is there; `picture` shows where the time of a click goes. Six minutes on two idle cores."""
    yield bench_speed.patch(1, 31)
    yield bench_speed.patch(CORES, 31)
    yield bench_volume.floor(1, 31)
    yield bench_volume.floor(CORES, 31)
    yield bench_volume.volume(CORES, 3, VOLUME)
    yield bench_volume.volume(CORES, 2, VOLUME, busy=1)
    yield bench_volume.volume(CORES, 1, WIDE_FIELD, BODY)
    yield bench_volume.memory(CORES, 2, VOLUME)
    yield bench_volume.scaling(CORES, 3)
    yield bench_click.click(1, 5)
    yield bench_click.click(CORES, 5, picture)
    yield bench_train.train_step(1, 5)
    yield bench_nca.report(("compact", "compact_direct", "unet"), (64,), MEMBERS, CORES, 3)
    yield bench_nca.report(("compact", "compact_direct", "multi_v", "unet"), (256,), MEMBERS, CORES, 1)
