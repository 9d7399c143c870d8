"""From image units to network input: one function per intensity kind of the model card.

All functions take any real numpy array of one image (any shape, any axis order, outside already filled with
`background`) and return a float32 array of the same shape. Training and inference call the same `apply`.
"""

import numpy as np

# Voxels above this fraction of the way from air to bright tissue are foreground. Air noise stays below about
# 5 % on clinical MRI, cerebrospinal fluid on T1 lies at 20-30 %.
FOREGROUND_FRACTION = 0.1
AIR_PERCENTILE = 0.1
BRIGHT_PERCENTILE = 95.0
FIXED_POINT_STEPS = 50


def air_value(array: np.ndarray) -> float:
    """Value of air: the 0.1 percentile, so that a few undershooting voxels do not decide."""
    return float(np.percentile(array, AIR_PERCENTILE))


def foreground_threshold(array: np.ndarray) -> tuple[float, float]:
    """Value of air and the level above which a voxel is foreground.

    The level is the fixed point of "bright = 95th percentile of the foreground; foreground = voxels above air
    plus 10 % of the way to bright". Air does not take part in that percentile, so padding or cropping the air
    around an object does not move the level, unlike a percentile of the whole image or Otsu's threshold.
    """
    air = air_value(array)
    values = np.asarray(array, dtype=np.float64).ravel()
    above_air = values[values > air]
    if above_air.size == 0:
        return air, air
    bright = float(np.percentile(above_air[above_air >= above_air.mean()], BRIGHT_PERCENTILE))
    for _ in range(FIXED_POINT_STEPS):
        level = air + FOREGROUND_FRACTION * (bright - air)
        foreground = above_air[above_air > level]
        previous, bright = bright, float(np.percentile(foreground, BRIGHT_PERCENTILE))
        if bright == previous:
            break
    return air, level


def zscore_foreground(array: np.ndarray) -> np.ndarray:
    """Zero mean and unit deviation over the foreground; everything else becomes the value of air.

    Statistics in float64. An image without any foreground contrast gets deviation 1.
    """
    air, level = foreground_threshold(array)
    values = np.asarray(array, dtype=np.float64)
    foreground = values > level
    if not foreground.any():
        return np.zeros(values.shape, dtype=np.float32)
    mean = values[foreground].mean()
    deviation = values[foreground].std() or 1.0
    return ((np.where(foreground, values, air) - mean) / deviation).astype(np.float32)


def clip_zscore(array: np.ndarray, low: float, high: float, mean: float, std: float) -> np.ndarray:
    """Clip to [low, high], subtract mean, divide by std; all four in the unit of the image (e.g. HU)."""
    return ((np.clip(np.asarray(array, dtype=np.float64), low, high) - mean) / std).astype(np.float32)


def scale(array: np.ndarray, divide_by: float, clip: list[float]) -> np.ndarray:
    """Clip to [low, high] in the unit of the image (e.g. SUV), then divide."""
    return (np.clip(np.asarray(array, dtype=np.float64), clip[0], clip[1]) / divide_by).astype(np.float32)


KINDS = {"zscore_foreground": zscore_foreground, "clip_zscore": clip_zscore, "scale": scale}


def apply(spec: dict, array: np.ndarray) -> np.ndarray:
    """Apply the `intensity` entry of a role, e.g. `{"kind": "scale", "divide_by": 10, "clip": [0, 50]}`.

    Raises KeyError for an unknown kind and TypeError for missing or unknown settings; a card that passed its
    schema has neither.
    """
    settings = {key: value for key, value in spec.items() if key != "kind"}
    return KINDS[spec["kind"]](array, **settings)


def background(spec: dict, array: np.ndarray) -> float:
    """Value, in the unit of the image, that space outside the scan is taken to have for this intensity
    kind."""
    if spec["kind"] == "clip_zscore":
        return float(spec["low"])
    if spec["kind"] == "scale":
        return float(spec["clip"][0])
    return air_value(array)


def padding_value(spec: dict, normalised: np.ndarray) -> float:
    """Network input value of `background`, for padding windows: what `apply` gave the darkest voxel or the
    clip limit."""
    if spec["kind"] == "zscore_foreground":
        return float(normalised.min())
    return float(apply(spec, np.asarray([background(spec, normalised)]))[0])
