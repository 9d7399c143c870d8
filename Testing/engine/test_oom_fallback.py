"""What is tried when memory runs out, with a graphics card that is imitated on the CPU."""

import pytest
import torch

from engine_cases import FakeCard, ShortOfMemory, blob_image, card, stand_in, thresholding, write_image
from veloxseg.contract.errors import VeloxSegError
from veloxseg.inference import devices, oom_fallback, pipeline
from veloxseg.inference.progress import Run

CARD = FakeCard(torch.device("cpu"), "Small card")
WAYS = ["RETRY_ONE_WINDOW", "RETRY_HALF", "RETRY_CPU"]


@pytest.fixture(autouse=True)
def one_window_at_a_time():
    """So that one failure of the network is one failed attempt."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def short(monkeypatch):
    """Sets how often memory runs out."""
    return lambda failures: monkeypatch.setattr(ShortOfMemory, "failures", failures)


@pytest.fixture
def path(tmp_path):
    return write_image(blob_image(), tmp_path / "t1.nrrd")


def segment(path, wanted, run=None):
    package = stand_in(card(), ShortOfMemory(thresholding([-1.0, 1.0])))
    return pipeline.segment(package, {"T1": path}, pipeline.Settings(wanted), CARD, run)


@pytest.mark.parametrize("failures", range(4))
def test_every_attempt_gives_the_same_mask(path, short, failures):
    usual = segment(path, "cpu")
    short(failures)
    run = Run()
    outcome = segment(path, "auto", run)
    assert [note["code"] for note in run.notes] == WAYS[:failures]
    assert (outcome.mask == usual.mask).all() and outcome.mask.any()
    assert (outcome.device == "Small card") == (failures < 3)


def test_a_chosen_card_is_not_replaced(path, short):
    short(3)
    run = Run()
    with pytest.raises(VeloxSegError) as caught:
        segment(path, "cuda", run)
    assert (caught.value.code, caught.value.exit_code) == ("MEMORY_GPU", 5)
    assert [note["code"] for note in run.notes] == WAYS[:2]


def test_even_the_cpu_is_too_small(path, short):
    short(4)
    with pytest.raises(VeloxSegError) as caught:
        segment(path, "auto")
    assert caught.value.exit_code == 5


def test_the_plan_is_made_before_the_start(path, monkeypatch):
    """Without room for the result on the card, the first way is not even tried."""
    monkeypatch.setattr(devices, "free_bytes", lambda device: 1000)
    run = Run()
    segment(path, "auto", run)
    assert [note["code"] for note in run.notes] == WAYS[:1]


def test_too_large_for_the_computer_is_said_at_once(path, monkeypatch):
    """Linux would promise the memory and end the process later."""
    monkeypatch.setattr(devices, "_free_main_memory", lambda: 1000)
    with pytest.raises(VeloxSegError) as caught:
        segment(path, "auto")
    assert (caught.value.code, caught.value.exit_code) == ("MEMORY_CPU", 5)
    assert "are needed" in caught.value.detail


def test_other_failures_end_the_climb(path):
    def broken(x):
        raise RuntimeError("CUDA error: unspecified launch failure")

    run = Run()
    with pytest.raises(VeloxSegError) as caught:
        pipeline.segment(stand_in(card(), broken), {"T1": path}, pipeline.Settings("auto"), CARD, run)
    assert (caught.value.code, caught.value.exit_code) == ("DEVICE_LOST", 7)
    assert "Small card" in caught.value.text and run.notes == []


def test_one_window_at_a_time():
    """Batches are taken apart; half precision is used inside alone."""
    seen = []

    def network(x):
        seen.append((x.shape[0], torch.is_autocast_enabled("cpu")))
        return torch.nn.functional.conv3d(x, torch.ones(2, 1, 1, 1, 1))

    windows = torch.randn(3, 1, 4, 5, 6)
    plain = oom_fallback.OneWindow(network, torch.device("cpu"))(windows)
    half = oom_fallback.OneWindow(network, torch.device("cpu"), half=True)(windows)
    assert seen == [(1, False)] * 3 + [(1, True)] * 3
    assert half.dtype == torch.float32 and plain.shape == (3, 2, 4, 5, 6)
    assert 0 < (plain - half).abs().max() < 0.02
    assert torch.equal(plain, torch.cat([windows, windows], 1))


def test_old_driver(monkeypatch):
    """What torch says when only the driver is too old, and that it reaches the person who asked for the card."""

    def refuse():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver")

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", refuse)
    with pytest.raises(VeloxSegError) as caught:
        devices.choose("cuda")
    assert caught.value.code == "DRIVER_OLD"
    assert "11.4" in caught.value.text and "12.8" in caught.value.text
    assert devices.why_cpu() == caught.value.text
    assert devices.choose().is_cpu


def test_devices_of_this_computer():
    names = [str(device.torch_device) for device in devices.available()]
    assert names[-1] == "cpu" and len(set(names)) == len(names)
    free = devices.free_bytes(torch.device("cpu"))
    assert free is None or free > 2**20
