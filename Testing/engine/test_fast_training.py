"""The fast form of VeloxSeg for training against the plain one: outputs, gradients, dropout, half precision."""

import pytest
import torch

from benchmarks import bench_train
from parity_rules import fill, load_json, no_dropout
from veloxseg.networks import VeloxSeg, fast
from veloxseg.networks.fast.parts import Dropout, instance_norm, layer_norm, rows

SMALL = {
    "input_size": (16, 16, 8),
    "patch_size": 1,
    "in_ch": (1, 1),
    "base_ch": 8,
    "attn_base_ch": 8,
    "min_dim_group": (4, 8, 8, 16),
    "depths": (1, 2, 1, 1),
    "min_big_window_sizes": ((2, 2, 1), (4, 4, 2), (2, 2, 1), (2, 2, 1)),
}
OTHERS = (
    {"n_classes": 4, "kernel_sizes": (3,), "act_layer": "ReLU"},
    {"patch_norm": True, "qkv_bias": False, "in_ch": (2,), "teachers": False, "deep_supervision": False},
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(**changes) -> VeloxSeg:
    """Without dropout, in float64."""
    return no_dropout(fill(VeloxSeg(**SMALL | changes))).double()


def noise(plain: VeloxSeg, batch: int) -> torch.Tensor:
    return torch.randn(batch, sum(plain.config.in_ch), *plain.config.input_size, dtype=next(plain.parameters()).dtype)


def tensors(output) -> list[torch.Tensor]:
    """All outputs, segmentations relative to class 0."""
    seg = output.seg if output.relative else [logits[:, 1:] - logits[:, :1] for logits in output.seg]
    taught = [] if output.reconstruction is None else [output.reconstruction, output.gram_seg, *output.gram_teachers]
    return [*seg, *taught]


def weighted(output) -> torch.Tensor:
    """A number that every value of every output changes."""
    generator = torch.Generator().manual_seed(0)
    return sum((t * torch.randn(t.shape, generator=generator, dtype=t.dtype)).mean() for t in tensors(output))


def gradients(plain: VeloxSeg, form, x: torch.Tensor) -> dict[str, torch.Tensor]:
    plain.zero_grad()
    weighted(form(x)).backward()
    return {name: value.grad.clone() for name, value in plain.named_parameters()}


@pytest.mark.parametrize("batch", (1, 2))
@pytest.mark.parametrize("changes", ({}, *OTHERS), ids=("published", "one kernel", "without teachers"))
def test_outputs_and_gradients_are_those_of_the_plain_form(changes, batch):
    plain = network(**changes)
    form, x = fast.training_form(plain).train(), noise(plain, batch)
    for found, expected in zip(tensors(form(x)), tensors(plain(x)), strict=True):
        assert found.shape == expected.shape and (found - expected).abs().max() < 1e-9
    found, expected = gradients(plain, form, x), gradients(plain, plain, x)
    scale = max(value.abs().max() for value in expected.values())
    assert all((found[name] - expected[name]).abs().max() < 1e-10 * scale for name in expected)


def test_published_training_network():
    plain = no_dropout(fill(VeloxSeg(**load_json("tiny")["config"])))
    form, x = fast.training_form(plain).train(), noise(plain, 2)
    for found, expected in zip(tensors(form(x)), tensors(plain(x)), strict=True):
        assert (found - expected).abs().max() < 1e-4
    assert (fast.convert(plain.eval())(x) - plain(x)).abs().max() < 1e-4


def test_gradients_at_batch_1_are_slopes():
    """Against finite differences along one direction through all parameters."""
    torch.manual_seed(0)  # a step across a kink of the maximum pooling would tell another slope
    plain = network()
    form, x = fast.training_form(plain).train(), noise(plain, 1)
    found = gradients(plain, form, x)
    direction = {name: torch.randn_like(value) for name, value in found.items()}
    step, values = 1e-7, []
    for sign in (1, -2):
        with torch.no_grad():
            for name, value in plain.named_parameters():
                value += sign * step * direction[name]
            values.append(weighted(form(x)))
    slope = (values[0] - values[1]) / (2 * step)
    assert torch.isclose(slope, sum((found[name] * direction[name]).sum() for name in found), rtol=1e-7)


def test_weights_are_those_of_the_plain_network():
    plain = network()
    form = fast.training_form(plain)
    assert not list(form.parameters()) and not form.state_dict()
    form.train()
    weighted(form(noise(plain, 1))).backward()
    # processes that train together wait for the gradient of every parameter
    assert all(value.grad is not None for value in plain.parameters())
    x = noise(plain, 1)
    before = form(x).seg[0]
    with torch.no_grad():
        plain.decoder.out_conv1[0].weight.mul_(2)
    assert not torch.equal(form(x).seg[0], before)


def test_two_calls_repeat_each_other_with_one_seed():
    plain = fill(VeloxSeg(**SMALL | {"conv_drop": 0.2, "drop_path": 0.2}))
    form, x = fast.training_form(plain).train(), noise(plain, 2)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(gradients(plain, form, x)["encoder.encoder_attn.patch_embeds.0.proj.weight"])
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_dropout_keeps_the_mean_and_drops_its_share():
    x = torch.ones(1001, 103, requires_grad=True)
    y = Dropout(0.1).train()(x)
    y.sum().backward()
    assert abs((y == 0).float().mean() - 0.1) < 0.005 and abs(y.mean() - 1) < 0.005
    assert torch.equal(x.grad, y.detach()) and torch.equal(Dropout(0.1).eval()(x), x)


@pytest.mark.parametrize("channels", (8, 40))
def test_norms_and_orders_have_right_gradients(channels):
    x = torch.randn(1, 2, 5, channels, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer_norm(x, 1e-6), x)
    assert torch.autograd.gradcheck(lambda x: instance_norm(x[..., :4].unsqueeze(3), 1e-5), x)
    assert torch.autograd.gradcheck(lambda x: rows(x, torch.tensor([2, 0, 4, 1, 3])), x)


def test_half_precision():
    """On the CPU in bfloat16, whose rounding is a hundred times that of float16: it runs, and it is the same network."""
    plain = no_dropout(fill(VeloxSeg(**SMALL)))
    form, x = fast.training_form(plain).train(), noise(plain, 2)
    exact = gradients(plain, form, x)["decoder.out_conv1.0.weight"]
    with torch.autocast("cpu", torch.bfloat16):
        rough = gradients(plain, form, x)["decoder.out_conv1.0.weight"]
        logits = fast.convert(plain.eval())(x).float()
    assert torch.cosine_similarity(rough.flatten(), exact.flatten(), dim=0) > 0.98
    with torch.no_grad():
        expected = plain(x)
    assert torch.corrcoef(torch.stack([logits.flatten(), expected.flatten()]))[0, 1] > 0.98


def test_other_networks_stay_as_they_are():
    flat = VeloxSeg(input_size=(32, 32), patch_size=2, in_ch=(3,), spatial_dim=2, base_ch=8, attn_base_ch=8,
                    min_dim_group=(4, 8, 8, 16), min_big_window_sizes=((2, 2),) * 4)  # fmt: skip
    assert fast.training_form(flat) is flat


def test_bench_train_step():
    report = bench_train.train_step(1, 2, SMALL)
    plain, channels_last, quick = report.comparisons
    assert plain.ratio == 1 and all(c.median_s > 0 for c in (channels_last, quick)) and "fast form" in report.text()
