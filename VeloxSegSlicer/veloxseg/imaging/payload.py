"""The bytes of an image's voxels: all that the header promises and nothing behind them, read once.

ITK reads past the end of most formats without a word, and checks no checksum of compressed voxels.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

CHUNK = 1 << 22
RAW, COMPRESSED = "raw", "compressed"
ANY_HEADER = 47  # zlib's number for "gzip or zlib, whichever it is"
GZIP_MAGIC = b"\x1f\x8b"
STREAMS = (GZIP_MAGIC, b"\x78")
"""What a compressed stream begins with: gzip's and zlib's."""
LARGEST_PADDING = 1 << 16
# No byte of compressed data can stand for more.
LARGEST_RATIO = 1032

CUT_OFF = "the file ends before its last voxel"
GOES_ON = "the file goes on after its last voxel, so that header and voxels do not belong together"
DAMAGED = "its compressed voxels are damaged"


class PayloadError(Exception):
    """The voxels are not what the header promises; the text says why."""


@dataclass(frozen=True)
class Place:
    """Where voxels lie: from byte `offset` of a file to its end; with COMPRESSED `skip` bytes are dropped after decompression."""

    path: Path
    offset: int
    encoding: str = RAW
    skip: int = 0


def read(place: Place, count: int) -> np.ndarray:
    """The `count` bytes at a place, uint8. A few zeros behind them are padding. Raises PayloadError or OSError."""
    stored = max(place.path.stat().st_size - place.offset, 0)
    if place.skip + count > stored * (LARGEST_RATIO if place.encoding == COMPRESSED else 1):
        raise PayloadError(CUT_OFF)
    with open(place.path, "rb") as file:
        file.seek(place.offset)
        return _raw(file, count) if place.encoding == RAW else _decompressed(file, place.skip, count)


def is_compressed(path: Path) -> bool:
    """Whether a file begins as gzip's do."""
    with open(path, "rb") as file:
        return file.read(len(GZIP_MAGIC)) == GZIP_MAGIC


def beginning(path: Path, count: int) -> bytes:
    """The first bytes, at most `count`, decompressed where the file is compressed by gzip. Raises PayloadError or OSError."""
    with open(path, "rb") as file:
        stored = file.read(count)
        if not stored.startswith(GZIP_MAGIC):
            return stored
        decoder, found = zlib.decompressobj(ANY_HEADER), b""
        try:
            while stored and len(found) < count and not decoder.eof:
                found += decoder.decompress(stored, count - len(found))
                stored = decoder.unconsumed_tail or file.read(CHUNK)
        except zlib.error as error:
            raise PayloadError(DAMAGED) from error
    return found


def _raw(file: BinaryIO, count: int) -> np.ndarray:
    voxels = np.fromfile(file, np.uint8, count)
    if len(voxels) < count:
        raise PayloadError(CUT_OFF)
    _check_padding(file.read(LARGEST_PADDING + 1))
    return voxels


def _decompressed(file: BinaryIO, skip: int, count: int) -> np.ndarray:
    voxels = np.empty(skip + count, np.uint8)
    filled, behind = 0, b""
    for part in _parts(file):
        kept = part[: len(voxels) - filled]
        voxels[filled : filled + len(kept)] = np.frombuffer(kept, np.uint8)
        filled += len(kept)
        behind += part[len(kept) :]
        _check_padding(behind)
    if filled < len(voxels):
        raise PayloadError(CUT_OFF)
    return voxels[skip:]


def _parts(file: BinaryIO) -> Iterator[bytes]:
    """Decompressed bytes piece by piece, with every checksum checked; several compressed streams may follow each other."""
    stored = file.read(CHUNK)
    while stored.startswith(STREAMS):
        decoder = zlib.decompressobj(ANY_HEADER)
        while not decoder.eof:
            try:
                part = decoder.decompress(stored, CHUNK)
            except zlib.error as error:
                raise PayloadError(DAMAGED) from error
            if part:
                yield part
            elif not stored:
                raise PayloadError(CUT_OFF)
            if not decoder.eof:
                stored = decoder.unconsumed_tail or file.read(CHUNK)
        stored = decoder.unused_data or file.read(CHUNK)
    _check_padding(stored + file.read(LARGEST_PADDING))


def _check_padding(behind: bytes) -> None:
    if len(behind) > LARGEST_PADDING or behind.strip(b"\0"):
        raise PayloadError(GOES_ON)
