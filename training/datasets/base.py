"""What every layout has in common: its options, the cases it lists, and pairing files by case id."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from training.datasets import reading
from veloxseg.contract.card import Card
from veloxseg.contract.errors import Note, VeloxSegError

LABEL = "label"
NIFTI = r"\.nii(\.gz)?"
FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of every layout."""

    output: Path
    """Folder of the prepared data set; a run that was interrupted goes on there."""
    register: bool = False
    """Move each image rigidly onto the reference image first (mutual information); the report says by how much."""
    workers: int = 1
    """Cases prepared at the same time, each in a process of its own."""


@dataclass(frozen=True)
class Loaded:
    """A case in memory: `images` by role in their own grids and units, `label` with the data set's own values, and what was
    odd about the files."""

    images: dict[str, sitk.Image]
    label: sitk.Image
    parameters: dict | None = None
    notes: Sequence[Note] = ()


@dataclass(frozen=True)
class LoadedPhoto:
    """A case in memory: photo uint8 (y, x, 3) and mask bool (y, x) of the same pixels."""

    pixels: np.ndarray
    mask: np.ndarray
    parameters: dict | None = None


@dataclass(frozen=True)
class Case:
    """One listed case: files (or DICOM folders) by role, nothing read yet."""

    id: str
    patient: str
    sources: dict[str, Path]
    label: Path

    def load(self, card: Card) -> Loaded | LoadedPhoto:
        """Raises the INPUT_* codes or SUV."""
        notes: list[Note] = []
        volumes = {role.name: reading.read(self.sources[role.name], role, notes.append) for role in card.roles}
        return Loaded(volumes, reading.read_label(self.label, notes.append), notes=notes)


@dataclass(frozen=True)
class DataSet:
    """What a layout's `listing()` gives: everything known before a voxel is read.

    `label_values` takes the data set's values to the card's; 0 is always background. `groups` are the roles by modality,
    `split` as in dataset.json.
    """

    card: Card
    groups: list[list[str]]
    label_values: dict[int, int]
    cases: list[Case]
    synthetic: bool = False
    split: dict[str, list[str]] | None = None


@dataclass(frozen=True)
class Found:
    """A file that belongs to a case as `part`: the name of a role or "label"."""

    case: str
    part: str
    path: Path


def pair(
    found: Iterable[Found],
    expected: dict[str, str],
    source: Path,
    patient: Callable[[str], str] = str,
    case_type: type[Case] = Case,
) -> list[Case]:
    """Cases in the order of their ids, each with every part of `expected` exactly once.

    expected: part -> its file name for a person, with {id}. Raises an ExceptionGroup with one DATASET_* error for every
    missing or doubled part and every id that is no folder name, or DATASET_EMPTY.
    """
    parts: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for file in found:
        parts[file.case][file.part].append(file.path)
    if not parts:
        raise VeloxSegError("DATASET_EMPTY", source=source, expected=", ".join(expected.values()))
    problems = []
    for case, files in sorted(parts.items()):
        if not FOLDER_NAME.fullmatch(case):
            problems.append(VeloxSegError("DATASET_ID", case=case))
        for part, name in expected.items():
            if not files[part]:
                problems.append(VeloxSegError("DATASET_MISSING", case=case, part=part, name=name.format(id=case), source=source))
            elif len(files[part]) > 1:
                paths = " and ".join(str(path) for path in sorted(files[part]))
                problems.append(VeloxSegError("DATASET_DOUBLE", case=case, part=part, paths=paths))
    if problems:
        raise ExceptionGroup(f"{source} is not complete", problems)
    roles = [part for part in expected if part != LABEL]
    return [
        case_type(case, patient(case), {role: files[role][0] for role in roles}, files[LABEL][0])
        for case, files in sorted(parts.items())
    ]


def find(folder: Path, pattern: str, parts: dict[str, str]) -> Iterable[Found]:
    """Files of a folder whose whole name matches `pattern` with a group `id` and, for images, a group `part`.

    parts: text of the group `part` in lower case -> role. Without the group the file is a label. Names that begin with a
    dot are passed over: archives from other systems bring such copies. Raises DATASET_FOLDER if there is no such folder.
    """
    if not folder.is_dir():
        raise VeloxSegError("DATASET_FOLDER", path=folder)
    for path in sorted(folder.iterdir()):
        match = None if path.name.startswith(".") else re.fullmatch(pattern, path.name, re.IGNORECASE)
        if match is None:
            continue
        part = match.groupdict().get("part")
        if part is None or part.lower() in parts:
            yield Found(match["id"], LABEL if part is None else parts[part.lower()], path)
