"""Checks 8 to 12 and 23 of docs/acceptance.md: a run as it goes on, and how it may end."""

import json
import os
import signal
import time

import numpy as np
import pytest
import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

import acceptance_cases as cases
from acceptance import CANCEL_LIMIT_S, amount, ownTime
from VeloxSegSlicerLib.common import ResultAttributes
from VeloxSegSlicerLib.engine import Run
from VeloxSegSlicerLib.images import Suv


class EventLoop:
    """Measures how long events had to wait for us, without the time in which other programs had the processor."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = ownTime()
        self._timer = qt.QTimer()
        self._timer.setInterval(5)
        self._timer.connect("timeout()", self._tick)

    def __enter__(self):
        self._last = ownTime()
        self._timer.start()
        return self

    def __exit__(self, *error) -> None:
        self._tick()
        self._timer.stop()

    def _tick(self) -> None:
        now = ownTime()
        self.longest, self._last = max(self.longest, now - self._last), now


def nodeNames() -> list[str]:
    return sorted(f"{node.GetID()} {node.GetName()}" for node in slicer.util.getNodesByClass("vtkMRMLNode"))


def isThere(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def threshold(widget, tmp_path):
    """The widget with PET and CT chosen and the engine's own pipeline behind the button."""
    fixtures.writeCards(tmp_path / "threshold", cases.petctCard())
    fixtures.useModels(widget, tmp_path / "threshold")
    cases.ball("3: CT Thorax", size=(64, 64, 60), spacing=(1.5, 1.5, 2.0))
    cases.ball("5: PET SUVbw", size=(50, 50, 50))
    assert fixtures.waitFor(lambda: widget.ui.segmentButton.enabled)
    return widget


@pytest.mark.acceptance(8)
def test_eventLoopDuringARun(threshold, measured):
    with EventLoop() as loop:
        cases.runThreshold(threshold, pause=0.05)
    measured(f"longest wait {amount(loop.longest, 's')} from click to overlay, real engine")
    assert loop.longest < 0.5


@pytest.mark.acceptance(8)
def test_clickToOverlay(widget, measured):
    """A shipped model on its small example: the first run loads torch and the network, the second finds both."""
    fixtures.useModels(widget, fixtures.modelFolder())
    card = next(card for card in widget.panel.catalogue.cards if card.task_id == "petct-lesions")
    fixtures.chooseTask(widget, card.task_id)
    for name in ("CT", "PET"):
        node = slicer.util.loadVolume(str(card.folder / "example" / f"{name}.nii.gz"), {"name": name})
        if name == "PET":
            Suv.mark(node)
    assert fixtures.waitFor(lambda: widget.ui.segmentButton.enabled), widget.ui.stageLabel.text
    widget.logic.segmenter.command = None
    widget.logic.segmenter.close()
    for start in ("cold", "warm"):
        begun = time.perf_counter()
        with EventLoop() as loop:
            widget.ui.segmentButton.click()
            assert fixtures.waitFor(lambda: not widget.logic.segmenter.isBusy, 240)
        assert "Done" in widget.ui.noticeLabel.text, widget.ui.logTextEdit.plainText
        seconds = amount(time.perf_counter() - begun, "s")
        measured(f"{seconds} ({card.title}, its example of 48 x 42 x 60 voxels, synthetic)", f"Click to overlay, {start} start")
        measured(f"{amount(loop.longest, 's')} with {card.title}, {start} start")
        assert loop.longest < 0.5


@pytest.mark.acceptance(10)
def test_timeLeft(threshold, measured, monkeypatch):
    """Windows of equal length: what is told after a fifth is compared with what came."""
    large, _truth = cases.ball("7: PET SUVbw, large", radius=46.0, size=(112, 48, 48))
    # Noise, because the engine computes only one of several empty windows.
    array = slicer.util.arrayFromVolume(large)
    array[:] = np.clip(array + np.random.default_rng(1).uniform(0, 1, array.shape), 0, cases.LARGEST)
    slicer.util.arrayFromVolumeModified(large)
    threshold.panel.rows.selector("PET").setCurrentNode(large)
    panel, told, bar = threshold.panel, [], []
    show = panel.run.onProgress

    def onProgress(progress):
        show(progress)
        told.append((time.perf_counter(), progress.done / progress.total, progress.secondsLeft))

    monkeypatch.setattr(panel.run, "onProgress", onProgress)
    threshold.ui.progressBar.connect("valueChanged(int)", bar.append)
    cases.runThreshold(threshold, pause=0.2)
    end = told[-1][0]
    errors = [abs(left / (end - now) - 1) for now, share, left in told if share >= 0.2 and end - now > 0.5]
    during = bar[: bar.index(max(bar)) + 1]
    measured(
        f"{len(set(during))} rising values up to {max(bar)} %; {len(errors)} estimates off by at most {100 * max(errors):.0f} %"
    )
    assert during == sorted(during) and len(set(during)) > 5
    assert max(errors) < 0.5


@pytest.mark.acceptance(11)
def test_memoryRunsOut(threshold, measured):
    """Three windows find the memory of a card, imitated on the CPU, too small; windows of several threads fail together."""
    image = threshold.panel.images["PET"]
    usual = cases.found(cases.runThreshold(threshold), image)
    node = cases.runThreshold(threshold, shortages=3)
    notes = json.loads(ResultAttributes.fact(node, "Notes"))
    measured(f'result equal to that of the CPU; {len(notes)} notes, the last: "{notes[-1]["text"]}"')
    assert (cases.found(node, image) == usual).all()
    assert notes and [note["code"] for note in notes] == ["RETRY_ONE_WINDOW", "RETRY_HALF", "RETRY_CPU"][: len(notes)]
    assert notes[-1]["text"] in threshold.ui.logTextEdit.plainText


@pytest.mark.acceptance(8)
def test_eventLoopWithALargeImage(widget, measured):
    """Export and import are the panel's own work, and grow with the image."""
    voxels = np.random.default_rng(0).integers(0, 100, (256, 256, 256)).astype(np.int16)
    voxels[60:190, 60:190, 60:190] += 100
    fixtures.chooseTask(widget, "brain-regions")
    slicer.util.addVolumeFromArray(voxels, name="T1 large")
    assert fixtures.waitFor(lambda: widget.ui.segmentButton.enabled)
    with EventLoop() as loop:
        fixtures.segment(widget)
    assert widget.ui.resultSelector.currentNode() is not None
    measured(f"longest wait {amount(loop.longest, 's')} with 256 x 256 x 256 voxels, engine imitated")
    assert loop.longest < 0.5


@pytest.mark.acceptance(9)
@pytest.mark.parametrize("scenario", ["slow", "deaf"])
def test_cancel(petct, measured, scenario):
    """A runner that stops when asked, and one that must be killed."""
    assert Run.TERMINATE_AFTER_MS + Run.KILL_AFTER_MS < CANCEL_LIMIT_S * 1000
    before = nodeNames()
    petct.logic.segmenter.command = fixtures.fakeCommand(scenario)
    petct.ui.segmentButton.click()
    assert fixtures.waitFor(lambda: petct.ui.progressBar.value > 0 or "Not listening" in petct.ui.stageLabel.text)
    pid = petct.logic.segmenter.engine.processId
    assert isThere(pid)
    started = ownTime()
    petct.ui.segmentButton.click()
    assert fixtures.waitFor(lambda: petct.ui.stageLabel.text == "Cancelling...", 1.0)
    told = ownTime() - started
    assert fixtures.waitFor(lambda: not petct.logic.segmenter.isBusy, 10.0)
    stopped = ownTime() - started
    measured(f"{scenario} runner: text after {amount(told, 's')}, stopped after {amount(stopped, 's')}")
    assert petct.ui.noticeLabel.text == "Cancelled. Nothing was changed."
    assert nodeNames() == before
    assert stopped < CANCEL_LIMIT_S
    assert scenario == "slow" or not isThere(pid)
    assert fixtures.jobFolders() == []


@pytest.mark.acceptance(12)
def test_killedProcess(petct, measured):
    petct.logic.segmenter.command = fixtures.fakeCommand("slow")
    petct.ui.segmentButton.click()
    assert fixtures.waitFor(lambda: petct.ui.progressBar.value > 0)
    os.kill(petct.logic.segmenter.engine.processId, signal.SIGKILL)
    assert fixtures.waitFor(lambda: not petct.logic.segmenter.isBusy)
    measured(f'"{petct.ui.noticeLabel.text}"')
    assert "ended unexpectedly" in petct.ui.noticeLabel.text and "unchanged" in petct.ui.noticeLabel.text
    assert petct.ui.segmentButton.text == "Segment" and petct.ui.segmentButton.enabled
    fixtures.segment(petct)
    assert "Done" in petct.ui.noticeLabel.text


@pytest.mark.acceptance(23)
def test_logicOpensNoWindow(petct, measured):
    """Success, emptiness and every kind of failure, by the logic alone."""
    known = set(qt.QApplication.topLevelWidgets())
    card, images = petct.panel.card, petct.panel.images
    scenarios = ("succeed", "empty", "crash", "memory", "wrongGrid", "noTorch")
    for scenario in scenarios:
        cases.runLogic(scenario, card, images)
        shown = [window for window in qt.QApplication.topLevelWidgets() if window not in known and not window.isHidden()]
        assert shown == [], scenario
    measured(f"no window in {len(scenarios)} endings of a run")
