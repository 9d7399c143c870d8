"""What is computed once from the files of a case and kept beside the dataset, for as long as these files are the same."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import filelock
import numpy as np

from veloxseg import files

UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""What reading a file of numpy raises when it is missing, half or something else."""


def ensure(cache: Path, case: str, sources: Sequence[Path], load: Callable[[], object], make: Callable[[], None]) -> None:
    """Calls `make` unless `case` was made of these very files and `load` reads it; two processes never make it at once.

    Raises OUTPUT_UNWRITABLE and what `make` raises.
    """
    mark, key = cache / f"{case}.key", fingerprint(sources)
    if _is_current(mark, key, load):
        return
    with files.typed_output_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(cache / ".lock")
        lock.acquire()
    try:
        if _is_current(mark, key, load):
            return
        with files.typed_output_errors(mark):
            mark.unlink(missing_ok=True)  # a kill from here on leaves a case without its mark
        make()
        files.write_text(mark, key)
    finally:
        lock.release()


def fingerprint(sources: Sequence[Path]) -> str:
    """Changes with every change of a file, also when its old size and time of change were restored."""
    facts = []
    for path in sources:
        found = path.stat() if path.exists() else None
        facts.append([path.name, *([found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino] if found else [])])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def save_array(path: Path, array: np.ndarray) -> None:
    """As numpy.save, which hides behind a number of items that the disk is full. Raises DISK_FULL or OUTPUT_UNWRITABLE."""
    array = np.ascontiguousarray(array)
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def _is_current(mark: Path, key: str, load: Callable[[], object]) -> bool:
    try:
        if mark.read_text(encoding="ascii") != key:
            return False
        load()
    except UNREADABLE:
        return False
    return True
