"""Tiny prepared datasets of spheres (synthetic), a run folder on them, and a network that is a threshold."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training import export
from veloxseg.contract.card import Card
from veloxseg.imaging import images

SIZE, SPACING = (24, 24, 20), (4.0, 4.0, 5.0)
SYNTHETIC = "Spheres drawn by the test"


def card(roles: list[dict], labels: dict[str, int]) -> dict:
    """A whole card of the spheres."""
    smoke = json.loads((Path(export.__file__).parent / "cards" / "smoke.json").read_text())
    return smoke | {
        "id": "spheres", "title": "Spheres", "task": {"id": "spheres", "title": "Spheres"}, "roles": roles,
        "spacing_mm": list(SPACING), "window": {"overlap": 0.25, "blend": "gaussian"}, "smoothing_mm": 0, "lesions": True,
        "threshold": 0.5, "training": {**smoke["training"], "data": SYNTHETIC},
        "labels": [{**smoke["labels"][0], "name": name, "value": value} for name, value in labels.items()],
        "architecture": {"name": "VeloxSeg", "arguments": {"input_size": [24, 24, 24]}},
    }  # fmt: skip


def role(name: str, modality: str, unit: str | None, reference: bool, divide_by: float) -> dict:
    return {"name": name, "title": name, "modality": modality, "kind": "scalar", "unit": unit, "reference": reference,
            "description": "", "patterns": [],
            "intensity": {"kind": "scale", "divide_by": divide_by, "clip": [-100, 100]}}  # fmt: skip


PET_CT = card([role("CT", "CT", "HU", False, 1000), role("PET", "PT", "SUVbw", True, 1)], {"Lesion": 1})


def distance(center: tuple[float, ...]) -> np.ndarray:
    """Millimeters from a voxel position to every voxel, (x, y, z)."""
    index = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), axis=-1)
    return np.linalg.norm((index - center) * SPACING, axis=-1)


def write_case(folder: Path, case: str, volumes: dict[str, np.ndarray]) -> None:
    """Writes (x, y, z) arrays as the files of a prepared case."""
    grid = images.Grid(SIZE, SPACING, (0.0, 0.0, 0.0))
    (folder / "cases" / case).mkdir(parents=True)
    for name, array in volumes.items():
        images.write(images.image_of(array, grid), folder / "cases" / case / f"{name}.nii.gz", compress=True)
    (folder / "cases" / case / "case.json").write_text(json.dumps({"id": case, "patient": case}))


def write_run(run: Path, folder: Path, content: dict, test: list[str]) -> None:
    run.mkdir()
    split = {"train": [], "validation": [], "test": test}
    groups = [[role["name"]] for role in content["roles"]]
    data = {"card": content, "groups": groups, "split": split, "folder": str(folder), "synthetic": True}
    (run / "data.json").write_text(json.dumps(data))
    description = {**data, "patch_size": [24, 24, 24], "split": None}
    (folder / "dataset.json").write_text(json.dumps(description))


@dataclass
class Threshold:
    """Finds every voxel with an SUV above `suv`."""

    content: dict
    suv: float

    @property
    def card(self) -> Card:
        return Card.of(self.content)

    def network(self, _device):
        return lambda x: torch.cat([x[:, 1:] * 0, 10 * (x[:, 1:] - self.suv)], dim=1)
