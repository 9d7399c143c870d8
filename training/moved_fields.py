"""The test cases of a prepared dataset in other fields of view: cut shorter at random and pasted into a larger, empty field.

    python training/moved_fields.py --data data/petct-sarcoma --output data/petct-sarcoma-moved
    python training/evaluate.py --package VeloxSegSlicer/Resources/Models/petct-sarcoma --data data/petct-sarcoma-moved

Cases that were cut out around a tumor have it in their middle. A model that has learned the place instead of the tumor is found
out here: every side ends at random between the label (with `MARGIN_MM` around it) and where it ended, and empty space of random
width follows. The labels stay as they are.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import json
import shutil
from pathlib import Path

import numpy as np

from training import command, records
from training.cases import LABEL
from training.datasets.conversion import OUTSIDE
from veloxseg import files
from veloxseg.imaging import images, intensities

MARGIN_MM = 10.0
WIDEST_MM = 100.0
SEED = 2026


def moved(arrays: dict[str, np.ndarray], empty: dict[str, float], spacing: np.ndarray, rng: np.random.Generator) -> dict:
    """Arrays (x, y, z) by name, with the label as `LABEL`, in a field of another size.

    empty: value of empty space by name; that of the label is 0.
    """
    label = arrays[LABEL]
    sides, widths = [], []
    for axis, length in enumerate(label.shape):
        used = np.flatnonzero(label.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = round(MARGIN_MM / spacing[axis])
        first, last = max(used[0] - margin, 0), min(used[-1] + 1 + margin, length)
        sides.append(slice(int(rng.integers(0, first + 1)), int(rng.integers(last, length + 1))))
        widths.append(tuple(int(n) for n in rng.integers(0, round(WIDEST_MM / spacing[axis]) + 1, 2)))
    return {name: np.pad(array[tuple(sides)], widths, constant_values=array.dtype.type(empty.get(name, 0)))
            for name, array in arrays.items()}  # fmt: skip


def main(data: Path, output: Path, seed: int = SEED) -> None:
    """Writes a dataset that `evaluate.py --data` takes.

    Args:
        data: folder of a prepared dataset of volumes with a split.
        output: folder for the moved cases; what is there is replaced.
        seed: of the random fields.
    """
    description = records.read(data / "dataset.json")
    modalities = {role["name"]: role["modality"] for role in description["card"]["roles"]}
    for number, case in enumerate(description["split"]["test"]):
        folder, target = data / "cases" / case, output / "cases" / case
        pictures = {name: images.read(folder / f"{name}.nii.gz", name) for name in modalities}
        pictures[LABEL] = images.read_volume(folder / LABEL, "label")
        arrays = {name: images.array_of(picture) for name, picture in pictures.items()}
        grid = images.grid_of(pictures[LABEL])
        empty = {name: OUTSIDE.get(kind, intensities.air_value(arrays[name])) for name, kind in modalities.items()}
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name, array in moved(arrays, empty, np.array(grid.spacing), np.random.default_rng((seed, number))).items():
            place = images.Grid(array.shape, grid.spacing, grid.origin, grid.direction)
            images.write(images.image_of(array, place), target / (name if name == LABEL else f"{name}.nii.gz"), compress=True)
        shutil.copy(folder / "case.json", target / "case.json")
    parts = {"train": [], "validation": [], "test": description["split"]["test"]}
    files.write_text(output / "dataset.json", json.dumps(description | {"split": parts}, indent=1) + "\n")


if __name__ == "__main__":
    command.run(main)
