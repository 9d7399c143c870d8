"""Metrics against the published numbers (spec section 8), and the cases where no number exists."""

import math

import numpy as np
import pytest

from parity_rules import balls, load_json
from training.metrics import (
    BRATS_REGIONS,
    case_metrics,
    dice,
    hd95,
    lesion_metrics,
    published_binary_metrics,
    published_slice_dice,
    surface_dice,
)

CASES = load_json("metrics")["cases"]
BINARY = sorted(name for name, case in CASES.items() if case["kind"] == "binary")
BRATS = sorted(name for name, case in CASES.items() if case["kind"] == "brats")


def volumes(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(prediction, reference) label maps of a fixture case."""
    case = CASES[name]
    return balls(case["shape"], case["pred_balls"]), balls(case["shape"], case["gt_balls"])


def same(actual: float, expected: float | None, tolerance: float = 1e-9) -> bool:
    """null in the fixtures means that there is no such number."""
    return math.isnan(actual) if expected is None else actual == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("name", BINARY)
def test_published_overlap_numbers(name):
    expected = CASES[name]["reference"]
    actual = published_binary_metrics(*volumes(name))
    assert set(actual) == set(expected)
    for key, value in expected.items():  # counted in float32 there
        assert actual[key] == pytest.approx(value, abs=1e-6), key


@pytest.mark.parametrize("name", BINARY)
def test_volumetric_dice(name):
    assert same(dice(*volumes(name)), CASES[name]["volumetric_dice"])
    assert same(case_metrics(*volumes(name), (1, 1, 1), 1)["dice"], CASES[name]["volumetric_dice"])


@pytest.mark.parametrize("name", BINARY)
def test_hd95_with_and_without_spacing(name):
    assert same(hd95(*volumes(name)), CASES[name]["hd95_spacing_1"])
    assert same(hd95(*volumes(name), spacing=(2.03642, 2.03642, 3.0)), CASES[name]["hd95_spacing_2_2_3"])


@pytest.mark.parametrize("name", BRATS)
@pytest.mark.parametrize("region", BRATS_REGIONS)
def test_brats_regions(name, region):
    case = CASES[name]
    masks = [np.isin(volume, BRATS_REGIONS[region]) for volume in volumes(name)]
    assert same(dice(*masks), case["volumetric_dice"][region])
    assert same(hd95(*masks), case["hd95"][region])
    assert published_slice_dice(*masks) == pytest.approx(case["reference_slice_dice"][region], abs=1e-6)


def test_slice_dice_flatters_a_small_lesion():
    reference, prediction = np.zeros((32, 32, 32), int), np.zeros((32, 32, 32), int)
    reference[10:14, 10:14, 10:14] = 3
    prediction[11:15, 10:14, 10:14] = 3
    assert dice(prediction, reference) == 0.75
    assert published_slice_dice(prediction, reference) == pytest.approx(0.969, abs=5e-4)


def test_a_dice_for_lesion_free_cases_is_the_callers_choice():
    empty, full = np.zeros((3, 3, 3)), np.ones((3, 3, 3))
    assert math.isnan(dice(empty, empty))
    assert dice(empty, empty, both_empty=1.0) == 1.0
    assert dice(empty, full, both_empty=1.0) == 0.0


def test_a_mask_at_the_border_of_the_array_has_its_surface_there():
    full = np.ones((6, 6, 6), bool)
    smaller = full.copy()
    smaller[5] = False
    assert hd95(full, full) == 0
    assert hd95(smaller, full) == 1


def test_surface_dice_counts_what_lies_within_the_tolerance():
    prediction, reference = volumes("two_balls")
    assert surface_dice(reference, reference, tolerance=0) == 1
    assert 0 < surface_dice(prediction, reference, tolerance=1) < 1
    assert surface_dice(prediction, reference, tolerance=5) == 1
    assert surface_dice(prediction * 0, reference, tolerance=1) == 0
    assert math.isnan(surface_dice(prediction * 0, reference * 0, tolerance=1))


def test_surface_dice_weighs_area_in_millimeters():
    """A large box moved by one voxel along z: of the two surfaces only the two large faces are out of place."""
    reference, prediction = np.zeros((44, 44, 12)), np.zeros((44, 44, 12))
    reference[2:42, 2:42, 4:8] = 1
    prediction[2:42, 2:42, 5:9] = 1
    faces, sides = 2 * 40 * 40, 4 * 40 * 4
    expected = sides / (faces + sides)  # and a little more or less at the edges
    assert surface_dice(prediction, reference, 0.5) == pytest.approx(expected, abs=0.05)
    expected = 4.07 * sides / (faces + 4.07 * sides)
    assert surface_dice(prediction, reference, 0.5, (1.0, 1.0, 4.07)) == pytest.approx(expected, abs=0.05)
    assert surface_dice(prediction, reference, 4.07, (1.0, 1.0, 4.07)) == 1


def test_case_metrics_by_hand():
    reference, prediction = np.zeros((12, 12, 12)), np.zeros((12, 12, 12))
    reference[2:6, 2:6, 2:6] = 1  # 64 voxels
    prediction[3:7, 2:6, 2:6] = 1  # 48 of them, 16 others
    prediction[10, 10, 10] = 1  # a false component
    found = case_metrics(prediction, reference, (2.0, 2.0, 2.5), 2.5)
    voxel_ml = 0.01
    assert found == {
        "dice": pytest.approx(96 / 129),
        "iou": pytest.approx(48 / 81),
        "precision": pytest.approx(48 / 65),
        "recall": pytest.approx(0.75),
        "hd95_mm": pytest.approx(2.0),
        "surface_dice": pytest.approx(found["surface_dice"]),
        "surface_tolerance_mm": 2.5,
        "lesion_f1": pytest.approx(2 / 3),
        "false_positive_ml": pytest.approx(voxel_ml),
        "false_negative_ml": 0,
        "reference_ml": pytest.approx(64 * voxel_ml),
        "predicted_ml": pytest.approx(65 * voxel_ml),
    }
    assert 0.95 < found["surface_dice"] < 1
    empty = case_metrics(reference * 0, reference * 0, (2.0, 2.0, 2.5), 2.5)
    assert all(math.isnan(empty[name]) for name in ("dice", "iou", "precision", "recall", "hd95_mm", "surface_dice", "lesion_f1"))
    assert case_metrics(prediction, reference * 0, (2.0, 2.0, 2.5), 2.5)["dice"] == 0


def test_lesions_found_missed_and_invented():
    reference, prediction = np.zeros((20, 20, 20), int), np.zeros((20, 20, 20), int)
    reference[1:4, 1:4, 1:4] = 1  # found by one voxel
    reference[10:12, 10:12, 10:12] = 1  # missed, 8 voxels
    prediction[3, 3, 3] = 1
    prediction[16:19, 16:19, 16:18] = 1  # invented, 18 voxels
    scores = lesion_metrics(prediction, reference, spacing=(2.0, 5.0, 10.0))
    assert (scores["lesions"], scores["lesions_found"], scores["false_components"]) == (2, 1, 1)
    assert scores["lesion_f1"] == 0.5
    assert scores["false_negative_ml"] == pytest.approx(0.8)
    assert scores["false_positive_ml"] == pytest.approx(1.8)
    assert math.isnan(lesion_metrics(reference * 0, reference * 0)["lesion_f1"])


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        dice(np.zeros((2, 2, 2)), np.zeros((2, 2, 1)))
