"""pytest's side of the test host: starts it and gives fixtures. Imported by the conftest.py of each test folder."""

import sys
import traceback
from pathlib import Path

import pytest

import acceptance
import slicerhost

slicerhost.start()

import qt  # noqa: E402  (exists only now)
import slicer  # noqa: E402

acceptance.noteEngineStarts(qt)

MODULE_FILE = Path(__file__).resolve().parents[2] / "VeloxSegSlicer" / "VeloxSegSlicer.py"


def pytest_configure(config):
    # Two test folders import this file; the record is one.
    if not config.pluginmanager.is_registered(acceptance):
        config.pluginmanager.register(acceptance)


@pytest.fixture(autouse=True)
def noErrorInCallbacks(monkeypatch):
    """Slicer prints errors of slots and observers and goes on; with --testing it then exits with an error.

    A test that provokes such an error on purpose uses this fixture's value: a list of (type, value, traceback), to be
    checked and emptied.
    """
    errors = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: errors.append(error))
    yield errors
    if errors:
        texts = ["".join(traceback.format_exception(*error)) for error in errors]
        pytest.fail("Error in a slot or an observer:\n" + "\n".join(texts), pytrace=False)


@pytest.fixture(autouse=True)
def emptyScene(noErrorInCallbacks):
    slicer.mrmlScene.Clear(False)
    yield
    slicer.app.processEvents()
    slicer.mrmlScene.Clear(False)
    slicer.app.processEvents()


@pytest.fixture(scope="session")
def module():
    """The VeloxSegSlicer module object, loaded once."""
    return slicer.app.moduleManager().module("VeloxSegSlicer") or slicerhost.loadModule(MODULE_FILE)


@pytest.fixture
def panel(module):
    """The module's panel, entered; left again after the test."""
    yield slicerhost.showModule(module.name)
    slicerhost.showModule(None)


@pytest.fixture
def keptPackages():
    """For a test that lets the module read its packages again: the tests themselves keep the ones they have imported."""
    known = {name: module for name, module in sys.modules.items() if isReloaded(name)}
    yield known
    slicer.modules.VeloxSegSlicerWidget.cleanup()
    for name in [name for name in sys.modules if isReloaded(name)]:
        del sys.modules[name]
    sys.modules.update(known)
    slicer.util.reloadScriptedModule("VeloxSegSlicer")


def isReloaded(name: str) -> bool:
    """Whether a reload of the module reads this Python module again."""
    return name.split(".")[0] in ("VeloxSegSlicerLib", "veloxseg")


@pytest.fixture
def waitFor():
    """waitFor(condition, timeout): lets events run until the condition holds; fails the test when it never does."""

    def wait(condition, timeout=10.0):
        assert slicerhost.waitFor(condition, timeout), f"not within {timeout} seconds"

    return wait


def pytest_sessionfinish(session):
    slicerhost.unloadModules()
