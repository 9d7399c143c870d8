"""What a result looks like in the scene: place, names, colors, terminology, provenance, volumes, CSV."""

import csv
import json
import shutil
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import VeloxSegSlicerFixtures as fixtures
import vtk

from VeloxSegSlicerLib.common import ResultAttributes
from VeloxSegSlicerLib.engine import Run
from VeloxSegSlicerLib.results import CsvFile, Lesions, ResultTable, Statistics, Views
from VeloxSegSlicerLib.run.Segmenter import RunSettings


class VeloxSegSlicerResultsTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.brain = fixtures.loadCard(self.folder, fixtures.brainCard())
        self.petct = fixtures.loadCard(self.folder, fixtures.petctCard())

    def segment(self, card, images, scenario="succeed"):
        recorder = fixtures.Recorder()
        segmenter = fixtures.fakeSegmenter(scenario)
        self.addCleanup(segmenter.close)
        segmenter.start(card, images, RunSettings(), recorder)
        self.assertTrue(fixtures.waitFor(lambda: recorder.result is not None))
        self.assertEqual(recorder.result.kind, Run.DONE, recorder.result.error)
        return recorder.result

    def segmentBrain(self, name="T1 head", **options):
        volume = fixtures.sphereVolume(name, **options)
        return volume, self.segment(self.brain, {"T1": volume}).segmentation

    def segmentPetct(self):
        images = {
            "CT": fixtures.sphereVolume("CT Thorax"),
            "PET": fixtures.sphereVolume("PET SUVbw", size=(12, 13, 14), spacing=(4, 4, 4)),
        }
        return images, self.segment(self.petct, images)

    def assertOverlays(self, segmentation, volume):
        """Every voxel of the volume has the label that the fake runner gives to its value."""
        values = slicer.util.arrayFromVolume(volume).astype(float)
        middle = (values.min() + values.max()) / 2
        bands = np.ceil((values - middle) / (values.max() - middle) * 2).clip(0, 2)
        for band, segmentId in enumerate(segmentation.GetSegmentation().GetSegmentIDs(), start=1):
            found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentId, volume)
            self.assertGreater(found.sum(), 0)
            np.testing.assert_array_equal(found.astype(bool), bands == band)

    def test_overlayOnAnyGrid(self):
        for name, options in (
            ("straight", {}),
            ("flipped", {"axes": fixtures.FLIPPED}),
            ("oblique", {"axes": fixtures.OBLIQUE}),
            ("left-handed", {"axes": np.diag([1.0, -1.0, 1.0])}),
            ("anisotropic", {"spacing": (1.0, 1.5, 5.0), "size": (40, 30, 11)}),
            ("far away", {"center": (120.0, -80.0, 900.0)}),
        ):
            with self.subTest(name):
                volume, segmentation = self.segmentBrain(name, **options)
                self.assertOverlays(segmentation, volume)

    def test_movedReference(self):
        volume = fixtures.sphereVolume("T1")
        matrix = np.eye(4)
        matrix[:3, :3] = fixtures.OBLIQUE
        matrix[:3, 3] = (40, 0, -10)
        fixtures.moved(volume, matrix)
        segmentation = self.segment(self.brain, {"T1": volume}).segmentation
        bounds = np.zeros(6)
        segmentation.GetRASBounds(bounds)
        np.testing.assert_allclose(bounds.reshape(3, 2).mean(axis=1), matrix[:3, 3], atol=1.0)

    def test_namesColorsTerminologyTags(self):
        _volume, node = self.segmentBrain()
        segmentation = node.GetSegmentation()
        self.assertEqual([segmentation.GetNthSegment(n).GetName() for n in range(2)], ["Frontal lobe", "Insula"])
        segment = segmentation.GetNthSegment(1)
        np.testing.assert_allclose(segment.GetColor(), np.array([60, 120, 220]) / 255)
        self.assertEqual(segment.GetTerminology(), self.brain.labels[1].terminology_entry)
        self.assertEqual(self.tag(segment, "DICOM.SegmentAlgorithmType"), "AUTOMATIC")
        self.assertEqual(self.tag(segment, "DICOM.SegmentAlgorithmName"), "[research] Test brain regions 1.2.0")
        self.assertAlmostEqual(node.GetDisplayNode().GetOpacity2DFill(), 0.4)
        self.assertTrue(node.GetDisplayNode().GetVisibility2DFill())

    def tag(self, segment, name):
        reference = vtk.reference("")
        self.assertTrue(segment.GetTag(name, reference))
        return str(reference)

    def test_nameCountsUp(self):
        volume = fixtures.sphereVolume("T1 head")
        names = [self.segment(self.brain, {"T1": volume}).segmentation.GetName() for _round in range(3)]
        self.assertEqual(
            names,
            [
                "[research] T1 head - Test brain regions",
                "[research] T1 head - Test brain regions 2",
                "[research] T1 head - Test brain regions 3",
            ],
        )

    def test_demoIsInTheName(self):
        _images, result = self.segmentPetct()
        self.assertEqual(result.segmentation.GetName(), "[demo] PET SUVbw - Test PET/CT lesions")

    def test_previousResultStaysAsItIs(self):
        volume, first = self.segmentBrain()

        def state():
            return [
                (segmentId, slicer.util.arrayFromSegmentBinaryLabelmap(first, segmentId, volume).tobytes())
                for segmentId in first.GetSegmentation().GetSegmentIDs()
            ]

        before = state()
        second = self.segment(self.brain, {"T1": volume}).segmentation
        self.assertIsNot(first, second)
        self.assertEqual(state(), before)

    def test_inputsStayAsTheyAre(self):
        images = {"CT": fixtures.sphereVolume("CT Thorax"), "PET": fixtures.sphereVolume("PET SUVbw")}
        before = [fixtures.checksum(node) for node in images.values()]
        self.segment(self.petct, images)
        self.assertEqual([fixtures.checksum(node) for node in images.values()], before)

    def test_placedBesideTheReference(self):
        volume = fixtures.sphereVolume("T1")
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
        segmentation = self.segment(self.brain, {"T1": volume}).segmentation
        self.assertEqual(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(segmentation)), study)
        self.assertIs(segmentation.GetNodeReference("referenceImageGeometryRef"), volume)

    def test_provenanceTerminologyColorsSurviveSaveAndReload(self):
        _volume, node = self.segmentBrain()
        name, color = node.GetName(), node.GetSegmentation().GetNthSegment(0).GetColor()
        path = str(self.folder / "scene.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear(False)
        slicer.util.loadScene(path)
        node = slicer.util.getFirstNodeByClassByName("vtkMRMLSegmentationNode", name)
        self.assertTrue(ResultAttributes.isResult(node))
        facts = {
            key: ResultAttributes.fact(node, key)
            for key in (
                "ModelId",
                "ModelVersion",
                "WeightsSha256",
                "Device",
                "Seed",
                "Overlap",
                "Level",
                "Created",
                "Reference",
                "EngineVersion",
                "Quality",
            )
        }
        self.assertEqual(
            facts,
            {
                "ModelId": "test-brain",
                "ModelVersion": "1.2.0",
                "WeightsSha256": "0123456789ab",
                "Device": "Fake device",
                "Seed": "1234",
                "Overlap": "0.5",
                "Level": "research",
                "Created": "2026-01-31T12:00:00Z",
                "Reference": "T1 head",
                "EngineVersion": "0.0.fake",
                "Quality": "BALANCED",
            },
        )
        self.assertEqual(json.loads(ResultAttributes.fact(node, "InputNames")), {"T1": "T1 head"})
        segment = node.GetSegmentation().GetNthSegment(0)
        np.testing.assert_allclose(segment.GetColor(), color, atol=1e-5)
        self.assertEqual((segment.GetName(), segment.GetTerminology()), ("Frontal lobe", self.brain.labels[0].terminology_entry))
        self.assertEqual(self.tag(segment, "DICOM.SegmentAlgorithmType"), "AUTOMATIC")

    def test_volumesAgainstAHandCount(self):
        volume, node = self.segmentBrain(spacing=(1.5, 2.0, 2.5), axes=fixtures.OBLIQUE)
        measures = Statistics.measure(node)
        for entry in measures:
            voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, entry.segmentId, volume).sum()
            self.assertEqual(entry.voxels, voxels)
            self.assertAlmostEqual(entry.volumeMl, voxels * 1.5 * 2.0 * 2.5 / 1000, places=6)
        total = sum(entry.volumeMl for entry in measures)
        # The sphere of 15 mm radius falls from 100 to 70: all of it is above the middle.
        self.assertAlmostEqual(total, 4 / 3 * np.pi * 1.5**3, delta=0.03 * total)

    def test_volumesFollowEdits(self):
        volume, node = self.segmentBrain()
        segmentId = node.GetSegmentation().GetNthSegmentID(0)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volume)
        array[:] = 0
        array[3, 4, 5:9] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segmentId, volume)
        self.assertEqual(Statistics.measure(node)[0].voxels, 4)

    def writeCsv(self, node, path):
        table = ResultTable.tableOf(node, Lesions.lesionsOf(node), smallestMl=0.1)
        CsvFile.write(CsvFile.rows(node, table), path)

    def test_csv(self):
        _images, result = self.segmentPetct()
        path = self.folder / "measures.csv"
        self.writeCsv(result.segmentation, path)
        self.assertNotIn(b"\r", path.read_bytes())
        with open(path, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        self.assertEqual([row["kind"] for row in rows], ["lesion", "total"])
        self.assertEqual((rows[0]["included"], rows[0]["reviewed"], rows[1]["included"]), ("yes", "no", ""))
        for row in rows:
            self.assertAlmostEqual(float(row["volume_ml"]), result.report["segments"][0]["volume_ml"], places=3)
        self.assertEqual(rows[0]["position_r_mm"], "-1.0000")
        self.assertEqual(rows[0]["position_a_mm"], "-2.0000")
        self.assertEqual((rows[0]["suv_mean_g_per_ml"], rows[1]["suv_mean_g_per_ml"]), ("5.0000", ""))
        self.assertEqual((rows[1]["suv_max_g_per_ml"], rows[1]["lesions"]), ("8.0000", "1"))
        for row in rows:
            self.assertEqual((row["model"], row["level"], row["device"]), ("Test PET/CT lesions", "demo", "Fake device"))

    def test_leftBesideRight(self):
        _volume, node = self.segmentBrain()
        first, second = (node.GetSegmentation().GetNthSegment(number) for number in (0, 1))
        left, right = (entry.volumeMl for entry in Statistics.measure(node))
        path = self.folder / "measures.csv"
        for names, expected in (
            (("Right caudate", "Left caudate"), 200 * (right - left) / (left + right)),
            (("Left caudate", "Right caudate"), 200 * (left - right) / (left + right)),
            (("Left caudate", "Right putamen"), None),
            (("Left caudate", "Caudate"), None),
        ):
            first.SetName(names[0])
            second.SetName(names[1])
            self.writeCsv(node, path)
            with open(path, encoding="utf-8", newline="") as stream:
                *rows, total = csv.DictReader(stream)
            found = [row.get("left_minus_right_percent") for row in rows]
            if expected is None:
                self.assertEqual(found, [None, None])
            else:
                self.assertEqual([float(value) for value in found], [round(expected, 4)] * 2)
                self.assertEqual(total["left_minus_right_percent"], "")

    def test_csvWithoutSuvHasNoSuvColumns(self):
        _volume, node = self.segmentBrain()
        path = self.folder / "measures.csv"
        self.writeCsv(node, path)
        self.assertNotIn("suv", path.read_text(encoding="utf-8").splitlines()[0])

    def test_layersAndTheWayBack(self):
        fixtures.ownSliceView(self)
        own = fixtures.sphereVolume("own")
        slicer.util.setSliceViewerLayers(background=own)
        images, result = self.segmentPetct()
        layers = Views.Layers()
        layers.show(result.card, result.images)
        composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        self.assertTrue(composites)
        for composite in composites:
            self.assertEqual(composite.GetBackgroundVolumeID(), images["CT"].GetID())
            self.assertEqual(composite.GetForegroundVolumeID(), images["PET"].GetID())
            self.assertEqual(composite.GetForegroundOpacity(), 0.5)
        self.assertEqual(images["PET"].GetDisplayNode().GetColorNode().GetName(), "PET-Heat")
        layers.show(result.card, result.images)
        self.assertTrue(layers.canRestore)
        layers.restore()
        self.assertEqual({composite.GetBackgroundVolumeID() for composite in composites}, {own.GetID()})
        self.assertEqual({composite.GetForegroundVolumeID() for composite in composites}, {None})
        self.assertNotEqual(images["PET"].GetDisplayNode().GetColorNode().GetName(), "PET-Heat")
        self.assertFalse(layers.canRestore)

    def test_singleReferenceIsBackground(self):
        volume, _node = self.segmentBrain()
        Views.Layers().show(self.brain, {"T1": volume})
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            self.assertEqual(composite.GetBackgroundVolumeID(), volume.GetID())
            self.assertIsNone(composite.GetForegroundVolumeID())
