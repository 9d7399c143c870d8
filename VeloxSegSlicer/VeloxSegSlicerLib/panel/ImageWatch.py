"""Hears when an image or the region changes. Changes arrive in bursts, so it waits until the scene is quiet."""

from collections.abc import Callable

import qt
import slicer
import vtk

DELAY_MS = 200


class ImageWatch:
    """Follows what can change a verdict: voxels, grid and transform of the chosen nodes, and new images."""

    def __init__(self, onQuiet: Callable[[], None], isHeld: Callable[[], bool]) -> None:
        """
        :param onQuiet: called once after a burst of changes.
        :param isHeld: whether changes of the followed nodes do not matter now, as during a run.
        """
        self._isHeld = isHeld
        self._observed: list[tuple] = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.connect("timeout()", onQuiet)

    def follow(self, nodes: list) -> None:
        """From now on follow these nodes and no others."""
        if nodes == [node for node, _tags in self._observed]:
            return
        for node, tags in self._observed:
            for tag in tags:
                node.RemoveObserver(tag)
        events = (
            vtk.vtkCommand.ModifiedEvent,
            slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
            slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
            slicer.vtkMRMLMarkupsNode.PointModifiedEvent,
        )
        self._observed = [(node, [node.AddObserver(event, self._onModified) for event in events]) for node in nodes]

    def changed(self) -> None:
        """Something changed: look once the scene is quiet."""
        self._timer.start()

    def stop(self) -> None:
        """Let go of the scene."""
        self._timer.stop()
        self.follow([])

    def _onModified(self, _caller, _event) -> None:
        if not self._isHeld():
            self.changed()
