"""What the header of an image file says about the file, whichever its format."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from veloxseg.contract.errors import Note, VeloxSegError
from veloxseg.imaging.payload import Place

DAMAGED_HEADER = "its header is damaged"
EXPORT_AGAIN = "export it again or choose another file"
CORRECT = "correct its spacing and direction or export it again"
SAVE_PLAIN = "open it in 3D Slicer and save it as .nrrd or .nii.gz"


@dataclass(frozen=True)
class Stored:
    """One image as its header describes it.

    size: voxels along each axis, the fastest first; `channels` lie next to each other, or `apart`, one after the other. dtype:
    with its byte order. Voxel values are stored * slope + intercept, `scale`; None for none. spacing (mm), origin (LPS mm) and
    direction (row-major, LPS) have as many axes as `size`. notes: what is odd about the header.
    """

    place: Place
    size: tuple[int, ...]
    channels: int
    dtype: np.dtype
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    scale: tuple[float, float] | None = None
    notes: list[Note] = field(default_factory=list)
    apart: bool = False

    @property
    def byte_count(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.size) * self.channels * self.dtype.itemsize

    def at(self, place: Place, apart: bool = False) -> "Stored":
        """The same image with its voxels at another place."""
        return replace(self, place=place, apart=apart)


def unreadable(role: str, reason: str, remedy: str = EXPORT_AGAIN, detail: str = "") -> VeloxSegError:
    """INPUT_UNREADABLE."""
    return VeloxSegError("INPUT_UNREADABLE", detail=detail, role=role, reason=reason, remedy=remedy)


def contradiction(role: str, reason: str, detail: str = "", remedy: str = CORRECT) -> VeloxSegError:
    """INPUT_GEOMETRY."""
    return VeloxSegError("INPUT_GEOMETRY", detail=detail, role=role, reason=reason, remedy=remedy)


NUMBER_TYPES = {
    sitk.sitkUInt8: "u1",
    sitk.sitkInt8: "i1",
    sitk.sitkUInt16: "u2",
    sitk.sitkInt16: "i2",
    sitk.sitkUInt32: "u4",
    sitk.sitkInt32: "i4",
    sitk.sitkUInt64: "u8",
    sitk.sitkInt64: "i8",
    sitk.sitkFloat32: "f4",
    sitk.sitkFloat64: "f8",
    sitk.sitkComplexFloat32: "c8",
    sitk.sitkComplexFloat64: "c16",
    sitk.sitkVectorUInt8: "u1",
    sitk.sitkVectorInt8: "i1",
    sitk.sitkVectorUInt16: "u2",
    sitk.sitkVectorInt16: "i2",
    sitk.sitkVectorUInt32: "u4",
    sitk.sitkVectorInt32: "i4",
    sitk.sitkVectorUInt64: "u8",
    sitk.sitkVectorInt64: "i8",
    sitk.sitkVectorFloat32: "f4",
    sitk.sitkVectorFloat64: "f8",
}


def by_itk(path: Path, role: str, reader_name: str, order: str, place: Place, notes: list[Note]) -> Stored:
    """The description whose sizes and geometry ITK reads from the header. order: of bytes, "<" or ">".

    Raises INPUT_UNREADABLE or INPUT_GEOMETRY.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO(reader_name)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        message = str(error)
        if "spacing" in message.lower():
            raise contradiction(role, "its spacing is not positive", message) from error
        if "determinant" in message.lower() or "direction" in message.lower():
            raise contradiction(role, "its direction matrix is singular", message) from error
        raise unreadable(role, DAMAGED_HEADER, detail=message) from error
    number_type = NUMBER_TYPES.get(reader.GetPixelID())
    if number_type is None:
        raise unreadable(role, "its number type is not known")
    return Stored(
        place,
        reader.GetSize(),
        reader.GetNumberOfComponents() if "c" not in number_type else 1,
        np.dtype(order + number_type),
        reader.GetSpacing(),
        reader.GetOrigin(),
        reader.GetDirection(),
        notes=notes,
    )


def beside(path: Path, name: str, role: str) -> Path:
    """The file with the voxels that the header at `path` names. Raises INPUT_UNREADABLE."""
    data = path.parent / name
    if not data.is_file():
        raise unreadable(role, "the file with its voxels is missing", "put it beside its header or export the image as one file")
    return data
