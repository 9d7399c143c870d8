"""Takes back what was done to the scene when not all of it could be done."""

import contextlib
from collections.abc import Iterator

import slicer

from ..common import Names, ResultAttributes
from . import BackupNode
from .Backups import Backup


@contextlib.contextmanager
def onFailure(segmentationNode=None) -> Iterator[None]:
    """After an exception the scene is as it was before: nodes that came are gone, and a result that was to be filled is back.

    :param segmentationNode: the segmentation that is filled; None when a new one is made.
    """
    before = _nodeIds()
    restore = _restorer(segmentationNode) if segmentationNode is not None else lambda: None
    try:
        yield
    except Exception:
        restore()
        for nodeId in _nodeIds() - before:
            node = slicer.mrmlScene.GetNodeByID(nodeId)
            # A display node goes with its owner.
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
        raise


def _nodeIds() -> set[str]:
    return {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}


def _restorer(node):
    backup, name, older = Backup(node), Names.nameOf(node), BackupNode.backupOf(node)
    listed = node.GetAttribute(ResultAttributes.LISTED)

    def restore() -> None:
        backup.putInto(node)
        node.SetName(name)
        node.SetNodeReferenceID(ResultAttributes.PREVIOUS, older.GetID() if older is not None else None)
        if listed is None:
            node.RemoveAttribute(ResultAttributes.LISTED)

    return restore
