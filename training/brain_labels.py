"""Structures of the brain that FreeSurfer's labels and those of Neuromorphometrics have in common, from brain_structures.json.

Structures are numbered from 1 in the order of the file; 0 is everything else. The file also says which labels of a FreeSurfer map
are one tissue when an image is drawn, and how bright this is on T1, T2 and FLAIR images.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.ndimage import distance_transform_edt

from veloxseg.contract.errors import VeloxSegError

TABLE = json.loads(Path(__file__).with_suffix(".json").with_stem("brain_structures").read_text(encoding="utf-8"))
NAMES = tuple(structure["name"] for structure in TABLE["structures"])
LARGEST = 1023
"""Label that a table reaches up to."""
Convention = Literal["freesurfer", "neuromorphometrics"]
SIDES = ("Left", "Right")


def structure_table(convention: Convention) -> np.ndarray:
    """Structure, int64, of each label 0 to `LARGEST`; -1 for a label that the convention's list does not have."""
    table = np.full(LARGEST + 1, -1)
    table[TABLE["unmapped"][convention]] = 0
    for number, structure in enumerate(TABLE["structures"], 1):
        table[structure[convention]] = number
    return table


def tissue_table() -> np.ndarray:
    """Number in `TABLE["tissues"]` plus 1 of each FreeSurfer label 0 to `LARGEST`; 0 for air and labels that are not listed."""
    table = np.zeros(LARGEST + 1, dtype=np.int64)
    for number, tissue in enumerate(TABLE["tissues"], 1):
        table[tissue["freesurfer"]] = number
    return table


def mirrored() -> np.ndarray:
    """(structures + 1,) int64: the number of each structure on the other side of the body."""
    left, right = SIDES
    swap = {left: right, right: left}
    words = (name.split(" ", 1) for name in NAMES)
    others = [f"{swap[first]} {rest}" if first in swap else f"{first} {rest}" for first, rest in words]
    return np.array([0, *(NAMES.index(name) + 1 for name in others)])


def without_side(name: str) -> str:
    """The name of a structure on either side of the body."""
    first, _, rest = name.partition(" ")
    return rest.capitalize() if first in SIDES else name


def groups_of(labels: list[str]) -> np.ndarray | None:
    """(labels + 1,): the group, numbered from 1 in the order of the file, of each label of a model; 0 is no group.

    Two models are known by their labels: this task's structures and the regions of brain-regions-t1. None for others.
    """
    key, names = ("structures", [without_side(name) for name in labels]) if tuple(labels) == NAMES else ("regions", labels)
    table = np.zeros(len(labels) + 1, dtype=np.int64)
    for number, group in enumerate(TABLE["groups"], 1):
        table[[n for n, name in enumerate(names, 1) if name in group[key]]] = number
    return table if table[1:].any() else None


def structures_of(labels: np.ndarray, convention: Convention, path: Path) -> np.ndarray:
    """uint8 of the same shape. Raises DATASET_FILE, which names `path`, for labels that the convention does not have."""
    known = structure_table(convention)
    allowed = [*np.flatnonzero(known >= 0), *(TABLE["vermis"] if convention == "neuromorphometrics" else ())]
    strange = np.setdiff1d(np.unique(labels), allowed)
    if strange.size:
        raise VeloxSegError("DATASET_FILE", path=path, reason=f"its label {strange[0]} is not in the list of {convention}")
    found = np.maximum(known, 0).astype(np.uint8)[labels]
    return _with_vermis(found, np.isin(labels, TABLE["vermis"])) if convention == "neuromorphometrics" else found


def _with_vermis(found: np.ndarray, vermis: np.ndarray) -> np.ndarray:
    """The middle of the cerebellum, which one convention does not divide, given to the cortex of the nearer side."""
    if not vermis.any():
        return found
    numbers = [NAMES.index(f"{side} cerebellum cortex") + 1 for side in SIDES]
    distances = [distance_transform_edt(found != number) for number in numbers]
    found[vermis] = np.where(distances[0] <= distances[1], *numbers)[vermis]
    return found
