"""Links between a widget and a parameter: which widget classes can show which types.

The widget's class must match exactly: Slicer asks for the type itself, so a subclass does not count.
"""

import enum
import inspect
import pathlib

import ctk
import qt
import slicer

from . import annotations
from .annotations import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange

_INT_LIMITS = (-(2**31), 2**31 - 1)
_FLOAT_LIMITS = (float("-inf"), float("inf"))


class Connector:
    widgetClasses = ()
    signalName = ""

    @classmethod
    def fits(cls, valueType):
        raise NotImplementedError

    def __init__(self, widget, valueType, hints):
        self.widget = widget
        self._callback = None
        self.prepare(valueType, hints)

    def prepare(self, valueType, hints):
        pass

    def connect(self, callback):
        self._callback = callback
        if self.signalName:
            getattr(self.widget, self.signalName).connect(self._changed)

    def disconnect(self):
        self._callback = None
        if self.signalName:
            getattr(self.widget, self.signalName).disconnect(self._changed)

    def _changed(self):
        if self._callback:
            self._callback()


class CheckBox(Connector):
    widgetClasses = (qt.QCheckBox, ctk.ctkCheckBox)
    signalName = "stateChanged"

    @classmethod
    def fits(cls, valueType):
        return valueType is bool

    def read(self):
        return self.widget.checked

    def write(self, value):
        self.widget.checked = value


class CheckableButton(CheckBox):
    widgetClasses = (qt.QPushButton,)
    signalName = "toggled"

    def prepare(self, valueType, hints):
        self.widget.checkable = True


class _Number(Connector):
    signalName = "valueChanged"
    needsRange = ()
    limits = _FLOAT_LIMITS

    def prepare(self, valueType, hints):
        self._valueType = valueType
        decimals = annotations.first(hints, Decimals)
        if decimals is not None:
            self.widget.decimals = decimals.value
        step = annotations.first(hints, SingleStep)
        if step is not None:
            self.widget.singleStep = step.value
        within = annotations.first(hints, WithinRange)
        minimum = within or annotations.first(hints, Minimum)
        maximum = within or annotations.first(hints, Maximum)
        if type(self.widget) in self.needsRange and not (minimum and maximum):
            raise RuntimeError(f"A {self.widget.className()} needs a parameter with a range (WithinRange)")
        self.widget.minimum = minimum.minimum if minimum else self.limits[0]
        self.widget.maximum = maximum.maximum if maximum else self.limits[1]

    def read(self):
        return self._valueType(self.widget.value)

    def write(self, value):
        self.widget.value = self._valueType(value)


class IntNumber(_Number):
    widgetClasses = (qt.QSlider, qt.QSpinBox)
    needsRange = (qt.QSlider,)
    limits = _INT_LIMITS

    @classmethod
    def fits(cls, valueType):
        return valueType is int


class FloatNumber(_Number):
    widgetClasses = (qt.QDoubleSpinBox, ctk.ctkSliderWidget, ctk.ctkDoubleSpinBox)
    needsRange = (ctk.ctkSliderWidget,)

    @classmethod
    def fits(cls, valueType):
        return valueType in (float, int)

    def prepare(self, valueType, hints):
        super().prepare(valueType, hints)
        if valueType is int:
            self.widget.decimals = 0


class _ComboBox(Connector):
    widgetClasses = (qt.QComboBox, ctk.ctkComboBox)
    signalName = "currentIndexChanged"

    def fill(self, labels, values):
        self._values = list(values)
        self.widget.clear()
        for label in labels:
            self.widget.addItem(label)

    def read(self):
        return self._values[self.widget.currentIndex]

    def write(self, value):
        self.widget.currentIndex = self._values.index(value)


class ChoiceComboBox(_ComboBox):
    @classmethod
    def fits(cls, valueType):
        return valueType in (bool, int, float, str)

    def prepare(self, valueType, hints):
        choice = annotations.first(hints, Choice)
        if choice is None:
            raise RuntimeError("A combo box needs a parameter with a Choice annotation, or an enumeration")
        self.fill([str(value) for value in choice.choices], choice.choices)


class EnumComboBox(_ComboBox):
    @classmethod
    def fits(cls, valueType):
        return inspect.isclass(valueType) and issubclass(valueType, enum.Enum)

    def prepare(self, valueType, hints):
        label = getattr(valueType, "label", lambda member: member.name)
        self.fill([label(member) for member in valueType], valueType)


class LineEdit(Connector):
    widgetClasses = (qt.QLineEdit,)
    signalName = "textChanged"

    @classmethod
    def fits(cls, valueType):
        return valueType is str

    def read(self):
        return self.widget.text

    def write(self, value):
        if value != self.widget.text:  # keeps the cursor where the user types
            self.widget.text = value


class Label(LineEdit):
    widgetClasses = (qt.QLabel,)
    signalName = ""  # a label cannot be edited


class TextEdit(Connector):
    widgetClasses = (qt.QTextEdit,)
    signalName = "textChanged"

    @classmethod
    def fits(cls, valueType):
        return valueType is str

    def read(self):
        return self.widget.toPlainText()

    def write(self, value):
        self.widget.setPlainText(value)


class PathEdit(Connector):
    widgetClasses = (ctk.ctkPathLineEdit,)
    signalName = "currentPathChanged"

    @classmethod
    def fits(cls, valueType):
        return inspect.isclass(valueType) and issubclass(valueType, pathlib.PurePath)

    def prepare(self, valueType, hints):
        self._valueType = valueType

    def read(self):
        return self._valueType(self.widget.currentPath)

    def write(self, value):
        self.widget.currentPath = str(value)


class NodeComboBox(Connector):
    widgetClasses = (slicer.qMRMLNodeComboBox,)
    signalName = "currentNodeChanged"

    @staticmethod
    def _nodeClasses(valueType):
        """The node classes of a type that is a node class or a union of them, with or without None."""
        members = [member for member in annotations.unionMembers(valueType) or [valueType] if member is not type(None)]
        isNode = [inspect.isclass(member) and issubclass(member, slicer.vtkMRMLNode) for member in members]
        return members if all(isNode) else []

    @classmethod
    def fits(cls, valueType):
        return bool(cls._nodeClasses(valueType))

    def prepare(self, valueType, hints):
        self.widget.nodeTypes = [nodeClass().GetClassName() for nodeClass in self._nodeClasses(valueType)]

    def read(self):
        return self.widget.currentNode()

    def write(self, value):
        self.widget.setCurrentNode(value)


_CONNECTORS = (
    CheckBox,
    CheckableButton,
    IntNumber,
    FloatNumber,
    ChoiceComboBox,
    EnumComboBox,
    LineEdit,
    Label,
    TextEdit,
    PathEdit,
    NodeComboBox,
)


def makeConnector(widget, annotatedType):
    valueType, hints = annotations.split(annotatedType)
    for connector in _CONNECTORS:
        if type(widget) in connector.widgetClasses and connector.fits(valueType):
            return connector(widget, valueType, hints)
    raise RuntimeError(f"A {type(widget).__name__} cannot be linked to a parameter of type {valueType}")
