"""How dark the skin around a lesion is on a photo: the individual typology angle, and its usual classes.

Chardon, Cretois and Hourseau 1991; the limits are those of Del Bino and Bernerd 2013 (doi 10.1111/bjd.12529). The light and the
camera change the angle: it sorts photos, it says nothing sure about a person.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageCms
from scipy import ndimage

RING = (0.04, 0.12)
"""Where the skin is looked at: so far from the lesion, in parts of the photo's shorter side."""
DARKEST = 20.0
"""L* below which a pixel is no skin: the edge of the lens, ink, hair."""
CLASSES = {-90: "dark", -30: "brown", 10: "tan", 28: "intermediate", 41: "light", 55: "very light"}
"""Lowest angle in degrees -> name, in rising order."""
UNKNOWN = "no skin beside the lesion"


def typology_angle(pixels: np.ndarray, lesion: np.ndarray) -> float:
    """Degrees, arctan((L* - 50) / b*) of the median color around a lesion; NaN where no skin is seen there.

    Args:
        pixels: uint8 (y, x, 3), sRGB.
        lesion: bool (y, x).
    """
    lightness, yellowness = _lab(pixels)
    side = min(lesion.shape)
    distance = ndimage.distance_transform_edt(~lesion)
    ring = (distance > RING[0] * side) & (distance <= RING[1] * side) & (lightness > DARKEST)
    if not lesion.any() or not ring.any():
        return float("nan")
    return float(np.degrees(np.arctan2(np.median(lightness[ring]) - 50, np.median(yellowness[ring]))))


def class_of(angle: float) -> str:
    """The name of an angle's class."""
    return next((name for lowest, name in reversed(CLASSES.items()) if angle > lowest), UNKNOWN)


def _lab(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L* from 0 to 100 and b*, both float32 (y, x)."""
    lab = ImageCms.profileToProfile(
        Image.fromarray(pixels), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    bands = np.asarray(lab)
    return bands[..., 0].astype(np.float32) * (100 / 255), bands[..., 2].astype(np.int8).astype(np.float32)
