"""The way from images to a mask. Geometry is proven with a stand-in network that only thresholds."""

import contextlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from engine_cases import (
    blob_image,
    card,
    inputs_hash,
    label,
    own_answer,
    role,
    stand_in,
    thresholding,
    tiny_arguments,
    write_image,
)
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import findings, images
from veloxseg.inference import devices, pipeline
from veloxseg.inference.progress import Listener, Run
from veloxseg.networks import VeloxSeg
from veloxseg.phantoms.shapes import sample_shape

CPU = devices.choose("cpu")
SCALED = {"kind": "scale", "divide_by": 100, "clip": [0, 100]}
SPACING = (1.5, 1.5, 1.5)


def threshold_package(spacing=SPACING):
    """One role with values 0-100, one label where the value is above 50."""
    return stand_in(card([role("CT", "CT", intensity=SCALED)], spacing=spacing), thresholding([0.0, 1.0], 8.0))


def turn(degrees_about_z, degrees_about_x):
    a, b = np.radians([degrees_about_z, degrees_about_x])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return tuple((about_z @ about_x).ravel().tolist())


def segment(package, path_by_role, **settings):
    return pipeline.segment(package, path_by_role, pipeline.Settings(**settings), CPU)


GRIDS = {
    "axial": {"spacing": (1.5, 1.5, 1.5), "size": (80, 76, 72)},
    "finer than the network's grid": {"spacing": (0.8, 0.9, 1.0), "size": (120, 110, 100)},
    "anisotropic": {"spacing": (1.0, 1.2, 4.0), "size": (110, 100, 30)},
    "sagittal slices": {
        "spacing": (1.0, 1.0, 3.0),
        "size": (110, 110, 36),
        "direction": (0, 0, 1, 1, 0, 0, 0, -1, 0),
    },
    "oblique": {"spacing": (1.4, 1.4, 1.8), "size": (80, 80, 66), "direction": turn(25, 15)},
    "oblique and anisotropic": {
        "spacing": (1.0, 1.0, 3.0),
        "size": (110, 110, 36),
        "direction": turn(-40, 20),
    },
    "far from the origin": {
        "spacing": (1.7, 1.5, 1.3),
        "size": (70, 76, 80),
        "origin": (-431.7, 212.3, 1033.9),
    },
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_same_object_on_any_grid(tmp_path, name):
    shape = sample_shape(**GRIDS[name])
    outcome = segment(threshold_package(), {"CT": write_image(shape.image, tmp_path / "ct.nrrd")})
    assert images.same_grid(outcome.grid, images.grid_of(shape.mask))
    dice = findings.dice(outcome.mask, images.array_of(shape.mask), 1)
    print(f"{name}: Dice {dice:.4f}")
    assert dice > 0.99


def test_position_and_volume_in_the_world(tmp_path):
    """The parts of the solid come back as lesions of their true size at their true places, from an oblique
    grid."""
    package = threshold_package()
    package.card = replace(package.card, lists_lesions=True)
    shape = sample_shape(**GRIDS["oblique"])
    outcome = segment(package, {"CT": write_image(shape.image, tmp_path / "ct.nrrd")})
    truth = images.array_of(shape.mask)
    expected = findings.lesions(truth, truth.astype(np.float32), images.grid_of(shape.mask))
    assert len(outcome.lesions) == len(expected) == 2
    for lesion, true in zip(outcome.lesions, expected, strict=True):
        assert lesion["volume_ml"] == pytest.approx(true["volume_ml"], rel=0.03)
        assert lesion["diameter_mm"] == pytest.approx(true["diameter_mm"], abs=2)
        assert lesion["centroid_lps"] == pytest.approx(true["centroid_lps"], abs=0.3)
        assert shape.solid.inside(np.array(lesion["centroid_lps"]))


def flips_and_permutations():
    return [(order, flips) for order in itertools.permutations(range(3)) for flips in ((0, 0, 0), (1, 0, 1), (0, 1, 0))]


def mask_like(outcome, turned, original):
    """The outcome's mask as an array on the original grid, moved by nearest neighbor (exact for flips)."""
    mask = images.image_of(outcome.mask, images.grid_of(turned))
    return images.array_of(images.resample(mask, images.grid_of(original), "nearest"))


@pytest.mark.parametrize("order,flips", flips_and_permutations())
def test_flipping_and_permuting_the_array_changes_nothing_for_a_real_network(tmp_path, order, flips):
    """A VeloxSeg with random weights answers nervously: the hardest network to keep steady."""
    package, image, expected = nervous_case()
    turned = sitk.Flip(sitk.PermuteAxes(image, order), [bool(flip) for flip in flips])
    outcome = segment(package, {"T1": write_image(turned, tmp_path / "t1.nrrd")}, overlap=0.25)
    assert outcome.mask.shape == turned.GetSize()
    assert findings.mean_dice(mask_like(outcome, turned, image), expected) > 0.999


def nervous_case():
    torch.manual_seed(3)
    the_card = card()
    network = VeloxSeg(**{**tiny_arguments(), "teachers": False, "deep_supervision": False, "in_ch": [1]}).eval()
    image = blob_image((30, 26, 22), (2.1, 1.7, 2.4))
    return stand_in(the_card, network), image, images.array_of(own_answer(the_card, network, {"T1": image}))


def test_roles_on_different_grids_meet_by_position(tmp_path):
    """The second role decides, on a coarser, shifted and turned grid; the answer lies where the object is."""
    reference = sample_shape(spacing=(1.5, 1.5, 1.5), size=(80, 76, 72))
    other = sample_shape(
        spacing=(2.5, 2.5, 2.5),
        size=(56, 56, 56),
        direction=turn(10, 5),
        origin=(-12, 4, -22),
        solid=reference.solid,
        edge_mm=2.5,
    )
    roles = [role("CT", "CT", intensity=SCALED), role("PET", "PT", reference=False, intensity=SCALED)]
    package = stand_in(card(roles, spacing=SPACING), lambda x: thresholding([0.0, 1.0], 8.0)(x[:, 1:]))
    outcome = segment(
        package,
        {
            "CT": write_image(reference.image, tmp_path / "ct.nrrd"),
            "PET": write_image(other.image, tmp_path / "pet.nrrd"),
        },
    )
    assert findings.dice(outcome.mask, images.array_of(reference.mask), 1) > 0.98


def test_several_labels_take_the_card_s_values(tmp_path):
    shape = sample_shape(spacing=(1.5, 1.5, 1.5), size=(80, 76, 72))
    labels = [label(4, "Edge"), label(9, "Inside")]
    package = stand_in(card([role("CT", "CT", intensity=SCALED)], labels, SPACING), thresholding([0.0, 0.5, 1.0]))
    outcome = segment(package, {"CT": write_image(shape.image, tmp_path / "ct.nrrd")})
    assert np.unique(outcome.mask).tolist() == [0, 4, 9]
    assert [entry["value"] for entry in outcome.segments] == [4, 9]
    assert sum(entry["voxels"] for entry in outcome.segments) == np.count_nonzero(outcome.mask)


def test_highest_probability_lies_in_the_object(tmp_path):
    shape = sample_shape(spacing=(1.5, 1.5, 1.5), size=(80, 76, 72))
    outcome = segment(threshold_package(), {"CT": write_image(shape.image, tmp_path / "ct.nrrd")})
    assert outcome.highest_probability["value"] > 0.95
    assert shape.solid.inside(np.array(outcome.highest_probability["position_lps"]))


class TestRefusals:
    def refusal(self, package, paths):
        with pytest.raises(VeloxSegError) as caught:
            segment(package, paths)
        return caught.value

    def two_roles(self):
        roles = [role("CT", "CT", intensity=SCALED), role("PET", "PT", reference=False, intensity=SCALED)]
        return stand_in(card(roles), thresholding([0.0, 1.0]))

    @pytest.mark.parametrize("given", [["CT"], ["CT", "PET", "MR"], ["PT", "CT"]])
    def test_missing_and_unknown_roles(self, tmp_path, given):
        path = write_image(blob_image(), tmp_path / "a.nrrd")
        error = self.refusal(self.two_roles(), dict.fromkeys(given, path))
        assert (error.code, error.exit_code) == ("MODEL_ROLES", 3)
        assert "CT, PET" in error.text

    def test_one_file_in_two_roles(self, tmp_path):
        path = write_image(blob_image(), tmp_path / "a.nrrd")
        error = self.refusal(self.two_roles(), {"CT": path, "PET": path})
        assert (error.code, error.exit_code) == ("INPUT_ROLE", 4)

    def test_half_is_enough_overlap_as_for_the_panel(self):
        image, package = blob_image(), self.two_roles()
        width = image.GetSize()[0] * image.GetSpacing()[0]
        for share, is_enough in ((0.5, True), (0.45, False)):
            moved = sitk.Image(image)
            moved.SetOrigin([image.GetOrigin()[0] + (1 - share) * width, *image.GetOrigin()[1:]])
            volumes = {role.name: volume for role, volume in zip(package.card.roles, (image, moved))}
            with contextlib.nullcontext() if is_enough else pytest.raises(VeloxSegError, match="covers only"):
                pipeline.check_overlap(package.card, volumes)

    def test_too_little_overlap(self, tmp_path):
        far = blob_image()
        far.SetOrigin([value + 60 for value in far.GetOrigin()])
        error = self.refusal(
            self.two_roles(),
            {
                "CT": write_image(blob_image(), tmp_path / "a.nrrd"),
                "PET": write_image(far, tmp_path / "b.nrrd"),
            },
        )
        assert (error.code, error.exit_code) == ("INPUT_OVERLAP", 4)
        assert "PET" in error.text and "%" in error.text

    def test_network_without_numbers(self, tmp_path):
        package = stand_in(card(), lambda x: torch.full((1, 2, *x.shape[2:]), torch.nan))
        error = self.refusal(package, {"T1": write_image(blob_image(), tmp_path / "a.nrrd")})
        assert (error.code, error.exit_code) == ("NUMERIC", 7)

    @pytest.mark.parametrize(
        "failure", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")]
    )
    def test_exhausted_memory(self, tmp_path, failure):
        def network(x):
            raise failure

        error = self.refusal(stand_in(card(), network), {"T1": write_image(blob_image(), tmp_path / "a.nrrd")})
        assert (error.code, error.exit_code) == ("MEMORY_CPU", 5)

    def test_a_defect_is_not_taken_for_exhausted_memory(self, tmp_path):
        def network(x):
            raise RuntimeError("shapes differ")

        with pytest.raises(RuntimeError, match="shapes differ"):
            segment(stand_in(card(), network), {"T1": write_image(blob_image(), tmp_path / "a.nrrd")})


@pytest.mark.parametrize("questions", range(0, 12, 2))
def test_cancel_at_any_time_and_inputs_stay(tmp_path, questions):
    class Impatient(Listener):
        asked = 0

        def cancelled(self):
            self.asked += 1
            return self.asked > questions

    paths = {"T1": write_image(blob_image(), tmp_path / "a.nrrd")}
    before = inputs_hash(tmp_path)
    package = stand_in(card(), thresholding([-1.0, 1.0]))
    with pytest.raises(VeloxSegError) as caught:
        pipeline.segment(package, paths, pipeline.Settings(), CPU, Run(Impatient()))
    assert (caught.value.code, caught.value.exit_code) == ("CANCELLED", 6)
    assert inputs_hash(tmp_path) == before


def test_unavailable_devices():
    for wanted in ("cuda:99", "mps" if not torch.backends.mps.is_available() else "cuda:98", "tpu", "cuda:x"):
        with pytest.raises(VeloxSegError) as caught:
            devices.choose(wanted)
        assert (caught.value.code, caught.value.exit_code) == ("REQUEST", 2)
    assert devices.choose("cpu").is_cpu and devices.choose().name


class TestMarginsAndSmoothing:
    def test_air_stored_around_changes_neither_input_nor_grid(self):
        """Whole voxels of air on one side of each axis: the network gets the same voxels at the same place."""
        the_card = card([role("CT", "CT", intensity=SCALED)], spacing=(2.0, 2.0, 2.0))
        array = np.zeros((20, 22, 24), np.float32)
        array[5:14, 6:17, 7:18] = np.random.default_rng(0).uniform(1, 100, (9, 11, 11))
        image = images.image_of(array, images.Grid(array.shape, (2.0, 2.0, 2.0), (-10.0, 5.0, 30.0)))
        padded = sitk.ConstantPad(image, (6, 0, 2), (0, 4, 8), 0.0)
        plain, more = (pipeline.prepare(Card.of(the_card), {"CT": volume}) for volume in (image, padded))
        assert plain.volume.shape == (1, 9, 11, 11)
        assert torch.equal(plain.volume, more.volume)
        assert images.same_grid(plain.grid, more.grid)
        assert plain.grid.origin == (0.0, 17.0, 44.0)

    def test_smoothing_removes_a_speck_and_keeps_a_plane(self):
        grid = images.Grid((24, 24, 24), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
        array = np.zeros(grid.size, np.float32)
        array[12:] = 1.0
        array[4, 4, 4] = 1.0
        smoothed = images.smooth(array, grid, 2.0)
        assert np.array_equal(smoothed[6:] >= 0.5, array[6:] >= 0.5)
        assert not (smoothed[:6] >= 0.5).any()
        assert np.array_equal(images.smooth(array, grid, 0.0), array)

    def test_the_cards_smoothing_reaches_the_mask(self):
        """A single bright voxel beside a solid block is segmented without smoothing and gone with it."""
        array = np.zeros((20, 20, 20), np.float32)
        array[2:8, 2:8, 2:8] = array[12, 12, 12] = array[17, 17, 17] = 100.0
        image = images.image_of(array, images.Grid(array.shape, (2.0, 2.0, 2.0), (0.0, 0.0, 0.0)))
        for smoothing, speck in ((0.0, 1), (2.0, 0)):
            the_card = card([role("CT", "CT", intensity=SCALED)], spacing=(2.0, 2.0, 2.0), smoothing_mm=smoothing)
            mask = images.array_of(own_answer(the_card, thresholding([0.0, 1.0], 8.0), {"CT": image}))
            assert mask[5, 5, 5] == 1
            assert mask[12, 12, 12] == speck
