"""The cellular automata: published parameter counts, an independent step, sparse against dense, sizes, tiles."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks import bench
from veloxseg.networks.nca import NCA, PRESETS, PUBLISHED, NCAConfig, network, tiles
from veloxseg.networks.nca.rule import Rule

TINY = {"channels": 16, "hidden": 12, "steps": 3}
# One of each kind: levels, attention, position, norm, kernels, dimensions.
KINDS = {
    "basic": TINY | {"use_position": True},
    "cbam": TINY | {"cbam": True, "norm": "cell"},
    "multi": TINY | {"levels": 2},
    "multi cbam": TINY | {"levels": 2, "cbam": True, "in_ch": 1},
    "three levels": TINY | {"levels": 3, "factor": 2},
    "volume": TINY | {"levels": 2, "factor": 2, "spatial_dim": 3, "in_ch": 2, "perception": "depthwise", "kernels": (5, 3)},
    "volume cbam": TINY | {"spatial_dim": 3, "in_ch": 1, "cbam": True},
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(arguments: dict) -> NCA:
    """With weights in every layer, so that cells change in every step."""
    torch.manual_seed(1)
    nca = NCA(**arguments)
    for rule in nca.rules:
        torch.nn.init.normal_(rule.fc1.weight, std=0.2)
    return nca


def inputs(nca: NCA, batch: int = 1, size: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    space = tuple(range(size, size + nca.config.spatial_dim))
    image = torch.rand(batch, nca.config.in_ch, *space, generator=generator)
    return image, torch.randn(batch, 1, *space, generator=generator), torch.arange(batch) * 100 + 500


def run(nca: NCA, *given, seed: int = 3, **keywords) -> torch.Tensor:
    return torch.cat(nca(*given, generator=torch.Generator().manual_seed(seed), **keywords), dim=1)


def test_published_parameter_counts():
    counts = {name: count for name, count, *_ in bench.nca_table()}
    assert {name: counts[name] for name in PUBLISHED} == {
        "basic": 139_648, "cbam": 206_118, "multi": 410_880, "multi_cbam": 412_236,
    }  # fmt: skip
    assert counts["basic_wide"] == 205_440
    # The paper's gain of 67 k is hidden width but for these.
    assert counts["cbam"] - counts["basic_wide"] == 678


def test_counts_are_printed():
    report = bench.parameters_report()
    assert all(number in report for number in ("139,648", "206,118", "410,880", "412,236"))
    # 134 G multiply-adds at 256 x 256: few parameters are not little work.
    assert dict((row[0], row[3]) for row in bench.nca_table())["basic_wide"] == 10 * 256**2 * 204_800


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    config = NCAConfig(**PRESETS[name])
    assert NCAConfig(**json.loads(json.dumps(config.arguments()))) == config


@pytest.mark.parametrize(
    "change, word",
    [
        ({"channels": 6}, "memory"),
        ({"channels": 12, "cbam": True}, "attention"),
        ({"hidden": 0}, "hidden"),
        ({"steps": 0}, "steps"),
        ({"levels": 0}, "levels"),
        ({"in_ch": 0}, "in_ch"),
        ({"factor": 1}, "factor"),
        ({"fire_rate": 0}, "fire_rate"),
        ({"fire_rate": 1.1}, "fire_rate"),
        ({"fire_rate": "half"}, "fire_rate"),
        ({"kernels": (4,)}, "kernels"),
        ({"kernels": (3, 3, 3), "levels": 2}, "kernels"),
        ({"kernels": 3}, "kernels"),
        ({"spatial_dim": 4}, "spatial_dim"),
        ({"perception": "sobel"}, "perception"),
        ({"prediction": "score"}, "prediction"),
        ({"timestep": "raw"}, "timestep"),
        ({"norm": "batch"}, "norm"),
        ({"mask_range": (0, 255)}, "mask_range"),
        ({"mask_range": (0.0, float("nan"))}, "mask_range"),
        ({"diffusion_steps": 20}, "diffusion_steps"),
        ({"cbam": 1}, "cbam"),
        ({"hidden": True}, "hidden"),
        ({"hidden": 8.0}, "hidden"),
    ],
)
def test_bad_settings_get_a_sentence(change, word):
    with pytest.raises(ValueError, match=word) as problem:
        NCAConfig(**TINY | change)
    assert "\n" not in str(problem.value)


def naive_step(rule: Rule, state: np.ndarray, fire: np.ndarray) -> np.ndarray:
    """One step of specification section 3 written with loops; state (C, y, x), fire (y, x)."""
    weights = {name: tensor.detach().double().numpy() for name, tensor in rule.named_parameters()}
    seen = state
    if rule.cbam is not None:
        sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
        mlp = lambda x: (  # noqa: E731
            weights["cbam.excite.weight"] @ np.maximum(weights["cbam.squeeze.weight"] @ x + weights["cbam.squeeze.bias"], 0)
            + weights["cbam.excite.bias"]
        )
        attended = state * sigmoid(mlp(state.max((1, 2))) + mlp(state.mean((1, 2))))[:, None, None]
        pooled = np.pad(np.stack([attended.max(0), attended.mean(0)]), ((0, 0), (3, 3), (3, 3)))
        gate = np.array(
            [
                [np.sum(pooled[:, y : y + 7, x : x + 7] * weights["cbam.pixels.weight"][0]) for x in range(state.shape[2])]
                for y in range(state.shape[1])
            ]
        )
        seen = state + attended * sigmoid(gate)
    padded = np.pad(seen, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    after = state.copy()
    for y, x in np.argwhere(fire):
        around = padded[:, y : y + 3, x : x + 3]
        views = np.einsum("oijk,ijk->o", weights["perceive.weight"], around) + weights["perceive.bias"]
        hidden = weights["fc0.weight"] @ np.concatenate([seen[:, y, x], views]) + weights["fc0.bias"]
        hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
        after[:, y, x] += weights["fc1.weight"] @ hidden
    return after


@pytest.mark.parametrize("cbam", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_step_equals_the_formula(cbam, sparse):
    rule = build(TINY | {"cbam": cbam}).rules[0].double()
    state, fire = torch.randn(1, 16, 5, 6).double(), torch.rand(1, 1, 5, 6) < 0.5
    after = rule(state, fire, sparse)[0].detach().numpy()
    assert np.abs(after - naive_step(rule, state[0].numpy(), fire[0, 0].numpy())).max() < 1e-12
    assert np.array_equal(after[:, ~fire[0, 0].numpy()], state[0].numpy()[:, ~fire[0, 0].numpy()])


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_equals_dense_with_its_gradients(kind, monkeypatch):
    # Several chunks, the last one not full.
    monkeypatch.setattr("veloxseg.networks.nca.rule.CELLS_AT_ONCE", 50)
    nca = build(KINDS[kind])
    given = inputs(nca, batch=2)
    results = []
    for sparse in (False, True):
        nca.sparse = sparse
        nca.zero_grad()
        output = run(nca, *given)
        output.square().mean().backward()
        results.append([output.detach(), *(parameter.grad for parameter in nca.parameters())])
    assert results[0][0].abs().max() > 0.1
    for dense, sparse in zip(*results, strict=True):
        assert (dense - sparse).abs().max() < 1e-5 * max(1, float(dense.abs().max()))


@pytest.mark.parametrize("sparse", [False, True])
def test_nobody_fires_or_everybody(sparse):
    rule = build(TINY).rules[0]
    state = torch.randn(1, 16, 6, 6)
    assert torch.equal(rule(state, torch.zeros(1, 1, 6, 6, dtype=torch.bool), sparse), state)
    assert ((rule(state, torch.ones(1, 1, 6, 6, dtype=torch.bool), sparse) != state).any(1)).all()


def test_checkpointing_changes_nothing():
    nca = build(KINDS["multi cbam"])
    results = []
    for nca.checkpointing in (False, True):
        nca.zero_grad()
        output = run(nca, *inputs(nca))
        output.square().mean().backward()
        results.append([output.detach(), *(parameter.grad for parameter in nca.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_new_network_changes_nothing(kind):
    nca = NCA(**KINDS[kind])
    image, noisy, t = inputs(nca)
    output = nca(image, noisy, t)
    assert not output.prediction.any() and torch.equal(output.readout, image)


def states_at_the_start(nca: NCA, *given) -> list[torch.Tensor]:
    """The state that the first step of each level sees."""
    heard = {rule: [] for rule in nca.rules}
    for rule in nca.rules:
        rule.register_forward_pre_hook(lambda module, args: heard[module].append(args[0].detach().clone()))
    run(nca, *given)
    return [heard[rule][0] for rule in nca.rules]


def test_layout_of_the_state():
    nca = build(TINY | {"use_position": True})
    image, noisy, t = inputs(nca, batch=2)
    (state,) = states_at_the_start(nca, image, noisy, t)
    assert not state[:, 0].any() and not state[:, 5:14].any()
    assert torch.equal(state[:, 1:4], image) and torch.equal(state[:, 4:5], noisy)
    place = state[0, 14]
    assert place[0, 0] == 0 and place[-1, -1] == 1 and place[0, -1] == place[-1, 0] == 0.5
    assert torch.allclose(state[:, 15].mean((1, 2)), torch.tensor([0.5, 0.6])) and state[0, 15].unique().numel() == 1


def test_integer_time_and_no_time():
    nca = build(TINY | {"timestep": "integer"})
    assert (states_at_the_start(nca, *inputs(nca))[0][:, 15] == 500).all()
    direct = build(TINY | {"prediction": "direct"})
    (state,) = states_at_the_start(direct, inputs(direct)[0])
    assert not state[:, 4].any() and not state[:, 15].any()


def test_finer_level_keeps_memory_and_gets_the_inputs_again():
    nca = build(TINY | {"levels": 2, "factor": 2, "use_position": True})
    image, noisy, t = inputs(nca)
    image, noisy = image[..., :12], noisy[..., :12]
    ends = []
    nca.rules[0].register_forward_hook(lambda module, args, output: ends.append(output.detach()))
    coarse, fine = states_at_the_start(nca, image, noisy, t)
    assert coarse.shape[2:] == (6, 6) and len(ends) == 3
    assert torch.equal(fine[:, 1:5], torch.cat([image, noisy], 1))
    grown = ends[-1].repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(fine[:, :1], grown[:, :1]) and torch.equal(fine[:, 5:14], grown[:, 5:14])
    assert fine[0, 14, -1, -1] == 1 and (fine[:, 15] == 0.5).all()


def test_noise_of_the_coarse_level():
    """Half the deviation in 2D, which tells the linear interpolation from area means (0.25) and filtered ones (0.17)."""
    nca = NCA(**TINY | {"levels": 2})
    assert abs(float(nca._shrunk(torch.randn(1, 1, 400, 400)).std()) - 0.5) < 0.02


@pytest.mark.parametrize(
    "kind, size", [("multi", (25, 33)), ("multi", (1, 1)), ("three levels", (2, 9)), ("volume", (5, 9, 7)), ("basic", (1, 3))]
)
def test_any_size(kind, size):
    nca = build(KINDS[kind])
    output = nca(torch.rand(1, nca.config.in_ch, *size), torch.randn(1, 1, *size), torch.tensor([9]))
    assert output.prediction.shape == (1, 1, *size) and output.readout.shape == (1, nca.config.in_ch, *size)


@pytest.mark.parametrize("length, size", [(1, 4), (2, 8), (3, 8), (5, 8), (8, 8)])
def test_growth_reflects(length, size):
    nca = NCA(**TINY | {"levels": 2})
    row = np.arange(length, dtype=np.float32)
    grown = nca._grown(torch.from_numpy(row).expand(1, 1, 8, length))[0, 0, 0].numpy()
    assert len(grown) == 8
    assert np.array_equal(grown, np.pad(row, (0, 8 - length), mode="reflect"))


@pytest.mark.parametrize("kind", ["multi", "multi cbam", "volume"])
def test_images_of_a_batch_do_not_meet(kind, monkeypatch):
    masks = [torch.rand(2, 1, *(20,) * KINDS[kind].get("spatial_dim", 2)) < 0.5 for _ in range(6)]
    nca = build(KINDS[kind])
    image, noisy, t = inputs(nca, batch=2)
    outputs = []
    for which in (slice(0, 2), slice(0, 1), slice(1, 2)):
        left = iter(masks)
        cut = lambda shape, *_, left=left, which=which: next(left)[(which, slice(None), *map(slice, shape[2:]))]  # noqa: E731
        monkeypatch.setattr(network, "draw_fire", cut)
        outputs.append(torch.cat(nca(image[which], noisy[which], t[which]), dim=1))
    assert (outputs[0] - torch.cat(outputs[1:])).abs().max() < 1e-5


def test_fire_rate_holds_in_eval_too_and_is_one_draw_for_all_channels():
    for nca in (build(TINY | {"steps": 1, "fire_rate": 0.3}), build(TINY | {"steps": 1, "fire_rate": 0.3}).eval()):
        image, noisy, t = inputs(nca, size=60)
        changed = nca(image, noisy, t).readout != image
        assert torch.equal(changed.any(1), changed.all(1))
        assert abs(float(changed.float().mean()) - 0.3) < 0.04


def test_seeded_cells():
    nca = build(KINDS["multi"])
    given = inputs(nca)
    assert torch.equal(run(nca, *given), run(nca, *given))
    assert not torch.equal(run(nca, *given), run(nca, *given, seed=4))


@pytest.mark.parametrize(
    "arguments, size, tile",
    [
        (TINY | {"levels": 2}, (36, 30), 8),
        (TINY | {"levels": 2}, (37, 21), 10),
        (TINY, (23, 17), 5),
        (KINDS["volume"], (17, 12, 14), 6),
    ],
)
def test_tiles_equal_the_whole(arguments, size, tile):
    nca = build(arguments)
    image, noisy, t = torch.rand(1, nca.config.in_ch, *size), torch.randn(1, 1, *size), torch.tensor([300])
    whole = run(nca, image, noisy, t)
    tiled = run(nca, image, noisy, t, tile=tile)
    assert whole.abs().max() > 0.1 and (whole - tiled).abs().max() < 1e-5


def test_boxes():
    """In cells of a coarser grid (4 fine ones), and never beyond the border."""
    places = list(tiles.boxes((16, 20), 7, 3, 4))
    assert len(places) == 6
    assert places[0] == ((slice(0, 8), slice(0, 8)), (slice(0, 12), slice(0, 12)), (slice(0, 8), slice(0, 8)))
    assert places[-1] == ((slice(8, 16), slice(16, 20)), (slice(4, 16), slice(12, 20)), (slice(4, 12), slice(4, 8)))


def test_a_smaller_halo_would_not_do(monkeypatch):
    """The halo is needed: the test above can tell an exact tile from a nearly exact one."""
    nca = build(TINY)
    given = torch.rand(1, 3, 24, 24), torch.randn(1, 1, 24, 24), torch.tensor([300])
    monkeypatch.setattr(network, "boxes", lambda size, tile, halo, multiple: tiles.boxes(size, tile, halo - 1, multiple))
    assert (run(nca, *given) - run(nca, *given, tile=8)).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["basic", "cbam"])
def test_no_tiles_for_networks_that_look_at_the_whole_image(kind):
    nca = build(KINDS[kind])
    with pytest.raises(ValueError, match="tiles"):
        nca(*inputs(nca), tile=8)


def test_forward_refuses_what_does_not_fit():
    nca, direct = build(TINY), build(TINY | {"prediction": "direct"})
    image, noisy, t = inputs(nca, batch=2)
    for arguments in (
        (image[:, :2], noisy, t),
        (image[0], noisy, t),
        (image,),
        (image, noisy),
        (image, noisy[:, 0], t),
        (image, noisy, t[:1]),
    ):
        with pytest.raises(ValueError):
            nca(*arguments)
    with pytest.raises(ValueError, match="no noisy mask"):
        direct(image, noisy, t)


def test_names_of_the_weights():
    """Packages store them."""
    names = set(NCA(**KINDS["multi cbam"]).state_dict())
    layers = {"perceive.weight", "perceive.bias", "fc0.weight", "fc0.bias", "fc1.weight", "cbam.pixels.weight"}
    layers |= {f"cbam.{layer}.{kind}" for layer in ("squeeze", "excite") for kind in ("weight", "bias")}
    assert names == {f"rules.{level}.{layer}" for level in (0, 1) for layer in layers}


def test_depthwise_perception_keeps_channels_apart():
    rule = build(KINDS["volume"]).rules[1]
    state = torch.randn(1, 16, 4, 4, 4)
    other = state.clone()
    other[:, 3] += 1
    difference = rule.perceive(F.pad(other, rule.margins)) - rule.perceive(F.pad(state, rule.margins))
    assert difference.abs().sum((0, 2, 3, 4)).nonzero().flatten().tolist() == [3]
