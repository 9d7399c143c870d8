"""Runs scripted Slicer modules without the Slicer application. See ../README.md.

Only what needs neither Qt nor slicer may be imported before start().
"""

import time

from .screenshots import (
    grab3DView,
    grabSliceViews,
    grabWidget,
    sliceViewPixels,
    threeDViewPixels,
    widgetPixels,
)
from .startup import start

__all__ = [
    "start",
    "loadModule",
    "showModule",
    "narrowestPanel",
    "unloadModules",
    "waitFor",
    "grabWidget",
    "grabSliceViews",
    "grab3DView",
    "widgetPixels",
    "sliceViewPixels",
    "threeDViewPixels",
]


def loadModule(path):
    """Starts the host if needed and registers a scripted module as Slicer does; returns the module object."""
    start()
    from . import modules

    return modules.loadScriptedModule(str(path))


def showModule(name):
    """Switches to a module (None: to no module) with exit() and enter(); returns the panel's outer widget."""
    from . import modules

    return modules.showModule(name)


def narrowestPanel(panel):
    """The smallest width (pixels) of Slicer's module panel with this panel in it."""
    from . import modules

    return modules.narrowestPanel(panel)


def unloadModules():
    """What quitting does to modules: cleanup() through moduleAboutToBeUnloaded."""
    from . import modules

    modules.unloadModules()


def waitFor(condition, timeout=10.0):
    """Lets events run until condition() is true; returns False when the time (seconds) is over."""
    import slicer

    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        slicer.app.processEvents()
        time.sleep(0.005)
    return True
