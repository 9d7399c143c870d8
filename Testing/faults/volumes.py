"""Files of volumes: headers and voxels flipped, cut, swapped; wrong units and geometry.

What a damaged file says is read a second time by other code, nibabel for NIfTI and `_text_header` for the rest: where that is
sound, the mask must be the one of what it says; where it is not, a refusal or a note has to come.
"""

import gzip
import math
import re
import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk

from veloxseg.imaging import images

from . import damage
from .verdicts import Verdict, judge
from .workshop import Workshop

NUMBERS = ("0", "-1", "nan", "inf", "1e30", "1e-30", "2", "3", "999999999999", "-3", "", "x", "0x10", "1,5", "3.0001")
WORDS = ("raw", "gzip", "int", "uchar", "float", "little", "big", "True", "False", "MET_FLOAT", "MET_UCHAR",
         "left-posterior-superior", "right-anterior-superior", "other.raw", "LIST", "none", "domain")  # fmt: skip
NIFTI_FIELDS = {"h": (40, 42, 44, 46, 48, 70, 72, 252, 254),
                "f": (76, 80, 84, 88, 108, 112, 116, 256, 260, 264, 268, 280, 300, 320),
                "B": (123,)}  # fmt: skip
NIFTI_VALUES = {"h": (0, 1, -1, 2, 3, 5, 16, 64, 18, 32767),
                "f": (0.0, -1.0, math.nan, math.inf, 1e30, 1e-30, 352.0, 2.0, 3.0),
                "B": (0, 1, 3, 7, 10, 200)}  # fmt: skip
NRRD_TYPES = {"uchar": "u1", "uint8": "u1", "int8": "i1", "short": "i2", "int16": "i2", "ushort": "u2", "int": "i4",
              "float": "f4", "double": "f8"}  # fmt: skip
META_TYPES = {"MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_FLOAT": "f4"}
EXITS = (4,)
DAMAGED = (ValueError, KeyError, IndexError, OverflowError, ArithmeticError, EOFError, OSError, zlib.error, struct.error,
           TypeError, nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError)  # fmt: skip
RIGHT_ANGLE = 0.015


def _sound(workshop: Workshop, name: str) -> bytes:
    path = workshop.root / f"sound-{name}"
    if not path.exists():
        sitk.WriteImage(workshop.image, str(path), name.endswith((".gz", "packed.nrrd")))
    return path.read_bytes()


def _judged(workshop: Workshop, name: str, content: bytes) -> Verdict:
    path = workshop.inputs / name
    path.write_bytes(content)
    notes: list = []
    kept = workshop.kept()

    def difference(answer) -> str:
        said = _second_reading(path)
        if said is None:
            return "a file that contradicts itself was taken"
        return (workshop.answer if _is_original(workshop, said) else workshop.right(said)).difference(answer)

    return judge(lambda: workshop.run(workshop.request(name), notes), difference, EXITS, kept, notes)


def _is_original(workshop: Workshop, image: sitk.Image) -> bool:
    original = workshop.image
    return images.grid_of(image) == images.grid_of(original) and np.array_equal(images.array_of(image), images.array_of(original))


def _second_reading(path: Path) -> sitk.Image | None:
    """What a file says, None when that makes no image."""
    try:
        array, matrix = _nifti(path) if ".nii" in path.name else _text_header(path.read_bytes())
    except DAMAGED:
        return None
    lengths = np.linalg.norm(matrix[:, :3], axis=0)
    if not np.isfinite(matrix).all() or lengths.min() <= 0 or array.size == 0:
        return None
    axes = matrix[:, :3] / lengths
    if np.abs(axes.T @ axes - np.eye(3)).max() > RIGHT_ANGLE:
        return None
    u, _, v = np.linalg.svd(axes)
    grid = images.Grid(array.shape, tuple(lengths), tuple(matrix[:, 3]), tuple((u @ v).ravel()))
    return images.image_of(array, grid)


def _nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Compressed or not, whatever its name says, as 3D Slicer reads it."""
    content = path.read_bytes()
    content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    with np.errstate(all="ignore"):
        image = nibabel.Nifti1Image.from_bytes(content)
        array = np.asarray(image.dataobj)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise ValueError(array.shape)
    return array.astype(np.float64), np.diag([-1.0, -1.0, 1.0]) @ image.affine[:3]


def _text_header(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """A NRRD or MetaImage file, strictly: every field once, and as many bytes as it says."""
    is_nrrd = content.startswith(b"NRRD")
    end = content.index(b"\n\n") + 2 if is_nrrd else content.index(b"\n", content.index(b"ElementDataFile")) + 1
    fields: dict[str, str] = {}
    for line in content[:end].decode("latin-1").strip().split("\n"):
        name, separator, value = line.partition(":" if is_nrrd else "=")
        if separator and fields.setdefault(name.strip().lower(), value.strip()) != value.strip():
            raise ValueError(name)
    return (_nrrd if is_nrrd else _meta)(fields, content[end:])


def _nrrd(fields: dict[str, str], payload: bytes) -> tuple[np.ndarray, np.ndarray]:
    size = [int(word) for word in fields["sizes"].split()]
    numbers = [[float(word) for word in group.split(",")] for group in re.findall(r"\(([^)]*)\)", fields["space directions"])]
    origin = [float(word) for word in fields["space origin"].strip("()").split(",")]
    signs = {"left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1), "right-anterior-superior": (-1, -1, 1),
             "ras": (-1, -1, 1)}[fields["space"].lower()]  # fmt: skip
    if fields["encoding"] in ("gzip", "gz"):
        payload = gzip.decompress(payload)
    elif fields["encoding"] != "raw":
        raise ValueError(fields["encoding"])
    order = {"little": "<", "big": ">"}[fields.get("endian", "little")]
    if int(fields["dimension"]) != 3:
        raise ValueError("dimension")
    matrix = np.c_[np.reshape(numbers, (3, 3)).T, origin]
    return _voxels(payload, order + NRRD_TYPES[fields["type"]], size), np.diag(signs) @ matrix


def _meta(fields: dict[str, str], payload: bytes) -> tuple[np.ndarray, np.ndarray]:
    size = [int(word) for word in fields["dimsize"].split()]
    names = ("elementspacing", "offset", "transformmatrix")
    spacing, origin, axes = ([float(word) for word in fields[name].split()] for name in names)
    if int(fields["ndims"]) != 3 or fields.get("elementnumberofchannels", "1") != "1" or fields["elementdatafile"] != "LOCAL":
        raise ValueError("dimension")
    if fields.get("compresseddata", "False")[:1] in "Tt1":
        payload = zlib.decompress(payload)
    if fields.get("binarydata", "True")[:1] not in "Tt1":
        raise ValueError("text")
    order = ">" if fields.get("binarydatabyteordermsb", "False")[:1] in "Tt1" else "<"
    matrix = np.c_[np.reshape(axes, (3, 3)).T * np.array(spacing), origin]
    return _voxels(payload, order + META_TYPES[fields["elementtype"]], size), matrix


def _voxels(payload: bytes, kind: str, size: list[int]) -> np.ndarray:
    if len(size) != 3 or min(size) < 1:
        raise ValueError(size)
    count = math.prod(size)
    # more bytes than needed belong to something else, fewer are a file that was cut off
    return np.frombuffer(payload, kind, count).reshape(size, order="F").astype(np.float64)


def _text_words(content: bytes, end: int, rng: np.random.Generator) -> bytes:
    lines = content[:end].decode("latin-1").split("\n")
    for _ in range(rng.integers(1, 3)):
        number = int(rng.integers(len(lines)))
        words = lines[number].split(" ")
        way = int(rng.integers(6))
        if way == 0:
            del lines[number]
        elif way == 1:
            lines.insert(number, lines[int(rng.integers(len(lines)))])
        else:
            words[int(rng.integers(len(words)))] = str(rng.choice(NUMBERS if way < 5 else WORDS))
            lines[number] = " ".join(words)
        lines = lines or [""]
    return "\n".join(lines).encode("latin-1") + content[end:]


def _nifti_fields(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 3)):
        kind = str(rng.choice(list(NIFTI_FIELDS)))
        struct.pack_into("<" + kind, changed, int(rng.choice(NIFTI_FIELDS[kind])), rng.choice(NIFTI_VALUES[kind]))
    return bytes(changed)


def _payload_bytes(workshop: Workshop) -> int:
    return workshop.image.GetNumberOfPixels() * 2


def nrrd_header(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    content = _sound(workshop, "a.nrrd")
    return _judged(workshop, "a.nrrd", _text_words(content, len(content) - _payload_bytes(workshop), rng))


def meta_header(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    content = _sound(workshop, "a.mha")
    return _judged(workshop, "a.mha", _text_words(content, len(content) - _payload_bytes(workshop), rng))


def nifti_header(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    return _judged(workshop, "a.nii", _nifti_fields(_sound(workshop, "a.nii"), rng))


def packed_nifti_header(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    content = gzip.decompress(_sound(workshop, "a.nii.gz"))
    return _judged(workshop, "a.nii.gz", gzip.compress(_nifti_fields(content, rng), 1))


def bytes_of_a_file(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Any byte of a plain file: header or voxels, which have no checksum there, so that what they say counts."""
    name = str(rng.choice(["a.nrrd", "a.mha", "a.nii"]))
    content = _sound(workshop, name)
    end = len(content) - _payload_bytes(workshop)
    way = damage.cut if rng.random() < 0.4 else damage.flipped
    return _judged(workshop, name, way(content, rng) if way is damage.cut else way(content[:end], rng) + content[end:])


def bytes_of_a_packed_file(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Compressed voxels have a checksum: the same mask, or a refusal."""
    name = str(rng.choice(["packed.nrrd", "a.nii.gz"]))
    return _judged(workshop, name, damage.data(_sound(workshop, name), rng))


def another_kind(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """The content of one format under the name of another, nothing, or something else altogether."""
    name = str(rng.choice(["a.nrrd", "a.mha", "a.nii", "a.nii.gz", "a.dcm", "a.png", "a", "a.txt", "a.img", "a.mhd", "a.nhdr"]))
    others = [other for other in ("a.nrrd", "a.mha", "a.nii", "a.nii.gz") if other != name]
    contents = (b"", b"\n", b"NRRD0005\n", rng.bytes(500), b"ObjectType = Image\n", _sound(workshop, str(rng.choice(others))))
    return _judged(workshop, name, contents[int(rng.integers(len(contents)))])


def values(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Voxels that are not numbers, all the same, or too large: noted or refused, and few of them change nothing else."""
    array = images.array_of(workshop.image).astype(np.float32)
    places = rng.random(array.shape) < rng.choice([1e-3, 0.1, 0.6, 1.0])
    array[places] = rng.choice([math.nan, math.inf, -math.inf, 3e38, 7.0])
    image = images.image_of(array, images.grid_of(workshop.image))
    name = str(rng.choice(["a.nrrd", "a.mha", "a.nii.gz"]))
    sitk.WriteImage(image, str(workshop.root / f"values-{name}"))
    return _judged(workshop, name, (workshop.root / f"values-{name}").read_bytes())


KINDS = {
    "volume: NRRD header": nrrd_header,
    "volume: MetaImage header": meta_header,
    "volume: NIfTI header": nifti_header,
    "volume: NIfTI.gz header": packed_nifti_header,
    "volume: bytes, plain": bytes_of_a_file,
    "volume: bytes, compressed": bytes_of_a_packed_file,
    "volume: another kind of file": another_kind,
    "volume: voxel values": values,
}
