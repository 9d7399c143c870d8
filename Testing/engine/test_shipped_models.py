"""The shipped packages: intact, honest about themselves, and blind to how an image is stored."""

import numpy as np
import pytest
import SimpleITK as sitk

from training import heads
from veloxseg.imaging import findings, images
from veloxseg.inference import devices, pipeline
from veloxseg.packages import cards, packages
from veloxseg.phantoms import headneck, petct, tumor

needs_head = pytest.mark.skipif(
    not (heads.TEMPLATES / "aal.nii.gz").exists(), reason="Colin27 is absent: apt-get install mricron-data"
)
HEAD_SPACING_MM = 1.5
PHANTOM_SEED = 14
STORAGES = [((2, 1, 0), (False, True, False)), ((1, 2, 0), (True, False, True)), ((0, 1, 2), (True, True, True))]
ANGLES_DEGREES = (8.0, -11.0, 14.0)


@pytest.fixture(scope="module")
def head():
    image = sitk.Cast(heads.load("both").t1, sitk.sitkFloat32)
    grid = images.working_grid(images.grid_of(image), (HEAD_SPACING_MM,) * 3)
    return {"T1": images.resample(image, grid)}


@pytest.fixture(scope="module")
def phantom():
    case = petct.generate(PHANTOM_SEED)
    return {"CT": case.ct, "PET": case.pet}


def segment(model, inputs, folder):
    """Mask image of a shipped model, through files."""
    package = packages.read(cards.find(model))
    paths = {role: folder / f"{role}.nrrd" for role in inputs}
    for role, image in inputs.items():
        images.write(image, paths[role])
    outcome = pipeline.segment(package, paths, pipeline.Settings(device="cpu"), devices.choose("cpu"), measure=False)
    return images.image_of(outcome.mask, outcome.grid)


def stored_otherwise(image, order, flips):
    """The same object with permuted and flipped array axes and the matching direction."""
    return sitk.Flip(sitk.PermuteAxes(image, order), flips)


def oblique(image, spacing_mm):
    """The same object sampled on a grid turned about all three axes that holds all of it."""
    grid = images.grid_of(image)
    center = grid.corners().mean(axis=0)
    turn = np.array(sitk.Euler3DTransform((0, 0, 0), *np.deg2rad(ANGLES_DEGREES).tolist()).GetMatrix()).reshape(3, 3)
    local = (grid.corners() - center) @ turn
    size = np.ceil((local.max(0) - local.min(0)) / spacing_mm).astype(int)
    origin = center - turn @ ((size - 1) / 2 * spacing_mm)
    target = images.Grid(tuple(size.tolist()), (spacing_mm,) * 3, tuple(origin.tolist()), tuple(turn.ravel().tolist()))
    return images.resample(sitk.Cast(image, sitk.sitkFloat32), target, background=_background(image))


def _background(image):
    return float(sitk.GetArrayViewFromImage(image).min())


def dice_between(first, second):
    """Mean Dice over labels of two masks, on the grid of the first."""
    back = images.resample(second, images.grid_of(first), "nearest", 0)
    return findings.mean_dice(images.array_of(first), images.array_of(back))


@pytest.mark.parametrize("folder", cards.shipped(), ids=lambda folder: folder.name)
def test_package_is_intact_and_reproduces_its_example(folder):
    assert packages.verify(folder) >= 0.99


def test_shipped_models_are_small():
    photos = ["skin-lesion-nca-demo", "skin-lesion-nca-direct", "skin-lesion-nca-direct-demo", "skin-lesion-veloxseg",
              "skin-lesion-veloxseg-demo"]  # fmt: skip
    volumes = ["brain-regions-t1", "brain-tumor-mri-demo", "head-neck-petct-demo", "hippocampus-mri", "hippocampus-mri-nca",
               "petct-lesions-demo", "petct-sarcoma"]  # fmt: skip
    sizes = {folder.name: sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) for folder in cards.shipped()}
    assert sorted(sizes) == [*volumes, *photos]
    assert sum(sizes[name] for name in photos) < 5e6 and max(sizes.values()) < 5e6


def test_cards_are_honest():
    """The level is that of the training data, synthetic scores are marked, small samples have no interval."""
    for folder in cards.shipped():
        card = packages.read(folder).card
        scores = card.content["scores"]
        real = not any(score["synthetic"] for score in scores)
        assert card.level == ("research" if real and card.id != "brain-regions-t1" else "demo")
        assert scores and card.content["limits"]
        for score in scores:
            assert score["synthetic"] == (not real)
            assert (score["interval_95"] is None) == (score["n"] == 1)


def test_page_of_models_quotes_the_scores_of_the_cards():
    page = (cards.SHIPPED.parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    for folder in cards.shipped():
        for score in packages.read(folder).card.content["scores"]:
            assert f"| {score['name']} | **{score['value']:.3f}** |" in page


@needs_head
@pytest.mark.parametrize(("order", "flips"), STORAGES)
def test_brain_regions_do_not_depend_on_storage(head, order, flips, tmp_path):
    plain = segment("brain-regions-t1", head, tmp_path)
    turned = segment("brain-regions-t1", {"T1": stored_otherwise(head["T1"], order, flips)}, tmp_path)
    assert len(np.unique(images.array_of(plain))) == 9
    assert dice_between(plain, turned) > 0.999


@needs_head
def test_brain_regions_on_an_oblique_grid(head, tmp_path):
    plain = segment("brain-regions-t1", head, tmp_path)
    turned = segment("brain-regions-t1", {"T1": oblique(head["T1"], HEAD_SPACING_MM)}, tmp_path)
    value = dice_between(plain, turned)
    print(f"Dice on an oblique grid: {value:.4f}")
    assert value > 0.95


@pytest.mark.parametrize(("order", "flips"), STORAGES[:2])
def test_lesions_do_not_depend_on_storage(phantom, order, flips, tmp_path):
    check_storage("petct-lesions-demo", phantom, order, flips, tmp_path)


def test_head_and_neck_tumors_do_not_depend_on_storage(tmp_path):
    case = headneck.generate(PHANTOM_SEED)
    check_storage("head-neck-petct-demo", {"CT": case.ct, "PET": case.pet}, *STORAGES[0], tmp_path)


def test_brain_tumors_do_not_depend_on_storage(tmp_path):
    pytest.importorskip("nilearn", reason="the phantom is drawn on maps of nilearn")
    case = tumor.generate(PHANTOM_SEED)
    roles = {"FLAIR": case.flair, "T1": case.t1, "T1ce": case.t1ce, "T2": case.t2}
    check_storage("brain-tumor-mri-demo", roles, *STORAGES[0], tmp_path)


def check_storage(model, inputs, order, flips, folder):
    plain = segment(model, inputs, folder)
    turned = {role: stored_otherwise(image, order, flips) for role, image in inputs.items()}
    assert images.array_of(plain).any()
    assert dice_between(plain, segment(model, turned, folder)) > 0.999


def test_lesions_are_found_as_well_on_an_oblique_grid(tmp_path):
    """The briefly trained demo network answers to any shift of its windows, so its masks agree poorly with each other; what must
    hold is that turning the grid costs no accuracy."""
    case = petct.generate(PHANTOM_SEED)
    straight = {"CT": case.ct, "PET": case.pet}
    plain = segment("petct-lesions-demo", straight, tmp_path)
    turned = segment("petct-lesions-demo", {role: oblique(image, 3.0) for role, image in straight.items()}, tmp_path)
    shifted = {role: sitk.ConstantPad(image, (5, 3, 0), (0, 0, 0), _background(image)) for role, image in straight.items()}
    shifted = segment("petct-lesions-demo", shifted, tmp_path)
    accuracy = [dice_between(case.label, mask) for mask in (plain, shifted, turned)]
    print(f"Dice with the truth, straight {accuracy[0]:.3f}, shifted {accuracy[1]:.3f}, oblique {accuracy[2]:.3f}")
    print(f"Dice with the straight mask, shifted {dice_between(plain, shifted):.3f}, oblique {dice_between(plain, turned):.3f}")
    assert accuracy[2] > accuracy[0] - 0.05


@needs_head
def test_every_voxel_of_a_region_belongs_to_one_large_piece(head, tmp_path):
    """Borders without speckle: pieces below 0.1 ml hold less than half a percent of the labeled volume."""
    mask = segment("brain-regions-t1", head, tmp_path)
    small = labeled = 0
    for value in range(1, 9):
        pieces = sitk.LabelShapeStatisticsImageFilter()
        pieces.Execute(sitk.ConnectedComponent(mask == value))
        volumes = [pieces.GetPhysicalSize(piece) / 1000 for piece in pieces.GetLabels()]
        labeled += sum(volumes)
        small += sum(volume for volume in volumes if volume < 0.1)
    print(f"speckle: {small / labeled:.5f} of the labeled volume")
    assert small / labeled < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("model", ["petct-lesions-demo", "brain-regions-t1"])
def test_a_header_that_is_the_same_gives_the_same_mask(tmp_path, model):
    """Directions that `images.same_grid` calls the same are the same to the network, too."""
    package = packages.read(cards.find(model))
    example = package.folder / "example"
    paths = {role.name: example / f"{role.name}.nii.gz" for role in package.card.roles}
    device = devices.choose("cpu")
    straight = pipeline.segment(package, paths, pipeline.Settings(), device, measure=False)
    for angle in (1e-5, 9e-4):
        turned = {}
        for name, path in paths.items():
            image = images.read(path)
            turn = np.array([[1, -angle, 0], [angle, 1, 0], [0, 0, 1]])
            image.SetDirection((turn @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
            turned[name] = tmp_path / f"{name}-{angle}.nrrd"
            images.write(image, turned[name])
        outcome = pipeline.segment(package, turned, pipeline.Settings(), device, measure=False)
        assert findings.mean_dice(outcome.mask, straight.mask) > 0.999
