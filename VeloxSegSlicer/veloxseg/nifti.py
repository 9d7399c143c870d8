"""Whether a NIfTI file is complete. ITK fills what is missing from a cut-off file with rubbish and says
nothing."""

import gzip
import math
import struct
import zlib
from pathlib import Path

CHUNK = 1 << 22
NIFTI1_SIZE, NIFTI2_SIZE = 348, 540


def is_complete(path: Path) -> bool:
    """True for anything but a `.nii` or `.nii.gz` with fewer bytes than its header promises or a broken
    compression.

    Header fields are those of the NIfTI-1 and NIfTI-2 standards (https://nifti.nimh.nih.gov). A header that
    is neither is left to the image reader's judgement.
    """
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return True
    opener = gzip.open if name.endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            header = file.read(NIFTI2_SIZE)
            promised = _promised_bytes(header)
            if promised is None:
                return True
            present = len(header)
            while chunk := file.read(CHUNK):
                present += len(chunk)
            return present >= promised
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False


def _promised_bytes(header: bytes) -> int | None:
    """Bytes from the file's beginning to the end of the voxels, or None if this is no NIfTI header."""
    for order in "<>":
        size = struct.unpack_from(f"{order}i", header)[0] if len(header) >= 4 else 0
        if size == NIFTI1_SIZE and len(header) >= NIFTI1_SIZE:
            axes, *lengths = struct.unpack_from(f"{order}8h", header, 40)
            bits = struct.unpack_from(f"{order}h", header, 72)[0]
            offset = struct.unpack_from(f"{order}f", header, 108)[0]
        elif size == NIFTI2_SIZE and len(header) >= NIFTI2_SIZE:
            bits = struct.unpack_from(f"{order}h", header, 14)[0]
            axes, *lengths = struct.unpack_from(f"{order}8q", header, 16)
            offset = struct.unpack_from(f"{order}q", header, 168)[0]
        else:
            continue
        if 1 <= axes <= 7 and math.isfinite(offset):
            return int(offset) + math.prod(lengths[:axes]) * bits // 8
    return None
