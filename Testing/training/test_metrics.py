"""Metrics against the published numbers (spec section 8), and the cases where no number exists."""

import math

import numpy as np
import pytest

from metrics import (
    binary_metrics,
    brats_metrics,
    dice,
    hd95,
    lesion_metrics,
    published_binary_metrics,
    published_brats_slice_dice,
    surface_dice,
)
from parity_rules import balls, load_json

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
    assert same(binary_metrics(*volumes(name))["dice"], CASES[name]["volumetric_dice"])


@pytest.mark.parametrize("name", BINARY)
def test_hd95_with_and_without_spacing(name):
    assert same(hd95(*volumes(name)), CASES[name]["hd95_spacing_1"])
    assert same(hd95(*volumes(name), spacing=(2.03642, 2.03642, 3.0)), CASES[name]["hd95_spacing_2_2_3"])


@pytest.mark.parametrize("name", BRATS)
def test_brats_regions(name):
    case, actual = CASES[name], brats_metrics(*volumes(name))
    for region in ("ET", "TC", "WT"):
        assert same(actual["dice"][region], case["volumetric_dice"][region])
        assert same(actual["hd95"][region], case["hd95"][region])


def test_an_absent_brats_region_does_not_spoil_the_average():
    scores = brats_metrics(*volumes("brats_no_et"))
    assert math.isnan(scores["dice"]["ET"])
    for values in scores.values():
        assert values["average"] == pytest.approx((values["TC"] + values["WT"]) / 2)
    empty = np.zeros((4, 4, 4))
    assert math.isnan(brats_metrics(empty, empty)["dice"]["average"])


@pytest.mark.parametrize("name", BRATS)
def test_published_slice_dice(name):
    expected = CASES[name]["reference_slice_dice"]
    actual = published_brats_slice_dice(*volumes(name))
    for ours, theirs in (("ET", "ET"), ("TC", "TC"), ("WT", "WT"), ("average", "avg")):
        assert actual[ours] == pytest.approx(expected[theirs], abs=1e-6), ours


def test_slice_dice_flatters_a_small_lesion():
    reference, prediction = np.zeros((40, 40, 40), int), np.zeros((40, 40, 40), int)
    reference[10:14, 10:14, 10:14] = 3
    prediction[11:15, 10:14, 10:14] = 3
    assert dice(prediction, reference) == 0.75
    assert published_brats_slice_dice(prediction, reference)["ET"] > 0.97


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
