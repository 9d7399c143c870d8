"""The region: a markups box of the scene as the request's box, and back to a grid that can be compared."""

import numpy as np
import slicer

from ..common import Geometry

ROI_CLASS = "vtkMRMLMarkupsROINode"
PARTS = 24


def entryOf(roiNode) -> dict | None:
    """The region of a request (LPS mm) for a box of the scene with its transforms; None without a usable box."""
    if roiNode is None or min(roiNode.GetSize()) <= 0:
        return None
    matrix = slicer.util.arrayFromVTKMatrix(roiNode.GetObjectToWorldMatrix())
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if lengths.min() == 0:
        return None
    axes = (matrix[:3, :3] / lengths).T
    return {
        "center": Geometry.rasFromLps(matrix[:3, 3]).tolist(),
        "size": (np.array(roiNode.GetSize()) * lengths).tolist(),
        "axes": (axes * Geometry.LPS_FROM_RAS).tolist(),
    }


def gridOf(entry: dict) -> Geometry.WorldGrid:
    """A region of a request as a coarse grid that fills it."""
    axes = Geometry.rasFromLps(entry["axes"]).T
    ijkToRas = np.eye(4)
    ijkToRas[:3, :3] = axes * np.array(entry["size"]) / PARTS
    ijkToRas[:3, 3] = Geometry.rasFromLps(entry["center"]) - ijkToRas[:3, :3] @ np.full(3, (PARTS - 1) / 2)
    return Geometry.WorldGrid((PARTS,) * 3, ijkToRas)


def newAround(volumeNode):
    """A box in the scene that holds a whole volume, turned as the volume is."""
    grid = Geometry.worldGrid(volumeNode)
    matrix = np.eye(4)
    matrix[:3, :3] = grid.ijkToRas[:3, :3] / grid.spacing
    if np.linalg.det(matrix[:3, :3]) < 0:
        # Markups boxes are right-handed; a box looks the same from both sides.
        matrix[:3, 2] *= -1
    matrix[:3, 3] = grid.ijkToRas[:3, :3] @ ((np.array(grid.size) - 1) / 2) + grid.ijkToRas[:3, 3]
    roi = slicer.mrmlScene.AddNewNodeByClass(ROI_CLASS, slicer.mrmlScene.GenerateUniqueName("VeloxSeg region"))
    roi.CreateDefaultDisplayNodes()
    roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    roi.SetSize(*(grid.spacing * np.array(grid.size)).tolist())
    return roi
