"""Photos of the skin: reading them, and the way to the network's square and back.

A photo is a uint8 array (y, x, 3), red, green, blue, row 0 on top. A working image is square. The whole photo is scaled so
that its longer side fills the square, and mirrored copies of it fill the rest: nothing is cut off, shapes keep their
proportions, and the network sees skin instead of black bars. On the way back the copies are cut off and the probability is
brought to the photo's own pixels, so that the result has the photo's proportions whatever they are.
"""

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image

from veloxseg.contract.errors import Hear, VeloxSegError, note, unheard
from veloxseg.contract.limits import PHOTO_SIDES

FORMATS = ("PNG", "JPEG", "TIFF")
COLOR_MODES = ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "YCbCr")
GRAY_MODES = ("1", "L", "LA", "La", "I", "F")
DEPTHS = (8, 10, 12, 14, 16)
"""Bits for each color that cameras and programs store in 16."""
# JPEG moves the channels of a gray or even photo apart by a step or two.
ROUNDING = 2
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow and SimpleITK raise for files that are cut off or damaged.
DAMAGED = (
    *(OSError, RuntimeError, SyntaxError, ValueError, TypeError),
    *(LookupError, ArithmeticError, EOFError, struct.error, zlib.error),
)


@dataclass(frozen=True)
class Placement:
    """Where a photo lies in its working image.

    `photo`, `content` and `corner` are (rows, columns): the photo's pixels, the pixels that it has in the square, and the
    pixel of the square where it begins. `size`: side of the square in pixels.
    """

    photo: tuple[int, int]
    size: int
    content: tuple[int, int]
    corner: tuple[int, int]


def read(path: Path, hear: Hear = unheard) -> np.ndarray:
    """Read a PNG, JPEG or TIFF file as uint8 (y, x, 3), turned as its EXIF orientation says.

    Transparency is dropped, a palette resolved, and 16 bits become 8, see `eight_bits`. Color profiles are not applied.
    Raises INPUT_MISSING, PHOTO_UNREADABLE, PHOTO_KIND, PHOTO_SIZE or PHOTO_EMPTY.
    """
    if not Path(path).is_file():
        raise VeloxSegError("INPUT_MISSING", role="photo", path=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning of Pillow is either refused below or of no account
            with Image.open(path, formats=FORMATS) as file:
                _check_header(file, path)
                array = _upright(file, path, hear)
    except Image.DecompressionBombError as error:
        raise _size_error(path, "far too large", "scale it down") from error
    except DAMAGED as error:
        raise VeloxSegError("PHOTO_UNREADABLE", photo=path, detail=str(error)) from error
    _check_colors(array, path)
    return array


def eight_bits(array: np.ndarray, hear: Hear = unheard) -> np.ndarray:
    """uint16 as uint8: the upper 8 of as many bits as the largest value needs, and a note where these are not all 16."""
    largest = int(array.max())
    depth = next(depth for depth in DEPTHS if largest < 1 << depth)
    if depth < 16:
        hear(note("PHOTO_BITS", largest=largest, bits=depth))
    return (array >> (depth - 8)).astype(np.uint8)


def from_volume(image: sitk.Image, hear: Hear = unheard) -> np.ndarray:
    """The photo in a vector image of one slice, as 3D Slicer keeps it: uint8 (y, x, 3).

    Rows and columns are those of the voxels (j, i), whatever the direction matrix says, so that a mask of the array fits the
    image voxel by voxel. Raises PHOTO_KIND, PHOTO_SIZE or PHOTO_EMPTY.
    """
    photo = "given as volume"
    size, components = image.GetSize(), image.GetNumberOfComponentsPerPixel()
    if any(n > 1 for n in size[2:]):
        raise _kind_error(photo, f"a stack of {size[2]} slices", "extract one slice")
    if components not in (3, 4):
        found = "gray" if components < 3 else f"an image of {components} channels"
        raise _kind_error(photo, found, "choose the color photo")
    _check_size(size[:2], photo)
    array = sitk.GetArrayViewFromImage(image).reshape(size[1], size[0], components)[..., :3]
    if array.dtype == np.uint16:
        array = eight_bits(array, hear)
    elif array.dtype != np.uint8:
        raise _kind_error(photo, f"of the number type {array.dtype}", "save it with 8 bits for each color")
    array = array.astype(np.uint8)
    _check_colors(array, photo)
    return array


def to_working(photo: np.ndarray, size: int) -> tuple[np.ndarray, Placement]:
    """The photo (y, x, 3) in a square of `size` pixels, uint8 (size, size, 3), and where it lies there.

    Shrinking averages. Both axes have the same factor but for rounding the shorter side to whole pixels.
    """
    rows, columns = photo.shape[:2]
    factor = size / max(rows, columns)
    content = (max(1, round(rows * factor)), max(1, round(columns * factor)))
    placement = Placement((rows, columns), size, content, ((size - content[0]) // 2, (size - content[1]) // 2))
    small = Image.fromarray(photo).resize(content[::-1], Image.Resampling.BILINEAR)
    return _mirrored(np.asarray(small), placement), placement


def mask_to_working(mask: np.ndarray, placement: Placement) -> np.ndarray:
    """A mask bool (y, x) on the photo as bool (size, size): true where at least half of a working pixel is covered."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    small = image.resize(placement.content[::-1], Image.Resampling.BOX)
    return _mirrored(np.asarray(small) >= 128, placement)


def to_photo(probability: np.ndarray, placement: Placement) -> np.ndarray:
    """A map (size, size) of the working image on the photo's pixels, float32 (y, x), linear between working pixels."""
    (top, left), (rows, columns) = placement.corner, placement.content
    content = np.ascontiguousarray(probability[top : top + rows, left : left + columns], dtype=np.float32)
    return np.array(Image.fromarray(content).resize(placement.photo[::-1], Image.Resampling.BILINEAR))


def _mirrored(content: np.ndarray, placement: Placement) -> np.ndarray:
    """Content (y, x, ...) at its place in the square with mirrored copies around."""
    before, whole = np.array(placement.corner), np.array(placement.content)
    pads = list(zip(before, placement.size - whole - before, strict=True)) + [(0, 0)] * (content.ndim - 2)
    return np.pad(content, pads, mode="symmetric")


def _check_header(file: Image.Image, path: Path) -> None:
    _check_size(file.size, path)
    if getattr(file, "n_frames", 1) > 1 and file.format != "MPO":  # phones put a preview behind the photo
        raise _kind_error(path, f"a file of {file.n_frames} pictures", "save one picture alone")
    if file.mode in GRAY_MODES or file.mode.startswith("I;16"):
        raise _kind_error(path, "gray", "choose the color photo")
    if file.mode not in COLOR_MODES:
        raise _kind_error(path, f"stored in {file.mode} colors", "save it with RGB colors")


def _upright(file: Image.Image, path: Path, hear: Hear) -> np.ndarray:
    """uint8 (y, x, 3). Pillow turns TIFF files while loading and takes the mark away, and keeps the upper 8 bits alone."""
    is_deep, turn = _is_deep(file), TURNS.get(file.getexif().get(ORIENTATION, 1))
    file.load()
    if is_deep:
        image = sitk.ReadImage(str(path))
        array = eight_bits(sitk.GetArrayViewFromImage(image)[..., :3], hear)
        return array if turn is None else np.array(Image.fromarray(array).transpose(turn))
    turn = TURNS.get(file.getexif().get(ORIENTATION, 1))
    picture = file if file.mode in ("RGB", "YCbCr") else file.convert("RGBA")  # premultiplied colors don't convert to RGB
    picture = picture.convert("RGB")
    return np.array(picture if turn is None else picture.transpose(turn))


def _is_deep(file: Image.Image) -> bool:
    """Whether a color has 16 bits in the file."""
    return file.mode.startswith("RGB") and any(";16" in str(tile.args) for tile in file.tile)


def _check_size(size: tuple[int, int], photo: object) -> None:
    found = f"{size[0]} x {size[1]} pixels"
    if max(size) > PHOTO_SIDES[1]:
        raise _size_error(photo, found, "scale it down")
    if min(size) < PHOTO_SIDES[0]:
        raise _size_error(photo, found, "choose a larger photo")


def _check_colors(array: np.ndarray, photo: object) -> None:
    if int(np.ptp(array.reshape(-1, 3), axis=0).max()) <= ROUNDING:
        raise VeloxSegError("PHOTO_EMPTY", photo=photo)
    red, green, blue = (array[..., n] for n in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if int(spread.max()) <= ROUNDING:
        raise _kind_error(photo, "gray", "choose the color photo")


def _kind_error(photo: object, found: str, remedy: str) -> VeloxSegError:
    return VeloxSegError("PHOTO_KIND", photo=photo, found=found, remedy=remedy)


def _size_error(photo: object, found: str, remedy: str) -> VeloxSegError:
    return VeloxSegError("PHOTO_SIZE", photo=photo, found=found, shortest=PHOTO_SIDES[0], longest=PHOTO_SIDES[1], remedy=remedy)
