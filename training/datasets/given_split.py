"""A split that a table of cases gives: its column `split` says train, validation or test of every case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from veloxseg.contract.errors import VeloxSegError

COLUMN = "split"
PARTS = ("train", "validation", "test")


def given_split(path: Path, rows: Sequence[Mapping[str, str]], patients: Mapping[str, str]) -> dict[str, list[str]] | None:
    """Case ids of each part as in dataset.json, or None for a table without the column; what isn't held out trains.

    path: of the table, for messages. rows: its rows, each with an id. patients: the patient (or group) of every case. Raises
    DATASET_FILE for another word, a case without one, a part without a case and a patient in two parts.
    """
    if not any(COLUMN in row for row in rows):
        return None
    parts = {row["id"]: row.get(COLUMN, "") for row in rows}
    for case, part in parts.items():
        if part not in PARTS:
            what = f"the {COLUMN} of {case} is {part!r} instead of {', '.join(PARTS[:-1])} or {PARTS[-1]}"
            raise VeloxSegError("DATASET_FILE", path=path, reason=what)
    sides: dict[str, set[str]] = defaultdict(set)
    for case, part in parts.items():
        sides[patients[case]].add(part)
    for patient, found in sides.items():
        if len(found) > 1:
            where = " and in ".join(part for part in PARTS if part in found)
            what = f"{patient} has cases in {where}, and a patient belongs to one part"
            raise VeloxSegError("DATASET_FILE", path=path, reason=what)
    for part in PARTS:
        if part not in parts.values():
            raise VeloxSegError("DATASET_FILE", path=path, reason=f"its column {COLUMN} names no case for {part}")
    return {part: sorted(case for case, side in parts.items() if side == part) for part in PARTS[1:]}
