"""The voxels of segments as arrays, and back."""

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
    return int(str(value)) if segment.GetTag(LABEL_TAG, value) else 0


def setLabel(segment, value: int) -> None:
    """Remember the label value of the model on a segment."""
    segment.SetTag(LABEL_TAG, str(value))


def fingerprint(segmentationNode) -> str:
    """Changes with any voxel of any segment."""
    sums = []
    for segmentId in segmentIds(segmentationNode):
        voxels = voxelsOf(segmentationNode, segmentId)
        corner = ",".join(f"{value:.3f}" for value in voxels.ijkToRas[:3, 3])
        sums.append(f"{voxels.count}/{zlib.crc32(voxels.mask.tobytes())}/{corner}")
    return " ".join(sums)
