"""The sliding window, compared with the published rule and with MONAI's."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from veloxseg import windows
from veloxseg.errors import VeloxSegError


def network(x):
    """Two outputs that depend on the place inside the window, so that blending matters."""
    ramp = torch.linspace(0, 1, x.shape[2]).reshape(1, 1, -1, 1, 1)
    return torch.cat([x[:, :1] * (1 + ramp), x[:, -1:] - ramp], dim=1)


def test_plan_follows_the_published_rule():
    assert [start[0] for start in windows.plan((200, 96, 96), (96, 96, 96), 0.25)] == [0, 72, 104]
    assert windows.plan((96, 96, 96), (96, 96, 96), 0.25) == [(0, 0, 0)]
    assert windows.plan((3, 1, 1), (1, 1, 1), 0.9) == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 0.9))
def test_every_voxel_is_covered(size, length, overlap):
    size = max(size, length)
    starts = [start[0] for start in windows.plan((size,), (length,), overlap)]
    covered = set(itertools.chain.from_iterable(range(start, start + length) for start in starts))
    assert covered == set(range(size)) and len(set(starts)) == len(starts)


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
@pytest.mark.parametrize("size", [(40, 36, 50), (24, 40, 33), (16, 16, 16), (15, 9, 7)])
@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_same_as_monai(blend, size, overlap):
    from monai.inferers import SlidingWindowInferer

    volume = torch.from_numpy(np.random.default_rng(0).normal(size=(2, *size)).astype(np.float32))
    theirs = SlidingWindowInferer((16, 16, 16), 1, overlap, blend)(volume[None], network)[0]
    ours = windows.sliding_window(network, volume, (16, 16, 16), overlap, blend, (0.0, 0.0), 2)
    assert (ours - theirs).abs().max() < 5e-6


def test_padding_takes_each_channels_own_value():
    padded, inner = windows.pad_to_window(torch.zeros(2, 3, 4, 5), (6, 4, 8), (-1.0, 7.0))
    assert padded.shape == (2, 6, 4, 8)
    assert inner == [slice(1, 4), slice(0, 4), slice(1, 6)]
    assert padded[0, 0].unique().tolist() == [-1] and padded[1, 5].unique().tolist() == [7]
    assert not padded[(slice(None), *inner)].any()


def test_progress_counts_every_window():
    heard = []
    windows.sliding_window(
        network,
        torch.zeros(1, 20, 16, 16),
        (16, 16, 16),
        0.25,
        "constant",
        (0.0,),
        2,
        progress=lambda done, total: heard.append((done, total)),
    )
    assert heard == [(0, 2), (1, 2), (2, 2)] and windows.count((20, 16, 8), (16, 16, 16), 0.25) == 2


def test_cancel_stops_between_windows():
    done = []
    with pytest.raises(VeloxSegError) as caught:
        windows.sliding_window(
            network,
            torch.zeros(1, 60, 16, 16),
            (16, 16, 16),
            0.25,
            "constant",
            (0.0,),
            2,
            progress=lambda n, total: done.append(n),
            cancelled=lambda: done[-1] == 2,
        )
    assert caught.value.code == "CANCELLED" and done == [0, 1, 2]
