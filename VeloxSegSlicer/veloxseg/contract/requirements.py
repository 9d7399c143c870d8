"""The oldest releases of other packages that the engine works with. Light enough for the panel, which reads it, too."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from veloxseg.contract.errors import VeloxSegError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

FILE = Path(__file__).parents[1] / "requirements.txt"


def engine() -> list[Requirement]:
    """What `requirements.txt` of the engine asks for."""
    from packaging.requirements import Requirement

    lines = FILE.read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@functools.cache
def check_engine() -> None:
    """What fits stays loaded, so that one look for a process is enough. Raises ENGINE_OLD or REQUEST."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        # libraries of PyTorch would end the process without a sentence
        raise VeloxSegError("REQUEST", reason="the folder in which it was started does not exist any more") from error
    check(engine())


def check(requirements: Iterable[Requirement]) -> None:
    """Raises ENGINE_OLD when an installed package is older than wanted. An absent one is left to the import that needs it."""
    versions = {one: _version(one.name) for one in requirements}
    old = {one: version for one, version in versions.items() if version and not one.specifier.contains(version, prereleases=True)}
    if old:
        found = ", ".join(f"{one.name} {version}" for one, version in old.items())
        raise VeloxSegError("ENGINE_OLD", found=found, command=" ".join(f'"{one}"' for one in old))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
