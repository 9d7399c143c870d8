"""How a script of this folder becomes a command: what a person can do something about ends in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable

import tyro

from veloxseg.contract.errors import VeloxSegError


def run(function: Callable) -> None:
    """Calls `function` with the options of the command line."""
    try:
        tyro.cli(function)
    except VeloxSegError as error:
        sys.exit(error.text)
