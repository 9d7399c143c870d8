"""What is in the voxels of an image: range and numbers that are none. Looked at once as long as they stay the same."""

from dataclasses import dataclass, replace

import numpy as np
import slicer

from veloxseg.contract import plausibility

from ..common import Geometry

# JPEG moves the channels of a gray photo apart by a step or two.
GRAY_STEPS = 2
FEW_ROWS = 16

_known: dict[str, tuple[int, "ImageStatistics"]] = {}
"""Node ID -> time of its voxels, which VTK gives to one object once, and what they are."""


@dataclass(frozen=True)
class ImageStatistics:
    """`lowest` and `highest` of the finite values, and the `share` (0-1) of values that are no numbers.

    `isGray`: a color picture whose colors are all grays. `sample`: some values of a volume, (i, j, k), see `plausibility.Image`.
    """

    lowest: float
    highest: float
    share: float
    isGray: bool = False
    sample: np.ndarray | None = None

    @property
    def isConstant(self) -> bool:
        """Whether all values are the same, or there are none."""
        return not self.lowest < self.highest


def statisticsOf(volumeNode) -> ImageStatistics:
    """The content of a volume with voxels."""
    changed = volumeNode.GetImageData().GetMTime()
    known = _known.get(volumeNode.GetID())
    if known is None or known[0] != changed:
        known = (changed, _measure(slicer.util.arrayFromVolume(volumeNode)))
        _known[volumeNode.GetID()] = known
    return known[1]


def lookAt(volumeNode) -> plausibility.Image:
    """A volume of single numbers as the rules of `plausibility` see it, in RAS mm."""
    content, grid = statisticsOf(volumeNode), Geometry.worldGrid(volumeNode)
    return plausibility.Image(grid.size, grid.ijkToRas, content.lowest, content.highest, content.sample)


def forget() -> None:
    """The scene was closed."""
    _known.clear()


def _measure(array: np.ndarray) -> ImageStatistics:
    content = _range(array)
    return content if array.ndim > 3 else replace(content, sample=plausibility.sampled(array.transpose(2, 1, 0), content.lowest))


def _range(array: np.ndarray) -> ImageStatistics:
    if not np.issubdtype(array.dtype, np.floating):
        return ImageStatistics(float(array.min()), float(array.max()), 0.0, _isGray(array))
    # Sums and extremes show in one pass each whether there is anything to count.
    lowest, highest = float(array.min()), float(array.max())
    if np.isfinite(lowest) and np.isfinite(highest):
        return ImageStatistics(lowest, highest, 0.0)
    finite = array[np.isfinite(array)]
    if finite.size == 0:
        return ImageStatistics(np.nan, np.nan, 1.0)
    return ImageStatistics(float(finite.min()), float(finite.max()), 1 - finite.size / array.size)


def _isGray(array: np.ndarray) -> bool:
    """Of (k, j, i, channel); a few rows show color in most photos, only gray ones are looked at whole."""
    if array.ndim < 4 or array.shape[-1] < 3:
        return False
    few = array[:, :: max(array.shape[1] // FEW_ROWS, 1)]
    return all(int(np.ptp(part[..., :3], axis=-1).max()) <= GRAY_STEPS for part in (few, array))
