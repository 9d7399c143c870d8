"""slicer.app and slicer.mrmlScene: the application object and Slicer's own logics around the scene."""

import os
import tempfile

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from . import iomanager, layout, modules, pythonqt, subjecthierarchy

_VERSION = (5, 12, 4)

# C++ modules whose logic is in the wheel: module name -> logic class
_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Models": "vtkSlicerModelsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
}


class qSlicerExtensionsManagerModel(QtCore.QObject):
    """No extension is installed and none can be."""

    def isExtensionInstalled(self, name):
        return False

    def installExtensionFromServer(self, name, restart=True, update=True, waitForCompletion=False):
        return False


class qSlicerApplication(QtWidgets.QApplication):
    startupCompleted = QtCore.Signal()

    def testingEnabled(self):
        return True

    def mrmlScene(self):
        return self._scene

    def applicationLogic(self):
        return self._applicationLogic

    def layoutManager(self):
        return self._layoutManager

    def moduleManager(self):
        return self._moduleManager

    def coreIOManager(self):
        return self._ioManager

    def ioManager(self):
        return self._ioManager

    def extensionsManagerModel(self):
        return self._extensionsManagerModel

    def userSettings(self):
        return QtCore.QSettings()

    def settings(self):
        return QtCore.QSettings()

    def revisionUserSettings(self):
        return QtCore.QSettings()

    def startupEnvironment(self):
        return QtCore.QProcessEnvironment.systemEnvironment()

    def pythonConsole(self):
        return None

    def translate(self, context, text):
        return text

    def pauseRender(self):
        pass  # views render on demand only

    def resumeRender(self):
        pass

    def setRenderPaused(self, paused):
        pass

    def restart(self):
        raise RuntimeError("A test must not restart the application")

    def moduleDocumentationUrl(self, moduleName):
        return self.documentationBaseUrl + "user_guide/modules/" + moduleName.lower() + ".html"

    documentationBaseUrl = property(lambda self: "https://slicer.readthedocs.io/en/latest/")
    temporaryPath = property(lambda self: self._temporaryPath)
    slicerHome = property(lambda self: self._temporaryPath)
    mainApplicationName = property(lambda self: "Slicer")
    majorVersion = property(lambda self: _VERSION[0])
    minorVersion = property(lambda self: _VERSION[1])
    revision = property(lambda self: "0")
    intDir = property(lambda self: ".")

    def _finishStartup(self):
        """Slicer announces the end of its start once; here each loaded module hears it once."""
        self.startupCompleted.emit()
        self.disconnect("startupCompleted()")


for _class in (qSlicerApplication, qSlicerExtensionsManagerModel):
    pythonqt.markAsCppClass(_class)
    setattr(slicer, _class.__name__, _class)


def _isolateSettings(app, folder):
    """The user's own Slicer settings must neither be read nor changed."""
    app.setApplicationName("Slicer")
    app.setOrganizationName("SlicerTestHost")
    app.setApplicationVersion(".".join(map(str, _VERSION)))
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
    for scope in (QtCore.QSettings.UserScope, QtCore.QSettings.SystemScope):
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, scope, os.path.join(folder, "settings"))
    QtCore.QSettings().setValue("Developer/SelfTestDisplayMessageDelay", "0")  # Slicer always has a value here


def _makeScene(folder):
    scene = slicer.vtkMRMLScene()
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    # Without a cache folder .mrb files cannot be read.
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(os.path.join(folder, "cache"))
    scene.SetCacheManager(cache)
    dataManager = slicer.vtkDataIOManager()
    dataManager.SetCacheManager(cache)
    scene.SetDataIOManager(dataManager)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    return scene


def _makeApplicationLogic(scene):
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    logic.GetColorLogic().SetMRMLScene(scene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    return logic


def _registerCoreModules(app, scene):
    applicationLogic = app.applicationLogic()
    manager = app.moduleManager()
    applicationLogic.SetModuleLogic("Colors", applicationLogic.GetColorLogic())
    manager._register(modules.qSlicerLoadableModule("Colors", applicationLogic.GetColorLogic()))
    warnings = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.SetGlobalWarningDisplay(0)  # the terminology and color files are not in the wheel
    for name, className in _LOGICS.items():
        logic = getattr(slicer, className)()
        logic.SetMRMLApplicationLogic(applicationLogic)
        logic.SetMRMLScene(scene)
        applicationLogic.SetModuleLogic(name, logic)
        manager._register(modules.qSlicerLoadableModule(name, logic))
    vtk.vtkObject.SetGlobalWarningDisplay(warnings)


def install(hasViews):
    temporary = tempfile.TemporaryDirectory(prefix="slicerhost-")
    for name in ("settings", "cache"):
        os.mkdir(os.path.join(temporary.name, name))
    app = qSlicerApplication(["Slicer"])
    app._temporary = temporary  # removed when the application object goes
    app._temporaryPath = temporary.name
    _isolateSettings(app, temporary.name)
    app.setStyle("Fusion")

    scene = _makeScene(temporary.name)
    slicer.app, slicer.mrmlScene = app, scene
    modules.install()
    app._scene = scene
    app._applicationLogic = _makeApplicationLogic(scene)
    app._moduleManager = modules.qSlicerModuleManager()
    app._ioManager = iomanager.qSlicerIOManager()
    app._extensionsManagerModel = qSlicerExtensionsManagerModel()
    _registerCoreModules(app, scene)
    app._layoutManager = layout.qSlicerLayoutManager(scene, app._applicationLogic) if hasViews else None
    subjecthierarchy.install(scene)
    return app
