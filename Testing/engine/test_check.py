"""The test of this computer: times a window on the CPU, and names what keeps a graphics card from being used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from veloxseg.inference import devices
from veloxseg.service import check


def test_the_process_tells_seconds_and_device():
    command = [sys.executable, "-m", "veloxseg.service.check"]
    folder = Path(check.__file__).parents[1]
    # the device's name has the number of threads, which an earlier test may have set here
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=True)
    hello, result = map(json.loads, done.stdout.splitlines())
    assert (hello["event"], hello["torch"], result["event"]) == ("hello", torch.__version__, "result")
    assert result["seconds"] > 0
    assert result["is_cpu"] == (not torch.cuda.is_available() and not torch.backends.mps.is_available())
    assert result["device"] == devices.choose("auto").name


def test_a_card_without_code_for_it_hands_over_to_the_cpu(monkeypatch):
    card = devices.Device(torch.device("cuda"), "Very new card")
    cpu = devices.choose("cpu")
    monkeypatch.setattr(devices, "choose", lambda wanted: card if wanted == "auto" else cpu)

    def time_window(device):
        if device is card:
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")
        return 0.5

    monkeypatch.setattr(check, "time_window", time_window)
    found = check.examine()
    assert (found.device, found.is_cpu, found.seconds, found.obstacle) == (cpu.name, True, 0.5, "build")
    assert "Very new card" in found.detail and "more" not in found.detail


def test_other_failures_are_not_hidden(monkeypatch):
    def fail(device):
        raise RuntimeError("something else")

    monkeypatch.setattr(check, "time_window", fail)
    with pytest.raises(RuntimeError, match="something else"):
        check.examine()


def test_an_old_driver_is_named(monkeypatch):
    def complain():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please update.\nmore")

    monkeypatch.setattr(torch.version, "cuda", "12.4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", complain)
    monkeypatch.setattr(check, "time_window", lambda device: 0.5)
    found = check.examine()
    assert (found.is_cpu, found.cuda_build, found.obstacle) == (True, "12.4", "driver")
    assert "11.4" in found.detail and "more" not in found.detail
