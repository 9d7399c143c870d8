"""The voxels of segments as arrays, and back."""

import re
import zlib

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from .Components import Voxels, cut, movedTo

LABEL_TAG = "VeloxSeg.Label"


def voxelsOf(segmentationNode, segmentId: str) -> Voxels:
    """The voxels of one segment as they are now, also after an edit."""
    image = segmentationNode.GetBinaryLabelmapInternalRepresentation(segmentId)
    values = slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentationNode, segmentId)
    if image is None or values is None or not values.size:
        return Voxels(np.zeros((0, 0, 0), bool), np.eye(4))
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    extent = image.GetExtent()
    ijkToRas = movedTo(slicer.util.arrayFromVTKMatrix(matrix), (extent[4], extent[2], extent[0]))
    return cut(values == segmentationNode.GetSegmentation().GetSegment(segmentId).GetLabelValue(), ijkToRas)


def setVoxels(segmentationNode, segmentId: str, mask: np.ndarray, ijkToRas: np.ndarray) -> None:
    """Give a segment other voxels; the voxels of other segments stay."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(orientedImage(mask, ijkToRas), segmentationNode, segmentId)


def addSegment(segmentationNode) -> str:
    """Add an empty segment; returns its id.

    AddSegment() would put an empty label map in the place of each surface that is shown in 3D; AddEmptySegment() makes every
    kind of representation that the others have.
    """
    return segmentationNode.GetSegmentation().AddEmptySegment()


def addSegmentLike(segmentationNode, segmentId: str, name: str) -> str:
    """Add an empty segment with the color, terminology and tags of another one; returns its id."""
    segmentation = segmentationNode.GetSegmentation()
    newId = addSegment(segmentationNode)
    segment = segmentation.GetSegment(newId)
    value = segment.GetLabelValue()
    segment.DeepCopyMetadata(segmentation.GetSegment(segmentId))
    # Both may share one label map.
    segment.SetLabelValue(value)
    segment.SetName(name)
    return newId


def orientedImage(mask: np.ndarray, ijkToRas: np.ndarray):
    """A vtkOrientedImageData of a bool array (k, j, i)."""
    image = slicer.vtkOrientedImageData()
    image.ShallowCopy(imageData(mask.astype(np.uint8)))
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijkToRas))
    return image


def imageData(values: np.ndarray):
    """A vtkImageData with a copy of uint8 values (k, j, i)."""
    image = vtk.vtkImageData()
    image.SetDimensions(*values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(values).ravel(), deep=True))
    return image


def segmentIds(segmentationNode) -> tuple[str, ...]:
    """The ids of all segments, in order."""
    return tuple(segmentationNode.GetSegmentation().GetSegmentIDs())


def labelOf(segmentationNode, segmentId: str) -> int:
    """The label value of the model that a segment holds; 0 for a segment that a person added."""
    value = vtk.reference("")
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    isThere = segment.GetTag(LABEL_TAG, value)
    # A scene may bring anything.
    return int(str(value)) if isThere and re.fullmatch("[0-9]{1,3}", str(value)) else 0


def setLabel(segment, value: int) -> None:
    """Remember the label value of the model on a segment."""
    segment.SetTag(LABEL_TAG, str(value))


def fingerprint(segmentationNode) -> str:
    """Changes with any voxel of any segment."""
    now = state(segmentationNode)
    if now != _last[0]:
        _last[:] = [now, " ".join(_sumOf(voxelsOf(segmentationNode, name)) for name in segmentIds(segmentationNode))]
    return _last[1]


def state(segmentationNode) -> tuple:
    """Changes whenever segments or their voxels may have changed; quick, but not the same after loading a scene."""
    images = [segmentationNode.GetBinaryLabelmapInternalRepresentation(name) for name in segmentIds(segmentationNode)]
    # The segmentation's own time does not follow the voxels.
    times = tuple(image.GetMTime() for image in images if image is not None)
    return segmentationNode.GetID(), segmentationNode.GetSegmentation().GetMTime(), times


# State of the segmentation that was looked at last, and its fingerprint: several parts of the panel ask in a row.
_last: list = [(), ""]


def _sumOf(voxels: Voxels) -> str:
    corner = ",".join(f"{value:.3f}" for value in voxels.ijkToRas[:3, 3])
    return f"{voxels.count}/{zlib.crc32(voxels.mask.tobytes())}/{corner}"
