"""What can be undone: the last changes that a person made to results, newest last."""

from collections.abc import Callable

import slicer

from .Backups import Backup

LENGTH = 10


class History:
    """A short list of ways back. An entry of a deleted node is skipped."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, Callable]] = []

    def remember(self, segmentationNode, withVoxels: bool) -> None:
        """Remember a result as it is, just before it is changed.

        :param withVoxels: the change concerns voxels and not only marks in the table.
        """
        backup, nodeId = Backup(segmentationNode, withVoxels), segmentationNode.GetID()
        self.push(segmentationNode, lambda: backup.putInto(slicer.mrmlScene.GetNodeByID(nodeId)))

    def push(self, segmentationNode, undo: Callable) -> None:
        """Remember how a change to a result is taken back."""
        self._entries = [*self._entries[1 - LENGTH :], (segmentationNode.GetID(), undo)]

    def canUndo(self, segmentationNode) -> bool:
        """Whether a change to this result can be taken back."""
        return any(nodeId == segmentationNode.GetID() for nodeId, _undo in self._entries)

    def undo(self, segmentationNode) -> None:
        """Take back the last change to a result."""
        mine = [entry for entry in self._entries if entry[0] == segmentationNode.GetID()]
        if mine:
            self._entries.remove(mine[-1])
            mine[-1][1]()

    def clear(self) -> None:
        """Forget everything, for a closed scene."""
        self._entries = []
