"""One case as a folder that appears whole or not at all.

Volumes lie on their working grid, in physical units, cut to the foreground; photos keep their own pixels. Arrays of volumes are
(x, y, z). Resampling is that of inference (`veloxseg.imaging.images`), so that training sees what the panel will compute.
"""

from __future__ import annotations

import os
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from training.datasets.base import LABEL, Case, Loaded, LoadedPhoto
from training.lock import PARTIAL
from veloxseg import files
from veloxseg.contract import errors, limits, plausibility
from veloxseg.contract.card import Card, Role
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.foreground import foreground_threshold
from veloxseg.imaging import images, intensities, registration
from veloxseg.inference import pipeline

FACTS = "case.json"
MARGIN_VOXELS = 3
# Estimating the level of the foreground from more voxels takes long and changes nothing.
ENOUGH_VOXELS = 1 << 21
OUTSIDE = {"CT": -1024.0, "PT": 0.0}


@dataclass(frozen=True)
class Job:
    """What a process needs to prepare one case into `folder`/<id>."""

    case: Case
    card: Card
    label_values: dict[int, int]
    register: bool
    folder: Path


@dataclass(frozen=True)
class Result:
    """How a case ended: error code and sentence, both empty for success."""

    case: str
    code: str = ""
    text: str = ""


def convert(job: Job) -> Result:
    """Prepare and write one case. Failures are in the result, because their class does not cross processes."""
    try:
        _write(job)
    except VeloxSegError as error:
        return _failed(job, error)
    except Exception as error:  # noqa: BLE001 - the cases that follow must not suffer
        if errors.is_memory_error(error):
            return _failed(job, VeloxSegError("MEMORY_CPU"))
        traceback.print_exc()
        return _failed(job, VeloxSegError("UNEXPECTED", kind=type(error).__name__))
    return Result(job.case.id)


def _failed(job: Job, error: VeloxSegError) -> Result:
    return Result(job.case.id, error.code, error.text)


def is_finished(folder: Path, case: str) -> bool:
    """Whether the case is there, whole."""
    return (folder / case / FACTS).is_file()


def _write(job: Job) -> None:
    case = job.case
    loaded = case.load(job.card)
    pictures, facts = _photo(job, loaded) if isinstance(loaded, LoadedPhoto) else _volumes(job, loaded)
    facts = {
        "id": case.id,
        "patient": case.patient,
        "sources": {role.name: _path(case.sources.get(role.name)) for role in job.card.roles},
        "label_source": None if loaded.parameters is not None else _path(case.label),
        **facts,
    }
    if loaded.parameters is not None:
        facts["parameters"] = loaded.parameters
    _write_folder(job.folder / case.id, pictures, facts)


def _photo(job: Job, loaded: LoadedPhoto) -> tuple[dict[str, sitk.Image], dict]:
    """Pictures by file name, and what the report says about them."""
    photo = sitk.GetImageFromArray(loaded.pixels, isVector=True)
    mask = sitk.GetImageFromArray(loaded.mask.astype(np.uint8) * 255)
    share = {job.card.labels[0].name: round(float(loaded.mask.mean()), 5)}
    return {"photo.png": photo, "mask.png": mask}, {"size": list(photo.GetSize()), "label_share": share}


def _volumes(job: Job, loaded: Loaded) -> tuple[dict[str, sitk.Image], dict]:
    """The same of volumes."""
    case, card = job.case, job.card
    label = _card_label(loaded.label, case, job.label_values)
    owner = _label_owner(label, loaded.images, card, case)
    volumes, moved = loaded.images, None
    if job.register:
        volumes, label, moved = _registered(volumes, label, owner, card)
    _check_places(volumes, label, card, case)
    notes = [*loaded.notes]
    pipeline.check_plausibility(_with_files(card, case), volumes, (), notes.append)

    grid = images.working_grid(images.grid_of(volumes[card.reference.name]), card.spacing_mm)
    arrays = {role.name: _on_grid(volumes[role.name], role, grid) for role in card.roles}
    mask = _label_on_grid(label, grid)
    box = foreground_box(arrays, mask)
    low = np.array([[side.start for side in box]], dtype=np.float64)
    cut = images.Grid(tuple(s.stop - s.start for s in box), grid.spacing, tuple(grid.world(low)[0].tolist()), grid.direction)
    facts = {
        "notes": [note.text for note in notes],
        "moved": moved,
        "size": list(cut.size),
        "label_ml": {
            one.name: {"source": _volume(label, one.value), "prepared": _ml(mask == one.value, grid)} for one in card.labels
        },
    }
    pictures = {name: images.image_of(array[box], cut) for name, array in (arrays | {LABEL: mask}).items()}
    return {f"{name}.nii.gz": picture for name, picture in pictures.items()}, facts


def _write_folder(folder: Path, pictures: Mapping[str, sitk.Image], facts: dict) -> None:
    """All files under a temporary name beside, then one renaming. Raises DISK_FULL or OUTPUT_UNWRITABLE."""
    partial = folder.with_name(PARTIAL + folder.name)
    with files.typed_output_errors(folder):
        try:
            partial.mkdir(parents=True)
            for name, image in pictures.items():
                images.write(image, partial / name, compress=True)
            files.write_json(partial / FACTS, facts)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _card_label(label: sitk.Image, case: Case, values: Mapping[int, int]) -> sitk.Image:
    """The label as uint8 with the card's values. Raises LABEL_VALUES."""
    array = images.array_of(label)
    known = {0: 0, **values}
    found = np.unique(array)
    strange = [f"{value:g}" for value in found if value not in known]
    if strange:
        raise VeloxSegError(
            "LABEL_VALUES", path=case.label, found=", ".join(strange[:5]), known=", ".join(str(v) for v in sorted(known))
        )
    result = np.zeros(array.shape, dtype=np.uint8)
    for value, target in known.items():
        result[array == value] = target
    return images.image_of(result, images.grid_of(label))


def _label_owner(label: sitk.Image, volumes: Mapping[str, sitk.Image], card: Card, case: Case) -> str:
    """The role that the label was drawn on: the one with its grid, else the reference. Raises LABEL_PLACE.

    A label of an image's very size that lies elsewhere has lost its header; a size of its own is taken by position.
    """
    reference = card.reference.name
    grid = images.grid_of(label)
    grids = {name: images.grid_of(volumes[name]) for name in (reference, *volumes)}
    for name, other in grids.items():
        if images.same_grid(grid, other):
            return name
    for name, other in grids.items():
        if grid.size == other.size:
            away = float(np.abs(grid.corners() - other.corners()).max())
            raise VeloxSegError("LABEL_PLACE", path=case.label, role=name, distance=away)
    return reference


def _registered(
    volumes: Mapping[str, sitk.Image], label: sitk.Image, owner: str, card: Card
) -> tuple[dict[str, sitk.Image], sitk.Image, dict]:
    """Every role moved onto the reference, the label with the image it was drawn on, and the report's numbers."""
    reference = card.reference.name
    result, report = dict(volumes), {}
    for name, image in volumes.items():
        if name == reference:
            continue
        rigid = registration.register(volumes[reference], image)
        result[name] = registration.moved(image, rigid)
        report[name] = rigid.report()
        if name == owner:
            label = registration.moved(label, rigid)
    return result, label, report


def _with_files(card: Card, case: Case) -> Card:
    """The card with the file of each role in its title, for what is said about the case."""
    roles = [
        replace(role, title=f"{role.title} ({case.sources[role.name]})") if role.name in case.sources else role
        for role in card.roles
    ]
    # its grid is the one that is being prepared
    return replace(card, roles=tuple(roles), plausibility={"MODEL_DOMAIN": plausibility.IGNORE, **card.plausibility})


def _check_places(volumes: Mapping[str, sitk.Image], label: sitk.Image, card: Card, case: Case) -> None:
    """Raises INPUT_OVERLAP with the file's name for an image or label elsewhere than the reference image."""
    reference = card.reference.name
    paths = {name: case.sources.get(name) for name in volumes} | {LABEL: case.label}
    for name, image in (*volumes.items(), (LABEL, label)):
        shared = images.overlap(images.grid_of(image), images.grid_of(volumes[reference]))
        if not limits.covers(shared):
            raise VeloxSegError("INPUT_OVERLAP", role=f"{name} ({paths[name]})", reference=reference, percent=100 * shared)


def _on_grid(image: sitk.Image, role: Role, grid: images.Grid) -> np.ndarray:
    """The role's image on the grid: CT as int16, everything else as float32."""
    outside = OUTSIDE.get(role.modality)
    if outside is None:
        outside = intensities.air_value(sitk.GetArrayViewFromImage(image))
    array = images.array_of(images.resample(image, grid, background=outside))
    if role.modality == "CT":
        limits = np.iinfo(np.int16)
        return np.clip(np.rint(array), limits.min, limits.max).astype(np.int16)
    return array


def _label_on_grid(label: sitk.Image, grid: images.Grid) -> np.ndarray:
    """Each voxel gets the class that fills most of it: on a coarser grid the nearest voxel would be a matter of chance."""
    source = images.grid_of(label)
    array = images.array_of(label)
    if images.same_grid(source, grid):
        return array
    present = [int(value) for value in np.unique(array)]
    values = present if 0 in present else [0, *present]
    maps = ((array == value).astype(np.float32) for value in values)
    return images.labels_on_grid(maps, source, grid, values)


def foreground_box(arrays: Mapping[str, np.ndarray], label: np.ndarray) -> tuple[slice, slice, slice]:
    """Box (x, y, z) of all voxels that are foreground in some image or labeled, with a small margin.

    A foreground voxel counts where most of its neighborhood is foreground too: noise in air holds no box open.
    """
    filled = label > 0
    for array in arrays.values():
        step = max(1, int(np.ceil((array.size / ENOUGH_VOXELS) ** (1 / 3))))
        above = array > foreground_threshold(array[::step, ::step, ::step])[1]
        median = sitk.BinaryMedian(sitk.GetImageFromArray(above.astype(np.uint8)), [1, 1, 1], 1.0)
        filled |= sitk.GetArrayViewFromImage(median) > 0
    sides = []
    for axis, length in enumerate(filled.shape):
        used = np.flatnonzero(filled.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = (used[0], used[-1] + 1) if len(used) else (0, length)
        sides.append(slice(max(0, int(low) - MARGIN_VOXELS), min(length, int(high) + MARGIN_VOXELS)))
    return tuple(sides)


def _volume(label: sitk.Image, value: int) -> float:
    return _ml(sitk.GetArrayViewFromImage(label) == value, images.grid_of(label))


def _ml(voxels: np.ndarray, grid: images.Grid) -> float:
    return round(int(np.count_nonzero(voxels)) * grid.voxel_ml, 3)


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
