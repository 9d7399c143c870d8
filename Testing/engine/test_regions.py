"""A region cuts the result exactly, whatever the grid, and saves windows; what a person accepted reaches the engine."""

import numpy as np
import pytest
import SimpleITK as sitk

from engine_cases import card, role, stand_in, thresholding, write_image
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images, intensities, regions
from veloxseg.inference import devices, pipeline
from veloxseg.validation import first_problem

CPU = devices.choose("cpu")
SCALED = {"kind": "scale", "divide_by": 100, "clip": [0, 100]}
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
COSINE, SINE = np.cos(0.5), np.sin(0.5)
TURNED = ((COSINE, SINE, 0.0), (-SINE, COSINE, 0.0), (0.0, 0.0, 1.0))
GRIDS = {
    "axial": images.Grid((90, 60, 50), (2.0, 2.0, 2.0), (-89.0, -59.0, -49.0)),
    "oblique": images.Grid((100, 70, 40), (2.0, 2.0, 3.0), (-50.0, -110.0, -60.0), (COSINE, -SINE, 0, SINE, COSINE, 0, 0, 0, 1)),
    "sagittal and flipped": images.Grid((60, 70, 90), (2.0, 2.0, 2.0), (-90.0, 60.0, -70.0), (0, 0, 1, -1, 0, 0, 0, 1, 0)),
}


def two_balls(grid):
    """Value 100 in two balls of 16 mm radius, 70 mm apart along x, around the middle of the grid."""
    middle = grid.world((np.array(grid.size) - 1) / 2)
    world = grid.world(np.stack(np.meshgrid(*map(np.arange, grid.size), indexing="ij"), axis=-1))
    near = [np.linalg.norm(world - middle - np.array([x, 0, 0]), axis=-1) < 16 for x in (-35, 35)]
    return images.image_of(np.where(near[0] | near[1], 100, 0).astype(np.float32), grid), middle, world


def package(**changes):
    return stand_in(card([role("CT", "CT", intensity=SCALED)], **changes), thresholding([0.0, 1.0], 8.0))


@pytest.mark.parametrize("axes", [IDENTITY, TURNED], ids=["straight", "turned"])
@pytest.mark.parametrize("name", GRIDS)
def test_the_result_is_the_whole_one_cut_at_the_region(tmp_path, name, axes):
    image, middle, world = two_balls(GRIDS[name])
    path = {"CT": write_image(image, tmp_path / "ct.nrrd")}
    region = regions.Region(tuple(middle + [35, 4, 0]), (40.0, 30.0, 44.0), axes)
    whole = pipeline.segment(package(), path, pipeline.Settings(), CPU)
    part = pipeline.segment(package(), path, pipeline.Settings(region=region), CPU)
    distance = np.abs((world - np.array(region.center)) @ np.array(axes).T)
    inside = (distance <= np.array(region.size) / 2 + 1e-6).all(axis=-1)
    assert part.grid == whole.grid
    assert part.mask.sum() > 1000
    # Borders of windows fall elsewhere, which moves single voxels of the edge.
    assert np.mean(part.mask[inside] != whole.mask[inside]) < 0.002
    assert not part.mask[~inside].any() and not part.probability[~inside].any()
    assert part.windows < whole.windows


def test_a_small_region_sees_its_surroundings(tmp_path):
    """A box of one voxel is computed in a whole window of the image and not in a padded one."""
    image, middle, _ = two_balls(GRIDS["axial"])
    seen = []

    def network(x):
        seen.append(x)
        return thresholding([0.0, 1.0], 8.0)(x)

    model = stand_in(card([role("CT", "CT", intensity=SCALED)]), network)
    region = regions.Region(tuple(middle + [35, 0, 0]), (2.0, 2.0, 2.0), IDENTITY)
    path = {"CT": write_image(image, tmp_path / "ct.nrrd")}
    found = pipeline.segment(model, path, pipeline.Settings(region=region), CPU)
    assert (found.windows, len(seen)) == (1, 1)
    assert (seen[0] > 0.5).sum() > 1500
    assert 1 <= found.mask.sum() <= 8


def test_a_region_outside_is_refused_before_the_computation(tmp_path):
    image, middle, _ = two_balls(GRIDS["axial"])
    region = regions.Region(tuple(middle + [500, 0, 0]), (10.0, 10.0, 10.0), IDENTITY)
    with pytest.raises(VeloxSegError) as caught:
        pipeline.segment(package(), {"CT": write_image(image, tmp_path / "ct.nrrd")}, pipeline.Settings(region=region), CPU)
    assert caught.value.code == "REQUEST" and "no voxel" in caught.value.text


def test_regions_of_requests():
    entry = {"center": [1, 2, 3], "size": [4, 5, 6], "axes": [list(axis) for axis in TURNED]}
    assert regions.Region.of(None) is None
    assert regions.Region.of(entry) == regions.Region((1, 2, 3), (4, 5, 6), TURNED)
    request = {"schema_version": 1, "model": "m", "inputs": {"CT": "a"}}
    assert first_problem("request", {**request, "region": entry, "accept_overlap": True, "suv": False}) is None
    for wrong in ({**entry, "size": [0, 1, 1]}, {**entry, "center": [1, 2]}, {"center": [0, 0, 0]}):
        assert first_problem("request", {**request, "region": wrong})
    with pytest.raises(VeloxSegError) as caught:
        regions.Region.of({**entry, "axes": [[1, 0, 0], [1, 0, 0], [0, 0, 1]]})
    assert caught.value.code == "REQUEST"


def pet_and_ct(tmp_path, shift):
    image, _, _ = two_balls(GRIDS["axial"])
    moved = sitk.Image(image)
    moved.SetOrigin([value + shift for value in image.GetOrigin()])
    return {"CT": write_image(moved, tmp_path / "ct.nrrd"), "PET": write_image(image, tmp_path / "pet.nrrd")}


def pet_package():
    roles = [role("CT", "CT", reference=False, intensity=SCALED), role("PET", "PT", intensity=SCALED)]
    return stand_in(card(roles, lesions=True), thresholding([0.0, 1.0], 8.0))


def test_accepted_little_overlap(tmp_path):
    paths = pet_and_ct(tmp_path, 60)
    with pytest.raises(VeloxSegError) as caught:
        pipeline.segment(pet_package(), paths, pipeline.Settings(), CPU)
    assert caught.value.code == "INPUT_OVERLAP"
    assert pipeline.segment(pet_package(), paths, pipeline.Settings(accept_overlap=True), CPU).mask.shape == (90, 60, 50)


@pytest.mark.parametrize("factor", [1.0, 5000.0, 0.002])
def test_pet_of_unknown_scale_is_scaled_by_the_mean_of_the_body(tmp_path, factor):
    """What is found does not depend on the scanner's unit, and images of other roles stay as they are."""
    image, _, _ = two_balls(GRIDS["axial"])
    paths = {"PET": write_image(image * factor, tmp_path / "pet.nrrd")}
    spec = {"kind": "scale", "divide_by": 1, "clip": [0, 100]}
    pet = role("PET", "PT", intensity=spec) | {"unit": "SUVbw"}
    package = stand_in(card([pet], lesions=True), thresholding([0.0, 1.0], 8.0))
    found = pipeline.segment(package, paths, pipeline.Settings(suv=False), CPU)
    assert len(found.lesions) == 2 and found.lesions[0]["score"] > 0.95
    other = {"PET": image * factor, "T1": image}
    scaled = pipeline.with_guessed_suv(Card.of(card([pet, role("T1", reference=False)])), other)
    assert images.array_of(scaled["PET"]).max() == pytest.approx(1, rel=1e-5) and scaled["T1"] is image


def test_image_without_positive_values_keeps_its_scale():
    grid = GRIDS["axial"]
    assert not images.array_of(intensities.scaled_to_body(images.image_of(np.zeros(grid.size, np.int16), grid))).any()


def test_lesions_without_suv(tmp_path):
    paths = pet_and_ct(tmp_path, 0)
    with_suv = pipeline.segment(pet_package(), paths, pipeline.Settings(), CPU).lesions
    without = pipeline.segment(pet_package(), paths, pipeline.Settings(suv=False), CPU).lesions
    assert len(with_suv) == len(without) == 2
    assert "suv_max" in with_suv[0] and not any(name.startswith("suv") or name == "tlg" for name in without[0])
