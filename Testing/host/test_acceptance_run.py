"""Checks 8 to 12 and 23 of docs/acceptance.md: a run as it goes on, and how it may end."""

import os
import signal

import pytest
import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

import acceptance_cases as cases
from acceptance import amount, ownTime


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


@pytest.mark.acceptance(9)
@pytest.mark.parametrize("scenario", ["slow", "deaf"])
def test_cancel(petct, measured, scenario):
    """A runner that stops when asked, and one that must be killed after five and three seconds."""
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
    assert stopped < 8.5
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
