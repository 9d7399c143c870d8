"""The CTK widgets that module panels use; becomes the module ``ctk``."""

import sys
import types

from PySide6 import QtCore, QtGui, QtWidgets

from . import pythonqt
from .standins import standIn, stored

ctk = types.ModuleType("ctk", "stand-ins of the Common Toolkit widgets")

_NO_MAXIMUM_HEIGHT = 16777215  # Qt's QWIDGETSIZE_MAX


@standIn(ctk)
class ctkCollapsibleButton(QtWidgets.QWidget):
    toggled = QtCore.Signal(bool)
    clicked = QtCore.Signal(bool)
    contentsCollapsed = QtCore.Signal(bool)

    _HEADER_HEIGHT = 24
    _ARROW_WIDTH = 24

    text = stored("text", str, "", changed="_repaint")
    collapsed = stored("collapsed", bool, False, changed="_showContents")
    flat = stored("flat", bool, False)
    collapsedHeight = stored("collapsedHeight", int, 10)
    contentsFrameShape = stored("contentsFrameShape", int, 0)
    contentsFrameShadow = stored("contentsFrameShadow", int, 16)
    contentsLineWidth = stored("contentsLineWidth", int, 1)
    contentsMidLineWidth = stored("contentsMidLineWidth", int, 0)
    uiEnums = {
        "contentsFrameShape": {"NoFrame": 0, "Box": 1, "Panel": 2, "StyledPanel": 6},
        "contentsFrameShadow": {"Plain": 16, "Raised": 32, "Sunken": 48},
    }

    def __init__(self, *arguments):
        texts = [argument for argument in arguments if isinstance(argument, str)]
        super().__init__(*[argument for argument in arguments if not isinstance(argument, str)])
        self.setContentsMargins(0, self._HEADER_HEIGHT, 0, 0)
        self._hiddenByModule = {}
        # The size hint is a minimum: what an open section wants to have, its panel must have.
        self.setSizePolicy(QtWidgets.QSizePolicy.Minimum, QtWidgets.QSizePolicy.Preferred)
        pythonqt.overrideGetter(self, "sizeHint", lambda button: button._sizeOf(QtWidgets.QLayout.totalSizeHint))
        pythonqt.overrideGetter(self, "minimumSizeHint", lambda button: button._sizeOf(QtWidgets.QLayout.totalMinimumSize))
        if texts:
            self.text = texts[0]

    # In CTK "checked" means open: the opposite of collapsed.
    checked = QtCore.Property(bool, lambda self: not self.collapsed, lambda self, value: setattr(self, "collapsed", not value))

    def toggle(self):
        self.collapsed = not self.collapsed

    def click(self):
        self.toggle()
        self.clicked.emit(self.checked)

    def _showContents(self):
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            self._showChild(child)
        self.setMaximumHeight(self._HEADER_HEIGHT if self.collapsed else _NO_MAXIMUM_HEIGHT)
        self.update()
        self.toggled.emit(self.checked)
        self.contentsCollapsed.emit(self.collapsed)

    def _showChild(self, child):
        """Hides a child of a collapsed section; brings it back unless the module had hidden it itself."""
        if self.collapsed:
            if child not in self._hiddenByModule:
                isHiddenByModule = child.isHidden() and child.testAttribute(QtCore.Qt.WA_WState_ExplicitShowHide)
                self._hiddenByModule[child] = isHiddenByModule
            child.setVisible(False)
        elif not self._hiddenByModule.pop(child, False):
            child.setVisible(True)

    def _repaint(self):
        self.update()

    def childEvent(self, event):
        # A .ui file sets "collapsed" before the children exist.
        super().childEvent(event)
        if event.type() == QtCore.QEvent.ChildPolished and self.collapsed and event.child().isWidgetType():
            self._showChild(event.child())

    def mousePressEvent(self, event):
        if event.position().y() <= self._HEADER_HEIGHT:
            self.click()

    def _buttonSize(self):
        width = self.fontMetrics().size(QtCore.Qt.TextShowMnemonic, self.text).width() + self._ARROW_WIDTH
        return QtCore.QSize(width, self._HEADER_HEIGHT)

    def _sizeOf(self, contents):
        """The size of the button and, when it is open, of what the layout says about the contents."""
        if self.collapsed or self.layout() is None:
            return self._buttonSize()
        return contents(self.layout()).expandedTo(self._buttonSize())

    def paintEvent(self, event):
        painter = QtGui.QPainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, self._HEADER_HEIGHT - 2)
        self.style().drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option, painter)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(6, 6, 10, 10)
        direction = QtWidgets.QStyle.PE_IndicatorArrowRight if self.collapsed else QtWidgets.QStyle.PE_IndicatorArrowDown
        self.style().drawPrimitive(direction, arrow, painter)
        painter.drawText(
            option.rect.adjusted(self._ARROW_WIDTH, 0, 0, 0), QtCore.Qt.AlignVCenter | QtCore.Qt.TextShowMnemonic, self.text
        )
        painter.end()


_UNLIMITED = 16777215  # Qt's QWIDGETSIZE_MAX


@standIn(ctk)
class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    collapsed = stored("collapsed", bool, False, changed="_showContents")
    collapsedHeight = stored("collapsedHeight", int, 14)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.setCheckable(True)
        self.toggled.connect(self._onToggled)

    def _onToggled(self, checked):
        self.collapsed = not checked

    def childEvent(self, event):
        # A .ui file sets "collapsed" before the children exist.
        super().childEvent(event)
        if event.type() == QtCore.QEvent.ChildPolished and self.collapsed and event.child().isWidgetType():
            event.child().setVisible(False)

    def _showContents(self):
        self.setChecked(not self.collapsed)
        # CTK shows the title alone
        self.setFlat(self.collapsed)
        self.setMaximumHeight(self.fontMetrics().height() + 4 if self.collapsed else _UNLIMITED)
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            child.setVisible(not self.collapsed)


@standIn(ctk)
class ctkComboBox(QtWidgets.QComboBox):
    defaultText = stored("defaultText", str, "")


@standIn(ctk)
class ctkCheckBox(QtWidgets.QCheckBox):
    pass


@standIn(ctk)
class ctkPushButton(QtWidgets.QPushButton):
    pass


@standIn(ctk)
class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    collapsed = stored("collapsed", bool, True)


@standIn(ctk)
class ctkMessageBox(QtWidgets.QMessageBox):
    dontShowAgainVisible = stored("dontShowAgainVisible", bool, False)
    dontShowAgain = stored("dontShowAgain", bool, False)
    dontShowAgainSettingsKey = stored("dontShowAgainSettingsKey", str, "")


@standIn(ctk)
class ctkSliderWidget(QtWidgets.QWidget):
    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)

    _SLIDER_STEPS = 1000

    minimum = stored("minimum", float, 0.0, changed="_rangeChanged")
    maximum = stored("maximum", float, 99.0, changed="_rangeChanged")
    value = stored("value", float, 0.0, limit="_withinRange", changed="_show", notify="valueChanged")
    decimals = stored("decimals", int, 2, changed="_show")
    singleStep = stored("singleStep", float, 1.0, changed="_show")
    pageStep = stored("pageStep", float, 10.0)
    tickInterval = stored("tickInterval", float, 0.0)
    prefix = stored("prefix", str, "", changed="_show")
    suffix = stored("suffix", str, "", changed="_show")
    tracking = stored("tracking", bool, True)
    spinBoxVisible = stored("spinBoxVisible", bool, True, changed="_show")

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._slider.setRange(0, self._SLIDER_STEPS)
        self._spinBox = QtWidgets.QDoubleSpinBox()
        layout.addWidget(self._slider)
        layout.addWidget(self._spinBox)
        self._show()
        self._spinBox.valueChanged.connect(self.setValue)
        self._slider.sliderMoved.connect(self._onSliderMoved)

    def setRange(self, minimum, maximum):
        self.minimum = minimum
        self.maximum = maximum

    def _onSliderMoved(self, position):
        self.value = self.minimum + (self.maximum - self.minimum) * position / self._SLIDER_STEPS

    def _withinRange(self, value):
        return min(max(value, self.minimum), self.maximum)

    def _rangeChanged(self):
        self.value = self.value
        self._show()

    def _show(self):
        self._spinBox.blockSignals(True)
        self._spinBox.setDecimals(self.decimals)
        self._spinBox.setRange(self.minimum, self.maximum)
        self._spinBox.setSingleStep(self.singleStep)
        self._spinBox.setPrefix(self.prefix)
        self._spinBox.setSuffix(self.suffix)
        self._spinBox.setValue(self.value)
        self._spinBox.setVisible(self.spinBoxVisible)
        self._spinBox.blockSignals(False)
        span = (self.maximum - self.minimum) or 1.0
        self._slider.setValue(round(self._SLIDER_STEPS * (self.value - self.minimum) / span))


def _ofSpinBox(name, valueType):
    """A property that belongs to the spin box inside."""
    return QtCore.Property(
        valueType,
        lambda self: getattr(self._spinBox, name),
        lambda self, value: setattr(self._spinBox, name, valueType(value)),
    )


@standIn(ctk)
class ctkDoubleSpinBox(QtWidgets.QWidget):
    valueChanged = QtCore.Signal(float)

    value = _ofSpinBox("value", float)
    minimum = _ofSpinBox("minimum", float)
    maximum = _ofSpinBox("maximum", float)
    singleStep = _ofSpinBox("singleStep", float)
    decimals = _ofSpinBox("decimals", int)
    prefix = _ofSpinBox("prefix", str)
    suffix = _ofSpinBox("suffix", str)

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._spinBox = QtWidgets.QDoubleSpinBox()
        layout.addWidget(self._spinBox)
        self._spinBox.valueChanged.connect(lambda value: self.valueChanged.emit(value))

    def setRange(self, minimum, maximum):
        self._spinBox.setRange(minimum, maximum)


@standIn(ctk)
class ctkPathLineEdit(QtWidgets.QWidget):
    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)

    Dirs, Files, Drives, Readable, Writable, Executable, Hidden = 0x1, 0x2, 0x4, 0x10, 0x20, 0x40, 0x100
    uiEnums = {
        "filters": {
            "Dirs": Dirs,
            "Files": Files,
            "Drives": Drives,
            "Readable": Readable,
            "Writable": Writable,
            "Executable": Executable,
            "Hidden": Hidden,
        }
    }

    currentPath = stored("currentPath", str, "", changed="_show", notify="currentPathChanged")
    filters = stored("filters", int, Dirs | Files)
    nameFilters = stored("nameFilters", tuple, ())
    label = stored("label", str, "")
    settingKey = stored("settingKey", str, "")
    showBrowseButton = stored("showBrowseButton", bool, True, changed="_show")
    showHistoryButton = stored("showHistoryButton", bool, True)

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._edit = QtWidgets.QLineEdit()
        self._browse = QtWidgets.QToolButton()
        self._browse.setText("...")
        layout.addWidget(self._edit)
        layout.addWidget(self._browse)
        self._edit.textEdited.connect(self.setCurrentPath)

    def _show(self):
        self._edit.setText(self.currentPath)
        self._browse.setVisible(self.showBrowseButton)

    def addCurrentPathToHistory(self):
        # The history is an application setting that nothing in a test reads.
        pass


class ctkWidgetsUtils:
    @staticmethod
    def grabWidget(widget):
        return widget.grab().toImage()


ctk.ctkWidgetsUtils = ctkWidgetsUtils


def install():
    sys.modules["ctk"] = ctk
    return ctk
