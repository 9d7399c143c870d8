"""Pairs of the ISIC layout, and masks that fit their photos."""

import numpy as np
import pytest
from PIL import Image

from datasets import isic
from veloxseg.errors import VeloxSegError


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
