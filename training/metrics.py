"""Metrics of one case: overlap, surface distance, BraTS regions, lesions (spec section 8, flaws 1 and 2).

All masks are numpy arrays of equal shape with three (or any number of) axes. Anything non-zero counts as
foreground unless a function speaks of labels. A value that does not exist is NaN, never a number that
flatters or punishes: average over cases with `numpy.nanmean` and say how many cases went in.
"""

import math
import warnings

import numpy as np
import torch
from monai.metrics import compute_surface_dice

from veloxseg.service.comparison import as_masks, hd95, untouched_components

# The three evaluated regions of a BraTS label map with 1 necrotic core, 2 edema, 3 enhancing tumor.
BRATS_REGIONS = {"ET": (3,), "TC": (1, 3), "WT": (1, 2, 3)}


def dice(prediction: np.ndarray, reference: np.ndarray, both_empty: float = math.nan) -> float:
    """Volumetric Dice 2 TP / (predicted + reference), without smoothing.

    A lesion-free case without a prediction has no Dice; `both_empty` is what to return for it.
    """
    prediction, reference = as_masks(prediction, reference)
    size = int(prediction.sum()) + int(reference.sum())
    if size == 0:
        return both_empty
    return 2 * int((prediction & reference).sum()) / size


def surface_dice(
    prediction: np.ndarray,
    reference: np.ndarray,
    tolerance: float,
    spacing: tuple[float, float, float] | None = None,
) -> float:
    """Share of the area of both surfaces that lies within `tolerance` of the other surface (3D masks).

    `tolerance` has the unit of `spacing` (voxels where not given). NaN if both masks are empty, 0 if one is. Definition:
    Nikolov et al., Deep learning to achieve clinically applicable segmentation of head and neck anatomy, 2018.
    """
    pair = (torch.from_numpy(mask)[None, None] for mask in as_masks(prediction, reference))
    spacing = tuple(float(edge) for edge in spacing or (1, 1, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty masks, which are defined above, and about MONAI's own use of MONAI
        return float(compute_surface_dice(*pair, [tolerance], include_background=True, spacing=spacing, use_subvoxels=True))


def case_metrics(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, float, float], tolerance_mm: float
) -> dict[str, float]:
    """Every number of one region of one case; masks (x, y, z), a number that does not exist is NaN.

    false_positive_ml and false_negative_ml are the volumes of whole invented and whole missed components.
    """
    prediction, reference = as_masks(prediction, reference)
    tp, fp, fn, _ = confusion(prediction, reference)
    lesions = lesion_metrics(prediction, reference, spacing_mm)
    millilitres = math.prod(spacing_mm) / 1000
    return {
        "dice": ratio(2 * tp, 2 * tp + fp + fn),
        "iou": ratio(tp, tp + fp + fn),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "hd95_mm": hd95(prediction, reference, spacing_mm),
        "surface_dice": surface_dice(prediction, reference, tolerance_mm, spacing_mm),
        "surface_tolerance_mm": tolerance_mm,
        "lesion_f1": lesions["lesion_f1"],
        "false_positive_ml": lesions["false_positive_ml"],
        "false_negative_ml": lesions["false_negative_ml"],
        "reference_ml": (tp + fn) * millilitres,
        "predicted_ml": (tp + fp) * millilitres,
    }


def published_binary_metrics(prediction: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """The overlap numbers as the published evaluation smooths them (s = 1e-5), for comparisons only.

    Both masks empty gives a Dice of 0 there, which punishes every correctly empty case.
    """
    tp, fp, fn, tn = confusion(*as_masks(prediction, reference))
    s = 1e-5
    precision, recall = tp / (tp + fp + s), tp / (tp + fn + s)
    return {
        "fp_rate": fp / (fp + tn + s),
        "fn_rate": fn / (fn + tp + s),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall + s),
        "iou": tp / (tp + fp + fn + s),
        "dice": 2 * tp / (2 * tp + fp + fn + s),
    }


def lesion_metrics(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...] | None = None) -> dict[str, float]:
    """Lesion-wise detection, and the volumes missed and invented. A lesion is an 18-connected component.

    A lesion counts as found if one predicted voxel lies in it; a predicted component without any voxel of a
    lesion is false. lesion_f1 is NaN if there is nothing on either side. The two volumes are those of whole
    missed lesions and whole false components, in millilitres for a `spacing` in millimeters (1 mm where not given).
    """
    prediction, reference = as_masks(prediction, reference)
    millilitres = float(np.prod(spacing)) / 1000 if spacing is not None else 1 / 1000
    missed, lesions, missed_voxels = untouched_components(reference, prediction)
    false, components, false_voxels = untouched_components(prediction, reference)
    found = lesions - missed
    return {
        "lesions": lesions,
        "lesions_found": found,
        "false_components": false,
        "lesion_f1": ratio(2 * found, 2 * found + missed + false),
        "false_positive_ml": false_voxels * millilitres,
        "false_negative_ml": missed_voxels * millilitres,
    }


def published_slice_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """The published "BraTS Dice" of one region: a mean over slices along the third axis, for comparisons only.

    Slices without the region on either side score 1, so a lesion of volumetric Dice 0.75 can reach 0.97.
    """
    prediction, reference = as_masks(prediction, reference)
    overlap = (prediction & reference).sum(axis=(0, 1))
    size = prediction.sum(axis=(0, 1)) + reference.sum(axis=(0, 1))
    return float(((2 * overlap + 2e-6) / (size + 2e-6)).mean())


def confusion(prediction: np.ndarray, reference: np.ndarray) -> tuple[int, int, int, int]:
    """(true positives, false positives, false negatives, true negatives) of two boolean masks."""
    tp = int((prediction & reference).sum())
    fp = int(prediction.sum()) - tp
    fn = int(reference.sum()) - tp
    return tp, fp, fn, prediction.size - tp - fp - fn


def ratio(numerator: float, denominator: float) -> float:
    """numerator / denominator, NaN where the denominator is zero."""
    return numerator / denominator if denominator else math.nan
