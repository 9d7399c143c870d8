"""Headers of MetaImage files (.mha, .mhd); the format is described at https://itk.org/Wiki/MetaIO/Documentation."""

import re
from pathlib import Path

import numpy as np

from veloxseg.contract.errors import note
from veloxseg.imaging import payload, stored
from veloxseg.imaging.payload import Place
from veloxseg.imaging.stored import Stored, unreadable

LONGEST_HEADER = 1 << 16
LOCAL = "LOCAL"
SPACINGS = ("ElementSpacing", "ElementSize")
ORIENTATIONS = ("TransformMatrix", "Rotation", "Orientation")


NUMBER_TYPES = {"MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_USHORT": "u2", "MET_SHORT": "i2", "MET_UINT": "u4", "MET_INT": "i4",
                "MET_ULONG_LONG": "u8", "MET_LONG_LONG": "i8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8"}  # fmt: skip
POSITIONS = ("Offset", "Position", "Origin")
MOST_AXES = 4
LONGEST_COUNT = 12  # digits


def read_header(path: Path, role: str) -> Stored:
    """Raises INPUT_UNREADABLE or INPUT_GEOMETRY.

    ITK is not asked: it ends the whole process for some damaged headers.
    """
    fields, end = _fields(payload.beginning(path, LONGEST_HEADER), role)
    if not _is_true(fields.get("BinaryData", "True")):
        raise unreadable(role, "its voxels are stored as text", stored.SAVE_PLAIN)
    if fields.get("ElementType") not in NUMBER_TYPES:
        raise unreadable(role, f"its number type {fields.get('ElementType', '')!r} is not known", stored.SAVE_PLAIN)
    size = _counts(fields, "DimSize", role)
    (channels,) = _counts(fields, "ElementNumberOfChannels", role)[:1] or (1,)
    count = len(size)
    if not 2 <= count <= MOST_AXES or fields.get("NDims") != str(count) or min(*size, channels) < 1:
        raise unreadable(role, stored.DAMAGED_HEADER)
    if not any(name in fields for name in SPACINGS):
        raise stored.contradiction(role, "its voxel spacing is not stored")
    spacing = _numbers(fields, SPACINGS, role)
    origin = _numbers(fields, POSITIONS, role) or (0.0,) * count
    axes = _numbers(fields, ORIENTATIONS, role) or tuple(np.eye(count).ravel().tolist())
    if (len(spacing), len(origin), len(axes)) != (count, count, count**2):
        raise unreadable(role, stored.DAMAGED_HEADER)
    notes = []
    if not any(name in fields for name in ORIENTATIONS):
        notes.append(note("INPUT_ORIENTATION", role=role))
    elif not any(name in fields for name in POSITIONS):
        notes.append(note("INPUT_ORIGIN", role=role))
    order = ">" if _is_true(fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False"))) else "<"
    described = Stored(
        Place(path, end),
        size,
        channels,
        np.dtype(order + NUMBER_TYPES[fields["ElementType"]]),
        spacing,
        origin,
        # an axis after the other in the file
        tuple(np.reshape(axes, (count, count)).T.ravel().tolist()),
        notes=notes,
    )
    return described.at(_place(path, role, fields, end, described.byte_count))


def _counts(fields: dict[str, str], name: str, role: str) -> tuple[int, ...]:
    words = fields.get(name, "").split()
    if not all(word.isdecimal() and len(word) < LONGEST_COUNT for word in words):
        raise unreadable(role, stored.DAMAGED_HEADER)
    return tuple(int(word) for word in words)


def _numbers(fields: dict[str, str], names: tuple[str, ...], role: str) -> tuple[float, ...]:
    """The numbers of the first field that is there, none without one."""
    words = next((fields[name].split() for name in names if name in fields), [])
    try:
        return tuple(float(word) for word in words)
    except ValueError as error:
        raise unreadable(role, stored.DAMAGED_HEADER) from error


def _fields(beginning: bytes, role: str) -> tuple[dict[str, str], int]:
    """The fields up to the last one, ElementDataFile, and where the header ends. None may stand there with two values."""
    fields: dict[str, str] = {}
    start = 0
    while "ElementDataFile" not in fields:
        end = beginning.find(b"\n", start)
        name, separator, value = beginning[start : end if end >= 0 else None].decode("latin-1").partition("=")
        if not separator:
            raise unreadable(role, stored.DAMAGED_HEADER)
        if fields.setdefault(name.strip(), value.strip()) != value.strip():
            raise unreadable(role, stored.DAMAGED_HEADER)
        start = end + 1
        if end < 0:
            start = len(beginning)
            break
    if "ElementDataFile" not in fields:
        raise unreadable(role, stored.DAMAGED_HEADER)
    return fields, start


def _place(path: Path, role: str, fields: dict[str, str], end: int, byte_count: int) -> Place:
    name = fields["ElementDataFile"]
    encoding = payload.COMPRESSED if _is_true(fields.get("CompressedData", "False")) else payload.RAW
    if name.upper() == LOCAL:
        return Place(path, end, encoding)
    if name.upper().startswith("LIST") or "%" in name:
        raise unreadable(role, "its voxels are spread over several files", stored.SAVE_PLAIN)
    data = stored.beside(path, name, role)
    skipped = fields.get("HeaderSize", "0")
    if not re.fullmatch(r"-?\d{1,12}", skipped):
        raise unreadable(role, stored.DAMAGED_HEADER)
    offset = int(skipped) if int(skipped) >= 0 else data.stat().st_size - byte_count
    return Place(data, offset, encoding)


def _is_true(value: str) -> bool:
    return value[:1].upper() in ("T", "1")
