"""One mask against another: numbers known by hand, the files of the panel, bad requests."""

import json
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from veloxseg.contract.errors import VeloxSegError
from veloxseg.service import comparison

SPACING = (3.0, 2.0, 1.0)


def box(low, high, shape=(12, 14, 16)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def test_moved_box():
    """A box moved by two voxels of 1 mm: everything follows from its edges."""
    first, second = box((2, 2, 2), (6, 8, 10)), box((2, 2, 4), (6, 8, 12))
    numbers = comparison.compare(first, second, SPACING)
    assert numbers["dice"] == pytest.approx(0.75)
    assert numbers["volume_ml"] == numbers["reference_ml"] == pytest.approx(4 * 6 * 8 * 6 / 1000)
    assert (numbers["difference_ml"], numbers["difference_percent"]) == (0, 0)
    assert numbers["hd95_mm"] == pytest.approx(2.0)
    assert 0 < numbers["mean_surface_mm"] < 2
    assert (numbers["missed"], numbers["extra"]) == (0, 0)


def test_missed_and_extra_lesions():
    result = box((0, 0, 0), (3, 3, 3)) | box((8, 8, 8), (10, 10, 10))
    reference = box((0, 0, 0), (3, 3, 4)) | box((5, 0, 12), (7, 2, 14)) | box((10, 12, 0), (12, 14, 2))
    numbers = comparison.compare(result, reference, SPACING)
    assert (numbers["missed"], numbers["extra"]) == (2, 1)
    assert numbers["difference_percent"] == pytest.approx(100 * ((27 + 8) / (36 + 16) - 1))


def test_empty_masks_have_no_numbers_that_do_not_exist():
    empty, full = np.zeros((4, 5, 6), bool), box((1, 1, 1), (3, 3, 3), (4, 5, 6))
    both = comparison.compare(empty, empty, SPACING)
    assert (both["dice"], both["hd95_mm"], both["mean_surface_mm"], both["difference_percent"]) == (None, None, None, None)
    one = comparison.compare(empty, full, SPACING)
    assert (one["dice"], one["missed"], one["difference_percent"], one["hd95_mm"]) == (0, 1, -100, None)


def write_pair(folder, first, second):
    image = sitk.GetImageFromArray(first.astype(np.uint8) + 2 * second.astype(np.uint8))
    image.SetSpacing(SPACING[::-1])
    sitk.WriteImage(image, str(folder / "pair1.nrrd"))
    (folder / "request.json").write_text(json.dumps({"pairs": ["pair1.nrrd"]}), encoding="utf-8")


def test_process(tmp_path):
    first, second = box((2, 2, 2), (6, 8, 10)), box((2, 2, 4), (6, 8, 12))
    write_pair(tmp_path, first, second)
    command = [sys.executable, "-m", "veloxseg.service.comparison", str(tmp_path / "request.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["hello", "result"]
    answer = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert answer["pairs"] == [comparison.compare(first, second, SPACING)]


@pytest.mark.parametrize("text", ["{", "[]", '{"pairs": 3}'])
def test_bad_request(tmp_path, text, capfd):
    (tmp_path / "request.json").write_text(text, encoding="utf-8")
    with pytest.raises(VeloxSegError) as caught:
        comparison.compare_files(tmp_path / "request.json")
    assert caught.value.code == "REQUEST"


def test_missing_mask(tmp_path):
    (tmp_path / "request.json").write_text('{"pairs": ["none.nrrd"]}', encoding="utf-8")
    with pytest.raises(VeloxSegError) as caught:
        comparison.compare_files(tmp_path / "request.json")
    assert caught.value.code == "INPUT_MISSING"
