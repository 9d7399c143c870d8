"""A report is checked whole before anything of it is placed, and what cannot be placed whole is taken back."""

import copy
import json
import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.common import ResultAttributes, Shapes
from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.engine import Run
from VeloxSegSlicerLib.results import BackupNode, Lesions, ReportCheck, Results, Uncertainty
from VeloxSegSlicerLib.run.Segmenter import RunSettings

WRONG = (None, True, "text", "", -1, 1.5, 10**400, float("nan"), float("inf"), [], [1], {}, {"a": 1}, chr(0xD800), chr(0))


class VeloxSegSlicerReportCheckTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.petct = fixtures.loadCard(self.folder, fixtures.petctCard())
        self.photo = fixtures.loadCard(self.folder, fixtures.photoCard())
        self.images = {"CT": fixtures.sphereVolume("CT Thorax"), "PET": fixtures.sphereVolume("PET SUVbw")}

    def segment(self, card, images, scenario="succeed", outputId=None):
        recorder, segmenter = fixtures.Recorder(), fixtures.fakeSegmenter(scenario)
        self.addCleanup(segmenter.close)
        segmenter.start(card, images, RunSettings(outputId=outputId), recorder)
        self.assertTrue(fixtures.waitFor(lambda: recorder.result is not None))
        self.assertFalse(segmenter.isBusy)
        self.log = recorder.log
        return recorder.result

    def sceneNodes(self):
        return sorted(node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode"))

    def refuses(self, report, card):
        with self.assertRaises(VeloxSegError) as caught:
            ReportCheck.check(report, card)
        self.assertEqual(caught.exception.code, "RESULT_DAMAGED")
        return caught.exception.text

    def test_everyFieldIsLookedAt(self):
        report = self.segment(self.petct, self.images).report
        ReportCheck.check(report, self.petct)
        damaged = 0
        for path in paths(report):
            for wrong in WRONG:
                changed = with_(report, path, wrong)
                try:
                    ReportCheck.check(changed, self.petct)
                except VeloxSegError as error:
                    self.assertEqual(error.code, "RESULT_DAMAGED")
                    damaged += 1
                    continue
                # What passes can be placed.
                self.assertIsInstance(Lesions.fromReport(changed), list)
                json.dumps(changed, allow_nan=False).encode()
        self.assertGreater(damaged, 200)

    def test_everyNeededFieldIsNeeded(self):
        report = self.segment(self.petct, self.images).report
        for name in ("schema_version", "device", "seed", "seconds", "versions", "created", "notes", "segments",
                     "highest_probability", "lesions"):  # fmt: skip
            self.assertIn(name, self.refuses({key: value for key, value in report.items() if key != name}, self.petct))
        for report in (None, [], "text", 3, {}):
            self.refuses(report, self.petct)

    def test_labelsMustBeThoseOfTheCard(self):
        report = self.segment(self.petct, self.images).report
        for path in (("segments", 0, "value"), ("lesions", 0, "label")):
            for wrong in (0, 2, "1", 1.0, True):
                self.refuses(with_(report, path, wrong), self.petct)
        self.refuses(report | {"segments": report["segments"] * 2}, self.petct)
        self.refuses(report | {"model": {"weights_sha256": "0" * 64}}, self.petct)

    def test_noForeignWordIsInTheSentence(self):
        report = self.segment(self.petct, self.images).report
        self.assertNotIn("Miller", self.refuses(report | {"seconds": {"Miller": "Miller"}}, self.petct))

    def test_damagedReportEndsInASentence(self):
        nodes = self.sceneNodes()
        for scenario, code in (
            ("damagedReport", "RESULT_DAMAGED"),
            ("otherCounts", "RESULT_DAMAGED"),
            ("brokenResult", "RESULT_DAMAGED"),
            ("brokenEnd", "ENGINE_PROTOCOL"),
            ("nanEnd", "ENGINE_PROTOCOL"),
            ("cutEnd", "ENGINE_PROTOCOL"),
        ):
            with self.subTest(scenario):
                result = self.segment(self.petct, self.images, scenario)
                self.assertEqual((result.kind, result.error.code), (Run.FAILED, code))
                self.assertIsNone(result.segmentation)
                self.assertIsNone(result.loaded)
                self.assertEqual(self.sceneNodes(), nodes)
                self.assertEqual(fixtures.jobFolders(), [])

    def test_eventsOfWrongTypesGoToTheLog(self):
        result = self.segment(self.petct, self.images, "brokenEvents")
        self.assertEqual(result.kind, Run.DONE)
        self.assertEqual(sum("progress" in line for line in self.log), 6)

    def test_longLinesAreCut(self):
        result = self.segment(self.petct, self.images, "longLines")
        self.assertEqual(result.kind, Run.DONE)
        self.assertLess(max(map(len, self.log)), 5000)

    def test_failedPlacingIsTakenBack(self):
        photo = {"Photo": fixtures.softDisk("IMG 1")}
        for card, images, target in (
            (self.petct, self.images, (Lesions, "store")),
            (self.petct, self.images, (Results, "_sign")),
            (self.photo, photo, (Uncertainty, "addVolume")),
        ):
            nodes = self.sceneNodes()
            with self.subTest(target[1]), mock.patch.object(*target, side_effect=RuntimeError("made up")):
                result = self.segment(card, images)
                self.assertEqual((result.kind, result.error.code), (Run.FAILED, "UNEXPECTED"))
                self.assertIsNone(result.segmentation)
                self.assertEqual(self.sceneNodes(), nodes)

    def test_failedPlacingLeavesTheChosenSegmentation(self):
        chosen = self.segment(self.petct, self.images).segmentation
        self.segment(self.petct, self.images, outputId=chosen.GetID())
        chosen.SetName("My own work")
        chosen.GetSegmentation().GetNthSegment(0).SetName("Liver")
        before = {name: chosen.GetAttribute(name) for name in ResultAttributes.names(chosen)}
        nodes, previous = self.sceneNodes(), BackupNode.backupOf(chosen).GetID()
        with mock.patch.object(Lesions, "store", side_effect=RuntimeError("made up")):
            result = self.segment(self.petct, self.images, outputId=chosen.GetID())
        self.assertEqual(result.error.code, "UNEXPECTED")
        self.assertEqual(self.sceneNodes(), nodes)
        self.assertEqual(BackupNode.backupOf(chosen).GetID(), previous)
        self.assertEqual(chosen.GetName(), "My own work")
        self.assertEqual(chosen.GetSegmentation().GetNthSegment(0).GetName(), "Liver")
        self.assertEqual({name: chosen.GetAttribute(name) for name in ResultAttributes.names(chosen)}, before)

    def test_jsonThatIsNone(self):
        for text in ("", "{", "[" * 100_000, b"\xff\xfe", "9" * 5000):
            with self.assertRaises(ValueError):
                Shapes.load(text)


def paths(value, path=()):
    """The path to every value of a JSON content."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from paths(entry, (*path, key))


def with_(content, path, value):
    """A copy with another value at a path."""
    changed = copy.deepcopy(content)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed
