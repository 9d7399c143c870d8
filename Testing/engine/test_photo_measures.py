"""Sizes of masks whose sizes are known."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from veloxseg.contract import measures


def measure(mask, scale=None):
    return SimpleNamespace(**measures.photo(ndimage.label(mask, np.ones((3, 3)))[0], scale))


def disk(size, center, radius):
    y, x = np.ogrid[:size, :size]
    return (y - center[0]) ** 2 + (x - center[1]) ** 2 <= radius**2


def ellipse(long, short, turn):
    y, x = np.mgrid[-150:151, -150:151]
    along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    return (along / long) ** 2 + (across / short) ** 2 <= 1


@pytest.mark.parametrize("radius", [30, 45.5, 90])
def test_circle(radius):
    found = measure(disk(220, (109.3, 110.6), radius))
    assert found.parts == 1
    assert found.area_px == pytest.approx(np.pi * radius**2, rel=0.01)
    assert found.perimeter_px == pytest.approx(2 * np.pi * radius, rel=0.015)
    assert found.diameter_px == pytest.approx(2 * radius, rel=0.015, abs=0.9)
    assert not {"area_mm2", "perimeter_mm", "diameter_mm"} & vars(found).keys()


@pytest.mark.parametrize("turn", [0, 0.3, np.pi / 4, 1.2, np.pi / 2])
def test_ellipse_at_any_angle(turn):
    found = measure(ellipse(120, 60, turn))
    assert found.diameter_px == pytest.approx(240, rel=0.01)
    assert found.perimeter_px == pytest.approx(581.3, rel=0.03)  # Ramanujan's approximation


def test_scale():
    mask = disk(100, (50, 50), 30)
    pixels, scaled = measure(mask), measure(mask, 0.05)
    assert scaled.area_mm2 == pytest.approx(pixels.area_px * 0.0025)
    assert scaled.perimeter_mm == pytest.approx(pixels.perimeter_px * 0.05)
    assert scaled.diameter_mm == pytest.approx(pixels.diameter_px * 0.05)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_impossible_scale(scale):
    with pytest.raises(ValueError, match="positive"):
        measure(np.ones((4, 4), bool), scale)


def test_diameter_is_that_of_the_longest_part_not_across_parts():
    mask = disk(300, (60, 60), 30) | disk(300, (240, 240), 12)
    mask[290, 5:10] = True
    found = measure(mask)
    assert found.parts == 3
    assert found.diameter_px == pytest.approx(60, rel=0.02)
    assert found.perimeter_px == pytest.approx(2 * np.pi * 42 + 10, rel=0.03)


def test_small_and_thin_masks():
    empty, pixel, line = np.zeros((9, 70), bool), np.zeros((9, 70), bool), np.zeros((9, 70), bool)
    pixel[0, 0] = True
    line[4, 3:53] = True
    assert measure(empty).area_px == measure(empty).parts == measure(empty).diameter_px == measure(empty).perimeter_px == 0
    assert measure(pixel).diameter_px == 1 and measure(pixel).area_px == 1
    assert measure(line).diameter_px == 50


def test_edge_of_the_photo_counts():
    found = measure(np.ones((100, 200), bool))
    assert found.perimeter_px == pytest.approx(600, rel=0.06)
    assert found.diameter_px == pytest.approx(np.hypot(100, 200), rel=0.01)


def test_many_specks_stay_quick():
    mask = np.random.default_rng(0).random((400, 400)) < 0.1
    assert measure(mask).parts > 1000
