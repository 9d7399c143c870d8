"""The two SUV thresholds that physicians use to outline lesions on FDG PET, as a baseline beside a network.

Neither is given a click: every hot spot counts, brain, heart and bladder too. That is what a network has to beat.
"""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from veloxseg.imaging import images

FIXED_SUV = 4.0
LOW_SUV = 2.5
SHARE_OF_MAXIMUM = 0.41


def fixed_threshold(pet: sitk.Image) -> np.ndarray:
    """Mask (x, y, z), bool, of all voxels with an SUV of 4.0 or more."""
    return images.array_of(pet) >= FIXED_SUV


def low_threshold(pet: sitk.Image) -> np.ndarray:
    """Mask (x, y, z), bool, of all voxels with an SUV above 2.5."""
    return images.array_of(pet) > LOW_SUV


def share_of_maximum(pet: sitk.Image) -> np.ndarray:
    """Mask (x, y, z), bool: of every hot spot (connected, SUV 4.0 or more) what reaches 41 % of its maximum.

    Without a hand-drawn limit 41 % of a moderate maximum is less than the liver's uptake, so nothing grows beyond its hot spot.
    """
    values = images.array_of(pet)
    spots, count = ndimage.label(values >= FIXED_SUV, structure=np.ones((3, 3, 3)))
    maxima = np.array([np.inf, *ndimage.maximum(values, spots, np.arange(1, count + 1))])
    return values >= SHARE_OF_MAXIMUM * maxima[spots]


RULES = {
    f"SUV {FIXED_SUV:g} or more": fixed_threshold,
    f"SUV above {LOW_SUV:g}": low_threshold,
    f"{100 * SHARE_OF_MAXIMUM:g} % of the maximum": share_of_maximum,
}
