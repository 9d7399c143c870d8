"""What a run will need: windows, seconds, memory, disk. Estimates from sizes alone, told before the run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import qt

from ..common import Geometry
from ..common.Models import ModelCard
from ..engine import ComputerCheck
from . import RegionBox
from .InputImage import InputImage
from .InputOptions import InputOptions

CHECK_WINDOW_VOXELS = 96**3
"""Size of the window that `Check this computer` times."""
# Until this computer was checked: a desktop without a usable graphics card.
DEFAULT_CHECK_SECONDS = 1.0
FLOAT = 4
ENGINE_BYTES = 500_000_000
"""Python with torch, scipy and SimpleITK before it reads an image."""
# Told when less memory than this is left, or when it takes longer.
SPARE_MEMORY = 0.2
LONG_SECONDS = 240


@dataclass(frozen=True)
class RunEstimate:
    """`windows` of the network, about so many `seconds`, bytes of `memory` and of `disk`."""

    windows: int
    seconds: float
    memory: int
    disk: int


def estimate(
    card: ModelCard, images: dict[str, InputImage], options: InputOptions, way: Mapping[str, object] | None = None
) -> RunEstimate:
    """For a volume model whose images are all chosen.

    :param images: role name -> image.
    :param way: fields of a request that say how it is computed (`Quality.request`), None for the card's own.
    """
    reference = images[card.reference.name]
    voxels = {name: math.prod(image.size) for name, image in images.items()}
    stored = sum(voxels[name] * image.scalarBytes for name, image in images.items())
    working = _workingSize(card, reference.grid)
    computed = _workingSize(card, RegionBox.gridOf(options.region)) if options.region else working
    way = way or {}
    plan = card.window if way.get("overlap") is None else replace(card.window, overlap=way["overlap"])
    members = (way.get("members") or card.sampling["members"]) if card.has_ensemble else 1
    passes = members * (2 if way.get("mirrors") else 1)
    windows = passes * plan.count(np.minimum(computed, working).tolist())
    window = math.prod(plan.size)
    classes = len(card.labels) + 1
    # The engine itself; channels on the working grid, their source and copy; class maps and their weights; mask and maps
    # on the reference grid.
    memory = (
        ENGINE_BYTES
        + stored
        + FLOAT
        * (
            max(voxels.values())
            + int(np.prod(working)) * (len(card.roles) + 1)
            + int(np.prod(np.minimum(computed, working))) * (2 * classes + 1)
            + voxels[card.reference.name] * 3
        )
    )
    seconds = windows * _checkSeconds() * window / CHECK_WINDOW_VOXELS
    return RunEstimate(windows, seconds, memory, stored + 3 * voxels[card.reference.name])


def isGreat(effort: RunEstimate, freeMemory: int | None) -> bool:
    """Whether a person should hear of it before the run."""
    isShort = freeMemory is not None and effort.memory > (1 - SPARE_MEMORY) * freeMemory
    return isShort or effort.seconds > LONG_SECONDS


def isChecked() -> bool:
    """Whether `Check this computer` has told how fast it is."""
    return qt.QSettings().contains(ComputerCheck.SECONDS_SETTING)


def _checkSeconds() -> float:
    return storedNumber(ComputerCheck.SECONDS_SETTING) or DEFAULT_CHECK_SECONDS


def storedNumber(setting: str) -> float:
    """A number above 0 from the application's settings, 0 when absent or damaged."""
    try:
        value = float(qt.QSettings().value(setting, 0) or 0)
    except (TypeError, ValueError):
        return 0.0
    return value if 0 < value < math.inf else 0.0


def _workingSize(card: ModelCard, grid: Geometry.WorldGrid) -> np.ndarray:
    """(3,) voxels along the world axes of the box around a grid."""
    extent = np.abs(grid.ijkToRas[:3, :3]) @ np.array(grid.size)
    return np.maximum(np.ceil(extent / np.array(card.spacing_mm)), 1).astype(int)
