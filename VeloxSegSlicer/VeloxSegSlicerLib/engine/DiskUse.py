"""What VeloxSeg takes up on this computer's disks, and clearing what finished jobs left."""

import contextlib
import csv
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import slicer

from ..common import Computer, Temporary
from . import Setup

# Another Slicer may be at work with younger ones.
LEFTOVER_AGE_SECONDS = 3600
# What torch brings along.
COMPANIONS = ("nvidia-", "triton")


@dataclass(frozen=True)
class DiskUse:
    """Bytes of the engine's packages, of the installed models, and of what finished jobs left."""

    engine: int
    models: int
    temporary: int


def measure(modelFolders: list[Path]) -> DiskUse:
    """:param modelFolders: installed packages."""
    models = sum(Computer.sizeOf(folder) for folder in modelFolders)
    temporary = sum(Computer.sizeOf(path) for path in leftovers())
    return DiskUse(_engineBytes(), models, temporary)


def leftovers() -> list[Path]:
    """Files and folders of jobs that nothing has changed for an hour: kept for troubleshooting, or left by a crash."""
    oldest = time.time() - LEFTOVER_AGE_SECONDS
    places = {Path(str(slicer.app.temporaryPath)), Temporary.folderOfJobs()}
    return [path for path in Temporary.unused(places) if _lastChange(path) < oldest]


def clear() -> None:
    """Delete the leftovers; what cannot be deleted stays."""
    for path in leftovers():
        if path.is_dir():
            Temporary.remove(path)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _lastChange(path: Path) -> float:
    """What disappears meanwhile is as if it had changed just now."""
    try:
        return max(entry.lstat().st_mtime for entry in (path, *path.rglob("*")))
    except OSError:
        return time.time()


def _engineBytes() -> int:
    """From the lists of files that the packages came with; nothing is imported.

    Python's own importlib.metadata takes half a second for the files of torch, in which the panel would stand still.
    """
    own = {Setup.TORCH, *(one.name for one in Setup.companions())}
    total = 0
    for record in {record for folder in sys.path for record in Path(folder).glob("*.dist-info/RECORD")}:
        name = record.parent.name.partition("-")[0].lower().replace("_", "-")
        if name in own or name.startswith(COMPANIONS):
            with record.open(encoding="utf-8", newline="") as lines:
                total += sum(int(size or 0) for _path, _hash, size in csv.reader(lines))
    return total
