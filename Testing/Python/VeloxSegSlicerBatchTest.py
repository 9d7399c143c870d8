"""The Batch section with an engine that only plays its part: preview, run, pause, stop, going on, loading."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

import ctk
import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.common import Geometry
from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.common.Parameters import Quality
from VeloxSegSlicerLib.run import BatchView, CaseLoader, Studies
from VeloxSegSlicerLib.run.Segmenter import RunSettings

FAKE_BATCH = Path(__file__).resolve().parent / "VeloxSegSlicerFakeBatch.py"


class VeloxSegSlicerBatchTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        qt.QSettings().remove("VeloxSegSlicer/Batch")
        qt.QSettings().remove("VeloxSegSlicer/BatchSeconds")
        self.folder = Path(tempfile.mkdtemp(prefix="Velox"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.card = fixtures.loadCard(self.folder / "models", fixtures.brainCard())
        self.loaded, self.log = [], []
        self.quality = Quality.BALANCED
        self.section = ctk.ctkCollapsibleButton()
        self.section.setLayout(qt.QVBoxLayout())
        self.section.collapsed = True
        self.view = BatchView.BatchView(
            self.section,
            fixtures.modulePath(),
            lambda: RunSettings(quality=self.quality),
            self.log.append,
            lambda *loaded: self.loaded.append(loaded),
        )
        self.view.batch.command = [fixtures.Setup.pythonProgram(), str(FAKE_BATCH)]
        self.addCleanup(self.view.abandon)
        self.ui = self.view.ui
        self.view.show(self.card)

    def cases(self, *names):
        for name in names:
            (self.folder / "in" / name).mkdir(parents=True)
            if name != "empty":
                (self.folder / "in" / name / "t1.nrrd").write_text("", encoding="utf-8")
        self.ui.sourcePathEdit.currentPath = str(self.folder / "in")
        self.ui.outputPathEdit.currentPath = str(self.folder / "out")
        self.preview()

    def preview(self):
        self.view.preview()
        self.assertTrue(fixtures.waitFor(lambda: not self.view.batch.isBusy))

    def run_(self):
        self.ui.startBatchButton.click()
        self.assertTrue(fixtures.waitFor(lambda: not self.view.isBusy))

    def states(self):
        return {case["name"]: case["state"] for case in self.view._table.cases}

    def test_caseThatCannotBeRead(self):
        """Slicer raises for what it cannot read; the section says which image it is."""
        path = self.folder / "T1.nrrd"
        path.write_bytes(b"NRRD0004\n")
        with self.assertRaises(VeloxSegError) as caught:
            CaseLoader.loadImages("case 1", {"T1": str(path)})
        self.assertEqual(caught.exception.code, "IMAGE_UNREADABLE")
        self.assertIn("'case 1 T1'", caught.exception.text)

    def test_previewCountsAndEstimates(self):
        self.cases("a", "b", "empty")
        self.assertEqual(self.ui.countsLabel.text, "2 ready, 1 incomplete")
        self.assertEqual(self.ui.casesTable.item(0, 0).text(), "a")
        self.assertEqual(self.ui.casesTable.item(0, 3).text(), "t1.nrrd")
        self.assertEqual(self.ui.casesTable.item(0, 4).text(), "4 x 5 x 6")
        self.assertEqual(self.ui.estimateLabel.text, "About 60 s on this computer. At most 2 MB of disk, 10,000 MB are free.")
        self.assertFalse((self.folder / "out").exists())
        self.assertTrue(self.ui.startBatchButton.enabled)

    def test_startSaysWhatIsMissing(self):
        for step in (
            lambda: "Choose the folder or list",
            lambda: setattr(self.ui.sourcePathEdit, "currentPath", str(self.folder)) or "Choose a folder for the results",
            lambda: setattr(self.ui.outputPathEdit, "currentPath", str(self.folder / "out")) or "No cases",
        ):
            words = step()
            self.assertFalse(self.ui.startBatchButton.enabled)
            self.assertIn(words, fixtures.toolTipOf(self.ui.startBatchButton))

    def test_tenCasesOneBroken(self):
        names = [f"case{number}" for number in range(9)]
        self.cases(*names, "bad")
        texts = []
        self.ui.startBatchButton.click()
        self.assertFalse(self.ui.sourcePathEdit.enabled)
        self.assertTrue(fixtures.waitFor(lambda: texts.append(self.ui.batchStatusLabel.text) or not self.view.isBusy))
        self.assertIn("Case 3 of 10 - about 2 min left", texts)
        self.assertEqual(self.ui.batchStatusLabel.text, "9 done, 1 failed, 0 skipped.")
        self.assertEqual(self.ui.countsLabel.text, "9 done, 1 failed")
        self.assertEqual(self.loaded, [])
        self.ui.showFailuresButton.click()
        hidden = [self.ui.casesTable.isRowHidden(row) for row in range(10)]
        self.assertEqual(hidden.count(False), 1)
        self.assertEqual(self.view._table.case(hidden.index(False))["text"], "The T1 image cannot be read.")
        self.ui.retryFailuresButton.click()
        self.assertTrue(fixtures.waitFor(lambda: not self.view.isBusy))
        self.assertEqual(self.ui.batchStatusLabel.text, "0 done, 1 failed, 9 skipped.")

    def test_settingsFileAndCommand(self):
        self.cases("a")
        self.ui.probabilityCheckBox.checked = True
        self.view._choices._patternEdits["T1"].text = "*_t1.*"
        self.preview()
        self.ui.copyCommandButton.click()
        path = self.folder / "out" / "settings.json"
        self.assertEqual(qt.QApplication.clipboard().text(), f'veloxseg batch "{path}"')
        content = json.loads(path.read_text(encoding="utf-8"))
        self.assertEqual(content["source"], {"kind": "folders", "path": str(self.folder / "in"), "patterns": {"T1": "*_t1.*"}})
        self.assertEqual((content["format"], content["outputs"], content["seed"]), ("seg.nrrd", ["probability"], 1234))
        self.assertEqual(content["model"], str(self.card.folder))

    def test_pauseAndGoOn(self):
        self.cases("a", "b", "c")
        self.ui.startBatchButton.click()
        self.assertTrue(fixtures.waitFor(lambda: "Case" in self.ui.batchStatusLabel.text))
        self.ui.pauseBatchButton.click()
        self.assertTrue(fixtures.waitFor(lambda: not self.view.isBusy))
        self.assertIn("Paused", self.ui.batchStatusLabel.text)
        self.assertIn("done", self.states().values())
        self.run_()
        self.assertIn("0 failed", self.ui.batchStatusLabel.text)
        self.assertEqual({"done", "skipped"} | set(self.states().values()), {"done", "skipped"})
        self.assertFalse((self.folder / "out" / "pause").exists())

    def test_stopNow(self):
        self.cases("a", "slow")
        self.ui.startBatchButton.click()
        self.assertTrue(fixtures.waitFor(lambda: "Case 2" in self.ui.batchStatusLabel.text))
        self.ui.stopBatchButton.click()
        self.assertTrue(fixtures.waitFor(lambda: not self.view.isBusy))
        self.assertIn("Stopped", self.ui.batchStatusLabel.text)
        self.assertEqual(self.states(), {"a": "done", "slow": "ready"})
        self.assertEqual(sorted(path.name for path in (self.folder / "out").iterdir()), ["a", "settings.json"])

    def test_batchSurvivesAClosedScene(self):
        self.cases("a", "b")
        self.ui.startBatchButton.click()
        slicer.mrmlScene.Clear(False)
        self.view.sceneWillClose()
        self.view.show(None)
        self.assertTrue(fixtures.waitFor(lambda: not self.view.isBusy))
        self.assertEqual(self.ui.batchStatusLabel.text, "2 done, 0 failed, 0 skipped.")

    def test_folderThatCannotBeWritten(self):
        self.cases("a")
        (self.folder / "file").write_text("", encoding="utf-8")
        self.ui.outputPathEdit.currentPath = str(self.folder / "file" / "out")
        self.preview()
        self.ui.startBatchButton.click()
        self.assertIn("Nothing can be written", self.ui.batchStatusLabel.text)

    def test_engineRefuses(self):
        self.view.batch.command = [fixtures.Setup.pythonProgram(), "-c", "import sys; sys.exit(4)"]
        self.cases("a")
        self.assertIn("ended unexpectedly", self.ui.batchStatusLabel.text)
        self.assertFalse(self.ui.startBatchButton.enabled)

    def test_otherModelForgetsTheCases(self):
        self.cases("a")
        self.view.show(fixtures.loadCard(self.folder / "more", fixtures.petctCard()))
        self.assertEqual(self.view._table.cases, [])
        self.assertEqual(list(self.view._choices._patternEdits), ["CT", "PET"])

    def test_otherQualityForgetsTheCases(self):
        """What is finished with one quality is not with another."""
        self.cases("a")
        self.assertFalse(self.ui.uncertaintyCheckBox.enabled)
        self.quality = Quality.THOROUGH
        self.view.show(self.card)
        self.assertEqual(self.view._table.cases, [])
        self.assertIn("Thorough", self.ui.batchModelLabel.text)
        self.assertTrue(self.ui.uncertaintyCheckBox.enabled)
        self.assertEqual(self.view._plan().content()["mirrors"], True)

    def test_previewLeavesNoFolder(self):
        self.cases("a")
        self.view.batch.command = [fixtures.Setup.pythonProgram(), "-c", "import time; time.sleep(60)"]
        self.view.preview()
        self.view.abandon()
        self.assertEqual(fixtures.jobFolders(), [])

    # Studies in the scene

    def study(self, name, *images):
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        item = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), name)
        for image in images:
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(image), item)

    def chooseStudies(self):
        self.ui.sourceComboBox.setCurrentIndex(self.ui.sourceComboBox.findData("studies"))
        self.ui.outputPathEdit.currentPath = str(self.folder / "out")
        self.preview()

    def test_studiesAreCases(self):
        self.study("2024: first/visit", fixtures.sphereVolume("T1 a"))
        self.study("second", fixtures.sphereVolume("T1 b"), fixtures.sphereVolume("T1 c"))
        self.study("second", fixtures.sphereVolume("t1"))
        self.study("picture", fixtures.colorPicture("photo"))
        self.ui.probabilityCheckBox.checked = True
        self.chooseStudies()
        self.assertEqual(list(self.states()), ["2024_ first_visit", "second", "second-2", "picture"])
        self.assertEqual(self.states()["picture"], "incomplete")
        self.assertTrue(self.ui.sourcePathEdit.isHidden())
        before = [node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")]
        self.run_()
        self.assertEqual(self.ui.batchStatusLabel.text, "3 done, 0 failed, 0 skipped.")
        content = json.loads((self.folder / "out" / "settings.json").read_text(encoding="utf-8"))
        self.assertEqual((content["source"]["kind"], content["outputs"]), ("list", ["probability"]))
        self.assertEqual([node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")], before)
        self.assertEqual(fixtures.jobFolders(), [])

    def test_exportKeepsTheGrid(self):
        node = fixtures.sphereVolume("T1", axes=fixtures.OBLIQUE)
        before = fixtures.checksum(node)
        export = Studies.Export(Studies.inScene(self.card), self.card, self.folder)
        while export.step():
            pass
        self.assertEqual(export.listFile.read_text(encoding="utf-8"), "case,T1\ncase,1-T1.nrrd\n")
        again = slicer.util.loadVolume(str(self.folder / "1-T1.nrrd"), {})
        self.assertEqual(fixtures.checksum(node), before)
        self.assertTrue(Geometry.isSameGrid(Geometry.worldGrid(again), Geometry.worldGrid(node)))
        self.assertEqual(slicer.util.arrayFromVolume(again).tobytes(), slicer.util.arrayFromVolume(node).tobytes())

    def test_closedSceneEndsTheExport(self):
        self.study("a", fixtures.sphereVolume("T1 a"))
        self.chooseStudies()
        self.ui.startBatchButton.click()
        slicer.mrmlScene.Clear(False)
        self.view.sceneWillClose()
        self.assertFalse(self.view.isBusy)
        self.assertEqual(fixtures.jobFolders(), [])

    # Loading

    def writeImage(self, node, name):
        slicer.util.exportNode(node, str(self.folder / name), {"useCompression": 0})

    def test_doubleClickLoadsImageAndResult(self):
        image = fixtures.sphereVolume("image", axes=fixtures.FLIPPED)
        label = slicer.util.addVolumeFromArray((slicer.util.arrayFromVolume(image) > 50).astype("uint8"))
        label.CopyOrientation(image)
        self.cases("a")
        self.writeImage(image, "in/a/t1.nrrd")
        self.writeImage(label, "mask.nrrd")
        self.run_()
        slicer.mrmlScene.Clear(False)
        self.view.loadCase(0)
        ((_card, images, segmentation),) = self.loaded
        self.assertEqual(images["T1"].GetName(), "a T1")
        self.assertEqual(segmentation.GetSegmentation().GetNthSegment(0).GetName(), "Frontal lobe")
        self.assertEqual(segmentation.GetName(), "[research] a T1 - Test brain regions")
        self.assertEqual(fixtures.jobFolders(), [])

    def test_loadingACaseWhoseImageIsGone(self):
        self.cases("a")
        self.run_()
        shutil.rmtree(self.folder / "in")
        self.view.loadCase(0)
        self.assertIn("not there any more", self.ui.batchStatusLabel.text)
        self.assertEqual(self.loaded, [])
