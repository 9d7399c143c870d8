"""CSV files of a result: units in the names of the columns, the provenance in every row."""

from pathlib import Path

from veloxseg.contract import csv_text

from ..common import ResultAttributes
from . import ResultTable

PROVENANCE = {
    "ModelTitle": "model",
    "ModelVersion": "model_version",
    "WeightsSha256": "weights_sha256",
    "Level": "level",
    "Device": "device",
    "Seed": "seed",
    "Quality": "quality",
    "Overlap": "overlap",
    "CurrentThreshold": "threshold",
    "EngineVersion": "engine",
    "TorchVersion": "torch",
    "Created": "created_utc",
    "Reference": "reference_image",
}


def provenance(segmentationNode) -> dict[str, str]:
    """Column -> fact, the same for every row."""
    found = {column: ResultAttributes.fact(segmentationNode, name) for name, column in PROVENANCE.items()}
    return found | {"level": ResultAttributes.level(segmentationNode)}


def rows(segmentationNode, table: ResultTable.ResultTable) -> list[dict]:
    """One dictionary per row of the table, the totals last. A value that does not exist is absent, never zero."""
    return [_row(table, row) | provenance(segmentationNode) for row in (*table.rows, table.total)]


def write(entries: list[dict], path: Path) -> None:
    """Write dictionaries as CSV; their keys in order of appearance are the columns.

    :raises OSError: when the file cannot be written.
    """
    names = list(dict.fromkeys(key for entry in entries for key in entry))
    last = [name for name in names if name in PROVENANCE.values()]
    names = [name for name in names if name not in last] + last
    path.write_text(csv_text.table(entries, names), encoding="utf-8", newline="")


def _row(table: ResultTable.ResultTable, row: ResultTable.Row) -> dict:
    marks = {"included": row.isIncluded, "reviewed": row.isReviewed}
    entry = {"kind": row.kind, "name": row.name}
    entry |= {name: "yes" if mark else "no" for name, mark in marks.items() if mark is not None}
    if "voxels" in row.values:
        entry["voxels"] = row.values["voxels"]
    entry |= {
        column.csvName: f"{row.values[column.key]:.4f}" for column in table.columns if row.values.get(column.key) is not None
    }
    prefixes = ("position",) if len(row.positionsRas) == 1 else ("position_left", "position_right")
    for prefix, position in zip(prefixes, row.positionsRas, strict=False):
        entry |= {f"{prefix}_{axis}_mm": f"{value:.4f}" for axis, value in zip("ras", position, strict=True)}
    if row.kind == ResultTable.TOTAL and table.kind == ResultAttributes.LESIONS:
        entry |= {"lesions": table.lesionCount, "largest_distance_mm": f"{table.farthestMm:.4f}"}
    return entry
