"""Headers of NIfTI files: NIfTI-1 and NIfTI-2, in one file or as a pair (https://nifti.nimh.nih.gov).

Which of a file's two positions counts is what ITK decides, because a result has to lie on the image in 3D Slicer.
"""

import itertools
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from veloxseg.contract.errors import Note, VeloxSegError, note
from veloxseg.imaging import payload, stored
from veloxseg.imaging.payload import Place
from veloxseg.imaging.stored import Stored, contradiction, unreadable

NUMBER_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
                32: "c8", 1792: "c16", 128: "u1", 2304: "u1"}  # fmt: skip
CHANNELS = {128: 3, 2304: 4}
MILLIMETERS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
UNIT_NAMES = {1: "meters", 3: "micrometers"}
UNIT_BITS = 7
SCANNER = 1
LARGEST_OFFSET = 1 << 40
# Headers hold single precision, and some programs round to three digits.
SPACING_TOLERANCE = 2e-3
POSITION_TOLERANCE_MM = 0.1
# ITK's own
RIGHT_ANGLES, SIMILAR = 1e-4, 1e-4
LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class _Version:
    """Where the fields of a version of the header begin, and their kinds as in `struct`."""

    size: int
    magic: int
    single: bytes
    pair: bytes
    dim: tuple[int, str]
    data_type: tuple[int, str]
    pixdim: tuple[int, str]
    offset: tuple[int, str]
    scale: tuple[int, str]
    units: tuple[int, str]
    codes: tuple[int, str]
    quaternion: tuple[int, str]
    """With the position behind it."""
    sform: tuple[int, str]


VERSIONS = (
    _Version(
        348, 344, b"n+1", b"ni1", (40, "8h"), (70, "h"), (76, "8f"), (108, "f"), (112, "2f"), (123, "B"), (252, "2h"),
        (256, "6f"), (280, "12f"),
    ),
    _Version(
        540, 4, b"n+2", b"ni2", (16, "8q"), (12, "h"), (104, "8d"), (168, "q"), (176, "2d"), (500, "i"), (344, "2i"), (352, "6d"),
        (400, "12d"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class _Header:
    """The bytes of a header with their order, "<" or ">"."""

    content: bytes
    order: str
    version: _Version

    def __getitem__(self, name: str) -> tuple:
        start, kinds = getattr(self.version, name)
        return struct.unpack_from(self.order + kinds, self.content, start)


def read_header(path: Path, role: str) -> Stored:
    """Raises INPUT_UNREADABLE, INPUT_KIND or INPUT_GEOMETRY."""
    is_pair = path.suffix.lower() in (".hdr", ".img")
    header_path, data_path = _pair(path, role) if is_pair else (path, path)
    header = _header(payload.beginning(header_path, VERSIONS[1].size), is_pair, role)
    (data_type,), (offset,) = header["data_type"], header["offset"]
    if data_type not in NUMBER_TYPES:
        raise unreadable(role, f"its number type {data_type} is not known", stored.SAVE_PLAIN)
    if not (0 if is_pair else header.version.size) <= offset < LARGEST_OFFSET:
        raise unreadable(role, stored.DAMAGED_HEADER)
    size, apart = _size(header, role)
    notes: list[Note] = []
    spacing, origin, direction = _geometry(header, size, role, notes)
    if not is_pair and payload.is_compressed(path):
        place = Place(path, 0, payload.COMPRESSED, int(offset))
    else:
        place = Place(data_path, int(offset))
    return Stored(
        place,
        size,
        max(apart, CHANNELS.get(data_type, 1)),
        np.dtype(header.order + NUMBER_TYPES[data_type]),
        spacing,
        origin,
        direction,
        _scale(header, role, notes),
        notes,
        apart > 1,
    )


def _pair(path: Path, role: str) -> tuple[Path, Path]:
    """Header and voxels of a pair, whichever of the two was given."""
    endings = (".HDR", ".IMG") if path.suffix.isupper() else (".hdr", ".img")
    header, data = (stored.beside(path, path.stem + ending, role) for ending in endings)
    return header, data


def _header(content: bytes, is_pair: bool, role: str) -> _Header:
    for version, order in itertools.product(VERSIONS, "<>"):
        if len(content) >= version.size and struct.unpack_from(order + "i", content)[0] == version.size:
            header = _Header(content, order, version)
            magic = content[version.magic : version.magic + 3]
            if magic == (version.pair if is_pair else version.single):
                return header
            if magic in (version.pair, version.single):
                raise unreadable(role, "its name is that of another kind of NIfTI file")
            raise unreadable(role, "it is an Analyze file, which does not say where left and right are", stored.SAVE_PLAIN)
    raise unreadable(role, stored.DAMAGED_HEADER)


def _size(header: _Header, role: str) -> tuple[tuple[int, ...], int]:
    """Voxels along the axes, and how many channels lie one after the other along a fifth axis."""
    count, *lengths = header["dim"]
    size = list(lengths[:count])
    if not 1 <= count <= len(lengths) or min(size) < 1:
        raise unreadable(role, stored.DAMAGED_HEADER)
    while len(size) > 3 and size[-1] == 1:
        size.pop()
    channels = size.pop() if len(size) == 5 and size[3] == 1 else 1
    while len(size) > 3 and size[-1] == 1:
        size.pop()
    if len(size) not in (2, 3, 4) or (channels > 1 and header["data_type"][0] in CHANNELS):
        raise VeloxSegError("INPUT_KIND", role=role, found=f"{len(size)}-dimensional")
    return tuple(size), channels


def _scale(header: _Header, role: str, notes: list[Note]) -> tuple[float, float] | None:
    slope, intercept = header["scale"]
    if not np.isfinite([slope, intercept]).all():
        notes.append(note("INPUT_SCALE", role=role))
        return None
    return None if slope == 0 or (slope, intercept) == (1, 0) else (slope, intercept)


def _geometry(header: _Header, size: tuple[int, ...], role: str, notes: list[Note]) -> tuple[tuple[float, ...], ...]:
    """Spacing, origin and direction of all axes of `size`, in LPS mm."""
    code = header["units"][0] & UNIT_BITS
    if code not in MILLIMETERS:
        raise contradiction(role, "its unit of length is not known")
    factor, axes = MILLIMETERS[code], min(len(size), 3)
    spacing = np.array(header["pixdim"][1 : 1 + axes]) * factor
    if not np.isfinite(spacing).all():
        raise contradiction(role, "its header has values that are not numbers")
    if spacing.min() <= 0:
        raise contradiction(role, "its spacing is not positive")
    if code in UNIT_NAMES:
        notes.append(note("INPUT_UNIT", role=role, unit=UNIT_NAMES[code]))
    matrix = _matrix(header, size, factor, role, notes) if axes == 3 else np.eye(2, 3)
    directions = matrix[:, :axes] / np.linalg.norm(matrix[:, :axes], axis=0)
    return _with_further_axes(spacing, matrix[:, axes], directions, len(size))


def _with_further_axes(
    spacing: np.ndarray, origin: np.ndarray, direction: np.ndarray, count: int
) -> tuple[tuple[float, ...], ...]:
    whole = np.eye(count)
    whole[: len(direction), : len(direction)] = direction
    more = count - len(spacing)
    return (*spacing.tolist(), *[1.0] * more), (*origin.tolist(), *[0.0] * more), tuple(whole.ravel().tolist())


def _matrix(header: _Header, size: tuple[int, ...], factor: float, role: str, notes: list[Note]) -> np.ndarray:
    """(3, 4) LPS mm from voxel indices."""
    qform_code, sform_code = header["codes"]
    spacing = np.array(header["pixdim"][1:4])
    found = {}
    if qform_code > 0:
        if not np.isfinite(header["quaternion"]).all():
            raise contradiction(role, "its header has values that are not numbers")
        found["qform"] = _of_quaternion(header["quaternion"], spacing, header["pixdim"][0])
    if sform_code > 0:
        found["sform"] = np.reshape(header["sform"], (3, 4))
    if not found:
        notes.append(note("INPUT_ORIENTATION", role=role))
        return np.hstack([np.diag(spacing), np.zeros((3, 1))]) * factor
    if "sform" in found:
        if not np.isfinite(found["sform"]).all():
            raise contradiction(role, "its header has values that are not numbers")
        _check_spacing(found["sform"], spacing, factor, role)
    taken = _taken(found, sform_code)
    if len(found) == 2:
        corners = np.array([(*corner, 1) for corner in itertools.product(*[(0, n - 1) for n in size[:3]])])
        distance = factor * np.linalg.norm(corners @ (found["qform"] - found["sform"]).T, axis=1).max()
        if distance > POSITION_TOLERANCE_MM:
            notes.append(note("INPUT_POSITIONS", role=role, distance=distance, taken=taken))
    return LPS_FROM_RAS[:, None] * found[taken] * factor


def _taken(found: dict[str, np.ndarray], sform_code: int) -> str:
    """ITK's choice; it has none for an sform with shear alone."""
    if len(found) == 1:
        return next(iter(found))
    sform = found["sform"]
    axes = sform[:, :3] / np.linalg.norm(sform[:, :3], axis=0)
    is_straight = np.allclose(axes @ axes.T, np.eye(3), atol=RIGHT_ANGLES)
    is_similar = np.allclose(sform, found["qform"], atol=SIMILAR)
    return "sform" if is_straight and (sform_code == SCANNER or is_similar) else "qform"


def _check_spacing(sform: np.ndarray, spacing: np.ndarray, factor: float, role: str) -> None:
    lengths = np.linalg.norm(sform[:, :3], axis=0)
    if not np.allclose(lengths, spacing, rtol=SPACING_TOLERANCE, atol=0):
        stated, drawn = (" x ".join(f"{value * factor:.4g}" for value in values) for values in (spacing, lengths))
        raise contradiction(role, f"its voxels measure {stated} mm by its header, but {drawn} mm by its matrix")


def _of_quaternion(fields: tuple[float, ...], spacing: np.ndarray, handedness: float) -> np.ndarray:
    """(3, 4) RAS from voxel indices, in the header's unit."""
    b, c, d = fields[:3]
    rest = 1.0 - (b * b + c * c + d * d)
    if rest < 1e-7:
        b, c, d = np.array([b, c, d]) / np.sqrt(b * b + c * c + d * d)
        rest = 0.0
    a = np.sqrt(rest)
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    steps = spacing * [1.0, 1.0, -1.0 if handedness < 0 else 1.0]
    return np.hstack([rotation * steps, np.reshape(fields[3:], (3, 1))])
