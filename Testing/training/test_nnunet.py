"""VeloxSeg under nnU-Net: one command on a tiny data set, resumed, and predictions of nnU-Net's own predictor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch

import tiny
from training import planning
from training.export import ROOT
from training.nnunet import __main__ as nnunet_command
from training.nnunet import network, raw
from veloxseg.contract.errors import VeloxSegError
from veloxseg.networks.network import TrainingOutput

NUMBER = 501
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def environment(folder: Path) -> dict[str, str]:
    own = {name: str(folder / name) for name in FOLDERS}
    quick = {"nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1", "OMP_NUM_THREADS": "1"}
    return os.environ | own | quick | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'VeloxSegSlicer'}"}


def run(folder: Path, *options: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "training.nnunet", str(NUMBER), "--device", "cpu", "--iterations", "2", *options]
    return subprocess.run(words, env=environment(folder), cwd=folder, capture_output=True, text=True, timeout=900)


def test_networks_of_plans():
    planned = planning.fitted(planning.PUBLISHED, (32, 48, 48), (1, 1), 2)
    arguments = json.loads(json.dumps(network.arguments(planned)))
    built = network.veloxseg(input_channels=2, num_classes=4, **arguments | {"deep_supervision": False})
    assert built.config.in_ch == (1, 1) and built.config.n_classes == 4 and built.config.input_size == (32, 48, 48)
    output = built.train()(torch.zeros(1, 2, 32, 48, 48))
    assert isinstance(output, TrainingOutput) and len(output.seg) == 4 and output.reconstruction is not None
    with pytest.raises(ValueError, match=r"plans are for 2 channel\(s\), and there are 3"):
        network.veloxseg(3, 4, **arguments)


def test_what_is_missing_is_one_sentence(tmp_path, monkeypatch):
    def refused() -> str:
        with pytest.raises(VeloxSegError) as caught:
            nnunet_command.train(NUMBER)
        return caught.value.text

    for name in FOLDERS:
        monkeypatch.delenv(name, raising=False)
    for name in FOLDERS:
        assert f"the environment variable {name} is not set" in refused()
        monkeypatch.setenv(name, str(tmp_path / name))
    assert "has no data set 501; make it with" in refused()
    raw.convert(tiny.write_dataset(tmp_path / "prepared", cases=2), NUMBER, tmp_path / "nnUNet_raw")
    monkeypatch.setitem(sys.modules, "nnunetv2", None)
    assert "nnunetv2 is not installed; install it: pip install nnunetv2==2.8.1" in refused()
    assert [path.name for path in tmp_path.glob("nnUNet_*")] == ["nnUNet_raw"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A training of one epoch on five cases of balls."""
    pytest.importorskip("nnunetv2", reason="nnunetv2 is not installed (pip install nnunetv2==2.8.1)")
    folder = tmp_path_factory.mktemp("nnunet")
    raw.convert(tiny.write_dataset(folder / "prepared", cases=5), NUMBER, folder / "nnUNet_raw")
    done = run(folder, "--epochs", "1")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def fold(trained: Path) -> Path:
    return next(trained.glob("nnUNet_results/Dataset501_*/VeloxSegTrainer__VeloxSegPlans__3d_fullres/fold_0"))


@pytest.mark.slow
def test_one_command_plans_trains_and_predicts_the_validation_cases(trained):
    plans = json.loads(next(trained.glob("nnUNet_preprocessed/*/VeloxSegPlans.json")).read_text())
    planned = plans["configurations"]["3d_fullres"]
    # axes as nnU-Net has them, slices first
    expected = planning.plan(planning.Fingerprint(tiny.SIZE[::-1], tiny.SPACING[::-1], (1, 1), 2)).network
    assert planned["patch_size"] == list(expected.input_size) and planned["batch_size"] >= 2
    assert planned["architecture"]["arch_kwargs"] == json.loads(json.dumps(network.arguments(expected)))
    assert planned["normalization_schemes"] == ["CTNormalization", "ZScoreNormalization"]
    split = json.loads(next(trained.glob("nnUNet_preprocessed/*/splits_final.json")).read_text())[0]
    assert sorted(path.name for path in (fold(trained) / "validation").glob("*.nii.gz")) == [f"{c}.nii.gz" for c in split["val"]]
    assert {"checkpoint_final.pth", "validation"} <= {path.name for path in fold(trained).iterdir()}


@pytest.mark.slow
def test_the_same_command_goes_on_and_refuses_what_it_cannot_do(trained):
    before = {path: path.stat().st_mtime_ns for path in trained.glob("nnUNet_preprocessed/*/VeloxSegPlans_3d_fullres/*")}
    done = run(trained, "--epochs", "2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Epoch 1" in done.stdout and "Epoch 0" not in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in before}, "nothing is preprocessed again"
    refusals = {("--fold", "9"): "has no fold 9; choose --fold below 5",
                ("--configuration", "3d_lowres"): "has no configuration 3d_lowres; choose from 2d, 3d_fullres"}  # fmt: skip
    for options, words in refusals.items():
        wrong = run(trained, *options)
        assert wrong.returncode == 1 and words in wrong.stderr and "Traceback" not in wrong.stderr


@pytest.mark.slow
def test_the_predictor_of_nnunet_gives_the_masks_of_the_validation(trained):
    """The network is built again by the trainer's class, with the weights of the checkpoint."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference import predict_from_raw_data as prediction

    from training.nnunet.trainer import VeloxSegTrainer

    patch = pytest.MonkeyPatch()
    patch.setattr(prediction, "recursive_find_trainer_class_by_name", lambda name: VeloxSegTrainer)
    predictor = prediction.nnUNetPredictor(use_mirroring=True, device=torch.device("cpu"), perform_everything_on_device=False,
                                           allow_tqdm=False)  # fmt: skip
    predictor.initialize_from_trained_model_folder(str(fold(trained).parent), (0,), "checkpoint_final.pth")
    patch.undo()
    case = next((fold(trained) / "validation").glob("*.nii.gz"))
    files = sorted(trained.glob(f"nnUNet_raw/*/imagesTr/{case.name.removesuffix('.nii.gz')}_*"))
    array, properties = SimpleITKIO().read_images([str(path) for path in files])
    found = predictor.predict_single_npy_array(array, properties, None, None, False)
    assert (found == sitk.GetArrayFromImage(sitk.ReadImage(str(case)))).mean() > 0.999


@pytest.mark.slow
def test_a_step_is_a_step_of_the_whole_loss(trained):
    from training.nnunet.trainer import VeloxSegTrainer

    planned = planning.fitted(planning.PUBLISHED, (32, 32, 32), (1, 1), 2)
    built = network.veloxseg(2, 2, **network.arguments(planned)).train()
    trainer = VeloxSegTrainer.__new__(VeloxSegTrainer)
    trainer.reconstruction_weight, trainer.sdkt_weight = 0.5, 2.0
    trainer.loss = lambda logits, target: logits.square().mean()
    image = torch.randn(2, 2, 32, 32, 32)
    output = built(image)
    found = trainer.training_loss(output, image, None)
    segmentation = sum(logits.square().mean() for logits in output.seg) / 4
    reconstruction = (output.reconstruction - image).square().mean()
    sdkt = sum((output.gram_seg - gram).square().mean() for gram in output.gram_teachers) / 2
    assert found.item() == pytest.approx((segmentation + 0.5 * reconstruction + 2 * sdkt).item(), rel=1e-5)
