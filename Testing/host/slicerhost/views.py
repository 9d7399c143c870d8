"""Off-screen slice and 3D views on Slicer's own displayable managers.

A slice view is a real vtkMRMLSliceLogic (reslicing, window/level, blending of the layers), whose image is shown by a
2D actor, because CTK's light-box renderer is not in the wheel; segmentations, markups and so on are drawn over it by
the same displayable managers as in Slicer.
"""

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

SIZE = (420, 420)

_SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)
_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLVolumeRenderingDisplayableManager",
)


class View:
    def __init__(self, applicationLogic, factoryClass, managerNames):
        self.renderWindow = vtk.vtkRenderWindow()
        self.renderWindow.SetOffScreenRendering(1)
        self.renderWindow.SetShowWindow(False)
        self.renderWindow.SetMultiSamples(0)
        self.renderer = vtk.vtkRenderer()
        self.renderWindow.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.renderWindow)
        self.renderWindow.SetSize(*SIZE)
        factory = factoryClass.GetInstance()
        factory.SetMRMLApplicationLogic(applicationLogic)
        for name in managerNames:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.SetRenderer(self.renderer)
        self.managers.Initialize(factory, self.renderer)

    def render(self):
        self.renderWindow.Render()

    def pixels(self):
        """The picture as an RGB array with the top row first."""
        self.render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self.renderWindow)
        grabber.SetInputBufferTypeToRGB()
        grabber.ReadFrontBufferOff()
        grabber.Update()
        image = grabber.GetOutput()
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()


class SliceView(View):
    def __init__(self, scene, applicationLogic, name, orientation):
        super().__init__(applicationLogic, slicer.vtkMRMLSliceViewDisplayableManagerFactory, _SLICE_MANAGERS)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(applicationLogic)
        applicationLogic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(scene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation)
        self.node.SetMappedInLayout(1)
        self.managers.SetMRMLDisplayableNode(self.node)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(self._actor)
        self.logic.AddObserver(vtk.vtkCommand.ModifiedEvent, self._connectImage)
        self._connectImage()
        self.fit()

    def _connectImage(self, *_):
        connection = self.logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        self._actor.SetVisibility(connection is not None)

    def fit(self):
        self.logic.ResizeSliceNode(*self.renderWindow.GetSize())
        self.logic.FitSliceToBackground()
        self.logic.SnapSliceOffsetToIJK()

    def edgeLetters(self):
        """Which way the patient lies: letters for the left, right, top and bottom edge of the picture."""
        matrix = self.node.GetSliceToRAS()
        letters = []
        for column, sign in ((0, -1), (0, 1), (1, 1), (1, -1)):
            direction = np.array([matrix.GetElement(row, column) for row in range(3)]) * sign
            axis = int(np.abs(direction).argmax())
            letters.append("RAS"[axis] if direction[axis] > 0 else "LPI"[axis])
        return letters


class ThreeDView(View):
    def __init__(self, scene, applicationLogic, name):
        super().__init__(applicationLogic, slicer.vtkMRMLThreeDViewDisplayableManagerFactory, _THREE_D_MANAGERS)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(applicationLogic)
        applicationLogic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(scene)
        self.node = self.logic.AddViewNode(name)
        self.node.SetMappedInLayout(1)
        self.managers.SetMRMLDisplayableNode(self.node)

    def fit(self):
        self.renderer.ResetCamera()
        self.renderer.ResetCameraClippingRange()
