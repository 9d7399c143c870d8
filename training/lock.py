"""One process per folder: two at once would mix their files. The lock goes with the process, also when it is killed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from veloxseg import files
from veloxseg.errors import VeloxSegError


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Makes `folder` and keeps others out of it. Raises BUSY when another process is in it, OUTPUT_UNWRITABLE."""
    with files.typed_output_errors(folder):
        existed = folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise VeloxSegError("BUSY", path=folder) from error
    try:
        yield
    finally:
        lock.release()
        (folder / ".lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            if not existed:
                folder.rmdir()  # a run that never began leaves nothing; one that did isn't empty
