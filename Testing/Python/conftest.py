"""Lets pytest run these tests in the test host. In Slicer ctest runs the same files, without this one."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "host"), str(Path(__file__).resolve().parent)]

from hostfixtures import *  # noqa: E402,F403


@pytest.fixture(autouse=True, scope="session")
def loadedModule(module):
    """Slicer has loaded the module before ctest runs these files."""
