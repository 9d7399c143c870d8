"""An outline around the chosen lesion: a segmentation of its own that is neither listed nor saved."""

import slicer

from ..common import SegmentVoxels
from ..common.Components import Voxels

NAME = "VeloxSeg chosen lesion"
SEGMENT_ID = "Chosen"
COLOR = (1.0, 1.0, 0.0)
LINE_WIDTH = 3


def show(voxels: Voxels | None) -> None:
    """Outline some voxels instead of what was outlined before; None outlines nothing."""
    node = slicer.mrmlScene.GetFirstNodeByName(NAME)
    if voxels is None or not voxels.count:
        if node is not None:
            slicer.mrmlScene.RemoveNode(node)
        return
    if node is None:
        node = _newNode()
    SegmentVoxels.setVoxels(node, SEGMENT_ID, voxels.mask, voxels.ijkToRas)


def _newNode():
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(NAME)
    node.SetSaveWithScene(False)
    slicer.mrmlScene.AddNode(node)
    # Only now: Slicer looks for the place of a new segment in the tree, and a node that was hidden before has none.
    node.SetHideFromEditors(True)
    node.CreateDefaultDisplayNodes()
    node.GetSegmentation().AddEmptySegment(SEGMENT_ID, NAME, COLOR)
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetVisibility3D(False)
    display.SetVisibility2DFill(False)
    display.SetSliceIntersectionThickness(LINE_WIDTH)
    return node
