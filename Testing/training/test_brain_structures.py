"""Structures that two label conventions share, heads drawn from label maps, and a short training on them."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import tiny
from training import brain_structures, drawn_heads, evaluate_structures, train
from training.brain_labels import NAMES, TABLE, mirrored, structure_table, structures_of, without_side
from training.brain_structures import BrainStructures, BrainStructuresSettings
from training.datasets import cards
from training.head_augmentation import SpatialRanges
from training.settings import Settings
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images

DATA = Path(os.environ.get("VELOXSEG_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
MAPS, PEOPLE = DATA / "brain_labelmaps", DATA / "brain_t1_validation"
needs_data = pytest.mark.skipif(not (MAPS.exists() and PEOPLE.exists()), reason=f"no public label maps in {DATA}")
HERE = Path("map.nii.gz")
STILL = drawn_heads.Ranges(spatial=SpatialRanges(rotation_degrees=0, scale=(1, 1), shift_mm=0, elastic_mm=0), cut=0)
SIZE = (32, 32, 32)
SKIN, CSF, LEFT_WHITE, RIGHT_WHITE, LEFT_GRAY, STEM = 507, 24, 2, 41, 3, 16


def ball(center, radius, shape=(60, 50, 40)):
    places = np.indices(shape) - np.reshape(center, (3, 1, 1, 1))
    return (places**2).sum(0) <= radius**2


def small_head(shift=0):
    """FreeSurfer labels (x, y, z) with LPS axes: skin around fluid around white matter, whose left half has gray matter in it."""
    labels = np.where(ball((30 + shift, 25, 20), 18), SKIN, 0)
    labels[ball((30 + shift, 25, 20), 15)] = CSF
    brain = ball((30 + shift, 25, 20), 13)
    left = np.indices(labels.shape)[0] > 30 + shift
    labels[brain & left], labels[brain & ~left] = LEFT_WHITE, RIGHT_WHITE
    labels[ball((37 + shift, 25, 20), 3)] = LEFT_GRAY
    labels[ball((30 + shift, 25, 12), 3)] = STEM
    return labels.astype(np.int16)


def number(name):
    return NAMES.index(name) + 1


# ------------------------------------------------------------------------------------------------------------ labels


def test_each_label_belongs_to_one_structure():
    for convention in ("freesurfer", "neuromorphometrics"):
        given = [label for entry in TABLE["structures"] for label in entry[convention]] + TABLE["unmapped"][convention]
        assert len(set(given)) == len(given)
        assert set(structure_table(convention)) == {-1, *range(len(NAMES) + 1)}


def test_every_freesurfer_label_is_one_tissue_or_air():
    mapped = {label for entry in TABLE["structures"] for label in entry["freesurfer"]} | set(TABLE["unmapped"]["freesurfer"])
    drawn = [label for tissue in TABLE["tissues"] for label in tissue["freesurfer"]]
    assert sorted(drawn) == sorted(mapped - {0})


def test_mirrored_exchanges_the_sides():
    swap = mirrored()
    assert np.array_equal(swap[swap], np.arange(len(NAMES) + 1))
    assert swap[number("Left hippocampus")] == number("Right hippocampus")
    assert swap[number("Brain stem")] == number("Brain stem") and swap[0] == 0
    assert [n for n in range(1, len(NAMES) + 1) if swap[n] == n] == [number(name) for name in NAMES if without_side(name) == name]


@pytest.mark.parametrize(
    ("convention", "label"), [("freesurfer", 1035), ("neuromorphometrics", 21), ("freesurfer", 71), ("freesurfer", -1)]
)
def test_a_label_of_another_convention_is_named(convention, label):
    with pytest.raises(VeloxSegError, match=rf"map\.nii\.gz.*label {label} is not in the list of {convention}"):
        structures_of(np.array([[[0, label]]], dtype=np.int32), convention, HERE)


def test_the_vermis_goes_to_the_nearer_side():
    labels = np.array([39, 71, 72, 73, 73, 38]).reshape(-1, 1, 1)
    left, right = number("Left cerebellum cortex"), number("Right cerebellum cortex")
    found = structures_of(labels, "neuromorphometrics", HERE)
    assert found.ravel().tolist() == [left, left, left, right, right, right]


@needs_data
def test_neuromorphometrics_numbers_mean_what_their_names_say():
    with open(PEOPLE / "labels.csv", encoding="utf-8") as file:
        names = {int(row["Label Number"]): row["Label Name"].lower() for row in csv.DictReader(file)}
    for structure in TABLE["structures"]:
        side = structure["name"].split()[0].lower()
        for label in structure["neuromorphometrics"]:
            assert side not in ("left", "right") or names[label].startswith(side), (structure["name"], names[label])
    whole = {"hippocampus", "amygdala", "caudate", "putamen", "pallidum", "thalamus", "accumbens", "ventral dc"}
    for word in whole:
        found = {TABLE["structures"][n - 1]["name"] for label, text in names.items() if word in text
                 if (n := structure_table("neuromorphometrics")[label]) > 0}  # fmt: skip
        assert len(found) == 2, word


@needs_data
def test_real_maps_and_people_have_every_structure_on_its_side():
    head = drawn_heads.read(MAPS / "training_seg_01.nii.gz")
    _, label = brain_structures.read_person(PEOPLE, "1000")
    for array in (head.structures, images.array_of(sitk.DICOMOrient(label, "LPS"))):
        along_x = np.array([np.nonzero(array == n)[0].mean() for n in range(1, len(NAMES) + 1)])
        for n, name in enumerate(NAMES):
            if name.startswith("Left"):
                assert along_x[n] > along_x[mirrored()[n + 1] - 1], name


# --------------------------------------------------------------------------------------------------------- drawing


def draw(head, seed, ranges=STILL, spacing=1.5):
    return drawn_heads.draw(head, ranges, SIZE, np.full(3, spacing), np.random.default_rng(seed))


def test_a_drawn_head_keeps_left_on_the_left():
    """Mirror images among them: x grows towards the left, whether the gray matter lies on this side or on the other."""
    head = drawn_heads.head_map(small_head(), HERE)
    left, right = number("Left cerebral white matter"), number("Right cerebral white matter")
    gray = set()
    for seed in range(12):
        _, label = draw(head, seed, replace(STILL, anywhere=1.0))
        places = [np.nonzero(label == n)[0] for n in (left, right)]
        if all(map(len, places)):
            assert places[0].mean() > places[1].mean()
        gray |= set(np.unique(label)) & {number("Left cerebral cortex"), number("Right cerebral cortex")}
    assert len(gray) == 2


def test_contrast_is_drawn_anew_for_every_patch():
    head = drawn_heads.head_map(small_head(), HERE)
    lighter = set()
    for seed in range(12):
        image, label = draw(head, seed)
        white = label == number("Left cerebral white matter")
        gray = np.isin(label, [number("Left cerebral cortex"), number("Right cerebral cortex")])
        if white.any() and gray.any():
            lighter.add(bool(image[gray].mean() > image[white].mean()))
        assert image.dtype == np.float32 and image.shape == SIZE and np.isfinite(image).all()
    assert lighter == {True, False}


def test_a_stripped_head_has_labels_where_it_has_an_image():
    head = drawn_heads.head_map(small_head(), HERE)
    for seed in range(6):
        image, label = draw(head, seed, replace(STILL, stripped=1.0))
        empty = image == image.min()
        assert empty.any() and (label > 0).any()
        assert (label[empty] > 0).mean() < 0.01
        whole, _ = draw(head, seed, replace(STILL, stripped=0.0))
        assert (whole > whole.min()).sum() > (~empty).sum()


def test_a_patch_is_normalized_by_the_whole_head_as_at_inference():
    """Not by itself: a patch that holds one bright structure stays brighter than the mean."""
    head = drawn_heads.head_map(small_head(), HERE)
    ranges = replace(STILL, stripped=0.0, known=1.0, known_shares=(1.0, 0.0, 0.0), bias=0.0, thick=0.0)
    means = []
    for seed in range(8):
        image, label = drawn_heads.draw(head, ranges, (8, 8, 8), np.full(3, 0.5), np.random.default_rng(seed))
        means.append(image[label > 0].mean())
    assert np.abs(means).mean() > 0.2


def test_a_map_without_a_brain_is_refused():
    with pytest.raises(VeloxSegError, match="no structure of the brain"):
        drawn_heads.head_map(np.full((4, 4, 4), SKIN), HERE)


# -------------------------------------------------------------------------------------------------------- training


@pytest.fixture
def folders(tmp_path):
    """Two label maps and one person, whose image shows its labels."""
    maps, people = tmp_path / "maps", tmp_path / "people"
    maps.mkdir()
    people.mkdir()
    for shift in (0, 4):
        sitk.WriteImage(sitk.GetImageFromArray(small_head(shift).transpose(2, 1, 0)), str(maps / f"{shift}.nii.gz"))
    labels = np.zeros((60, 50, 40), dtype=np.int16)
    labels[ball((30, 25, 20), 13)] = 44
    labels[ball((30, 15, 20), 2)] = 101
    labels[ball((37, 25, 20), 6)] = 45
    image = sitk.GetImageFromArray((labels * 10.0).astype(np.float32).transpose(2, 1, 0))
    sitk.WriteImage(image, str(people / "7_t1_brain.nii.gz"))
    sitk.WriteImage(sitk.GetImageFromArray(labels.transpose(2, 1, 0)), str(people / "7_labels138.nii.gz"))
    return BrainStructuresSettings(maps, people, SIZE, 3.0)


def test_patches_depend_on_seed_and_number_only(folders):
    task = BrainStructures(folders, 10)
    first, again, other = train.Patches(task, 1)[3], train.Patches(task, 1)[3], train.Patches(task, 2)[3]
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_a_short_training_runs_and_is_scored(folders, tmp_path, capsys):
    settings = Settings(tmp_path / "run", folders, tiny.NETWORK, steps=2, workers=0, validate_every=2, device="cpu")
    train.train(settings)
    evaluate_structures.main(tmp_path / "run")
    assert "Dice, left and right apart" in capsys.readouterr().out
    assert (tmp_path / "run" / "evaluation" / "scores.json").exists()


def model_of(labels):
    card = cards.made("any", ["Head"], "Head", dict(enumerate(labels, 1)), (1, 1, 1))
    return type("Model", (), {"card": card})


def test_a_perfect_mask_scores_one(folders, monkeypatch):
    _, truth = brain_structures.read_person(folders.validation, "7")
    perfect = type("Outcome", (), {"mask": images.array_of(truth)})
    monkeypatch.setattr(evaluate_structures.veloxseg, "segment", lambda *_, **__: perfect)
    apart, pooled, groups = evaluate_structures.evaluate_structures(model_of(NAMES), folders.validation)
    assert apart["value"] == pooled["value"] == groups["value"] == 1
    assert pooled["per_label"]["Cerebral white matter"] == 1 and "Left cerebral white matter" in apart["per_label"]


def test_a_model_of_regions_is_scored_in_the_groups_alone(folders, monkeypatch):
    """Cortex of both sides was marked as two lobes."""
    regions = [region for group in TABLE["groups"] for region in group["regions"]]
    _, truth = brain_structures.read_person(folders.validation, "7")
    structures = images.array_of(truth)
    cortex = np.isin(structures, [number("Left cerebral cortex"), number("Right cerebral cortex")])
    mask = np.where(cortex, 1 + np.indices(cortex.shape)[1] % 2, 0)
    monkeypatch.setattr(evaluate_structures.veloxseg, "segment", lambda *_, **__: type("Outcome", (), {"mask": mask}))
    (groups,) = evaluate_structures.evaluate_structures(model_of(regions), folders.validation)
    assert groups["per_label"][TABLE["groups"][0]["name"]] == 1


def test_a_model_of_other_things_is_refused(folders):
    with pytest.raises(VeloxSegError, match="the model any has none"):
        evaluate_structures.evaluate_structures(model_of(["Tumor"]), folders.validation)


def test_groups_are_whole():
    bare = {without_side(name) for name in NAMES}
    assert all(set(group["structures"]) <= bare for group in TABLE["groups"])
    card = json.loads((Path(train.__file__).parent / "cards" / "brain-regions-t1.json").read_text())
    assert sorted(region for group in TABLE["groups"] for region in group["regions"]) == sorted(
        label["name"] for label in card["labels"]
    )


@pytest.mark.parametrize("which", ["folder", "validation"])
def test_a_folder_without_data_says_where_it_is_from(folders, which, tmp_path):
    with pytest.raises(VeloxSegError, match=r"nothing.*training/README\.md"):
        BrainStructures(replace(folders, **{which: tmp_path / "nothing"}), 1)


def test_a_person_on_two_grids_is_refused(folders):
    path = folders.validation / "7_labels138.nii.gz"
    label = sitk.ReadImage(str(path))
    label.SetSpacing((2.0, 1.0, 1.0))
    sitk.WriteImage(label, str(path))
    with pytest.raises(VeloxSegError, match=r"7_labels138\.nii\.gz.*grid of its image"):
        brain_structures.read_person(folders.validation, "7")
