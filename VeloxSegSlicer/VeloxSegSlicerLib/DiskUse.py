"""What VeloxSeg takes up on this computer's disks, and clearing what finished jobs left."""

import csv
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import slicer

from . import Computer, Job, Setup

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


def measure(modelFolders: list[Path], activeFolder: Path | None) -> DiskUse:
    """
    :param modelFolders: installed packages.
    :param activeFolder: the folder of a running job, which is no leftover.
    """
    models = sum(Computer.sizeOf(folder) for folder in modelFolders)
    temporary = sum(Computer.sizeOf(folder) for folder in leftovers(activeFolder))
    return DiskUse(_engineBytes(), models, temporary)


def leftovers(activeFolder: Path | None) -> list[Path]:
    """Job and sample folders that nothing has changed for an hour: kept for troubleshooting, or left by a crash."""
    oldest = time.time() - LEFTOVER_AGE_SECONDS
    places = {Path(str(slicer.app.temporaryPath)), Job.temporaryFolder()}
    found = [folder for place in places for prefix in Job.FOLDER_PREFIXES for folder in sorted(place.glob(f"{prefix}*"))]
    return [folder for folder in found if folder.is_dir() and folder != activeFolder and _lastChange(folder) < oldest]


def clear(activeFolder: Path | None) -> None:
    """Delete the leftovers; what cannot be deleted stays."""
    for folder in leftovers(activeFolder):
        shutil.rmtree(folder, ignore_errors=True)


def _lastChange(folder: Path) -> float:
    return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))


def _engineBytes() -> int:
    """From the lists of files that the packages came with; nothing is imported.

    Python's own importlib.metadata takes half a second for the files of torch, in which the panel would stand still.
    """
    own = set(Setup.ENGINE_PACKAGES) - set(Setup.BUNDLED_PACKAGES)
    total = 0
    for record in {record for folder in sys.path for record in Path(folder).glob("*.dist-info/RECORD")}:
        name = record.parent.name.partition("-")[0].lower().replace("_", "-")
        if name in own or name.startswith(COMPANIONS):
            with record.open(encoding="utf-8", newline="") as lines:
                total += sum(int(size or 0) for _path, _hash, size in csv.reader(lines))
    return total
