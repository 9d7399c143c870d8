"""What the numeric fixtures of the published network do not cover: bad settings, dropout, initialization, settings that
no published network uses, gradients at batch 1, and checkpoints."""

from collections import Counter
from itertools import product
from math import prod, sqrt

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from parity_rules import fill, image, no_dropout, noise
from veloxseg.networks import TrainingOutput, VeloxSeg, VeloxSegConfig, load_reference_checkpoint, load_weights
from veloxseg.networks.config import plan_windows
from veloxseg.networks.decoder import gram_matrix
from veloxseg.networks.layers import ChannelLayerNorm, DropPath, InstanceNorm
from veloxseg.networks.pwa import PairedWindowAttention

# Small enough to build and run in milliseconds; uneven like a real one.
SMALL = {
    "input_size": [16, 16, 16],
    "patch_size": 1,
    "in_ch": [1, 1],
    "n_classes": 3,
    "base_ch": 8,
    "kernel_sizes": [1, 3],
    "min_dim_group": [2, 4, 4, 8],
    "conv_expansion_factor": [2, 2, 1, 1],
    "attn_base_ch": 4,
    "depths": [1, 2, 1, 1],
    "min_big_window_sizes": [[4, 4, 4], [4, 4, 4], [2, 2, 2], [2, 2, 2]],
    "min_small_window_sizes": [[2, 2, 2], [1, 1, 1], [1, 1, 1], [1, 1, 1]],
    "min_dim_head": [2, 2, 2, 4],
    "num_heads": [1, 2, 1, 2],
    "ffn_expansion_ratio": [2, 2, 1, 1],
}


@pytest.fixture(autouse=True)
def one_thread_and_seed():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def small(**changes) -> VeloxSeg:
    return VeloxSeg(**SMALL | changes)


def small_image(batch: int = 1, channels: int = 2) -> torch.Tensor:
    return image((batch, channels, 16, 16, 16))


def windows_of(first: list[int]) -> list[list[int]]:
    """Window sizes of four stages with another first one."""
    return [first, *SMALL["min_big_window_sizes"][1:]]


# Settings that cannot make a network

BAD_SETTINGS = {
    "size not a multiple of eight patches": ({"input_size": [16, 16, 20]}, "multiple of 8"),
    "size smaller than eight patches": ({"input_size": [16, 16, 4]}, "multiple of 8"),
    "size of zero": ({"input_size": [16, 16, 0]}, "multiple of 8"),
    "deepest grid of one voxel": ({"input_size": [8, 8, 8]}, "one voxel"),
    "two sizes": ({"input_size": [16, 16]}, "input_size"),
    "one size": ({"input_size": 16}, "input_size must be a list"),
    "two dimensions": ({"spatial_dim": 2}, "spatial_dim"),
    "patch size as a list": ({"patch_size": [1, 1, 1]}, "patch_size"),
    "patch size of zero": ({"patch_size": 0}, "patch_size"),
    "unequal modalities": ({"in_ch": [1, 3]}, "in_ch"),
    "unequal modalities that a chunk would survive": ({"in_ch": [2, 1]}, "in_ch"),
    "no modality": ({"in_ch": []}, "in_ch"),
    "a modality without channels": ({"in_ch": [0, 0]}, "in_ch"),
    "channels as a number": ({"in_ch": 2}, "in_ch"),
    "one class": ({"n_classes": 1}, "n_classes"),
    "three stages": ({"depths": [1, 1, 1]}, "depths"),
    "five stages": ({"min_dim_group": [2, 4, 4, 8, 8]}, "min_dim_group"),
    "a stage without blocks": ({"depths": [1, 0, 1, 1]}, "depths"),
    "no heads": ({"num_heads": [0, 1, 1, 1]}, "num_heads"),
    "groups larger than the channels": ({"min_dim_group": [16, 4, 4, 8]}, "groups"),
    "groups that do not divide the channels": ({"base_ch": 10, "min_dim_group": [3, 4, 4, 8]}, "group"),
    "even kernel": ({"kernel_sizes": [2]}, "kernel_sizes"),
    "no kernel": ({"kernel_sizes": []}, "kernel_sizes"),
    "unknown activation": ({"act_layer": "Wave"}, "act_layer"),
    "window that does not divide the grid": ({"min_big_window_sizes": windows_of([6, 6, 6])}, "window"),
    "window larger than the grid": ({"min_big_window_sizes": windows_of([32, 32, 32])}, "larger than the grid"),
    "window of zero": ({"min_big_window_sizes": windows_of([0, 4, 4])}, "window"),
    "window of two axes": ({"min_big_window_sizes": windows_of([4, 4])}, "window"),
    "window as a number": ({"min_big_window_sizes": [4, 4, 2, 2]}, "window"),
    "small window that does not divide the big one": (
        {"min_small_window_sizes": [[3, 3, 3], [1, 1, 1], [1, 1, 1], [1, 1, 1]]},
        "small window",
    ),
    "scale factor of one": ({"scale_factors": [1, 2, 2, 2]}, "scale factor"),
    "dropout above one": ({"attn_drop": 1.5}, "attn_drop"),
    "negative dropout": ({"conv_drop": -0.1}, "conv_drop"),
    "drop path of one": ({"drop_path": 1.0}, "drop_path"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings_raise_one_clear_error(case):
    changes, words = BAD_SETTINGS[case]
    with pytest.raises(ValueError, match=words) as caught:
        small(**changes)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 250


def test_window_errors_name_the_stage():
    with pytest.raises(ValueError, match="stage 2"):
        small(min_big_window_sizes=[[4, 4, 4], [3, 3, 3], [2, 2, 2], [2, 2, 2]])


def test_an_unknown_setting_is_refused():
    with pytest.raises(TypeError, match="base_channels"):
        small(base_channels=8)


axis = st.integers(1, 12)


@settings(max_examples=200, deadline=None)
@given(grid=st.tuples(axis, axis, axis), big=st.tuples(axis, axis, axis), small=axis, factor=st.integers(2, 3))
def test_every_planned_window_tiles_the_grid(grid, big, small, factor):
    """A plan either tiles the grid with all its windows or is refused with a ValueError."""
    try:
        plan = plan_windows(grid, big, (small,) * 3, factor)
    except ValueError:
        return
    tokens = {tuple(b // s for b, s in zip(*windows, strict=True)) for windows in plan}
    assert len(tokens) == 1  # all scales have the same number of tokens
    for windows in plan:
        assert all(g % b == 0 and b % s == 0 for g, b, s in zip(grid, *windows, strict=True))


@pytest.mark.parametrize("training", (True, False))
@pytest.mark.parametrize("shape", ((1, 2, 16, 16, 32), (1, 2, 16, 16, 15), (1, 3, 16, 16, 16), (2, 16, 16, 16)))
def test_an_image_of_another_size_is_refused(shape, training):
    """The published network answers some of these with an output of the wrong size."""
    with pytest.raises(ValueError, match="expected an image"):
        small().train(training)(torch.zeros(shape))


# Dropout


def dropout_calls(network: VeloxSeg, x: torch.Tensor, monkeypatch) -> Counter:
    """(rate, shape) of every dropout that drops in one pass; for attention the shape of the queries."""
    calls: Counter = Counter()
    attention = F.scaled_dot_product_attention

    def dropout(tensor, p=0.5, training=True, inplace=False):
        if training and p > 0:
            calls[p, tuple(tensor.shape)] += 1
        return tensor

    def scaled_dot_product_attention(query, *rest, dropout_p=0.0, **keywords):
        if dropout_p > 0:
            calls[dropout_p, "attention"] += 1
        return attention(query, *rest, **keywords)

    monkeypatch.setattr(F, "dropout", dropout)
    monkeypatch.setattr(F, "scaled_dot_product_attention", scaled_dot_product_attention)
    network(x)
    return calls


def test_dropout_places_and_rates(monkeypatch):
    """Every dropout of the specification at its place (told by shape and rate), and none elsewhere."""
    network = small(attn_drop=0.11, proj_drop=0.22, conv_drop=0.33, conv_depths=[1, 2, 1, 1])
    grids = [(16,) * 3, (8,) * 3, (4,) * 3, (2,) * 3]
    a, b, modalities = 4, 8, 2
    expected: Counter = Counter()
    expected[0.22, (1, a, *grids[0])] += modalities  # patch embeddings
    for i, (grid, blocks, ratio) in enumerate(zip(grids, SMALL["depths"], SMALL["ffn_expansion_ratio"], strict=True)):
        channels = a * 2**i
        expected[0.11, "attention"] += blocks
        expected[0.22, (1, channels, *grid)] += blocks * modalities  # output projection of the attention
        expected[0.22, (1, channels * ratio, *grid)] += blocks * modalities  # inside the feed-forward
        expected[0.22, (1, channels, *grid)] += blocks * modalities  # after it
    for i, (grid, blocks) in enumerate(zip(grids, (1, 2, 1, 1), strict=True)):
        users = 1 if i == 3 else 2 + modalities  # encoder; above the deepest level also all decoders
        expected[0.33, (1, b * 2**i, *grid)] += blocks * users
    assert dropout_calls(network.train(), small_image(), monkeypatch) == expected


def test_no_dropout_in_eval(monkeypatch):
    assert not dropout_calls(small(conv_drop=0.3).eval(), small_image(), monkeypatch)


def test_default_rates_are_the_published_ones(monkeypatch):
    network = small()
    assert {rate for rate, _ in dropout_calls(network, small_image(), monkeypatch)} == {0.1}
    assert {rate for rate, _ in dropout_calls(small(attn_drop=0, proj_drop=0), small_image(), monkeypatch)} == set()


def test_drop_path_rates_rise_over_all_blocks():
    rates = [m.probability for m in small(drop_path=0.4).modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert all(m.probability == 0 for m in small().modules() if isinstance(m, DropPath))


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    drop, x = DropPath(0.3), torch.ones(4000, 2, 2, 1, 1)
    y = drop(x)
    assert torch.equal(y.amax((1, 2, 3, 4)), y.amin((1, 2, 3, 4)))
    torch.testing.assert_close(y.unique(), torch.tensor([0, 1 / 0.7]))
    assert y.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(x), x)


def test_drop_path_drops_both_branches_of_a_block():
    """With both branches gone a block is the identity; with the attention branch kept it is not."""

    class Nothing(torch.nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    block = small().encoder.encoder_attn.layers[0].blocks[0]
    block.drop_path = Nothing()
    maps = [noise(f"map{m}", (1, 4, 16, 16, 16)) for m in range(2)]
    for x, y in zip(maps, block(maps), strict=True):
        assert torch.equal(x, y)


# Initialization


def test_initial_values():
    network = VeloxSeg(input_size=[64, 64, 64], patch_size=4, in_ch=[1, 1], min_big_window_sizes=[[2, 2, 2]] * 4)
    gain = sqrt(2 / (1 + 0.01**2))
    seen = Counter()
    for name, module in network.named_modules():
        if isinstance(module, (torch.nn.Conv3d, torch.nn.ConvTranspose3d)):
            weight = module.weight.double()
            std = gain / sqrt(prod(weight.shape[1:]))
            # five standard errors: a wrong fan or slope is far outside
            assert weight.std().item() == pytest.approx(std, rel=5 / sqrt(2 * weight.numel())), name
            assert abs(weight.mean().item()) < 5 * std / sqrt(weight.numel()), name
            assert module.bias is None or not module.bias.any(), name
            seen["convolutions"] += 1
        elif isinstance(module, ChannelLayerNorm):
            assert (module.weight == 1).all() and (module.bias == 0).all(), name
            seen["norms"] += 1
    for name, table in network.named_parameters():
        if name.endswith("relative_position_bias_table"):
            assert table.std().item() == pytest.approx(0.02, rel=5 / sqrt(2 * table.numel())), name
            seen["tables"] += 1
    assert seen["tables"] == sum((2, 2, 2, 2)) and seen["norms"] > 0 and seen["convolutions"] > 100


def test_initial_values_are_drawn_from_the_seed():
    torch.manual_seed(5)
    first = small().state_dict()
    torch.manual_seed(5)
    second = small().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["decoder.out_conv1.0.weight"], small().state_dict()["decoder.out_conv1.0.weight"])


# Settings that no published network uses


def check_both_modes(network: VeloxSeg, channels: int = 2, classes: int = 3, seg: int = 4) -> TrainingOutput:
    """Runs both modes and checks all shapes."""
    x = small_image(batch=2, channels=channels)
    logits = network.eval()(x)
    assert logits.shape == (2, classes, 16, 16, 16)
    output = network.train()(x)
    assert isinstance(output, TrainingOutput)
    assert [t.shape for t in output.seg] == [logits.shape] * seg
    assert all(torch.isfinite(t).all() for t in output.seg)
    if output.reconstruction is not None:
        assert output.reconstruction.shape == x.shape
        assert output.gram_seg.shape == (2, 8, 8)
        assert [g.shape for g in output.gram_teachers] == [(2, 8, 8)] * len(network.config.in_ch)
    return output


def test_patch_norm():
    network = small(patch_norm=True)
    keys = {key for key in network.state_dict() if ".patch_embeds." in key and ".norm." in key}
    assert keys == {f"encoder.encoder_attn.patch_embeds.{m}.norm.{p}" for m in range(2) for p in ("weight", "bias")}
    tokens = network.eval().encoder.encoder_attn.patch_embeds[0](small_image(channels=1))
    assert tokens.mean(1).abs().max() < 1e-5
    assert not any(".patch_embeds." in key and ".norm." in key for key in small().state_dict())
    check_both_modes(network)


def test_qkv_without_bias():
    network = small(qkv_bias=False)
    with_bias, without = set(small().state_dict()), set(network.state_dict())
    gone = with_bias - without
    assert without < with_bias
    assert gone and all(".qkv_proj." in key and key.endswith(".bias") for key in gone)
    assert len(gone) == sum(SMALL["depths"]) * 2 * 3
    check_both_modes(network)


def test_one_kernel_size_is_a_bare_convolution():
    network = small(kernel_sizes=[3])
    block = network.encoder.encoder_conv.layer1[0]
    assert set(block.spatial_convs.state_dict()) == {"0.weight", "0.bias"}
    x = noise("x", (1, 8, 4, 4, 4))
    conv = block.spatial_convs[0]
    h = x + F.conv3d(x, conv.weight, conv.bias, padding=1, groups=conv.groups)
    expected = h + block.eval().channel_conv(h)
    torch.testing.assert_close(block(x), expected)
    check_both_modes(network)


def test_without_deep_supervision():
    network = small(deep_supervision=False)
    assert not any(key.startswith(tuple(f"decoder.out_conv{j}" for j in (2, 3, 4))) for key in network.state_dict())
    check_both_modes(network, seg=1)


def test_without_teachers():
    network = small(teachers=False)
    assert not any(key.startswith("rc_decoders") for key in network.state_dict())
    output = check_both_modes(network)
    assert (output.reconstruction, output.gram_seg, output.gram_teachers) == (None, None, [])


def test_teachers_change_nothing_at_inference():
    with_teachers, without = fill(small()).eval(), fill(small(teachers=False, deep_supervision=False)).eval()
    assert torch.equal(with_teachers(small_image()), without(small_image()))


@pytest.mark.parametrize("in_ch", ([1], [4], [2, 2], [1, 1, 1], [1, 1, 1, 1]))
def test_numbers_of_modalities_and_channels(in_ch):
    check_both_modes(small(in_ch=in_ch), channels=sum(in_ch))


def test_modalities_of_two_channels_keep_their_order():
    """Modality m sees channels 2m and 2m+1 and its teacher rebuilds these."""
    network, seen = no_dropout(small(in_ch=[2, 2])), {}
    for m in range(2):
        embed, teacher = network.encoder.encoder_attn.patch_embeds[m], network.rc_decoders[m]
        embed.register_forward_hook(lambda _m, inputs, _o, m=m: seen.update({("image", m): inputs[0]}))
        teacher.register_forward_hook(lambda _m, _i, out, m=m: seen.update({("rebuilt", m): out[0]}))
    x = small_image(channels=4)
    output = network(x)
    for m in range(2):
        assert torch.equal(seen["image", m], x[:, 2 * m : 2 * m + 2])
        assert torch.equal(seen["rebuilt", m], output.reconstruction[:, 2 * m : 2 * m + 2])


def test_a_cubic_window_on_an_anisotropic_grid_stops_at_the_shortest_axis():
    """The published plan would grow the window beyond the short axis and fail in the middle of a run."""
    network = small(input_size=[32, 16, 16], min_big_window_sizes=[[2, 2, 2]] * 4, min_small_window_sizes=[[1, 1, 1]] * 4)
    assert [big for big, _ in network.encoder.encoder_attn.layers[0].blocks[0].attn.plan] == [
        (2, 2, 2),
        (4, 4, 4),
        (8, 8, 8),
        (16, 16, 16),
    ]
    assert network.eval()(image((1, 2, 32, 16, 16))).shape == (1, 3, 32, 16, 16)


# Windows by definition, with loops

WINDOWED = {
    "scale factor 3": {
        "input_size": [24, 24, 24],
        "scale_factors": [3, 3, 3, 3],
        "min_big_window_sizes": [[4, 4, 4], [2, 2, 2], [2, 2, 2], [3, 3, 3]],
        "min_small_window_sizes": [[2, 2, 2], [1, 1, 1], [1, 1, 1], [1, 1, 1]],
    },
    "anisotropic": {
        "input_size": [16, 24, 32],
        "min_big_window_sizes": [[4, 6, 8], [4, 6, 8], [2, 3, 4], [2, 3, 4]],
        "min_small_window_sizes": [[2, 2, 4], [1, 1, 2], [1, 1, 1], [1, 1, 1]],
    },
}


def blocks_of(grid, size):
    """Slices of the blocks of a grid in C order."""
    for corner in product(*(range(0, g, n) for g, n in zip(grid, size, strict=True))):
        yield tuple(slice(start, start + n) for start, n in zip(corner, size, strict=True))


def gather_by_definition(module: PairedWindowAttention, x: torch.Tensor) -> torch.Tensor:
    """Spec 3.5 step 2: (B, C', *grid) to (B, heads, windows of all scales, tokens, c); channels (scale, head, c)."""
    channels = x.shape[1] // (len(module.plan) * module.heads)
    heads = []
    for head in range(module.heads):
        windows = []
        for scale, (big, small_window) in enumerate(module.plan):
            first = (scale * module.heads + head) * channels
            part = x[:, first : first + channels]
            for block in blocks_of(module.grid, big):
                window = part[(..., *block)]
                tokens = [window[(..., *t)].amax((2, 3, 4)) for t in blocks_of(big, small_window)]
                windows.append(torch.stack(tokens, dim=1))
        heads.append(torch.stack(windows, dim=1))
    return torch.stack(heads, dim=1)


def scatter_by_definition(module: PairedWindowAttention, windows: torch.Tensor) -> torch.Tensor:
    """Spec 3.5 step 5: every window resized on its own and put back."""
    batch, _, _, _, channels = windows.shape
    out = torch.zeros(batch, len(module.plan) * module.heads * channels, *module.grid)
    for head in range(module.heads):
        number = 0
        for scale, (big, _) in enumerate(module.plan):
            first = (scale * module.heads + head) * channels
            for block in blocks_of(module.grid, big):
                tokens = windows[:, head, number].transpose(1, 2).reshape(batch, channels, *module.tokens)
                resized = F.interpolate(tokens, size=big, mode="trilinear", align_corners=True)
                out[(slice(None), slice(first, first + channels), *block)] = resized
                number += 1
    return out


@pytest.mark.parametrize("stage", range(4))
@pytest.mark.parametrize("case", WINDOWED)
@torch.no_grad()
def test_gather_and_scatter_by_definition(case, stage):
    module = small(**WINDOWED[case]).encoder.encoder_attn.layers[stage].blocks[0].attn
    channels = module.mix_channels[0].in_channels
    x = noise("x", (2, channels, *module.grid))
    windows = module.gather(x)
    assert torch.equal(windows, gather_by_definition(module, x))
    tokens = noise("tokens", tuple(windows.shape))
    torch.testing.assert_close(module.scatter(tokens), scatter_by_definition(module, tokens), atol=1e-6, rtol=0)


@torch.no_grad()
def test_scale_factor_three_plans_and_runs():
    network = small(**WINDOWED["scale factor 3"])
    plans = [layer.blocks[0].attn.plan for layer in network.encoder.encoder_attn.layers]
    assert plans[0] == [((4, 4, 4), (2, 2, 2)), ((12, 12, 12), (6, 6, 6))]
    assert plans[1] == [((2, 2, 2), (1, 1, 1)), ((6, 6, 6), (3, 3, 3))]
    assert network.eval()(image((1, 2, 24, 24, 24))).shape == (1, 3, 24, 24, 24)


# Gradients at batch 1


def scalar_of(output: TrainingOutput, x: torch.Tensor) -> torch.Tensor:
    """A smooth function of every training output, like the loss."""
    terms = [logits.square().mean() for logits in output.seg]
    terms.append((output.reconstruction - x).square().mean())
    terms += [(output.gram_seg - gram).square().mean() for gram in output.gram_teachers]
    return torch.stack(terms).sum()


@pytest.mark.parametrize(
    "part",
    ("encoder.encoder_attn.", "encoder.encoder_conv.", "encoder.attn2conv", "decoder.", "rc_decoders.", "image"),
)
def test_gradients_at_batch_one_by_finite_differences(part):
    """Torch's CPU instance norm has a wrong backward for channels-last gradients at batch 1, which no output shows.

    One random direction per part of the network, in float64.
    """
    network = no_dropout(fill(small()).double())
    x = small_image().double().requires_grad_(part == "image")
    chosen = [x] if part == "image" else [p for k, p in network.named_parameters() if k.startswith(part)]
    directions = [torch.randn_like(p) for p in chosen]
    gradients = torch.autograd.grad(scalar_of(network(x), x), chosen)
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True)).item()

    values, step = [], 1e-8  # so short that hardly a maximum of the pooling changes its place
    with torch.no_grad():
        for shift in (step, -2 * step):
            for p, d in zip(chosen, directions, strict=True):
                p += shift * d
            values.append(scalar_of(network(x), x).item())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
@pytest.mark.parametrize("batch", (1, 2))
def test_instance_norm_survives_a_channels_last_gradient(batch, dtype):
    x = noise("x", (batch, 4, 3, 4, 5)).to(dtype)
    upstream = noise("g", tuple(x.shape)).to(dtype)

    def gradient(of_output: torch.Tensor) -> torch.Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(InstanceNorm()(leaf), leaf, of_output)[0]

    channels_last = upstream.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(gradient(channels_last), gradient(upstream))


def test_an_einsum_behind_the_norm_gives_the_same_gradient_as_the_gram_matrix():
    """The published Gram matrix is such an einsum; whatever follows a norm must not spoil its gradient."""
    x = noise("x", (1, 4, 6, 6, 6))
    results = []
    for gram in (gram_matrix, lambda f: torch.einsum("bixyz,bjxyz->bij", f, f) / (4 * 216)):
        leaf = x.clone().requires_grad_()
        (gram(InstanceNorm()(leaf)) * noise("g", (1, 4, 4))).sum().backward()
        results.append(leaf.grad)
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-7)


def test_every_parameter_gets_a_gradient():
    network = small()
    scalar_of(network(small_image()), small_image()).backward()
    assert not [key for key, p in network.named_parameters() if p.grad is None]


# Modes


def test_a_frozen_encoder_in_a_training_network():
    """The published network looks at its parts' modes and fails here."""
    network = small().train()
    network.encoder.eval()
    assert isinstance(network(small_image()), TrainingOutput)
    network.eval()
    network.encoder.train()
    assert isinstance(network(small_image()), torch.Tensor)


def test_training_output_has_the_logits_of_eval():
    network = no_dropout(fill(small()))
    with torch.no_grad():
        assert torch.equal(network(small_image()).seg[0], network.eval()(small_image()))


def test_config_describes_the_network_as_plain_data():
    import json

    arguments = small(drop_path=0.1).config.arguments()
    again = VeloxSeg(**json.loads(json.dumps(arguments)))
    assert again.config == VeloxSegConfig(**SMALL, drop_path=0.1)


# Checkpoints


def published_checkpoint(network: VeloxSeg) -> dict:
    """A checkpoint as the published training writes it after a parallel run with a profiler."""
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    state |= {"module.total_ops": torch.zeros(1), "module.encoder.attn2conv_1.0.total_params": torch.zeros(1)}
    optimizer = torch.optim.AdamW(network.parameters())
    return {"model": state, "optimizer": optimizer.state_dict(), "epoch": 3, "best_val_dice": 0.5}


def same_weights(a: VeloxSeg, b: VeloxSeg) -> bool:
    """Equal in all that both have."""
    first, second = a.state_dict(), b.state_dict()
    return all(torch.equal(first[key], second[key]) for key in first.keys() & second.keys())


@pytest.mark.parametrize("teachers_in_file", (True, False))
@pytest.mark.parametrize("teachers_in_network", (True, False))
def test_checkpoints_with_and_without_training_branches(tmp_path, teachers_in_file, teachers_in_network):
    source = fill(small(teachers=teachers_in_file, deep_supervision=teachers_in_file))
    torch.save(published_checkpoint(source), tmp_path / "best.pth")
    state = load_reference_checkpoint(tmp_path / "best.pth")
    assert set(state) == set(source.state_dict())
    network = small(teachers=teachers_in_network, deep_supervision=teachers_in_network)
    load_weights(network, state)
    assert same_weights(source, network)
    assert torch.equal(source.eval()(small_image()), network.eval()(small_image()))


@pytest.mark.parametrize("wrap", (lambda s: s, lambda s: {"model": s}, lambda s: {f"module.{k}": v for k, v in s.items()}))
def test_checkpoint_dictionaries(wrap):
    source = small().state_dict()
    assert set(load_reference_checkpoint(wrap(source))) == set(source)


def test_only_one_leading_module_is_stripped():
    state = load_reference_checkpoint({"module.module.a": torch.zeros(1), "b.module.c": torch.zeros(1)})
    assert set(state) == {"module.a", "b.module.c"}


@pytest.mark.parametrize("content", ({}, {"model": {}}, {"epoch": 3}, [1, 2], 3))
def test_files_without_a_state_dict_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="state dict"):
        load_reference_checkpoint(tmp_path / "other.pth")


class Intruder:
    """Unpickling this would run code of our choice."""

    def __reduce__(self):
        return (pytest.fail, ("a checkpoint ran code",))


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    torch.save({"model": small().state_dict(), "extra": Intruder()}, tmp_path / "hostile.pth")
    with pytest.raises(Exception, match="(?i)weights.only"):
        load_reference_checkpoint(tmp_path / "hostile.pth")


def test_weights_that_do_not_fit_are_refused():
    state = small().state_dict()
    index = "encoder.encoder_attn.layers.0.blocks.0.attn.position_embedding.relative_position_index"
    weight = "encoder.attn2conv_1.0.weight"
    network = small()
    with pytest.raises(ValueError, match="relative_position_index differs"):
        load_weights(network, state | {index: state[index].flip(0)})
    with pytest.raises(ValueError, match="attn2conv_1.0.weight has shape"):
        load_weights(network, state | {weight: torch.zeros(8, 9, 1, 1, 1)})
    with pytest.raises(ValueError, match="missing .*attn2conv_1.0.weight"):
        load_weights(network, {key: value for key, value in state.items() if key != weight})
    with pytest.raises(ValueError, match="unknown .*stranger"):
        load_weights(network, state | {"stranger": torch.zeros(1)})


def test_a_refused_file_leaves_the_network_untouched():
    network, other = small(), small()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError):
        load_weights(network, other.state_dict() | {"decoder.out_conv1.0.bias": torch.zeros(99)})
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
