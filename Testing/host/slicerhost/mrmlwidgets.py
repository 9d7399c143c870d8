"""The qMRML widgets that module panels use; they become attributes of ``slicer``.

The scene is never handed out by the host: a widget gets it from setMRMLScene(), which a module's .ui file connects to
the top widget's mrmlSceneChanged signal. A forgotten connection must show up as a dead widget, as it does in Slicer.
"""

import shiboken6
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from . import pythonqt
from .standins import standIn, stored


class SceneHolder:
    """setMRMLScene() and mrmlScene(); calls _onSceneSet(oldScene, newScene) when the scene changes."""

    def mrmlScene(self):
        return self.__dict__.get("_scene")

    def setMRMLScene(self, scene):
        old = self.mrmlScene()
        if scene is old:
            return
        self._scene = scene
        self._onSceneSet(old, scene)

    def _onSceneSet(self, old, new):
        pass


@standIn(slicer)
class qMRMLWidget(SceneHolder, QtWidgets.QWidget):
    mrmlSceneChanged = QtCore.Signal(object)
    vtkSignals = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def _onSceneSet(self, old, new):
        self.mrmlSceneChanged.emit(new)


@standIn(slicer)
class qSlicerWidget(SceneHolder, QtWidgets.QWidget):
    """The top widget of older .ui files."""

    mrmlSceneChanged = QtCore.Signal(object)
    vtkSignals = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def _onSceneSet(self, old, new):
        self.mrmlSceneChanged.emit(new)


@standIn(slicer)
class qMRMLNodeComboBox(SceneHolder, QtWidgets.QWidget):
    uiEnums = {
        "sizeAdjustPolicy": {policy.name: policy.value for policy in QtWidgets.QComboBox.SizeAdjustPolicy},
    }

    currentNodeChanged = QtCore.Signal((object,), (bool,))
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)
    currentNodeRenamed = QtCore.Signal(str)
    vtkSignals = (
        "currentNodeChanged(vtkMRMLNode*)",
        "nodeActivated(vtkMRMLNode*)",
        "nodeAdded(vtkMRMLNode*)",
        "nodeAddedByUser(vtkMRMLNode*)",
        "nodeAboutToBeRemoved(vtkMRMLNode*)",
    )

    nodeTypes = stored("nodeTypes", tuple, (), changed="_refresh")
    showHidden = stored("showHidden", bool, False, changed="_refresh")
    showChildNodeTypes = stored("showChildNodeTypes", bool, True, changed="_refresh")
    hideChildNodeTypes = stored("hideChildNodeTypes", tuple, (), changed="_refresh")
    baseName = stored("baseName", str, "")
    noneEnabled = stored("noneEnabled", bool, False, changed="_refresh")
    noneDisplay = stored("noneDisplay", str, "None", changed="_refresh")
    addEnabled = stored("addEnabled", bool, True)
    removeEnabled = stored("removeEnabled", bool, True)
    editEnabled = stored("editEnabled", bool, False)
    renameEnabled = stored("renameEnabled", bool, False)
    selectNodeUponCreation = stored("selectNodeUponCreation", bool, True)
    interactionNodeSingletonTag = stored("interactionNodeSingletonTag", str, "")
    sizeAdjustPolicy = QtCore.Property(
        int,
        lambda self: self._combo.sizeAdjustPolicy.value,
        lambda self, policy: self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy(policy)),
    )
    currentNodeID = QtCore.Property(str, lambda self: self._currentID(), lambda self, nodeID: self.setCurrentNodeID(nodeID))

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._combo = QtWidgets.QComboBox()
        layout.addWidget(self._combo)
        self._requestedID = None  # set before there is a scene
        self._requiredAttributes = []
        self._observedScene = None
        self._sceneTags = []
        self._nodeTags = []
        self._combo.currentIndexChanged.connect(self._emitCurrentNodeChanged)
        self._combo.activated.connect(lambda: self.nodeActivated.emit(self.currentNode()))
        self.setEnabled(False)

    # What may be chosen

    def addAttribute(self, nodeType, name, value=None):
        self._requiredAttributes.append((nodeType, name, value))
        self._refresh()

    def removeAttribute(self, nodeType, name):
        self._requiredAttributes = [entry for entry in self._requiredAttributes if entry[:2] != (nodeType, name)]
        self._refresh()

    def _hasSuitableType(self, node):
        if node.GetClassName() in self.nodeTypes:
            return True
        if not self.showChildNodeTypes or any(node.IsA(nodeType) for nodeType in self.hideChildNodeTypes):
            return False
        return any(node.IsA(nodeType) for nodeType in self.nodeTypes)

    def _accepts(self, node):
        if not self._hasSuitableType(node) or (node.GetHideFromEditors() and not self.showHidden):
            return False
        for nodeType, name, value in self._requiredAttributes:
            if node.IsA(nodeType):
                present = node.GetAttribute(name)
                if present is None or (value is not None and present != str(value)):
                    return False
        return True

    # Following the scene

    def _onSceneSet(self, old, new):
        self._leave()
        self._observedScene = new
        self.setEnabled(new is not None)
        if new is not None:
            self._sceneTags = [
                new.AddObserver(new.NodeAddedEvent, self._onNodeAdded),
                new.AddObserver(new.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved),
                new.AddObserver(new.EndBatchProcessEvent, self._onSceneChanged),
            ]
        self._refresh()
        requested, self._requestedID = self._requestedID, None
        if requested and new is not None:
            self.setCurrentNodeID(requested)

    def _leave(self):
        """Observe nothing of the scene any more."""
        for tag in self._sceneTags:
            self._observedScene.RemoveObserver(tag)
        for node, tag in self._nodeTags:
            node.RemoveObserver(tag)
        self._sceneTags, self._nodeTags = [], []

    def _isAlive(self):
        """Observers of a deleted widget live on in Python, but not in C++: here they end."""
        isAlive = shiboken6.isValid(self)
        if not isAlive:
            self._leave()
        return isAlive

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, scene, event, node):
        # While a scene is read or closed the list waits for the end of it.
        if self._isAlive() and not scene.IsImporting() and not scene.IsClosing() and self._hasSuitableType(node):
            self._follow(node)
            if self._accepts(node):
                self._list(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, scene, event, node):
        if self._isAlive() and not scene.IsClosing() and node.GetID() in self._ids():
            self.nodeAboutToBeRemoved.emit(node)
            self._unlist(node.GetID())

    def _onSceneChanged(self, scene, event):
        if self._isAlive():
            self._refresh()

    def _ids(self):
        """Node ID of each row, "" for the none row."""
        return [self._combo.itemData(row) for row in range(self._combo.count)]

    def _refresh(self):
        """Makes the whole list anew. What was current stays, or nothing is current."""
        scene = self.mrmlScene()
        candidates = []
        if scene is not None:
            allNodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
            candidates = [node for node in allNodes if self._hasSuitableType(node)]
        for node, tag in self._nodeTags:
            node.RemoveObserver(tag)
        self._nodeTags = []
        former, formerID = self.currentNode(), self._currentID()
        self._combo.blockSignals(True)
        self._combo.clear()
        if self.noneEnabled:
            self._combo.addItem(self.noneDisplay, "")
        for node in candidates:
            self._follow(node)
            if self._accepts(node):
                self._list(node)
        ids = self._ids()
        kept = formerID if formerID in ids else ""
        self._combo.setCurrentIndex(ids.index(kept) if kept in ids else -1)
        self._combo.blockSignals(False)
        if kept != formerID or former is not self.currentNode():
            self._emitCurrentNodeChanged()

    def _follow(self, node):
        """A hidden node may be shown and an attribute may be set later, so all candidates are followed."""
        self._nodeTags.append((node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onNodeModified)))

    def _list(self, node):
        """Adds a row; a node is never chosen for the user."""
        row = self._combo.currentIndex
        wasBlocked = self._combo.blockSignals(True)
        self._combo.addItem(node.GetName() or "", node.GetID())
        self._combo.setCurrentIndex(row)
        self._combo.blockSignals(wasBlocked)

    def _unlist(self, nodeID):
        """Removes a row. Where it was current, Qt's combo box goes to the next row, and that counts as a choice."""
        self._combo.removeItem(self._ids().index(nodeID))
        if self.noneEnabled and self._combo.currentIndex < 0:
            self._combo.setCurrentIndex(0)

    def _onNodeModified(self, node, event):
        if not self._isAlive():
            return
        ids = self._ids()
        isListed = node.GetID() in ids
        if isListed and not self._accepts(node):
            self._unlist(node.GetID())
        elif not isListed and node.GetScene() is self.mrmlScene() and self._accepts(node):
            self._refresh()
        elif isListed and self._combo.itemText(ids.index(node.GetID())) != (node.GetName() or ""):
            self._combo.setItemText(ids.index(node.GetID()), node.GetName() or "")
            if node.GetID() == self._currentID():
                # The text of the combo box is another one, and that is what qMRMLNodeComboBox follows.
                self._emitCurrentNodeChanged()

    # The current node

    def _emitCurrentNodeChanged(self):
        node = self.currentNode()
        pythonqt.resolveSignal(self, "currentNodeChanged(vtkMRMLNode*)")[0].emit(node)
        pythonqt.resolveSignal(self, "currentNodeChanged(bool)")[0].emit(node is not None)
        self.currentNodeIDChanged.emit(self._currentID())

    def _currentID(self):
        return self._combo.itemData(self._combo.currentIndex) or ""

    def currentNode(self):
        scene = self.mrmlScene()
        return scene.GetNodeByID(self._currentID()) if scene is not None and self._currentID() else None

    def setCurrentNode(self, node):
        self.setCurrentNodeID(node if isinstance(node, str) or node is None else node.GetID())

    def setCurrentNodeID(self, nodeID):
        nodeID = nodeID or ""
        ids = self._ids()
        if self.mrmlScene() is None:
            self._requestedID = nodeID
        elif nodeID in ids:
            self._combo.setCurrentIndex(ids.index(nodeID))
        else:
            self._combo.setCurrentIndex(ids.index("") if "" in ids else -1)

    def setCurrentNodeIndex(self, index):
        self._combo.setCurrentIndex(index + (1 if self.noneEnabled else 0))

    def nodeFromIndex(self, index):
        ids = [nodeID for nodeID in self._ids() if nodeID]
        return self.mrmlScene().GetNodeByID(ids[index]) if 0 <= index < len(ids) else None

    def nodeCount(self):
        return len([nodeID for nodeID in self._ids() if nodeID])

    # What the user can do from the list

    def addNode(self, nodeType=None):
        nodeType = nodeType or self.nodeTypes[0]
        scene = self.mrmlScene()
        baseName = self.baseName or nodeType.removeprefix("vtkMRML").removesuffix("Node")
        node = scene.AddNewNodeByClass(nodeType, scene.GenerateUniqueName(baseName))
        self.nodeAdded.emit(node)
        self.nodeAddedByUser.emit(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        return node

    def removeCurrentNode(self):
        node = self.currentNode()
        if node is not None:
            self.mrmlScene().RemoveNode(node)


@standIn(slicer)
class qMRMLSegmentsTableView(SceneHolder, QtWidgets.QWidget):
    mrmlSceneChanged = QtCore.Signal(object)
    selectionChanged = QtCore.Signal(QtCore.QItemSelection, QtCore.QItemSelection)
    vtkSignals = ("mrmlSceneChanged(vtkMRMLScene*)",)

    _VISIBLE, _COLOR, _NAME = range(3)

    selectionMode = stored("selectionMode", int, 3)
    headerVisible = stored("headerVisible", bool, True, changed="_showColumns")
    visibilityColumnVisible = stored("visibilityColumnVisible", bool, True, changed="_showColumns")
    colorColumnVisible = stored("colorColumnVisible", bool, True, changed="_showColumns")
    opacityColumnVisible = stored("opacityColumnVisible", bool, True)
    statusColumnVisible = stored("statusColumnVisible", bool, False)
    layerColumnVisible = stored("layerColumnVisible", bool, False)
    readOnly = stored("readOnly", bool, False)
    filterBarVisible = stored("filterBarVisible", bool, False)
    textFilter = stored("textFilter", str, "")
    jumpToSelectedSegmentEnabled = stored("jumpToSelectedSegmentEnabled", bool, False)
    segmentCount = QtCore.Property(int, lambda self: len(self.displayedSegmentIDs()))

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._table = QtWidgets.QTableWidget(0, 3)
        self._table.setHorizontalHeaderLabels(["Show", "Color", "Name"])
        self._table.verticalHeader().hide()
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        layout.addWidget(self._table)
        self._node = None
        self._observations = []
        self._table.selectionModel().selectionChanged.connect(
            lambda selected, deselected: self.selectionChanged.emit(selected, deselected)
        )
        self._table.itemChanged.connect(self._onItemChanged)

    def _onSceneSet(self, old, new):
        self.mrmlSceneChanged.emit(new)

    def _showColumns(self):
        self._table.horizontalHeader().setVisible(self.headerVisible)
        self._table.setColumnHidden(self._VISIBLE, not self.visibilityColumnVisible)
        self._table.setColumnHidden(self._COLOR, not self.colorColumnVisible)

    def segmentationNode(self):
        return self._node

    def tableWidget(self):
        return self._table

    def setSegmentationNode(self, node):
        for observed, tag in self._observations:
            observed.RemoveObserver(tag)
        self._node = node
        self._observations = []
        if node is not None:
            segmentation = node.GetSegmentation()
            for event in (
                segmentation.SegmentAdded,
                segmentation.SegmentRemoved,
                segmentation.SegmentModified,
            ):
                self._observations.append((segmentation, segmentation.AddObserver(event, lambda *a: self._refresh())))
            tag = node.AddObserver(slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, lambda *a: self._refresh())
            self._observations.append((node, tag))
        self._refresh()

    def _refresh(self):
        ids = self.displayedSegmentIDs()
        selected = self.selectedSegmentIDs()
        self._table.blockSignals(True)
        self._table.setRowCount(len(ids))
        for row, segmentID in enumerate(ids):
            segment = self._node.GetSegmentation().GetSegment(segmentID)
            display = self._node.GetDisplayNode()
            shown = QtWidgets.QTableWidgetItem()
            isVisible = display is None or display.GetSegmentVisibility(segmentID)
            shown.setCheckState(QtCore.Qt.Checked if isVisible else QtCore.Qt.Unchecked)
            color = QtWidgets.QTableWidgetItem()
            color.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
            name = QtWidgets.QTableWidgetItem(segment.GetName())
            name.setData(QtCore.Qt.UserRole, segmentID)
            for column, item in ((self._VISIBLE, shown), (self._COLOR, color), (self._NAME, name)):
                self._table.setItem(row, column, item)
        self._table.blockSignals(False)
        if selected != self.selectedSegmentIDs():
            self.setSelectedSegmentIDs(selected)

    def _onItemChanged(self, item):
        segmentID = self.segmentIDForRow(item.row())
        if item.column() == self._VISIBLE and self._node.GetDisplayNode():
            self._node.GetDisplayNode().SetSegmentVisibility(segmentID, item.checkState() == QtCore.Qt.Checked)
        elif item.column() == self._NAME:
            self._node.GetSegmentation().GetSegment(segmentID).SetName(item.text())

    def displayedSegmentIDs(self):
        return tuple(self._node.GetSegmentation().GetSegmentIDs()) if self._node else ()

    def segmentIDForRow(self, row):
        return self.displayedSegmentIDs()[row]

    def rowForSegmentID(self, segmentID):
        ids = self.displayedSegmentIDs()
        return ids.index(segmentID) if segmentID in ids else -1

    def selectedSegmentIDs(self):
        rows = sorted({index.row() for index in self._table.selectedIndexes()})
        ids = self.displayedSegmentIDs()
        return tuple(ids[row] for row in rows if row < len(ids))

    def setSelectedSegmentIDs(self, segmentIDs):
        model = self._table.model()
        selection = QtCore.QItemSelection()
        for segmentID in segmentIDs:
            row = self.rowForSegmentID(segmentID)
            if row >= 0:
                selection.select(model.index(row, 0), model.index(row, self._NAME))
        self._table.selectionModel().select(selection, QtCore.QItemSelectionModel.ClearAndSelect)

    def clearSelection(self):
        self._table.clearSelection()


@standIn(slicer)
class qMRMLSegmentationShow3DButton(QtWidgets.QPushButton):
    locked = stored("locked", bool, False)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setCheckable(True)
        self.setText("Show 3D")
        self.setEnabled(False)
        self._node = None
        self._observations = []
        self.toggled.connect(self._onToggled)

    def segmentationNode(self):
        return self._node

    def setSegmentationNode(self, node):
        for observed, tag in self._observations:
            observed.RemoveObserver(tag)
        self._node = node
        self._observations = []
        if node is not None:
            segmentation = node.GetSegmentation()
            for event in (
                segmentation.ContainedRepresentationNamesModified,
                segmentation.SegmentAdded,
                segmentation.SegmentRemoved,
            ):
                self._observations.append((segmentation, segmentation.AddObserver(event, lambda *a: self._update())))
        self._update()

    def _surfaceName(self):
        return slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()

    def _update(self):
        self.setEnabled(
            self._node is not None
            and self._node.GetSegmentation().GetNumberOfSegments() > 0
            and self._node.GetSegmentation().GetSourceRepresentationName() != self._surfaceName()
        )
        self.blockSignals(True)
        shown = self._node is not None and self._node.GetSegmentation().ContainsRepresentation(self._surfaceName())
        self.setChecked(shown)
        self.blockSignals(False)

    def _onToggled(self, on):
        if self._node is None:
            return
        segmentation = self._node.GetSegmentation()
        if on:
            display = self._node.GetDisplayNode()
            if segmentation.CreateRepresentation(self._surfaceName()) and display is not None:
                display.SetPreferredDisplayRepresentationName3D(self._surfaceName())
        elif segmentation.GetSourceRepresentationName() != self._surfaceName():
            segmentation.RemoveRepresentation(self._surfaceName())
