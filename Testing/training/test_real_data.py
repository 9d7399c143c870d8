"""Lists of the public sets, the test cases in other fields of view, and, where the sets are there, what they promise."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

import tiny
from training import cases, moved_fields, real_data, scored_cases
from training.datasets.description import read_rows
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images

SETS = Path(os.environ.get("VELOXSEG_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
needs_sets = pytest.mark.skipif(not SETS.is_dir(), reason=f"no public sets in {SETS}; VELOXSEG_DATA may name their folder")


def write_sets(folder):
    """The folders of the sets with two cases each, files empty: lists do not open them."""
    for name in real_data.SETS:
        (folder / name).mkdir(parents=True)
        (folder / name / "cases.csv").write_text("id,split,age\nA,train,3\nB,test,4\n")
    return folder


def test_lists_name_files_and_splits_and_nothing_else(tmp_path):
    real_data.main(write_sets(tmp_path / "sets"), tmp_path / "lists")
    with (tmp_path / "lists" / "petct-sarcoma.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["split"]) for row in rows] == [("A", "train"), ("B", "test")]
    assert list(rows[0]) == ["id", "split", "CT", "PET", "label"]
    assert rows[1]["PET"] == str((tmp_path / "sets" / "petct_sts" / "B" / "PET.nii.gz").resolve())


def test_a_missing_set_is_one_sentence(tmp_path):
    with pytest.raises(VeloxSegError) as caught:
        real_data.main(tmp_path, tmp_path / "lists")
    assert caught.value.code == "DATASET_FILE" and "cases.csv" in caught.value.text


@needs_sets
def test_no_photo_group_is_on_two_sides_and_every_file_is_there():
    rows = read_rows(SETS / "derm_isic2017" / "cases.csv")
    sides = {}
    for row in rows:
        sides.setdefault(row["group"], set()).add(row["split"])
    assert all(len(parts) == 1 for parts in sides.values())
    for folder, (_, columns) in real_data.SETS.items():
        for row in real_data.rows(SETS / folder, columns):
            assert all(Path(row[column]).is_file() for column in columns)


def test_a_moved_case_keeps_its_label_and_what_lies_around_it():
    label = np.zeros((20, 18, 16), np.uint8)
    label[8:12, 7:10, 6:9] = 1
    image = np.arange(label.size, dtype=np.float32).reshape(label.shape) + 1
    shapes = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = moved_fields.moved({"PET": image, cases.LABEL: label}, {"PET": -5.0}, np.full(3, 4.0), rng)
        assert found["PET"].shape == found[cases.LABEL].shape
        assert np.array_equal(found["PET"][found[cases.LABEL] > 0], image[label > 0])
        assert set(np.unique(found["PET"])) <= {-5.0, *image.ravel()}
        shapes.add(found["PET"].shape)
    assert len(shapes) > 15


def labelled(folder):
    """The values of the CT where there is a label, in ascending order."""
    ct, label = (images.array_of(images.read_volume(folder / name, name)) for name in ("CT.nii.gz", cases.LABEL))
    return np.sort(ct[label > 0])


def test_moved_cases_can_be_scored(tmp_path):
    data = tiny.write_dataset(tmp_path / "data", split={"validation": ["case1"], "test": ["case2", "case3"]})
    moved_fields.main(data, tmp_path / "moved")
    found = scored_cases.cases_of_dataset(tmp_path / "moved", "test")
    assert found.ids == ["case2", "case3"]
    before, after = (labelled(folder / "cases" / "case2") for folder in (data, tmp_path / "moved"))
    assert np.array_equal(before, after)
    assert json.loads((tmp_path / "moved" / "dataset.json").read_text())["split"]["train"] == []
