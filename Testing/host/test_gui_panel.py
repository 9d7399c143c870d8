"""The panel with real clicks, timers and pixels, as far as the host can show them."""

import os
import sys
import time

import numpy as np
import pytest
import qt
import slicer
import VeloxSegSlicerFixtures as fixtures
from VeloxSegSlicerFixtures import chooseTask, segment

import slicerhost

LESION = np.array([230, 90, 60])


def pixels(view="Red"):
    slicer.app.processEvents()
    return slicerhost.sliceViewPixels(view).astype(int)


def towards(before, after, color) -> int:
    """How many pixels came clearly nearer to a color."""
    distance = [np.abs(image - color).sum(axis=-1) for image in (before, after)]
    return int((distance[0] - distance[1] > 30).sum())


def test_opensFast(widget):
    started = time.monotonic()
    slicer.util.reloadScriptedModule("VeloxSegSlicer")
    # A second is the promise; this machine may be busy.
    assert time.monotonic() - started < 3


def test_overlayAppearsInTheSegmentsColor(petct):
    slicer.util.setSliceViewerLayers(
        background=petct.panel.images["CT"],
        foreground=petct.panel.images["PET"],
        foregroundOpacity=0.5,
        fit=True,
    )
    before = pixels()
    segment(petct)
    node = petct.ui.resultSelector.currentNode()
    shown = pixels()
    node.GetDisplayNode().SetVisibility(False)
    hidden = pixels()
    assert towards(hidden, shown, LESION) > 500
    assert before.shape == shown.shape


def test_show3D(petct):
    segment(petct)
    segmentation = petct.ui.resultSelector.currentNode().GetSegmentation()
    assert not segmentation.ContainsRepresentation("Closed surface")
    petct.ui.show3DButton.click()
    assert segmentation.ContainsRepresentation("Closed surface")


def test_geometryTableShowsAllOfItsRows(petct):
    table = petct.ui.geometryTable
    rows = sum(table.rowHeight(row) for row in range(table.rowCount))
    assert table.rowCount == 2
    assert table.minimumHeight >= rows + table.horizontalHeader().height + table.horizontalScrollBar().sizeHint.height()


def test_restoreViews(petct):
    own = fixtures.sphereVolume("own")
    slicer.util.setSliceViewerLayers(background=own, foreground=None, fit=True)
    segment(petct)
    assert petct.ui.restoreViewsButton.enabled
    petct.ui.restoreViewsButton.click()
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert {composite.GetBackgroundVolumeID() for composite in composites} == {own.GetID()}
    assert not petct.ui.restoreViewsButton.enabled


def test_eventLoopStaysFree(petct):
    """No slot of ours blocks Slicer for half a second while a run goes on."""
    gaps, last = [], [time.monotonic()]

    def tick():
        gaps.append(time.monotonic() - last[0])
        last[0] = time.monotonic()

    timer = qt.QTimer()
    timer.setInterval(10)
    timer.connect("timeout()", tick)
    petct.logic.segmenter.command = fixtures.fakeCommand("paced")
    petct.ui.segmentButton.click()
    assert fixtures.waitFor(lambda: "Window" in petct.ui.stageLabel.text)
    last[0] = time.monotonic()
    timer.start()
    assert fixtures.waitFor(lambda: petct.ui.progressBar.value > 80)
    timer.stop()
    assert max(gaps) < 0.5


def test_progressIsShownAndLocked(petct):
    petct.logic.segmenter.command = fixtures.fakeCommand("paced")
    petct.ui.segmentButton.click()
    values = []
    assert fixtures.waitFor(lambda: values.append(petct.ui.progressBar.value) or not petct.logic.segmenter.isBusy)
    assert values == sorted(values)
    assert max(values) >= 90
    assert petct.ui.progressBar.isHidden()


def test_reload(petct):
    """A new panel works, the old one is dead, and a run of the old one is gone."""
    old, oldUi = petct.panel, petct.ui
    petct.logic.segmenter.command = fixtures.fakeCommand("slow")
    petct.ui.segmentButton.click()
    assert fixtures.waitFor(lambda: "Window" in oldUi.stageLabel.text)
    slicer.util.reloadScriptedModule("VeloxSegSlicer")
    assert not old.segmenter.isBusy
    assert fixtures.jobFolders() == []
    new = slicer.modules.VeloxSegSlicerWidget
    assert new is not petct
    seed = oldUi.seedSpinBox.value
    new.initializeParameterNode()
    new.ui.seedSpinBox.value = seed + 5
    assert oldUi.seedSpinBox.value == seed
    fixtures.useModels(new, old.catalogue.root)
    assert new.panel.images["CT"].GetName() == "3: CT Thorax"
    segment(new)
    assert "Done" in new.ui.noticeLabel.text


def test_reloadReadsTheLibraryAgain(widget, keptPackages):
    widget.onReload()
    assert sys.modules["VeloxSegSlicerLib.panel.Widget"] is not keptPackages["VeloxSegSlicerLib.panel.Widget"]
    assert slicer.modules.VeloxSegSlicerWidget.panel is not None


def test_cleanupEndsTheProcess(petct):
    petct.logic.segmenter.command = fixtures.fakeCommand("deaf")
    petct.ui.segmentButton.click()
    assert fixtures.waitFor(lambda: "Not listening" in petct.ui.stageLabel.text)
    pid = petct.logic.segmenter._run.processId
    petct.cleanup()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert fixtures.jobFolders() == []
    slicer.util.reloadScriptedModule("VeloxSegSlicer")


def test_cleanupTwice(widget):
    widget.cleanup()
    widget.cleanup()
    slicer.mrmlScene.Clear(False)
    slicer.util.reloadScriptedModule("VeloxSegSlicer")


def test_withoutScene(widget):
    """The generic test of Slicer gives and takes scenes."""
    representation = slicer.modules.veloxsegslicer.widgetRepresentation()
    scene = slicer.vtkMRMLScene()
    representation.setMRMLScene(scene)
    representation.setMRMLScene(slicer.mrmlScene)


def test_sampleButtonPreparesARun(widget):
    chooseTask(widget, "petct-lesions")
    widget.panel.samples.command = [fixtures.Setup.pythonProgram(), str(fixtures.FAKE_RUNNER)]
    widget.ui.sampleButton.click()
    assert "Preparing sample" in widget.ui.stageLabel.text
    assert not widget.ui.sampleButton.enabled
    assert fixtures.waitFor(lambda: widget.ui.segmentButton.enabled)
    assert widget.panel.images["PET"].GetName() == "PET SUVbw phantom"
    assert widget.ui.sampleButton.enabled
    segment(widget)
    assert "Done" in widget.ui.noticeLabel.text


def test_saveCsv(petct, tmp_path, monkeypatch):
    segment(petct)
    path = tmp_path / "measures.csv"
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *arguments: str(path))
    petct.ui.saveCsvButton.click()
    assert "Lesion" in path.read_text(encoding="utf-8")


def test_saveCsvWhereNothingCanBeWritten(petct, tmp_path, monkeypatch):
    segment(petct)
    texts = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, *rest, **more: texts.append(text))
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *arguments: str(tmp_path / "no" / "folder.csv"))
    petct.ui.saveCsvButton.click()
    assert "could not be written" in texts[0]


def test_modelCardOpens(petct):
    petct.ui.cardButton.click()
    dialog = petct.panel.cardDialog
    assert "Test PET/CT lesions" in dialog.windowTitle
    dialog.close()


def test_rowsHaveLabelsIconsAndNames(petct):
    for role in ("CT", "PET"):
        selector = petct.panel.rows.selector(role)
        assert selector.accessibleName == role
        assert selector.toolTip
    row = petct.panel.rows._rows["CT"]
    assert row._word.text == "Will be resampled"
    assert "A copy is resampled" in row._word.toolTip
    assert "overlap" in row._word.toolTip
