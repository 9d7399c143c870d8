"""Prepared data sets as raw folders of nnU-Net: names, labels, folds, geometry, and what is wrong with them in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import tiny
from training import prepare
from training.datasets.nnunet import NnUnet
from training.nnunet import raw
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images


@pytest.fixture
def source(tmp_path) -> Path:
    return tiny.write_dataset(tmp_path / "prepared", cases=6)


def refused(action) -> str:
    with pytest.raises(VeloxSegError) as caught:
        action()
    return caught.value.text


def change(source: Path, **fields) -> None:
    path = source / "dataset.json"
    content = json.loads(path.read_text())
    card = content["card"] | fields.pop("card", {})
    path.write_text(json.dumps(content | {"card": card} | fields))


def labels(*entries) -> list[dict]:
    smoke = json.loads(tiny.CARD.read_text())["labels"][0]
    return [smoke | {"value": value, "name": name} for value, name in entries]


def relabel(source: Path, case: str, value: int) -> None:
    path = source / "cases" / case / "label.nii.gz"
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(sitk.Cast(image > 0, sitk.sitkUInt8) * value, str(path))


def test_names_numbers_and_geometry(source, tmp_path):
    folder = raw.convert(source, 7, tmp_path / "raw")
    assert folder.name.startswith("Dataset007_")
    description = json.loads((folder / "dataset.json").read_text())
    assert description["channel_names"] == {"0": "CT", "1": "PET"} and description["labels"] == {"background": 0, "Lesion": 1}
    assert description["numTraining"] == 6 and description["file_ending"] == ".nii.gz"
    assert sorted(path.name for path in (folder / "imagesTr").iterdir()) == [
        f"case{n}_000{channel}.nii.gz" for n in range(6) for channel in (0, 1)]  # fmt: skip
    for n in range(6):
        own = source / "cases" / f"case{n}"
        for name, other in (("CT", f"imagesTr/case{n}_0000"), ("PET", f"imagesTr/case{n}_0001"), ("label", f"labelsTr/case{n}")):
            first, second = (sitk.ReadImage(str(path)) for path in (own / f"{name}.nii.gz", folder / f"{other}.nii.gz"))
            assert images.same_grid(images.grid_of(first), images.grid_of(second))
            assert np.array_equal(images.array_of(first), images.array_of(second))


def test_the_raw_folder_can_be_prepared_again(source, tmp_path):
    """By the layout that reads nnU-Net's raw folders: there and back."""
    folder = raw.convert(source, 7, tmp_path / "raw")
    assert prepare.prepare(NnUnet(output=tmp_path / "again", source=folder, spacing_mm=tiny.SPACING)) == []
    before, after = (sitk.ReadImage(str(path / "cases" / "case2" / "label.nii.gz")) for path in (source, tmp_path / "again"))
    assert images.array_of(before).sum() == images.array_of(after).sum() > 0


def test_labels_with_gaps_become_consecutive(source, tmp_path):
    change(source, card={"labels": labels((2, "Tumor"), (9, "Node"))})
    for n in range(6):
        relabel(source, f"case{n}", (2, 9)[n % 2])
    folder = raw.convert(source, 7, tmp_path / "raw")
    assert json.loads((folder / "dataset.json").read_text())["labels"] == {"background": 0, "Tumor": 1, "Node": 2}
    arrays = [sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in sorted((folder / "labelsTr").iterdir())]
    assert [set(np.unique(array)) for array in arrays] == [{0, 1}, {0, 2}] * 3


def test_patients_stay_together_and_every_case_validates_once(source, tmp_path):
    for n in range(6):
        path = source / "cases" / f"case{n}" / "case.json"
        path.write_text(json.dumps({"patient": f"p{n // 2}"}))
    splits = json.loads((raw.convert(source, 7, tmp_path / "raw") / "splits_final.json").read_text())
    assert len(splits) == 3
    assert sorted(sum((fold["val"] for fold in splits), [])) == [f"case{n}" for n in range(6)]
    for fold in splits:
        patients = [{int(case[4:]) // 2 for case in fold[side]} for side in ("train", "val")]
        assert not patients[0] & patients[1] and len(fold["train"]) + len(fold["val"]) == 6


def test_a_given_split_is_the_only_fold_and_keeps_its_test_cases_apart(source, tmp_path):
    change(source, split={"validation": ["case1"], "test": ["case4", "case5"]})
    folder = raw.convert(source, 7, tmp_path / "raw")
    assert json.loads((folder / "splits_final.json").read_text()) == [{"train": ["case0", "case2", "case3"], "val": ["case1"]}]
    assert sorted(path.name for path in (folder / "labelsTs").iterdir()) == ["case4.nii.gz", "case5.nii.gz"]
    assert len(list((folder / "imagesTr").iterdir())) == 8
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 4


def test_regions_of_brats(source, tmp_path):
    three = labels((1, "Necrosis"), (2, "Edema"), (3, "Enhancing"))
    change(source, card={"labels": three})
    description = json.loads((raw.convert(source, 7, tmp_path / "raw", regions=True) / "dataset.json").read_text())
    assert description["labels"] == {
        "background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing tumor": 3}  # fmt: skip
    painted = np.zeros(4, int)
    for region, value in zip(list(description["labels"].values())[1:], description["regions_class_order"], strict=True):
        painted[region] = value
    assert painted.tolist() == [0, 1, 2, 3]
    change(source, card={"labels": three[:2]})
    assert "aren't 1, 2 and 3 of BraTS" in refused(lambda: raw.convert(source, 7, tmp_path / "raw", regions=True))


def test_an_earlier_folder_is_replaced_and_kept_when_something_fails(source, tmp_path):
    folder = raw.convert(source, 7, tmp_path / "raw")
    (folder / "imagesTr" / "old_0000.nii.gz").write_text("")
    assert not (raw.convert(source, 7, tmp_path / "raw") / "imagesTr" / "old_0000.nii.gz").exists()
    (source / "cases" / "case3" / "PET.nii.gz").unlink()
    assert "The case case3 has no PET" in refused(lambda: raw.convert(source, 7, tmp_path / "raw"))
    assert len(list((folder / "imagesTr").iterdir())) == 12
    assert [path.name for path in (tmp_path / "raw").iterdir()] == [folder.name]


@pytest.mark.parametrize("damage", ["spacing", "direction", "origin", "size"])
def test_files_of_a_case_that_lie_on_different_grids(source, tmp_path, damage):
    path = source / "cases" / "case3" / "PET.nii.gz"
    image = sitk.ReadImage(str(path))
    if damage == "spacing":
        image.SetSpacing((8.0, 8.0, 4.0))
    elif damage == "direction":
        image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    elif damage == "origin":
        image.SetOrigin((40.0, 0.0, 0.0))
    else:
        image = image[:-2]
    sitk.WriteImage(image, str(path))
    text = refused(lambda: raw.convert(source, 7, tmp_path / "raw"))
    assert "case3/PET.nii.gz" in text and "another grid" in text and not list(tmp_path.glob("raw/*"))


def test_what_is_wrong_is_one_sentence_and_nothing_is_written(source, tmp_path, monkeypatch):
    target = tmp_path / "raw"
    for number in (0, 1000, -3):
        assert "choose --number from 1 to 999" in refused(lambda number=number: raw.convert(source, number, target))
    monkeypatch.delenv("nnUNet_raw", raising=False)
    assert "nnUNet_raw is not set" in refused(lambda: raw.convert(source, 7))
    assert "dataset.json" in refused(lambda: raw.convert(tmp_path / "nothing", 7, target))
    relabel(source, "case2", 5)
    assert "the value(s) 5" in refused(lambda: raw.convert(source, 7, target))
    relabel(source, "case2", 1)
    change(source, split={"validation": ["gone"], "test": ["case1"]})
    assert "gone" in refused(lambda: raw.convert(source, 7, target))
    change(source, split=None, card={"labels": labels((1, "Tumor"), (2, "Tumor"))})
    assert "share a name" in refused(lambda: raw.convert(source, 7, target))
    change(source, card={"labels": labels((1, "Background"))})
    assert "called background" in refused(lambda: raw.convert(source, 7, target))
    change(source, card={"labels": labels((1, "Lesion"))})
    assert not target.exists()
    (target / "Dataset007_Other").mkdir(parents=True)
    assert "Dataset007_Other has the number 7 already" in refused(lambda: raw.convert(source, 7, target))
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "elsewhere"))
    assert raw.convert(source, 7).parent == tmp_path / "elsewhere"


def test_one_patient_makes_no_fold(tmp_path):
    source = tiny.write_dataset(tmp_path / "prepared", cases=1)
    assert "one patient only" in refused(lambda: raw.convert(source, 7, tmp_path / "raw"))


def test_photos_are_refused(tmp_path):
    card = json.loads((tiny.CARD.parent / "isic.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps(
        {"card": card, "groups": [["Photo"]], "patch_size": [64, 64], "synthetic": True, "split": None}))  # fmt: skip
    assert "it holds photos" in refused(lambda: raw.convert(tmp_path, 7, tmp_path / "raw"))
