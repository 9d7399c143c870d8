"""From the table of cases to scores: entries of a model card with intervals, strata by lesion size, a printed summary.

The table (evaluation/cases.csv) has one row per case, method and region; `evaluate.py` writes it. Methods are the network and,
on PET, the SUV rules. Where a reference is empty there is no overlap to score: such rows count only in the false positive volume
of empty references.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from training.confidence import interval
from veloxseg import files
from veloxseg.contract import csv_text
from veloxseg.contract.errors import VeloxSegError

NETWORK = "network"
POOLED = "all labels as one"
"""The region in which rules that can't tell labels apart stand beside the network."""
LEAST_CASES_OF_A_STRATUM = 3
PUBLISHED = "dice_published_per_slice"
SCORES = {
    "dice": "Dice",
    "surface_dice": "Surface Dice at {tolerance:g} mm",
    "hd95_mm": "95 % Hausdorff distance in mm",
    "lesion_f1": "Lesion-wise F1",
    "false_positive_ml": "False positive volume in ml",
    "false_negative_ml": "False negative volume in ml",
    PUBLISHED: "Dice per slice as published, not volumetric",
}
NAMES = ("case", "method", "region")
LESION_COLUMNS = ("lesion_f1", "false_positive_ml", "false_negative_ml")
OVERLAP_COLUMNS = ("dice", "iou", "precision", "recall", "surface_dice", "hd95_mm")
NUMBERS = (*OVERLAP_COLUMNS, *LESION_COLUMNS, PUBLISHED, "surface_tolerance_mm", "seconds")
AGAIN = "start training/evaluate.py again, which writes it"


def write_cases(table: pd.DataFrame, path: Path) -> None:
    """Write cases.csv; a name that begins like a formula is none for a spreadsheet. Raises DISK_FULL or OUTPUT_UNWRITABLE."""
    safe = table.rename(columns=csv_text.cell)
    texts = safe.select_dtypes(exclude="number").columns
    safe[texts] = safe[texts].map(csv_text.cell)
    files.write_text(path, safe.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def read_cases(path: Path) -> pd.DataFrame:
    """cases.csv with names as text, whatever they look like. Raises RUN when it is missing or something else."""
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(NAMES, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        reason = "it can't be read as CSV" if path.exists() else "it doesn't exist"
        raise VeloxSegError("RUN", path=path, reason=reason, remedy=AGAIN, detail=str(error)) from error
    unit = "percent" if "reference_percent" in table else "ml"
    numbers = ["dice", f"reference_{unit}", f"predicted_{unit}", *(c for c in NUMBERS if c in table)]
    for column in (*NAMES, *numbers):
        if column not in table or (column in numbers and not pd.api.types.is_numeric_dtype(table[column])):
            raise VeloxSegError("RUN", path=path, reason=f"its column {column} is missing or holds something else", remedy=AGAIN)
    if NETWORK not in set(table.method):
        raise VeloxSegError("RUN", path=path, reason="it has no row of the network", remedy=AGAIN)
    table[list(NAMES)] = table[list(NAMES)].map(csv_text.plain, na_action="ignore")
    return table


def score(name: str, data: str, values: list[float], seed: int, synthetic: bool, **more) -> dict:
    """One entry of the card's scores; `values` is one number per case."""
    return {
        "name": name,
        "data": data,
        "n": len(values),
        "seed": seed,
        "value": round(float(np.mean(values)), 4),
        "interval_95": _rounded(interval(np.asarray(values), seed)),
        "synthetic": synthetic,
        **more,
    }


def _rounded(ends: list[float] | None) -> list[float] | None:
    return ends and [round(end, 4) for end in ends]


def entries(cases: pd.DataFrame, data: str, seed: int, synthetic: bool, lesions: bool) -> list[dict]:
    """All score entries of a table of cases, for scores.json and the card.

    lesions: whether the labels are lesions, so that lesion-wise numbers and strata by size mean something.
    """
    pooled, cases = cases[(cases.region == POOLED) & (cases.reference_ml > 0)], labels_apart(cases)
    present, absent = cases[cases.reference_ml > 0], cases[cases.reference_ml == 0]
    where = ", label present" if len(absent) else ""
    best = best_rule(present)
    found = []
    for column, name in SCORES.items():
        if column not in cases or (column in LESION_COLUMNS and not lesions):
            continue
        name = name.format(tolerance=cases.surface_tolerance_mm.iloc[0]) + where
        entry = _entry(name, data, present, column, best, seed, synthetic)
        if entry and column == "dice" and lesions:
            entry["strata"] = strata(present[present.method == NETWORK], seed)
        found.append(entry)
    if len(absent):
        name = "False positive volume in ml, label absent"
        found.append(_entry(name, data, absent, "predicted_ml", best, seed, synthetic))
    if len(pooled):
        found.append(_entry(f"Dice, {POOLED}", data, pooled, "dice", best_rule(pooled), seed, synthetic))
    return [entry for entry in found if entry]


def labels_apart(cases: pd.DataFrame) -> pd.DataFrame:
    """The rows of single labels and regions."""
    return cases[cases.region != POOLED]


def best_rule(present: pd.DataFrame) -> str | None:
    """The rule with the highest mean Dice, which stands beside every score; None without rules."""
    dice = present[present.method != NETWORK].groupby("method").dice.mean()
    return None if dice.empty else dice.idxmax()


def _entry(name: str, data: str, rows: pd.DataFrame, column: str, rule: str | None, seed: int, synthetic: bool) -> dict | None:
    """None where the network has no number at all."""
    network = rows[rows.method == NETWORK]
    values = per_case(network, column)
    if values.empty:
        return None
    means = {method: round(float(per_case(part, column).mean()), 4) for method, part in rows.groupby("method")}
    rules = {method: mean for method, mean in means.items() if method != NETWORK and not np.isnan(mean)}
    regions = network.groupby("region", sort=False)[column].mean().round(4).dropna()
    return score(
        name, data, values.tolist(), seed, synthetic,
        undefined=int(network.case.nunique() - len(values)),
        baseline={"name": rule, "value": rules[rule]} if rule in rules else None,
        rules=rules or None,
        per_label=regions.to_dict() if network.region.nunique() > 1 else None,
    )  # fmt: skip


def per_case(rows: pd.DataFrame, column: str) -> pd.Series:
    """Mean over the regions of each case that have the number, by case; cases without any are left out."""
    return rows.groupby("case")[column].mean().dropna()


def strata(rows: pd.DataFrame, seed: int) -> list[dict]:
    """Dice in thirds of the cases by the reference volume of their largest region; empty for too few cases.

    rows: one method, references that are not empty.
    """
    size, dice = rows.groupby("case").reference_ml.max(), per_case(rows, "dice")
    if len(size) < 3 * LEAST_CASES_OF_A_STRATUM:
        return []
    thirds = np.array_split(size.sort_values(kind="stable").index, 3)
    return [{"reference_ml": [round(float(size[part].min()), 3), round(float(size[part].max()), 3)], "n": len(part),
             "value": round(float(dice[part].mean()), 4), "interval_95": _rounded(interval(dice[part].to_numpy(), seed))}
            for part in thirds]  # fmt: skip


def summary(cases: pd.DataFrame, scores: list[dict]) -> str:
    """The table that people read: means over cases by method and region, then what happened where nothing was to be found."""
    columns = [c for c in (*OVERLAP_COLUMNS, *LESION_COLUMNS, PUBLISHED, "seconds") if c in cases]
    present, absent = cases[cases.reference_ml > 0], cases[cases.reference_ml == 0]
    by = ["method", "region"]
    table = present.groupby(by, sort=False)[columns].mean()
    table.insert(0, "n", present.groupby(by, sort=False).size())
    lines = [f"{scores[0]['data']}{' (synthetic)' if scores[0]['synthetic'] else ''}" if scores else "no scores",
             f"Means over cases whose reference is not empty; surface Dice at {cases.surface_tolerance_mm.iloc[0]:g} mm.",
             "", _text(table)]  # fmt: skip
    without = int(present[present.method == NETWORK].hd95_mm.isna().sum())
    if without:
        lines.append(f"No distance in {without} rows of the network, where it found nothing.")
    if len(absent):
        groups = absent.groupby(by, sort=False).predicted_ml
        empty = pd.DataFrame({"n": groups.size(), "kept empty": groups.apply(lambda ml: int((ml == 0).sum())),
                              "false positive ml": groups.mean()})  # fmt: skip
        lines += ["", "Empty reference (no Dice there):", _text(empty)]
    lines += ["", *(line(entry) for entry in scores)]
    for stratum in next((s["strata"] for s in scores if s.get("strata")), []):
        size = "{:.3g} to {:.3g} ml".format(*stratum["reference_ml"])
        lines.append(f"    Dice, reference {size}: {stratum['value']:.3f}{between(stratum)}, n = {stratum['n']}")
    return "\n".join(lines)


def _text(table: pd.DataFrame) -> str:
    return table.reset_index().to_string(index=False, float_format=lambda v: f"{v:.3f}", na_rep="-")


def line(entry: dict) -> str:
    """One score as a person reads it."""
    beside = f"; {entry['baseline']['name']}: {entry['baseline']['value']:.3f}" if entry.get("baseline") else ""
    synthetic = " (synthetic)" if entry["synthetic"] else ""
    undefined = f", undefined in {entry['undefined']}" if entry.get("undefined") else ""
    return f"{entry['name']}{synthetic}: {entry['value']:.3f}{between(entry)}, n = {entry['n']}{undefined}{beside}"


def between(entry: dict) -> str:
    """The interval as text, or nothing."""
    return f" [{entry['interval_95'][0]:.3f}, {entry['interval_95'][1]:.3f}]" if entry["interval_95"] else ""
