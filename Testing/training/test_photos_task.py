"""Training on photos: working squares, augmentation, objectives, and a whole run of a tiny cellular automaton."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import imread
from PIL import Image

from training import (
    compare,
    evaluate,
    evaluate_photos,
    export,
    networks,
    photo_augmentation,
    photos,
    prepare,
    report_photos,
    scored_cases,
    scores,
    train,
)
from training.datasets.phantom import Phantom
from training.finish import finish
from training.metrics import dice
from training.objectives import Diffusion
from training.photo_augmentation import Ranges
from training.settings import CONFIGS, SKIN_VELOXSEG, Settings
from veloxseg.contract.errors import VeloxSegError
from veloxseg.inference import photo_pipeline
from veloxseg.networks.nca import NCA, NCAConfig
from veloxseg.packages import packages

CARDS = Path(train.__file__).parent / "cards"
TINY = NCAConfig(channels=16, hidden=32, levels=2, steps=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty phantoms: 48 to train, 6 to validate, 6 to test."""
    folder = tmp_path_factory.mktemp("dataset")
    card, parts = CARDS / "skin-lesion-nca-demo.json", {"train": (1, 49), "validation": (50, 56), "test": (60, 66)}
    assert prepare.prepare(Phantom(output=folder, kind="dermoscopy", card=card, **parts)) == []
    return folder


def settings(folder, run, **changes) -> Settings:
    values = {"steps": 4, "workers": 0, "device": "cpu", "nca": TINY, "checkpoint_every": 2, "validate_every": 4,
              "data": photos.PhotosSettings(folder, size=64, validation_members=1), **changes}  # fmt: skip
    return replace(CONFIGS["skin-nca"][1], run=run, **values)


def rows(run) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "nca"
    train.train(settings(folder, run, steps=60, validate_every=30))
    finish(run)
    return run


@pytest.mark.slow
def test_a_run_ends_with_scores_a_sheet_and_a_package(finished):
    found = rows(finished)
    assert np.mean([row["loss"] for row in found[-10:]]) < 0.8 * np.mean([row["loss"] for row in found[:10]])
    assert {"prediction", "readout"} <= set(found[0]) and set(found[-1]["cases"]) == {f"dermoscopy-{n}" for n in range(50, 56)}
    assert (finished / "report.png").stat().st_size > 10_000
    package = finished / "package" / "skin-lesion-nca-demo"
    assert packages.verify(package) > 0.99
    card = packages.read(package).card
    assert card.working_size == 64 and card.arguments["hidden"] == 32
    assert card.sampling == {"members": 10, "calls": 2, "method": "ddim", "fusion": "mean"}
    command = card.content["training"]["command"]
    assert command.startswith("python training/train.py skin-nca --data.size 64") and "--nca.hidden 32" in command
    assert [score["name"] for score in card.content["scores"]][:2] == ["Dice", "IoU"]
    assert all(score["synthetic"] for score in card.content["scores"])
    assert sum(stratum["n"] for stratum in card.content["scores"][0]["strata"]) == 6
    with Image.open(finished / "evaluation" / "masks" / "dermoscopy-60.png") as mask:
        assert mask.size == (256, 256), "the photo's own size"


def test_smoke_makes_its_data_and_goes_the_whole_way(tmp_path, monkeypatch):
    """What `train.py skin-smoke` does, with fewer steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "skin-smoke", "--steps", "2", "--workers", "0", "--device", "cpu"])
    train.main()
    run = tmp_path / "runs" / "skin-smoke"
    assert packages.verify(run / "package" / "skin-lesion-nca-demo") > 0.99
    assert json.loads((run / "evaluation" / "scores.json").read_text())[0]["n"] == 2


@pytest.mark.slow
def test_scoring_on_validation_reads_no_test_photo(finished, tmp_path):
    """So that a given test third is scored once, by evaluate.py."""
    shutil.copytree(finished, tmp_path / "run")
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    validation = data["split"]["validation"]
    for case in validation:
        shutil.copytree(Path(data["folder"]) / "cases" / case, tmp_path / "data" / "cases" / case)
    data["folder"] = str(tmp_path / "data")
    (tmp_path / "run" / "data.json").write_text(json.dumps(data))
    shutil.rmtree(tmp_path / "run" / "evaluation")
    finish(tmp_path / "run", score="validation")
    assert set(pd.read_csv(tmp_path / "run" / "evaluation" / "cases.csv").case) == set(validation)


def test_scores_do_not_depend_on_when_they_are_computed(finished, folder, tmp_path):
    model = export.load_run(finished)
    evaluate.evaluate(model, scored_cases.Cases(model.card, folder, ["dermoscopy-61"], "test", True), tmp_path, "cpu")
    first, again = (pd.read_csv(path / "cases.csv").set_index(["case", "method"]) for path in (finished / "evaluation", tmp_path))
    assert (first.loc[again.index].dice_five.dropna() == again.dice_five.dropna()).all()


def test_resumed_run_has_the_weights_of_an_uninterrupted_one(folder, tmp_path, monkeypatch):
    train.train(settings(folder, tmp_path / "whole"))
    real = train.log

    def stop_after_three(path, row, board):
        real(path, row, board)
        if row["step"] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "log", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        train.train(settings(folder, tmp_path / "halves"))
    monkeypatch.setattr(train, "log", real)
    train.train(settings(folder, tmp_path / "halves"))
    whole, halves = (torch.load(tmp_path / name / "last.pt", weights_only=True)["network"] for name in ("whole", "halves"))
    assert all(torch.equal(whole[key], halves[key]) for key in whole)
    with pytest.raises(VeloxSegError, match="another network"):
        train.train(settings(folder, tmp_path / "halves", nca=replace(TINY, hidden=48)))


@pytest.mark.parametrize("name", ["veloxseg", "unet"])
def test_other_networks_on_the_same_photos(folder, tmp_path, name):
    base = replace(CONFIGS["skin-veloxseg"][1], run=tmp_path, data=photos.PhotosSettings(folder, size=64))
    train.train(replace(base, network=name, steps=2, batch_size=2, workers=0, device="cpu"))
    model = export.load_run(tmp_path, CARDS / "skin-lesion-veloxseg-demo.json")
    assert model.network()(torch.zeros(1, 3, 64, 64)).shape == (1, 2, 64, 64)
    assert model.card.network == {"veloxseg": "VeloxSeg"}.get(name, name)
    assert not model.card.has_ensemble and model.card.working_size == 64
    assert set(rows(tmp_path)[-1]["cases"]) == {f"dermoscopy-{n}" for n in range(50, 56)}
    if name == "veloxseg":
        assert packages.verify(export.export(tmp_path, CARDS / "skin-lesion-veloxseg-demo.json")) > 0.99


@pytest.mark.parametrize("size", [64, 96, 128, 160, 192, 224, 256, 416])
def test_veloxseg_preset_fits_every_size(size):
    config = SKIN_VELOXSEG.veloxseg.resized((size, size))
    assert sum(p.numel() for p in networks.build("veloxseg", config).parameters()) < 1e6


@pytest.mark.parametrize("name", networks.BASELINES)
def test_baselines_take_photos(name):
    network = networks.build(name, networks.BaselineConfig(name, (64, 64), (3,))).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 2, 64, 64)


def test_preset_of_the_automaton_is_small():
    assert sum(p.numel() for p in networks.build("nca", CONFIGS["skin-nca"][1].nca).parameters()) < 100_000


def test_diffusion_objective_takes_labels_and_follows_the_seed():
    objective = Diffusion(NCA(**TINY.arguments()), readout_weight=10.0)
    image, label = torch.randn(2, 3, 32, 32), torch.randint(0, 2, (2, 1, 32, 32))

    def total():
        torch.manual_seed(3)
        return objective(image, label)

    first, again = total(), total()
    assert first.total == again.total
    assert torch.isclose(first.total, first.parts["prediction"] + 10 * first.parts["readout"])


def test_patches_are_a_pure_function_of_the_generator(folder):
    task = photos.Photos(photos.PhotosSettings(folder, size=64), 0)
    first, again, other = (task.patch(0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again)) and not np.array_equal(first[0], other[0])
    image, label = first
    assert (image.shape, image.dtype, label.shape, label.dtype) == ((3, 64, 64), np.float32, (1, 64, 64), np.int64)
    assert image.min() >= -1 and image.max() <= 1 and set(np.unique(label)) == {0, 1}


def test_augmentation_moves_photo_and_mask_together():
    y, x = np.mgrid[:64, :64]
    mask = (np.hypot(y - 25, (x - 36) / 1.6) < 11).astype(np.uint8)
    pixels = np.repeat(220 - mask[..., None] * 160, 3, axis=2).astype(np.uint8)
    bare = replace(Ranges(), hair_share=0, frame_share=0, ruler_share=0, bubbles_share=0, noise_share=0, shade_share=0)
    places = set()
    for seed in range(60):
        image, label = photos.augmented(pixels, mask, np.random.default_rng(seed), bare)
        dark = image.mean(axis=0) < (image.min() + image.max()) / 2
        assert dice(dark, label[0]) > 0.93
        places.add(tuple(np.argwhere(label[0]).mean(axis=0).round()))
    assert len(places) > 40


def test_what_covers_the_skin_changes_the_photo_and_never_the_mask():
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 1
    pixels = np.full((64, 64, 3), 150, np.uint8)
    shares = ("hair_share", "frame_share", "ruler_share", "bubbles_share", "noise_share", "blur_share", "shade_share")
    none = replace(Ranges(), **dict.fromkeys(shares, 0.0))
    for share in ("hair_share", "frame_share", "ruler_share", "bubbles_share"):
        always = replace(none, **{share: 1.0})
        for seed in range(5):
            photo, label = photo_augmentation.placed(pixels, mask, np.random.default_rng(seed), none)
            covered = photo_augmentation.covered(photo, np.random.default_rng(seed), always)
            assert (np.abs(covered - photo).max(axis=2) > 0.05).mean() > 0.002
            assert np.array_equal(photos.augmented(pixels, mask, np.random.default_rng(seed), always)[1][0], label)
            assert np.array_equal(photo_augmentation.covered(photo, np.random.default_rng(seed), none), photo)


def test_working_squares_are_those_of_inference(folder):
    task = photos.Photos(photos.PhotosSettings(folder, size=64), 0)
    path = folder / "cases" / "dermoscopy-50"
    image, _ = photo_pipeline.prepare(photo_pipeline.read(path / "photo.png").pixels, 64)
    pixels, mask = task.store.load("dermoscopy-50")
    assert np.array_equal(pixels.transpose(2, 0, 1) / np.float32(127.5) - 1, image.numpy())
    assert mask.shape == (64, 64) and abs(mask.mean() - photos.read_mask(path / "mask.png").mean()) < 0.01


def test_photo_prepared_again_is_read_again(folder, tmp_path):
    case = tmp_path / "cases" / "a"
    case.mkdir(parents=True)
    for name in ("photo.png", "mask.png", "case.json"):
        (case / name).write_bytes((folder / "cases" / "dermoscopy-1" / name).read_bytes())
    store = photos.Store(tmp_path, 32)
    store.ensure("a")
    before = store.load("a")[1].copy()
    Image.fromarray(np.zeros((256, 256), np.uint8)).save(case / "mask.png")
    store.ensure("a")
    assert before.any() and not store.load("a")[1].any()


def test_folder_of_volumes_is_refused(tmp_path):
    card = json.loads((CARDS / "smoke.json").read_text())
    content = {"card": card, "groups": [["CT"], ["PET"]], "patch_size": [32] * 3, "synthetic": True, "split": None}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(VeloxSegError, match="it holds volumes"):
        photos.Photos(photos.PhotosSettings(tmp_path), 0)


class TestScores:
    def test_overlap(self):
        truth, mask = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
        assert evaluate_photos.overlap(mask, truth)["dice"] == evaluate_photos.overlap(mask, truth)["iou"] == 1
        truth[:2], mask[:1] = True, True
        numbers = evaluate_photos.overlap(mask, truth)
        assert (numbers["dice"], numbers["iou"], numbers["recall"]) == (pytest.approx(2 / 3), 0.5, 0.5)

    def test_five_thresholds_stretch_the_map_to_its_own_maximum(self):
        truth = np.array([[True, True, False, False]])
        assert evaluate_photos.five_thresholds(np.array([[0.2, 0.2, 0.0, 0.0]]), truth)["dice_five"] == 1
        assert evaluate_photos.five_thresholds(np.zeros((1, 4)), truth)["dice_five"] == 0
        half = evaluate_photos.five_thresholds(np.array([[1.0, 0.6, 0.0, 0.0]]), truth)
        assert half["dice_five"] == pytest.approx((3 * 1 + 2 * 2 / 3) / 5)

    def test_otsu_finds_a_dark_spot_on_skin(self):
        y, x = np.mgrid[:128, :128]
        spot = (y - 60) ** 2 + (x - 70) ** 2 < 30**2
        pixels = np.where(spot[..., None], (120, 70, 50), (220, 180, 160)).astype(np.uint8)
        assert evaluate_photos.overlap(evaluate_photos.otsu(pixels), spot)["dice"] > 0.98

    def test_two_tables_of_photos_are_compared(self):
        cases = {"case": list("abcd"), "region": "Lesion", "method": scores.NETWORK, "reference_percent": [0.0, 2.0, 9.0, 20.0]}
        first = pd.DataFrame(cases | {"dice": [1.0, 0.5, 0.6, 0.7], "predicted_percent": [0.0, 2.0, 9.0, 20.0]})
        second = first.assign(dice=first.dice + 0.1, predicted_percent=[3.0, 2.0, 9.0, 20.0])
        found = compare.compare(first, second)
        assert (found.loc["dice", "n"], found.loc["dice", "difference"]) == (3, pytest.approx(0.1))
        assert found.loc["percent where empty", "difference"] == 3
        with pytest.raises(ValueError, match="one table is of photos"):
            compare.compare(first, second.rename(columns={"reference_percent": "reference_ml"}))

    def test_pooled_dice_counts_pixels(self):
        shared = {"case": ["a", "b"], "dice": [0.5, 1.0], "iou": [0.3, 1.0], "shared_px": [10, 90], "both_px": [40, 180]}
        network, rule = pd.DataFrame(shared), pd.DataFrame(shared | {"shared_px": [0, 90]})
        entry = evaluate_photos.pooled(network, rule, "test photos", False)
        assert (entry["value"], entry["baseline"]["value"], entry["n"]) == (0.9091, 0.8182, 2)
        assert entry["interval_95"] == [0.5, 1.0]
        text = evaluate_photos.by_column(network, {"a": "nevus"}).splitlines()
        assert text == ["    Dice, nevus: 0.500, n = 1", "    Dice, not stated: 1.000, n = 1"]

    def test_strata_by_area(self):
        table = pd.DataFrame({"reference_percent": [1.0, 3.0, 12.0, 50.0, 100.0], "dice": [0.1, 0.5, 0.7, 0.8, 0.9]})
        found = evaluate_photos.strata(table)
        assert [(entry["reference_percent"], entry["n"], entry["value"]) for entry in found] == [
            ([0, 3], 1, 0.1), ([3, 12], 1, 0.5), ([12, 100], 3, 0.8)]  # fmt: skip


@pytest.mark.slow
def test_sheet_shows_the_contours(finished):
    sheet = imread(report_photos.draw(finished))
    green = (sheet[..., 0] < 0.2) & (sheet[..., 1] > 0.5) & (sheet[..., 2] < 0.5)
    assert green[sheet.shape[0] // 2 :].sum() > 500
