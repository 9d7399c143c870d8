"""Check 24 of docs/acceptance.md and its neighbors: names, order, narrow and large panels, dark colors, language, keys."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import ctk
import pytest
import qt
import slicer
import VeloxSegSlicerFixtures as fixtures
from PySide6.QtTest import QTest

import slicerhost
from veloxseg.contract import errors

# Without a window manager a window becomes active only in this old way.
pytestmark = pytest.mark.filterwarnings("ignore:.*setActiveWindow:DeprecationWarning")
UI_FOLDER = Path(__file__).resolve().parents[2] / "VeloxSegSlicer" / "Resources" / "UI"
UI_FILES = sorted(UI_FOLDER.glob("*.ui"))
NARROWEST = 320
CONTROLS = (
    "QAbstractButton",
    "QComboBox",
    "QAbstractSpinBox",
    "QAbstractSlider",
    "QLineEdit",
    "QAbstractItemView",
    "QPlainTextEdit",
    "QTextEdit",
    "QTabBar",
    "QProgressBar",
    "ctkSliderWidget",
    "ctkPathLineEdit",
    "qMRMLNodeComboBox",
)
FIELDS = (
    "QComboBox",
    "QAbstractSpinBox",
    "QAbstractSlider",
    "QLineEdit",
    "ctkSliderWidget",
    "ctkPathLineEdit",
    "qMRMLNodeComboBox",
)
OPEN, CLOSE = "\u27e6", "\u27e7"


def inheritsAny(widget, names) -> bool:
    ancestry = {cls.__name__ for cls in type(widget).__mro__}
    return bool(ancestry & set(names))


def controls(root) -> list:
    """Every control of a panel, without the parts that controls are made of."""
    found = []
    for child in root.findChildren(qt.QWidget):
        owner, isPart = child.parent(), False
        while owner is not None and owner is not root:
            isPart = isPart or inheritsAny(owner, CONTROLS)
            owner = owner.parent()
        if inheritsAny(child, CONTROLS) and not isPart:
            found.append(child)
    return found


def outer():
    return slicer.modules.veloxsegslicer.widgetRepresentation()


def panelWidget():
    """The panel without what an earlier one left behind."""
    return slicer.modules.VeloxSegSlicerWidget._uiWidget


def openAll() -> None:
    for section in panelWidget().findChildren(ctk.ctkCollapsibleButton):
        section.collapsed = False


@pytest.fixture
def finished(petct):
    """A panel with a result, every section open."""
    fixtures.segment(petct)
    openAll()
    slicer.app.processEvents()
    return petct


@pytest.mark.acceptance(24)
def test_everyControlIsNamed(finished, measured):
    every = controls(panelWidget())
    labeled = {id(label.buddy()) for label in panelWidget().findChildren(qt.QLabel) if label.buddy() is not None}
    faults = []
    for control in every:
        name = control.name or f"{control.className()} in {control.parent().name}"
        if not control.toolTip and not inheritsAny(control, ("QTabBar",)):
            faults.append(f"{name} has no tooltip")
        if not control.accessibleName and not inheritsAny(control, ("QTabBar",)):
            faults.append(f"{name} has no accessible name")
        if inheritsAny(control, FIELDS) and id(control) not in labeled:
            faults.append(f"{name} is no label's buddy")
    measured(f"{len(every) - len(faults)} of {len(every)} controls, {len(labeled)} labels with buddies")
    assert not faults, "\n".join(faults)


LONG_NAME = "7: PET WB attenuation corrected, head to thigh, reconstruction with time of flight"
SENTENCE = "The image was measured in a way that needs a long explanation with many words, so that it breaks into lines. "


def isCut(widget) -> bool:
    """Whether a named widget got less room than it needs: a button for its text, everything else what it asks for."""
    if inheritsAny(widget, ("QPushButton",)):
        return widget.width < widget.fontMetrics().size(qt.Qt.TextShowMnemonic, widget.text).width()
    isOfQt = inheritsAny(widget.parent(), ("QTabBar",))
    return widget.name != "" and not isOfQt and widget.width < widget.minimumSizeHint.width()


@pytest.mark.parametrize("tab", range(4))
def test_narrow(finished, tab):
    """Nothing is cut at the narrowest width of Slicer's module panel, whatever is open, chosen and said."""
    ui = finished.ui
    finished.panel.images["PET"].SetName(LONG_NAME)
    finished.panel.deviceChoice.learn({"device": "cuda:0", "devices": [{"device": "cuda:0", "name": LONG_NAME}]})
    for label in (label for label in panelWidget().findChildren(qt.QLabel) if label.wordWrap):
        label.text = 3 * SENTENCE
    ui.resultTabs.setCurrentIndex(tab)
    for section in panelWidget().findChildren(ctk.ctkCollapsibleButton):
        section.collapsed = False
    slicer.app.processEvents()
    needed = {section.name: section.sizeHint.width() for section in panelWidget().findChildren(ctk.ctkCollapsibleButton)}
    assert slicerhost.narrowestPanel(outer()) <= NARROWEST, needed
    outer().resize(outer().minimumSizeHint.width(), 4000)
    outer().show()
    slicer.app.processEvents()
    shown = [child for child in panelWidget().findChildren(qt.QWidget) if child.isVisible()]
    cut = [(child.name, child.width, child.minimumSizeHint.width()) for child in shown if isCut(child)]
    outer().hide()
    qt.QSettings().remove("VeloxSegSlicer/Devices")
    assert not cut


def test_largeFonts(tmp_path):
    """At 200 % the panel is twice as large and asks for no more room; it also opens in a fresh process."""
    script = Path(__file__).with_name("fresh_panel.py")
    picture = tmp_path / "large.png"
    environment = {**os.environ, "QT_SCALE_FACTOR": "2"}
    done = subprocess.run([sys.executable, script, picture], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["narrowest"] <= NARROWEST
    assert facts["ratio"] == 2


def contrast(first, second) -> float:
    """Contrast of two colors as WCAG 2 defines it."""

    def luminance(color) -> float:
        parts = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in color.getRgbF()[:3]]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture
def darkTheme():
    """Slicer's dark colors."""
    app = qt.QApplication.instance()
    former, palette = qt.QPalette(app.palette()), qt.QPalette()
    for role, gray in (("Window", 50), ("Base", 35), ("AlternateBase", 60), ("Button", 60), ("ToolTipBase", 50)):
        palette.setColor(getattr(qt.QPalette, role), qt.QColor(gray, gray, gray))
    for role in ("WindowText", "Text", "ButtonText", "ToolTipText", "BrightText"):
        palette.setColor(getattr(qt.QPalette, role), qt.QColor(225, 225, 225))
    app.setPalette(palette)
    yield
    app.setPalette(former)


def test_darkTheme(finished, darkTheme):
    """No text keeps a color of the light theme."""
    slicer.app.processEvents()
    for label in panelWidget().findChildren(qt.QLabel):
        assert contrast(label.palette.color(qt.QPalette.WindowText), label.palette.color(qt.QPalette.Window)) > 4.5, label.name
    pixels = slicerhost.widgetPixels(outer())
    assert pixels.mean() < 110


# Language


@pytest.fixture
def pseudoLanguage(keptPackages, monkeypatch):
    """Everything that goes through the translation comes back in brackets."""
    with monkeypatch.context() as patch:
        patch.setattr(type(slicer.app), "translate", lambda self, context, text: f"{OPEN}{text}{CLOSE}" if text else text)
        slicer.modules.VeloxSegSlicerWidget.onReload()
        yield


def withoutMarked(text: str) -> str:
    """What of a text did not come from the translation."""
    while (shorter := re.sub(f"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}", "", text)) != text:
        text = shorter
    return text


def uiTexts() -> set[str]:
    """Texts of the .ui files, which Qt's own translation reaches."""
    strings = [element for path in UI_FILES for element in ElementTree.parse(path).getroot().iter("string")]
    return {element.text or "" for element in strings if element.get("notr") != "true"}


def shownTexts(root):
    """(widget, kind, text) of everything that a person reads or hears in a panel."""
    for child in [root, *root.findChildren(qt.QWidget)]:
        if inheritsAny(child.parent(), ("QTabBar",)):
            continue  # Qt's own
        for kind in ("text", "title", "toolTip", "accessibleName", "accessibleDescription", "placeholderText", "windowTitle"):
            value = getattr(child, kind, "")
            value = fixtures.toolTipOf(child) if kind == "toolTip" else value
            if isinstance(value, str) and value and not inheritsAny(child, ("QLineEdit", "QAbstractSpinBox", "QTextEdit")):
                yield child, kind, value
        if inheritsAny(child, ("QTableWidget",)):
            for column in range(child.columnCount):
                item = child.horizontalHeaderItem(column)
                for value in (item.text(), item.toolTip()) if item is not None else ():
                    yield child, f"header {column}", value
        if inheritsAny(child, ("QTabWidget",)):
            for index in range(child.count):
                yield child, f"tab {index}", child.tabText(index)


def dataTexts(panel) -> str:
    """What is data and not language: the model's card, names in the scene, keys, and sentences of the engine."""
    names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLDisplayableNode")]
    engine = fixtures.FAKE_RUNNER.read_text(encoding="utf-8")
    return " ".join([str(panel.card), *filter(None, names), "Ctrl Shift Return", engine, *errors.NOTES.values()])


def test_everyTextIsTranslatable(petct, pseudoLanguage):
    """In a language of brackets nothing is left without, but for texts of .ui files, names and data."""
    widget = slicer.modules.VeloxSegSlicerWidget
    fixtures.useModels(widget, petct.logic.catalogue.root)
    known = uiTexts()
    missed = set()
    for scenario in ("succeed", "memory", "crash", "empty"):
        fixtures.segment(widget, scenario)
        data = dataTexts(widget.panel)
        for child, kind, text in shownTexts(panelWidget()):
            if text in known or text.replace("&", "") in data:
                continue
            rest = withoutMarked(text)
            words = re.findall(r"[A-Za-z]{3,}", rest)
            if [word for word in words if word not in data]:
                missed.add(f"{child.className()} {child.name} {kind}: {text}")
    assert not missed, "\n".join(sorted(missed))


# Keys


@pytest.fixture
def focused(petct):
    """The panel in a window of its own with the keyboard in it."""
    outer().show()
    qt.QApplication.setActiveWindow(outer())
    petct.ui.logCollapsibleButton.collapsed = True
    petct.ui.taskComboBox.setFocus()
    yield petct
    outer().hide()


def press(widget, sequence: str) -> None:
    qt.QApplication.setActiveWindow(widget.window())
    widget.setFocus()
    QTest.keySequence(widget, qt.QKeySequence(sequence))
    slicer.app.processEvents()


def test_tabKeyGoesDown(focused):
    """Also through the rows of the card and the parts that are loaded into the tabs."""
    fixtures.segment(focused)
    openAll()
    ui = focused.ui
    expected = [
        ui.taskComboBox,
        ui.cardButton,
        focused.panel.rows.selector("CT").findChild(qt.QComboBox),
        focused.panel.rows.selector("PET").findChild(qt.QComboBox),
        ui.assignButton,
        ui.segmentButton,
        ui.resultTabs.findChild(qt.QTabBar),
        ui.segmentsTable,
        ui.saveCsvButton,
        ui.deviceComboBox,
        ui.copyReportButton,
    ]
    met, current = [], ui.taskComboBox
    current.setFocus()
    while current is not None and current not in met:
        met.append(current)
        QTest.keyClick(current, qt.Qt.Key_Tab)
        current = qt.QApplication.focusWidget()
    assert [widget for widget in met if widget in expected] == expected, [widget.name for widget in met]


def test_keysStartAndCancel(focused):
    focused.logic.segmenter.command = fixtures.fakeCommand("slow")
    press(focused.ui.taskComboBox, "Ctrl+Return")
    assert fixtures.waitFor(lambda: focused.ui.progressBar.value > 0)
    assert outer().focusWidget() is focused.ui.segmentButton
    press(focused.ui.segmentButton, "Ctrl+Return")
    assert not focused.logic.segmenter.isCancelling
    press(focused.ui.segmentButton, "Ctrl+.")
    assert fixtures.waitFor(lambda: not focused.logic.segmenter.isBusy, 5)
    assert focused.ui.noticeLabel.text == "Cancelled. Nothing was changed."


def test_keysForTheResult(focused):
    fixtures.segment(focused)
    display = focused.ui.resultSelector.currentNode().GetDisplayNode()
    press(focused.ui.taskComboBox, "Ctrl+Shift+O")
    assert not display.GetVisibility()
    press(focused.ui.taskComboBox, "Ctrl+Shift+O")
    assert display.GetVisibility()
    press(focused.ui.taskComboBox, "F1")
    assert not focused.ui.logCollapsibleButton.collapsed
    for key in ("Ctrl+Return", "Ctrl+.", "F7", "F8", "Ctrl+Shift+O", "F1"):
        assert f"{key}: " in focused.ui.keysLabel.text


def test_keysElsewhereDoNothing(focused):
    elsewhere = qt.QLineEdit()
    elsewhere.show()
    press(elsewhere, "Ctrl+Return")
    press(elsewhere, "F1")
    assert not focused.logic.segmenter.isBusy
    assert focused.ui.logCollapsibleButton.collapsed


def test_focusMovesOnlyOnFailure(focused):
    fixtures.segment(focused)
    assert outer().focusWidget() is not focused.ui.noticeLabel
    fixtures.segment(focused, "crash")
    assert outer().focusWidget() is focused.ui.noticeLabel


def test_log(petct):
    log = petct.ui.logTextEdit
    for number in range(5100):
        log.appendPlainText(f"<b>line {number}</b>")
    lines = log.plainText.splitlines()
    assert len(lines) == 5000
    assert lines[-1] == "<b>line 5099</b>"


def test_progressIsAlsoText(petct):
    petct.logic.segmenter.command = fixtures.fakeCommand("paced")
    petct.ui.segmentButton.click()
    assert fixtures.waitFor(lambda: "Window" in petct.ui.stageLabel.text and "left" in petct.ui.stageLabel.text)
    assert petct.ui.progressBar.textVisible
