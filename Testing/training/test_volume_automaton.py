"""The 3D cellular automaton through the loop and the evaluation of volumes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny
from training import evaluate, export, networks, scored_cases, train
from training.finish import finish
from veloxseg import diffusion
from veloxseg.contract.errors import VeloxSegError
from veloxseg.networks.nca import NCA, NCAConfig

TINY = NCAConfig(channels=8, hidden=16, levels=2, factor=2, steps=3, spatial_dim=3, in_ch=1, perception="depthwise")


def settings(folder, run, **changes):
    return tiny.settings(folder, run, network="nca", nca=TINY, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("dataset"))


def test_run_ends_with_scores_through_the_windows_and_no_package(folder, tmp_path):
    train.train(settings(folder, tmp_path))
    saved = json.loads((tmp_path / "config.json").read_text())["nca"]
    assert (saved["spatial_dim"], saved["in_ch"]) == (3, 2), "one channel per image of the dataset"
    finish(tmp_path)
    found = json.loads((tmp_path / "evaluation" / "scores.json").read_text())
    assert found[0]["name"] == "Dice" and found[0]["n"] == 2
    assert (tmp_path / "report.png").exists() and not (tmp_path / "package").exists()
    with pytest.raises(VeloxSegError, match="packages can't hold"):
        export.export(tmp_path)


def test_evaluation_draws_the_same_members_again(folder, tmp_path):
    train.train(settings(folder, tmp_path))
    model, cases = export.load_run(tmp_path), scored_cases.cases_of_run(tmp_path, "validation")
    first, again = (evaluate.evaluate(model, cases, tmp_path / name, "cpu") for name in "ab")
    assert first == again


def test_ensemble_answers_with_logits_of_the_mean_probability():
    network = NCA(**replace(TINY, in_ch=2).arguments()).eval()
    torch.nn.init.normal_(network.rules[-1].fc1.weight, std=0.2)
    sampling = diffusion.Sampling(members=2, calls=2)
    image = torch.randn(1, 2, 8, 8, 8)
    logits = networks.Ensemble(network, sampling)(image)
    assert logits.shape == (1, 2, 8, 8, 8)
    mean = diffusion.segment(network, image[0], sampling).probability
    assert np.allclose(logits.softmax(1)[0, 1], mean, atol=2e-4) and mean.std() > 0.05


def test_several_labels_are_refused(folder, tmp_path):
    content = json.loads((folder / "dataset.json").read_text())
    content["card"]["labels"] = [{**content["card"]["labels"][0], "value": value} for value in (1, 2)]
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    (tmp_path / "cases").symlink_to(folder / "cases")
    with pytest.raises(VeloxSegError, match="knows one label only"):
        train.train(settings(tmp_path, tmp_path / "run"))
