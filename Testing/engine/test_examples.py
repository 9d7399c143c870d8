"""The examples in docstrings run, and show what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITH_EXAMPLES = {
    ".".join(path.relative_to(root).with_suffix("").parts)
    for root, folder in ((ROOT / "VeloxSegSlicer", "veloxseg"), (ROOT, "training"))
    for path in (root / folder).rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
}


@pytest.mark.parametrize("name", sorted(WITH_EXAMPLES))
def test_examples_run(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted and not found.failed


def test_the_front_door_the_networks_the_losses_and_the_samplers_have_examples():
    assert {"veloxseg.api", "veloxseg.networks.network", "veloxseg.diffusion.samplers", "training.losses"} <= WITH_EXAMPLES
