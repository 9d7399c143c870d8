"""A result that takes the place of another one: the former content stays as a hidden copy, and can be swapped back."""

import slicer

from ..common import Names, ResultAttributes
from .Backups import Backup


def keep(segmentationNode) -> None:
    """Keep what is in a segmentation before something else takes its place. An older copy stays until it is given up."""
    copy = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", Names.nameOf(segmentationNode) + " (previous)")
    copy.SetHideFromEditors(True)
    Backup(segmentationNode).putInto(copy)
    segmentationNode.SetNodeReferenceID(ResultAttributes.PREVIOUS, copy.GetID())


def giveUp(copy) -> None:
    """An older copy, from `backupOf`, is not needed any more; None for none."""
    if copy is not None:
        slicer.mrmlScene.RemoveNode(copy)


def backupOf(segmentationNode):
    """The hidden copy of what was in a segmentation before, or None."""
    return segmentationNode.GetNodeReference(ResultAttributes.PREVIOUS)


def swap(segmentationNode) -> None:
    """Exchange a segmentation with its hidden copy; doing it again takes it back."""
    copy = backupOf(segmentationNode)
    shown, hidden = Backup(segmentationNode), Backup(copy)
    hidden.putInto(segmentationNode)
    shown.putInto(copy)
