"""The source check finds each trap, leaves good code alone, and the module has no trap."""

import pytest

from check_module_source import checkFile, checkSource, moduleFiles

TRAPS = {
    "foreign import": "from PySide6 import QtCore",
    "foreign module": "import shiboken6",
    "host import": "import slicerhost",
    "isinstance": "isinstance(widget, qt.QWidget)",
    "isinstance of several": "isinstance(widget, (int, qt.QWidget))",
    "signal indexing": "box.valueChanged[int].connect(f)",
    "signal declaration": "changed = qt.Signal(int)",
    "slot declaration": "@qt.Slot()\ndef f(): pass",
    "connection type": "timer.timeout.connect(f, qt.Qt.QueuedConnection)",
    "connection type by name": "timer.timeout.connect(f, type=2)",
    "exec": "dialog.exec()",
    "scoped enumeration": "status == qt.QProcess.ExitStatus.NormalExit",
    "keyword": "qt.QLabel(text='a')",
    "lambda default": "button.connect('clicked(bool)', lambda value=3: f(value))",
    "bytes as text": "str(process.readAllStandardOutput())",
    "bytes in a text": "f'{process.readAllStandardError()}'",
    "shared dictionary": "slicer.util.loadVolume(path)",
    "raw bytes": "bytes(process.readAllStandardOutput())",
    "feature": "from __feature__ import snake_case",
    "thread": "import threading",
    "pool": "from concurrent.futures import ThreadPoolExecutor",
    "own program": "command = [sys.executable, '-m', 'engine']",
    "pair of a file dialog": "path, kind = qt.QFileDialog.getOpenFileName(None, 'a')",
    "keyword of a method": "root.findChildren(qt.QWidget, options=qt.Qt.FindDirectChildrenOnly)",
    "layout by name": "panel.ui.rolesLayout.addWidget(widget)",
    "truth of a layout": "if layout: pass",
    "truth of a method": "if not widget.layout(): pass",
    "truth in an expression": "icon = given or self._icon",
    "surfaces": "segmentation.AddSegment(segment)",
    "lost timer": "def f():\n    timer = qt.QTimer()\n    timer.start(100)",
    "lost dialog": "def f():\n    dialog = qt.QDialog()\n    dialog.show()",
}

GOOD = """
import qt, slicer
if status == qt.QProcess.NormalExit and widget.isWidgetType():
    dialog.exec_()
button.connect("clicked()", lambda: f(value))
box.connect("valueChanged(int)", f)
button.clicked.connect(self.onClicked)
text = process.readAllStandardOutput().data().decode()
node = slicer.util.loadVolume(path, properties={"show": False})
slicer.util.loadVolume(path, {"show": False})
slicer.util.saveNode(node, path, {})
size = qt.QSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Preferred)
isinstance(node, slicer.vtkMRMLVolumeNode)
path = qt.QFileDialog.getOpenFileName(None, "a")
labels = slicer.util.findChildren(root, className="QLabel")
program = shutil.which("PythonSlicer") or sys.executable
def newTimer(self):
    timer = qt.QTimer()
    timer.start(100)
    other = qt.QTimer()
    self._other = other
    child = qt.QTimer(self.widget)
    child.start(100)
    return timer
"""


@pytest.mark.parametrize("source", TRAPS.values(), ids=TRAPS.keys())
def test_trapIsFound(source):
    assert len(checkSource(source)) == 1


def test_goodCodeIsLeftAlone():
    assert checkSource(GOOD) == []


def test_findingNamesFileAndLine():
    assert checkSource("\ndialog.exec()", "some.py") == ["some.py:2: exec(): write exec_()"]


def test_moduleHasNoTraps():
    assert [finding for path in moduleFiles() for finding in checkFile(path)] == []
