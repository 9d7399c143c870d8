"""Writing files so that they are either complete or absent, with typed errors."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

from veloxseg import processes
from veloxseg.contract import names
from veloxseg.contract.errors import VeloxSegError

FULL_DISK = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
HASH_CHUNK = 1 << 20
PARTIAL, REPLACED = "partial", "replaced"
HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
LEFTOVER = re.compile(rf"\.({PARTIAL}|{REPLACED})-{HOST}-([0-9]+)-[0-9a-f]{{12}}-(.+)", re.DOTALL)


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

    If the block removes the folder, `target` stays as it is. What a kill leaves between the two is for `remove_leftovers`.
    Raises DISK_FULL or OUTPUT_UNWRITABLE.
    """
    partial, old = partial_name(target), partial_name(target, REPLACED)
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


def partial_name(path: Path, kind: str = PARTIAL) -> Path:
    """An unused hidden name beside `path` that keeps its extension and tells which process uses it."""
    return path.with_name(f".{kind}-{HOST}-{os.getpid()}-{uuid.uuid4().hex[:12]}-{path.name}")


def remove_leftovers(folder: Path) -> None:
    """Tidy a folder after processes of this computer that were killed: what they had begun to write goes, and what they had put
    aside to replace it comes back if nothing took its place. What belongs to a living process, or to another computer, stays.
    """
    try:
        found = [(path, match) for path in Path(folder).iterdir() if (match := LEFTOVER.fullmatch(path.name))]
    except OSError:
        # not there, or not ours to read: then nothing of ours is in it
        return
    for path, match in found:
        kind, process, name = match.groups()
        if processes.is_running(int(process)):
            continue
        if kind == REPLACED and not path.with_name(name).exists():
            with contextlib.suppress(OSError):
                path.rename(path.with_name(name))
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def flush(path: Path) -> None:
    """Force a file to the disk: some writers notice a full disk only here. Raises OSError."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with LF line ends, all or nothing; bytes of names that are not UTF-8 are replaced in it."""
    with replacing(path) as temporary:
        temporary.write_text(names.printable(text), encoding="utf-8", newline="\n")


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
