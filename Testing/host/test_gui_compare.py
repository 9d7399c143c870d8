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


def shownNumbers(ui) -> bool:
    return any(ui.comparisonTable.item(0, column).text() for column in range(2, ui.comparisonTable.columnCount))


def test_numbersGoWithTheirPair(compared):
    ui = compared.ui
    ui.compareButton.click()
    assert fixtures.waitFor(lambda: ui.copyComparisonButton.enabled, 60), ui.comparisonLabel.text
    assert shownNumbers(ui)
    ui.comparisonTable.cellWidget(0, 1).setCurrentIndex(0)
    assert not shownNumbers(ui) and not ui.copyComparisonButton.enabled


def test_otherPairMeanwhile(compared):
    ui = compared.ui
    ui.compareButton.click()
    ui.comparisonTable.cellWidget(0, 1).setCurrentIndex(0)
    assert ui.comparisonLabel.isHidden() and not compared.panel.results.compare._comparison.isBusy


def test_otherReferenceMeanwhile(compared):
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "another one")
    other.GetSegmentation().AddEmptySegment("a", "Drawn")
    compared.ui.compareButton.click()
    compared.ui.referenceSelector.setCurrentNode(other)
    assert not compared.panel.results.compare._comparison.isBusy and fixtures.jobFolders() == []
    assert compared.ui.compareButton.enabled and not compared.ui.copyComparisonButton.enabled


@pytest.mark.parametrize("change", ["renamed", "aboveRemoved"])
def test_sameReferenceIsToldAgain(petct, change):
    """The selector announces the same node again: pairs that a person chose stay."""
    above, reference = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name) for name in ("above", "drawn"))
    for name in ("Lesion", "Another"):
        reference.GetSegmentation().AddEmptySegment(name, name)
    fixtures.segment(petct)
    petct.ui.referenceSelector.setCurrentNode(reference)
    petct.ui.comparisonTable.cellWidget(0, 1).setCurrentIndex(2)
    if change == "renamed":
        reference.SetName("drawn by another person")
    else:
        slicer.mrmlScene.RemoveNode(above)
    assert petct.ui.comparisonTable.cellWidget(0, 1).currentText == "Another"


def test_sceneClosedMeanwhile(compared):
    compared.ui.compareButton.click()
    slicer.mrmlScene.Clear(False)
    assert not compared.panel.results.compare._comparison.isBusy
    assert fixtures.jobFolders() == []
