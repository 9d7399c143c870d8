"""From a run to its table of cases, its scores and the comparison of two models."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from spheres import PET_CT, Threshold, card, distance, role, write_case, write_run
from training import compare, confidence, evaluate, scored_cases, scores, suv_rules
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images
from veloxseg.packages import cards, packages
from veloxseg.validation import first_problem


def table(run, folder="evaluation"):
    return scores.read_cases(run / folder / "cases.csv").set_index(["case", "method"])


def test_one_row_per_case_and_method_and_a_mask_per_case(evaluated_run):
    rows = table(evaluated_run)
    assert sorted(rows.index.get_level_values("case").unique()) == [f"{n:02}" for n in range(10)]
    assert set(rows.index.get_level_values("method")) == {scores.NETWORK, *suv_rules.RULES}
    assert len(list((evaluated_run / "evaluation" / "masks").iterdir())) == 10
    mask = images.array_of(images.read_volume(evaluated_run / "evaluation" / "masks" / "05.nii.gz"))
    assert rows.loc[("05", "network"), "predicted_ml"] == pytest.approx(mask.sum() * 0.08)
    assert rows.loc[("05", "network"), "dice"] > 0.9
    assert rows.loc[("05", "network"), "surface_tolerance_mm"] == 5


def test_what_is_not_defined_stays_empty(evaluated_run):
    rows = table(evaluated_run)
    assert math.isnan(rows.loc[("00", "network"), "dice"])
    assert rows.loc[("00", "network"), "predicted_ml"] == 0
    assert rows.loc[("01", "network"), "dice"] == 0
    assert math.isnan(rows.loc[("01", "network"), "hd95_mm"])


def test_scores_fit_into_a_card(evaluated_run):
    found = json.loads((evaluated_run / "evaluation" / "scores.json").read_text())
    assert first_problem("card", packages.read(cards.shipped()[0]).card.content | {"scores": found}) is None
    by_name = {entry["name"]: entry for entry in found}
    dice = by_name["Dice, label present"]
    assert (dice["n"], dice["undefined"], dice["synthetic"], dice["per_label"]) == (9, 0, True, None)
    assert dice["value"] == pytest.approx(table(evaluated_run).xs("network", level="method").dice.mean(), abs=1e-4)
    assert dice["interval_95"][0] < dice["value"] < dice["interval_95"][1]
    assert set(dice["rules"]) == set(suv_rules.RULES)
    assert dice["baseline"]["value"] == max(dice["rules"].values())
    assert "test cases" in dice["data"]
    distance_score = by_name["95 % Hausdorff distance in mm, label present"]
    assert (distance_score["n"], distance_score["undefined"]) == (8, 1)
    assert by_name["False positive volume in ml, label absent"]["n"] == 1


def test_strata_are_thirds_by_size(evaluated_run):
    found = json.loads((evaluated_run / "evaluation" / "scores.json").read_text())
    strata = next(entry["strata"] for entry in found if "strata" in entry)
    assert [stratum["n"] for stratum in strata] == [3, 3, 3]
    ends = [ml for stratum in strata for ml in stratum["reference_ml"]]
    assert ends == sorted(ends)


def test_the_summary_says_all(evaluated_run):
    text = (evaluated_run / "evaluation" / "summary.txt").read_text()
    for part in ("(synthetic)", "network", *suv_rules.RULES, "surface Dice at 5 mm", "Empty reference", "kept empty"):
        assert part in text


def test_rules_by_hand():
    pet = np.full((9, 9, 9), 1.0, dtype=np.float32)
    pet[2, 2, 2:5] = (10.0, 4.2, 4.0)  # 41 % of 10 leaves 4.0 out
    pet[7, 7, 5:8] = (5.0, 4.1, 3.0)  # 41 % of 5 is less than 4
    image = images.image_of(pet, images.Grid(pet.shape, (4.0, 4.0, 4.0), (0.0, 0.0, 0.0)))
    small = [[7, 7, 5], [7, 7, 6]]
    assert np.argwhere(suv_rules.fixed_threshold(image)).tolist() == [[2, 2, 2], [2, 2, 3], [2, 2, 4], *small]
    assert np.argwhere(suv_rules.share_of_maximum(image)).tolist() == [[2, 2, 2], [2, 2, 3], *small]
    empty = images.image_of(pet * 0, images.grid_of(image))
    assert not any(rule(empty).any() for rule in suv_rules.RULES.values())


class Nearest:
    """Gives every voxel the label nearest to its intensity, and misses what is not there."""

    def __init__(self, content):
        self.card = Card.of(content)

    def network(self, _device):
        import torch

        return lambda x: torch.cat([-10 * (x - value).abs() for value in range(4)], dim=1)


def test_brats_has_nested_regions_and_the_published_number_apart(tmp_path):
    content = card([role("FLAIR", "MR", None, True, 1)], {"core": 1, "edema": 2, "enhancing": 3})
    content["task"] = {"id": evaluate.BRATS_TASK, "title": "Brain tumor"}
    r = distance((12, 12, 10))
    label = np.select([r < 10, r < 20, r < 32], [1, 3, 2], 0)
    image = np.roll(label, 1, axis=0).astype(np.float32)
    write_case(tmp_path / "data", "a", {"FLAIR": image, "label": label.astype(np.uint8)})
    write_run(tmp_path / "run", tmp_path / "data", content, ["a"])
    found = evaluate.evaluate(Nearest(content), scored_cases.cases_of_run(tmp_path / "run", "test"), tmp_path / "out", "cpu")
    rows = scores.read_cases(tmp_path / "out" / "cases.csv").set_index("region")
    assert list(rows.index) == ["ET", "TC", "WT"]
    assert rows.reference_ml["WT"] == pytest.approx((label > 0).sum() * 0.08)
    assert (rows[scores.PUBLISHED] > rows.dice).all()
    by_name = {entry["name"]: entry for entry in found}
    assert by_name["Dice"]["per_label"] == rows.dice.round(4).to_dict()
    assert by_name["Dice"]["value"] == pytest.approx(rows.dice.mean(), abs=1e-4)
    assert by_name["Dice"]["baseline"] is None
    assert by_name[scores.SCORES[scores.PUBLISHED]]["value"] > by_name["Dice"]["value"]


@dataclass
class Two:
    """Finds SUV 2 to 5 as label 1 and more as label 2."""

    card: Card

    def network(self, _device):
        return lambda x: torch.cat([2 - x[:, 1:], 0.5 - (x[:, 1:] - 3.5).abs() / 3, x[:, 1:] - 5], dim=1) * 10


def test_rules_count_several_labels_as_one(tmp_path):
    content = card(PET_CT["roles"], {"tumor": 1, "node": 2})
    r = distance((12, 12, 10))
    label = np.select([r < 16, r < 28], [2, 1], 0)
    pet = np.select([label == 2, label == 1], [8.0, 4.5], 0.5)
    pet = pet.astype(np.float32)
    write_case(tmp_path / "data", "a", {"CT": pet, "PET": pet, "label": label.astype(np.uint8)})
    write_run(tmp_path / "run", tmp_path / "data", content, ["a"])
    found = evaluate.evaluate(Two(Card.of(content)), scored_cases.cases_of_run(tmp_path / "run", "test"), tmp_path / "out", "cpu")
    by_name = {entry["name"]: entry for entry in found}
    assert set(by_name["Dice"]["per_label"]) == {"tumor", "node"} and by_name["Dice"]["baseline"] is None
    pooled = by_name[f"Dice, {scores.POOLED}"]
    assert set(pooled["rules"]) == set(suv_rules.RULES) and pooled["baseline"]["value"] > 0.95 and pooled["value"] > 0.9
    rows = scores.read_cases(tmp_path / "out" / "cases.csv")
    both = scores.labels_apart(rows)
    assert set(both.method) == {scores.NETWORK}
    assert by_name["Dice"]["value"] == pytest.approx(both.dice.mean(), abs=1e-4)


def test_a_package_on_a_dataset_without_split_takes_all_cases(petct_run):
    folder = scored_cases.cases_of_run(petct_run, "test").folder
    cases = scored_cases.cases_of_dataset(folder, "test")
    assert (cases.which, len(cases.ids)) == ("all", 10)


def test_refusals(petct_run, tmp_path):
    cases = scored_cases.cases_of_run(petct_run, "test")
    with pytest.raises(VeloxSegError, match="labels"):
        evaluate.evaluate(Threshold(card(PET_CT["roles"], {"Lesion": 2}), 5.0), cases, tmp_path)
    data = json.loads((petct_run / "data.json").read_text())
    (tmp_path / "data.json").write_text(json.dumps(data | {"folder": None}))
    with pytest.raises(VeloxSegError, match="evaluate_heads"):
        scored_cases.cases_of_run(tmp_path, "test")


def test_compare_pairs_the_cases(evaluated_run, tmp_path):
    evaluate.evaluate(Threshold(PET_CT, 7.0), scored_cases.cases_of_run(evaluated_run, "test"), tmp_path, "cpu")
    first, second = scores.read_cases(evaluated_run / "evaluation" / "cases.csv"), scores.read_cases(tmp_path / "cases.csv")
    found = compare.compare(first, second)
    dice = found.loc["dice"]
    assert (dice["n"], dice["in one only"]) == (9, 0)
    assert dice["difference"] == pytest.approx(dice["second"] - dice["first"])
    assert dice["from"] < dice["difference"] < dice["to"] < 0
    assert dice["p"] < 0.05
    same = compare.compare(first, first)
    assert (same.loc["dice", "difference"], same.loc["dice", "p"]) == (0, 1)

    with pytest.raises(ValueError, match="the cases differ: 03/Lesion"):
        compare.compare(first, second[second.case != "03"])
    with pytest.raises(ValueError, match="the references differ"):
        compare.compare(first, second.assign(reference_ml=second.reference_ml * 2))


def test_confidence_against_known_numbers():
    values = np.random.default_rng(0).normal(1.0, 2.0, 100)
    low, high = confidence.interval(values, seed=1)
    half = 1.96 * values.std() / 10
    assert (low, high) == (pytest.approx(values.mean() - half, abs=0.05), pytest.approx(values.mean() + half, abs=0.05))
    assert confidence.interval(values, seed=1) == [low, high]
    assert confidence.interval(np.array([0.5]), seed=1) is None
    # all six differences of one sign: 2 / 2^6
    assert confidence.paired(np.arange(6.0), np.arange(6.0) * 2 + 1, seed=1).p == pytest.approx(2 / 64)
