"""The state of a result at one moment, to go back to."""

import slicer

from ..common import ResultAttributes


class Backup:
    """The attributes of this module, the links to images and the segments of a segmentation node."""

    def __init__(self, segmentationNode, withVoxels: bool = True) -> None:
        """:param withVoxels: copy the segments too; without, only attributes and links are remembered."""
        self._attributes = {name: segmentationNode.GetAttribute(name) for name in ResultAttributes.names(segmentationNode)}
        self._references = {role: segmentationNode.GetNodeReferenceID(role) for role in _referencesOf(segmentationNode)}
        self._segmentation = None
        if withVoxels:
            self._segmentation = slicer.vtkSegmentation()
            self._segmentation.DeepCopy(segmentationNode.GetSegmentation())

    def putInto(self, segmentationNode) -> None:
        """Give a segmentation node this state."""
        for name in set(ResultAttributes.names(segmentationNode)) - set(self._attributes):
            segmentationNode.RemoveAttribute(name)
        for name, value in self._attributes.items():
            segmentationNode.SetAttribute(name, value)
        for role, nodeId in self._references.items():
            segmentationNode.SetNodeReferenceID(role, nodeId)
        if self._segmentation is not None:
            segmentationNode.GetSegmentation().DeepCopy(self._segmentation)


def _referencesOf(segmentationNode) -> tuple[str, ...]:
    # Without the link to the hidden copy: that one belongs to the node and not to its content.
    return (ResultAttributes.EMISSION, ResultAttributes.UNCERTAINTY, segmentationNode.GetReferenceImageGeometryReferenceRole())
