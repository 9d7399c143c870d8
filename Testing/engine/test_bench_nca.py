"""`veloxseg bench nca`: what it measures, and what it refuses."""

import json

import pytest

from benchmarks import bench_nca
from veloxseg.commands import cli

CALLS = {"small": ", 1 x 2 calls", "compact_direct": ", 1 x 1 calls", "unet": "", "unet_diffusion": ", 1 x 2 calls"}


@pytest.mark.parametrize(("name", "calls"), CALLS.items())
def test_every_kind_of_network(name, calls):
    found = bench_nca.measure(name, 64, members=1, threads=1, rounds=2)
    assert found.name == f"{name}, 64 px{calls}"
    assert len(found.seconds) == 2 and min(found.seconds) > 0


def test_command_prints_ratios_and_memory(capsys):
    arguments = ["bench", "nca", "--networks", "small", "--sides", "64", "--members", "2", "--rounds", "1", "--json"]
    assert cli.main(arguments) == 0
    content = json.loads(capsys.readouterr().out)
    (comparison,) = content["comparisons"]
    assert comparison["ratio"] == 1 and comparison["name"] == "small, 64 px, 2 x 2 calls"


def test_what_cannot_be_measured_is_refused(capsys):
    for arguments in (["--networks", "other"], ["--sides", "32"], ["--members", "0"]):
        assert cli.main(["bench", "nca", *arguments]) == 2
        assert "networks are basic" in capsys.readouterr().err
