"""Volumes of segments as they are now, and the CSV file with units and provenance."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer

from . import Geometry, Results

LESION_COLUMNS = {
    "diameter_mm": "longest_diameter_mm",
    "score": "score",
    "suv_max": "suv_max_g_per_ml",
    "suv_mean": "suv_mean_g_per_ml",
    "suv_peak": "suv_peak_g_per_ml",
    "tlg": "tlg_suv_ml",
}
PROVENANCE_COLUMNS = {
    "ModelTitle": "model",
    "ModelVersion": "model_version",
    "WeightsSha256": "weights_sha256",
    "Demo": "demo",
    "Device": "device",
    "Seed": "seed",
    "Quality": "quality",
    "Overlap": "overlap",
    "EngineVersion": "engine",
    "TorchVersion": "torch",
    "Created": "created_utc",
}


@dataclass(frozen=True)
class Measure:
    """One segment: its id, name, color (0-1), voxel count and volume."""

    segmentId: str
    name: str
    color: tuple[float, float, float]
    voxels: int
    volumeMl: float


def measure(segmentationNode) -> list[Measure]:
    """Count the voxels of every segment, also after a person edited it."""
    segmentation = segmentationNode.GetSegmentation()
    counts: dict[str, np.ndarray] = {}
    measures = []
    for segmentId in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentId)
        image = segmentationNode.GetBinaryLabelmapInternalRepresentation(segmentId)
        # Segments of one import share one image: count it once.
        key = image.GetAddressAsString("vtkObject")
        if key not in counts:
            values = slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentationNode, segmentId)
            counts[key] = np.bincount(values.ravel()) if values is not None else np.zeros(1, int)
        value = segment.GetLabelValue()
        voxels = int(counts[key][value]) if value < len(counts[key]) else 0
        volume = voxels * float(np.prod(image.GetSpacing())) / 1000.0
        measures.append(Measure(segmentId, segment.GetName(), segment.GetColor(), voxels, volume))
    return measures


def rows(segmentationNode) -> list[dict]:
    """One dictionary per segment, then one per lesion of the engine's list; every row carries the provenance.

    SUV columns exist only where the engine measured SUV: a missing value is absent, never zero.
    """
    provenance = {column: Results.fact(segmentationNode, name) for name, column in PROVENANCE_COLUMNS.items()}
    provenance["reference_image"] = Results.fact(segmentationNode, "Reference")
    segments = [
        {"kind": "segment", "name": entry.name, "voxels": entry.voxels, "volume_ml": _number(entry.volumeMl)}
        for entry in measure(segmentationNode)
    ]
    listed = [_lesionRow(lesion) for lesion in Results.lesions(segmentationNode)]
    return [row | provenance for row in segments + listed]


def writeCsv(segmentationNode, path: Path) -> None:
    """Write the rows; units are part of the column names.

    :raises OSError: when the file cannot be written.
    """
    table = rows(segmentationNode)
    first = ["kind", "name", "voxels", "volume_ml"]
    last = [*PROVENANCE_COLUMNS.values(), "reference_image"]
    between = [key for key in dict.fromkeys(key for row in table for key in row) if key not in first + last]
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=first + between + last, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(table)


def _lesionRow(lesion: dict) -> dict:
    row = {
        "kind": "lesion",
        "name": f"Lesion {lesion['label']}",
        "voxels": lesion["voxels"],
        "volume_ml": _number(lesion["volume_ml"]),
    }
    row |= {
        column: _number(lesion[key]) for key, column in LESION_COLUMNS.items() if lesion.get(key) is not None
    }
    position = Geometry.rasFromLps(lesion["centroid_lps"])
    return row | {f"position_{axis}_mm": _number(value) for axis, value in zip("ras", position, strict=True)}


def _number(value: float) -> str:
    return f"{value:.4f}"
