"""@parameterNodeWrapper: a class whose members are the parameters of a vtkMRMLScriptedModuleNode."""

import typing

import qt
import slicer
import vtk

from . import annotations, storage
from .connectors import makeConnector

SlicerParameterNamePropertyName = "SlicerParameterName"


def _parameterProperty(name):

    def read(self):
        memberStorage = self._storages[name]
        if not memberStorage.isIn(self.parameterNode, name):
            memberStorage.write(self.parameterNode, name, self._defaults[name].value)
        return memberStorage.read(self.parameterNode, name)

    def write(self, value):
        with slicer.util.NodeModify(self.parameterNode):  # one event, after the whole value is there
            self._storages[name].write(self.parameterNode, name, value)

    return property(read, write)


class _Methods:
    """What @parameterNodeWrapper adds to the class."""

    _isParameterNodeWrapper = True

    def __init__(self, parameterNode):
        self.parameterNode = parameterNode
        self._links = {}  # tag -> ({parameter name: connector}, tag of the observer of the node)
        self._nextTag = 0
        self._updatingGui = False
        for name, memberStorage in self._storages.items():
            if not memberStorage.isIn(parameterNode, name):
                memberStorage.write(parameterNode, name, self._defaults[name].value)
            memberStorage.read(parameterNode, name)  # a text that cannot be read is an error from the start

    # Values by name

    @classmethod
    def _split(cls, name):
        top, rest = annotations.splitName(name)
        if top not in cls._storages:
            raise ValueError(f"There is no parameter {top}; known are {', '.join(cls._storages)}")
        return top, rest

    @classmethod
    def dataType(cls, name):
        top, rest = cls._split(name)
        return cls._hints[top] if rest is None else annotations.split(cls._hints[top])[0].dataType(rest)

    def default(self, name):
        return self._defaults[self._split(name)[0]]

    def getValue(self, name):
        top, rest = self._split(name)
        value = getattr(self, top)
        return value if rest is None else value.getValue(rest)

    def setValue(self, name, value):
        top, rest = self._split(name)
        if rest is None:
            setattr(self, top, value)
        else:
            getattr(self, top).setValue(rest, value)

    # The panel

    def connectGui(self, gui):
        """Links every widget below (or in the namespace) ``gui`` that names a parameter; returns a tag."""
        isWidget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if isWidget else vars(gui).values()
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping):
        connectors = {name: makeConnector(widget, self.dataType(name)) for name, widget in mapping.items()}
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.connect(self._makeCallback(name, connector))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._updateGui())
        tag = self._nextTag
        self._nextTag += 1
        self._links[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, tag):
        connectors, observer = self._links.pop(tag, ({}, None))
        for connector in connectors.values():
            connector.disconnect()
        if observer is not None:
            self.RemoveObserver(observer)

    def _makeCallback(self, name, connector):
        def widgetChanged():
            if not self._updatingGui:
                with slicer.util.NodeModify(self):
                    self.setValue(name, connector.read())

        return widgetChanged

    def _updateGui(self):
        if self._updatingGui:
            return
        self._updatingGui = True
        try:
            with slicer.util.NodeModify(self):
                for connectors, _ in list(self._links.values()):
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._updatingGui = False

    # The node's own methods that callers expect here too

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModifying):
        return self.parameterNode.EndModify(wasModifying)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        self.parameterNode.Modified()


def parameterNodeWrapper(cls):
    hints = typing.get_type_hints(cls, include_extras=True)
    storages = {name: storage.makeStorage(hint) for name, hint in hints.items()}
    defaults = {name: storage.defaultOf(cls, name, hints[name], storages[name]) for name in hints}
    for name, member in vars(_Methods).items():
        if name in ("__module__", "__dict__", "__weakref__", "__doc__", "__qualname__"):
            continue
        if name in vars(cls) and not name.startswith("__"):
            raise ValueError(f"{name} is a reserved name in a parameterNodeWrapper")
        setattr(cls, name, member)
    cls._hints, cls._storages, cls._defaults = hints, storages, defaults
    for name in hints:
        if hasattr(_Methods, name):
            raise ValueError(f"{name} is a reserved name in a parameterNodeWrapper")
        setattr(cls, name, _parameterProperty(name))
    return cls


def isParameterNodeWrapper(value):
    return getattr(value, "_isParameterNodeWrapper", False)
