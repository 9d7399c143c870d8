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
SCATTER = 1 / 300
"""Share of the range of a `scale` image that air may hold: 0.1 SUV of a PET that is clipped at 30, a third of lung."""


def air_value(array: np.ndarray) -> float:
    """Value of air: the 0.1 percentile, so that a few undershooting voxels do not decide."""
    return float(np.percentile(array, AIR_PERCENTILE))


def foreground_threshold(array: np.ndarray) -> tuple[float, float]:
    """Value of air and the level above which a voxel is foreground.

    The level is the fixed point of "bright = 95th percentile of the foreground; foreground = voxels above air
    plus 10 % of the way to bright". Air does not take part in that percentile, so padding or cropping the air
    around an object does not move the level, unlike a percentile of the whole image or Otsu's threshold.
    """
    # sorted once: every percentile and every set of voxels above a level is then a place in the array
    values = np.sort(np.asarray(array, dtype=np.float32), axis=None)
    air = _percentile(values, AIR_PERCENTILE)
    above_air = values[np.searchsorted(values, air, side="right") :]
    if above_air.size == 0:
        return air, air
    bright_half = np.searchsorted(above_air, above_air.mean(dtype=np.float64), side="left")
    bright = _percentile(above_air[bright_half:], BRIGHT_PERCENTILE)
    for _ in range(FIXED_POINT_STEPS):
        level = air + FOREGROUND_FRACTION * (bright - air)
        foreground = np.searchsorted(above_air, level, side="right")
        previous, bright = bright, _percentile(above_air[foreground:], BRIGHT_PERCENTILE)
        if bright == previous:
            break
    return air, level


def _percentile(values: np.ndarray, percent: float) -> float:
    """`numpy.percentile` of sorted values."""
    place = percent / 100 * (len(values) - 1)
    low, high = values[int(place)], values[min(int(place) + 1, len(values) - 1)]
    return float(low) + (place - int(place)) * (float(high) - float(low))


def zscore_foreground(array: np.ndarray) -> np.ndarray:
    """Zero mean and unit deviation over the foreground; everything else becomes the value of air.

    Statistics in float64. An image without any foreground contrast gets deviation 1.
    """
    air, level = foreground_threshold(array)
    values = np.array(array, dtype=np.float32)
    is_foreground = values > level
    foreground = values[is_foreground]
    if foreground.size == 0:
        return np.zeros(values.shape, dtype=np.float32)
    mean, deviation = foreground.mean(dtype=np.float64), foreground.std(dtype=np.float64) or 1.0
    values[~is_foreground] = air
    return _scaled(values, mean, deviation)


def clip_zscore(array: np.ndarray, low: float, high: float, mean: float, std: float) -> np.ndarray:
    """Clip to [low, high], subtract mean, divide by std; all four in the unit of the image (e.g. HU)."""
    return _scaled(np.clip(np.asarray(array, dtype=np.float32), low, high), mean, std)


def scale(array: np.ndarray, divide_by: float, clip: list[float]) -> np.ndarray:
    """Clip to [low, high] in the unit of the image (e.g. SUV), then divide."""
    return _scaled(np.clip(np.asarray(array, dtype=np.float32), clip[0], clip[1]), 0.0, divide_by)


def _scaled(values: np.ndarray, offset: float, divisor: float) -> np.ndarray:
    """(values - offset) / divisor in place."""
    values -= np.float32(offset)
    values /= np.float32(divisor)
    return values


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


def padding_value(spec: dict, normalized: np.ndarray) -> float:
    """Network input value of `background`, for padding windows: what `apply` gave the darkest voxel or the
    clip limit."""
    if spec["kind"] == "zscore_foreground":
        return float(normalized.min())
    return float(apply(spec, np.asarray([background(spec, normalized)]))[0])


def empty_tolerance(spec: dict) -> float:
    """How far the network input may lie from `padding_value` where nothing but air is.

    Clipping and thresholds make the air of CT and MR exactly empty; that of a PET holds scattered counts.
    """
    if spec["kind"] != "scale":
        return 0.0
    low, high = spec["clip"]
    return SCATTER * (high - low) / spec["divide_by"]
