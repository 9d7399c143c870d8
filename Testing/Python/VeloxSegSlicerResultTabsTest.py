"""The tabs of a result: what a person does in them, and what they then show."""

import csv
import shutil
import tempfile
import time
import unittest
from pathlib import Path

import numpy as np
import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.common import ResultAttributes
from VeloxSegSlicerLib.results import BackupNode, Details, Highlight, Lesions

BALLS = (((-30, 0, 0), 15.0, 10.0), ((30, 10, 0), 10.0, 8.0), ((0, -30, 20), 6.0, 9.0))
INCLUDE, REVIEWED, VOLUME = 1, 2, 3


class VeloxSegSlicerResultTabsTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)
        fixtures.writeCards(self.folder, fixtures.brainCard(), fixtures.petctCard(), fixtures.photoCard())
        self.widget = fixtures.openPanel(self.folder)
        self.panel, self.ui = self.widget.panel, self.widget.ui
        self.results = self.panel.results
        self.addCleanup(self.leave)

    def leave(self):
        self.widget.panel.sceneWillClose()
        slicer.modules.veloxsegslicer.widgetRepresentation().exit()
        self.assertEqual(fixtures.jobFolders(), [])

    def chooseTask(self, taskId):
        index = self.ui.taskComboBox.findData(taskId)
        self.ui.taskComboBox.setCurrentIndex(index)
        self.panel._onTaskChosen(index)

    def run_(self, scenario="succeed"):
        self.widget.logic.segmenter.command = fixtures.fakeCommand(scenario)
        self.assertTrue(fixtures.waitFor(lambda: self.ui.segmentButton.enabled))
        self.ui.segmentButton.click()
        self.assertTrue(fixtures.waitFor(lambda: not self.widget.logic.segmenter.isBusy))
        return self.ui.resultSelector.currentNode()

    def addBalls(self, balls=BALLS):
        self.chooseTask("petct-lesions")
        fixtures.ballsVolume("3: CT Thorax", balls)
        fixtures.ballsVolume("5: PET SUVbw", balls)
        self.panel.assign()
        self.panel.update()

    def tabTitle(self):
        return self.ui.resultTabs.tabText(self.ui.resultTabs.indexOf(self.ui.lesionsTab))

    def test_tabIsNamedAfterWhatIsListed(self):
        self.chooseTask("brain-regions")
        fixtures.sphereVolume("T1 head")
        self.panel.assign()
        self.panel.update()
        self.run_()
        self.assertEqual(self.tabTitle(), "Regions")
        self.assertIn("Regions: 2, total", self.ui.noticeLabel.text)
        self.assertIn("region below", self.ui.nextLesionButton.toolTip)
        self.addBalls()
        self.run_()
        self.assertEqual(self.tabTitle(), "Lesions")
        self.assertIn("lesion below", self.ui.nextLesionButton.toolTip)
        self.chooseTask("photo")
        fixtures.softDisk("IMG 1")
        self.panel.assign()
        self.panel.update()
        self.run_()
        self.assertEqual(self.tabTitle(), "Measures")

    def test_damagedFactsOfASceneAreLeftOut(self):
        node = self.segmentBalls()
        for name in ("Lesions", "LabelNames", "InputNames", "Notes", "Accepted", "Sampling", "StageSeconds", "Versions",
                     "Composites", "Agreement", "CurrentThreshold", "MmPerPx", "PhotoPixels", "Kind"):  # fmt: skip
            former = ResultAttributes.fact(node, name)
            for damage in ("{", "[]", "3", "[[1]]", '[{"text": 1}]', "NaN", "{role.__class__}", '[["{role.__class__}", "x"]]'):
                with self.subTest(f"{name}={damage}"):
                    ResultAttributes.setFact(node, name, damage)
                    self.panel.update()
                    self.results.lesions.refresh()
                    self.results.details.show(node)
                    self.assertNotIn("<class", self.ui.detailsBrowser.toPlainText())
            ResultAttributes.setFact(node, name, former)
        self.results.lesions.refresh()
        self.assertIn("Lesions: 3", self.ui.totalsLabel.text)

    def segmentBalls(self):
        """A PET/CT result with three lesions, measured by the panel: the fake runner's own list is made up."""
        self.addBalls()
        node = self.run_()
        ResultAttributes.setFact(node, Lesions.FINGERPRINT, "")
        self.results.lesions.refresh()
        return node

    def column(self, number):
        table = self.ui.segmentsTable
        return [table.item(row, number).text() for row in range(table.rowCount)]

    def check(self, row, column, isChecked):
        self.ui.segmentsTable.item(row, column).setCheckState(qt.Qt.Checked if isChecked else qt.Qt.Unchecked)

    def sliceCenter(self):
        return slicer.util.arrayFromVTKMatrix(slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").GetSliceToRAS())[2, 3]

    def test_lesionTable(self):
        self.segmentBalls()
        self.assertEqual(self.column(0), ["Lesion 1", "Lesion 2", "Lesion 3", "Total"])
        self.assertEqual(self.ui.reviewedLabel.text, "0 of 3 reviewed")
        self.assertIn("Lesions: 3", self.ui.totalsLabel.text)
        self.assertIn("Largest distance between lesions", self.ui.totalsLabel.text)
        self.assertFalse(self.ui.uptakeLabel.isHidden())
        header = [self.ui.segmentsTable.horizontalHeaderItem(n) for n in range(self.ui.segmentsTable.columnCount)]
        self.assertTrue(all(item.toolTip() for item in header))

    def test_marksAndUndo(self):
        node = self.segmentBalls()
        total = float(self.column(VOLUME)[-1])
        self.check(0, INCLUDE, False)
        self.check(1, REVIEWED, True)
        self.assertEqual(self.ui.reviewedLabel.text, "1 of 3 reviewed")
        self.assertAlmostEqual(float(self.column(VOLUME)[-1]), total - float(self.column(VOLUME)[0]), delta=0.02)
        self.assertTrue(self.ui.removeExcludedButton.enabled)
        self.ui.removeExcludedButton.click()
        self.assertEqual(len(Lesions.lesionsOf(node)), 2)
        self.assertFalse(self.ui.removeExcludedButton.enabled)
        self.ui.undoButton.click()
        self.assertEqual(len(Lesions.lesionsOf(node)), 3)
        self.ui.undoButton.click()
        self.ui.undoButton.click()
        self.assertEqual(self.ui.reviewedLabel.text, "0 of 3 reviewed")
        self.assertEqual(float(self.column(VOLUME)[-1]), total)
        self.assertFalse(self.ui.undoButton.enabled)

    def test_namesFollowThePerson(self):
        node = self.segmentBalls()
        self.ui.segmentsTable.item(1, 0).setText("Bladder")
        self.assertEqual(Lesions.lesionsOf(node)[1].name, "Bladder")
        self.ui.separateSegmentsCheckBox.checked = True
        self.assertEqual(
            [node.GetSegmentation().GetNthSegment(n).GetName() for n in range(3)], ["Lesion 1", "Bladder", "Lesion 3"]
        )
        self.ui.segmentsTable.item(0, 0).setText("Primary")
        self.assertEqual(node.GetSegmentation().GetNthSegment(0).GetName(), "Primary")
        self.ui.separateSegmentsCheckBox.checked = False
        self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 1)
        self.assertEqual(self.column(0)[:2], ["Primary", "Bladder"])

    def test_previousAndNext(self):
        fixtures.ownSliceView(self)
        self.segmentBalls()
        centers = [lesion.positionRas[2] for lesion in Lesions.lesionsOf(self.ui.resultSelector.currentNode())]
        self.ui.segmentsTable.selectRow(0)
        for move, row in ((self.results.nextLesion, 1), (self.results.nextLesion, 2), (self.results.nextLesion, 0),
                          (self.results.previousLesion, 2)):  # fmt: skip
            move()
            self.assertEqual(self.ui.segmentsTable.currentRow(), row)
            self.assertLess(abs(self.sliceCenter() - centers[row]), 3)
        outline = slicer.mrmlScene.GetFirstNodeByName(Highlight.NAME)
        self.assertTrue(outline.GetHideFromEditors())
        self.assertFalse(outline.GetSaveWithScene())
        bounds = np.zeros(6)
        outline.GetRASBounds(bounds)
        np.testing.assert_allclose(bounds.reshape(3, 2).mean(axis=1), BALLS[2][0], atol=2)

    def test_overlayOnAndOff(self):
        display = self.segmentBalls().GetDisplayNode()
        self.results.toggleOverlay()
        self.assertFalse(display.GetVisibility())
        self.results.toggleOverlay()
        self.assertTrue(display.GetVisibility())

    def test_sensitivitySlider(self):
        node = self.segmentBalls()
        self.assertEqual(self.ui.sensitivitySlider.value, 0.5)
        self.assertIn("0.50", self.ui.sensitivityFactsLabel.text)
        started = time.process_time()
        self.ui.sensitivitySlider.value = 0.95
        self.assertLess(time.process_time() - started, 0.3)
        self.assertEqual(len(Lesions.pieces(node)), 1)
        self.assertEqual(len(self.column(0)), 4)
        self.assertTrue(fixtures.waitFor(lambda: self.column(0) == ["Lesion 1", "Total"], 5))
        self.assertTrue(self.ui.resetSensitivityButton.enabled)
        self.ui.undoButton.click()
        self.assertEqual((len(self.column(0)), self.ui.sensitivitySlider.value), (4, 0.5))
        self.assertFalse(self.ui.resetSensitivityButton.enabled)

    def test_smallPiecesShareARow(self):
        self.segmentBalls()
        self.ui.smallestLesionSpinBox.value = 2.0
        self.assertEqual(self.column(0), ["Lesion 1", "Lesion 2", "Smaller pieces (1)", "Total"])
        self.ui.smallestLesionSpinBox.value = 0.1

    def test_restorePrevious(self):
        node = self.segmentBalls()
        self.assertTrue(self.ui.restorePreviousButton.isHidden())
        self.ui.outputSelector.setCurrentNode(node)
        before = self.column(VOLUME)
        self.assertIs(self.run_(), node)
        self.assertIsNotNone(BackupNode.backupOf(node))
        self.assertFalse(self.ui.restorePreviousButton.isHidden())
        self.ui.restorePreviousButton.click()
        self.assertEqual(self.column(VOLUME), before)
        self.ui.undoButton.click()
        self.assertEqual(self.column(0), ["Lesion 1", "Total"])
        self.ui.outputSelector.setCurrentNode(None)

    def test_foreignSegmentationCanBeRestoredToo(self):
        foreign = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "By hand")
        foreign.CreateDefaultDisplayNodes()
        foreign.GetSegmentation().AddEmptySegment("Mine", "Mine")
        self.addBalls()
        self.ui.outputSelector.setCurrentNode(foreign)
        self.assertIs(self.run_(), foreign)
        self.ui.restorePreviousButton.click()
        self.assertEqual(self.column(0), ["Mine", "Total"])
        self.ui.restorePreviousButton.click()
        self.assertEqual(self.column(0), ["Lesion 1", "Total"])
        self.ui.outputSelector.setCurrentNode(None)

    def test_emptyResultWithAnotherThreshold(self):
        self.addBalls()
        self.assertIsNone(self.run_("empty"))
        self.assertIn("highest score was 0.34", self.ui.emptyLabel.text)
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])
        self.assertEqual(self.ui.lowerSensitivityButton.text, "Lower sensitivity threshold to 0.30")
        self.ui.lowerSensitivityButton.click()
        # Values of 1 to 10 scaled to 0.34: only the ball of 10 and that of 9 reach 0.30.
        self.assertEqual(self.column(0), ["Lesion 1", "Lesion 2", "Total"])
        self.assertEqual(self.ui.sensitivitySlider.value, 0.3)
        self.assertTrue(self.ui.emptyFrame.isHidden())

    def test_emptySegmentIsKeptOnlyWhenWanted(self):
        self.addBalls()
        self.run_("empty")
        self.ui.keepEmptyButton.click()
        node = self.ui.resultSelector.currentNode()
        self.assertEqual(Lesions.lesionsOf(node), [])
        self.assertFalse(self.ui.segmentsTable.isVisible())

    def test_copyTableNodeAndCsv(self):
        self.segmentBalls()
        self.check(2, INCLUDE, False)
        self.ui.copyTableButton.click()
        lines = qt.QApplication.clipboard().text().split("\n")
        self.assertEqual(lines[0].split("\t")[:4], ["Name", "Include", "Reviewed", "MTV (ml)"])
        self.assertEqual(len(lines), 5)
        self.ui.tableNodeButton.click()
        self.ui.tableNodeButton.click()
        (node,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
        self.assertEqual((node.GetNumberOfRows(), node.GetCellText(2, 1)), (4, "no"))
        path = self.folder / "table.csv"
        self.results.lesions.saveCsv(path)
        with open(path, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        self.assertEqual([row["included"] for row in rows], ["yes", "yes", "no", ""])
        self.assertEqual({(row["threshold"], row["quality"], row["level"]) for row in rows}, {("0.5", "BALANCED", "demo")})

    def test_photo(self):
        fixtures.ownSliceView(self)
        self.chooseTask("photo")
        photo = fixtures.softDisk("IMG_2041")
        self.panel.assign()
        self.panel.update()
        node = self.run_()
        self.assertRegex(self.ui.noticeLabel.text, r"Skin lesion: \d+ px, \d+\.\d % of the photo\. Agreement between runs 94 %")
        red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
        self.assertEqual(red.GetBackgroundVolumeID(), photo.GetID())
        self.assertIn("Places to review: 1", self.ui.agreementLabel.text)
        self.assertIn("Agreement between runs: 94 %", Details.text(node))
        self.assertIn("a bright map is a better sign of a poor mask", self.ui.agreementLabel.text)
        volume = node.GetNodeReference(ResultAttributes.UNCERTAINTY)
        self.ui.overlayCheckBox.checked = True
        self.assertEqual((red.GetForegroundVolumeID(), red.GetForegroundOpacity()), (volume.GetID(), 0.5))
        self.ui.overlayOpacitySlider.value = 0.8
        self.assertAlmostEqual(red.GetForegroundOpacity(), 0.8)
        self.ui.overlayCheckBox.checked = False
        self.assertIsNone(red.GetForegroundVolumeID())
        self.ui.placesList.setCurrentRow(0)
        self.ui.restoreViewsButton.click()
        self.assertNotEqual(red.GetBackgroundVolumeID(), photo.GetID())

    def test_photoHasNoMillimeters(self):
        """Slicer takes a millimeter for the side of its pixels, and nobody has measured that."""
        self.chooseTask("photo")
        fixtures.softDisk("IMG_2041")
        self.panel.assign()
        self.panel.update()
        self.assertEqual(self.ui.geometryTable.item(0, 2).text(), "-")
        for label in slicer.util.findChildren(self.ui.rolesFrame, className="QLabel"):
            self.assertNotIn("mm", label.accessibleDescription)

    def test_photoIsShownInOneView(self):
        manager = slicer.app.layoutManager()
        if manager is None:
            self.skipTest("Slicer runs without a main window and so without a layout of views")
        self.chooseTask("photo")
        fixtures.softDisk("IMG_2041")
        self.panel.assign()
        self.panel.update()
        layout = manager.layout
        self.run_()
        self.assertEqual(manager.layout, slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        self.ui.restoreViewsButton.click()
        self.assertEqual(manager.layout, layout)

    def test_uncertaintyIsExplainedWhereThereIsNone(self):
        self.segmentBalls()
        self.assertIn("computed once", self.ui.agreementLabel.text)
        self.assertNotIn("photos", self.ui.agreementLabel.text)
        self.assertTrue(self.ui.overlayCheckBox.isHidden())
        self.panel.parameters.result.SetAttribute("VeloxSeg.Kind", "photo")
        self.panel.results.uncertainty.show(self.panel.parameters.result)
        self.assertIn("look at Sensitivity first", self.ui.agreementLabel.text)

    def test_severalLabelsHaveNoSlider(self):
        fixtures.sphereVolume("T1")
        self.panel.assign()
        self.run_()
        self.assertTrue(self.ui.sensitivitySlider.isHidden())
        self.assertIn("several labels", self.ui.sensitivityFactsLabel.text)

    def test_detailsAndCopy(self):
        self.segmentBalls()
        self.assertIn("Fake device", self.ui.detailsBrowser.plainText)
        self.ui.copyDetailsButton.click()
        self.assertIn("Weights (SHA-256): 0123456789ab", qt.QApplication.clipboard().text())

    def test_detailsSayWhatWasAccepted(self):
        node = self.segmentBalls()
        node.SetAttribute("VeloxSeg.Accepted", '[["ROLE_UNIT", "PET"]]')
        self.assertIn("PET is no SUV and was scaled so that the body's mean is 1", Details.text(node))

    def test_demoMarkOfAReplacedSegmentation(self):
        foreign = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "By hand")
        foreign.CreateDefaultDisplayNodes()
        self.addBalls()
        self.ui.outputSelector.setCurrentNode(foreign)
        self.assertEqual(self.run_().GetName(), "[demo] By hand")
        self.ui.outputSelector.setCurrentNode(None)

    def test_modulesOfTheCore(self):
        """Edit and DICOM export hand over to Slicer's modules; without them the buttons are off."""
        node = self.segmentBalls()
        for button, module in ((self.ui.editButton, "SegmentEditor"), (self.ui.exportDicomButton, "DICOM")):
            self.assertEqual(button.enabled, module in slicer.app.moduleManager().modulesNames())
        self.assertEqual(node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()), self.panel.images["PET"])

    def test_sceneClosed(self):
        self.segmentBalls()
        slicer.mrmlScene.Clear(False)
        self.assertIsNone(self.results.lesions.content)
        self.assertTrue(self.ui.resultTabs.isHidden())
