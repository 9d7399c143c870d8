"""The training loop on a tiny network: resume, divergence, held-out data, export."""

import dataclasses
import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import export
import heads
import train
from brain_regions import BrainRegions, BrainRegionsSettings
from veloxseg import packages
from veloxseg.networks import VeloxSegConfig

needs_head = pytest.mark.skipif(
    not (heads.TEMPLATES / "aal.nii.gz").exists(), reason="Colin27 and AAL are absent: apt-get install mricron-data"
)

TINY = VeloxSegConfig(
    input_size=(32, 32, 32), patch_size=2, in_ch=(1,), n_classes=9, base_ch=8, min_dim_group=(4, 8, 8, 16),
    attn_base_ch=4, depths=(1, 1, 1, 1), min_big_window_sizes=((2, 2, 2),) * 4, min_dim_head=(4, 4, 8, 8),
)  # fmt: skip


def settings(run, **changes) -> train.Settings:
    data = BrainRegionsSettings(size=(32, 32, 32), spacing_mm=6.0)
    values = {"steps": 4, "workers": 0, "checkpoint_every": 2, "validate_every": 4, "learning_rate": 1e-3, **changes}
    return train.Settings(run=run, network=TINY, data=data, **values)


def weights(run, name="last.pt"):
    return torch.load(run / name, weights_only=True)["network"]


@needs_head
def test_resumed_run_has_the_weights_of_an_uninterrupted_one(tmp_path, monkeypatch):
    train.train(settings(tmp_path / "whole"))

    class Stopped(Exception):
        pass

    real_log = train.log

    def stop_after_three(path, row):
        real_log(path, row)
        if row["step"] == 3:
            raise Stopped

    monkeypatch.setattr(train, "log", stop_after_three)
    with pytest.raises(Stopped):
        train.train(settings(tmp_path / "halves"))
    monkeypatch.setattr(train, "log", real_log)
    train.train(settings(tmp_path / "halves"))

    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert all(torch.equal(whole[key], halves[key]) for key in whole)
    steps = [json.loads(line)["step"] for line in (tmp_path / "halves" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 3, 4]


@needs_head
def test_training_lowers_the_loss_and_keeps_averaged_weights(tmp_path):
    train.train(settings(tmp_path, steps=12, validate_every=6))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert np.mean([r["loss"] for r in rows[-3:]]) < np.mean([r["loss"] for r in rows[:3]])
    assert [r["step"] for r in rows if "validation" in r] == [6, 12]
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert best["validation"] == max(r.get("validation", -1) for r in rows)
    assert best["settings"] == json.loads((tmp_path / "config.json").read_text())


@needs_head
def test_diverging_run_stops_with_a_sentence_and_keeps_the_last_checkpoint(tmp_path):
    train.train(settings(tmp_path, steps=2))
    before = (tmp_path / "last.pt").read_bytes()
    broken = dataclasses.replace(settings(tmp_path, steps=6), reconstruction_weight=float("nan"))
    with pytest.raises(FloatingPointError, match="lower --learning-rate"):
        train.train(broken)
    assert (tmp_path / "last.pt").read_bytes() == before


@needs_head
def test_left_head_holds_no_right_hemisphere(monkeypatch):
    """Changing every voxel of the right hemisphere changes nothing in what training sees."""
    before = BrainRegions(BrainRegionsSettings(size=(32, 32, 32), spacing_mm=6.0), 1).patch(0, np.random.default_rng(5))
    real_read = sitk.ReadImage

    def read_with_noise_on_the_right(path):
        image = sitk.DICOMOrient(real_read(path), "LPS")
        array = sitk.GetArrayFromImage(image)
        array[:, :, :90] = np.random.default_rng(0).integers(1, 100, array[:, :, :90].shape)
        noisy = sitk.GetImageFromArray(array)
        noisy.CopyInformation(image)
        return noisy

    monkeypatch.setattr(heads.sitk, "ReadImage", read_with_noise_on_the_right)
    after = BrainRegions(BrainRegionsSettings(size=(32, 32, 32), spacing_mm=6.0), 1).patch(0, np.random.default_rng(5))
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


@needs_head
def test_left_side_is_the_patients_left():
    """AAL gives odd values to the left, even ones to the right (vermis from 109 on has no side)."""
    aal = sitk.DICOMOrient(sitk.ReadImage(str(heads.TEMPLATES / "aal.nii.gz")), "LPS")
    left = sitk.GetArrayFromImage(heads.symmetric(aal, "left"))
    paired = left[(left > 0) & (left < 109)]
    assert (paired % 2 == 1).mean() > 0.99
    assert np.array_equal(left, left[:, :, ::-1])


@needs_head
def test_patches_depend_on_seed_and_number_only():
    task = BrainRegions(BrainRegionsSettings(size=(32, 32, 32), spacing_mm=6.0), 10)
    first = train.Patches(task, seed=1, first=0, total=10)[3]
    again = train.Patches(task, seed=1, first=3, total=10)[0]
    other = train.Patches(task, seed=2, first=0, total=10)[3]
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@needs_head
def test_exported_package_passes_its_own_checks(tmp_path):
    run = tmp_path / "run"
    train.train(settings(run))
    (run / "scores.json").write_text("[]")
    export.export(run, export.ROOT / "training" / "cards" / "brain-regions-t1.json", tmp_path)
    assert packages.verify(tmp_path / "brain-regions-t1") > 0.99


def test_missing_atlas_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="apt-get install mricron-data"):
        heads.load("left", tmp_path)
