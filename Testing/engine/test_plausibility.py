"""What is odd about images is noted or refused, with the same words at every door, and real images are not odd."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from engine_cases import blob_image, card, role, stand_in, thresholding, write_image
from veloxseg import validation
from veloxseg.contract import errors, plausibility
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images
from veloxseg.inference import devices, pipeline
from veloxseg.inference.progress import Run
from veloxseg.packages import cards

CPU = devices.choose("cpu")
REAL = Path(os.environ.get("VELOXSEG_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
PET = role("PET", "PT", intensity={"kind": "scale", "divide_by": 5, "clip": [0, 30]}) | {"unit": "SUVbw"}
CT = role("CT", "CT", reference=False, intensity={"kind": "clip_zscore", "low": -850, "high": 780, "mean": 20, "std": 270})
CT["unit"] = "HU"
SIZE, SPACING = (40, 36, 44), (4.0, 4.0, 4.0)
needs_real_images = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real images in {REAL}")


def petct_card(**changes):
    return card([CT, PET], spacing=(4.0, 4.0, 4.0), lesions=True, **changes)


def inside(size=SIZE):
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij")
    return sum(axis**2 for axis in axes) < 0.7


def grid(size=SIZE, spacing=SPACING):
    return images.Grid(size, spacing, tuple(-(n - 1) / 2 * s for n, s in zip(size, spacing, strict=True)))


def pet(size=SIZE, spacing=SPACING, scale=1.0):
    """A body of SUV 1 with a lesion of 12; noise in air."""
    rng = np.random.default_rng(1)
    array = np.where(inside(size), 1 + rng.normal(0, 0.1, size), np.abs(rng.normal(0, 0.01, size)))
    array[tuple(slice(n // 2 - 3, n // 2 + 4) for n in size)] = 12.0
    return images.image_of((array * scale).astype(np.float32), grid(size, spacing))


def ct(size=SIZE, spacing=SPACING, shift=0.0):
    """Muscle in fat in air."""
    rng = np.random.default_rng(2)
    array = np.where(inside(size), rng.choice([-100.0, 50.0, 60.0], size), -1000.0) + rng.normal(0, 10, size)
    return images.image_of((array + shift).astype(np.float32), grid(size, spacing))


def respaced(image, spacing):
    changed = sitk.Image(image)
    changed.SetSpacing(spacing)
    return changed


def found(the_card, volumes):
    """Codes by role, as the engine finds them."""
    notes: list[errors.Note] = []
    the_card = the_card if isinstance(the_card, Card) else Card.of(the_card)
    pipeline.check_plausibility(the_card, volumes, plausibility.DEFAULTS, notes.append)
    assert all(note.text and "{" not in note.text for note in notes)
    return [note.code for note in notes]


def petct(pet_image=None, ct_image=None):
    return found(petct_card(), {"CT": ct_image or ct(), "PET": pet_image or pet()})


def test_nothing_is_odd_about_a_plain_case():
    assert petct() == []


@pytest.mark.parametrize("scale", [150.0, 3500.0, 5000.0, 1e6])
def test_activity_is_no_suv(scale):
    assert petct(pet(scale=scale)) == ["PET_UNIT"]


def test_activity_in_much_air():
    """The body is a hundredth of the box, so that 95 of 100 voxels are air."""
    small = sitk.GetArrayFromImage(pet(scale=4000.0))
    array = np.zeros([4 * n for n in small.shape], np.float32)
    array[: small.shape[0], : small.shape[1], : small.shape[2]] = small
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(respaced(sitk.GetImageFromArray(array), (4.0, 4.0, 4.0)))
    assert found(card([PET], spacing=(4.0, 4.0, 4.0)), {"PET": image}) == ["PET_UNIT"]


@pytest.mark.parametrize(("spacing", "expected"), [((10.0, 10.0, 10.0), ["PET_SCALE"]), ((4.0, 4.0, 4.0), [])])
def test_kilobecquerels_of_a_whole_body(spacing, expected):
    """A brain alone may have a mean of 4."""
    the_card = card([PET], spacing=spacing)
    assert found(the_card, {"PET": pet(spacing=spacing, scale=4.0)}) == expected


@pytest.mark.parametrize("scale", [0.05, 0.003, 1e-6])
def test_too_low_for_suv(scale):
    assert petct(pet(scale=scale)) == ["PET_LOW"]


@pytest.mark.parametrize("shift", [1000.0, 1024.0])
def test_shifted_ct(shift):
    assert petct(ct_image=ct(shift=shift)) == ["CT_OFFSET"]


def test_shifted_ct_with_negative_padding():
    shifted = images.array_of(ct(shift=1024.0))
    shifted[:6] = -976  # -2000 outside of the circle of a scanner
    assert petct(ct_image=images.image_of(shifted, grid())) == ["CT_OFFSET"]


@pytest.mark.parametrize("change", [lambda v: np.clip(v, 0, 255), lambda v: (v + 1000) / 2000, lambda v: v / 1000])
def test_ct_that_was_windowed_or_normalized(change):
    assert petct(ct_image=images.image_of(change(images.array_of(ct())), grid())) == ["CT_UNIT"]


def test_swapped():
    assert petct(ct(), pet()) == ["ROLES_SWAPPED"]
    assert petct(ct(), pet(scale=4000.0)) == ["ROLES_SWAPPED"]


def test_ct_for_pet_or_mr():
    assert petct(ct(shift=5.0)) == ["VALUES_OF_CT"]
    assert found(card(spacing=SPACING), {"T1": ct()}) == ["VALUES_OF_CT"]


@pytest.mark.parametrize("spacing", [(0.001, 0.001, 0.001), (4.0, 4.0, 0.001), (50.0, 50.0, 50.0), (4.0, 4.0, 50.0)])
def test_spacing_of_no_scanner(spacing):
    assert "GRID_SPACING" in petct(pet(spacing=spacing), ct(spacing=spacing))


@pytest.mark.parametrize("edge", [0.02, 120.0 / 44])
def test_extent(edge):
    spacing = (edge, edge, edge)
    expected = ["GRID_EXTENT", "GRID_EXTENT"] if 44 * edge < 10 else []
    assert petct(pet(spacing=spacing), ct(spacing=spacing)) == expected


def test_five_meters():
    size, spacing = (40, 36, 250), (20.0, 20.0, 20.0)
    the_card = card([PET], spacing=(20.0, 20.0, 20.0))
    assert found(the_card, {"PET": pet(size, spacing)}) == ["GRID_EXTENT"]


@pytest.mark.parametrize("slices", [1, 2, 7])
@pytest.mark.parametrize("axis", [0, 2])
def test_few_slices_of_the_reference(slices, axis):
    size = [40, 40, 40]
    size[axis] = slices
    image = images.image_of(images.array_of(blob_image((40, 40, 40)))[tuple(slice(20 - n // 2, 20 - n // 2 + n) for n in size)],
                            images.Grid(tuple(size), SPACING, (0.0, 0.0, 0.0)))  # fmt: skip
    assert found(card(spacing=SPACING), {"T1": image}) == ["GRID_SLICES"]


def test_thick_slices():
    assert found(card(spacing=(2.0, 2.0, 2.0)), {"T1": respaced(blob_image(), (2.0, 2.0, 5.0))}) == ["MODEL_DOMAIN"]


@pytest.mark.parametrize(
    ("size", "codes"),
    [((30, 30, 30), ["MODEL_FIELD"]), ((30, 30, 90), ["MODEL_FIELD"]), ((30, 90, 90), []), ((90, 60, 50), [])],
)
def test_crop_that_is_far_smaller_than_what_the_network_sees(size, codes):
    """A model of whole heads on a piece of one; a slab that is thin on one axis is what scanners give."""
    arguments = {**card()["architecture"]["arguments"], "input_size": [96, 96, 96]}
    of_heads = card(spacing=(2.0, 2.0, 2.0), architecture={"name": "VeloxSeg", "arguments": arguments})
    assert found(of_heads, {"T1": blob_image(size, (2.0, 2.0, 2.0))}) == codes


@pytest.mark.parametrize(("slices", "percent"), [(1, 2), (11, 25), (22, 50)])
def test_image_of_a_part_of_the_reference(slices, percent):
    part = ct()[:, :, 22 - slices // 2 : 22 - slices // 2 + slices]
    notes: list[errors.Note] = []
    pipeline.check_plausibility(Card.of(petct_card()), {"CT": part, "PET": pet()}, (), notes.append)
    (note,) = notes
    assert note.code == "COVERAGE" and note.text.startswith(f"CT covers {percent} % of PET;")


def test_a_narrow_ct_that_holds_the_body_is_no_part():
    wide = sitk.ConstantPad(pet(), (20, 20, 0), (20, 20, 0), 0.0)
    assert petct(wide) == []
    whole, narrow = pipeline._look(wide), pipeline._look(ct())
    assert plausibility.covered(whole, narrow) == 1 and plausibility.box_share(whole, narrow) < 0.3


def test_the_reference_may_be_smaller():
    assert petct(pet()[:, :, 10:30]) == []


def test_same_voxels_in_two_roles():
    roles = [role("T1"), role("T1c", reference=False)]
    one, other = blob_image(), blob_image(seed=5)
    assert found(card(roles), {"T1": one, "T1c": sitk.Cast(one, sitk.sitkFloat64)}) == ["SAME_VOXELS"]
    assert found(card(roles), {"T1": one, "T1c": other}) == []


def case_files(folder, pet_image=None, ct_image=None):
    return {
        "CT": write_image(ct_image or ct(), folder / "ct.nrrd"),
        "PET": write_image(pet_image or pet(), folder / "pet.nrrd"),
    }


def hot(x):
    """Lesion where the PET is above SUV 5."""
    return thresholding([0.0, 2.0], 8.0)(x[:, 1:])


def segment(the_card, paths, network=hot, **settings):
    run = Run()
    return pipeline.segment(stand_in(the_card, network), paths, pipeline.Settings(**settings), CPU, run), run


def test_a_plain_case_has_suv_and_no_notes(tmp_path):
    outcome, run = segment(petct_card(), case_files(tmp_path))
    assert run.notes == [] and outcome.lesions[0]["suv_max"] == pytest.approx(12, rel=0.01)


def test_refused_unless_accepted_or_the_card_says_so(tmp_path):
    paths = case_files(tmp_path, pet(scale=4000.0))
    with pytest.raises(VeloxSegError) as caught:
        segment(petct_card(), paths)
    assert (caught.value.code, caught.value.exit_code) == ("PET_UNIT", errors.EXIT_INPUT)
    told = []
    for the_card, settings in (
        (petct_card(), {"accept": ("PET_UNIT",)}),
        (petct_card(plausibility={"PET_UNIT": "note"}), {}),
    ):
        outcome, run = segment(the_card, paths, **settings)
        told += [note["text"] for note in run.notes]
        assert outcome.lesions and not any(name.startswith("suv") or name == "tlg" for name in outcome.lesions[0])
    assert told == [caught.value.text] * 2
    assert "48000: too high for SUV" in told[0]
    outcome, run = segment(petct_card(plausibility={"PET_UNIT": "ignore"}), paths)
    assert run.notes == [] and "suv_max" not in outcome.lesions[0]


def test_a_card_may_refuse_what_is_noted_else(tmp_path):
    paths = case_files(tmp_path, ct_image=ct(shift=1024.0))
    _, run = segment(petct_card(), paths)
    assert [note["code"] for note in run.notes] == ["CT_OFFSET"]
    with pytest.raises(VeloxSegError) as caught:
        segment(petct_card(plausibility={"CT_OFFSET": "refuse"}), paths)
    assert caught.value.text == run.notes[0]["text"]


def test_nothing_found(tmp_path):
    outcome, run = segment(petct_card(), case_files(tmp_path), lambda x: thresholding([0.0, 9.0], 0.5)(x[:, 1:]))
    (note,) = run.notes
    assert not outcome.mask.any() and outcome.lesions == []
    assert note["code"] == "NOTHING_FOUND"
    assert f"The highest score was {outcome.highest_probability['value']:.2f} at " in note["text"]


def test_position_text():
    assert plausibility.position_text((32.4, -12.0, -40.6)) == "L 32, A 12, I 41"


def test_schemas_know_all_codes():
    codes = set(plausibility.DEFAULTS)
    assert codes == set(errors.ODD)
    schemas = {name: json.loads((validation.FOLDER / f"{name}.json").read_text()) for name in ("card", "request", "batch")}
    assert set(schemas["card"]["properties"]["plausibility"]["propertyNames"]["enum"]) == codes
    assert set(schemas["request"]["$defs"]["odd"]["enum"]) == codes
    assert schemas["batch"]["properties"]["accept"]["items"]["$ref"].endswith("odd")


def test_examples_of_the_shipped_packages_are_plain():
    for folder in cards.shipped():
        the_card = cards.read(folder)
        if the_card.takes_photo:
            continue
        files = json.loads((folder / "example" / "expected.json").read_text())["inputs"]
        assert found(the_card, {name: images.read_volume(folder / "example" / file) for name, file in files.items()}) == []


def shipped_card(name):
    return cards.read(cards.find(name))


@needs_real_images
@pytest.mark.parametrize("model", ["petct-lesions-demo", "head-neck-petct-demo"])
def test_real_petct_is_plain(model):
    """Crops of legs and trunks. One CT does end 22 mm before the PET."""
    odd = {}
    for folder in sorted((REAL / "petct_sts").glob("STS_*")):
        volumes = {name: images.read_volume(folder / f"{name}.nii.gz") for name in ("CT", "PET")}
        odd[folder.name] = found(shipped_card(model), volumes)
    assert len(odd) >= 30
    # a model from neck to thigh and two legs cut out closely
    legs = {"STS_019": ["MODEL_FIELD"], "STS_025": ["MODEL_FIELD"]}
    expected = {"STS_005": ["COVERAGE"], **legs} if model == "petct-lesions-demo" else {}
    assert {name: codes for name, codes in odd.items() if codes} == expected


@needs_real_images
def test_real_mr_is_plain():
    t1 = shipped_card("brain-regions-t1")
    heads = sorted((REAL / "brain_t1_validation").glob("*_t1_brain.nii.gz"))
    crops = sorted((REAL / "hippocampus_msd04" / "images").glob("*.nii.gz"))[::10]
    assert len(heads) == 5 and len(crops) > 20
    for file in heads:
        assert found(t1, {"T1": images.read_volume(file)}) == [], file.name
    for file in crops:
        crop = images.read_volume(file)
        assert found(t1, {"T1": crop}) == ["MODEL_FIELD"], file.name
        assert found(shipped_card("hippocampus-mri"), {"MR": crop}) == [], file.name
    names = {"FLAIR": "FLAIR", "T1": "T1", "T1ce": "T1POST", "T2": "T2"}
    for patient in ("patient07", "patient19"):
        volumes = {
            name: images.read_volume(REAL / "brain_ms_ljubljana3" / f"{patient}_{file}.nii.gz") for name, file in names.items()
        }
        assert found(shipped_card("brain-tumor-mri-demo"), volumes) == []


@needs_real_images
def test_real_petct_in_wrong_units_or_places_is_odd():
    folder = sorted((REAL / "petct_sts").glob("STS_*"))[0]
    the_card = shipped_card("petct-lesions-demo")
    real_ct, real_pet = (images.read_volume(folder / f"{name}.nii.gz") for name in ("CT", "PET"))
    for changed, code in (
        ({"CT": real_ct, "PET": sitk.Cast(real_pet, sitk.sitkFloat32) * 4117}, "PET_UNIT"),
        ({"CT": real_ct, "PET": sitk.Cast(real_pet, sitk.sitkFloat32) * 0.001}, "PET_LOW"),
        ({"CT": sitk.Cast(real_ct, sitk.sitkFloat32) + 1024, "PET": real_pet}, "CT_OFFSET"),
        ({"CT": real_pet, "PET": real_ct}, "ROLES_SWAPPED"),
        ({"CT": real_ct[:, :, :20], "PET": real_pet}, "COVERAGE"),
    ):
        assert code in found(the_card, changed)
