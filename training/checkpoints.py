"""Checkpoints: written whole or not at all, read whole or not at all, with the last good one beside the newest.

A file is what torch writes, a zip, with the SHA-256 of it as the zip's comment: torch reads it as it is, and a bit that flipped
on the disk is noticed here.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from pathlib import Path

import torch

from veloxseg import files
from veloxseg.contract.errors import VeloxSegError

COMMENT_LENGTH = struct.Struct("<H")
"""The last field of a zip without a comment."""
DIGEST_LENGTH = 64
AGAIN = "delete it to start again from the beginning"


def save(path: Path, content: dict, previous: Path | None = None) -> None:
    """All or nothing: an earlier file of the name stays until the new one is complete.

    previous: name that the earlier file takes, unless it is damaged. Raises DISK_FULL or OUTPUT_UNWRITABLE.
    """
    # in memory first: of a full disk torch only says that some write failed
    data = sealed(content)
    with files.replacing(path) as temporary:
        temporary.write_bytes(data)
        if previous and is_whole(path):
            files.flush(temporary)
            os.replace(path, previous)


def read(path: Path, remedy: str = AGAIN) -> dict:
    """The content of a file on the CPU. Raises CHECKPOINT when it is missing, damaged or not one of ours."""
    if not path.exists():
        raise VeloxSegError("CHECKPOINT", path=path, reason="it doesn't exist", remedy="train first")
    data = _bytes(path)
    if not is_sealed(data):
        raise VeloxSegError("CHECKPOINT", path=path, reason="it is damaged, or of another version of train.py", remedy=remedy)
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def read_newest(last: Path, previous: Path) -> tuple[dict | None, str]:
    """The content of `last`, or of `previous` with a sentence when the newer one is damaged or missing; None without both.

    Raises CHECKPOINT when neither can be used.
    """
    if is_whole(last) or not is_whole(previous):
        return (read(last), "") if last.exists() or previous.exists() else (None, "")
    content = read(previous)
    what = "is damaged" if last.exists() else "is missing"
    return content, f"{last} {what}; {previous.name} is whole, and the run goes on from its step {content['step']}."


def is_whole(path: Path) -> bool:
    """Whether a file is there as it was written. Raises CHECKPOINT when it can't be read."""
    return path.exists() and is_sealed(_bytes(path))


def sealed(content: dict) -> bytes:
    """What a file of `content` holds."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return _commented(buffer.getvalue()[: -COMMENT_LENGTH.size])


def is_sealed(data: bytes) -> bool:
    """Whether a file's bytes are those that were written."""
    return _commented(data[: -COMMENT_LENGTH.size - DIGEST_LENGTH]) == data


def _commented(body: bytes) -> bytes:
    """A zip without the length of its comment, completed with its own digest as the comment."""
    return body + COMMENT_LENGTH.pack(DIGEST_LENGTH) + hashlib.sha256(body).hexdigest().encode()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VeloxSegError("CHECKPOINT", path=path, reason=f"it can't be read ({error.strerror})",
                            remedy="look at the rights of the file") from error  # fmt: skip
