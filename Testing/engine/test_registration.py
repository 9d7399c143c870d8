"""Rigid registration on PET/CT phantoms without motion between the scans: the true answer is known."""

import numpy as np
import pytest
import SimpleITK as sitk

from veloxseg.imaging import images, registration
from veloxseg.phantoms import petct

STILL = petct.PetCtParameters(
    shift=(0.0, 0.0), tilt=(0.0, 0.0), breathing_mismatch=(0.0, 0.0), breathing_blur=(2.0, 2.0), pet_size=(96, 96, 60),
    ct_size=(200, 200, 62),
)  # fmt: skip


@pytest.fixture(scope="module")
def case():
    return petct.generate(3, STILL)


def motion(image, translation, degrees):
    """A known motion about the image's middle as a `Rigid`."""
    grid = images.grid_of(image)
    middle = grid.world((np.asarray(grid.size) - 1) / 2)
    turn = sitk.Euler3DTransform(middle.tolist(), *np.radians(degrees).tolist(), translation)
    matrix = np.reshape(turn.GetMatrix(), (3, 3))
    return registration.Rigid(matrix, np.add(middle, translation) - matrix @ middle, 0, 0, 0, 0)


def left_over(image, known, found):
    """Millimeters at the image's middle and degrees that remain when `found` undoes `known`."""
    grid = images.grid_of(image)
    middle = grid.world((np.asarray(grid.size) - 1) / 2)
    turn = found.rotation @ known.rotation
    end = found.rotation @ (known.rotation @ middle + known.shift) + found.shift
    return np.linalg.norm(end - middle), np.degrees(np.arccos(min(1.0, (np.trace(turn) - 1) / 2)))


def test_a_moved_pet_comes_back(case):
    known = motion(case.pet, (8.0, -6.0, 5.0), (2.0, -2.0, 4.0))
    found = registration.register(case.ct, registration.moved(case.pet, known))
    distance, degrees = left_over(case.pet, known, found)
    assert found.kept == "" and found.information_after > found.information_before
    assert distance < 1.0 and degrees < 1.0
    assert found.report()["translation_mm"] == pytest.approx(np.sqrt(125), abs=1.5)


def test_the_same_images_give_the_same_answer(case):
    moving = registration.moved(case.pet, motion(case.pet, (4.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
    coarse = [images.resample(i, images.working_grid(images.grid_of(i), (12.0,) * 3)) for i in (case.ct, moving)]
    assert registration.register(*coarse).report() == registration.register(*coarse).report()


def test_moving_keeps_the_voxels_and_goes_back(case):
    known = motion(case.pet, (8.0, -6.0, 5.0), (2.0, -2.0, 4.0))
    there = registration.moved(case.pet, known)
    back = registration.moved(there, registration.Rigid(known.rotation.T, -known.rotation.T @ known.shift, 0, 0, 0, 0))
    assert sitk.Hash(there) == sitk.Hash(case.pet)
    assert images.same_grid(images.grid_of(back), images.grid_of(case.pet))


def blob(center, seed=0, size=32):
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(size)] * 3, indexing="ij")
    distance = sum((axis - c) ** 2 for axis, c in zip(axes, center, strict=True))
    return (100 * (distance < 64) + rng.normal(0, 1, (size,) * 3)).astype(np.float32)


def test_an_implausible_motion_is_not_followed(monkeypatch):
    monkeypatch.setattr(registration, "LARGEST_TRANSLATION_MM", 5.0)
    grid = images.Grid((32, 32, 32), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
    fixed, moving = images.image_of(blob((15, 16, 16)), grid), images.image_of(blob((18, 16, 16), 1), grid)
    found = registration.register(fixed, moving)
    assert found.kept.startswith("a motion by 12 mm and ") and found.kept.endswith("degrees is not plausible")
    assert images.same_grid(images.grid_of(registration.moved(moving, found)), grid)


def test_images_of_other_frames_begin_with_their_middles_together():
    near = images.Grid((32, 32, 32), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
    far = images.Grid((32, 32, 32), (4.0, 4.0, 4.0), (500.0, 0.0, -900.0))
    found = registration.register(images.image_of(blob((16, 15, 16)), near), images.image_of(blob((16, 16, 16), 1), far))
    moved = registration.moved(images.image_of(blob((16, 16, 16), 1), far), found)
    assert found.kept == ""
    middle = images.grid_of(moved).world(np.array([16.0, 16.0, 16.0]))
    assert np.linalg.norm(middle - near.world(np.array([16.0, 15.0, 16.0]))) < 1.5


def test_images_without_contrast_stay():
    grid = images.Grid((32, 32, 32), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
    flat = images.image_of(np.zeros((32, 32, 32), np.float32), grid)
    assert registration.register(flat, flat).kept
