"""How a child process of Slicer is started, so that files in a folder of images are never taken for Python's modules."""

import sys
from pathlib import Path

import qt

from . import Setup


def command(module: str) -> list[str]:
    """Program and arguments that run a module of the engine; its own arguments are still to be added."""
    # -P: neither the working folder nor a script's folder is searched for modules.
    return [Setup.pythonProgram(), "-P", "-m", module]


def environment(modulePath: Path):
    """Slicer's environment without what a person or another program has set for Python.

    :param modulePath: folder that holds the engine package, the only one on the child's Python path.
    """
    variables = qt.QProcessEnvironment.systemEnvironment()
    home = variables.value("PYTHONHOME", "")
    for name in list(variables.keys()):
        if name.upper().startswith("PYTHON"):
            variables.remove(name)
    # Where Slicer's launcher set it, this very interpreter needs it.
    if home and Path(home) == Path(sys.base_prefix):
        variables.insert("PYTHONHOME", home)
    variables.insert("PYTHONPATH", str(modulePath))
    # For the processes that the child starts itself.
    variables.insert("PYTHONSAFEPATH", "1")
    variables.insert("PYTHONNOUSERSITE", "1")
    variables.insert("PYTHONUNBUFFERED", "1")
    variables.insert("PYTHONUTF8", "1")
    return variables
