"""One segment per lesion, and back to one segment per label."""

import numpy as np

from ..common import ResultAttributes, SegmentVoxels
from ..common.Components import Voxels, startOn, united
from . import Lesions

MOST_SEGMENTS = 50


def isSeparate(segmentationNode) -> bool:
    """Whether a result has a segment per lesion."""
    return ResultAttributes.fact(segmentationNode, "Separate") == "yes"


def split(segmentationNode, lesions: list[Lesions.Lesion]) -> None:
    """Give each of the largest 50 lesions a segment of its own; smaller ones stay together in the label's segment."""
    found = Lesions.pieces(segmentationNode)
    for number, lesion in enumerate(lesions[:MOST_SEGMENTS]):
        piece = Lesions.pieceOf(lesion, found)
        found.remove(piece)
        _take(segmentationNode, piece, Lesions.title(segmentationNode, lesions, number))
    for segmentId in SegmentVoxels.segmentIds(segmentationNode):
        if not SegmentVoxels.voxelsOf(segmentationNode, segmentId).count:
            segmentationNode.GetSegmentation().RemoveSegment(segmentId)
    ResultAttributes.setFact(segmentationNode, "Separate", "yes")
    Lesions.store(segmentationNode, lesions)


def join(segmentationNode, lesions: list[Lesions.Lesion]) -> None:
    """Put the segments of each label together again."""
    names = ResultAttributes.labelNames(segmentationNode)
    segmentation = segmentationNode.GetSegmentation()
    first: dict[int, str] = {}
    for segmentId in SegmentVoxels.segmentIds(segmentationNode):
        label = SegmentVoxels.labelOf(segmentationNode, segmentId)
        if label in first and label:
            _add(segmentationNode, first[label], SegmentVoxels.voxelsOf(segmentationNode, segmentId))
            segmentation.RemoveSegment(segmentId)
        elif label:
            first[label] = segmentId
            segmentation.GetSegment(segmentId).SetName(names.get(str(label), "Lesion"))
    ResultAttributes.setFact(segmentationNode, "Separate", "no")
    Lesions.store(segmentationNode, lesions)


def without(voxels: Voxels, parts: list[Voxels]) -> np.ndarray:
    """The mask (k, j, i) of some voxels on their own grid without some of its pieces."""
    mask = voxels.mask.copy()
    for part in parts:
        mask[_boxIn(part, voxels)] &= ~part.mask
    return mask


def _take(segmentationNode, piece: Lesions.Piece, name: str) -> None:
    whole = SegmentVoxels.voxelsOf(segmentationNode, piece.segmentId)
    newId = SegmentVoxels.addSegmentLike(segmentationNode, piece.segmentId, name)
    SegmentVoxels.setVoxels(segmentationNode, piece.segmentId, without(whole, [piece.voxels]), whole.ijkToRas)
    SegmentVoxels.setVoxels(segmentationNode, newId, piece.voxels.mask, piece.voxels.ijkToRas)


def _add(segmentationNode, segmentId: str, more: Voxels) -> None:
    """Give a segment some more voxels."""
    own, other, ijkToRas = united(SegmentVoxels.voxelsOf(segmentationNode, segmentId), more)
    SegmentVoxels.setVoxels(segmentationNode, segmentId, own | other, ijkToRas)


def _boxIn(part: Voxels, whole: Voxels) -> tuple[slice, ...]:
    start = startOn(part, np.linalg.inv(whole.ijkToRas))
    return tuple(slice(a, a + n) for a, n in zip(start, part.mask.shape, strict=True))
