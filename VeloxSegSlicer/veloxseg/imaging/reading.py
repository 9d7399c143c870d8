"""Image files as they are stored: the formats that are documented, whole, and nothing else.

ITK would read much more, such as one DICOM file of a series or a cut-off file, and fill what is missing with rubbish.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from veloxseg.contract.errors import Hear, VeloxSegError, unheard
from veloxseg.imaging import metaimage, nifti, nrrd, payload, stored
from veloxseg.imaging.stored import Stored, contradiction, unreadable

FORMATS: dict[str, Callable[[Path, str], Stored]] = {
    ".nrrd": nrrd.read_header,
    ".nhdr": nrrd.read_header,
    ".nii": nifti.read_header,
    ".nii.gz": nifti.read_header,
    ".hdr": nifti.read_header,
    ".img": nifti.read_header,
    ".mha": metaimage.read_header,
    ".mhd": metaimage.read_header,
}
Source = Path | sitk.Image
"""An image: its file, or itself."""
PICTURES = (".png", ".jpg", ".jpeg")
FARTHEST_MM = 1e6
SINGULAR_DETERMINANT = 1e-3
DICOM_MAGIC, DICOM_MAGIC_AT = b"DICM", 128
LOAD_SERIES = "load the whole series in 3D Slicer and save it as .nrrd or .nii.gz"


def header(path: Path, role: str = "input") -> Stored:
    """What an image file's header says; voxels are not read.

    Raises INPUT_MISSING, INPUT_UNREADABLE, INPUT_KIND or INPUT_GEOMETRY.
    """
    path = Path(path)
    if path.is_dir():
        raise unreadable(role, "it is a folder", LOAD_SERIES)
    if not path.is_file():
        raise VeloxSegError("INPUT_MISSING", role=role, path=path)
    read_header = next((FORMATS[ending] for ending in FORMATS if path.name.lower().endswith(ending)), None)
    try:
        if is_dicom(path):
            raise unreadable(role, "it is one DICOM file, which holds a slice or frames without their place", LOAD_SERIES)
        if path.name.lower().endswith(PICTURES):
            raise VeloxSegError("INPUT_KIND", role=role, found="a picture")
        if read_header is None:
            raise unreadable(role, f"its name ends in none of {', '.join(FORMATS)}", stored.SAVE_PLAIN)
        described = read_header(path, role)
    except payload.PayloadError as error:
        raise unreadable(role, str(error)) from error
    except OSError as error:
        raise unreadable(role, error.strerror or "the file cannot be opened", detail=str(error)) from error
    check_geometry(role, described.spacing, described.origin, described.direction)
    return described


def read(source: Source, role: str = "input", hear: Hear = unheard) -> sitk.Image:
    """The image of a file with its own number type, axes and channels; `hear` gets what is odd about the header. An image in
    memory is itself.

    Raises the codes of `header`.
    """
    if isinstance(source, sitk.Image):
        check_geometry(role, source.GetSpacing(), source.GetOrigin(), source.GetDirection())
        return source
    described = header(source, role)
    try:
        content = payload.read(described.place, described.byte_count)
    except payload.PayloadError as error:
        raise unreadable(role, str(error)) from error
    except OSError as error:
        raise unreadable(role, error.strerror or "the file cannot be opened", detail=str(error)) from error
    for note in described.notes:
        hear(note)
    return _image(described, content)


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    with open(path, "rb") as file:
        return file.read(DICOM_MAGIC_AT + len(DICOM_MAGIC)).endswith(DICOM_MAGIC)


def _image(described: Stored, content: np.ndarray) -> sitk.Image:
    voxels = content.view(described.dtype)
    voxels = voxels.astype(described.dtype.newbyteorder("="), copy=False)
    is_vector = described.channels > 1
    if described.apart:
        voxels = np.moveaxis(voxels.reshape(described.channels, *described.size[::-1]), 0, -1)
    else:
        voxels = voxels.reshape(described.size[::-1] + (described.channels,) * is_vector)
    if described.scale is not None and not is_vector:
        voxels = _scaled(voxels, *described.scale)
    image = sitk.GetImageFromArray(voxels, isVector=is_vector)
    image.SetSpacing(described.spacing)
    image.SetOrigin(described.origin)
    image.SetDirection(described.direction)
    return image


def _scaled(voxels: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """stored * slope + intercept, computed in double precision where single would lose digits."""
    exact = voxels.dtype.itemsize > 2 and voxels.dtype != np.float32
    values = voxels.astype(np.float64 if exact else np.float32)
    # what overflows is infinite, and told with the other voxels that are no numbers
    with np.errstate(over="ignore", invalid="ignore"):
        values *= slope
        values += intercept
        return values if voxels.dtype.kind == "f" else values.astype(np.float32, copy=False)


def check_geometry(role: str, spacing: Sequence[float], origin: Sequence[float], direction: Sequence[float]) -> None:
    """Raises INPUT_GEOMETRY for what is no grid: numbers that are none, no distance between voxels, axes that coincide."""
    if not np.all(np.isfinite([*spacing, *origin, *direction])):
        raise contradiction(role, "its header has values that are not numbers")
    if max(np.abs(origin)) > FARTHEST_MM:
        raise contradiction(role, f"it would lie {max(np.abs(origin)):.2g} mm away from the scanner")
    if min(spacing) <= 0:
        raise contradiction(role, "its spacing is not positive")
    if abs(np.linalg.det(np.reshape(direction, (len(spacing), len(spacing))))) < SINGULAR_DETERMINANT:
        raise contradiction(role, "its direction matrix is singular")
