"""Headers of NRRD files (.nrrd, .nhdr); the format is described at https://teem.sourceforge.net/nrrd/format.html."""

import re
from pathlib import Path

from veloxseg.contract.errors import Note, note
from veloxseg.imaging import payload, stored
from veloxseg.imaging.payload import Place
from veloxseg.imaging.stored import Stored, unreadable

LONGEST_HEADER = 1 << 20
MAGIC = b"NRRD000"
PATIENT_SPACES = (
    *("right-anterior-superior", "left-anterior-superior", "left-posterior-superior"),
    *("ras", "las", "lps"),
)
MILLIMETERS = {"mm", "millimeter", "millimeters", "millimetre", "millimetres", "???", ""}
GEOMETRY = ("spacedirections", "spaceorigin", "spacings")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf(inity)?)|none", re.IGNORECASE)
ENCODINGS = {"raw": payload.RAW, "gzip": payload.COMPRESSED, "gz": payload.COMPRESSED}


def read_header(path: Path, role: str) -> Stored:
    """Raises INPUT_UNREADABLE or INPUT_GEOMETRY."""
    fields, end = _fields(payload.beginning(path, LONGEST_HEADER), role)
    encoding = ENCODINGS.get(fields.get("encoding", "").lower())
    if encoding is None:
        raise unreadable(role, f"its voxels are stored as {fields.get('encoding', 'nothing known')!r}", stored.SAVE_PLAIN)
    _check_numbers(fields, role)
    if not any(name in fields for name in ("spacedirections", "spacings")):
        raise stored.contradiction(role, "its voxel spacing is not stored")
    _check_axes(fields, role)
    notes: list[Note] = []
    if "spacedirections" not in fields or not fields.get("space", "").lower().startswith(PATIENT_SPACES):
        notes.append(note("INPUT_ORIENTATION", role=role))
    elif "spaceorigin" not in fields:
        notes.append(note("INPUT_ORIGIN", role=role))
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    data = _data_file(path, role, fields)
    begin = Place(data, end if data == path else 0, encoding)
    described = stored.by_itk(path, role, "NrrdImageIO", order, begin, notes)
    return described.at(_place(begin, described.byte_count, role, fields), _are_channels_apart(fields, described, role))


def _check_axes(fields: dict[str, str], role: str) -> None:
    """Raises INPUT_GEOMETRY for lengths that ITK takes for millimeters, and for axes of a volume without a direction."""
    units = set(re.findall(r'"([^"]*)"', fields.get("spaceunits", ""))) - MILLIMETERS
    if units:
        raise stored.contradiction(role, f"its lengths are in {min(units)!r} and not in millimeters")
    directions = fields.get("spacedirections", "")
    if "none" in directions.lower() and directions.count("(") < fields.get("kinds", "").lower().split().count("domain"):
        raise stored.contradiction(role, "one of its axes has no direction")


def _fields(beginning: bytes, role: str) -> tuple[dict[str, str], int]:
    """The fields by lower-case names without spaces, and where the header ends."""
    fields: dict[str, str] = {}
    if not beginning.startswith(MAGIC):
        raise unreadable(role, stored.DAMAGED_HEADER)
    start = beginning.find(b"\n") + 1
    while 0 < start < len(beginning):
        end = beginning.find(b"\n", start)
        end = len(beginning) if end < 0 else end
        line = beginning[start:end].decode("latin-1").strip()
        start = end + 1
        if not line:
            break
        name, separator, value = line.partition(":")
        if separator and not value.startswith("=") and not line.startswith("#"):
            fields[name.replace(" ", "").lower()] = value.strip()
    return fields, start


def _check_numbers(fields: dict[str, str], role: str) -> None:
    """ITK takes the beginning of a word for a number, whatever follows."""
    words = [word for name in GEOMETRY for word in re.split(r"[\s(),]+", fields.get(name, ""))]
    if not all(NUMBER.fullmatch(word) for word in words if word):
        raise unreadable(role, stored.DAMAGED_HEADER)


def _data_file(path: Path, role: str, fields: dict[str, str]) -> Path:
    name = fields.get("datafile")
    if name is None:
        return path
    if name.upper().startswith("LIST") or "%" in name:
        raise unreadable(role, "its voxels are spread over several files", stored.SAVE_PLAIN)
    return stored.beside(path, name, role)


def _place(begin: Place, byte_count: int, role: str, fields: dict[str, str]) -> Place:
    """Where the voxels begin after the bytes that `fields` skip; -1 puts them at the end of the file."""
    skip, lines = fields.get("byteskip", "0"), fields.get("lineskip", "0")
    if lines != "0" or not re.fullmatch(r"-?\d{1,12}", skip):
        raise unreadable(role, "its voxels begin at a place that is not supported", stored.SAVE_PLAIN)
    if begin.encoding == payload.COMPRESSED:
        return Place(begin.path, begin.offset, begin.encoding, max(int(skip), 0))
    return Place(begin.path, begin.offset + int(skip) if int(skip) >= 0 else begin.path.stat().st_size - byte_count)


def _are_channels_apart(fields: dict[str, str], described: Stored, role: str) -> bool:
    """Whether channels are the last axis and not the first. The sizes have to be those that ITK has understood."""
    words, size = fields.get("sizes", "").split(), [str(length) for length in described.size]
    channels = str(described.channels)
    if words == [channels, *size] or (described.channels == 1 and _longer_than_one(words) == _longer_than_one(size)):
        return False
    if words == [*size, channels]:
        return True
    raise unreadable(role, stored.DAMAGED_HEADER)


def _longer_than_one(lengths: list[str]) -> list[str]:
    return [length for length in lengths if length != "1"]
