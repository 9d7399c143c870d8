"""Nothing is marked where the images show nothing; where they show something nothing is taken away."""

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from engine_cases import blob_image, card, label, role, stand_in, write_image
from veloxseg.contract.card import Card
from veloxseg.imaging import findings, images
from veloxseg.inference import devices, empty_space, pipeline
from veloxseg.packages import cards, packages

CPU = devices.choose("cpu")
REAL = Path(os.environ.get("VELOXSEG_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
PET = role("PET", "PT", intensity={"kind": "scale", "divide_by": 5, "clip": [0, 30]})
CT = role("CT", "CT", reference=False, intensity={"kind": "clip_zscore", "low": -850, "high": 780, "mean": 20, "std": 270})


def everywhere(x):
    """A network that marks everything; with two labels the second one."""
    logits = torch.zeros((x.shape[0], 3, *x.shape[2:]))
    logits[:, 2] = 6.0
    return logits


def segment(tmp_path, roles, volumes, **settings):
    paths = {name: write_image(image, tmp_path / f"{name}.nrrd") for name, image in volumes.items()}
    package = stand_in(card(roles, [label(1), label(2)], spacing=(3.0, 3.0, 3.0), smoothing_mm=2.0), everywhere)
    return pipeline.segment(package, paths, pipeline.Settings(**settings), CPU)


def stripped(fill=0.0):
    """A brain in a constant."""
    image = blob_image((40, 44, 36), (1.5, 1.5, 1.5))
    array = images.array_of(image)
    return images.image_of(np.where(array > 50, array, np.float32(fill)), images.grid_of(image))


@pytest.mark.parametrize("fill", [0.0, -3.5])
def test_stripped_brain(tmp_path, fill):
    image = stripped(fill)
    array = images.array_of(image)
    outcome = segment(tmp_path, [role()], {"T1": image}, mirrors=True)
    assert not outcome.mask[array == fill].any() and not outcome.probability[array == fill].any()
    assert not outcome.uncertainty[array == fill].any()
    assert outcome.mask[array > 50].mean() > 1.9


def test_air_that_is_noise_may_be_marked(tmp_path):
    """Nobody can tell whether the darkest voxel of a noisy image is empty."""
    image = blob_image((40, 44, 36), (1.5, 1.5, 1.5))
    the_card = Card.of(card([role()]))
    values = images.array_of(image)
    assert empty_space.empty_level(the_card, the_card.roles[0], values) == -np.inf
    outcome = segment(tmp_path, [role()], {"T1": image})
    assert outcome.mask[values == values[8:-8, 8:-8, 8:-8].min()].all()


def test_all_images_must_show_nothing(tmp_path):
    """The left half has signal on T1 alone, the rest is empty on both."""
    both = stripped()
    half = images.array_of(both)
    half[20:] = 0
    roles = [role("T1"), role("FLAIR", reference=False)]
    outcome = segment(tmp_path, roles, {"T1": images.image_of(half, images.grid_of(both)), "FLAIR": both})
    shown = images.array_of(both) > 0
    assert np.array_equal(outcome.mask > 0, shown)


def petct(pet_spacing=(6.0, 6.0, 6.0)):
    """A body in air on a fine CT and a coarse PET; the body has a gas bubble without uptake at its center."""

    def radius(grid):
        axes = [np.arange(n, dtype=float) for n in grid.size]
        points = grid.world(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
        return np.linalg.norm(points, axis=-1)

    fine = images.Grid((60, 60, 60), (2.0, 2.0, 2.0), (-59.0, -59.0, -59.0))
    size = tuple(int(120 / s) for s in pet_spacing)
    coarse = images.Grid(size, pet_spacing, tuple(-(n - 1) / 2 * s for n, s in zip(size, pet_spacing)))
    ct, pet = radius(fine), radius(coarse)
    ct = np.where((ct < 40) & (ct > 12), 40.0, -1000.0)
    pet = np.where((pet < 40) & (pet > 12), 1.0, 0.02)
    return images.image_of(ct.astype(np.float32), fine), images.image_of(pet.astype(np.float32), coarse)


def test_petct(tmp_path):
    ct, pet = petct()
    outcome = segment(tmp_path, [CT, PET], {"CT": ct, "PET": pet})
    nearest = images.array_of(images.resample(ct, images.grid_of(pet), "nearest", -1000.0))
    empty = (images.array_of(pet) < 0.1) & (nearest < -900)
    assert 0.5 < empty.mean() < 0.95
    assert not outcome.mask[empty].any() and (outcome.mask[~empty] > 0).mean() > 0.95


def test_outside_of_the_second_image_it_shows_nothing(tmp_path):
    ct, pet = petct()
    outcome = segment(tmp_path, [CT, PET], {"CT": ct[15:45, :, :], "PET": pet}, accept_overlap=True)
    beyond, empty = outcome.mask[:4], images.array_of(pet)[:4] < 0.1
    assert not beyond[empty].any() and beyond[~empty].any()


def test_air_of_a_ct_alone_may_be_marked(tmp_path):
    """It may be lung or bowel; padding outside of the scanner's circle is not."""
    ct, _ = petct()
    array = images.array_of(ct)
    array[:10] = -2000
    outcome = segment(tmp_path, [{**CT, "reference": True}], {"CT": images.image_of(array, images.grid_of(ct))})
    assert outcome.mask[26:34, 26:34, 26:34].all() and not outcome.mask[:10].any()


def test_a_turned_reference(tmp_path):
    ct, pet = petct()
    turned = sitk.Flip(sitk.PermuteAxes(pet, (2, 0, 1)), (True, False, True))
    plain = segment(tmp_path, [CT, PET], {"CT": ct, "PET": pet})
    outcome = segment(tmp_path, [CT, PET], {"CT": ct, "PET": turned})
    back = images.resample(images.image_of(outcome.mask, outcome.grid), plain.grid, "nearest")
    assert np.array_equal(images.array_of(back), plain.mask)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real images in {REAL}")
def test_real_stripped_brain():
    """Without this step 6 % of the mask lie where the image is exactly 0."""
    file = REAL / "brain_t1_validation" / "1000_t1_brain.nii.gz"
    package = packages.read(cards.find("brain-regions-t1"))
    outcome = pipeline.segment(package, {"T1": file}, pipeline.Settings(), CPU)
    image = images.array_of(images.read_volume(file))
    truth = images.array_of(images.read_volume(file.with_name("1000_labels138.nii.gz"))) > 0
    dice = findings.dice((outcome.mask > 0).astype(np.uint8), truth.astype(np.uint8), 1)
    print(f"outside 0, Dice of the whole brain {dice:.3f}")
    assert not outcome.mask[image == 0].any() and dice > 0.86
