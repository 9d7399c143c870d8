"""A person who presses everything: random clicks, images that come and go, closed scenes, reloads, in any order.

No step may raise, in the panel or in a slot or observer; at the end no process, no temporary folder and no old panel is
left. A failure prints the seed and the last steps. Other seeds: FUZZ_SEED=7 pytest Testing/host/test_fuzz.py
"""

import gc
import os
import random
import shutil
import time
import traceback
import weakref
from pathlib import Path

import ctk
import numpy as np
import pytest
import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.engine import Setup

SEED = int(os.environ.get("FUZZ_SEED", "1"))
STEPS = 500
SHOWN_STEPS = 25
LARGEST_SCENE = 12
SCENARIOS = ("succeed", "succeed", "paced", "slow", "crash", "memory", "garbage", "empty", "wrongGrid", "noTorch", "quietExit")
REMOVABLE = ("Volume", "Segmentation", "Transform", "Table", "Markups")
SLICERS_OWN = ("Red Transform", "Green Transform", "Yellow Transform")
TEXTS = ("", "0", "a name", "-1", "10.5", "/no/such/folder", "x" * 300)


class Fuzz:
    """The actions, and what they need to remember."""

    def __init__(self, models: Path, seed: int) -> None:
        self.models = models
        self.random = random.Random(seed)
        self.history: list[str] = []
        self.oldPanels: list[weakref.ref] = []
        self.keptFolders: set[Path] = set()
        self.actions = (
            (self.press, 22),
            (self.pressSegment, 8),
            (self.changeControl, 14),
            (self.chooseRow, 6),
            (self.foldSection, 6),
            (self.addImage, 9),
            (self.removeNode, 5),
            (self.changeImage, 4),
            (self.wait, 14),
            (self.finishRun, 3),
            (self.playScenario, 5),
            (self.changeEngine, 2),
            (self.leaveOrEnter, 3),
            (self.closeScene, 3),
            (self.reload, 1),
        )

    @property
    def widget(self):
        return slicer.modules.VeloxSegSlicerWidget

    @property
    def isShown(self) -> bool:
        return slicer.modules.veloxsegslicer.widgetRepresentation().isEntered

    def step(self) -> None:
        action = self.random.choices(*zip(*self.actions, strict=True))[0]
        self.history.append(action.__name__)
        action()
        self.rememberKeptFolder()
        slicer.app.processEvents()

    def rememberKeptFolder(self) -> None:
        """A job that was started with "Keep files for troubleshooting" rightly leaves its folder."""
        job = self.widget.logic.segmenter._job
        if job is not None and job.keepFiles:
            self.keptFolders.add(job.folder)

    def say(self, text: str) -> None:
        self.history[-1] += f" {text}"

    def prepare(self) -> None:
        """What a panel needs to run without torch; again after each reload."""
        fixtures.useModels(self.widget, self.models)
        self.widget.panel.samples.command = [Setup.pythonProgram(), str(fixtures.FAKE_RUNNER)]
        self.playScenario()
        for section in self.widget._uiWidget.findChildren(ctk.ctkCollapsibleButton):
            section.collapsed = False

    # What a person does

    def press(self) -> None:
        button = self.pick(self.controls(qt.QAbstractButton))
        if button is not None:
            self.say(f"{button.name or button.text}")
            button.click()

    def pressSegment(self) -> None:
        self.say("enabled" if self.widget.ui.segmentButton.enabled else "disabled")
        if self.isShown:
            self.widget.ui.segmentButton.click()

    def changeControl(self) -> None:
        kinds = (qt.QComboBox, qt.QSpinBox, qt.QDoubleSpinBox, qt.QSlider, qt.QLineEdit, ctk.ctkSliderWidget, qt.QTabWidget)
        control = self.pick([found for kind in kinds for found in self.controls(kind)])
        if control is None:
            return
        self.say(f"{control.className()} {control.name}")
        if control.inherits("QComboBox"):
            if control.count:
                control.setCurrentIndex(self.random.randrange(control.count))
                control.activated.emit(control.currentIndex)
        elif control.inherits("QLineEdit"):
            control.setText(self.random.choice(TEXTS))
            control.editingFinished.emit()
        elif control.inherits("QTabWidget"):
            control.setCurrentIndex(self.random.randrange(max(1, control.count)))
        else:
            control.setValue(self.random.choice((control.minimum, control.maximum, (control.minimum + control.maximum) // 2)))

    def foldSection(self) -> None:
        section = self.pick(self.controls(ctk.ctkCollapsibleButton))
        if section is not None:
            self.say(section.name)
            section.click()

    def chooseRow(self) -> None:
        """Select, tick, rename or clear something in a table or tree."""
        table = self.pick([found for kind in (qt.QTableWidget, qt.QTreeWidget) for found in self.controls(kind)])
        if table is None or not table.inherits("QTableWidget") or not table.rowCount:
            return
        row, column = self.random.randrange(table.rowCount), self.random.randrange(table.columnCount)
        self.say(f"{table.name} {row} {column}")
        table.selectRow(row)
        item = table.item(row, column)
        if item is not None and self.random.random() < 0.6:
            checks = (qt.Qt.Checked, qt.Qt.Unchecked)
            if item.flags() & qt.Qt.ItemIsUserCheckable and item.data(qt.Qt.CheckStateRole) is not None:
                item.setCheckState(self.random.choice(checks))
            elif item.flags() & qt.Qt.ItemIsEditable:
                item.setText(self.random.choice(TEXTS))
        if self.random.random() < 0.2:
            table.clearSelection()

    def addImage(self) -> None:
        makers = (
            lambda: fixtures.sphereVolume("3: CT Thorax"),
            lambda: fixtures.sphereVolume("5: PET SUVbw", size=(12, 13, 14), spacing=(4, 4, 4)),
            lambda: fixtures.sphereVolume("T1 brain", axes=fixtures.OBLIQUE),
            lambda: fixtures.sphereVolume("far away", center=(900, 0, 0)),
            lambda: fixtures.colorPicture("IMG_2041"),
            lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT without voxels"),
            lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn by hand"),
            lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "region"),
        )
        if len(self.ownNodes()) < LARGEST_SCENE:
            self.say(self.random.choice(makers)().GetName())

    def changeImage(self) -> None:
        volumes = [node for node in self.ownNodes() if node.IsA("vtkMRMLScalarVolumeNode") and node.GetImageData()]
        node = self.pick(volumes)
        if node is None:
            return
        change = self.random.choice(("move", "bend", "stay", "rename", "modify", "zero"))
        self.say(f"{change} {node.GetName()}")
        if change == "move":
            fixtures.moved(node, np.diag([1.0, -1.0, 1.0, 1.0]))
        elif change == "bend":
            fixtures.bent(node)
        elif change == "stay":
            node.SetAndObserveTransformNodeID(None)
        elif change == "rename":
            node.SetName(self.random.choice(TEXTS))
        elif change == "zero":
            slicer.util.arrayFromVolume(node)[:] = 0
            slicer.util.arrayFromVolumeModified(node)
        else:
            slicer.util.arrayFromVolumeModified(node)

    def removeNode(self) -> None:
        node = self.pick(self.ownNodes())
        if node is not None:
            self.say(node.GetName())
            slicer.mrmlScene.RemoveNode(node)

    def closeScene(self) -> None:
        slicer.mrmlScene.Clear(False)

    def leaveOrEnter(self) -> None:
        representation = slicer.modules.veloxsegslicer.widgetRepresentation()
        representation.exit() if self.isShown else representation.enter()

    def reload(self) -> None:
        self.oldPanels.append(weakref.ref(self.widget.panel))
        slicer.util.reloadScriptedModule("VeloxSegSlicer")
        self.prepare()

    # What happens around

    def playScenario(self) -> None:
        scenario = self.random.choice(SCENARIOS)
        self.say(scenario)
        self.widget.logic.segmenter.command = fixtures.fakeCommand(scenario)

    def changeEngine(self) -> None:
        status = self.random.choice((Setup.READY, Setup.READY, Setup.MISSING, Setup.DAMAGED))
        self.say(status)
        self.widget.panel.engine = Setup.EngineState(status, torchVersion="0.0")
        self.widget.panel.update()

    def wait(self) -> None:
        end = time.monotonic() + self.random.choice((0.0, 0.01, 0.05, 0.1))
        while time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.005)

    def finishRun(self) -> None:
        fixtures.waitFor(lambda: not self.widget.logic.segmenter.isBusy, 0.8)

    # Helpers

    def controls(self, kind) -> list:
        """What a person can reach: enabled and not hidden. Nothing while another module is shown."""
        if not self.isShown:
            return []
        found = self.widget._uiWidget.findChildren(kind)
        return [control for control in found if control.enabled and self.isReachable(control)]

    def isReachable(self, control) -> bool:
        """Whether the control is in view, or in another tab of a group that is."""
        while control is not self.widget._uiWidget:
            if control.isHidden() and not control.parent().inherits("QStackedWidget"):
                return False
            control = control.parent()
        return True

    def ownNodes(self) -> list:
        nodes = [node for name in REMOVABLE for node in slicer.util.getNodesByClass(f"vtkMRML{name}Node")]
        return [node for node in nodes if node.GetName() not in SLICERS_OWN]

    def pick(self, found: list):
        return self.random.choice(found) if found else None


def children() -> set[str]:
    """Processes that this one has started and not yet seen the end of: number and command."""
    numbers = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {f"{number} {Path(f'/proc/{number}/cmdline').read_text().replace(chr(0), ' ')}" for number in numbers}


@pytest.fixture
def answers(monkeypatch, tmp_path):
    """Somebody answers every question, and nothing is really installed or restarted."""
    answer = random.Random(SEED)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *a, **k: answer.random() < 0.5)
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda *a, **k: answer.random() < 0.5)
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda *a, **k: None)
    monkeypatch.setattr(slicer.util, "restart", lambda: None)
    for name in ("install", "repair", "installHelper"):
        monkeypatch.setattr(Setup, name, lambda *a, **k: None)
    for name in ("getSaveFileName", "getOpenFileName", "getExistingDirectory"):
        choices = ("", str(tmp_path / "written by the fuzz.csv"), str(tmp_path / "no" / "such" / "folder"))
        monkeypatch.setattr(qt.QFileDialog, name, lambda *a, _choices=choices: answer.choice(_choices))
    monkeypatch.setattr(qt.QDialog, "exec_", lambda dialog: int(answer.random() < 0.5))
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: True)


def test_randomUse(widget, tmp_path, answers, noErrorInCallbacks):
    known = children()
    fuzz = Fuzz(tmp_path / "models", SEED)
    fuzz.history.append("start")
    fuzz.prepare()
    try:
        for _number in range(STEPS):
            fuzz.step()
            assert not noErrorInCallbacks
    except Exception:  # noqa: BLE001  (any error is what this test looks for)
        errors = ["".join(traceback.format_exception(*error)) for error in noErrorInCallbacks]
        noErrorInCallbacks.clear()
        steps = "\n  ".join(fuzz.history[-SHOWN_STEPS:])
        texts = [traceback.format_exc(), f"Seed {SEED}, step {len(fuzz.history)}:\n  {steps}", *errors]
        pytest.fail("\n".join(texts), pytrace=False)
    fuzz.widget.panel.sceneWillClose()
    fuzz.reload()
    widget.logic = None  # this test's own way to the first panel, the listener of its last run
    slicer.mrmlScene.Clear(False)
    slicer.app.processEvents()
    # The reloaded panel may rightly preview the batch folder that the settings remember; it has to end that, too.
    fuzz.widget.cleanup()
    slicer.app.processEvents()
    assert children() - known == set()
    assert set(fixtures.jobFolders()) <= fuzz.keptFolders
    for folder in fuzz.keptFolders:
        shutil.rmtree(folder, ignore_errors=True)
    assert stillObserving(fuzz.oldPanels) == []


def stillObserving(oldPanels: list[weakref.ref]) -> list:
    """Panels, all cleaned up, that something in the scene still calls; their own widgets, timers and processes do not count."""
    for thing in [thing for thing in gc.get_objects() if isinstance(thing, qt.QObject)]:
        if callsLibrary(thing):
            thing.disconnect()
    gc.collect()
    found = [old() for old in oldPanels if old() is not None]
    slicer.util.reloadScriptedModule("VeloxSegSlicer")
    return found


def callsLibrary(thing) -> bool:
    """Whether a signal of this object is connected to the module's library."""
    slots = [function for _signal, _text, function, _slot in vars(thing).get("_connections", ())]
    return any(str(getattr(slot, "__module__", "")).startswith("VeloxSegSlicerLib") for slot in slots)
