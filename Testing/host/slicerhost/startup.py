"""slicerhost.start(): environment, PySide6 as ``qt``, the wheel as ``slicer``, then the application."""

import os
import sys

_started = False

# What ctest runs tests in, and what some Slicers are: no main window and so no views, no torch in Slicer's own Python,
# no Sample Data module. For tests, which set it in the environment of another process.
BARE = "SLICERHOST_BARE"
_ABSENT_WHEN_BARE = ("torch", "SampleData")


def _prepareEnvironment():
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # Without it VTK first looks for an X display and complains.
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def _removeSpilledNames(slicer):
    """The wheel copies all of slicer.util into slicer; Slicer does not, and a module must not rely on it."""
    for name, value in list(vars(slicer).items()):
        if not name.startswith("_") and name != "util" and vars(slicer.util).get(name) is value:
            delattr(slicer, name)


def _addTopLevelAliases():
    """Compiled libraries that Slicer offers at top level, under both of their names."""
    import slicer_core

    for name in ("MRMLCore", "MRMLLogic", "MRMLDisplayableManager", "vtkITK", "vtkSegmentationCore"):
        library = getattr(slicer_core, name)
        sys.modules[name] = library
        sys.modules[name + "Python"] = library


def _publish(slicer, name, module):
    setattr(slicer, name, module)
    sys.modules["slicer." + name] = module


def start():
    """Starts the host once per process; must come before anything imports ``slicer``, ``qt`` or ``ctk``."""
    global _started
    if _started:
        return
    _started = True
    isBare = BARE in os.environ
    _prepareEnvironment()
    if isBare:
        sys.modules.update(dict.fromkeys(_ABSENT_WHEN_BARE))

    from . import pythonqt

    qt = pythonqt.install()
    from . import uiloader

    qt.QUiLoader = uiloader.QUiLoader
    from . import ctkwidgets

    ctkwidgets.install()

    import slicer
    import slicer.util

    _removeSpilledNames(slicer)
    _addTopLevelAliases()
    from . import (
        application,
        mrmlwidgets,  # noqa: F401  (adds the widget classes to slicer)
    )

    slicer.selfTests = {}
    application.install(hasViews=not isBare)

    from . import i18n, parameternode, sampledata, scriptedmodule

    _publish(slicer, "i18n", i18n)
    _publish(slicer, "ScriptedLoadableModule", scriptedmodule)
    _publish(slicer, "parameterNodeWrapper", parameternode)
    if not isBare:
        sampledata.install()
