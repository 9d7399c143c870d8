"""The list of what the module uses of Slicer equals its source, and the test host offers the module nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
import qt

import slicer_api
from slicerhost import offered

HERE = Path(__file__).resolve().parent
NEW_FILE = "import qt\n\ndef use(widget):\n    return {code}\n"


@pytest.fixture(scope="module")
def listed():
    return slicer_api.stored()


def test_listEqualsTheSource():
    # In a process of its own: PySide6 loses a class's own description once an object of it was asked for its own and is gone.
    done = subprocess.run([sys.executable, "slicer_api.py"], cwd=HERE)
    assert done.returncode == 0, "python Testing/host/slicer_api.py --write"


def test_everyMemberCanBeReachedInSlicer(listed):
    """A plain member function of a CTK or Slicer class, which PythonQt does not show, has no kind."""
    unknown = [f"{cls}.{name}" for cls, members in listed.items() for name, kind in members.items() if not kind]
    assert unknown == []


@pytest.mark.parametrize(
    "cls, member, kind",
    [
        ("QLabel", "text", "property"),
        ("QScrollBar", "sizeHint", "property"),
        ("QPushButton", "clicked", "signal"),
        ("QTimer", "start", "slot"),
        ("QTableWidgetItem", "setFlags", "wrapped"),
        ("Qt", "AlignRight", "enum"),
        ("qMRMLNodeComboBox", "currentNode", "invokable"),
        ("qMRMLNodeComboBox", "setCurrentNode", "slot"),
        ("qMRMLNodeComboBox", "noneEnabled", "property"),
        ("ctkCollapsibleButton", "collapsed", "property"),
        ("slicer.util", "loadUI", "python"),
    ],
)
def test_kinds(listed, cls, member, kind):
    assert listed[cls][member] == kind


@pytest.mark.parametrize(
    "cls, member",
    [("ctkCollapsibleButton", "setCollapsed"), ("qMRMLNodeComboBox", "setNodeTypes"), ("ctkSliderWidget", "setRange")],
)
def test_plainFunctionsHaveNoKind(listed, cls, member):
    """Their classes declare them, but neither as slot nor as invokable."""
    assert slicer_api.kindOf(cls, member, {name: members for name, members in listed.items()}) == ""


def codeOfTheModule(tmp_path, monkeypatch, code: str):
    """A function that counts as the module's own."""
    path = tmp_path / "Some.py"
    path.write_text(NEW_FILE.format(code=code), encoding="utf-8")
    monkeypatch.setattr(offered, "_MODULE", str(tmp_path) + "/")
    names: dict = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    return names["use"]


@pytest.mark.parametrize("code", ["widget.grab()", "widget.frameStyle()", "widget.indent"])
def test_otherMembersDoNotExistForTheModule(tmp_path, monkeypatch, code):
    label = qt.QLabel("text")
    with pytest.raises(AttributeError, match="slicer_api.json"):
        codeOfTheModule(tmp_path, monkeypatch, code)(label)
    assert label.grab() is not None and label.indent == -1


def test_listedMembersExistForTheModule(tmp_path, monkeypatch):
    label = qt.QLabel("text")
    assert codeOfTheModule(tmp_path, monkeypatch, "widget.text")(label) == "text"
    codeOfTheModule(tmp_path, monkeypatch, "widget.hide()")(label)
    assert label.isHidden()


def test_sourceIsUnderstood(tmp_path):
    """Types come from .ui files, constructors, results, loops, parameters and signals."""
    (tmp_path / "Resources" / "UI").mkdir(parents=True)
    (tmp_path / "VeloxSegSlicerLib").mkdir()
    (tmp_path / "Resources" / "UI" / "A.ui").write_text(
        '<ui><widget class="QWidget" name="A"><widget class="QTableWidget" name="table">'
        '<property name="showGrid"><bool>false</bool></property></widget>'
        '<widget class="ctkSliderWidget" name="slider"/></widget></ui>'
    )
    (tmp_path / "VeloxSegSlicer.py").write_text("")
    (tmp_path / "VeloxSegSlicerLib" / "B.py").write_text(
        "import qt\n"
        "def helper(label):\n    label.setPixmap(None)\n"
        "class B:\n"
        "    def __init__(self, ui):\n"
        "        self._table = ui.table\n"
        "        self._labels = {}\n"
        "        self._labels['a'] = qt.QLabel()\n"
        "        self._table.connect('itemChanged(QTableWidgetItem*)', self._onItem)\n"
        "        for widget in (ui.slider, qt.QLineEdit()):\n            widget.enabled = False\n"
        "    def _onItem(self, item):\n        item.checkState()\n"
        "    def go(self):\n"
        "        for name, label in self._labels.items():\n            helper(label)\n"
        "        return self._table.horizontalHeader().height\n"
    )
    uses = slicer_api.Source(tmp_path).uses
    assert {"showGrid", "connect", "itemChanged", "horizontalHeader"} <= uses["QTableWidget"]
    assert "checkState" in uses["QTableWidgetItem"] and "setPixmap" in uses["QLabel"]
    assert "enabled" in uses["ctkSliderWidget"] and "enabled" in uses["QLineEdit"]
    assert "height" in uses["QHeaderView"]


def test_headersAreUnderstood(tmp_path):
    header = tmp_path / "ctkSome.h"
    header.write_text(
        "class CTK_WIDGETS_EXPORT ctkSome : public QWidget\n{\n  Q_OBJECT\n  Q_PROPERTY(bool flat READ isFlat WRITE setFlat)\n"
        "public:\n  enum Filter { Dirs = 1, Files };\n  void setFlat(bool flat);\n  Q_INVOKABLE int count() const;\n"
        "public Q_SLOTS:\n  virtual void browse();\nQ_SIGNALS:\n  void changed(const QString& path);\n"
        "protected:\n  void hidden();\n};\n"
    )
    assert slicer_api.headerKinds([header])["ctkSome"] == {
        "flat": "property", "Dirs": "enum", "Files": "enum", "count": "invokable", "browse": "slot", "changed": "signal",
    }  # fmt: skip


def test_scriptSaysWhatDiffers(tmp_path):
    code = "import sys, pathlib, slicer_api; slicer_api.DATA = pathlib.Path(sys.argv[1]); sys.exit(slicer_api.main([]))"
    command = [sys.executable, "-c", code, tmp_path / "empty.json"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 1 and "unknown" in done.stdout, done.stderr
