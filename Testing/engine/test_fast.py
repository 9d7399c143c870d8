"""The fast form of VeloxSeg against the plain one, and the benches that compare their speed."""

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from parity_rules import NETWORKS, fill, image, largest_error, load_arrays, load_json, subsample
from veloxseg.networks import VeloxSeg, fast
from veloxseg.networks.fast import convolution, order

LOGITS = 1e-4
SMALL = {
    "input_size": (32, 32, 16),
    "patch_size": 2,
    "in_ch": (1, 1),
    "depths": (1, 2, 1, 1),
    "min_big_window_sizes": ((2, 2, 1), (4, 4, 2), (2, 2, 1), (2, 2, 1)),
    "teachers": False,
}


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other cost more than they give on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def poison():
    """Memory that torch hands out uninitialized holds NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory and torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(False)


def network(**changes) -> VeloxSeg:
    return fill(VeloxSeg(**SMALL | changes)).eval()


@cache
def small() -> tuple[VeloxSeg, fast.FastVeloxSeg]:
    plain = network()
    return plain, fast.convert(plain)


def noise(plain: VeloxSeg, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, sum(plain.config.in_ch), *plain.config.input_size)


def assert_same(plain: VeloxSeg, x: torch.Tensor, limit: float = LOGITS) -> None:
    """All logits, those relative to the background, and the classes agree."""
    with torch.no_grad():
        expected = plain(x)
    every, relative = fast.convert(plain)(x), fast.convert(plain, relative=True)(x)
    assert every.shape == expected.shape and relative.shape == expected[:, 1:].shape and every.dtype == expected.dtype
    assert every.is_contiguous() and relative.is_contiguous()
    assert (every - expected).abs().max() < limit
    assert (relative - expected[:, 1:] + expected[:, :1]).abs().max() < 2 * limit
    with_background = torch.cat([torch.zeros_like(relative[:, :1]), relative], dim=1)
    assert (with_background.softmax(1) - expected.softmax(1)).abs().max() < limit


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks(name, poison):
    fixture = load_json(name)
    plain = fill(VeloxSeg(**fixture["config"])).eval()
    x = image(tuple(fixture["input_shape"]))
    assert_same(plain, x)
    expected = load_arrays(name)["eval_logits_sub"]
    assert largest_error(subsample(fast.convert(plain)(x), fixture["subsample_stride"]), expected) < LOGITS


@st.composite
def configurations(draw) -> dict:
    """Arguments of small networks of all kinds, also those that no shipped configuration has."""
    patch = draw(st.sampled_from((1, 2)))
    size = [8 * patch * draw(st.sampled_from((1, 2))) for _ in range(3)]
    big = [draw(st.sampled_from((1, 2))) for _ in range(3)]
    pooled = draw(st.booleans()) and 2 in big
    heads = draw(st.sampled_from((1, 2)))
    return {
        "input_size": tuple(size),
        "patch_size": patch,
        "in_ch": (draw(st.integers(1, 2)),) * draw(st.integers(1, 3)),
        "n_classes": draw(st.integers(2, 5)),
        "base_ch": draw(st.sampled_from((8, 16))),
        "conv_depths": (draw(st.integers(1, 2)), 1, 1, 1),
        "kernel_sizes": draw(st.sampled_from(((1, 3, 5), (3,), (1,), (5,), (3, 7), (1, 3)))),
        "min_dim_group": (draw(st.sampled_from((2, 4, 8))), 8, 8, 16),
        "attn_base_ch": draw(st.sampled_from((8, 16))),
        "depths": (1, draw(st.integers(1, 2)), 1, 1),
        "min_big_window_sizes": ((2, 2, 2) if pooled else tuple(big), tuple(big), tuple(big), (1, 1, 1)),
        "min_small_window_sizes": ((2, 2, 2) if pooled else (1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
        "min_dim_head": (draw(st.sampled_from((2, 4))), 4, 8, 8),
        "num_heads": (heads, heads, 2, 1),
        "qkv_bias": draw(st.booleans()),
        "patch_norm": draw(st.booleans()),
        "act_layer": draw(st.sampled_from(("GELU", "ReLU", "SiLU"))),
        "scale_factors": (2, draw(st.sampled_from((2, 4))), 2, 2),
        "teachers": False,
        "deep_supervision": False,
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(configurations(), st.integers(1, 2))
def test_any_configuration(arguments, batch):
    """In float64, where a wrong form can't hide behind rounding that random weights blow up."""
    try:
        plain = VeloxSeg(**arguments)
    except ValueError:
        assume(False)
    plain = fill(plain).eval().double()
    assert_same(plain, noise(plain, batch).double(), limit=1e-9)


@pytest.mark.parametrize("batch", (1, 3))
def test_as_accurate_as_the_plain_form(batch):
    plain = network(n_classes=9)
    x = noise(plain, batch)
    with torch.no_grad():
        single = plain(x)
        exact = plain.double()(x.double())
    quick = fast.convert(plain.float())(x)
    assert (quick - exact).abs().max() < 3 * (single - exact).abs().max() + 1e-6


def test_without_onednn(monkeypatch):
    monkeypatch.setattr(convolution, "onednn_convolution_works", lambda: False)
    plain = network()
    assert_same(plain, noise(plain, 2))


def test_onednn_operator_must_prove_itself(monkeypatch):
    check = convolution.onednn_convolution_works.__wrapped__
    monkeypatch.setattr(torch, "mkldnn_convolution", lambda x, w, *_: 2 * F.conv3d(x, w, None, 2, 1), raising=False)
    assert not check()
    monkeypatch.delattr(torch, "mkldnn_convolution")
    assert not check()


def test_strided_input():
    plain, quick = small()
    x = noise(plain)
    strided = x.repeat_interleave(2, dim=4)[..., ::2].transpose(2, 3).contiguous().transpose(2, 3)
    assert not strided.is_contiguous()
    assert torch.equal(quick(strided), quick(x))


def test_repeats_itself_and_leaves_the_input():
    plain, quick = small()
    x = noise(plain)
    before, first = x.clone(), quick(x)
    assert torch.equal(quick(x), first) and torch.equal(x, before)


def test_two_threads_at_once():
    plain, quick = small()
    inputs = [noise(plain) for _ in range(8)]
    expected = [quick(x) for x in inputs]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(quick, inputs))
    assert all(torch.equal(a, b) for a, b in zip(found, expected))


def test_has_its_own_weights():
    plain = network()
    quick, x = fast.convert(plain), noise(plain)
    expected = quick(x)
    with torch.no_grad():
        for value in plain.parameters():
            value.zero_()
    assert torch.equal(quick(x), expected)
    assert not list(quick.parameters()) and not quick.state_dict() and not expected.requires_grad


def test_wrong_size():
    with pytest.raises(ValueError, match="expected an image"):
        small()[1](torch.zeros(1, 2, 32, 32, 32))


def test_other_networks_stay_as_they_are():
    other = torch.nn.Identity()
    assert fast.convert(other) is other


def test_needs_no_monai():
    code = "import sys, veloxseg.networks.fast; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


@pytest.mark.parametrize("big", [(4, 4, 4), (2, 4, 8), (2, 2, 1)])
def test_resizing_as_a_matrix(big):
    tokens = (2, 2, 1)
    coordinates = order.window_order(big, [(big, tokens)])
    windows = torch.randn(5, 1, *tokens, dtype=torch.float64)
    expected = F.interpolate(windows, size=big, mode="trilinear", align_corners=True)
    found = windows.flatten(1) @ order.resize_matrix(tokens, big, coordinates).T
    assert torch.allclose(found, expected[(slice(None), 0, *coordinates.T)])


def test_windows_of_every_scale_are_runs_of_rows():
    plan = [((2, 2, 1), (1, 1, 1)), ((4, 4, 2), (2, 2, 2)), ((8, 8, 4), (4, 4, 4))]
    coordinates = order.window_order((16, 8, 8), plan)
    for big, _ in plan:
        windows = coordinates.reshape(-1, math.prod(big), 3) // big
        assert (windows == windows[:, :1]).all() and len({tuple(w) for w in windows[:, 0]}) == len(windows)


@pytest.mark.parametrize("size", (5, 7))
def test_folded_convolution(size):
    plain = torch.nn.Conv3d(16, 16, size, padding=size // 2, groups=4, bias=False).double()
    x = torch.randn(2, 16, 5, 6, 8, dtype=torch.float64)
    folded = convolution.Convolution(plain, depth=8)
    folded.freeze()
    assert folded.folded
    assert torch.allclose(folded(x.movedim(1, 4).contiguous()).movedim(4, 1), plain(x))
