"""Files that describe a data set: dataset.json of the decathlon and of nnU-Net, and lists of cases."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from veloxseg.errors import VeloxSegError


def read_description(path: Path) -> dict:
    """A JSON object. Raises DATASET_FILE."""
    content = _json(path)
    if not isinstance(content, dict):
        raise VeloxSegError("DATASET_FILE", path=path, reason="it is not a JSON object")
    return content


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a list of cases, JSON (a list of objects) or CSV (with a header), texts only. Raises DATASET_FILE."""
    if path.suffix.lower() == ".json":
        rows = _json(path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise VeloxSegError("DATASET_FILE", path=path, reason="it is not a JSON list of objects")
        return [{key: str(value) for key, value in row.items() if value is not None} for row in rows]
    try:
        # spreadsheets write a byte order mark
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [{k: v.strip() for k, v in row.items() if k and v and v.strip()} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise VeloxSegError("DATASET_FILE", path=path, reason=f"it cannot be read as CSV ({error})") from error


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VeloxSegError("DATASET_FILE", path=path, reason=f"it cannot be read as JSON ({error})") from error
