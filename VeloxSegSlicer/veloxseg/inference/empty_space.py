"""Where the images of a case show nothing: nothing is marked there, whatever the network says.

The working grid is coarser than most images and probabilities are smoothed, so that a mask reaches over the border of a body
or of a stripped brain.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import SimpleITK as sitk

from veloxseg.contract.card import Card, Role
from veloxseg.imaging import images, intensities

# Where nobody looks: below half a step of a probability that is stored in 8 bits.
LEAST_PROBABILITY = 0.5 / 255
# A real background is noise, of which 0.1 % lies at or below its own 0.1 percentile. More was put there: a brain was stripped.
LEAST_PADDING = 0.005
AIR_HU = -900.0
# Air of a CT alone may be what is looked for, as in lungs and bowel; what lies outside of the scanner's circle is not.
PADDING_HU = -1100.0
VOXELS_AT_ONCE = 1 << 20


def marked_in_vain(card: Card, volumes: Mapping[str, sitk.Image], probability: np.ndarray) -> np.ndarray:
    """Indices (n, 3) of the voxels (x, y, z) of the reference grid that have a probability and where no image shows anything.

    An image shows nothing outside of its grid and where its values are at or below `empty_level`.
    """
    role = card.reference
    reference = volumes[role.name]
    values = sitk.GetArrayViewFromImage(reference).transpose(2, 1, 0)
    candidates = np.argwhere((probability >= LEAST_PROBABILITY) & (values <= empty_level(card, role, values)))
    for other in card.roles:
        if other is not role:
            candidates = _empty_in(card, other, volumes[other.name], images.grid_of(reference), candidates)
    return candidates


def empty_level(card: Card, role: Role, values: np.ndarray) -> float:
    """The value at or below which an image shows nothing, in its own unit; minus infinity where this cannot be told.

    PET: the counts that scatter into air (`intensities.SCATTER`). CT: air, or padding where it is the only image. Others: the
    value that a notable part of the image was filled with.
    """
    spec = role.intensity
    if spec["kind"] == "scale":
        low, high = spec["clip"]
        return low + intensities.SCATTER * (high - low)
    if role.modality == "CT":
        return AIR_HU if len(card.roles) > 1 else PADDING_HU
    air = intensities.air_value(values)
    return air if (values <= air).mean() >= LEAST_PADDING else -np.inf


def _empty_in(card: Card, role: Role, image: sitk.Image, reference: images.Grid, candidates: np.ndarray) -> np.ndarray:
    values, grid = sitk.GetArrayViewFromImage(image).transpose(2, 1, 0), images.grid_of(image)
    level = empty_level(card, role, values)
    parts = [part[~_is_shown(values, level, grid.index(reference.world(part)))] for part in _parts(candidates)]
    return np.concatenate(parts) if parts else candidates


def _parts(candidates: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(candidates), VOXELS_AT_ONCE):
        yield candidates[first : first + VOXELS_AT_ONCE]


def _is_shown(values: np.ndarray, level: float, index: np.ndarray) -> np.ndarray:
    """Whether the voxels nearest to fractional indices (n, 3) are inside and above the level."""
    nearest = np.rint(index).astype(int)
    inside = np.all((nearest >= 0) & (nearest < values.shape), axis=1)
    shown = np.zeros(len(index), dtype=bool)
    shown[inside] = values[tuple(nearest[inside].T)] > level
    return shown
