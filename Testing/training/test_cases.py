"""Prepared datasets in training: split, intensities, patches, and what is wrong with them in one sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import cases
import tiny
from augmentation import RandDropModalityd, published, read_region, strong
from cases import Cases, CasesSettings
from veloxseg import images, pipeline
from veloxseg.errors import VeloxSegError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("dataset"))


def task(folder, **changes) -> Cases:
    return Cases(CasesSettings(folder, **{"folds": 3, **changes}), 10)


def refused(action) -> str:
    with pytest.raises(VeloxSegError) as caught:
        action()
    return caught.value.text


def test_all_cases_of_a_patient_are_on_one_side():
    patients = {f"c{n}": f"p{n // 3}" for n in range(30)}
    sides = cases.split(patients, folds=5, fold=1, seed=1)
    assert sorted(sum(sides.values(), [])) == sorted(patients)
    owners = [{patients[c] for c in part} for part in sides.values()]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
    assert cases.split(patients, 5, 1, seed=1) == sides != cases.split(patients, 5, 1, seed=2)


def test_every_patient_is_tested_by_exactly_one_fold():
    patients = {f"c{n}": f"p{n}" for n in range(11)}
    tested = [c for fold in range(4) for c in cases.split(patients, 4, fold, 1)["test"]]
    assert sorted(tested) == sorted(patients)


def test_fewer_patients_than_folds():
    text = refused(lambda: cases.split({"a": "a", "b": "b"}, 5, 0, 1))
    assert "2 patients" in text and "--data.folds" in text


def test_fixed_split_of_the_dataset_is_kept(tmp_path):
    given = {"validation": ["case1"], "test": ["case2"]}
    tiny.write_dataset(tmp_path, split=given)
    assert task(tmp_path).split == {"train": ["case0", "case3", "case4", "case5"], **given}


def test_ct_numbers_come_from_labelled_voxels_of_training_cases_only(folder):
    found = task(folder)
    values = np.concatenate([cases.labelled_values(folder, c, "CT") for c in found.split["train"]])
    low, high = np.percentile(values, (0.5, 99.5))
    clipped = np.clip(values, low, high)
    spec = found.card["roles"][0]["intensity"]
    assert spec["low"] == pytest.approx(low, abs=1e-3) and spec["high"] == pytest.approx(high, abs=1e-3)
    assert spec["mean"] == pytest.approx(clipped.mean(), abs=1e-3) and spec["std"] == pytest.approx(clipped.std(), abs=1e-3)
    assert found.card["roles"][1]["intensity"] == {"kind": "scale", "divide_by": 5.0, "clip": [0.0, 30.0]}


def test_training_sees_what_inference_computes(folder):
    found = task(folder)
    case = found.split["train"][0]
    volumes = {r["name"]: images.read(folder / "cases" / case / f"{r['name']}.nii.gz") for r in found.card["roles"]}
    whole = pipeline.prepare(found.card, volumes).volume.numpy()
    stored = found.store.load(case)[0]
    assert whole.shape == stored.shape
    assert np.allclose(whole, stored, atol=2e-3 * np.abs(whole).max())


def test_patch_is_a_function_of_its_generator(folder):
    found = task(folder)
    first, again, other = (found.patch(0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first[0].shape == (2, 32, 32, 32) and first[0].dtype == np.float32
    assert first[1].shape == (1, 32, 32, 32) and set(np.unique(first[1])) <= {0, 1}
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first[0], other[0])


def test_label_centered_patches_have_the_label_in_the_middle(folder):
    found = task(folder, label_centered=1.0, augmentation="published")
    middles = [found.patch(0, np.random.default_rng(seed))[1][0, 14:19, 14:19, 14:19].any() for seed in range(12)]
    assert all(middles)


def test_patch_larger_than_the_volume_is_filled_with_empty_space(folder):
    found = task(folder, patch_size=(64, 64, 64), drop_modality=0.0)
    image, label = found.patch(0, np.random.default_rng(0))
    assert image.shape == (2, 64, 64, 64) and label.any()


def test_cache_follows_the_case(tmp_path):
    tiny.write_dataset(tmp_path)
    first = task(tmp_path)
    case = first.split["train"][0]
    before = first.store.load(case)[1].sum()
    (tmp_path / "cases" / case).rename(tmp_path / "old")
    changed = tiny.volumes(0) | {"label": np.ones(tiny.SIZE, dtype=np.uint8)}
    tiny.write_case(tmp_path, case, changed)
    again = task(tmp_path)
    assert again.store.load(case)[1].sum() == np.prod(tiny.SIZE) != before


def test_adapted_network_has_the_channels_and_classes_of_the_data(folder):
    config = task(folder).adapt(replace(tiny.NETWORK, in_ch=(4,), n_classes=7))
    assert (config.input_size, config.in_ch, config.n_classes) == ((32, 32, 32), (1, 1), 2)


def test_patch_size_that_no_network_fits(folder):
    text = refused(lambda: task(folder, patch_size=(32, 32, 40)).adapt(tiny.NETWORK))
    assert "multiple of 16" in text and "--data.patch-size" in text


def test_modalities_of_one_group_share_a_branch(tmp_path):
    tiny.write_dataset(tmp_path, groups=[["CT", "PET"]])
    assert task(tmp_path).adapt(tiny.NETWORK).in_ch == (2,)


def test_unknown_label_value_names_the_file(tmp_path):
    tiny.write_dataset(tmp_path)
    (tmp_path / "cases" / "case0").rename(tmp_path / "old")
    tiny.write_case(tmp_path, "case0", tiny.volumes(0) | {"label": np.full(tiny.SIZE, 7, dtype=np.uint8)})
    text = refused(lambda: [task(tmp_path, fold=fold) for fold in range(3)])
    assert "case0/label.nii.gz" in text and "the value 7" in text


def test_folder_without_a_dataset(tmp_path):
    assert "prepare.py" in refused(lambda: task(tmp_path))


def test_dataset_without_cases(tmp_path):
    tiny.write_dataset(tmp_path, cases=0)
    assert "holds no case" in refused(lambda: task(tmp_path))


def test_missing_case_of_a_fixed_split(tmp_path):
    tiny.write_dataset(tmp_path, split={"validation": ["case1"], "test": ["gone"]})
    assert "gone" in refused(lambda: task(tmp_path))


def test_validation_is_the_dice_of_each_case(folder):
    found = task(folder)

    def perfect(x):
        lesion = x[:, 1:] - 0.8  # PET of 4, divided by 5
        return torch.cat([-lesion, lesion], dim=1)

    scores = found.validate(perfect, found.split["validation"], torch.device("cpu"))
    assert set(scores) == set(found.split["validation"]) and min(scores.values()) > 0.99


# ---------------------------------------------------------------------------------------------------- augmentation


def box() -> dict[str, torch.Tensor]:
    image = torch.zeros(2, 40, 40, 40)
    image[:, 10:30, 10:30, 12:20] = 1.0
    return {"image": image, "label": image[:1].clone()}


def test_published_augmentation_turns_about_the_third_axis_or_does_nothing():
    changed = 0
    for seed in range(20):
        transform = published((40, 40, 40), [0.0, 0.0], 0.0)
        transform.set_random_state(seed)
        found = transform(box())
        # slices along the third axis keep their place
        assert torch.equal(found["label"][0].amax(dim=(0, 1)), box()["label"][0].amax(dim=(0, 1)))
        assert set(found["label"].unique().tolist()) <= {0.0, 1.0}
        changed += not torch.equal(found["label"], box()["label"])
    assert 4 <= changed <= 16


def test_strong_augmentation_keeps_labels_whole_and_varies():
    found = []
    for seed in range(6):
        transform = strong((32, 32, 32), [0.0, 0.0], 0.1)
        transform.set_random_state(seed)
        found.append(transform(box()))
    assert all(f["image"].shape == (2, 32, 32, 32) and set(f["label"].unique().tolist()) <= {0.0, 1.0} for f in found)
    assert len({float(f["label"].sum()) for f in found}) > 3


def test_dropped_modality_is_empty_space_and_the_other_stays():
    transform = RandDropModalityd("image", prob=1.0, empty=[-1.0, -2.0])
    transform.set_random_state(3)
    source = box()
    found = transform(source)["image"]
    dropped = [c for c in range(2) if torch.all(found[c] == [-1.0, -2.0][c])]
    assert len(dropped) == 1 and torch.equal(found[1 - dropped[0]], source["image"][1 - dropped[0]])
    assert torch.equal(source["image"], box()["image"])


def test_a_single_modality_is_never_dropped():
    transform = RandDropModalityd("image", prob=1.0, empty=[-1.0])
    assert torch.equal(transform({"image": torch.ones(1, 4, 4, 4)})["image"], torch.ones(1, 4, 4, 4))


def test_region_beyond_the_border_is_filled_per_channel():
    array = np.stack([np.zeros((4, 4, 4)), np.ones((4, 4, 4))])
    region = read_region(array, np.array([0, 2, 2]), (4, 4, 4), [7.0, 8.0])
    assert region[0, :2].min() == 7 and region[1, :2].min() == 8
    assert np.array_equal(region[:, 2:], array[:, :2])


def test_description_says_what_evaluation_needs(folder):
    text = json.loads(json.dumps(task(folder).describe()))
    assert set(text) == {"card", "groups", "split", "folder", "synthetic", "patch_size"} and text["synthetic"] is True
