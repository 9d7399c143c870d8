"""Writing files so that they are either complete or absent, with typed errors."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from veloxseg.errors import VeloxSegError

FULL_DISK = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
HASH_CHUNK = 1 << 20


@contextlib.contextmanager
def typed_output_errors(path: Path) -> Iterator[None]:
    """Turn operating system errors while writing `path` into DISK_FULL or OUTPUT_UNWRITABLE."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise VeloxSegError("DISK_FULL", path=path, detail=str(error)) from error
        raise VeloxSegError("OUTPUT_UNWRITABLE", path=path, reason=error.strerror or str(error)) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; on success it takes the name `path`, on failure it is
    removed.

    The temporary name keeps the extension, because image writers choose the format by it. Raises DISK_FULL or
    OUTPUT_UNWRITABLE.
    """
    path = Path(path)
    with typed_output_errors(path):
        temporary = partial_name(path)
        try:
            yield temporary
            flush(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder to fill; on success it takes the place of `target`, on failure the old one stays.

    If the block removes the folder, `target` stays as it is. Raises DISK_FULL or OUTPUT_UNWRITABLE.
    """
    partial, old = partial_name(target), partial_name(target)
    try:
        with typed_output_errors(target):
            partial.mkdir(parents=True)
            yield partial
            if not partial.exists():
                return
            if target.exists():
                os.replace(target, old)
            try:
                os.replace(partial, target)
            except OSError:
                if old.exists():
                    os.replace(old, target)
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def partial_name(path: Path) -> Path:
    """An unused hidden name beside `path` that keeps its extension."""
    return path.with_name(f".partial-{uuid.uuid4().hex[:12]}-{path.name}")


def flush(path: Path) -> None:
    """Force a file to the disk: some writers notice a full disk only here. Raises OSError."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with LF line ends, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: object) -> None:
    """Write JSON, indented, all or nothing."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """SHA-256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
