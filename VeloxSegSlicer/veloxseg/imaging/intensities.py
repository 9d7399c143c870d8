"""From image units to network input: one function per intensity kind of the model card.

All functions take any real numpy array of one image (any shape, any axis order, outside already filled with
`background`) and return a float32 array of the same shape. Training and inference call the same `apply`.
"""

import numpy as np
import SimpleITK as sitk

from veloxseg.contract.foreground import AIR_PERCENTILE, foreground_threshold
from veloxseg.contract.plausibility import body_mean

SCATTER = 1 / 300
"""Share of the range of a `scale` image that air may hold: 0.1 SUV of a PET that is clipped at 30, a third of lung."""


def air_value(array: np.ndarray) -> float:
    """Value of air: the 0.1 percentile, so that a few undershooting voxels do not decide."""
    return float(np.percentile(array, AIR_PERCENTILE))


def zscore_foreground(array: np.ndarray, whole: np.ndarray | None = None) -> np.ndarray:
    """Zero mean and unit deviation over the foreground; everything else becomes the value of air.

    Statistics in float64. An image without any foreground contrast gets deviation 1.

    whole: the image that `array` is a part of, any shape, for the statistics.
    """
    air, level = foreground_threshold(array if whole is None else whole)
    values = np.array(array, dtype=np.float32)
    is_foreground = values > level
    foreground = values[is_foreground] if whole is None else whole[whole > level]
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


def scaled_to_body(image: sitk.Image) -> sitk.Image:
    """The image as float32, scaled so that the mean of what counts as body is 1; one without positive values stays."""
    values = sitk.GetArrayViewFromImage(image)
    mean = body_mean(values[np.isfinite(values)].astype(np.float64)) or 1.0
    return sitk.Cast(image, sitk.sitkFloat32) * (1.0 / mean)


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
