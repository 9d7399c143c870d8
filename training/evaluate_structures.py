"""Score the brain structures on real T1 brains with manual labels, which chose the weights and never trained them.

    python training/evaluate_structures.py --run runs/brain-structures
    python training/evaluate_structures.py --package VeloxSegSlicer/Resources/Models/brain-regions-t1 \
      --folder ../shared/data/brain_t1_validation

Every image goes through `veloxseg.segment`, as in the panel, on its own grid. Writes RUN/evaluation/scores.json of a run.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

import veloxseg
from training import command, records
from training.brain_labels import NAMES, TABLE, groups_of, without_side
from training.brain_structures import people_of, read_person, structure_dice
from training.export import load_run
from training.scored_cases import SEED, problem
from training.scores import line, score
from veloxseg import files
from veloxseg.imaging import images
from veloxseg.inference.case import Package
from veloxseg.packages import packages

DATA = ("OASIS T1 brains with labels by Neuromorphometrics, Inc. under academic subscription (CC BY-NC 3.0); "
        "weights were chosen on them")  # fmt: skip

GROUPS = tuple(group["name"] for group in TABLE["groups"])
POOLED = tuple(dict.fromkeys(without_side(name) for name in NAMES))
POOLED_OF = np.array([0, *(1 + POOLED.index(without_side(name)) for name in NAMES)])
"""Number in `POOLED` plus 1 of each structure."""


def evaluate_structures(model: Package, folder: Path) -> list[dict]:
    """Entries of the card: Dice of every structure, left and right apart, of both sides as one, and of three large groups, which
    are all that brain-regions-t1 has. Raises DATASET."""
    labels = [label.name for label in model.card.labels]
    groups_found, groups_there = groups_of(labels), groups_of(list(NAMES))
    if groups_found is None:
        raise problem(folder, f"the model {model.card.id} has none of its structures", "choose a model of the whole brain")
    sides, both, groups = [], [], []
    for person in tqdm(people_of(folder), desc="people"):
        image, label = read_person(folder, person)
        found = veloxseg.segment(model, {model.card.reference.name: image}, device="cpu", outputs=["mask"]).mask
        truth = images.array_of(label)
        groups.append(structure_dice(groups_found[found], groups_there[truth], len(GROUPS)))
        if tuple(labels) == NAMES:
            sides.append(structure_dice(found, truth))
            both.append(structure_dice(POOLED_OF[found], POOLED_OF[truth], len(POOLED)))
    found = [entry("Dice, left and right apart", sides, NAMES), entry("Dice, both sides as one", both, POOLED)] if sides else []
    return [*found, entry("Dice of cortex, nuclei and cerebellum", groups, GROUPS)]


def entry(name: str, rows: list[list[float]], names: tuple[str, ...]) -> dict:
    """rows: a number for every person and structure."""
    table = pd.DataFrame(rows, columns=names)
    return score(name, DATA, table.mean(axis=1).tolist(), SEED, False, per_label=table.mean().round(4).dropna().to_dict())


def main(run: Path | None = None, package: Path | None = None, folder: Path | None = None) -> None:
    """Dice on people with manual labels, of a run or of a package of brain structures or regions.

    Args:
        run: folder of a run with best.pt.
        package: folder of a model package; needs --folder.
        folder: the people; those that the run was validated on when not given.
    """
    if bool(run) == bool(package) or (package and not folder):
        sys.exit("give either --run, or --package and --folder")
    model = load_run(run) if run else packages.read(package)
    scores = evaluate_structures(model, folder or Path(records.read(run / "config.json")["data"]["validation"]))
    for found in scores:
        print(line(found))
        for structure, value in found["per_label"].items():
            print(f"    {structure}: {value:.3f}")
    if run:
        with files.typed_output_errors(run):
            (run / "evaluation").mkdir(exist_ok=True)
        files.write_json(run / "evaluation" / "scores.json", scores)


if __name__ == "__main__":
    command.run(main)
