"""A prepared dataset of volumes made small: one label, large voxels, so that 3D networks train on it in minutes on a CPU."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from tqdm import tqdm

from training.cases import LABEL, read_description
from veloxseg import files
from veloxseg.contract.card import Card
from veloxseg.imaging import images

PATCH_SIZE = (32, 32, 32)


def coarse(source: Path, target: Path, spacing_mm: float, label: int) -> None:
    """Writes `target`: the cases and split of `source` with voxels of `spacing_mm` and the label value `label` alone.

    A voxel is labeled where at least half of it is covered. Raises DATASET for a folder that isn't prepared.
    """
    description = read_description(source)
    content = description["card"]
    labels = [entry for entry in content["labels"] if entry["value"] == label]
    card = Card.of(content | {"spacing_mm": [spacing_mm] * 3, "labels": labels})
    for case in tqdm(sorted(source.glob("cases/*/case.json")), desc="cases"):
        folder = target / "cases" / case.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        reference = images.read_volume(case.parent / LABEL, "label")
        grid = images.working_grid(images.grid_of(reference), card.spacing_mm)
        for role in card.roles:
            image = images.read(case.parent / f"{role.name}.nii.gz", role.name)
            darkest = float(images.array_of(image).min())
            images.write(images.resample(image, grid, background=darkest), folder / f"{role.name}.nii.gz", compress=True)
        inside = images.image_of((images.array_of(reference) == label).astype(np.float32), images.grid_of(reference))
        covered = images.array_of(images.resample(inside, grid)) >= 0.5
        images.write(images.image_of((covered * label).astype(np.uint8), grid), folder / LABEL, compress=True)
        shutil.copy(case, folder)
    files.write_json(target / "dataset.json", description | {"card": card.content, "patch_size": list(PATCH_SIZE)})
