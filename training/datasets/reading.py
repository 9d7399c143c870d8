"""One image of a case: a file, or a folder with the slices of one DICOM series, in the unit of its role."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from veloxseg import images, intensities, nifti, suv
from veloxseg.errors import Hear, VeloxSegError, unheard

LARGEST_GAP = 0.01


def read(path: Path, role: dict, hear: Hear = unheard) -> sitk.Image:
    """The image of a card's role; a PET series in DICOM becomes SUVbw, a PET file is taken to be SUV.

    `hear` gets the notes of `images.read`.
    Raises the INPUT_* codes with role and file, or SUV.
    """
    name = f"{role['name']} ({path})"
    empty = partial(intensities.background, role["intensity"])
    return read_series(path, role) if path.is_dir() else images.read(path, name, empty, hear)


def read_label(path: Path, hear: Hear = unheard) -> sitk.Image:
    """A label file with its own pixel type. Raises the INPUT_* codes."""
    return images.read_volume(path, f"label ({path})", hear)


def read_channels(path: Path, roles: Sequence[dict], hear: Hear = unheard) -> dict[str, sitk.Image]:
    """The channels of a 4D file by the name of their role, in the file's order.

    Raises IMAGE_CHANNELS, INPUT_UNREADABLE or INPUT_NAN.
    """
    try:
        whole = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise VeloxSegError("INPUT_UNREADABLE", role=f"4D ({path})", detail=str(error)) from error
    if not nifti.is_complete(path):
        raise VeloxSegError("INPUT_UNREADABLE", role=f"4D ({path})", detail="the file ends before its last voxel")
    found = whole.GetSize()[3] if whole.GetDimension() == 4 else 1
    if found != len(roles):
        names = ", ".join(role["name"] for role in roles)
        raise VeloxSegError("IMAGE_CHANNELS", path=path, found=found, needed=f"{len(roles)} ({names})")
    size = [*whole.GetSize()[:3], 0]
    channels = {}
    for number, role in enumerate(roles):
        image, name = sitk.Extract(whole, size, [0, 0, 0, number]), f"{role['name']} ({path})"
        image = images.finite(image, name, partial(intensities.background, role["intensity"]), hear)
        images.check_contrast(image, name)
        channels[role["name"]] = image
    return channels


def read_series(folder: Path, role: dict) -> sitk.Image:
    """The only DICOM series of a folder as float32, CT in HU, PET in SUVbw.

    Raises INPUT_UNREADABLE, INPUT_ROLE for several series or missing slices, and SUV.
    """
    name = f"{role['name']} ({folder})"
    reader = sitk.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise VeloxSegError("INPUT_ROLE", role=name, reason=f"the folder holds {len(series)} DICOM series instead of one")
    files = reader.GetGDCMSeriesFileNames(str(folder), series[0])
    headers = [suv.header(Path(file)) for file in files]
    _check_slices(headers, name)
    reader.SetFileNames(files)
    # slices of one PET series differ in their slopes; the first slice's pixel type may be too small for the others
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise VeloxSegError("INPUT_UNREADABLE", role=name, detail=str(error)) from error
    return image * suv.factor(headers, folder) if role["modality"] == "PT" else image


def _check_slices(headers: list, name: str) -> None:
    """ITK closes the gap of a missing slice in silence."""
    if len(headers) < 3:
        return
    if not all("ImagePositionPatient" in h and "ImageOrientationPatient" in h for h in headers):
        raise VeloxSegError("INPUT_GEOMETRY", role=name, reason="its slices do not say where they lie")
    normal = np.cross(headers[0].ImageOrientationPatient[:3], headers[0].ImageOrientationPatient[3:])
    steps = np.diff([float(np.dot(h.ImagePositionPatient, normal)) for h in headers])
    if np.ptp(steps) > LARGEST_GAP * abs(float(np.median(steps))):
        raise VeloxSegError("INPUT_ROLE", role=name, reason="its slices are not evenly spaced, so that one is missing or doubled")
