"""Files that describe a data set: dataset.json of the decathlon and of nnU-Net, and lists of cases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from veloxseg.contract.errors import VeloxSegError
from veloxseg.service import case_lists

KNOWN = ("id", "patient", "group", "label", "split")


def read_description(path: Path) -> dict:
    """A JSON object. Raises DATASET_FILE."""
    content = _json(path)
    if not isinstance(content, dict):
        raise VeloxSegError("DATASET_FILE", path=path, reason="it is not a JSON object")
    return content


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a list of cases, JSON (a list of objects) or CSV (with a heading), texts only, without empty cells; each has an id.

    The columns `KNOWN` are spelled as there, whatever the list writes. Raises DATASET_FILE.
    """
    rows = []
    for place, cells in _places(path):
        row = {_known(key): value.strip() for key, value in cells.items() if value.strip()}
        if "id" not in row:
            raise VeloxSegError("DATASET_FILE", path=path, reason=f"{place} has no id (column id)")
        rows.append(row)
    return rows


def _places(path: Path) -> list[tuple[str, Mapping[str, str]]]:
    """Where each row stands, and its cells."""
    if path.suffix.lower() == ".json":
        rows = _json(path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise VeloxSegError("DATASET_FILE", path=path, reason="it is not a JSON list of objects")
        texts = ({key: str(value) for key, value in row.items() if value is not None} for row in rows)
        return [(f"entry {number}", row) for number, row in enumerate(texts, start=1)]
    try:
        return [(f"line {row.line}", row.cells) for row in case_lists.read(path)]
    except case_lists.ListProblem as problem:
        raise VeloxSegError("DATASET_FILE", path=path, reason=problem.reason) from problem


def _known(column: str) -> str:
    column = column.strip()
    return column.lower() if column.lower() in KNOWN else column


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise VeloxSegError("DATASET_FILE", path=path, reason=f"it cannot be read as JSON ({error})") from error
