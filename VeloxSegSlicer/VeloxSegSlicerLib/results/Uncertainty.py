"""Where repeated runs disagree: a volume beside the result, its colors, and the places worth a look."""

import numpy as np
import slicer
from scipy import ndimage

from ..common import Components, Geometry, Names, ResultAttributes

NAME_SUFFIX = " uncertainty"
COLORS_NAME = "VeloxSeg uncertainty"
HIGH = 0.5
"""From here on a voxel counts as uncertain; 0.5 is reached when about one run of seven disagrees with the others."""
LONGEST_LIST = 20
# Even in brightness, so that it can be read without colors too: points of matplotlib's viridis (CC0), 0-255.
VIRIDIS = ((68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37))


def addVolume(segmentationNode, variance: np.ndarray, ijkToRas: np.ndarray):
    """Add the uncertainty of a result as a volume from 0 (runs agree) to 1 (half of them say yes, half no).

    :param variance: uint8 (k, j, i), 0-255 as in the engine's uncertainty.nrrd.
    :return: the vtkMRMLScalarVolumeNode, linked from the segmentation.
    """
    values = variance.astype(np.float32) / 255
    volume = slicer.util.addVolumeFromArray(values, ijkToRAS=ijkToRas, name=Names.nameOf(segmentationNode) + NAME_SUFFIX)
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.SetAndObserveColorNodeID(_colors().GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, 1.0)
    segmentationNode.SetNodeReferenceID(ResultAttributes.UNCERTAINTY, volume.GetID())
    _placeBeside(volume, segmentationNode)
    return volume


def volumeOf(segmentationNode):
    """The uncertainty volume of a result, or None."""
    return segmentationNode.GetNodeReference(ResultAttributes.UNCERTAINTY)


def places(volumeNode) -> list[Components.Voxels]:
    """Regions where the runs disagree over more than the line of a border, the largest first.

    Along every border the runs differ by a voxel or two; that line is taken away by an opening before regions are listed.
    """
    isHigh = slicer.util.arrayFromVolume(volumeNode) >= HIGH
    ijkToRas = Geometry.worldGrid(volumeNode).ijkToRas
    # A photo has one slice: its regions are opened within the picture.
    cross = ndimage.generate_binary_structure(3, 1) & _axesOf(isHigh.shape)
    high = Components.cut(isHigh, ijkToRas)
    if not high.count:
        return []
    padded = np.pad(high.mask, 1)
    opened = ndimage.binary_opening(padded, cross)[1:-1, 1:-1, 1:-1]
    return Components.pieces(Components.Voxels(opened, high.ijkToRas))[:LONGEST_LIST]


def color(value: float) -> tuple[int, int, int]:
    """The color (0-255) of an uncertainty between 0 and 1."""
    steps = np.linspace(0.0, 1.0, len(VIRIDIS))
    return tuple(round(float(np.interp(value, steps, channel))) for channel in zip(*VIRIDIS, strict=True))


def _axesOf(shape: tuple[int, ...]) -> np.ndarray:
    """bool (3, 3, 3): the neighbors along the axes that are longer than one voxel."""
    isNeighbor = np.ones((3, 3, 3), bool)
    for axis, size in enumerate(shape):
        if size == 1:
            np.moveaxis(isNeighbor, axis, 0)[[0, 2]] = False
    return isNeighbor


def _colors():
    """The color node of all uncertainty volumes of a scene."""
    colors = slicer.mrmlScene.GetFirstNodeByName(COLORS_NAME)
    if colors is None:
        colors = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLProceduralColorNode", COLORS_NAME)
        function = colors.GetColorTransferFunction()
        for number, color in enumerate(VIRIDIS):
            function.AddRGBPoint(number / (len(VIRIDIS) - 1), *(part / 255 for part in color))
        colors.SetHideFromEditors(True)
    return colors


def _placeBeside(volumeNode, segmentationNode) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item, other = (hierarchy.GetItemByDataNode(node) for node in (volumeNode, segmentationNode))
    if item and other:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(other))
