"""The Compare tab with the engine's own process."""

import csv

import numpy as np
import pytest
import slicer
import VeloxSegSlicerFixtures as fixtures

CENTER = (0.0, 0.0, 0.0)


@pytest.fixture
def compared(petct):
    """A result and, on another grid, a reference of the same sphere with one lesion more."""
    fixtures.segment(petct)
    balls = ((CENTER, 15.0, 10.0), ((40.0, 0.0, 0.0), 4.0, 10.0))
    volume = fixtures.ballsVolume("drawn", balls, size=(110, 60, 50), spacing=(1.1, 1.3, 1.7))
    reference = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "By hand")
    reference.CreateDefaultDisplayNodes()
    reference.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentId = reference.GetSegmentation().AddEmptySegment("drawn", "Drawn")
    mask = (slicer.util.arrayFromVolume(volume) > 5).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, reference, segmentId, volume)
    petct.ui.referenceSelector.setCurrentNode(reference)
    return petct


def cells(widget) -> list[str]:
    table = widget.ui.comparisonTable
    return [table.item(0, column).text() if column != 1 else "" for column in range(table.columnCount)]


def test_comparison(compared, tmp_path):
    ui = compared.ui
    assert ui.comparisonTable.rowCount == 1
    assert ui.comparisonTable.cellWidget(0, 1).currentText == "Drawn"
    ui.compareButton.click()
    assert ui.comparisonLabel.text == "Comparing..."
    assert fixtures.waitFor(lambda: ui.copyComparisonButton.enabled, 60), ui.comparisonLabel.text
    numbers = cells(compared)
    # The fake runner cuts the falling sphere at half of its range: 15 mm, 14.1 ml, on voxels of 4 mm.
    assert float(numbers[2]) > 0.85
    assert float(numbers[3]) == pytest.approx(14.1, rel=0.1)
    assert float(numbers[5]) == pytest.approx(float(numbers[3]) - float(numbers[4]), abs=0.02)
    assert (numbers[9], numbers[10]) == ("1", "0")
    compared.panel.results.compare.saveCsv(tmp_path / "comparison.csv")
    with open(tmp_path / "comparison.csv", encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["segment"], row["reference_segment"], row["compared_with"]) == ("Lesion", "Drawn", "By hand")
    assert (row["dice"], row["missed"], row["level"]) == (numbers[2], "1", "demo")
    assert fixtures.jobFolders() == []


def test_nothingToCompareWith(compared):
    ui = compared.ui
    ui.comparisonTable.cellWidget(0, 1).setCurrentIndex(0)
    assert not ui.compareButton.enabled
    ui.referenceSelector.setCurrentNode(ui.resultSelector.currentNode())
    assert "another segmentation" in ui.comparisonLabel.text
    ui.referenceSelector.setCurrentNode(None)
    assert ui.comparisonLabel.text == "Choose a reference."


def test_sceneClosedMeanwhile(compared):
    compared.ui.compareButton.click()
    slicer.mrmlScene.Clear(False)
    assert not compared.panel.results.compare._comparison.isBusy
    assert fixtures.jobFolders() == []
