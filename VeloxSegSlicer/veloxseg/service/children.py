"""How the engine starts processes of Python, so that files in a working folder are never taken for Python's modules."""

import multiprocessing
import os
import sys
from multiprocessing.context import SpawnContext
from pathlib import Path

SAFE_PATH = "PYTHONSAFEPATH"
ENGINE = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> list[str]:
    """This Python with arguments, `-m` and a module or `-c` and code among them."""
    return [sys.executable, "-P", *arguments]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with the engine on Python's path instead of what was set for Python, and with `changes`."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("PYTHON")}
    return {**kept, SAFE_PATH: "1", "PYTHONPATH": str(ENGINE), **changes}


def protect() -> None:
    """For processes that a library starts: they read this process's environment before anything else."""
    os.environ[SAFE_PATH] = "1"


def spawn_context() -> SpawnContext:
    """For pools of processes that begin anew: forked ones may hang in locks that SimpleITK's and torch's threads held."""
    protect()
    return multiprocessing.get_context("spawn")
