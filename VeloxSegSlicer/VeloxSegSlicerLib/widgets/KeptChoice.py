"""A node selector that never chooses for the person.

One whose node is deleted or not offered any more goes to the node's neighbor, and tells it like a choice by hand.
"""

import vtk

# Before the selector hears of it.
FIRST = 1.0


class KeptChoice:
    """Watches a selector's node: when it can be chosen no more, nothing is chosen."""

    def __init__(self, selector, attribute: str | None = None) -> None:
        """
        :param selector: a qMRMLNodeComboBox with a row for no node.
        :param attribute: name of an attribute without which the selector does not offer a node.
        """
        self._selector, self._attribute = selector, attribute
        self._node = None
        self._tag = 0
        selector.connect("currentNodeChanged(vtkMRMLNode*)", self._follow)
        self._follow(selector.currentNode())

    def nodeWillBeRemoved(self, node) -> None:
        """To be called before the selector hears that a node goes."""
        if self._node is node:
            self._selector.setCurrentNode(None)

    def release(self) -> None:
        """Watch nothing any more."""
        self._selector.disconnect("currentNodeChanged(vtkMRMLNode*)", self._follow)
        self._follow(None)

    def _follow(self, node) -> None:
        if node is self._node:
            return
        if self._node is not None:
            self._node.RemoveObserver(self._tag)
        self._node = node
        if node is not None:
            self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified, FIRST)

    def _onModified(self, node, _event) -> None:
        isMarked = self._attribute is None or node.GetAttribute(self._attribute) is not None
        if node.GetHideFromEditors() or not isMarked:
            self._selector.setCurrentNode(None)
