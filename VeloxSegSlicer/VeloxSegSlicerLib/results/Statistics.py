"""Volumes of segments as they are now."""

from dataclasses import dataclass

import numpy as np
import slicer

from ..common import Names


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
        measures.append(Measure(segmentId, Names.nameOf(segment), segment.GetColor(), voxels, volume))
    return measures
