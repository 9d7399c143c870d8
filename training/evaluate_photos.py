"""What `evaluate.py` does for photos: table of photos, scores with intervals, masks.

Every photo goes through `veloxseg.segment`, as in the panel, and is scored on its own pixels; a threshold by Otsu stands
beside it. In the folder of the results masks are masks/<case>.png, cases.csv has one row per photo and method, and worst.png
shows the ten worst.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

import veloxseg
from training import scores, skin_tone
from training.confidence import interval, interval_of_ratio
from training.datasets.description import read_rows
from training.metrics import confusion, dice, ratio
from training.photos import MASK, PHOTO, read_mask
from training.scored_cases import SEED, By, Cases
from veloxseg import files
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import photos
from veloxseg.inference.case import Package

OTSU = "Otsu"
SMOOTHING = 2 / 256
"""Standard deviation before Otsu's threshold, in parts of the shorter side."""
PUBLISHED_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
STRATA = (0, 3, 12, 100)
"""Limits of the lesion's area in percent of the photo."""
FIVE = ", mean of five thresholds as published"
SCORES = {"dice": "Dice", "iou": "IoU", "dice_five": f"Dice{FIVE}", "iou_five": f"IoU{FIVE}"}


def evaluate(model: Package, cases: Cases, output: Path, device: str = "auto", by: By | None = None) -> list[dict]:
    """Scores `model` on `cases`, writes the folder `output` and returns the score entries.

    by: a list of the photos and its column by whose values they are scored as well. Raises DATASET_FILE for a list without it,
    and what `veloxseg.segment` raises.
    """
    groups = column(*by) if by else None
    with files.typed_output_errors(output):
        (output / "masks").mkdir(parents=True, exist_ok=True)
    rows = []
    for case in tqdm(cases.ids, desc=f"{cases.which} cases"):
        rows += _evaluate_case(model, cases, case, output / "masks" / f"{case}.png", device)
    table = pd.DataFrame(rows)
    scores.write_cases(table, output / "cases.csv")
    found = entries(table, cases.name, cases.synthetic)
    network = table[table.method == scores.NETWORK]
    text = f"{summary(table, found)}\nBy skin tone around the lesion:\n{by_column(network, tones(network))}"
    if groups:
        text += f"\nBy {by[1]}:\n{by_column(network, groups)}"
    files.write_json(output / "scores.json", found)
    files.write_text(output / "summary.txt", text + "\n")
    _draw_worst(network, cases, output)
    return found


def _draw_worst(network: pd.DataFrame, cases: Cases, output: Path) -> None:
    from training import report_photos

    report_photos.draw_worst(network, cases.folder, output / "masks", output / "worst.png")


def tones(rows: pd.DataFrame) -> dict[str, str]:
    """The class of skin tone of each photo by id."""
    return dict(zip(rows.case, map(skin_tone.class_of, rows.ita_degrees)))


def column(path: Path, name: str) -> dict[str, str]:
    """The values of a list's column by id. Raises DATASET_FILE."""
    found = {row["id"]: row[name] for row in read_rows(path) if "id" in row and name in row}
    if not found:
        raise VeloxSegError("DATASET_FILE", path=path, reason=f"it has no column id or no column {name}")
    return found


def _evaluate_case(model: Package, cases: Cases, case: str, target: Path, device: str) -> list[dict]:
    path, truth = cases.path(case, PHOTO), read_mask(cases.path(case, MASK))
    begun = time.perf_counter()
    outcome = veloxseg.segment(model, {"Photo": path}, device=device, outputs=["mask"]).prediction
    seconds = time.perf_counter() - begun
    mask, probability = outcome.mask[..., 0].T > 0, outcome.probability[..., 0].T
    Image.fromarray(mask.astype(np.uint8) * 255).save(target, optimize=True)
    network = overlap(mask, truth) | five_thresholds(probability, truth) | {"agreement": outcome.agreement, "seconds": seconds}
    begun = time.perf_counter()
    pixels = photos.read(path)
    rule = overlap(otsu(pixels), truth)
    whole = {
        "case": case,
        "region": cases.card.labels[0].name,
        "reference_percent": 100 * float(truth.mean()),
        "ita_degrees": skin_tone.typology_angle(pixels, truth),
    }
    return [whole | {"method": scores.NETWORK} | network,
            whole | {"method": OTSU} | rule | {"seconds": time.perf_counter() - begun}]  # fmt: skip


def overlap(mask: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Numbers of a mask bool (y, x). Dice and IoU of two empty masks are 1."""
    tp, fp, fn, _ = confusion(mask, truth)
    return {
        "dice": dice(mask, truth, both_empty=1.0),
        "iou": ratio(tp, tp + fp + fn) if tp + fp + fn else 1.0,
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "predicted_percent": 100 * float(mask.mean()),
        "shared_px": tp,
        "both_px": 2 * tp + fp + fn,
    }


def five_thresholds(probability: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Dice and IoU as MedSegDiff reports them: the map (y, x) divided by its own maximum, the mean over five thresholds.

    For comparisons with published numbers only: a map of small numbers is stretched as if it were sure of itself.
    """
    stretched = probability / max(float(probability.max()), 1e-6)
    each = [overlap(stretched > threshold, truth) for threshold in PUBLISHED_THRESHOLDS]
    return {f"{name}_five": float(np.mean([numbers[name] for numbers in each])) for name in ("dice", "iou")}


def otsu(pixels: np.ndarray) -> np.ndarray:
    """Otsu's threshold on the smoothed mean of green and blue of a photo uint8 (y, x, 3), where melanin is dark: bool (y, x)."""
    gray = ndimage.gaussian_filter(pixels[..., 1:].mean(axis=2, dtype=np.float32), SMOOTHING * min(pixels.shape[:2]))
    return sitk.GetArrayFromImage(sitk.OtsuThreshold(sitk.GetImageFromArray(gray), 1, 0)) > 0


def entries(table: pd.DataFrame, data: str, synthetic: bool) -> list[dict]:
    """All score entries of a table of photos, for scores.json and the card."""
    network, rule = table[table.method == scores.NETWORK], table[table.method == OTSU]
    found = []
    for column, name in SCORES.items():
        beside = None if column not in ("dice", "iou") else {"name": OTSU, "value": round(float(rule[column].mean()), 4)}
        found.append(scores.score(name, data, network[column].tolist(), SEED, synthetic, baseline=beside))
    found[0]["strata"] = strata(network)
    return [*found, pooled(network, rule, data, synthetic)]


def pooled(network: pd.DataFrame, rule: pd.DataFrame, data: str, synthetic: bool) -> dict:
    """Dice over the pixels of all photos together, as papers on small networks report it: large lesions count more."""
    value, beside = (2 * rows.shared_px.sum() / rows.both_px.sum() for rows in (network, rule))
    ends = interval_of_ratio(2 * network.shared_px.to_numpy(), network.both_px.to_numpy(), SEED)
    return {"name": "Dice pooled over all pixels", "data": data, "n": len(network), "seed": SEED, "value": round(float(value), 4),
            "interval_95": ends and [round(end, 4) for end in ends], "synthetic": synthetic,
            "baseline": {"name": OTSU, "value": round(float(beside), 4)}}  # fmt: skip


def by_column(rows: pd.DataFrame, values: dict[str, str]) -> str:
    """A line for each value of a column that a list gives the photos, for people: mean Dice with interval and n."""
    lines = []
    for value, part in rows.groupby(rows.case.map(values).fillna("not stated")):
        entry = scores.score(str(value), "", part.dice.tolist(), SEED, False)
        lines.append(f"    Dice, {value}: {entry['value']:.3f}{scores.between(entry)}, n = {entry['n']}")
    return "\n".join(lines)


def strata(rows: pd.DataFrame) -> list[dict]:
    """Dice by the lesion's share of the photo; classes without a photo are left out."""
    found = []
    classes = np.digitize(rows.reference_percent, STRATA[1:-1])
    for number, limits in enumerate(zip(STRATA, STRATA[1:])):
        part = rows.dice.to_numpy()[classes == number]
        if len(part):
            ends = interval(part, SEED)
            found.append({"reference_percent": list(limits), "n": len(part), "value": round(float(part.mean()), 4),
                          "interval_95": ends and [round(end, 4) for end in ends]})  # fmt: skip
    return found


def summary(table: pd.DataFrame, found: list[dict]) -> str:
    """The table that people read: means over photos by method, then the scores."""
    columns = [
        c
        for c in ("dice", "iou", "precision", "recall", "dice_five", "iou_five", "agreement", "seconds")
        if table[c].notna().any()
    ]
    means = table.groupby("method", sort=False)[columns].mean().reset_index()
    empty = int((table[table.method == scores.NETWORK].reference_percent == 0).sum())
    lines = [f"{found[0]['data']}{' (synthetic)' if found[0]['synthetic'] else ''}, n = {found[0]['n']}", "",
             means.to_string(index=False, float_format=lambda v: f"{v:.3f}", na_rep="-"), ""]  # fmt: skip
    if empty:
        lines += [f"{empty} photos have no lesion; finding none there counts as 1.", ""]
    lines += [scores.line(entry) for entry in found]
    for stratum in found[0]["strata"]:
        low, high = stratum["reference_percent"]
        lines.append(f"    Dice, lesion {low} to {high} % of the photo: {stratum['value']:.3f}{scores.between(stratum)}, "
                     f"n = {stratum['n']}")  # fmt: skip
    return "\n".join(lines)
