"""The network against the numeric fixtures of the published one, module by module and as a whole.

The limits are about five times the rounding error of a right implementation; looser ones would hide mistakes (an
instance-norm eps of 1e-6 moves the tiny logits by only 1.2e-4). When several tests fail, start with the first failing
module case: they follow the data flow. `pytest -rP` prints the measured errors.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch

from parity_rules import (
    DEAD_GRADIENT,
    NETWORKS,
    base_stream,
    fill,
    image,
    labels,
    largest_error,
    load_arrays,
    load_json,
    no_dropout,
    noise,
    statistics,
    subsample,
)
from training.losses import LossTerms, VeloxSegLoss
from veloxseg.contract.windows_plan import WindowPlan
from veloxseg.inference.windows import Empty, sliding_window
from veloxseg.networks import TrainingOutput, VeloxSeg
from veloxseg.networks.decoder import gram_matrix
from veloxseg.networks.layers import PixelShuffle3d

LOGITS, GRAMS, LOSS, GRADIENT = 5e-5, 1e-5, 1e-5, 2e-4

PUBLISHED = ("autopetii", "hecktor2022", "brats2021")
MODULES = load_json("tiny_modules")
SLIDING = load_json("sliding_window")


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on contended cores spin for minutes in a backward pass of seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def filled(name: str) -> VeloxSeg:
    """The network of a fixture, filled by the rules; every test sets the mode it needs."""
    return fill(VeloxSeg(**load_json(name)["config"]))


def network_input(name: str) -> torch.Tensor:
    return image(tuple(load_json(name)["input_shape"]))


def network_labels(name: str) -> torch.Tensor:
    config = load_json(name)["config"]
    return labels(load_json(name)["batch"], config["input_size"], config["n_classes"])


def assert_close(actual: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    error = largest_error(actual, expected)
    print(f"{what}: {error:.1e}")
    assert error < tolerance, f"{what} differs by {error:.1e}"


def assert_statistics(tensor: torch.Tensor, expected: dict, tolerance: float) -> None:
    """The numbers kept of a tensor that is too large to store in full."""
    assert list(tensor.shape) == expected["shape"]
    actual = statistics(tensor)
    for key in ("mean", "std", "min", "max"):
        assert actual[key] == pytest.approx(expected[key], abs=tolerance), key
    assert actual["l2"] == pytest.approx(expected["l2"], rel=1e-5)


def flat(result) -> list[torch.Tensor]:
    """The tensors of nested tuples and lists, in order."""
    return [result] if isinstance(result, torch.Tensor) else [t for part in result for t in flat(part)]


# Keys, shapes and counts


@pytest.mark.parametrize("name", PUBLISHED)
def test_state_dict_is_the_published_one_in_its_order(name):
    """The order matters to load the state of an optimizer: torch numbers parameters by position."""
    reference = load_json(f"veloxseg_state_dict_{name}")
    network = VeloxSeg(**reference["hyper_parameters"])  # names only some, so this proves the defaults too
    expected = [(e["key"], e["shape"], e["dtype"]) for e in reference["entries"]]
    actual = [(k, list(v.shape), str(v.dtype).removeprefix("torch.")) for k, v in network.state_dict().items()]
    assert actual == expected
    parameters = [e["key"] for e in reference["entries"] if e["kind"] == "parameter"]
    assert [key for key, _ in network.named_parameters()] == parameters


@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_counts(name):
    expected, network = load_json(name)["params"], filled(name)

    def count(prefix: str = "") -> int:
        return sum(p.numel() for key, p in network.named_parameters() if key.startswith(prefix))

    heads = sum(count(f"decoder.out_conv{j}.") for j in (2, 3, 4))
    assert count() == expected["total"]
    assert count("encoder.") == expected["encoder"]
    assert count("decoder.") == expected["seg_decoder"]
    assert heads == expected["deep_supervision_heads"]
    assert count("rc_decoders.") == expected["reconstruction_decoders"]
    assert count() - heads - count("rc_decoders.") == expected["inference"]


def test_inference_parameters_of_the_autopet_network():
    config = load_json("autopetii")["config"] | {"deep_supervision": False}
    assert sum(p.numel() for p in VeloxSeg(**config, teachers=False).parameters()) == 1_669_185


@pytest.mark.parametrize("name", NETWORKS)
def test_rules_reproduce_inputs_and_parameters(name):
    """If this fails, the rules are wrong and no other test here says anything."""
    fixture, x = load_json(name), network_input(name)
    assert x.flatten()[:8].tolist() == pytest.approx(fixture["input_first8"], abs=1e-7)
    assert_statistics(x, fixture["input_stats"], tolerance=1e-6)
    assert torch.bincount(network_labels(name).flatten()).tolist() == fixture["label_counts"]
    for key, value in filled(name).named_parameters():
        expected = fixture["fill_check"][key]
        assert value.flatten()[:3].tolist() == pytest.approx(expected["first3"], abs=1e-7), key
        assert value.double().sum().item() == pytest.approx(expected["sum"], abs=1e-6), key


# Module by module


def attention(stage: int) -> torch.nn.Module:
    return filled("tiny").get_submodule(f"encoder.encoder_attn.layers.{stage - 1}.blocks.0.attn")


def segmentation_decoder_in_training(*features: torch.Tensor) -> list[torch.Tensor]:
    """Full-resolution logits, the three heads on their own grids, and the Gram matrix."""
    decoder = filled("tiny").decoder
    up1, up2, up3 = decoder.levels(features)
    heads = [decoder.out_conv2(up2), decoder.out_conv3(up3), decoder.out_conv4(features[3])]
    return [decoder.out_conv1(up1), *heads, gram_matrix(up1)]


def teacher_in_training(*joined: torch.Tensor) -> list[torch.Tensor]:
    """Reconstruction and Gram matrix."""
    reconstruction, up1 = filled("tiny").rc_decoders[1](joined)
    return [reconstruction, gram_matrix(up1)]


# Cases that are not one call of their module with the inputs one by one or, with `LISTS`, as one list.
CALLS = {
    "position_bias": lambda: attention(2).position_embedding(),
    "window_gather": lambda x: attention(2).gather(x),
    "window_scatter": lambda windows: attention(2).scatter(windows),
    "gram": gram_matrix,
    "scale_prediction": lambda x: filled("tiny")._resize(x),
    "pixel_shuffle": lambda _: PixelShuffle3d(2)(torch.arange(256.0).reshape(2, 16, 2, 2, 2)),
    "seg_decoder_train": segmentation_decoder_in_training,
    "rc_decoder_eval": lambda *joined: filled("tiny").rc_decoders[1](joined)[0],
    "rc_decoder_train": teacher_in_training,
    "encoder_eval": lambda x: filled("tiny").encoder(x)[0],
    "encoder_train": lambda x: filled("tiny").encoder(x)[1],
}
LISTS = ("pwa_", "seg_decoder")


def call(name: str, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Outputs of one module case. Nothing in the modules depends on the mode except dropout."""
    no_dropout(filled("tiny")) if name.endswith("_train") else filled("tiny").eval()
    if name in CALLS:
        return flat(CALLS[name](*inputs))
    module = filled("tiny").get_submodule(MODULES["cases"][name]["module"])
    return flat(module(inputs) if name.startswith(LISTS) else module(*inputs))


@pytest.mark.parametrize("name", MODULES["cases"])
@torch.no_grad()
def test_module(name):
    case, arrays = MODULES["cases"][name], load_arrays("tiny_modules")
    inputs = [noise(f"module|{name}|{q}", tuple(shape)) for q, shape in enumerate(case["inputs"])]
    outputs = call(name, inputs)
    assert len(outputs) == len(case["outputs"])
    for output, expected in zip(outputs, case["outputs"], strict=True):
        tolerance = GRAMS if output.ndim == 3 else LOGITS
        assert_statistics(output, expected, tolerance)
        assert_close(subsample(output, case["stride"]), arrays[expected["npz"]], tolerance, expected["npz"])


@pytest.mark.parametrize("stage", (1, 2, 3, 4))
def test_window_plan(stage):
    expected, module = MODULES["window_plan"][f"stage{stage}"], attention(stage)
    assert [list(big) for big, _ in module.plan] == expected["big"]
    assert [list(small) for _, small in module.plan] == expected["small"]
    query, key, value = module.qkv_proj[0]
    assert query.out_channels == key.out_channels == expected["channels_qk"]
    assert value.out_channels == module.mix_channels[0].in_channels == expected["channels_v"]
    assert module.position_embedding().shape[0] == expected["heads"]


@torch.no_grad()
def test_trace_of_a_whole_pass():
    """Every intermediate tensor of one forward pass; the first that differs names the culprit."""
    network, seen, hooks = filled("tiny").eval(), {}, []
    for path in MODULES["trace"]["order"]:
        module = network.get_submodule(path)
        hooks.append(module.register_forward_hook(lambda _m, _i, out, path=path: seen.update({path: flat(out)})))
    try:
        network(network_input("tiny"))
    finally:
        for hook in hooks:
            hook.remove()
    for path in MODULES["trace"]["order"]:
        expected = MODULES["trace"]["modules"][path]
        assert len(seen[path]) == len(expected), path
        for tensor, values in zip(seen[path], expected, strict=True):
            assert_statistics(tensor, values, LOGITS)
            assert tensor[0, :4, 0, 0, 0].tolist() == pytest.approx(values["first4"], abs=LOGITS), path
            assert tensor[-1, -4:, -1, -1, -1].tolist() == pytest.approx(values["last4"], abs=LOGITS), path


# Whole networks


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_eval_logits(name):
    fixture = load_json(name)
    logits = filled(name).eval()(network_input(name))
    assert_close(subsample(logits, fixture["subsample_stride"]), load_arrays(name)["eval_logits_sub"], LOGITS, "logits")
    for k, expected in enumerate(fixture["eval"]["logits"]):
        assert_statistics(logits[:, k], expected, LOGITS)
    counts = torch.bincount(logits.argmax(1).flatten(), minlength=logits.shape[1])
    # rounding flips a few voxels whose two best classes are equal to seven digits
    assert counts.tolist() == pytest.approx(fixture["eval"]["argmax_counts"], abs=5)


class Step(NamedTuple):
    """One training pass of a fixture network without dropout, and its gradients."""

    output: TrainingOutput
    loss: LossTerms
    gradients: dict[str, torch.Tensor]


@cache
def training_step(name: str) -> Step:
    network, x = no_dropout(filled(name)), network_input(name)
    output = network(x)
    loss = VeloxSegLoss()(output, x, network_labels(name))
    loss.total.backward()
    gradients = {key: p.grad for key, p in network.named_parameters()}
    network.zero_grad(set_to_none=True)
    detached = TrainingOutput(
        [t.detach() for t in output.seg],
        output.reconstruction.detach(),
        output.gram_seg.detach(),
        [t.detach() for t in output.gram_teachers],
    )
    return Step(detached, loss, gradients)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_outputs(name):
    fixture, arrays, output = load_json(name), load_arrays(name), training_step(name).output
    stride, described = fixture["subsample_stride"], fixture["train_nodrop"]["outputs"]
    volumes = {f"seg{j + 1}": logits for j, logits in enumerate(output.seg)} | {"recon": output.reconstruction}
    grams = {f"gram_rec{m}": gram for m, gram in enumerate(output.gram_teachers)} | {"gram_seg": output.gram_seg}
    assert set(volumes) | set(grams) == set(described)
    for key, volume in volumes.items():
        step = stride if key in ("seg1", "recon") else 2 * stride
        assert_close(subsample(volume, step), arrays[f"train_{key}_sub"], LOGITS, key)
        for channel, expected in enumerate(described[key]):
            assert_statistics(volume[:, channel], expected, LOGITS)
    for key, gram in grams.items():
        assert_close(gram.numpy(), arrays[f"train_{key}"], GRAMS, key)
        assert_statistics(gram, described[key], GRAMS)


@pytest.mark.parametrize("name", NETWORKS)
def test_loss_terms(name):
    expected, loss = load_json(name)["train_nodrop"]["loss"], training_step(name).loss
    assert [t.item() for t in loss.cross_entropy] == pytest.approx(expected["ce"], rel=LOSS)
    assert [t.item() for t in loss.dice] == pytest.approx(expected["dice"], rel=LOSS)
    assert loss.reconstruction.item() == pytest.approx(expected["recon_mse"], rel=LOSS)
    gram_mse = expected["gram_mse"]
    assert loss.sdkt.item() == pytest.approx(sum(gram_mse) / len(gram_mse), rel=LOSS)
    assert loss.total.item() == pytest.approx(expected["total"], rel=LOSS)
    print(f"total loss: relative error {abs(loss.total.item() / expected['total'] - 1):.1e}")


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name):
    """Norm and projection of every parameter's gradient. Three of the networks run at batch 1, where the CPU
    instance norm would give wrong gradients if it met a channels-last one."""
    expected, gradients = load_json(name)["train_nodrop"]["grad"], training_step(name).gradients
    assert set(gradients) == set(expected)
    compared, worst_norm, worst_projection = 0, 0.0, 0.0
    for key, gradient in gradients.items():
        norm, double = expected[key]["l2"], gradient.double()
        if norm < DEAD_GRADIENT:
            assert double.norm().item() < 10 * DEAD_GRADIENT, key
            continue
        projection = (double * torch.from_numpy(base_stream("grad|" + key, tuple(gradient.shape)))).sum().item()
        errors = abs(double.norm().item() / norm - 1), abs(projection - expected[key]["proj"]) / norm
        assert max(errors) < GRADIENT, f"{key}: norm off by {errors[0]:.1e}, projection by {errors[1]:.1e}"
        worst_norm, worst_projection = max(worst_norm, errors[0]), max(worst_projection, errors[1])
        compared += 1
    assert compared > len(gradients) / 2
    print(f"{compared} of {len(gradients)} gradients: norm {worst_norm:.1e}, projection {worst_projection:.1e}")


# Whole volumes


@pytest.mark.parametrize("name", SLIDING["cases"])
def test_sliding_window(name):
    """Volumes larger and smaller than the window, blended and padded as in the published inference."""
    case = SLIDING["cases"][name]
    volume = image((1, 2, *case["volume"]), f"sliding|{name}")[0]
    network = filled("tiny").eval()
    plan = WindowPlan(tuple(case["roi"]), case["overlap"], case["blend"])
    logits = sliding_window(network, volume, plan, [Empty(0.0), Empty(0.0)], outputs=2)
    expected = load_arrays("sliding_window")[case["npz"]]
    assert_close(subsample(logits[None], case["stride"]), expected, LOGITS, name)
    for k, values in enumerate(case["logits"]):
        assert_statistics(logits[None, k], values, LOGITS)
    assert torch.bincount(logits.argmax(0).flatten()).tolist() == pytest.approx(case["argmax_counts"], abs=5)
