"""Cellular automata on volumes: several classes against loops, what cards may say, and a tiny package from file to file."""

import itertools
import json
import shutil

import numpy as np
import pytest
import torch

import veloxseg
from engine_cases import blob_image, card, label, role, stand_in, write_image
from veloxseg import diffusion
from veloxseg.commands import cli
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.settings import Settings
from veloxseg.imaging import images
from veloxseg.inference import dispatch, members, opinions, pipeline, windows
from veloxseg.inference.devices import choose
from veloxseg.inference.progress import Run
from veloxseg.networks.nca import NCA, NCAConfig
from veloxseg.packages import cards, package_writer, packages

ARGUMENTS = {"channels": 12, "hidden": 8, "steps": 2, "levels": 2, "factor": 2, "spatial_dim": 3, "in_ch": 1, "kernels": [5, 3],
             "perception": "depthwise", "prediction": "logits", "n_classes": 3}  # fmt: skip
SAMPLING = {"members": 3, "calls": 1, "method": "ddim", "fusion": "mean"}
SIZE = [16, 12, 20]
LABELS = [label(2, "Left thing"), label(5, "Right thing")]


def network(**changes) -> NCA:
    """With weights in every layer, rounded as packages hold them."""
    torch.manual_seed(1)
    nca = NCA(**{**ARGUMENTS, **changes})
    for rule in nca.rules:
        torch.nn.init.normal_(rule.fc1.weight, std=0.3)
    return nca.half().float().eval()


def volume_card(architecture=(), window=(), **changes):
    """Card of a tiny automaton; a change of `architecture` or `window` to None takes that entry out."""
    whole = card(labels=LABELS, spacing=(1.0, 1.0, 1.0), sampling=SAMPLING)
    arguments = {**ARGUMENTS, **dict(architecture)}
    whole["architecture"] = {"name": "NCA", "arguments": {name: entry for name, entry in arguments.items() if entry is not None}}
    field = {**whole["window"], "size": SIZE, **dict(window)}
    whole["window"] = {name: entry for name, entry in field.items() if entry is not None}
    return {name: entry for name, entry in {**whole, **changes}.items() if entry is not None}


@pytest.fixture
def image():
    return blob_image((18, 15, 24), (1.0, 1.0, 1.0))


@pytest.fixture
def path(image, tmp_path):
    return write_image(image, tmp_path / "T1.nrrd")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages") / "tiny"
    the_card, nca, example = volume_card(), network(), blob_image((18, 15, 24), (1.0, 1.0, 1.0))
    found = veloxseg.segment(stand_in(the_card, nca), {"T1": example}, device="cpu", outputs=["mask"])
    written = package_writer.Example({"T1": example}, images.image_of(found.mask, found.grid))
    package_writer.write(folder, nca.state_dict(), the_card, written, {"LICENSE": b"Apache-2.0\n"})
    return folder


# ------------------------------------------------------------------------------------------------------------- network


def stepped(rule, state, fire):
    """One step with loops over cells; state (C, x, y, z), fire (x, y, z)."""
    weights = {name: tensor.detach().double().numpy() for name, tensor in rule.named_parameters()}
    radius = weights["perceive.weight"].shape[-1] // 2
    padded = np.pad(state, ((0, 0), *[(radius, radius)] * 3), mode="reflect")
    after = state.copy()
    for x, y, z in np.argwhere(fire):
        around = padded[:, x : x + 2 * radius + 1, y : y + 2 * radius + 1, z : z + 2 * radius + 1]
        views = (weights["perceive.weight"][:, 0] * around).sum((1, 2, 3)) + weights["perceive.bias"]
        hidden = weights["fc0.weight"] @ np.concatenate([state[:, x, y, z], views]) + weights["fc0.bias"]
        after[:, x, y, z] += weights["fc1.weight"] @ np.where(hidden > 0, hidden, 0.01 * hidden)
    return after


def test_two_levels_and_three_classes_are_those_of_loops():
    nca = network()
    size, outputs = (6, 8, 6), 2
    image = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(5))
    found = nca(image, generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    fine = image[0, 0].double().numpy()
    halves = [(slice(a, None, 2), slice(b, None, 2), slice(c, None, 2)) for a, b, c in itertools.product((0, 1), repeat=3)]
    coarse = np.mean([fine[place] for place in halves], axis=0)
    state = None
    for rule, seen in zip(nca.rules, (coarse, fine), strict=True):
        before, state = state, np.zeros((ARGUMENTS["channels"], *seen.shape))
        if before is not None:
            grown = before.repeat(2, 1).repeat(2, 2).repeat(2, 3)
            state[:outputs], state[outputs + 2 : -1] = grown[:outputs], grown[outputs + 2 : -1]
        state[outputs] = seen
        for _ in range(ARGUMENTS["steps"]):
            state = stepped(rule, state, (torch.rand((1, 1, *seen.shape), generator=generator) < 0.5)[0, 0].numpy())
    assert found.prediction.shape == (1, outputs, *size)
    assert np.allclose(found.prediction[0].detach(), state[:outputs], atol=1e-5)
    assert np.allclose(found.readout[0].detach(), state[outputs : outputs + 1], atol=1e-5)
    assert found.prediction.detach().std() > 0.05


def test_tiles_give_the_same_logits():
    nca, image = network(), torch.randn(1, 1, 14, 10, 12, generator=torch.Generator().manual_seed(5))
    whole, tiled = (nca(image, generator=torch.Generator().manual_seed(3), tile=tile).prediction for tile in (None, 4))
    assert torch.allclose(whole, tiled, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"n_classes": 1}, "n_classes"),
        ({"n_classes": 2.0}, "n_classes"),
        ({"prediction": "v"}, "logits"),
        ({"prediction": "direct"}, "logits"),
        ({"channels": 5}, "memory"),
    ],
)
def test_classes_that_no_network_has(change, word):
    with pytest.raises(ValueError, match=word):
        NCAConfig(**{**ARGUMENTS, **change})


def test_logits_take_no_noisy_mask():
    with pytest.raises(ValueError, match="no noisy mask"):
        network()(torch.zeros(1, 1, 8, 8, 8), torch.zeros(1, 1, 8, 8, 8), torch.zeros(1))


@pytest.mark.parametrize("prediction", ["logits", "direct", "v"])
def test_a_photo_and_a_window_have_the_same_members(prediction):
    nca = network(prediction=prediction, n_classes=2)
    image = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(5))
    sampling = diffusion.Sampling(members=2, calls=2, seed=7)
    with torch.inference_mode():
        by_window = torch.stack([diffusion.Member(nca, sampling, number)(image)[0, 0].sigmoid() for number in range(2)])
        assert torch.allclose(by_window.mean(0), diffusion.segment(nca, image[0], sampling).probability, atol=2e-4)
    assert by_window.var(0).max() > 1e-6


# ---------------------------------------------------------------------------------------------------------------- card


@pytest.mark.parametrize(
    "the_card",
    [
        volume_card(),
        volume_card({"n_classes": 2, "prediction": "v"}, labels=LABELS[:1]),
        volume_card({"n_classes": None, "prediction": "direct"}, labels=LABELS[:1]),
        volume_card({"in_ch": 2}, roles=[role(), role("T2", reference=False)]),
    ],
)
def test_valid(the_card):
    cards.check_card(the_card, "test")


@pytest.mark.parametrize(
    ("the_card", "field"),
    [
        (volume_card(sampling=None), "sampling"),
        (volume_card(sampling={**SAMPLING, "fusion": "majority"}), "sampling.fusion"),
        (volume_card(sampling={**SAMPLING, "fusion": "staple"}), "sampling.fusion"),
        (volume_card(sampling={**SAMPLING, "calls": 1001}), "sampling.calls"),
        (volume_card(window={"size": None}), "window.size"),
        (volume_card(window={"size": [16, 16]}), "window"),
        (volume_card(window={"size": [16, 16, 0]}), "window"),
        (volume_card(window={"size": [1024, 1024, 1024]}), "window.size"),
        (volume_card({"spatial_dim": 2}), "spatial_dim"),
        (volume_card({"spatial_dim": None}), "spatial_dim"),
        (volume_card({"in_ch": 3}), "in_ch"),
        (volume_card({"in_ch": None}), "in_ch"),
        (volume_card({"n_classes": 4}), "n_classes"),
        (volume_card({"n_classes": None}), "n_classes"),
        (volume_card(labels=LABELS[:1]), "n_classes"),
        (volume_card(working_size=64), "working_size"),
        (volume_card() | {"spacing_mm": None}, "spacing_mm"),
        (volume_card() | {"window": None}, "window"),
        (card(window={"overlap": 0.25, "blend": "gaussian", "size": SIZE}), "window.size"),
        (card(sampling=SAMPLING), "sampling"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_card_may_not_say(the_card, field):
    with pytest.raises(VeloxSegError) as caught:
        cards.check_card(the_card, "test")
    assert caught.value.code == "MODEL_SCHEMA" and field in caught.value.text


def test_several_labels_by_diffusion_make_no_network():
    with pytest.raises(VeloxSegError, match="logits"):
        packages.build_network(Card.of(volume_card({"prediction": "v"})))


# ------------------------------------------------------------------------------------------------------------ pipeline


def segmented(the_card, nca, image, **settings):
    return dispatch.segment(stand_in(the_card, nca), {"T1": image}, Settings(device="cpu", **settings), choose("cpu"))


def test_a_volume_has_the_mean_of_its_members(image):
    """By hand, in a single window that holds the whole image."""
    the_card, nca = volume_card(window={"size": [18, 15, 24]}), network()
    prepared = pipeline.prepare(Card.of(the_card), {"T1": image})
    assert all(length <= window for length, window in zip(prepared.volume.shape[1:], (18, 15, 24), strict=True))
    empty = list(map(windows.Empty, prepared.pad_values))
    filled, inner = windows.pad_to_window(prepared.volume, Card.of(the_card).window, empty)
    sampling = diffusion.Sampling(**SAMPLING, seed=9)
    with torch.inference_mode():
        logits = [diffusion.Member(nca, sampling, number)(filled[None])[(0, slice(None), *inner)] for number in range(3)]
    classes = torch.stack([torch.softmax(torch.cat([torch.zeros_like(one[:1]), one]), 0) for one in logits])
    found = segmented(the_card, nca, image, seed=9)
    mask, probability = pipeline.mask_on(Card.of(the_card), classes.mean(0), prepared.grid, found.grid)
    shown = images.array_of(image) > images.array_of(image).min()
    assert np.array_equal(found.mask[shown], mask[shown]) and set(np.unique(mask)) == {0, 2, 5}
    assert np.allclose(found.probability[shown], probability[shown], atol=1e-5)
    spread = images.map_on_grid(classes.var(0, correction=0).amax(0).numpy(), prepared.grid, found.grid)
    assert np.allclose(found.uncertainty[shown], spread[shown], atol=1e-5) and spread.max() > 1e-3
    same = [((a == b) & (a > 0)).sum() * 2 / ((a > 0).sum() + (b > 0).sum())
            for a, b in itertools.combinations([one.argmax(0) for one in classes], 2)]  # fmt: skip
    assert found.agreement == pytest.approx(np.mean([float(one) for one in same]), abs=0.02)
    assert found.sampling == SAMPLING


def test_members_depend_on_the_seed_and_nothing_else(image):
    first, again, other = (segmented(volume_card(), network(), image, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.probability, again.probability)
    assert not np.array_equal(first.probability, other.probability)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert np.allclose(segmented(volume_card(), network(), image, seed=1).probability, first.probability, atol=1e-6)
    finally:
        torch.set_num_threads(before)


def test_one_member_has_no_uncertainty(image):
    found = segmented(volume_card(), network(), image, members=1)
    assert found.uncertainty is None and found.agreement is None and found.sampling["members"] == 1


def test_windows_and_mirrors_of_every_member_are_counted(image):
    one, three, both = (segmented(volume_card(), network(), image, **given)
                        for given in ({"members": 1}, {}, {"mirrors": True}))  # fmt: skip
    assert one.windows > 1 and three.windows == 3 * one.windows and both.windows == 6 * one.windows
    assert not np.array_equal(both.probability, three.probability)
    assert Card.of(volume_card()).mirrored_classes == [0, 2, 1]


def test_progress_counts_the_windows_of_all_members(image):
    class Heard(type(Run().listener)):
        steps: list = []

        def progress(self, done, total):
            self.steps.append((done, total))

    heard = Heard()
    found = dispatch.segment(stand_in(volume_card(), network()), {"T1": image}, Settings(), choose("cpu"), Run(heard))
    assert heard.steps[0] == (0, found.windows) and heard.steps[-1] == (found.windows, found.windows)
    assert [done for done, _ in heard.steps] == sorted(done for done, _ in heard.steps)


def test_many_opinions():
    """Three passes over two voxels: all pairs count in the agreement, the class that differs most in the variance."""
    answers = [torch.tensor(rows).reshape(3, 2, 1, 1)
               for rows in ([[0.8, 0.1], [0.1, 0.8], [0.1, 0.1]], [[0.8, 0.1], [0.1, 0.8], [0.1, 0.1]],
                            [[0.1, 0.1], [0.8, 0.1], [0.1, 0.8]])]  # fmt: skip
    given = iter([answer.clone() for answer in answers])
    found = opinions.opinions(lambda network, run: next(given), [None] * 3, None, Run())
    # masks: (0, 1), (0, 1), (1, 2): one shared voxel in one of three pairs, with 1 + 1 + 2 voxels
    assert found.agreement == pytest.approx((2 * 1) / (2 * 4))
    assert torch.allclose(found.classes, torch.stack(answers).mean(0), atol=1e-6)
    assert torch.allclose(found.variance, torch.stack(answers).var(0, correction=0).amax(0), atol=1e-6)


def test_a_model_without_an_ensemble_has_no_members(image):
    model = stand_in(card(), lambda x: torch.zeros(len(x), 2, *x.shape[2:]))
    with pytest.raises(VeloxSegError, match="no setting members"):
        dispatch.segment(model, {"T1": image}, Settings(members=2), choose("cpu"))


# ------------------------------------------------------------------------------------------------------------- package


def test_a_package_verifies_and_answers_as_its_network(package, path, tmp_path):
    assert packages.verify(package) == 1
    found = veloxseg.segment(package, {"T1": path}, device="cpu", seed=4)
    assert np.array_equal(found.mask, segmented(volume_card(), network(), images.read(path, "T1"), seed=4).mask)
    given = ["segment", "--model", str(package), "--input", f"T1={path}", "--output", str(tmp_path / "out"), "--seed", "4"]
    assert cli.main([*given, "--device", "cpu", "--members", "3"]) == 0
    written = images.array_of(images.read_volume(tmp_path / "out" / "mask.nrrd", "mask"))
    assert np.array_equal(written, found.mask) and (tmp_path / "out" / "uncertainty.nrrd").exists()
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert report["sampling"] == SAMPLING and report["windows"] == 3 * 4 and 0 < report["agreement"] <= 1


def test_weights_of_another_network_are_refused(package):
    right = packages.read(package).card.weights_sha256
    for change in ({"channels": 11}, {"hidden": 9}, {"levels": 1, "kernels": [3]}):
        wrong = Card.of(volume_card(change, weights_sha256=right))
        with pytest.raises(VeloxSegError) as caught:
            packages.ModelPackage(package, wrong).network()
        assert caught.value.code == "MODEL_CORRUPT"


def test_the_steps_for_other_tools_give_the_same_mask(package, path):
    bundle_steps = pytest.importorskip("veloxseg.bundle_steps", reason="needs MONAI")
    data = bundle_steps.Prepare(str(package))({"image": str(path)})
    pred = bundle_steps.Windows(str(package), 0.25)([data["image"]], bundle_steps.network(str(package)))
    mask = bundle_steps.Mask(str(package))({"image": data["image"], "pred": pred[0]})["pred"]
    found = veloxseg.segment(package, {"T1": path}, device="cpu")
    shown = images.array_of(images.read(path, "T1"))
    shown = shown > shown.min()
    assert np.array_equal(mask[0].numpy()[shown], found.mask[shown]) and found.mask.any()


def test_passes_share_one_network(package):
    nca = network()
    assert [type(one).__name__ for one in members.passes(Card.of(volume_card()), nca, Settings(mirrors=True))] == [
        "Member", "Member", "Member", "Mirrored", "Mirrored", "Mirrored",
    ]  # fmt: skip
    assert members.passes(Card.of(card()), nca, Settings()) == [nca]


def test_a_checkpoint_becomes_a_package(tmp_path):
    from veloxseg.packages import package_convert

    torch.save(network().state_dict(), tmp_path / "weights.pth")
    (tmp_path / "card.json").write_text(json.dumps(volume_card()))
    archive = package_convert.convert(tmp_path / "weights.pth", tmp_path / "card.json", tmp_path / "tiny.zip")
    shutil.unpack_archive(archive, tmp_path / "package")
    found = next(tmp_path.glob("package/**/velox.json")).parents[1]
    assert packages.verify(found) == 1 and packages.read(found).card.sampling == SAMPLING
