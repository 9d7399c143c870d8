"""Two models on the same cases, with a paired test.

    python training/compare.py runs/a/evaluation runs/b/evaluation

Reads the cases.csv of `evaluate.py`, of volumes or of photos. Each line compares the means over the cases that have the number
in both; p is that of the two-sided Wilcoxon signed rank test, not corrected for the number of lines.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import sys
from pathlib import Path

import pandas as pd
import tyro

from training import command, records
from training.confidence import paired
from training.scores import LESION_COLUMNS, NETWORK, OVERLAP_COLUMNS, PUBLISHED, labels_apart, per_case, read_cases

COLUMNS = (*OVERLAP_COLUMNS, *LESION_COLUMNS, PUBLISHED)
SEED = 2026


def compare(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """One row per number, and one per region's Dice, of two tables of cases; the difference is second - first.

    Raises ValueError when the tables are not of the same cases, references and tolerance.
    """
    tables = (labels_apart(table[table.method == NETWORK]) for table in (first, second))
    first, second = (table.set_index(["case", "region"]).sort_index() for table in tables)
    _check(first, second)
    size, unit = _size(first)
    # what decides is the reference alone, so that both lose the same rows
    empty, present = first[size] == 0, first[size] > 0
    lines = [_line(column, per_case(first[present], column), per_case(second[present], column))
             for column in COLUMNS if column in first]  # fmt: skip
    if empty.any():
        found = (per_case(table[empty], f"predicted_{unit}") for table in (first, second))
        lines.append(_line(f"{unit} where empty", *found))
    names = first.index.get_level_values("region").unique()
    for region in names if len(names) > 1 else ():
        rows = present & (first.index.get_level_values("region") == region)
        lines.append(_line(f"dice {region}", per_case(first[rows], "dice"), per_case(second[rows], "dice")))
    return pd.DataFrame(lines).set_index("number")


def _size(table: pd.DataFrame) -> tuple[str, str]:
    """The column with the size of the reference, and its unit: ml of volumes, percent of photos."""
    unit = "ml" if "reference_ml" in table else "percent"
    return f"reference_{unit}", unit


def _check(first: pd.DataFrame, second: pd.DataFrame) -> None:
    if not first.index.equals(second.index):
        differing = sorted({"/".join(key) for key in first.index.symmetric_difference(second.index)})
        raise ValueError(f"the cases differ: {', '.join(differing[:5])}{' and more' if len(differing) > 5 else ''} in one only")
    if _size(first) != _size(second):
        raise ValueError("one table is of photos and the other of volumes")
    for column, what in ((_size(first)[0], "references"), ("surface_tolerance_mm", "tolerances of the surface Dice")):
        if column not in first:
            continue
        apart = (first[column] - second[column]).abs() > 1e-3 * first[column].abs()
        if apart.any():
            raise ValueError(f"the {what} differ, first in {'/'.join(apart.idxmax())}")


def _line(name: str, first: pd.Series, second: pd.Series) -> dict:
    both = first.index.intersection(second.index)
    found = paired(first[both].to_numpy(), second[both].to_numpy(), SEED)
    low, high = found.interval_95 or (float("nan"), float("nan"))
    return {"number": name, "n": found.n, "in one only": len(first.index.symmetric_difference(second.index)),
            "first": first[both].mean(), "second": second[both].mean(), "difference": found.difference,
            "from": low, "to": high, "p": found.p}  # fmt: skip


def main(first: tyro.conf.Positional[Path], second: tyro.conf.Positional[Path]) -> None:
    """Prints the table.

    Args:
        first: evaluation folder of one model.
        second: evaluation folder of the other.
    """
    try:
        table = compare(read_cases(first / "cases.csv"), read_cases(second / "cases.csv"))
    except ValueError as error:
        sys.exit(f"can't compare: {error}")
    entry = records.read(first / "scores.json")[0]
    print(f"first:  {first}\nsecond: {second}\ndata:   {entry['data']}{' (synthetic)' if entry['synthetic'] else ''}")
    print("difference: second - first with its 95 % interval; p: Wilcoxon signed rank, paired\n")
    print(table.to_string(float_format=lambda v: f"{v:.4f}", na_rep="-"))


if __name__ == "__main__":
    command.run(main)
