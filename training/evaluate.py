"""Score a model on cases that training has never seen: table of cases, scores with intervals, masks.

    python training/evaluate.py --run runs/petct
    python training/evaluate.py --package VeloxSegSlicer/Resources/Models/petct-lesions-demo --data data/petct

Every case goes through `veloxseg.segment`, as in the panel; for photos `evaluate_photos.py` takes over. On PET the SUV rules of
`suv_rules.py` are scored on the same cases. The folder of the results holds cases.csv (one row per case, method and region),
scores.json (entries of the model card), summary.txt and masks/<case>.nii.gz. `compare.py` puts two such folders side by side.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import SimpleITK as sitk
from tqdm import tqdm

import veloxseg
from training import command, evaluate_photos, scores
from training.cases import LABEL
from training.export import load_run
from training.metrics import BRATS_REGIONS, case_metrics, published_slice_dice
from training.scored_cases import SEED, By, Cases, cases_of_dataset, cases_of_run, problem
from training.suv_rules import RULES
from veloxseg import files
from veloxseg.contract.card import Card
from veloxseg.imaging import images
from veloxseg.inference.case import Package
from veloxseg.packages import packages

BRATS_TASK = "brain-tumor"


def regions(card: Card) -> dict[str, tuple[int, ...]]:
    """What is scored, as label values: the nested regions ET, TC and WT of the BraTS task, otherwise each label."""
    labels = {label.name: label.value for label in card.labels}
    return BRATS_REGIONS if card.task_id == BRATS_TASK else {name: (value,) for name, value in labels.items()}


def rules(card: Card) -> dict[str, Callable[[sitk.Image], np.ndarray]]:
    """The SUV rules where there is a PET in SUV."""
    return RULES if _pet_role(card) else {}


def scored_with_rules(card: Card) -> dict[str, tuple[int, ...]]:
    """Where rules are scored: a threshold cannot tell labels apart, so several count as one."""
    if not rules(card) or len(card.labels) == 1:
        return regions(card)
    return {scores.POOLED: tuple(label.value for label in card.labels)}


def _pet_role(card: Card) -> str | None:
    return next((role.name for role in card.roles if role.modality == "PT" and role.unit == "SUVbw"), None)


def evaluate(model: Package, cases: Cases, output: Path, device: str = "auto", by: By | None = None) -> list[dict]:
    """Scores `model` on `cases`, writes the folder `output` and returns the score entries.

    Raises DATASET for no cases, labels that differ or a label off its image's grid, and what `veloxseg.segment` raises.
    """
    _check(model, cases)
    if cases.card.takes_photo:
        return evaluate_photos.evaluate(model, cases, output, device, by)
    rows = []
    with files.typed_output_errors(output):
        (output / "masks").mkdir(parents=True, exist_ok=True)
    for case in tqdm(cases.ids, desc=f"{cases.which} cases"):
        rows += _evaluate_case(model, cases, case, output, device)
    table = pd.DataFrame(rows)
    scores.write_cases(table, output / "cases.csv")
    found = scores.entries(table, cases.name, SEED, cases.synthetic, cases.card.lists_lesions)
    files.write_json(output / "scores.json", found)
    files.write_text(output / "summary.txt", scores.summary(table, found) + "\n")
    return found


def _check(model: Package, cases: Cases) -> None:
    if not cases.ids:
        raise problem(cases.folder, f"it has no {cases.which} cases", "choose other cases")
    # names may be spelled differently from dataset to dataset
    known, wanted = ({label.value for label in card.labels} for card in (model.card, cases.card))
    if known != wanted:
        raise problem(cases.folder, f"its labels {wanted} are not the model's {known}", "choose a dataset of the model's task")


def _evaluate_case(model: Package, cases: Cases, case: str, output: Path, device: str) -> list[dict]:
    reference = images.read_volume(cases.path(case, LABEL), "label")
    truth, grid = images.array_of(reference), images.grid_of(reference)
    paths = {role.name: cases.path(case, f"{role.name}.nii.gz") for role in model.card.roles}
    outcome = veloxseg.segment(model, paths, device=device, outputs=["mask"])
    seconds = outcome.run.times()["total"]
    if not images.same_grid(outcome.grid, grid):
        raise problem(cases.path(case, LABEL), "it does not lie on the grid of its image", "prepare the dataset again")
    images.write(images.image_of(outcome.mask, grid), output / "masks" / f"{case}.nii.gz", compress=True)
    parts = regions(cases.card) | scored_with_rules(cases.card)
    found = _rows(case, scores.NETWORK, outcome.mask, truth, cases.card, parts, seconds)
    for name, rule in rules(cases.card).items():
        begun = time.perf_counter()
        mask = rule(images.read(paths[_pet_role(cases.card)], "PET")) * cases.card.labels[0].value
        parts = scored_with_rules(cases.card)
        found += _rows(case, name, mask, truth, cases.card, parts, time.perf_counter() - begun)
    return found


def _rows(case: str, method: str, mask: np.ndarray, truth: np.ndarray, card: Card, parts: dict, seconds: float) -> list[dict]:
    """One row per region; the tolerance of the surface Dice is one voxel edge, since nobody can draw a border more finely."""
    found = []
    for region, values in parts.items():
        pair = np.isin(mask, values), np.isin(truth, values)
        row = {
            "case": case,
            "method": method,
            "region": region,
            **case_metrics(*pair, tuple(card.spacing_mm), max(card.spacing_mm)),
        }
        if regions(card) is BRATS_REGIONS:
            row[scores.PUBLISHED] = published_slice_dice(*pair)
        found.append(row | {"seconds": seconds})
    return found


def main(
    run: Path | None = None,
    package: Path | None = None,
    data: Path | None = None,
    cases: Literal["test", "validation"] = "test",
    output: Path | None = None,
    device: str = "auto",
    by: By | None = None,
    card: Path | None = None,
) -> None:
    """Scores a run, or a finished package on a prepared dataset.

    Args:
        run: folder of a run on a prepared dataset.
        package: folder of a model package; needs --data.
        data: folder of a prepared dataset; all its cases count when it has no fixed split.
        cases: which side of the split.
        output: folder of the results; RUN/evaluation (RUN/evaluation-validation) or DATA/evaluation/PACKAGE by default.
        device: auto, cpu, cuda or cuda:N.
        by: of photos: a list with a column id, and the name of a column by whose values they are scored as well.
        card: of a run: static part of the model card, to be used instead of the dataset's own.
    """
    if run and not package and not data:
        model, chosen = load_run(run, card), cases_of_run(run, cases)
        folder = run / ("evaluation" if cases == "test" else "evaluation-validation")
    elif package and data and not run:
        model, chosen = packages.read(package), cases_of_dataset(data, cases)
        folder = data / "evaluation" / package.resolve().name
    else:
        sys.exit("give either --run, or --package and --data")
    folder = output or folder
    evaluate(model, chosen, folder, device, by)
    print((folder / "summary.txt").read_text(encoding="utf-8"))


if __name__ == "__main__":
    command.run(main)
