"""One process per folder: two at once would mix their files. The lock goes with the process, also when it is killed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock

from veloxseg import files
from veloxseg.contract.errors import VeloxSegError

PARTIAL = ".partial-"


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Makes `folder`, keeps others out of it, and removes what a killed process left half-written there.

    Raises BUSY when another process is in it, OUTPUT_UNWRITABLE.
    """
    with files.typed_output_errors(folder):
        existed = folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    with files.typed_output_errors(folder):
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise VeloxSegError("BUSY", path=folder) from error
    try:
        remove_partial(folder)
        yield
    finally:
        lock.release()
        (folder / ".lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            if not existed:
                folder.rmdir()  # a run that never began leaves nothing; one that did isn't empty


def remove_partial(folder: Path) -> None:
    """Removes half-written files and folders. Raises OUTPUT_UNWRITABLE."""
    with files.typed_output_errors(folder):
        for path in folder.glob(PARTIAL + "*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
