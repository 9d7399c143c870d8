"""The oldest releases of packages that the training works with: the engine's and the extra `training` of pyproject.toml."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from veloxseg.contract import requirements

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def check() -> None:
    """Raises ENGINE_OLD for an installed package that is too old."""
    extras = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    requirements.check([*requirements.engine(), *map(Requirement, extras["training"])])
