"""The one list of what this module and its engine leave in temporary folders, so that Clear knows all of it."""

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

import qt
import slicer

# Folders: of a job or comparison, a sample, a batch's images and settings, the working folder of a child, what pip writes.
JOB, SAMPLE, BATCH, CHILD, INSTALL = "VeloxSeg-", "VeloxSegSample-", "VeloxSegBatch-", "veloxseg-process-", "VeloxSegInstall-"
FOLDERS = (JOB, SAMPLE, BATCH, CHILD, INSTALL)
# Files: what the command line keeps of an unexpected failure.
LOGS = "veloxseg-*.log"

FOLDER_SETTING = "VeloxSegSlicer/TemporaryFolder"

# Number of the process that made a folder, after the prefix.
OWNER = re.compile(rf"(?:{'|'.join(FOLDERS)})(\d+)-")

_inUse: set[Path] = set()
_claims: dict[Path, object] = {}
# While Qt is still there.
atexit.register(_claims.clear)


def folderOfJobs() -> Path:
    """Where job folders are made: the folder that the person chose, else Slicer's."""
    chosen = qt.QSettings().value(FOLDER_SETTING, "")
    return Path(chosen) if chosen and Path(chosen).is_dir() else Path(str(slicer.app.temporaryPath))


def newFolder(prefix: str, place: Path | None = None) -> Path:
    """A new folder that only this user may enter; it counts as in use until `remove` or `leave`.

    :param prefix: one of the list.
    :param place: where it is made, Slicer's own place for None.
    """
    place = Path(str(place or slicer.app.temporaryPath))
    _claim(place)
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=str(place)))
    _inUse.add(folder)
    return folder


def remove(folder: Path) -> None:
    """Delete a folder; what cannot be deleted stays for Clear. May be called twice."""
    shutil.rmtree(folder, ignore_errors=True)
    leave(folder)


def leave(folder: Path) -> None:
    """A folder that a person wants to keep is not in use any more."""
    _inUse.discard(folder)
    if folder.parent in _claims and not any(used.parent == folder.parent for used in _inUse):
        _claims.pop(folder.parent).unlock()


def unused(places: set[Path]) -> list[Path]:
    """Everything of the list that lies in some places and is not in use, by this Slicer or by another one that runs."""
    folders = [path for place in places for prefix in FOLDERS for path in place.glob(f"{prefix}*") if path.is_dir()]
    logs = [path for path in Path(tempfile.gettempdir()).glob(LOGS) if path.is_file()]
    found = {path for path in (*folders, *logs) if path not in _inUse and not path.is_symlink()}
    return sorted(path for path in found if not _isOfAnotherSlicer(path))


def _lock(place: Path, process: int):
    lock = qt.QLockFile(str(place / f"veloxseg-{process}.lock"))
    # It ends with its process and not after a time.
    lock.setStaleLockTime(0)
    return lock


def _claim(place: Path) -> None:
    """Other Slicers of this user can see from now on that our folders in a place are in use."""
    if place not in _claims:
        _claims[place] = _lock(place, os.getpid())
        _claims[place].tryLock(0)


def _isOfAnotherSlicer(path: Path) -> bool:
    """Whether the process that made a folder is another one and still runs."""
    owner = OWNER.match(path.name)
    if owner is None or int(owner[1]) == os.getpid():
        return False
    lock = _lock(path.parent, int(owner[1]))
    isFree = lock.tryLock(0)
    lock.unlock()
    return not isFree
