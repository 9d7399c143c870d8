"""One image of a case: a file, or a folder with the slices of one DICOM series, in the unit of its role."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from veloxseg.contract.card import Role
from veloxseg.contract.errors import Hear, VeloxSegError, unheard
from veloxseg.imaging import images, intensities, reading, suv
from veloxseg.imaging.stored import contradiction, unreadable

LARGEST_GAP = 0.01
ROUNDING = 1e-3
POSITION = "ImagePositionPatient"
GEOMETRY = {POSITION: 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
"""Element of every slice -> how many numbers it holds."""
RESCALE = ("RescaleSlope", "RescaleIntercept")
RESCALED = ("CT", "PT")
"""Modalities whose unit comes from the rescaling."""


def read(path: Path, role: Role, hear: Hear = unheard) -> sitk.Image:
    """The image of a card's role; a PET series in DICOM becomes SUVbw, a PET file is taken to be SUV.

    `hear` gets the notes of `images.read`.
    Raises the INPUT_* codes with role and file, or SUV.
    """
    name = f"{role.name} ({path})"
    empty = partial(intensities.background, role.intensity)
    return read_series(path, role) if path.is_dir() else images.read(path, name, empty, hear)


def read_label(path: Path, hear: Hear = unheard) -> sitk.Image:
    """A label file with its own pixel type. Raises the INPUT_* codes."""
    return images.read_volume(path, f"label ({path})", hear)


def read_channels(path: Path, roles: Sequence[Role], hear: Hear = unheard) -> dict[str, sitk.Image]:
    """The channels of a 4D file by the name of their role, in the file's order.

    Raises IMAGE_CHANNELS, INPUT_UNREADABLE or INPUT_NAN.
    """
    whole = reading.read(path, f"4D ({path})", hear)
    found = whole.GetSize()[3] if whole.GetDimension() == 4 else 1
    if found != len(roles):
        names = ", ".join(role.name for role in roles)
        raise VeloxSegError("IMAGE_CHANNELS", path=path, found=found, needed=f"{len(roles)} ({names})")
    size = [*whole.GetSize()[:3], 0]
    channels = {}
    for number, role in enumerate(roles):
        image, name = sitk.Extract(whole, size, [0, 0, 0, number]), f"{role.name} ({path})"
        image = images.finite(image, name, partial(intensities.background, role.intensity), hear)
        images.check_contrast(image, name)
        channels[role.name] = image
    return channels


def read_series(folder: Path, role: Role) -> sitk.Image:
    """The only DICOM series of a folder as float32, CT in HU, PET in SUVbw.

    Raises INPUT_UNREADABLE, INPUT_GEOMETRY, INPUT_ROLE for several series or missing slices, and SUV.
    """
    name = f"{role.name} ({folder})"
    reader = sitk.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise VeloxSegError("INPUT_ROLE", role=name, reason=f"the folder holds {len(series)} DICOM series instead of one")
    files = reader.GetGDCMSeriesFileNames(str(folder), series[0])
    headers = [suv.header(Path(file)) for file in files]
    _check_slices(headers, role, name)
    reader.SetFileNames(files)
    # slices of one PET series differ in their slopes; the first slice's pixel type may be too small for the others
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise unreadable(name, "its DICOM files are damaged", detail=str(error)) from error
    return image * suv.factor(headers, folder) if role.modality == "PT" else image


def _check_slices(headers: list, role: Role, name: str) -> None:
    """What a header lacks, GDCM and ITK make up, and the gap of a missing slice they close, both in silence."""
    modalities = {str(header.get("Modality", "")) for header in headers} - {"", role.modality}
    if modalities:
        raise VeloxSegError("INPUT_ROLE", role=name, reason=f"its modality is {modalities.pop()} instead of {role.modality} "
                                                            "(Modality)")  # fmt: skip
    found = {keyword: [suv.numbers(header, keyword, count) for header in headers] for keyword, count in GEOMETRY.items()}
    for keyword, values in found.items():
        if None in values:
            raise contradiction(name, f"a slice has no {GEOMETRY[keyword]} numbers in {keyword}")
        if keyword != POSITION and np.ptp(values, axis=0).max() > ROUNDING:
            raise contradiction(name, f"its slices differ in {keyword}")
    if role.modality in RESCALED and not all(_is_number(header, keyword) for header in headers for keyword in RESCALE):
        raise VeloxSegError("INPUT_ROLE", role=name, reason=f"a slice has no number in {' or '.join(RESCALE)}")
    rows, columns = np.split(np.array(found["ImageOrientationPatient"][0]), 2)
    products = rows @ rows, columns @ columns, rows @ columns
    if min(found["PixelSpacing"][0]) <= 0 or not np.allclose(products, (1, 1, 0), atol=0.01):
        raise contradiction(name, "PixelSpacing or ImageOrientationPatient is impossible")
    _check_steps(np.diff(found[POSITION], axis=0), np.cross(rows, columns), name)


def _check_steps(steps: np.ndarray, normal: np.ndarray, name: str) -> None:
    """steps: (n, 3) in mm from slice to slice."""
    if not len(steps):
        return
    along = steps @ normal
    usual = abs(float(np.median(along)))
    if usual == 0 or np.ptp(along) > LARGEST_GAP * usual:
        raise VeloxSegError("INPUT_ROLE", role=name, reason="its slices are not evenly spaced, so that one is missing or doubled")
    if np.abs(steps - np.outer(along, normal)).max() > LARGEST_GAP * usual:
        raise contradiction(name, "its slices are not stacked straight, as with a tilted gantry")


def _is_number(header: object, keyword: str) -> bool:
    try:
        return bool(np.isfinite(float(header.get(keyword))))
    except suv.BROKEN_ELEMENT:
        return False
