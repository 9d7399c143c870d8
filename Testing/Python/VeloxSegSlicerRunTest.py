"""Jobs with a fake runner: every ending, nothing left behind, nothing changed."""

import os
import shutil
import signal
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
import VeloxSegSlicerFixtures as fixtures
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from VeloxSegSlicerLib.common import Computer, VolumeFile
from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.common.Parameters import Quality
from VeloxSegSlicerLib.engine import Run, Setup
from VeloxSegSlicerLib.images.InputOptions import InputOptions
from VeloxSegSlicerLib.run.Job import Job
from VeloxSegSlicerLib.run.Segmenter import RunSettings


class VeloxSegSlicerRunTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = tempfile.mkdtemp(prefix="VeloxModels")
        self.addCleanup(shutil.rmtree, self.folder)
        self.card = fixtures.loadCard(self.folder, fixtures.brainCard())
        self.volume = fixtures.sphereVolume("T1 head")
        self.recorder = fixtures.Recorder()
        self.assertEqual(fixtures.jobFolders(), [])

    def tearDown(self):
        self.assertEqual(fixtures.jobFolders(), [], "a job folder was left behind")

    def start(self, scenario, settings=None):
        segmenter = self.segmenter(scenario)
        segmenter.start(self.card, {"T1": self.volume}, settings or RunSettings(), self.recorder)
        return segmenter

    def segmenter(self, scenario):
        segmenter = fixtures.fakeSegmenter(scenario)
        self.addCleanup(segmenter.close)
        return segmenter

    def again(self, segmenter, scenario):
        """One more run; with another scenario it is another program, which needs another process."""
        segmenter.command = fixtures.fakeCommand(scenario)
        self.recorder = fixtures.Recorder()
        segmenter.start(self.card, {"T1": self.volume}, RunSettings(), self.recorder)
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None), scenario)
        return self.recorder.result

    def finish(self, scenario, settings=None):
        self.start(scenario, settings)
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None), scenario)
        return self.recorder.result

    def sceneNodes(self):
        return sorted(node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode"))

    def assertFailed(self, scenario, code):
        nodes = self.sceneNodes()
        result = self.finish(scenario)
        self.assertEqual((result.kind, result.error.code), (Run.FAILED, code))
        self.assertTrue(result.error.text)
        self.assertIsNone(result.segmentation)
        self.assertEqual(self.sceneNodes(), nodes)
        return result

    def test_success(self):
        before = fixtures.checksum(self.volume)
        result = self.finish("succeed")
        self.assertEqual(result.kind, Run.DONE)
        self.assertEqual(result.segmentation.GetSegmentation().GetNumberOfSegments(), 2)
        self.assertEqual(self.recorder.percents, sorted(self.recorder.percents))
        self.assertEqual(self.recorder.device, "Fake device")
        self.assertEqual(fixtures.checksum(self.volume), before)

    def test_garbageGoesToTheLog(self):
        self.assertEqual(self.finish("garbage").kind, Run.DONE)
        self.assertIn("In two pieces", self.recorder.stages)
        for line in ("not json", "[1, 2]", "a warning of some library"):
            self.assertIn(line, self.recorder.log)

    def test_crash(self):
        result = self.assertFailed("crash", "CRASH")
        self.assertIn("unchanged", result.error.text)

    def test_exitCodeWithoutError(self):
        self.assertIn("code 3", self.assertFailed("quietExit", "CRASH").error.text)

    def test_outOfMemory(self):
        result = self.assertFailed("memory", "MEMORY_GPU")
        self.assertIn("memory of Fake device", result.error.text)
        self.assertIn("useCpu", result.error.actions)

    def test_notEvenTheComputersMemory(self):
        self.assertEqual(self.assertFailed("outOfMemory", "MEMORY_CPU").error.actions[0], "useRegion")

    def test_lostCard(self):
        self.assertIn("useCpu", self.assertFailed("deviceLost", "DEVICE_LOST").error.actions)

    def test_defectNamesTheStage(self):
        self.assertIn("'Writing the results'", self.assertFailed("defect", "UNEXPECTED").error.text)

    def test_shortMemoryEndsWithAResultAndNotes(self):
        result = self.finish("shortMemory")
        self.assertEqual(result.kind, Run.DONE)
        self.assertIsNotNone(result.segmentation)
        codes = ["RETRY_ONE_WINDOW", "RETRY_HALF", "RETRY_CPU"]
        self.assertEqual([note["code"] for note in result.notes], codes)
        self.assertEqual([line.partition(":")[0] for line in self.recorder.log if "RETRY" in line], codes)

    def test_resultAfterCancelIsNotImported(self):
        nodes = self.sceneNodes()
        segmenter = self.start("resultAfterCancel")
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.stages))
        segmenter.cancel()
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None))
        self.assertEqual(self.recorder.result.kind, Run.CANCELLED)
        self.assertEqual(self.sceneNodes(), nodes)

    def test_noTorch(self):
        self.assertFailed("noTorch", "ENGINE_DAMAGED")

    def test_noResult(self):
        self.assertFailed("noResult", "RESULT_MISSING")

    def test_wrongGrid(self):
        self.assertFailed("wrongGrid", "RESULT_GRID")

    def test_wrongLabel(self):
        self.assertFailed("wrongLabel", "RESULT_LABELS")

    def test_wrongChecksum(self):
        self.assertFailed("wrongChecksum", "RESULT_MISSING")

    def test_emptyResult(self):
        nodes = self.sceneNodes()
        result = self.finish("empty")
        self.assertEqual(result.kind, Run.DONE)
        self.assertIsNone(result.segmentation)
        self.assertAlmostEqual(result.report["highest_probability"]["value"], 0.34)
        self.assertEqual(self.sceneNodes(), nodes)

    def test_failedToStart(self):
        segmenter = self.segmenter("succeed")
        segmenter.command = ["/no/such/program"]
        segmenter.start(self.card, {"T1": self.volume}, RunSettings(), self.recorder)
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None))
        self.assertEqual(self.recorder.result.error.code, "START_FAILED")

    def test_startTimeout(self):
        segmenter = self.segmenter("silent")
        segmenter.timeouts.start = 300
        segmenter.start(self.card, {"T1": self.volume}, RunSettings(), self.recorder)
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None))
        self.assertEqual(self.recorder.result.error.code, "TIMEOUT_START")

    def test_cancel(self):
        nodes = self.sceneNodes()
        segmenter = self.start("slow")
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.percents))
        segmenter.cancel()
        self.assertTrue(segmenter.isCancelling)
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None, 3))
        self.assertEqual(self.recorder.result.kind, Run.CANCELLED)
        self.assertFalse(segmenter.isBusy)
        self.assertEqual(self.sceneNodes(), nodes)

    def test_cancelBeforeTheProcessSpeaks(self):
        segmenter = self.start("silent")
        segmenter.timeouts.terminate = segmenter.timeouts.kill = 300
        segmenter.abandon()
        segmenter = self.segmenter("silent")
        segmenter.timeouts.terminate = segmenter.timeouts.kill = 300
        segmenter.start(self.card, {"T1": self.volume}, RunSettings(), self.recorder)
        segmenter.cancel()
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None))
        self.assertEqual(self.recorder.result.kind, Run.CANCELLED)

    def test_cancelOfADeafProcessIsForced(self):
        segmenter = self.segmenter("deaf")
        segmenter.timeouts.terminate = segmenter.timeouts.kill = 300
        segmenter.start(self.card, {"T1": self.volume}, RunSettings(), self.recorder)
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.stages))
        segmenter.cancel()
        segmenter.cancel()
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None, 5))
        self.assertEqual(self.recorder.result.kind, Run.CANCELLED)

    def test_oneAtATime(self):
        segmenter = self.start("slow")
        with self.assertRaises(VeloxSegError) as caught:
            segmenter.start(self.card, {"T1": self.volume}, RunSettings(), self.recorder)
        self.assertEqual(caught.exception.code, "BUSY")
        segmenter.abandon()

    def test_abandonTellsNobody(self):
        segmenter = self.start("slow")
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.percents))
        self.assertTrue(segmenter.abandon())
        self.assertEqual(fixtures.jobFolders(), [])
        fixtures.waitFor(lambda: self.recorder.result is not None, 0.3)
        self.assertIsNone(self.recorder.result)
        self.assertFalse(segmenter.abandon())

    def test_secondRunFindsAWarmProcess(self):
        segmenter = self.start("succeed")
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None))
        pid = segmenter.engine.processId
        self.assertNotEqual(pid, 0)
        self.assertEqual(self.again(segmenter, "succeed").kind, Run.DONE)
        self.assertEqual(segmenter.engine.processId, pid)
        segmenter.close()
        self.assertEqual(segmenter.engine.processId, 0)

    def test_cancelKeepsTheProcessWarm(self):
        segmenter = self.start("slow")
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.percents))
        pid = segmenter.engine.processId
        segmenter.cancel()
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None, 3))
        self.assertEqual(segmenter.engine.processId, pid)

    def test_abandonedRunLeavesNoProcess(self):
        segmenter = self.start("slow")
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.percents))
        self.assertNotEqual(segmenter.engine.processId, 0)
        segmenter.abandon()
        self.assertEqual(segmenter.engine.processId, 0)

    def test_afterAFailureTheNextRunStartsFresh(self):
        segmenter = self.segmenter("crash")
        for scenario in ("crash", "memory", "quietExit", "noResult"):
            with self.subTest(scenario):
                self.assertEqual(self.again(segmenter, scenario).kind, Run.FAILED)
                self.assertEqual(segmenter.engine.processId, 0)
        self.assertEqual(self.again(segmenter, "succeed").kind, Run.DONE)

    def test_processThatDiedWhileIdleIsReplaced(self):
        segmenter = self.start("succeed")
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None))
        os.kill(segmenter.engine.processId, signal.SIGTERM)
        self.assertTrue(fixtures.waitFor(lambda: segmenter.engine.processId == 0))
        self.assertEqual(self.again(segmenter, "succeed").kind, Run.DONE)

    def test_idleProcessIsEnded(self):
        segmenter = self.segmenter("paced")
        segmenter.engine.idleMs = 500
        self.assertEqual(self.again(segmenter, "paced").kind, Run.DONE)
        pid = segmenter.engine.processId
        self.assertNotEqual(pid, 0)
        self.assertTrue(fixtures.waitFor(lambda: segmenter.engine.processId == 0, 3))
        self.assertEqual(segmenter.engine.processId, 0)
        self.assertEqual(self.again(segmenter, "succeed").kind, Run.DONE)

    def test_inputDeletedDuringTheRun(self):
        self.start("paced")
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.percents))
        slicer.mrmlScene.RemoveNode(self.volume)
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None))
        result = self.recorder.result
        self.assertTrue(result.isReferenceGone)
        self.assertEqual(result.segmentation.GetName(), "[research] T1 head - Test brain regions")
        self.assertIsNone(result.segmentation.GetNodeReference("referenceImageGeometryRef"))

    def test_unsuitableImageStartsNothing(self):
        self.volume = fixtures.colorPicture("IMG")
        with self.assertRaises(VeloxSegError) as caught:
            self.start("succeed")
        self.assertEqual(caught.exception.code, "ROLE_COLOR")

    def test_settingsReachTheRequest(self):
        import json

        job = Job()
        self.addCleanup(job.remove)
        way = RunSettings(quality=Quality.FAST).request(self.card)
        job.write(self.card, {"T1": self.volume}, "cpu", 77, way, False, InputOptions())
        request = json.loads(job.requestFile.read_text(encoding="utf-8"))
        self.assertEqual((request["device"], request["overlap"], request["seed"]), ("cpu", 0.25, 77))
        self.assertEqual(request["model"], str(self.card.folder))
        self.assertTrue((job.folder / request["inputs"]["T1"]).is_file())
        job.remove()

    def test_movedImageIsExportedWhereItIsSeen(self):
        import SimpleITK as sitk

        matrix = np.eye(4)
        matrix[:3, :3] = fixtures.OBLIQUE
        matrix[:3, 3] = (10, 20, 30)
        fixtures.moved(self.volume, matrix)
        before = fixtures.checksum(self.volume)
        job = Job()
        self.addCleanup(job.remove)
        job.write(self.card, {"T1": self.volume}, "cpu", 1, {}, False, InputOptions())
        image = sitk.ReadImage(str(job.folder / "input1.nrrd"))
        center = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
        np.testing.assert_allclose(center, (-10, -20, 30), atol=1e-6)
        self.assertEqual(fixtures.checksum(self.volume), before)
        job.remove()

    def test_keptFiles(self):
        segmenter = self.start("succeed", RunSettings(keepFiles=True))
        self.assertTrue(fixtures.waitFor(lambda: self.recorder.result is not None))
        self.assertTrue((segmenter.jobFolder / "request.json").is_file())
        shutil.rmtree(segmenter.jobFolder)

    def test_everyNumberTypeIsExported(self):
        for kind in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"):
            with self.subTest(kind):
                values = np.arange(-60 if kind[0] in "if" else 0, 60)[:60].reshape(3, 4, 5).astype(kind)
                if kind in ("int64", "uint64"):
                    values[0, 0, 0] = 2**40
                # Slicer's own function refuses 64 bits with a sign; files bring them all the same.
                node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", kind)
                image = vtk.vtkImageData()
                image.SetDimensions(5, 4, 3)
                image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
                node.SetAndObserveImageData(image)
                before = fixtures.checksum(node)
                path = Path(self.folder) / f"{kind}.nrrd"
                VolumeFile.write(node, path, "T1")
                self.assertEqual(fixtures.checksum(node), before)
                back = slicer.util.arrayFromVolume(VolumeFile.load(str(path), "back"))
                np.testing.assert_array_equal(back.astype(float), values.astype(float))

    def test_labelMapOfBytesCanBeSegmented(self):
        values = slicer.util.arrayFromVolume(self.volume).astype(np.int8)
        self.volume = slicer.util.addVolumeFromArray(values, name="T1 bytes")
        self.assertEqual(self.finish("succeed").kind, Run.DONE)

    def test_onlyAFullDiskIsCalledOne(self):
        path = Path(self.folder) / "no such folder" / "input1.nrrd"
        with self.assertRaises(VeloxSegError) as caught:
            VolumeFile.write(self.volume, path, "T1")
        self.assertEqual(caught.exception.code, "EXPORT_FAILED")
        self.assertNotIn("disk", caught.exception.text)
        path = Path(self.folder) / "taken"
        path.mkdir()
        with mock.patch.object(Computer, "freeDisk", return_value=0), self.assertRaises(VeloxSegError) as caught:
            VolumeFile.write(self.volume, path, "T1")
        self.assertEqual(caught.exception.code, "DISK_FULL")

    def test_fullDiskOrForbiddenFolder(self):
        job = Job()
        shutil.rmtree(job.folder)
        with self.assertRaises(VeloxSegError) as caught:
            job.write(self.card, {"T1": self.volume}, "cpu", 1, {}, False, InputOptions())
        self.assertEqual(caught.exception.code, "EXPORT_FAILED")

    def test_interpreterIsFound(self):
        program = Path(Setup.pythonProgram())
        self.assertTrue(program.is_file() or shutil.which(str(program)))
