"""The synthetic image generators: same seed same bytes, labels from objects, honest geometry and difficulty."""

import json
from dataclasses import replace

import numpy as np
import pytest

sitk = pytest.importorskip("SimpleITK")
pytest.importorskip("scipy")

from veloxseg import phantoms  # noqa: E402
from veloxseg.phantoms import brain, petct, shapes  # noqa: E402
from veloxseg.phantoms.fields import centered_grid, rotation  # noqa: E402
from veloxseg.phantoms.lesions import PhantomLesion, sphere_directions  # noqa: E402

# A thin field keeps the tests short; everything else is as in the default set.
SHORT = replace(
    petct.PetCtParameters(),
    pet_size=(96, 96, 36),
    ct_size=(100, 100, 40),
    ct_spacing=(4.0, 4.0, 3.0),
    field_center_z=(-90.0, 40.0),
    no_lesion_chance=0.0,
    lesion_count=(4, 9),
)
SMALL_HEAD = brain.BrainParameters(size=(88, 112, 96), spacing=(2.0, 2.0, 2.0))


def array(image):
    return sitk.GetArrayFromImage(image)


def same(first, second, names):
    return all(array(getattr(first, n)).tobytes() == array(getattr(second, n)).tobytes() for n in names)


@pytest.fixture(scope="module")
def case():
    return petct.generate(7, SHORT)


def test_same_seed_same_bytes_and_other_seed_other_bytes(case):
    again, other = petct.generate(7, SHORT), petct.generate(8, SHORT)
    assert same(case, again, ("ct", "pet", "label", "label_ct"))
    assert case.parameters == again.parameters
    assert not same(case, other, ("pet",))


def test_global_random_state_is_neither_read_nor_changed(case):
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    assert same(case, petct.generate(7, SHORT), ("pet", "label"))
    assert (np.random.get_state()[1] == before).all()


def test_types_sizes_and_grids(case):
    assert array(case.ct).dtype == np.int16
    assert array(case.pet).dtype == np.float32
    assert array(case.label).dtype == np.uint8
    assert case.pet.GetSize() == SHORT.pet_size
    assert case.ct.GetSize() == SHORT.ct_size
    assert case.pet.GetSpacing() == pytest.approx(SHORT.pet_spacing)
    for a, b in ((case.pet, case.label), (case.ct, case.label_ct)):
        assert a.GetOrigin() == b.GetOrigin()
        assert a.GetSpacing() == b.GetSpacing()
        assert a.GetDirection() == b.GetDirection()
    assert case.ct.GetOrigin() != case.pet.GetOrigin()
    assert set(np.unique(array(case.label))) == {0, 1}


def test_values_are_plausible(case):
    ct, pet = array(case.ct), array(case.pet)
    assert ct.min() < -900 and ct.max() > 300
    assert np.isfinite(pet).all() and pet.min() >= 0
    tissue_share = np.mean((ct > 0) & (ct < 100))
    assert 0.05 < tissue_share < 0.5


def test_lesion_volume_is_that_of_the_ball_of_its_diameter():
    rng = np.random.default_rng(0)
    lesion = PhantomLesion((1.0, -2.0, 3.0), 30.0, tuple(rng.normal(0, 0.12, 10)), "node", 5.0, 3.0)
    grid = centered_grid((90, 90, 90), (0.6, 0.6, 0.6), lesion.center_mm)
    voxels = petct.label_array([lesion], grid).sum()
    assert voxels * 0.6**3 / 1000 == pytest.approx(lesion.volume_ml, rel=0.01)
    assert lesion.volume_ml == pytest.approx(14.137, rel=1e-3)
    assert np.linalg.norm(sphere_directions(500).mean(axis=0)) < 1e-2


def test_label_volume_matches_the_lesions_that_lie_in_the_field(case):
    """Partial-volume rule at half coverage: the volume is right on average, not for every small lesion."""
    label = array(case.label)
    voxel_ml = np.prod(case.label.GetSpacing()) / 1000
    total, found = 0.0, 0.0
    for lesion in case.lesions:
        alone = petct.label_array([lesion], _grid_of(case.label))
        if alone[0].any() or alone[-1].any() or lesion.diameter_mm < 12:
            continue
        total += lesion.volume_ml
        found += alone.sum() * voxel_ml
        assert alone.sum() * voxel_ml == pytest.approx(lesion.volume_ml, rel=0.15)
        assert label[alone > 0].all()
    assert total > 0
    assert found == pytest.approx(total, rel=0.08)


def _grid_of(image):
    from veloxseg.phantoms.fields import PhantomGrid

    return PhantomGrid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def test_label_comes_from_the_objects_not_from_the_image(case):
    """The same lesions under other physics (noise, blur) keep exactly the same label."""
    noisy = replace(SHORT, liver_noise=(0.5, 0.6), psf_fwhm=(9.0, 10.0))
    other = petct.generate(7, noisy)
    assert same(case, other, ("label", "label_ct"))
    assert not same(case, other, ("pet",))
    assert (petct.label_array(case.lesions, _grid_of(case.label)) == array(case.label)).all()


def test_drawn_parameters_describe_the_label(case):
    text = json.loads(json.dumps(case.parameters))
    assert text["synthetic"] is True and text["version"] == petct.VERSION
    assert len(text["lesions"]) == len(case.lesions) > 0
    for lesion in text["lesions"]:
        index = case.label.TransformPhysicalPointToIndex(lesion["center_mm_lps"])
        if lesion["diameter_mm"] > 8:
            assert case.label[index] == 1
        assert SHORT.diameter_limits[0] <= lesion["diameter_mm"] <= SHORT.diameter_limits[1]
        assert SHORT.contrast_limits[0] <= lesion["contrast"] <= SHORT.contrast_limits[1]


def test_lesions_do_not_touch(case):
    for number, first in enumerate(case.lesions):
        for second in case.lesions[:number]:
            gap = np.linalg.norm(np.subtract(first.center_mm, second.center_mm))
            assert gap > first.reach_mm + second.reach_mm


def test_distractors_have_uptake_and_no_label():
    pelvis = replace(SHORT, field_center_z=(-350.0, -350.0), no_lesion_chance=1.0)
    empty = petct.generate(5, pelvis)
    assert not empty.lesions and array(empty.label).sum() == 0
    assert array(empty.pet).max() > 8  # the bladder


def test_cold_core_belongs_to_the_lesion():
    grid = centered_grid((40, 40, 40), (1.0, 1.0, 1.0), (0, 0, 0))
    lesion = PhantomLesion((0.0, 0.0, 0.0), 24.0, (0.0,) * 10, "liver", 8.0, 3.0, core_fraction=0.6, core_suv=1.0)
    assert petct.label_array([lesion], grid)[20, 20, 20] == 1


def test_ct_label_follows_the_ct_pose(case):
    """Centroids of both labels differ by the drawn misalignment, not by more."""
    centroids = []
    for label in (case.label, case.label_ct):
        places = np.argwhere(array(label))[:, ::-1].mean(axis=0)
        centroids.append(np.asarray(label.TransformContinuousIndexToPhysicalPoint(places.tolist())))
    assert np.linalg.norm(centroids[0] - centroids[1]) < 25
    volumes = [array(n).sum() * np.prod(n.GetSpacing()) for n in (case.label, case.label_ct)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.2)


@pytest.mark.slow
def test_best_fixed_threshold_is_at_most_045():
    rows, ill, count = petct.threshold_table(range(900000, 900010))
    assert count == 10 and ill >= 5
    assert max(row[1] for row in rows) <= 0.45


@pytest.fixture(scope="module")
def head():
    return brain.generate(3, SMALL_HEAD)


def test_brain_same_seed_same_bytes(head):
    assert same(head, brain.generate(3, SMALL_HEAD), ("t1", "label"))
    assert not same(head, brain.generate(4, SMALL_HEAD), ("t1",))


def test_brain_looks_like_a_t1_image(head):
    t1, label = array(head.t1).astype(float), array(head.label)
    assert head.t1.GetSize() == SMALL_HEAD.size and head.t1.GetOrigin() == head.label.GetOrigin()
    assert set(np.unique(label)) == set(brain.LABELS.values())
    mean = {name: t1[label == value].mean() for name, value in brain.LABELS.items()}
    assert mean["white matter"] > mean["deep nuclei"] > mean["cortex"] > mean["ventricles"]
    litres = np.mean(label > 0) * np.prod(SMALL_HEAD.size) * np.prod(SMALL_HEAD.spacing) / 1e6
    assert 1.0 < litres < 2.2


def test_brain_without_skull_is_dark_outside():
    bare = brain.generate(3, replace(SMALL_HEAD, skull=False))
    t1, label = array(bare.t1), array(bare.label)
    assert t1[label == 0].mean() < 0.15 * t1[label == brain.LABELS["white matter"]].mean()


GRIDS = {
    "isotropic": ((1.5, 1.5, 1.5), (64, 64, 64), (0, 0, 0), (1, 1, 1)),
    "anisotropic": ((1.0, 1.2, 3.0), (96, 80, 32), (0, 0, 0), (1, 1, 1)),
    "flipped": ((2.0, 2.0, 2.0), (60, 50, 48), (0, 0, 0), (-1, -1, 1)),
    "oblique": ((1.4, 1.8, 2.4), (64, 56, 44), (20, -15, 35), (1, 1, -1)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_shape_volume_and_threshold(name):
    spacing, size, turn, flips = GRIDS[name]
    direction = (rotation(turn) @ np.diag(flips)).ravel()
    shape = shapes.sample_shape(spacing, size, direction, (12.0, -40.0, 300.0))
    mask = array(shape.mask) > 0
    assert mask.sum() * np.prod(spacing) == pytest.approx(shape.solid.volume_mm3, rel=0.02)
    assert petct.dice(array(shape.image) > shape.level, mask) > 0.99
    border = np.ones(mask.shape, bool)
    border[1:-1, 1:-1, 1:-1] = False
    assert not mask[border].any()


def test_shape_is_the_same_object_on_two_grids():
    first = shapes.sample_shape((1.5, 1.5, 1.5), (80, 80, 80))
    direction = (rotation((10, 25, -30)) @ np.diag((-1, 1, 1))).ravel()
    middle = np.asarray(first.solid.center)
    half = direction.reshape(3, 3) @ (np.asarray((1.2, 2.0, 1.6)) * 0.5 * np.asarray((119, 71, 89)))
    second = shapes.sample_shape((1.2, 2.0, 1.6), (120, 72, 90), direction, tuple(middle - half), solid=first.solid)
    moved = sitk.Resample(second.image, first.image, sitk.Transform(), sitk.sitkLinear, 0.0)
    assert petct.dice(array(moved) > first.level, array(first.mask) > 0) > 0.99


def test_shape_has_no_mirror_or_axis_symmetry():
    shape = shapes.sample_shape((2.0, 2.0, 2.0), (48, 48, 48))
    mask = array(shape.mask) > 0
    for axis in range(3):
        assert petct.dice(np.flip(mask, axis), mask) < 0.9
    for order in ((0, 2, 1), (2, 1, 0), (1, 0, 2)):
        assert petct.dice(mask.transpose(order), mask) < 0.9


@pytest.fixture
def quick_kind(monkeypatch):
    monkeypatch.setattr(petct, "QUICK", SHORT, raising=False)
    kind = replace(phantoms.PHANTOMS["petct"], parameters="QUICK")
    monkeypatch.setitem(phantoms.PHANTOMS, "quick", kind)
    return "quick"


def test_write_case_writes_the_roles_and_nothing_else(quick_kind, tmp_path, case):
    written = phantoms.write_case(quick_kind, 7, tmp_path / "new" / "case")
    folder = tmp_path / "new" / "case"
    assert sorted(p.name for p in folder.iterdir()) == ["CT.nrrd", "PET.nrrd", "label.nrrd", "parameters.json"]
    assert set(written) == {"CT.nrrd", "PET.nrrd", "label.nrrd", "parameters.json"}
    read = sitk.ReadImage(str(folder / "PET.nrrd"))
    assert array(read).tobytes() == array(case.pet).tobytes()
    assert read.GetOrigin() == pytest.approx(case.pet.GetOrigin())
    assert json.loads((folder / "parameters.json").read_text())["kind"] == quick_kind


def test_write_case_leaves_the_old_case_when_writing_fails(quick_kind, tmp_path, monkeypatch):
    (tmp_path / "PET.nrrd").write_text("old")
    write = sitk.WriteImage

    def fail_on_label(image, path, *rest):
        if path.endswith("label.nrrd"):
            raise RuntimeError("disk full")
        write(image, path, *rest)

    monkeypatch.setattr(sitk, "WriteImage", fail_on_label)
    with pytest.raises(RuntimeError, match="disk full"):
        phantoms.write_case(quick_kind, 7, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["PET.nrrd"]
    assert (tmp_path / "PET.nrrd").read_text() == "old"


def test_write_case_names_the_kinds_it_knows(tmp_path):
    with pytest.raises(KeyError, match="petct"):
        phantoms.write_case("unicorn", 1, tmp_path)
