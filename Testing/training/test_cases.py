"""Prepared datasets in training: split, intensities, patches, and what is wrong with them in one sentence."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny
from training import cases, networks
from training.augmentation import RandDropModalityd, RandMirrord, beyond_plane, cut_field, published, read_region, strong
from training.cases import Cases, CasesSettings
from training.planning import PUBLISHED
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images
from veloxseg.inference import pipeline


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


def test_ct_numbers_come_from_labeled_voxels_of_training_cases_only(folder):
    found = task(folder)
    values = np.concatenate([cases.labeled_values(folder, c, "CT") for c in found.split["train"]])
    low, high = np.percentile(values, (0.5, 99.5))
    clipped = np.clip(values, low, high)
    spec = found.card.roles[0].intensity
    assert spec["low"] == pytest.approx(low, abs=1e-3) and spec["high"] == pytest.approx(high, abs=1e-3)
    assert spec["mean"] == pytest.approx(clipped.mean(), abs=1e-3) and spec["std"] == pytest.approx(clipped.std(), abs=1e-3)
    assert found.card.roles[1].intensity == {"kind": "scale", "divide_by": 5.0, "clip": [0.0, 30.0]}


def test_training_sees_what_inference_computes(folder):
    found = task(folder)
    case = found.split["train"][0]
    volumes = {r.name: images.read(folder / "cases" / case / f"{r.name}.nii.gz") for r in found.card.roles}
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


def rewrite(folder, case, name, array):
    """Another image in the place of a file, with the size in bytes and the time that the old one had."""
    path = folder / "cases" / case / f"{name}.nii.gz"
    before = path.stat()
    images.write(images.image_of(array, images.Grid(tiny.SIZE, tiny.SPACING, (0.0, 0.0, 0.0))), path, compress=True)
    with open(path, "ab") as file:
        file.write(b"\0" * max(0, before.st_size - path.stat().st_size))  # gzip passes over what follows
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", ["CT", "PET", "label"])
def test_replaced_files_are_read_again(tmp_path, name):
    """Nothing about case.json changes."""
    tiny.write_dataset(tmp_path)
    first = task(tmp_path)
    case = first.split["train"][0]
    before = [array.copy() for array in first.store.load(case)]
    other = tiny.volumes(0)[name] * 0 + tiny.volumes(77)[name]
    rewrite(tmp_path, case, name, other)
    after = task(tmp_path).store.load(case)
    changed = {"CT": 0, "PET": 0, "label": 1}[name]
    assert not np.array_equal(before[changed], after[changed])


def test_stored_cases_are_made_once(tmp_path, monkeypatch):
    tiny.write_dataset(tmp_path)
    made = []
    real = cases.Store._normalized
    monkeypatch.setattr(cases.Store, "_normalized", lambda store, case: made.append(case) or real(store, case))
    task(tmp_path)
    assert len(made) == 4
    task(tmp_path)
    assert len(made) == 4


@pytest.mark.parametrize("file", ["{}.npz", "{}-image.npy", "{}-label.npy", "{}.key"])
@pytest.mark.parametrize("damage", ["half", "gone", "foreign"])
def test_damaged_stored_case_is_made_again(tmp_path, file, damage):
    tiny.write_dataset(tmp_path)
    first = task(tmp_path)
    case = first.split["train"][0]
    before = [array.copy() for array in first.store.load(case)]
    path = first.store.cache / file.format(case)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if damage == "half" else b"something else")
    again = task(tmp_path).store.load(case)
    assert all(np.array_equal(a, b) for a, b in zip(before, again))


def relabeled(folder, parts: dict[str, int | None]):
    """A fixed split of one validation and one test case whose labels have two values; `parts` -> the value it has none of."""
    card = json.loads(tiny.CARD.read_text())
    card["labels"].append({**card["labels"][0], "value": 2, "name": "Node"})
    tiny.write_dataset(folder, card=card, split={"validation": ["case1"], "test": ["case2"]})
    for case in range(6):
        part = {1: "validation", 2: "test"}.get(case, "train")
        label = tiny.volumes(case)["label"].copy()
        label[0, 0, 0], label[1, 1, 1] = 1, 2
        gone = parts.get(part)
        label[(label > 0) if gone == 0 else (label == gone) if gone else np.zeros(tiny.SIZE, bool)] = 0
        rewrite(folder, f"case{case}", "label", label)
    return folder


def test_no_label_anywhere_is_one_sentence_whatever_the_image(tmp_path):
    sentences = set()
    for name, roles in (("both", ["CT", "PET"]), ("pet", ["PET"])):
        card = json.loads(tiny.CARD.read_text())
        card["roles"] = [role | {"reference": role["name"] == roles[-1]} for role in card["roles"] if role["name"] in roles]
        tiny.write_dataset(tmp_path / name, card=card, groups=[[role] for role in roles])
        for case in range(6):
            rewrite(tmp_path / name, f"case{case}", "label", np.zeros(tiny.SIZE, np.uint8))
        sentences.add(refused(lambda: task(tmp_path / name)).replace(str(tmp_path / name), "FOLDER"))  # noqa: B023
    assert sentences == {"FOLDER can't be used because no training case has a label; check the label files."}


@pytest.mark.parametrize(
    "part, words", [("train", "nothing can learn it"), ("validation", "best weights"), ("test", "not scored")]
)
def test_label_that_a_part_lacks_is_noted(tmp_path, part, words):
    notes = task(relabeled(tmp_path, {part: 2})).notes
    assert len(notes) == 1 and f"Node: in no {part} case" in notes[0].text and words in notes[0].text


def test_labels_everywhere_need_no_note(tmp_path):
    assert task(relabeled(tmp_path, {})).notes == []
    every = [note.text for note in task(relabeled(tmp_path / "b", {"test": 0, "validation": 0})).notes]
    assert len(every) == 2 and all("Lesion, Node: in no" in text for text in every)


def test_adapted_network_has_the_channels_and_classes_of_the_data(folder):
    config = task(folder).adapt(replace(tiny.NETWORK, in_ch=(4,), n_classes=7))
    assert (config.input_size, config.in_ch, config.n_classes) == ((32, 32, 32), (1, 1), 2)


def test_patch_size_that_no_network_fits(folder):
    text = refused(lambda: task(folder, patch_size=(32, 32, 40)).adapt(tiny.NETWORK))
    assert "multiple of 16" in text and "--data.patch-size" in text


def test_modalities_of_one_group_share_a_branch(tmp_path):
    tiny.write_dataset(tmp_path, groups=[["CT", "PET"]])
    assert task(tmp_path).adapt(tiny.NETWORK).in_ch == (2,)


def test_tokens_and_windows_follow_the_patch_and_chosen_ones_stay(folder):
    published = task(folder, patch_size=(48, 48, 32)).adapt(PUBLISHED)
    assert (published.patch_size, published.min_big_window_sizes[0]) == (2, (3, 3, 2))
    chosen = replace(PUBLISHED, patch_size=2, min_big_window_sizes=((3, 3, 3),) * 4)
    kept = task(folder, patch_size=(48, 48, 48)).adapt(chosen)
    assert (kept.patch_size, kept.min_big_window_sizes) == (2, ((3, 3, 3),) * 4)


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


def test_cut_fields_and_joined_cases(folder):
    """Image and label change together: what is labeled stays bright on the PET, and the rest dark."""
    plain, cut, joined = (task(folder, augmentation="published", label_centered=0.0, **c)
                          for c in ({}, {"cut": 1.0}, {"joined": 1.0}))  # fmt: skip
    empty = plain.store.empty(plain.split["train"])
    shares = []
    for found in (plain, cut, joined):
        share = 0.0
        for seed in range(12):
            image, label = found._region(np.random.default_rng(seed))
            share += (np.abs(image[1] - empty[1]) < 1e-3).mean()
            image, label = found.patch(0, np.random.default_rng(seed))
            again, _ = found.patch(0, np.random.default_rng(seed))
            assert np.array_equal(image, again) and image.shape == (2, *found.size)
            assert image[1][label[0] > 0].mean() > 3 * image[1][label[0] == 0].mean() if label.any() else True
        shares.append(share)
    assert shares[1] > 1.1 * shares[0] and shares[2] == shares[0]


def test_fields_and_planes():
    for seed in range(50):
        low, high = cut_field((40, 30, 20), np.random.default_rng(seed))
        assert (low >= 0).all() and (high <= (40, 30, 20)).all() and ((high - low) >= 0.3 * np.array((40, 30, 20))).all()
        share = beyond_plane((40, 30, 20), np.random.default_rng(seed)).mean()
        assert 0.2 <= share <= 0.8
    region = read_region(np.ones((1, 6, 6, 6)), np.array([3, 3, 3]), (8, 8, 8), [-1], (np.array([2, 0, 0]), np.array([6, 6, 5])))
    assert (region == 1).sum() == 4 * 6 * 5


def test_only_the_chosen_network_decides_which_patches_fit(tmp_path):
    tiny.write_dataset(tmp_path)
    for patch, unet, veloxseg in (((32, 32, 32), True, True), ((64, 64, 32), True, True), ((48, 32, 32), True, True),
                                  ((128, 128, 64), True, True), ((112, 96, 96), True, False), ((24, 24, 24), False, True),
                                  ((40, 32, 32), False, False)):  # fmt: skip
        found = cases.Cases(replace(cases.CasesSettings(tmp_path, folds=3), patch_size=patch), 1)
        for config, fits in ((networks.BaselineConfig("unet"), unet), (PUBLISHED, veloxseg)):
            if fits:
                assert found.adapt(config).input_size == patch
            else:
                refused(lambda found=found, config=config: found.adapt(config))
    text = refused(lambda: found.adapt(networks.BaselineConfig("unet")))
    assert "unet takes no patch of (40, 32, 32); (48, 32, 32) would do" in text
    for name, (step, least) in networks.STEPS.items():
        smallest = (step * least, step, step)
        assert networks.BaselineConfig(name, smallest).input_size == smallest
        network = networks.build(name, networks.BaselineConfig(name, smallest, (1, 1))).train()
        assert network(torch.zeros(1, 2, *smallest)).seg[0].shape == (1, 2, *smallest)


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
        transform = published((40, 40, 40), [0.0, 0.0], 0.0, [0, 1])
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
        transform = strong((32, 32, 32), [0.0, 0.0], 0.1, [0, 1, 2])
        transform.set_random_state(seed)
        found.append(transform(box()))
    assert all(f["image"].shape == (2, 32, 32, 32) and set(f["label"].unique().tolist()) <= {0.0, 1.0} for f in found)
    assert len({float(f["label"].sum()) for f in found}) > 3


def test_a_mirror_image_has_its_left_structures_on_the_left():
    """Class 1 lies where x is low and class 2 where it is high, as in every patient."""
    label = torch.zeros(1, 6, 2, 2)
    label[:, :2], label[:, 4:] = 1, 2
    source = {"image": label * 10, "label": label}
    found = RandMirrord(1.0, [0, 2, 1])(source)
    assert torch.equal(found["label"], label) and found["label"].dtype == label.dtype
    assert torch.equal(found["image"], source["image"].flip(1))
    assert torch.equal(RandMirrord(0.0, [0, 2, 1])(source)["image"], source["image"])


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
