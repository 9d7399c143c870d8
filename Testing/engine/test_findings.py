"""Volumes, lesions and SUV numbers of shapes whose true values are known."""

import math

import numpy as np
import pytest

from engine_cases import label
from veloxseg.contract import measures
from veloxseg.contract.card import Label
from veloxseg.imaging import findings, images
from veloxseg.imaging.images import Grid

TURNED = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def ball(grid, center, radius):
    index = np.stack(np.meshgrid(*map(np.arange, grid.size), indexing="ij"), -1)
    return np.linalg.norm(grid.world(index) - np.asarray(center), axis=-1) <= radius


def test_segments_name_every_label():
    mask = np.zeros((4, 4, 4), np.uint8)
    mask[0, 0, :3] = 5
    rows = findings.segments(
        mask, Grid((4, 4, 4), (2, 2, 5), (0, 0, 0)), [Label.of(label(1, "Empty")), Label.of(label(5, "Full"))]
    )
    assert rows == [
        {"value": 1, "name": "Empty", "voxels": 0, "volume_ml": 0.0},
        {"value": 5, "name": "Full", "voxels": 3, "volume_ml": pytest.approx(0.06)},
    ]


@pytest.mark.parametrize("direction", [Grid.direction, TURNED])
def test_two_balls(direction):
    grid = Grid((60, 50, 40), (1.0, 1.2, 1.5), (-20, 7, 3), direction)
    centers = grid.world(np.array([[15.0, 15.0, 12.0], [42.0, 33.0, 26.0]]))
    small, large = ball(grid, centers[0], 6), ball(grid, centers[1], 12)
    found = findings.lesions((small | large).astype(np.uint8), np.where(large, 0.9, 0.6).astype(np.float32), grid)
    assert [lesion["voxels"] for lesion in found] == [large.sum(), small.sum()]
    for lesion, radius, center, score in zip(found, (12, 6), centers[::-1], (0.9, 0.6), strict=True):
        assert lesion["volume_ml"] == pytest.approx(4 / 3 * math.pi * radius**3 / 1000, rel=0.03)
        assert lesion["diameter_mm"] == pytest.approx(2 * radius, abs=1.5)
        assert lesion["centroid_lps"] == pytest.approx(center, abs=0.1)
        assert lesion["score"] == pytest.approx(score)
        assert "suv_max" not in lesion


def test_diagonal_neighbors_are_one_lesion_and_labels_are_not_mixed():
    mask = np.zeros((6, 6, 6), np.uint8)
    mask[1, 1, 1] = mask[2, 2, 2] = 1
    mask[3, 3, 3] = 2
    found = findings.lesions(mask, np.ones(mask.shape, np.float32), Grid(mask.shape, (1, 1, 1), (0, 0, 0)))
    assert [(lesion["label"], lesion["voxels"]) for lesion in found] == [(1, 2), (2, 1)]


def test_diameter_of_one_voxel_and_of_a_rod():
    grid = Grid((40, 5, 5), (2, 2, 2), (0, 0, 0), TURNED)
    voxel, rod = np.zeros(grid.size, bool), np.zeros(grid.size, bool)
    voxel[3, 3, 3] = rod[:30, 2, 2] = True
    assert measures.diameter_mm(measures.Structure(voxel, grid.to_world)) == pytest.approx(2)
    assert measures.diameter_mm(measures.Structure(rod, grid.to_world)) == pytest.approx(60)


def test_diameter_equals_the_search_over_all_pairs():
    mask = np.random.default_rng(0).random((14, 9, 11)) < 0.2
    grid = Grid((14, 9, 11), (1.1, 2.3, 0.7), (0, 0, 0), TURNED)
    world = grid.world(np.argwhere(mask))
    exact = np.linalg.norm(world[:, None] - world[None], axis=-1).max() + (1.1 * 2.3 * 0.7) ** (1 / 3)
    assert measures.diameter_mm(measures.Structure(mask, grid.to_world)) == pytest.approx(exact, rel=0.002)


class TestSuv:
    grid = Grid((40, 40, 40), (2, 2, 2), (0, 0, 0))

    def hot_ball(self, grid, radius=10.0, value=8.0):
        inside = ball(grid, (40, 40, 40), radius)
        pet = np.where(inside, value, 1.0).astype(np.float32)
        return inside, pet

    def test_on_the_pet_grid(self):
        inside, pet = self.hot_ball(self.grid)
        pet[20, 20, 20] = 20
        lesion = findings.lesions(
            inside.astype(np.uint8),
            np.ones(pet.shape, np.float32),
            self.grid,
            images.image_of(pet, self.grid),
        )[0]
        assert lesion["suv_max"] == 20
        assert lesion["suv_mean"] == pytest.approx(pet[inside].mean())
        assert lesion["tlg"] == pytest.approx(pet[inside].sum() * 0.008)
        assert 8 < lesion["suv_peak"] < 8.2

    def test_peak_is_the_mean_of_one_millilitre(self):
        offsets = measures.sphere_offsets(np.eye(4))
        assert len(offsets) == pytest.approx(1000, rel=0.1)

    def test_mask_from_a_finer_turned_reference(self):
        """A mask on a CT grid is measured on the untouched PET voxels."""
        _, pet = self.hot_ball(self.grid)
        reference = Grid((90, 90, 90), (1, 1, 1), (26, -26, 0), TURNED)
        mask = ball(reference, (40, 40, 40), 10).astype(np.uint8)
        lesion = findings.lesions(mask, np.ones(mask.shape, np.float32), reference, images.image_of(pet, self.grid))[0]
        assert lesion["suv_max"] == 8 and lesion["suv_mean"] > 7.5
        assert lesion["tlg"] == pytest.approx(8 * 4 / 3 * math.pi, rel=0.1)

    def test_lesion_smaller_than_a_pet_voxel(self):
        pet = np.full((10, 10, 10), 1, np.float32)
        pet[5, 5, 5] = 4
        pet_image = images.image_of(pet, Grid(pet.shape, (5, 5, 5), (0, 0, 0)))
        reference = Grid((60, 60, 60), (1, 1, 1), (0, 0, 0))
        mask = np.zeros(reference.size, np.uint8)
        mask[26, 26, 26] = 1
        lesion = findings.lesions(mask, np.ones(mask.shape, np.float32), reference, pet_image)[0]
        assert lesion["suv_max"] == lesion["suv_mean"] == 4


def test_dice():
    first, second = np.array([0, 1, 1, 2]), np.array([0, 1, 0, 0])
    assert findings.dice(first, second, 1) == pytest.approx(2 / 3)
    assert findings.dice(first, second, 2) == 0
    assert findings.dice(first, second, 3) is None
    assert findings.mean_dice(first, second) == pytest.approx(1 / 3)
    assert findings.mean_dice(np.zeros(3), np.zeros(3)) == 1
