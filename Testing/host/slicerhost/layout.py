"""slicer.app.layoutManager(): three slice views and one 3D view."""

import slicer
from PySide6 import QtCore

from . import pythonqt, views


class ViewHolder:
    """The widget of a view, its controller and the view itself: one object answers for the three of them."""

    def __init__(self, view):
        self._view = view

    def renderWindow(self):
        return self._view.renderWindow

    def forceRender(self):
        self._view.render()

    def scheduleRender(self):
        self._view.render()


class SliceWidget(ViewHolder):
    def sliceLogic(self):
        return self._view.logic

    def mrmlSliceNode(self):
        return self._view.node

    def mrmlSliceCompositeNode(self):
        return self._view.logic.GetSliceCompositeNode()

    def sliceView(self):
        return self

    def sliceController(self):
        return self

    def fitSliceToBackground(self):
        self._view.fit()


class ThreeDWidget(ViewHolder):
    def mrmlViewNode(self):
        return self._view.node

    def threeDView(self):
        return self

    def threeDController(self):
        return self

    def resetFocalPoint(self):
        self._view.fit()

    def resetCamera(self):
        self._view.fit()


class qSlicerLayoutManager(QtCore.QObject):
    layoutChanged = QtCore.Signal(int)

    def __init__(self, scene, applicationLogic):
        super().__init__()
        self._layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
        orientations = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
        self._slices = {
            name: SliceWidget(views.SliceView(scene, applicationLogic, name, orientation))
            for name, orientation in orientations.items()
        }
        self._threeD = [ThreeDWidget(views.ThreeDView(scene, applicationLogic, "1"))]

    def setLayout(self, layout):
        if layout != self._layout:
            self._layout = layout
            self.layoutChanged.emit(layout)

    layout = QtCore.Property(int, lambda self: self._layout, setLayout)
    threeDViewCount = QtCore.Property(int, lambda self: len(self._threeD))
    tableViewCount = QtCore.Property(int, lambda self: 0)
    plotViewCount = QtCore.Property(int, lambda self: 0)

    def sliceViewNames(self):
        return tuple(self._slices)

    def sliceWidget(self, name):
        return self._slices.get(name)

    def threeDWidget(self, index):
        return self._threeD[index] if 0 <= index < len(self._threeD) else None

    def mrmlSliceLogics(self):
        return slicer.app.applicationLogic().GetSliceLogics()

    def resetSliceViews(self):
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self):
        for widget in self._threeD:
            widget.resetFocalPoint()


pythonqt.markAsCppClass(qSlicerLayoutManager)
