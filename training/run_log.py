"""metrics.jsonl, the log of a run: one row of JSON a step, none twice, whatever was killed in between."""

from __future__ import annotations

import json
from pathlib import Path

from veloxseg import files
from veloxseg.contract.errors import VeloxSegError

NAME = "metrics.jsonl"


def append(run: Path, row: dict) -> None:
    """Raises DISK_FULL or OUTPUT_UNWRITABLE."""
    path = run / NAME
    with files.typed_output_errors(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def cut(run: Path, step: int) -> None:
    """Takes out what follows `step`, from where a run goes on, and lines that are no rows."""
    path = run / NAME
    if not path.exists():
        return
    kept = [row for row in _rows(path) if row["step"] <= step]
    text = "".join(json.dumps(row) + "\n" for row in kept)
    if path.read_bytes() != text.encode():
        files.write_text(path, text)


def read(run: Path) -> list[dict]:
    """All rows. Raises RUN when there is none."""
    path = run / NAME
    found = _rows(path) if path.exists() else []
    if not found:
        raise VeloxSegError("RUN", path=path, reason="it has no finished step", remedy="train first")
    return found


def _rows(path: Path) -> list[dict]:
    """Rows in the order of their steps; a kill or a full disk leaves half a line, which is passed over."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise VeloxSegError("RUN", path=path, reason=f"it can't be read ({error.strerror})",
                            remedy="look at the rights of the file") from error  # fmt: skip
    found = {}
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int) and isinstance(row.get("loss"), float):
            found[row["step"]] = row
    return [found[step] for step in sorted(found)]
