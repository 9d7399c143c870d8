"""What is still to be done after a restart of Slicer, kept in the application's settings."""

import os

import qt
import slicer

from ..common import CoreModules

SETTING = "VeloxSegSlicer/PendingStep"
INSTALL = "install"
MODULE = "VeloxSegSlicer"


def remember(step: str, detail: str) -> None:
    """Go on with a step after the next start."""
    qt.QSettings().setValue(SETTING, f"{step}:{detail}:{os.getpid()}")


def forget() -> None:
    """Nothing is to be done any more."""
    qt.QSettings().remove(SETTING)


def due() -> tuple[str, str] | None:
    """(step, detail) that an earlier Slicer left, None when there is none or Slicer did not restart yet."""
    parts = slicer.util.settingsValue(SETTING, "").split(":")
    return (parts[0], parts[1]) if len(parts) == 3 and parts[2] != str(os.getpid()) else None


def showModuleIfDue() -> None:
    """After the start: come back to this module, which goes on by itself."""
    if due() is not None:
        CoreModules.show(MODULE)
