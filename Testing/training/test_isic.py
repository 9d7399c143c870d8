"""Pairs of the ISIC layout, and masks that fit their photos."""

import numpy as np
import pytest
from PIL import Image

from training.datasets import isic
from veloxseg.contract.errors import VeloxSegError


@pytest.fixture
def folders(tmp_path):
    """The two folders as they come out of the archive, with what lies beside the cases."""
    images, masks = tmp_path / "ISIC2018_Task1-2_Training_Input", tmp_path / "ISIC2018_Task1_Training_GroundTruth"
    images.mkdir()
    masks.mkdir()
    for name in ("ISIC_0000011.jpg", "ISIC_0000002.jpg", "ATTRIBUTION.txt", "._ISIC_0000002.jpg", "ISIC_0000002_superpixels.png"):
        (images / name).touch()
    for name in ("ISIC_0000002_segmentation.png", "ISIC_0000011_Segmentation.png", "LICENSE.txt"):
        (masks / name).touch()
    return images, masks


def test_pairs_by_id(folders):
    images, masks = folders
    found = [(case.id, case.sources["Photo"], case.label) for case in isic.cases(images, masks)]
    assert found == [
        ("ISIC_0000002", images / "ISIC_0000002.jpg", masks / "ISIC_0000002_segmentation.png"),
        ("ISIC_0000011", images / "ISIC_0000011.jpg", masks / "ISIC_0000011_Segmentation.png"),
    ]


def test_missing_and_double_are_all_named(folders):
    images, masks = folders
    (images / "ISIC_0000003.jpg").touch()
    (masks / "ISIC_0000004_segmentation.png").touch()
    (images / "ISIC_0000011.jpeg").touch()
    with pytest.raises(ExceptionGroup) as caught:
        isic.cases(images, masks)
    remedy = f"add the file or take the case out of {images.parent}."
    assert [error.text for error in caught.value.exceptions] == [
        f"The case ISIC_0000003 has no label ({masks.name}/ISIC_0000003_segmentation.png); {remedy}",
        f"The case ISIC_0000004 has no Photo ({images.name}/ISIC_0000004.jpg); {remedy}",
        f"The case ISIC_0000011 has more than one Photo ({images / 'ISIC_0000011.jpeg'} and {images / 'ISIC_0000011.jpg'}); "
        "keep one of them.",
    ]


def listed(folders, text):
    """The data set of the folders' photos that a CSV file with this text takes."""
    images, masks = folders
    path = images.parent / "cases.csv"
    path.write_text(text)
    return isic.Isic(output=images.parent / "out", images=images, masks=masks, cases=path).listing()


def three(folders):
    images, masks = folders
    (images / "ISIC_0000003.jpg").touch()
    (masks / "ISIC_0000003.png").touch()
    return folders


def test_a_list_gives_split_and_groups(folders):
    text = "id,split,group,age\nISIC_0000003,train,g1,40\nISIC_0000002,test,g2,\nISIC_0000011,validation,,70\n"
    data = listed(three(folders), text)
    assert data.split == {"validation": ["ISIC_0000011"], "test": ["ISIC_0000002"]}
    assert {case.id: case.patient for case in data.cases} == {
        "ISIC_0000002": "g2", "ISIC_0000003": "g1", "ISIC_0000011": "ISIC_0000011"}  # fmt: skip
    assert data.cases[1].label.name == "ISIC_0000003.png"
    fewer = listed(folders, "id\nISIC_0000011\n")
    assert [case.id for case in fewer.cases] == ["ISIC_0000011"] and fewer.split is None


@pytest.mark.parametrize(
    "text, reason",
    [
        ("id,split\nISIC_0000009,test\n", "ISIC_0000009 has no photo"),
        ("id,split\nISIC_0000002,test\nISIC_0000002,train\n", "ISIC_0000002 stands in it twice"),
        ("name,split\nISIC_0000002,test\n", "line 2 has no id (column id)"),
        ("id,split\nISIC_0000002,test\nISIC_0000003,train\n", "its column split names no case for validation"),
        (
            "id,split,group\nISIC_0000002,test,g\nISIC_0000003,train,g\nISIC_0000011,validation,h\n",
            "g has cases in train and in test, and a patient belongs to one part",
        ),
    ],
)
def test_lists_that_cannot_be_used(folders, text, reason):
    with pytest.raises(VeloxSegError) as caught:
        listed(three(folders), text)
    path = folders[0].parent / "cases.csv"
    assert caught.value.text == f"{path} cannot be used because {reason}; correct it and start again."


def test_wrong_folders(tmp_path):
    with pytest.raises(VeloxSegError) as caught:
        isic.cases(tmp_path, tmp_path / "nowhere")
    assert caught.value.code == "DATASET_FOLDER"
    with pytest.raises(VeloxSegError) as caught:
        isic.cases(tmp_path, tmp_path)
    assert caught.value.code == "DATASET_EMPTY"


def test_mask(tmp_path):
    truth = np.zeros((6, 9), bool)
    truth[2:4, 3:8] = True
    path = tmp_path / "a_segmentation.png"
    Image.fromarray(truth.astype(np.uint8) * 255).save(path)
    mask = isic.read_mask(path, (6, 9))
    assert mask.dtype == bool and (mask == truth).all()
    with pytest.raises(VeloxSegError, match="it has 9 x 6 pixels and its photo 6 x 9"):
        isic.read_mask(path, (9, 6))
    Image.fromarray(truth.astype(np.uint8) * 7).save(path)
    with pytest.raises(VeloxSegError, match=r"the value\(s\) 7"):
        isic.read_mask(path, (6, 9))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(VeloxSegError, match="cannot be read as PNG"):
        isic.read_mask(path, (6, 9))
