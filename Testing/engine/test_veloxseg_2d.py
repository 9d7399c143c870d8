"""VeloxSeg on two axes. No published network can serve as reference (its 2D mode does not run), but the 3D one can: with
weights spread or centered along a third axis it must repeat the 2D network in every slice of a volume that is constant
there. That fixes every operation; the orders that such a volume can't tell apart are checked by definition."""

from itertools import product
from math import prod, sqrt

import pytest
import torch
from torch.nn import functional as F

from parity_rules import fill, no_dropout, noise
from training.losses import VeloxSegLoss
from veloxseg.networks import TrainingOutput, VeloxSeg, VeloxSegConfig, load_weights
from veloxseg.networks.decoder import full_resolution_head
from veloxseg.networks.pwa import PairedWindowAttention, PatchMerging, relative_position_index

# Uneven like a real one: two modalities of two channels, oblong windows, a pooled first stage.
SMALL = {
    "spatial_dim": 2,
    "input_size": [32, 48],
    "patch_size": 2,
    "in_ch": [2, 2],
    "n_classes": 3,
    "base_ch": 8,
    "min_dim_group": [2, 4, 4, 8],
    "conv_expansion_factor": [2, 2, 1, 1],
    "attn_base_ch": 4,
    "depths": [1, 2, 1, 1],
    "min_big_window_sizes": [[4, 6], [4, 6], [2, 3], [2, 3]],
    "min_small_window_sizes": [[2, 2], [1, 1], [1, 1], [1, 1]],
    "min_dim_head": [2, 2, 2, 4],
    "num_heads": [1, 2, 1, 2],
    "ffn_expansion_ratio": [2, 2, 1, 1],
}
PHOTO = {
    "spatial_dim": 2,
    "input_size": [256, 256],
    "patch_size": 4,
    "in_ch": [3],
    "depths": [1, 1, 1, 1],
    "min_big_window_sizes": [[8, 8]] * 4,
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


def small_image(batch: int = 1) -> torch.Tensor:
    return noise("image", (batch, 4, 32, 48))


# The 3D network as reference

DEPTH = 32


def in_space(flat: VeloxSeg) -> VeloxSeg:
    """The 3D network that repeats a 2D one in every slice of a volume of DEPTH equal slices."""

    def sizes(name: str, depth: int) -> list[list[int]]:
        return [[*size, depth * size[0]] for size in getattr(flat.config, name)]

    space = VeloxSeg(
        **flat.config.arguments()
        | {
            "spatial_dim": 3,
            "input_size": [*flat.config.input_size, DEPTH],
            "min_big_window_sizes": sizes("min_big_window_sizes", 1),
            "min_small_window_sizes": sizes("min_small_window_sizes", 1),
        }
    )
    state = {}
    for key, weight in space.state_dict().items():
        if not key.endswith("relative_position_index"):
            state[key] = spread(key, flat.get_parameter(key).detach(), weight.shape, flat.config.patch_size)
    load_weights(space, state)
    return space


def spread(key: str, weight: torch.Tensor, shape: torch.Size, patch: int) -> torch.Tensor:
    """One parameter of the 3D network. Slices that are equal before an operation must be equal after it."""
    if "out_conv1." in key or ".out_conv." in key:
        weight = weight.repeat_interleave(patch, dim=0)  # pixels of a patch, the third axis fastest
    if ".downs." in key:  # sub-lattices with their channels, the third axis fastest among the sub-lattices
        dim = weight.ndim // 4  # of the layer norm 0, of the reduction 1
        weight = weight.unflatten(dim, (4, -1)).repeat_interleave(2, dim=dim).flatten(dim, dim + 1)
        weight = weight / 2 if dim else weight
    if key.endswith("bias_table"):
        return weight.repeat_interleave(shape[0] // weight.shape[0], dim=0)
    if weight.ndim < 4:
        return weight
    if ".up." in key:  # transposed: every slice of the input writes two
        return weight[..., None].expand(shape)
    kernel = weight.new_zeros(shape)
    kernel[..., shape[-1] // 2] = weight
    return kernel


def repeated(x: torch.Tensor) -> torch.Tensor:
    return x[..., None].expand(*x.shape, DEPTH)


@torch.no_grad()
@pytest.mark.parametrize(
    "changes", ({}, {"patch_norm": True, "kernel_sizes": [3], "qkv_bias": False, "scale_factors": [4, 2, 2, 2]})
)
def test_logits_are_those_of_the_network_in_space(changes):
    flat = fill(small(**changes)).eval()
    x = small_image(batch=2)
    torch.testing.assert_close(in_space(flat).eval()(repeated(x)), repeated(flat(x)), atol=5e-5, rtol=0)


def test_training_is_that_of_the_network_in_space():
    """Outputs, every term of the loss, and the gradient of the image summed over the equal slices."""
    flat = no_dropout(fill(small()))
    space = no_dropout(in_space(flat))
    x = small_image().requires_grad_()
    deep = repeated(x.detach()).clone().requires_grad_()
    labels = torch.arange(32 * 48).reshape(1, 1, 32, 48) // 7 % 3
    output, expected = flat(x), space(deep)

    assert isinstance(output, TrainingOutput) and len(output.seg) == 4 and len(output.gram_teachers) == 2
    for actual, volume in zip([*output.seg, output.reconstruction], [*expected.seg, expected.reconstruction], strict=True):
        torch.testing.assert_close(repeated(actual), volume, atol=5e-5, rtol=0)
    for actual, gram in zip([output.gram_seg, *output.gram_teachers], [expected.gram_seg, *expected.gram_teachers], strict=True):
        torch.testing.assert_close(actual, gram, atol=1e-5, rtol=0)

    loss, loss_in_space = VeloxSegLoss()(output, x, labels), VeloxSegLoss()(expected, deep, repeated(labels))
    for name in loss._fields:
        torch.testing.assert_close(getattr(loss, name), getattr(loss_in_space, name), rtol=1e-5, atol=1e-7)
    loss.total.backward()
    loss_in_space.total.backward()
    error = (x.grad - deep.grad.sum(-1)).norm() / x.grad.norm()
    assert error < 1e-4


# Orders, by definition


def test_order_of_the_pixel_shuffle():
    head = full_resolution_head(3, small().config)
    x = noise("x", (2, 3 * 4, 4, 5))
    y = head[1](x)
    assert y.shape == (2, 3, 8, 10)
    for k, s1, s2 in product(range(3), range(2), range(2)):
        assert torch.equal(y[:, k, s1::2, s2::2], x[:, (k * 2 + s1) * 2 + s2])


@torch.no_grad()
def test_order_of_the_patch_merge():
    merge = fill(PatchMerging(3, spatial_dim=2))
    x = noise("x", (2, 3, 6, 8))
    joined = torch.cat([x[:, :, i::2, j::2] for i, j in product(range(2), range(2))], dim=1)
    tokens = F.layer_norm(joined.permute(0, 2, 3, 1), (12,), merge.norm.weight, merge.norm.bias, 1e-6)
    expected = (tokens @ merge.reduction.weight.flatten(1).T).permute(0, 3, 1, 2)
    torch.testing.assert_close(merge(x), expected)


def test_relative_position_index():
    nx, ny = 3, 4
    index = relative_position_index((nx, ny))
    for (p, (px, py)), (r, (rx, ry)) in product(enumerate(product(range(nx), range(ny))), repeat=2):
        assert index[p, r] == (px - rx + nx - 1) * (2 * ny - 1) + py - ry + ny - 1
    table = small().encoder.encoder_attn.layers[1].blocks[0].attn.position_embedding.relative_position_bias_table
    assert table.shape == (7 * 11, 2)


def attention(stage: int) -> PairedWindowAttention:
    return small().encoder.encoder_attn.layers[stage].blocks[0].attn


@pytest.mark.parametrize("stage", range(4))
@torch.no_grad()
def test_windows_hold_their_tokens_in_order(stage):
    """Channels (scale, head, c); windows and tokens row by row; each token the maximum of its small window."""
    module = attention(stage)
    x = noise("x", (2, module.mix_channels[0].in_channels, *module.grid))
    windows = module.gather(x)
    channels = windows.shape[-1]
    assert windows.shape[1] == module.heads and windows.shape[3] == prod(module.tokens)
    first = 0
    for scale, (big, little) in enumerate(module.plan):
        corners = list(product(range(0, module.grid[0], big[0]), range(0, module.grid[1], big[1])))
        for (n, (i, j)), head in product(enumerate(corners), range(module.heads)):
            for token, (k, m) in enumerate(product(range(module.tokens[0]), range(module.tokens[1]))):
                top, left = i + k * little[0], j + m * little[1]
                start = (scale * module.heads + head) * channels
                pool = x[:, start : start + channels, top : top + little[0], left : left + little[1]]
                assert torch.equal(windows[:, head, first + n, token], pool.amax((2, 3)))
        first += len(corners)
    assert first == windows.shape[2]


@torch.no_grad()
def test_windows_return_to_their_place():
    """What no pooling has changed comes back exactly; a pooled scale comes back bilinear, corners on corners."""
    module = attention(1)
    assert module.plan[0] == ((4, 6), (1, 1))
    x = noise("x", (2, module.mix_channels[0].in_channels, *module.grid))
    y = module.scatter(module.gather(x))
    finest = x.shape[1] // len(module.plan)
    assert torch.equal(y[:, :finest], x[:, :finest])
    assert y.shape == x.shape
    coarse = F.max_pool2d(x[:, finest : 2 * finest], 2)
    (height, width), (rows, columns) = module.plan[1][0], module.tokens
    window = F.interpolate(coarse[:, :, :rows, :columns], size=(height, width), mode="bilinear", align_corners=True)
    torch.testing.assert_close(y[:, finest : 2 * finest, :height, :width], window)
    torch.testing.assert_close(y[:, finest : 2 * finest, 0, width - 1], coarse[:, :, 0, columns - 1])


# Gradients, training


@pytest.mark.parametrize("part", ("encoder.encoder_attn.", "encoder.encoder_conv.", "decoder.", "rc_decoders.", "image"))
def test_gradients_at_batch_one_by_finite_differences(part):
    """Torch's CPU instance norm is wrong for channels-last gradients at batch 1, whatever the number of axes."""
    network = no_dropout(fill(small()).double())
    x = small_image().double().requires_grad_(part == "image")
    labels = torch.arange(32 * 48).reshape(1, 1, 32, 48) // 7 % 3
    chosen = [x] if part == "image" else [p for key, p in network.named_parameters() if key.startswith(part)]
    directions = [torch.randn_like(p) for p in chosen]

    def loss() -> torch.Tensor:
        return VeloxSegLoss()(network(x), x, labels).total

    gradients = torch.autograd.grad(loss(), chosen)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True)).item()
    values, step = [], 1e-8  # so short that hardly a maximum of the pooling changes its place
    with torch.no_grad():
        for shift in (step, -2 * step):
            for p, d in zip(chosen, directions, strict=True):
                p += shift * d
            values.append(loss().item())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=1e-4)


def test_training_steps_lower_the_loss():
    """Bright discs on noise, a new batch at every step."""
    network = small(in_ch=[3], n_classes=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(48), indexing="ij")
    losses = []
    for _ in range(15):
        centers = torch.rand(4, 2) * torch.tensor([16, 32]) + 8
        disc = (rows - centers[:, 0, None, None]) ** 2 + (columns - centers[:, 1, None, None]) ** 2 < 49
        labels = disc[:, None]
        image = labels + 0.5 * torch.randn(4, 3, 32, 48)
        terms = VeloxSegLoss()(network(image), image, labels)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        losses.append((terms.cross_entropy[0] + terms.dice[0]).item())
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])


def test_initial_values():
    """Kaiming normal and zero biases, as in 3D; torch's own start would be 2.4 times smaller."""
    convolutions = [m for m in VeloxSeg(**PHOTO).modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))]
    for module in convolutions:
        weight = module.weight
        std = sqrt(2 / (1 + 0.01**2) / prod(weight.shape[1:]))
        assert weight.std().item() == pytest.approx(std, rel=5 / sqrt(2 * weight.numel()))
        assert module.bias is None or not module.bias.any()
    assert len(convolutions) > 80


# Sizes and settings


@pytest.mark.parametrize(
    ("size", "windows"),
    (([256, 256], [[8, 8]] * 4), ([256, 192], [[8, 6]] * 4), ([256, 192], [[4, 3], [8, 6], [4, 3], [4, 3]]), ([192, 192], [])),
)
@torch.no_grad()
def test_sizes_of_photos(size, windows):
    """[] stands for windows that are fitted to the size."""
    network = VeloxSeg(**PHOTO | {"input_size": size, "min_big_window_sizes": windows}, teachers=False)
    x = noise("photo", (1, 3, *size))
    assert network.eval()(x).shape == (1, 2, *size)
    output = network.train()(x)
    assert [logits.shape for logits in output.seg] == [(1, 2, *size)] * 4
    assert (output.reconstruction, output.gram_seg, output.gram_teachers) == (None, None, [])


@pytest.mark.parametrize(
    "size, windows",
    [
        ([192, 192], ((3, 3), (6, 6), (3, 3), (3, 3))),
        ([128, 128], ((4, 4), (8, 8), (4, 4), (4, 4))),
        ([160, 224], ((5, 7), (5, 7), (5, 7), (5, 7))),
        ([96, 96, 96], ((3, 3, 3), (6, 6, 6), (3, 3, 3), (3, 3, 3))),
        ([128, 128, 64], ((4, 4, 2), (8, 8, 4), (4, 4, 2), (4, 4, 2))),
    ],
)
def test_empty_windows_are_fitted_and_the_published_ones_on_the_published_sizes(size, windows):
    config = VeloxSegConfig(size, 4, [1], spatial_dim=len(size))
    assert config.min_big_window_sizes == windows
    assert config.min_small_window_sizes == ((1,) * len(size),) * 4
    assert VeloxSegConfig(**config.arguments()) == config


def test_every_divisible_size_gets_windows():
    for size in product(range(32, 545, 32), (32, 64, 96, 160, 352, 544)):
        if size == (32, 32):
            continue
        config = VeloxSegConfig(size, 4, [3], spatial_dim=2)
        for stage in range(4):
            assert config.window_plan(stage)[-1][0] <= config.grid(stage)


def test_another_size_keeps_chosen_windows_and_fits_fitted_ones():
    fitted = VeloxSegConfig((96, 96), 4, [3], spatial_dim=2)
    assert fitted.resized((128, 128)) == VeloxSegConfig((128, 128), 4, [3], spatial_dim=2)
    chosen = VeloxSegConfig((128, 128), 4, [3], spatial_dim=2, min_big_window_sizes=((4, 4), (4, 4), (2, 2), (2, 2)))
    assert chosen.resized((256, 256)).min_big_window_sizes == chosen.min_big_window_sizes
    with pytest.raises(ValueError, match=r"such as \(96, 128\) or \(128, 160\), got \(100, 130\)"):
        fitted.resized((100, 130))


BAD_SETTINGS = {
    "three sizes": ({"input_size": [32, 48, 32]}, "spatial_dim must be 2 or 3"),
    "one axis": ({"spatial_dim": 1, "input_size": [32]}, "spatial_dim must be 2 or 3"),
    "four axes": ({"spatial_dim": 4, "input_size": [32, 32, 32, 32]}, "spatial_dim must be 2 or 3"),
    "size not a multiple of eight patches": ({"input_size": [32, 40]}, "multiple of 16"),
    "deepest grid of one pixel": ({"input_size": [16, 16]}, "deepest grid"),
    "window of three axes": ({"min_big_window_sizes": [[4, 6, 4]] * 4}, "stage 1: windows need 2 positive sizes"),
    "window that does not divide the grid": ({"min_big_window_sizes": [[4, 4], [4, 5], [2, 3], [2, 3]]}, "window"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings_raise_one_clear_error(case):
    changes, words = BAD_SETTINGS[case]
    with pytest.raises(ValueError, match=words) as caught:
        small(**changes)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("training", (True, False))
@pytest.mark.parametrize("shape", ((1, 4, 48, 32), (1, 4, 32, 47), (1, 3, 32, 48), (4, 32, 48), (1, 4, 32, 48, 32)))
def test_an_image_of_another_size_is_refused(shape, training):
    with pytest.raises(ValueError, match="expected an image"):
        small().train(training)(torch.zeros(shape))


def test_weights_of_a_volume_network_are_refused():
    with pytest.raises(ValueError, match="has shape"):
        load_weights(small(), in_space(small()).state_dict())


def test_count_of_the_photo_network():
    """With teachers, and what inference uses."""
    assert sum(p.numel() for p in VeloxSeg(**PHOTO).parameters()) == 770_575
    inference = VeloxSeg(**PHOTO, teachers=False, deep_supervision=False)
    assert sum(p.numel() for p in inference.parameters()) == 622_377
