"""The one list of what this module and its engine leave in temporary folders, so that Clear knows all of it."""

import shutil
import tempfile
from pathlib import Path

import slicer

# Folders: of a job or comparison, a sample, a batch's images and settings, the working folder of a child, what pip writes.
JOB, SAMPLE, BATCH, CHILD, INSTALL = "VeloxSeg-", "VeloxSegSample-", "VeloxSegBatch-", "veloxseg-process-", "VeloxSegInstall-"
FOLDERS = (JOB, SAMPLE, BATCH, CHILD, INSTALL)
# Files: what the command line keeps of an unexpected failure.
LOGS = "veloxseg-*.log"

_inUse: set[Path] = set()


def newFolder(prefix: str, place: Path | None = None) -> Path:
    """A new folder that only this user may enter; it counts as in use until `remove` or `leave`.

    :param prefix: one of the list.
    :param place: where it is made, Slicer's own place for None.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=str(place or slicer.app.temporaryPath)))
    _inUse.add(folder)
    return folder


def remove(folder: Path) -> None:
    """Delete a folder; what cannot be deleted stays for Clear. May be called twice."""
    shutil.rmtree(folder, ignore_errors=True)
    _inUse.discard(folder)


def leave(folder: Path) -> None:
    """A folder that a person wants to keep is not in use any more."""
    _inUse.discard(folder)


def unused(places: set[Path]) -> list[Path]:
    """Everything of the list that lies in some places and is not in use by this Slicer."""
    folders = [path for place in places for prefix in FOLDERS for path in place.glob(f"{prefix}*") if path.is_dir()]
    logs = [path for path in Path(tempfile.gettempdir()).glob(LOGS) if path.is_file()]
    return sorted(path for path in {*folders, *logs} if path not in _inUse and not path.is_symlink())
