"""The panel: states, choices, a run from click to table, closing the scene, saving choices."""

import shutil
import tempfile
import unittest
from pathlib import Path

import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.engine import Setup


class VeloxSegSlicerWidgetTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)
        fixtures.writeCards(self.folder, fixtures.brainCard(), fixtures.petctCard())
        self.widget = fixtures.openPanel(self.folder)
        self.panel, self.ui = self.widget.panel, self.widget.ui
        self.addCleanup(self.leave)

    def leave(self):
        self.widget.panel.sceneWillClose()
        slicer.modules.veloxsegslicer.widgetRepresentation().exit()
        # the preview of a batch may still be on its way out
        fixtures.waitFor(lambda: fixtures.jobFolders() == [])
        self.assertEqual(fixtures.jobFolders(), [])

    def chooseTask(self, taskId):
        index = self.ui.taskComboBox.findData(taskId)
        self.ui.taskComboBox.setCurrentIndex(index)
        self.panel._onTaskChosen(index)

    def addPetct(self):
        self.chooseTask("petct-lesions")
        images = (
            fixtures.sphereVolume("3: CT Thorax"),
            fixtures.sphereVolume("5: PET SUVbw", size=(12, 13, 14), spacing=(4, 4, 4)),
        )
        self.panel.assign()
        self.panel.update()
        return images

    def run_(self, scenario):
        self.widget.logic.segmenter.command = fixtures.fakeCommand(scenario)
        self.ui.segmentButton.click()
        self.assertTrue(fixtures.waitFor(lambda: not self.widget.logic.segmenter.isBusy))

    def rows(self):
        table = self.ui.segmentsTable
        return [table.item(row, 0).text() for row in range(table.rowCount)]

    def noticeButtons(self):
        buttons = (self.ui.noticeFirstButton, self.ui.noticeSecondButton)
        return [button.text for button in buttons if not button.isHidden()]

    def test_removedRowLetsGoOfTheScene(self):
        self.chooseTask("brain-regions")
        selector = self.panel.rows.selector("T1")
        self.assertIsNotNone(selector.mrmlScene())
        self.chooseTask("petct-lesions")
        self.assertIsNone(selector.mrmlScene())

    def test_withoutTorch(self):
        self.panel.engine = Setup.EngineState(Setup.MISSING, ("torch",))
        self.panel.update()
        self.assertFalse(self.ui.segmentButton.enabled)
        self.assertIn("not installed", self.ui.noticeLabel.text)
        self.assertIn("not installed (torch)", self.ui.engineStepLabel.text)
        self.assertFalse(self.ui.setupCollapsibleButton.collapsed)
        self.assertEqual(self.noticeButtons(), ["Install"])
        self.assertTrue(self.ui.taskComboBox.enabled)

    def test_damagedEngine(self):
        self.panel.engine = Setup.EngineState(Setup.DAMAGED, damaged=("torch",))
        self.panel.update()
        self.assertEqual(self.noticeButtons(), ["Repair"])
        self.assertEqual(self.ui.installButton.text, "Repair...")

    def test_withoutModels(self):
        fixtures.useModels(self.widget, self.folder / "empty")
        self.assertFalse(self.ui.segmentButton.enabled)
        self.assertIn("No model", self.ui.noticeLabel.text)
        fixtures.useModels(self.widget, self.folder)

    def test_emptyRowNamesWhatIsMissing(self):
        self.chooseTask("petct-lesions")
        self.assertFalse(self.ui.segmentButton.enabled)
        self.assertIn("CT image is missing", fixtures.toolTipOf(self.ui.segmentButton))
        self.assertIn("CT image is missing", self.ui.stageLabel.text)

    def test_demoBanner(self):
        self.chooseTask("petct-lesions")
        self.assertIn("Demo weights", self.ui.demoLabel.text)
        self.assertTrue(self.ui.modelComboBox.currentText.startswith("[demo] "))
        self.chooseTask("brain-regions")
        self.assertIn("Research weights", self.ui.demoLabel.text)
        self.assertIn("Not for clinical use", self.ui.demoLabel.text)
        self.assertTrue(self.ui.modelComboBox.currentText.startswith("[research] "))
        self.assertFalse(self.ui.demoLabel.isHidden())

    def test_rolesAreAssignedAndChoicesKept(self):
        ct, pet = self.addPetct()
        self.assertIs(self.panel.rows.selector("CT").currentNode(), ct)
        self.assertIs(self.panel.rows.selector("PET").currentNode(), pet)
        self.assertTrue(self.ui.segmentButton.enabled)
        other = fixtures.sphereVolume("other")
        self.panel.rows.selector("CT").setCurrentNode(other)
        self.ui.assignButton.click()
        self.assertIs(self.panel.images["CT"], other)

    def test_newImagesAreNoticed(self):
        fixtures.sphereVolume("T1 brain")
        self.assertTrue(fixtures.waitFor(lambda: self.panel.images["T1"] is not None, 5))
        self.assertTrue(self.ui.segmentButton.enabled)

    def test_doubledImageIsRefused(self):
        ct, _pet = self.addPetct()
        self.panel.rows.selector("PET").setCurrentNode(ct)
        self.assertFalse(self.ui.segmentButton.enabled)
        self.assertIn("Already used for CT", self.ui.stageLabel.text)

    def test_colorPictureIsRefused(self):
        picture = fixtures.colorPicture("IMG")
        self.panel.rows.selector("T1").setCurrentNode(picture)
        self.assertFalse(self.ui.segmentButton.enabled)
        self.assertIn("color photo", self.ui.noticeLabel.text)

    def test_fromClickToTable(self):
        self.addPetct()
        self.run_("succeed")
        self.assertRegex(self.ui.noticeLabel.text, r"^Done in \d+ s\. Lesions: 1")
        self.assertFalse(self.ui.resultsCollapsibleButton.collapsed)
        self.assertEqual(self.rows(), ["Lesion 1", "Total"])
        node = self.ui.resultSelector.currentNode()
        self.assertIn("[demo]", node.GetName())
        self.assertIn("[demo]", self.ui.resultFactsLabel.text)
        self.assertEqual(self.ui.segmentButton.text, "Segment")
        self.assertTrue(self.ui.segmentButton.enabled)

    def test_secondRunKeepsTheFirst(self):
        self.addPetct()
        self.run_("succeed")
        first = self.ui.resultSelector.currentNode()
        self.run_("succeed")
        second = self.ui.resultSelector.currentNode()
        self.assertIsNot(first, second)
        self.ui.resultSelector.setCurrentNode(first)
        self.assertEqual(self.rows(), ["Lesion 1", "Total"])

    def test_failures(self):
        self.addPetct()
        for scenario, part, buttons in (
            ("crash", "ended unexpectedly", ["Run on CPU", "Copy report"]),
            ("memory", "not enough for this model", ["Run on CPU", "Show log"]),
            ("wrongGrid", "was not loaded", ["Copy report"]),
            ("noTorch", "only partly installed", ["Repair"]),
        ):
            with self.subTest(scenario):
                self.run_(scenario)
                self.assertIn(part, self.ui.noticeLabel.text)
                self.assertEqual(self.noticeButtons(), buttons)
                self.assertTrue(self.ui.segmentButton.enabled)
                self.assertIsNone(self.ui.resultSelector.currentNode())

    def test_emptyResultIsExplained(self):
        self.addPetct()
        self.run_("empty")
        self.assertIn("above the threshold 0.50. The highest score was 0.34", self.ui.noticeLabel.text)
        self.assertEqual(self.noticeButtons(), ["Go there"])
        self.ui.noticeFirstButton.click()

    def test_cancelButton(self):
        self.addPetct()
        self.widget.logic.segmenter.command = fixtures.fakeCommand("slow")
        self.ui.segmentButton.click()
        self.assertEqual(self.ui.segmentButton.text, "Cancel")
        self.assertFalse(self.ui.taskComboBox.enabled)
        self.assertFalse(self.panel.rows.selector("CT").enabled)
        self.assertTrue(fixtures.waitFor(lambda: "Window" in self.ui.stageLabel.text))
        self.ui.segmentButton.click()
        self.assertEqual(self.ui.stageLabel.text, "Cancelling...")
        self.assertTrue(fixtures.waitFor(lambda: not self.widget.logic.segmenter.isBusy, 5))
        self.assertEqual(self.ui.noticeLabel.text, "Cancelled. Nothing was changed.")
        self.assertTrue(self.ui.taskComboBox.enabled)

    def test_sceneClosedDuringTheRun(self):
        self.addPetct()
        self.widget.logic.segmenter.command = fixtures.fakeCommand("paced")
        self.ui.segmentButton.click()
        self.assertTrue(fixtures.waitFor(lambda: "Window" in self.ui.stageLabel.text))
        slicer.mrmlScene.Clear(False)
        self.assertFalse(self.widget.logic.segmenter.isBusy)
        self.assertEqual(fixtures.jobFolders(), [])
        fixtures.waitFor(lambda: False, 2.0)
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])
        self.assertIn("because the scene was closed", self.ui.noticeLabel.text)
        self.assertEqual(self.ui.segmentButton.text, "Segment")

    def test_imageDeletedBeforeTheRun(self):
        ct, _pet = self.addPetct()
        slicer.mrmlScene.RemoveNode(ct)
        self.assertTrue(fixtures.waitFor(lambda: not self.ui.segmentButton.enabled, 5))
        self.assertIn("CT series is missing", fixtures.toolTipOf(self.ui.segmentButton))

    def test_choicesAreSavedWithTheScene(self):
        ct, _pet = self.addPetct()
        name = ct.GetName()
        self.ui.seedSpinBox.value = 77
        self.run_("succeed")
        result = self.ui.resultSelector.currentNode().GetName()
        path = str(self.folder / "scene.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear(False)
        self.assertIsNone(self.panel.images.get("CT"))
        slicer.util.loadScene(path)
        self.assertTrue(fixtures.waitFor(lambda: self.ui.resultSelector.currentNode() is not None, 5))
        self.assertEqual(self.ui.taskComboBox.currentText, "PET/CT lesions")
        self.assertEqual(self.panel.images["CT"].GetName(), name)
        self.assertEqual(self.ui.seedSpinBox.value, 77)
        self.assertEqual(self.ui.resultSelector.currentNode().GetName(), result)
        self.assertEqual(self.rows(), ["Lesion 1", "Total"])

    def test_tableHidesSegmentsAndCentersViews(self):
        fixtures.ownSliceView(self)
        fixtures.sphereVolume("T1", center=(10, 20, 30))
        self.panel.assign()
        self.run_("succeed")
        node = self.ui.resultSelector.currentNode()
        item = self.ui.segmentsTable.item(1, 0)
        item.setCheckState(qt.Qt.Unchecked)
        self.assertFalse(node.GetDisplayNode().GetSegmentVisibility(node.GetSegmentation().GetNthSegmentID(1)))
        self.ui.segmentsTable.selectRow(1)
        matrix = slicer.util.arrayFromVTKMatrix(slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").GetSliceToRAS())
        self.assertLess(abs(matrix[2, 3] - 30), 6)

    def test_leavingGoesOn(self):
        fixtures.readyEngine(self)
        self.addPetct()
        self.widget.logic.segmenter.command = fixtures.fakeCommand("paced")
        self.ui.segmentButton.click()
        slicer.modules.veloxsegslicer.widgetRepresentation().exit()
        self.assertTrue(fixtures.waitFor(lambda: not self.widget.logic.segmenter.isBusy))
        slicer.modules.veloxsegslicer.widgetRepresentation().enter()
        self.assertIn("Done", self.ui.noticeLabel.text)

    def test_deviceStaysWithTheComputer(self):
        self.ui.deviceComboBox.setCurrentIndex(self.ui.deviceComboBox.findData("cpu"))
        self.assertEqual(slicer.util.settingsValue("VeloxSegSlicer/Device", ""), "cpu")
        self.ui.deviceComboBox.setCurrentIndex(self.ui.deviceComboBox.findData("auto"))

    def test_copyReport(self):
        self.addPetct()
        self.run_("crash")
        self.ui.copyReportButton.click()
        text = qt.QApplication.clipboard().text()
        self.assertIn("CRASH", text)
        self.assertNotIn("CT Thorax", text)
