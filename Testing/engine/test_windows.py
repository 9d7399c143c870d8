"""The sliding window, compared with the published rule and with MONAI's."""

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from engine_cases import tiny_arguments
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.windows_plan import WindowPlan
from veloxseg.inference import windows
from veloxseg.inference.progress import Listener
from veloxseg.networks import VeloxSeg, fast


def empty(*values):
    return [windows.Empty(value) for value in values]


def network(x):
    """Two outputs that depend on the place inside the window, so that blending matters."""
    ramp = torch.linspace(0, 1, x.shape[2]).reshape(1, 1, -1, 1, 1)
    return torch.cat([x[:, :1] * (1 + ramp), x[:, -1:] - ramp], dim=1)


def test_plan_follows_the_published_rule():
    assert [start[0] for start in WindowPlan((96, 96, 96), 0.25).corners((200, 96, 96))] == [0, 72, 104]
    assert WindowPlan((96, 96, 96), 0.25).corners((96, 96, 96)) == [(0, 0, 0)]
    assert WindowPlan((1, 1, 1), 0.9).corners((3, 1, 1)) == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 0.9))
def test_every_voxel_is_covered(size, length, overlap):
    size = max(size, length)
    (starts,) = WindowPlan((length,), overlap).starts((size,))
    covered = set(itertools.chain.from_iterable(range(start, start + length) for start in starts))
    assert covered == set(range(size)) and len(set(starts)) == len(starts)


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
@pytest.mark.parametrize("size", [(40, 36, 50), (24, 40, 33), (16, 16, 16), (15, 9, 7)])
@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_same_as_monai(blend, size, overlap):
    from monai.inferers import SlidingWindowInferer

    volume = torch.from_numpy(np.random.default_rng(0).normal(size=(2, *size)).astype(np.float32))
    theirs = SlidingWindowInferer((16, 16, 16), 1, overlap, blend)(volume[None], network)[0]
    ours = windows.sliding_window(network, volume, WindowPlan((16, 16, 16), overlap, blend), empty(0.0, 0.0), 2)
    assert (ours - theirs).abs().max() < 5e-6


def test_padding_takes_each_channels_own_value():
    padded, inner = windows.pad_to_window(torch.zeros(2, 3, 4, 5), WindowPlan((6, 4, 8), 0.5), empty(-1.0, 7.0))
    assert padded.shape == (2, 6, 4, 8)
    assert inner == [slice(1, 4), slice(0, 4), slice(1, 6)]
    assert padded[0, 0].unique().tolist() == [-1] and padded[1, 5].unique().tolist() == [7]
    assert not padded[(slice(None), *inner)].any()


class Hearing(Listener):
    """Keeps what it hears, and cancels after so many windows."""

    def __init__(self, most=None):
        self.heard, self.most = [], most

    def progress(self, done, total):
        self.heard.append((done, total))

    def cancelled(self):
        return self.heard[-1][0] == self.most


def test_progress_counts_every_window():
    listener, plan = Hearing(), WindowPlan((16, 16, 16), 0.25, "constant")
    list(windows.slabs(network, torch.zeros(1, 20, 16, 16), plan, empty(0.0), 2, listener=listener))
    assert listener.heard == [(0, 2), (1, 2), (2, 2)] and plan.count((20, 16, 8)) == 2


def test_cancel_stops_between_windows():
    listener, plan = Hearing(2), WindowPlan((16, 16, 16), 0.25, "constant")
    with pytest.raises(VeloxSegError) as caught:
        list(windows.slabs(network, torch.zeros(1, 60, 16, 16), plan, empty(0.0), 2, listener=listener))
    assert caught.value.code == "CANCELLED" and [done for done, _ in listener.heard] == [0, 1, 2]


# The work: who computes, how much, with how much memory


SIZE, WINDOW, PADS = (40, 37, 29), (16, 16, 16), (0.0, -1.0)
PLAN, EMPTY = WindowPlan(WINDOW, 0.5), empty(*PADS)


def noise(size=SIZE, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(2, *size)).astype(np.float32))


def stitched(volume, net=network, space=EMPTY, **options):
    """All slabs put together, into memory that held nonsense before."""
    logits = torch.full((2, *volume.shape[1:]), torch.nan)
    for place, slab in windows.slabs(net, volume, PLAN, space, 2, **options):
        logits[2 - len(slab) :, place] = slab
    return logits


@pytest.mark.parametrize("options", [{"workers": 2}, {"workers": 5}, {"batch": 2}, {"batch": 3, "workers": 2}])
def test_whoever_computes_the_result_is_the_same(options):
    volume = noise()
    assert torch.equal(stitched(volume, workers=1), stitched(volume, **options))


def test_close_to_the_definition_in_double_precision():
    volume = noise()
    sums, weight_sums = torch.zeros(2, *SIZE, dtype=torch.float64), torch.zeros(SIZE, dtype=torch.float64)
    for x, y, z in PLAN.corners(SIZE):
        place = (slice(None), slice(x, x + 16), slice(y, y + 16), slice(z, z + 16))
        weights = windows.importance(WINDOW, "gaussian").double()
        sums[place] += weights * network(volume[place][None].double())[0]
        weight_sums[place[1:]] += weights
    assert (stitched(volume, workers=2) - sums / weight_sums).abs().max() < 2e-6


def test_no_memory_is_left_as_it_was(monkeypatch):
    """torch can fill new memory with NaN."""
    volume, expected = noise(), stitched(noise())
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    try:
        found = windows.sliding_window(network, volume, PLAN, EMPTY, 2)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(found, expected)


def test_strided_and_mapped_volumes(tmp_path):
    volume = noise()
    strided = volume.transpose(1, 3).contiguous().transpose(1, 3)
    np.save(tmp_path / "volume.npy", volume.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "volume.npy", mmap_mode="c"))
    assert not strided.is_contiguous()
    assert torch.equal(stitched(strided), stitched(volume)) and torch.equal(stitched(mapped), stitched(volume))


def test_two_jobs_at_once():
    volumes = [noise(seed=seed) for seed in range(4)]
    expected = [stitched(volume) for volume in volumes]
    with ThreadPoolExecutor(2) as jobs:
        found = list(jobs.map(lambda volume: stitched(volume, workers=2), volumes))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_relative_logits_need_no_map_of_class_0():
    class Relative:
        relative = True

        def __call__(self, x):
            logits = network(x)
            return logits[:, 1:] - logits[:, :1]

    logits = stitched(noise())
    slabs = windows.slabs(Relative(), noise(), PLAN, EMPTY, 2)
    assert [len(slab) for _, slab in slabs] == [1] * 4
    found = windows.sliding_window(Relative(), noise(), PLAN, EMPTY, 2)
    assert not found[0].any() and (found[1] - logits[1] + logits[0]).abs().max() < 1e-5


class TestEmptySpace:
    """A body in one corner of an empty field."""

    FILLED = [start for start in PLAN.corners((64, 40, 40)) if max(start) < 20 and start[1] < 19]

    def field(self):
        field = torch.tensor(PADS).reshape(2, 1, 1, 1).repeat(1, 64, 40, 40)
        field[:, 3:20, 5:19, 2:20] = noise((17, 14, 18))
        return field

    def counted(self, calls):
        def counting(x):
            calls.append(x)
            return network(x)

        return counting

    def test_its_windows_are_not_computed(self):
        calls, listener = [], Hearing()
        stitched(self.field(), self.counted(calls), workers=2, listener=listener)
        assert len(calls) == len(self.FILLED) < 112 / 3
        assert listener.heard == [(done, 112) for done in range(113)]

    @pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 3}, {"batch": 4}])
    def test_the_body_comes_out_as_if_all_had_been_computed(self, options):
        field = self.field()
        body = (field != torch.tensor(PADS).reshape(2, 1, 1, 1)).any(0)
        # a third channel that is nowhere empty and that the network does not look at
        every = torch.cat([field, torch.arange(field[0].numel()).reshape(1, *field.shape[1:])])
        expected = torch.full(field.shape, torch.nan)
        for place, slab in windows.slabs(lambda x: network(x[:, :2]), every, PLAN, empty(*PADS, -1), 2):
            expected[:, place] = slab
        found = stitched(field, **options)
        assert torch.equal(found[:, body], expected[:, body])
        assert (found[0, 40:] - found[1, 40:] - windows.BACKGROUND).abs().max() < 1e-4

    def test_scatter_in_one_channel_is_empty_as_well(self):
        field, calls = self.field(), []
        scatter = torch.rand(field.shape[1:], generator=torch.Generator().manual_seed(3)) * 0.02
        air = field[0] == PADS[0]
        field[0][air] += scatter[air]
        expected = stitched(field)
        found = stitched(field, self.counted(calls), space=list(map(windows.Empty, PADS, (0.02, 0.0))))
        assert len(calls) == len(self.FILLED)
        assert torch.equal(found[:, ~air], expected[:, ~air])
        calls.clear()
        stitched(field, self.counted(calls), space=list(map(windows.Empty, PADS, (0.0, 0.02))))
        assert len(calls) == 112

    def test_relative_logits_of_background(self):
        empty = torch.tensor(PADS).reshape(2, 1, 1, 1).repeat(1, 20, 16, 16)
        network_of_three = SimpleNamespace(relative=True)
        for _, slab in windows.slabs(network_of_three, empty, WindowPlan(WINDOW, 0.5, "constant"), EMPTY, 3):
            assert slab.shape[0] == 2 and (slab == -windows.BACKGROUND).all()

    def test_one_other_voxel_is_enough(self):
        field, calls = torch.zeros(2, 16, 16, 48), []
        field[1] = -1
        field[1, 15, 15, 47] = 0
        stitched(field, self.counted(calls))
        assert len(calls) == 1 and calls[0][0, 1].max() == 0


class Sizes(TorchDispatchMode):
    """Bytes of the largest tensor that an operation made."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            known = {tensor.untyped_storage().data_ptr() for tensor in args if isinstance(tensor, torch.Tensor)}
            if result.untyped_storage().data_ptr() not in known:
                self.largest = max(self.largest, result.untyped_storage().nbytes())
        return result


def test_only_one_slab_is_in_memory():
    volume = noise((200, 40, 40))
    with Sizes() as sizes:
        for _, slab in windows.slabs(network, volume, PLAN, EMPTY, 2, workers=1):
            assert slab.shape[1] <= 16
    assert sizes.largest == 2 * 16 * 40 * 40 * 4


def test_threads_are_given_back():
    before, alive = torch.get_num_threads(), threading.active_count()
    seen = []

    def looking(x):
        seen.append(torch.get_num_threads())
        return network(x)

    stitched(noise(), looking, workers=2)
    assert set(seen) == {max(before // 2, 1)}
    part = windows.slabs(looking, noise(), PLAN, EMPTY, 2, workers=2)
    next(part)
    assert torch.get_num_threads() == 1
    part.close()
    assert torch.get_num_threads() == before and threading.active_count() == alive


def test_errors_of_the_network_come_through():
    def broken(x):
        raise MemoryError

    alive = threading.active_count()
    with pytest.raises(MemoryError):
        stitched(noise(), broken, workers=3)
    assert threading.active_count() == alive


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_two_hundred_windows_leave_no_memory_behind():
    """A real network, eight windows at a time; once warm, the process does not grow."""
    torch.manual_seed(0)
    real = fast.convert(VeloxSeg(**{**tiny_arguments(channels=2), "teachers": False, "deep_supervision": False}).eval())

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def job(seed):
        for _ in windows.slabs(real, noise((48, 48, 48), seed), WindowPlan((32, 32, 32), 0.5), EMPTY, 2, workers=2):
            pass

    for seed in range(8):
        job(seed)
    before = resident()
    for seed in range(25):
        job(seed)
    print(f"{before:.0f} MiB, {resident() - before:+.1f} MiB after 200 windows")
    assert resident() - before < 10
