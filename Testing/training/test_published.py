"""The recipes as published: what they count, and two steps of each on a fake data set in the published layout."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import bench
from training import cases, checkpoints, networks, prepare, published, run_log, train
from training.datasets.autopet import AutoPet
from training.datasets.brats import Brats
from training.datasets.hecktor import Hecktor
from training.datasets.isic import Isic
from training.datasets.msd import MsdBrainTumor
from training.export import command_line
from training.settings import CONFIGS, plain
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.networks.published import inference_network

VOLUMES = ("autopet-published", "hecktor-published", "brats-published", "msd-published")
PHOTOS = ("nca-basic", "nca-cbam", "nca-multi", "nca-multi-cbam")
SIZE = (24, 20, 16)


def recipe(name: str):
    return CONFIGS[name][1]


# ------------------------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("name", "parameters", "at_inference", "thop", "operations"),
    [
        ("autopet-published", 2_288_999, 1_669_185, 1_660_144, 3_503_190_016),
        ("hecktor-published", 2_289_641, 1_669_827, 1_660_144, 4_182_311_000),
        ("brats-published", 1_863_117, 1_469_393, 1_463_104, 5_125_489_000),
        ("msd-published", 1_863_117, 1_469_393, 1_463_104, 5_125_489_000),
    ],
)
def test_parameters_and_operations_of_veloxseg(name, parameters, at_inference, thop, operations):
    config = recipe(name).veloxseg
    assert sum(p.numel() for p in networks.build("veloxseg", config).parameters()) == parameters
    network = inference_network(config.arguments())
    assert sum(p.numel() for p in network.parameters()) == at_inference and bench.thop_parameters(network) == thop
    assert bench.flops(network) == pytest.approx(operations, abs=1000)


@pytest.mark.parametrize(
    ("name", "parameters", "multiplications"),
    # perception 2 x 9 C^2, 3 C H and H C per cell and step; the coarse level has a sixteenth of the cells
    [("nca-basic", 139_648, 139_264), ("nca-cbam", 206_118, None),
     ("nca-multi", 410_880, 204_800 * 17 / 16), ("nca-multi-cbam", 412_236, None)],
)  # fmt: skip
def test_parameters_and_operations_of_the_automata(name, parameters, multiplications):
    network = networks.build("nca", recipe(name).nca)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.config.prediction == "noise" and network.config.diffusion_steps == 1000
    if multiplications:
        network.sparse, side = False, 16
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, side, side), torch.zeros(1, 1, side, side), torch.zeros(1, dtype=torch.long))
        per_step = counter.get_total_flops() / (2 * 10 * side * side)
        # margins that are reflected, and the convolution of them, are all that comes on top
        assert multiplications <= per_step <= 1.35 * multiplications


@pytest.mark.parametrize("name", VOLUMES)
def test_recipe_of_veloxseg(name):
    found = recipe(name)
    assert (found.epochs, found.batch_size, found.learning_rate, found.weight_decay, found.seed) == (300, 4, 2.5e-4, 0.01, 12345)
    assert (found.schedule, found.gradient_clip, found.ema_decay, found.amp) == ("published", float("inf"), 0.0, False)
    assert (found.reconstruction_weight, found.sdkt_weight) == (0.5, 2.0)
    network, data = found.veloxseg, found.data
    assert network.teachers and network.deep_supervision
    assert (network.conv_drop, network.attn_drop, network.proj_drop) == (0.1,) * 3
    assert (data.augmentation, data.label_centered, data.cut, data.joined, data.folds) == ("published", 0.5, 0.0, 0.0, 5)
    assert data.patch_size == ((128, 128, 64) if name.startswith("hecktor") else (96, 96, 96)) == network.input_size


@pytest.mark.parametrize("name", PHOTOS)
def test_recipe_of_the_automata(name):
    found = recipe(name)
    assert (found.steps, found.batch_size, found.learning_rate, found.weight_decay) == (100_000, 8, 1e-4, 0.0)
    assert (found.schedule, found.gradient_clip, found.ema_decay, found.readout_weight) == ("constant", float("inf"), 0.9999, 1.0)
    assert (found.network, found.data.size, found.data.augmentation) == ("nca", 256, "none")


def test_averaging_that_is_off_gives_the_weights_themselves(tmp_path):
    average, current = [torch.ones(3)], [torch.arange(3.0)]
    train.moving_average(average, current, torch.tensor(5), decay=0.0)
    assert torch.equal(average[0], current[0])


@pytest.mark.parametrize(("patients", "world", "steps"), [(10, 1, 900), (1014, 1, 300 * 304), (1014, 4, 300 * 76), (5, 1, 600)])
def test_steps_for_a_number_of_cases(tmp_path, patients, world, steps):
    """Three fifths of the cases train, an epoch takes two patches of each, in batches of four per process."""
    write_description(tmp_path, patients)
    settings = replace(recipe("autopet-published"), data=replace(recipe("autopet-published").data, folder=tmp_path))
    found = published.with_steps(settings, world)
    assert found.steps == steps and found.validate_every == steps // 300 * 5
    assert published.with_steps(replace(settings, epochs=None), world).steps == settings.steps


@pytest.mark.parametrize("name", VOLUMES + PHOTOS)
def test_a_card_names_the_configuration(name):
    changed = replace(recipe(name), learning_rate=1e-3, steps=7)
    options = " --steps 7" if name in PHOTOS else ""
    assert command_line(plain(changed)) == f"python training/train.py {name}{options} --learning-rate 0.001"


def write_description(folder: Path, patients: int) -> None:
    card = json.loads((Path(train.__file__).parent / "cards" / "smoke.json").read_text())
    content = {"card": card, "groups": [["CT"], ["PET"]], "patch_size": [96] * 3, "synthetic": True, "split": None}
    (folder / "dataset.json").write_text(json.dumps(content))
    for number in range(patients):
        (folder / "cases" / str(number)).mkdir(parents=True)
        (folder / "cases" / str(number) / "case.json").write_text(json.dumps({"patient": str(number)}))


def test_epochs_of_what_has_no_cases():
    with pytest.raises(VeloxSegError, match="no cases that epochs could count; choose --steps"):
        published.with_steps(replace(recipe("brain-regions"), epochs=3))


# ------------------------------------------------------------------------------------------------- two steps of each


def volume(seed: int, inside: float, lesion: float, outside: float, kind=np.float32, spacing=(4.0, 4.0, 4.0)) -> sitk.Image:
    """A body with a lesion of label-like sharpness, array (z, y, x) in the file."""
    rng = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), axis=-1)
    body = np.linalg.norm((index - np.array(SIZE) / 2) / (np.array(SIZE) / 2.2), axis=-1) < 1
    array = np.where(body, inside, outside) + (rng.normal(0, abs(inside) / 50, SIZE) if kind is np.float32 else 0)
    array[8:13, 8:12, 6:10] = lesion
    image = sitk.GetImageFromArray(array.astype(kind).transpose(2, 1, 0))
    image.SetSpacing(spacing)
    return image


def write(image: sitk.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def mask(value: int) -> sitk.Image:
    return volume(0, 0, value, 0, np.uint8)


def fake_autopet(raw: Path) -> AutoPet:
    for n in range(5):
        study = raw / f"PETCT_{n}" / "01-01-2000-NA"
        write(volume(n, 40, 60, -1000), study / "CTres.nii.gz")
        write(volume(n, 1, 8, 0), study / "SUV.nii.gz")
        write(mask(1), study / "SEG.nii.gz")
    return AutoPet(output=raw / "out", source=raw, published=True)


def fake_hecktor(raw: Path) -> Hecktor:
    for n in range(5):
        write(volume(n, 40, 60, -1000), raw / "imagesTr" / f"CHUM-00{n}__CT.nii.gz")
        write(volume(n, 1, 8, 0), raw / "imagesTr" / f"CHUM-00{n}__PT.nii.gz")
        write(mask(1 + n % 2), raw / "labelsTr" / f"CHUM-00{n}.nii.gz")
    return Hecktor(output=raw / "out", source=raw, published=True)


def fake_brats(raw: Path) -> Brats:
    for n in range(5):
        case = f"BraTS2021_0000{n}"
        for k, part in enumerate(("flair", "t1", "t1ce", "t2")):
            write(volume(10 * n + k, 100, 200, 0), raw / case / f"{case}_{part}.nii.gz")
        write(mask((1, 2, 4)[n % 3]), raw / case / f"{case}_seg.nii.gz")
    return Brats(output=raw / "out", source=raw)


def fake_msd(raw: Path) -> MsdBrainTumor:
    for n in range(5):
        write(sitk.JoinSeries([volume(10 * n + k, 100, 200, 0) for k in range(4)]), raw / "imagesTr" / f"BRATS_00{n}.nii.gz")
        write(mask(1 + n % 3), raw / "labelsTr" / f"BRATS_00{n}.nii.gz")
    modality = dict(zip("0123", ("FLAIR", "T1w", "t1gd", "T2w")))
    labels = dict(zip("0123", ("background", "edema", "non-enhancing tumor", "enhancing tumour")))
    (raw / "dataset.json").write_text(json.dumps({"modality": modality, "labels": labels}))
    return MsdBrainTumor(output=raw / "out", source=raw)


FAKES = dict(zip(VOLUMES, (fake_autopet, fake_hecktor, fake_brats, fake_msd)))


@pytest.mark.slow
@pytest.mark.parametrize("name", VOLUMES)
def test_two_steps_on_a_fake_data_set(name, tmp_path):
    assert prepare.prepare(FAKES[name](tmp_path)) == []
    found = recipe(name)
    # the published patch, one of a batch, and an epoch that is one step
    settings = replace(found, run=tmp_path / "run", data=replace(found.data, folder=tmp_path / "out"), workers=0, device="cpu",
                       epochs=2, batch_size=6)  # fmt: skip
    assert published.with_steps(settings).steps == 2
    train.train(replace(settings, batch_size=1, epochs=None, steps=2))
    rows = run_log.read(tmp_path / "run")
    assert [row["step"] for row in rows] == [1, 2] and "validation" in rows[-1]
    assert rows[0]["learning_rate"] == pytest.approx(2.5e-4 * 1.1, rel=0.5) and rows[0]["reconstruction"] > 0
    saved = checkpoints.read(tmp_path / "run" / "last.pt")
    assert saved["settings"]["veloxseg"]["input_size"] == list(found.data.patch_size)
    averaged = saved["average"]
    assert all(torch.equal(averaged[f"module.{key}"], value) for key, value in saved["network"].items())


def test_data_of_another_task_is_refused(tmp_path):
    """HECKTOR with two labels, and PET that is no z-score: nothing is written into the run's folder."""
    options = fake_hecktor(tmp_path)
    for published_too, label in ((False, 2), (True, 1)):
        assert prepare.prepare(replace(options, published=published_too, output=tmp_path / str(label))) == []
        data = cases.Cases(replace(recipe("hecktor-published").data, folder=tmp_path / str(label)), 1)
        assert len(data.values) == label
        if published_too:
            assert published.check(recipe("hecktor-published"), data) is None
            content = json.loads(json.dumps(data.card.content))
            content["roles"][1]["intensity"] = {"kind": "scale", "divide_by": 5.0, "clip": [0.0, 30.0]}
            data.card = Card.of(content)
        with pytest.raises(VeloxSegError, match=r"isn't the published task of 2 images \(PET z-scored\) and 1 label"):
            published.check(recipe("hecktor-published"), data)
        assert published.check(recipe("cases"), data) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", PHOTOS)
def test_two_steps_on_fake_photos(name, tmp_path):
    """The published widths, at a smaller size than the published 256 px and in smaller batches, for the time it takes."""
    for n in range(5):
        rng = np.random.default_rng(n)
        lesion = np.zeros((70, 90), bool)
        lesion[20:40, 20:50] = True
        pixels = np.where(lesion[..., None], (120, 70, 50), (220, 180, 160)) + rng.integers(-9, 9, (70, 90, 3))
        for folder, end, array in (("in", ".jpg", pixels), ("truth", "_segmentation.png", lesion * 255)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(tmp_path / folder / f"ISIC_000000{n}{end}")
    assert prepare.prepare(Isic(output=tmp_path / "out", images=tmp_path / "in", masks=tmp_path / "truth")) == []
    found = recipe(name)
    data = replace(found.data, folder=tmp_path / "out", size=32, validation_members=1)
    train.train(replace(found, run=tmp_path / "run", data=data, steps=2, batch_size=2, workers=0, device="cpu"))
    rows = run_log.read(tmp_path / "run")
    assert [row["learning_rate"] for row in rows] == [1e-4, 1e-4] and rows[0]["readout"] > 0 and "validation" in rows[-1]
