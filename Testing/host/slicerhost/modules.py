"""slicer.modules and the module manager; how a scripted module's file is loaded."""

import importlib.util
import os
import sys
import types

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from . import pythonqt


class qSlicerLoadableModule(QtCore.QObject):
    """A C++ module: only its logic exists outside of Slicer."""

    def __init__(self, name, logic):
        super().__init__()
        self.name = name
        self._logic = logic

    title = QtCore.Property(str, lambda self: self.name)
    path = QtCore.Property(str, lambda self: "")

    def logic(self):
        return self._logic

    def widgetRepresentation(self):
        return None


def _described(name, valueType):
    """An attribute that a module describes itself with; lists become tuples, as with PythonQt."""
    key = "_described_" + name
    return property(
        lambda self: self.__dict__.get(key, valueType()),
        lambda self, value: self.__dict__.update({key: valueType(value)}),
    )


class qSlicerScriptedLoadableModule(QtCore.QObject):
    """The module object that a module class gets as ``parent`` and describes itself in."""

    title = _described("title", str)
    helpText = _described("helpText", str)
    acknowledgementText = _described("acknowledgementText", str)
    defaultDocumentationLink = _described("defaultDocumentationLink", str)
    categories = _described("categories", tuple)
    contributors = _described("contributors", tuple)
    dependencies = _described("dependencies", tuple)
    associatedNodeTypes = _described("associatedNodeTypes", tuple)
    extensions = _described("extensions", dict)
    icon = _described("icon", QtGui.QIcon)
    index = _described("index", int)
    hidden = _described("hidden", bool)
    widgetRepresentationCreationEnabled = _described("widgetRepresentationCreationEnabled", bool)

    def __init__(self, path):
        super().__init__()
        self._path = path
        self._logic = None
        self._representation = None
        self.name = os.path.splitext(os.path.basename(path))[0]
        self.index = -1
        self.widgetRepresentationCreationEnabled = True

    path = property(lambda self: self._path)

    def logic(self):
        if self._logic is None:
            # In Slicer an almost empty C++ logic; a scripted module's own logic class is made by its widget.
            self._logic = slicer.vtkMRMLAbstractLogic()
            self._logic.SetMRMLScene(slicer.mrmlScene)
        return self._logic

    def createNewWidgetRepresentation(self):
        if not self.widgetRepresentationCreationEnabled:
            return None
        representation = qSlicerScriptedLoadableModuleWidget(self.name)
        representation.reload()
        return representation

    def widgetRepresentation(self):
        if self._representation is None:
            self._representation = self.createNewWidgetRepresentation()
        return self._representation


class qSlicerScriptedLoadableModuleWidget(QtWidgets.QWidget):
    """The panel's outer widget, the ``parent`` of a module's widget class; it survives a reload."""

    def __init__(self, moduleName):
        super().__init__()
        QtWidgets.QVBoxLayout(self)
        self._moduleName = moduleName
        self._pythonWidget = None
        self._isEntered = False
        self._scene = slicer.mrmlScene
        self.resize(440, 900)

    isEntered = property(lambda self: self._isEntered)
    moduleName = property(lambda self: self._moduleName)

    def reload(self):
        className = self._moduleName + "Widget"
        widgetClass = getattr(sys.modules[self._moduleName], className)
        self._pythonWidget = widgetClass(self)
        setattr(slicer.modules, className, self._pythonWidget)  # before setup(), which may look itself up
        self._pythonWidget.setup()

    def self(self):
        return self._pythonWidget

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        self._scene = scene

    def enter(self):
        self._isEntered = True
        if hasattr(self._pythonWidget, "enter"):
            self._pythonWidget.enter()

    def exit(self):
        self._isEntered = False
        if hasattr(self._pythonWidget, "exit"):
            self._pythonWidget.exit()


class qSlicerModuleManager(QtCore.QObject):
    """Also answers as its own factoryManager()."""

    moduleLoaded = QtCore.Signal(str)
    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleUnloaded = QtCore.Signal(str)

    def __init__(self):
        super().__init__()
        self._modules = {}
        self._shownModule = None

    def factoryManager(self):
        return self

    def module(self, name):
        return self._modules.get(name)

    def modulesNames(self):
        return tuple(self._modules)

    def loadedModuleNames(self):
        return tuple(self._modules)

    def isLoaded(self, name):
        return name in self._modules

    def _register(self, module):
        self._modules[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)
        setattr(slicer.moduleNames, module.name, module.name)
        self.moduleLoaded.emit(module.name)


for _class in (
    qSlicerLoadableModule,
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
    qSlicerModuleManager,
):
    pythonqt.markAsCppClass(_class)
    setattr(slicer, _class.__name__, _class)


def install():
    for name in ("modules", "moduleNames"):
        namespace = types.ModuleType("slicer." + name)
        setattr(slicer, name, namespace)
        sys.modules["slicer." + name] = namespace


def loadScriptedModule(path):
    """What Slicer's module factory does with one .py file; returns the module object."""
    path = os.path.abspath(path)
    folder, fileName = os.path.split(path)
    name = os.path.splitext(fileName)[0]
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    pythonModule = importlib.util.module_from_spec(spec)
    sys.modules[name] = pythonModule
    spec.loader.exec_module(pythonModule)

    module = qSlicerScriptedLoadableModule(path)
    instance = getattr(pythonModule, name)(module)
    setattr(slicer.modules, name + "Instance", instance)
    module.widgetRepresentationCreationEnabled = hasattr(pythonModule, name + "Widget")
    slicer.app.moduleManager()._register(module)
    if hasattr(instance, "setup"):
        instance.setup()
    slicer.app._finishStartup()
    return module


def showModule(name):
    """Switches the module panel, as the user does: exit() of the old module, enter() of the new one (None: no module).

    Returns the panel's outer widget.
    """
    manager = slicer.app.moduleManager()
    shown = manager._shownModule
    new = manager.module(name).widgetRepresentation() if name else None
    if shown is not None:
        shown.exit()
    manager._shownModule = new
    if new is not None:
        new.enter()
    return new


def narrowestPanel(panel):
    """Slicer's module panel cannot be made narrower than this: what the module's panel needs, and a scroll bar."""
    scrollBar = QtWidgets.QScrollBar()
    return panel.minimumSizeHint.width() + scrollBar.sizeHint.width()


def unloadModules():
    """What Slicer does on quitting: every module widget hears that its module goes."""
    manager = slicer.app.moduleManager()
    showModule(None)
    for name in manager.modulesNames():
        manager.moduleAboutToBeUnloaded.emit(name)
