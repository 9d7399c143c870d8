"""The benches: what they report is complete and right; how fast anything is, is not tested here."""

import json
from dataclasses import replace

import pytest
import torch

from benchmarks import bench_click, bench_speed, bench_volume
from engine_cases import tiny_arguments, tiny_package
from veloxseg.commands import cli
from veloxseg.contract.protocol import STAGES
from veloxseg.inference import pipeline
from veloxseg.networks import VeloxSeg

KEYS = {"name", "ratio", "median_s", "spread"}


def tiny_network():
    torch.manual_seed(0)
    return VeloxSeg(**{**tiny_arguments(channels=2), "teachers": False, "deep_supervision": False}).eval()


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return tiny_package(tmp_path_factory.mktemp("package") / "tiny")


def test_patch():
    report = bench_speed.patch(1, 2, tiny_network())
    plain, *others = report.comparisons
    assert plain.ratio == 1 and len(others) == 2 and all(c.median_s > 0 for c in report.comparisons)
    assert report.threads == 1 and "fast form" in report.text()


def test_ways_take_turns():
    heard, ticks = [], iter([0, 4, 10, 11, 20, 22, 30, 31])
    ways = {name: lambda name=name: heard.append(name) for name in ("a", "b")}
    first, second = bench_speed.interleaved(ways, 2, 2, now=lambda: next(ticks))
    assert heard == ["a", "b", "a", "b"]
    assert (first.median_s, second.median_s, first.ratio, second.ratio) == (3, 1, 1, 3)


@pytest.mark.parametrize("body", [1.0, 0.2])
def test_volume_compares_equal_labels(package, body):
    report = bench_volume.volume(1, 1, (48, 40, 36), body, busy=1, model=package)
    assert {c.name for c in report.comparisons} == {bench_volume.PLAIN, bench_volume.ENGINE}
    assert any("labels that differ: 0 of" in note for note in report.notes)
    assert set(report.content()["comparisons"][0]) == KEYS


def test_body_is_the_part_of_the_field(package):
    field = bench_volume.Field.make((64, 64, 33), 0.25, package)
    whole = bench_volume.Field.make((64, 64, 33), 1.0, package)
    changed, empty = (field.volume != whole.volume)[0], field.volume[0] == field.pad_values[0]
    assert not changed[32, 32].any() and empty[changed].all() and empty[0].all()
    assert empty.all(dim=2).float().mean() >= 0.74


def test_floor():
    window, *limits = bench_volume.floor(1, 1, tiny_network()).comparisons
    assert len(limits) == 2 and all(limit.ratio == window.median_s / limit.median_s > 1 for limit in limits)


@pytest.mark.slow
def test_memory_of_the_engine_is_the_smaller(capsys):
    assert cli.main(["bench", "memory", "--size", "192", "192", "144", "--rounds", "1", "--json"]) == 0
    comparisons = json.loads(capsys.readouterr().out)["comparisons"]
    assert [set(c) for c in comparisons] == [KEYS] * 4
    assert comparisons[1]["ratio"] > 1 and comparisons[3]["ratio"] > 1


@pytest.mark.slow
def test_click(tmp_path):
    report = bench_click.click(1, 1, tmp_path / "click.png")
    assert [c.name for c in report.comparisons] == [
        bench_click.COLD_PLAIN, bench_click.COLD, bench_click.WARM_PLAIN, bench_click.WARM, bench_click.WINDOW
    ]  # fmt: skip
    assert (tmp_path / "click.png").stat().st_size < 200_000
    assert all(stage in report.notes[0] for stage in STAGES)


def test_the_click_is_one_window(tmp_path):
    content = json.loads(bench_click.write_request(tmp_path).read_text())
    package = bench_click.packages.read(content["model"])
    volumes = pipeline.read_inputs(package.card, content["inputs"])
    prepared = pipeline.prepare(package.card, volumes)
    assert replace(package.card.window, overlap=0.5).count(prepared.volume.shape[1:]) == 1


def test_parameters_as_json(capsys):
    assert cli.main(["bench", "params", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["parameters"][-1] == {"part": "total", "training": 2_288_999, "inference": 1_669_185}


def test_nonsense_is_refused(capsys):
    for arguments in (["--threads", "0"], ["--body", "0"], ["--busy", "-1"]):
        assert cli.main(["bench", "patch", *arguments]) != 0
        assert "threads" in capsys.readouterr().err
