"""Score the brain structures on real T1 brains with manual labels, which chose the weights and never trained them.

    python training/evaluate_structures.py --run runs/brain-structures

Every image goes through `veloxseg.segment`, as in the panel, on its own grid. Writes RUN/evaluation/scores.json.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

import veloxseg
from training import command, records
from training.brain_labels import NAMES, without_side
from training.brain_structures import ROLE, people_of, read_person, structure_dice
from training.export import load_run
from training.scored_cases import SEED
from training.scores import line, score
from veloxseg import files
from veloxseg.imaging import images
from veloxseg.inference.case import Package

DATA = ("OASIS T1 brains with labels by Neuromorphometrics, Inc. under academic subscription (CC BY-NC 3.0); "
        "weights were chosen on them")  # fmt: skip

POOLED = tuple(dict.fromkeys(without_side(name) for name in NAMES))
POOLED_OF = np.array([0, *(1 + POOLED.index(without_side(name)) for name in NAMES)])
"""Number in `POOLED` plus 1 of each structure."""


def evaluate_structures(model: Package, folder: Path) -> list[dict]:
    """Entries of the card: Dice of every structure, left and right apart, and of both sides as one. Raises DATASET."""
    sides, both = [], []
    for person in tqdm(people_of(folder), desc="people"):
        image, label = read_person(folder, person)
        found = veloxseg.segment(model, {ROLE: image}, device="cpu", outputs=["mask"]).mask
        truth = images.array_of(label)
        sides.append(structure_dice(found, truth))
        both.append(structure_dice(POOLED_OF[found], POOLED_OF[truth], len(POOLED)))
    return [entry("Dice, left and right apart", sides, NAMES), entry("Dice, both sides as one", both, POOLED)]


def entry(name: str, rows: list[list[float]], names: tuple[str, ...]) -> dict:
    """rows: a number for every person and structure."""
    table = pd.DataFrame(rows, columns=names)
    return score(name, DATA, table.mean(axis=1).tolist(), SEED, False, per_label=table.mean().round(4).dropna().to_dict())


def main(run: Path, folder: Path | None = None) -> None:
    """Dice on people with manual labels.

    Args:
        run: folder of a run with best.pt.
        folder: the people; those that the run was validated on when not given.
    """
    model = load_run(run)
    scores = evaluate_structures(model, folder or Path(records.read(run / "config.json")["data"]["validation"]))
    for found in scores:
        print(line(found))
        for structure, value in found["per_label"].items():
            print(f"    {structure}: {value:.3f}")
    with files.typed_output_errors(run):
        (run / "evaluation").mkdir(exist_ok=True)
    files.write_json(run / "evaluation" / "scores.json", scores)


if __name__ == "__main__":
    command.run(main)
