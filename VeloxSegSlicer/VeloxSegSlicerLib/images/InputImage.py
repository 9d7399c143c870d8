"""One image of the scene as assigning, judging and estimating see it: everything about a node is read here, and once."""

from functools import cached_property

import slicer

from veloxseg.contract import plausibility

from ..common import Geometry, Names
from . import ImageStatistics, Suv


class InputImage:
    """What is known about a volume node, at the time when it is first asked for; not to be kept while the scene changes."""

    def __init__(self, node) -> None:
        self.node = node

    @cached_property
    def name(self) -> str:
        """As people know it."""
        return Names.nameOf(self.node)

    @cached_property
    def isEmpty(self) -> bool:
        """Whether there are no voxels."""
        data = self.node.GetImageData()
        return data is None or data.GetNumberOfPoints() == 0 or data.GetPointData().GetScalars() is None

    @cached_property
    def isLabelMap(self) -> bool:
        """Whether the values are labels."""
        return self.node.IsA("vtkMRMLLabelMapVolumeNode")

    @cached_property
    def size(self) -> tuple[int, int, int]:
        """Voxels along (i, j, k)."""
        return tuple(self.node.GetImageData().GetDimensions())

    @cached_property
    def components(self) -> int:
        """Numbers of one voxel; 3 or 4 for colors."""
        return self.node.GetImageData().GetNumberOfScalarComponents()

    @cached_property
    def scalarType(self) -> str:
        """In VTK's words, such as "unsigned char"."""
        return self.node.GetImageData().GetScalarTypeAsString()

    @cached_property
    def scalarBytes(self) -> int:
        """Bytes of one number."""
        return self.node.GetImageData().GetScalarSize()

    @cached_property
    def grid(self) -> Geometry.WorldGrid:
        """Where the voxels lie in the world."""
        return Geometry.worldGrid(self.node)

    @cached_property
    def shear(self) -> float:
        """The largest cosine between two voxel axes."""
        return Geometry.shear(self.node)

    @cached_property
    def isMoved(self) -> bool:
        """Whether it is under a transform."""
        return Geometry.isMoved(self.node)

    @cached_property
    def isMovedNonlinearly(self) -> bool:
        """Whether a transform bends it, so that no grid can describe it."""
        return Geometry.isMovedNonlinearly(self.node)

    @cached_property
    def modality(self) -> str | None:
        """The DICOM modality stored with the node, such as "CT"; None when it was not loaded from DICOM."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        item = hierarchy.GetItemByDataNode(self.node) if hierarchy else 0
        modality = hierarchy.GetItemAttribute(item, "DICOM.Modality") if item else ""
        return modality or self.node.GetAttribute("DICOM.Modality") or None

    @cached_property
    def unit(self) -> str | None:
        """Stored with the voxels, such as "{SUVbw}g/ml"."""
        return Suv.unitOf(self.node)

    @cached_property
    def suvKind(self) -> str:
        """See `Suv.kindOf`."""
        return Suv.kindOf(self.node)

    @cached_property
    def isTooHighForSuv(self) -> bool:
        """See `Suv.isTooHigh`."""
        return Suv.isTooHigh(self.node)

    @cached_property
    def statistics(self) -> ImageStatistics.ImageStatistics:
        """What is in the voxels."""
        return ImageStatistics.statisticsOf(self.node)

    @cached_property
    def sampled(self) -> plausibility.Image:
        """As the rules of `plausibility` see a volume of single numbers."""
        return ImageStatistics.lookAt(self.node)


Images = dict[str, InputImage | None]
"""Role name -> image, None where none is chosen."""


def readAll(nodes: dict) -> Images:
    """The images of nodes by role name."""
    return {role: None if node is None else InputImage(node) for role, node in nodes.items()}
