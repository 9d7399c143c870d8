"""The 3D cellular automaton through the loop and the evaluation of volumes."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny
import veloxseg
from training import evaluate, export, objectives, scored_cases, train
from training.finish import finish
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images
from veloxseg.networks.nca import NCA, NCAConfig
from veloxseg.packages import packages

TINY = NCAConfig(channels=8, hidden=16, levels=2, factor=2, steps=3, spatial_dim=3, in_ch=1, perception="depthwise")


def settings(folder, run, **changes):
    return tiny.settings(folder, run, **{"network": "nca", "nca": TINY, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("dataset"))


def two_labels(folder, target):
    """The same dataset, of whose labels half is another one."""
    content = json.loads((folder / "dataset.json").read_text())
    label = content["card"]["labels"][0]
    content["card"]["labels"] = [{**label, "value": value, "name": f"Ball {value}"} for value in (1, 2)]
    for case in sorted((folder / "cases").iterdir()):
        shutil.copytree(case, target / "cases" / case.name)
        image = images.read_volume(case / "label.nii.gz", "label")
        array = images.array_of(image).copy()
        array[array.shape[0] // 2 :] *= 2
        images.write(images.image_of(array, images.grid_of(image)), target / "cases" / case.name / "label.nii.gz", compress=True)
    (target / "dataset.json").write_text(json.dumps(content))
    return target


def test_run_by_diffusion_ends_with_scores_through_the_windows_and_a_package(folder, tmp_path):
    train.train(settings(folder, tmp_path))
    saved = json.loads((tmp_path / "config.json").read_text())["nca"]
    assert (saved["spatial_dim"], saved["in_ch"]) == (3, 2), "one channel per image of the dataset"
    finish(tmp_path)
    found = json.loads((tmp_path / "evaluation" / "scores.json").read_text())
    assert found[0]["name"] == "Dice" and found[0]["n"] == 2
    assert (tmp_path / "report.png").exists()
    package = next((tmp_path / "package").glob("*/configs")).parent
    assert packages.verify(package) >= 0.95 and packages.read(package).card.sampling["members"] == 4


def test_evaluation_draws_the_same_members_again(folder, tmp_path):
    train.train(settings(folder, tmp_path))
    model, cases = export.load_run(tmp_path), scored_cases.cases_of_run(tmp_path, "validation")
    first, again = (evaluate.evaluate(model, cases, tmp_path / name, "cpu") for name in "ab")
    assert first == again


def test_run_with_several_labels_learns_and_ends_with_a_package(folder, tmp_path):
    """With cross-entropy and Dice loss; the package answers as the run does."""
    dataset = two_labels(folder, tmp_path / "data")
    learning = replace(TINY, prediction="logits", channels=12)
    train.train(settings(dataset, tmp_path / "run", nca=learning, steps=60, validate_every=20, learning_rate=1e-2))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"cross_entropy", "dice_loss"} <= rows[0].keys()
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.2
    package = export.export(tmp_path / "run")
    card = packages.read(package).card
    assert card.arguments["n_classes"] == 3 and card.window.size == (32, 32, 32)
    model, case = export.load_run(tmp_path / "run"), dataset / "cases" / "case0"
    inputs = {name: case / f"{name}.nii.gz" for name in ("CT", "PET")}
    first, second = (veloxseg.segment(one, inputs, device="cpu") for one in (model, package))
    assert np.array_equal(first.mask, second.mask) and set(np.unique(first.mask)) <= {0, 1, 2}
    assert first.uncertainty.max() > 0


@pytest.mark.parametrize("prediction", ["v", "direct"])
def test_several_labels_need_logits(folder, tmp_path, prediction):
    dataset = two_labels(folder, tmp_path / "data")
    with pytest.raises(VeloxSegError, match="3 classes need the prediction logits"):
        train.train(settings(dataset, tmp_path / "run", nca=replace(TINY, prediction=prediction)))


def test_loss_is_that_of_the_other_networks():
    """Cross-entropy and Dice of logits minus those of the background, whatever the background's are."""
    network = NCA(**replace(TINY, prediction="logits", n_classes=3, channels=12).arguments())
    torch.nn.init.normal_(network.rules[-1].fc1.weight, std=0.2)
    image, label = torch.randn(2, 1, 8, 8, 8), torch.randint(0, 3, (2, 1, 8, 8, 8))
    torch.manual_seed(3)
    found = objectives.Classes(network)(image, label)
    torch.manual_seed(3)
    logits = network(image).prediction
    whole = torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)
    p, truth = whole.softmax(1)[:, 1:].flatten(2), torch.cat([label == 1, label == 2], 1).flatten(2).float()
    dice = (2 * (p * truth).sum(2) + 1e-5) / (p.sum(2) + truth.sum(2) + 1e-5)
    expected = torch.nn.functional.cross_entropy(whole, label[:, 0]) + 1 - dice.mean()
    assert torch.allclose(found.total, expected, atol=1e-5)
    found.total.backward()
    assert network.rules[0].fc0.weight.grad is not None
