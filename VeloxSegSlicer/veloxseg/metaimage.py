"""Headers of MetaImage files (.mha, .mhd); the format is described at https://itk.org/Wiki/MetaIO/Documentation."""

from pathlib import Path

from veloxseg import payload, stored
from veloxseg.errors import Note, note
from veloxseg.payload import Place
from veloxseg.stored import Stored, unreadable

LONGEST_HEADER = 1 << 16
LOCAL = "LOCAL"
SPACINGS = ("ElementSpacing", "ElementSize")
ORIENTATIONS = ("TransformMatrix", "Rotation", "Orientation")


def read_header(path: Path, role: str) -> Stored:
    """Raises INPUT_UNREADABLE or INPUT_GEOMETRY."""
    fields, end = _fields(payload.beginning(path, LONGEST_HEADER), role)
    if not _is_true(fields.get("BinaryData", "True")):
        raise unreadable(role, "its voxels are stored as text", stored.SAVE_PLAIN)
    if not any(name in fields for name in SPACINGS):
        raise stored.contradiction(role, "its voxel spacing is not stored")
    msb = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False"))
    notes: list[Note] = []
    if not any(name in fields for name in ORIENTATIONS):
        notes.append(note("INPUT_ORIENTATION", role=role))
    described = stored.by_itk(path, role, "MetaImageIO", ">" if _is_true(msb) else "<", Place(path, end), notes)
    return described.at(_place(path, role, fields, end, described.byte_count))


def _fields(beginning: bytes, role: str) -> tuple[dict[str, str], int]:
    """The fields up to the last one, ElementDataFile, and where the header ends."""
    fields: dict[str, str] = {}
    start = 0
    while "ElementDataFile" not in fields:
        end = beginning.find(b"\n", start)
        name, separator, value = beginning[start : end if end >= 0 else None].decode("latin-1").partition("=")
        if not separator:
            raise unreadable(role, stored.DAMAGED_HEADER)
        fields[name.strip()] = value.strip()
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
    if not skipped.lstrip("-").isdigit():
        raise unreadable(role, stored.DAMAGED_HEADER)
    offset = int(skipped) if int(skipped) >= 0 else data.stat().st_size - byte_count
    return Place(data, offset, encoding)


def _is_true(value: str) -> bool:
    return value[:1].upper() in ("T", "1")
