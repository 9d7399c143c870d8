"""Takes the lesions that a person left out away from the segmentation."""

from ..common import SegmentVoxels
from . import Lesions, Separate


def removeExcluded(segmentationNode, lesions: list[Lesions.Lesion]) -> None:
    """Clear the voxels of lesions without the Include mark; the list then holds the others."""
    found = Lesions.pieces(segmentationNode)
    excluded = [Lesions.pieceOf(lesion, found) for lesion in lesions if not lesion.isIncluded]
    segmentation = segmentationNode.GetSegmentation()
    for segmentId in {piece.segmentId for piece in excluded}:
        whole = SegmentVoxels.voxelsOf(segmentationNode, segmentId)
        parts = [piece.voxels for piece in excluded if piece.segmentId == segmentId]
        mask = Separate.without(whole, parts)
        if Separate.isSeparate(segmentationNode) and not mask.any():
            segmentation.RemoveSegment(segmentId)
        else:
            SegmentVoxels.setVoxels(segmentationNode, segmentId, mask, whole.ijkToRas)
    Lesions.store(segmentationNode, [lesion for lesion in lesions if lesion.isIncluded])
