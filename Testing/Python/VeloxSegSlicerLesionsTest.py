"""Lesions of a result: numbers of balls known by hand, marks, other thresholds, separate segments, undo, comparison by name."""

import shutil
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.common import ResultAttributes, SegmentVoxels
from VeloxSegSlicerLib.engine import Run
from VeloxSegSlicerLib.results import (
    BackupNode,
    Comparison,
    CsvFile,
    Details,
    History,
    Lesions,
    Removal,
    ResultTable,
    Sensitivity,
    Separate,
    Uncertainty,
)
from VeloxSegSlicerLib.run.Segmenter import RunSettings

# Radius in mm, uptake in SUV. The last one is below 0.1 ml.
BALLS = (((-30, 0, 0), 15.0, 10.0), ((30, 10, 0), 10.0, 8.0), ((0, -30, 20), 2.5, 9.0))
# Values for the first, second and third label of the fake runner.
PARTS = (((-30, 0, 0), 12.0, 6.5), ((20, 0, 0), 10.0, 8.0), ((0, 30, 0), 8.0, 10.0))
SMALL_MM = (1.0, 1.0, 1.0)


def volumeMl(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3 / 1000


class VeloxSegSlicerLesionsTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.petct = fixtures.loadCard(self.folder, fixtures.petctCard())

    def segment(self, card, images, **settings):
        recorder = fixtures.Recorder()
        segmenter = fixtures.fakeSegmenter("succeed")
        self.addCleanup(segmenter.close)
        segmenter.start(card, images, RunSettings(**settings), recorder)
        self.assertTrue(fixtures.waitFor(lambda: recorder.result is not None))
        self.assertEqual(recorder.result.kind, Run.DONE, recorder.result.error)
        return recorder.result

    def lesions(self, **options):
        """A result of the balls, and its lesions as the panel measures them."""
        images = {
            "CT": fixtures.ballsVolume("CT Thorax", BALLS, **options),
            "PET": fixtures.ballsVolume("PET SUVbw", BALLS, **options),
        }
        self.result = self.segment(self.petct, images)
        node = self.result.segmentation
        # The fake runner made its list up.
        ResultAttributes.setFact(node, Lesions.FINGERPRINT, "")
        return node, Lesions.lesionsOf(node, Sensitivity.sensitivityOf(self.result.loaded))

    def volumes(self, node):
        return [round(lesion.volumeMl, 2) for lesion in Lesions.lesionsOf(node)]

    def test_ballsKnownByHand(self):
        node, lesions = self.lesions(size=(120, 100, 80), spacing=SMALL_MM)
        self.assertEqual(len(lesions), 3)
        for lesion, (center, radius, uptake) in zip(lesions, BALLS, strict=True):
            expected = volumeMl(radius)
            np.testing.assert_allclose(lesion.positionRas, center, atol=0.5)
            self.assertAlmostEqual(lesion.values["suv_max"], uptake, places=5)
            self.assertAlmostEqual(lesion.values["suv_mean"], uptake, places=5)
            # The smallest ball has 56 voxels: its own grid is coarse against it.
            if radius > 5:
                self.assertAlmostEqual(lesion.volumeMl / expected, 1, delta=0.02)
                self.assertAlmostEqual(lesion.values["tlg"] / (uptake * expected), 1, delta=0.02)
            self.assertAlmostEqual(lesion.values["diameter_mm"], 2 * radius, delta=1.5)
        # A 1 ml sphere fits into the first two only.
        self.assertAlmostEqual(lesions[0].values["suv_peak"], 10.0, places=5)
        self.assertLess(lesions[2].values["suv_peak"], 3.0)
        self.assertEqual(ResultAttributes.fact(node, "HasEmission"), "yes")

    def test_tableAndTotals(self):
        node, lesions = self.lesions()
        Lesions.mark(node, 1, isIncluded=False, name="Bladder")
        table = ResultTable.tableOf(node, Lesions.lesionsOf(node), smallestMl=0.1)
        self.assertEqual([row.name for row in table.rows], ["Lesion 1", "Bladder", "Smaller pieces (1)"])
        keys = [column.key for column in table.columns]
        self.assertEqual(keys, ["volume_ml", "suv_max", "suv_mean", "suv_peak", "tlg", "diameter_mm", "position", "score"])
        self.assertIn("MTV", table.columns[0].title)
        self.assertTrue(all(column.toolTip for column in table.columns))
        self.assertEqual(table.lesionCount, 1)
        self.assertAlmostEqual(table.total.values["volume_ml"], lesions[0].volumeMl + lesions[2].volumeMl)
        self.assertAlmostEqual(table.total.values["suv_max"], 10.0, places=5)
        self.assertEqual(table.farthestMm, 0.0)
        Lesions.mark(node, 1, isIncluded=True)
        everything = ResultTable.tableOf(node, Lesions.lesionsOf(node), smallestMl=0.0)
        self.assertEqual(len(everything.rows), 3)
        distances = [np.linalg.norm(np.subtract(a[0], b[0])) for a in BALLS for b in BALLS]
        self.assertAlmostEqual(everything.farthestMm, max(distances), delta=1.5)
        self.assertEqual(ResultTable.tableNode(node, everything).GetNumberOfRows(), 4)

    def test_marksSurviveSaveAndReload(self):
        node, lesions = self.lesions()
        Lesions.mark(node, 0, isReviewed=True, name="Primary")
        Lesions.mark(node, 1, isIncluded=False)
        name, path = node.GetName(), str(self.folder / "scene.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear(False)
        slicer.util.loadScene(path)
        node = slicer.util.getFirstNodeByClassByName("vtkMRMLSegmentationNode", name)
        loaded = Lesions.lesionsOf(node)
        self.assertEqual([(lesion.name, lesion.isIncluded, lesion.isReviewed) for lesion in loaded][:2],
                         [("Primary", True, True), ("", False, False)])  # fmt: skip
        self.assertAlmostEqual(loaded[0].values["score"], lesions[0].values["score"])
        self.assertIsNotNone(Lesions.emissionOf(node))

    def test_editedVoxelsAreMeasuredAnew(self):
        node, lesions = self.lesions()
        Lesions.mark(node, 0, name="Primary")
        piece = Lesions.pieceOf(lesions[1], Lesions.pieces(node))
        voxels = SegmentVoxels.voxelsOf(node, piece.segmentId)
        kept = Separate.without(voxels, [piece.voxels])
        SegmentVoxels.setVoxels(node, piece.segmentId, kept, voxels.ijkToRas)
        changed = Lesions.lesionsOf(node)
        self.assertEqual([lesion.name for lesion in changed], ["Primary", ""])
        self.assertEqual(self.volumes(node), [round(lesions[0].volumeMl, 2), round(lesions[2].volumeMl, 2)])

    def test_withoutPetThereAreNoSuvColumns(self):
        node, _lesions = self.lesions()
        slicer.mrmlScene.RemoveNode(self.result.images["PET"])
        ResultAttributes.setFact(node, Lesions.FINGERPRINT, "")
        table = ResultTable.tableOf(node, Lesions.lesionsOf(node), smallestMl=0.1)
        self.assertFalse([column for column in table.columns if column.key in Lesions.SUV_KEYS])
        self.assertIn("no longer in the scene", table.note)
        header = set().union(*CsvFile.rows(node, table))
        self.assertFalse([name for name in header if "suv" in name])

    def test_removeExcludedAndUndo(self):
        node, lesions = self.lesions()
        history = History.History()
        Lesions.mark(node, 0, isIncluded=False)
        history.remember(node, withVoxels=True)
        Removal.removeExcluded(node, Lesions.lesionsOf(node))
        self.assertEqual(self.volumes(node), [round(lesion.volumeMl, 2) for lesion in lesions[1:]])
        history.undo(node)
        self.assertEqual(self.volumes(node), [round(lesion.volumeMl, 2) for lesion in lesions])
        self.assertFalse(history.canUndo(node))
        self.assertFalse(Lesions.lesionsOf(node)[0].isIncluded)

    def test_separateSegmentsAndBack(self):
        node, lesions = self.lesions()
        before = SegmentVoxels.voxelsOf(node, SegmentVoxels.segmentIds(node)[0])
        Separate.split(node, lesions)
        segmentation = node.GetSegmentation()
        names = [segmentation.GetSegment(segmentId).GetName() for segmentId in SegmentVoxels.segmentIds(node)]
        self.assertEqual(names, ["Lesion 1", "Lesion 2", "Lesion 3"])
        counts = [SegmentVoxels.voxelsOf(node, segmentId).count for segmentId in SegmentVoxels.segmentIds(node)]
        self.assertEqual(counts, [lesion.values["voxels"] for lesion in lesions])
        for number in range(3):
            self.assertEqual(segmentation.GetNthSegment(number).GetTerminology(), self.petct.labels[0].terminology_entry)
        self.assertEqual(len(Lesions.lesionsOf(node)), 3)
        Separate.join(node, Lesions.lesionsOf(node))
        (segmentId,) = SegmentVoxels.segmentIds(node)
        after = SegmentVoxels.voxelsOf(node, segmentId)
        np.testing.assert_array_equal(after.mask, before.mask)
        np.testing.assert_allclose(after.ijkToRas, before.ijkToRas)
        self.assertEqual(segmentation.GetSegment(segmentId).GetName(), "Lesion")

    def surfaces(self, node) -> list[int]:
        """Points of the closed surface of each segment that has voxels."""
        name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        segmentation = node.GetSegmentation()
        kinds = [segmentation.GetSegment(segmentId).GetRepresentation(name) for segmentId in SegmentVoxels.segmentIds(node)]
        self.assertEqual({kind.GetClassName() for kind in kinds}, {"vtkPolyData"})
        return [kind.GetNumberOfPoints() for kind in kinds]

    def test_separateSegmentsKeepTheirSurfaces(self):
        node, lesions = self.lesions()
        node.CreateClosedSurfaceRepresentation()
        (whole,) = self.surfaces(node)
        Separate.split(node, lesions)
        self.assertEqual(len(self.surfaces(node)), 3)
        self.assertGreater(min(self.surfaces(node)), 0)
        Separate.join(node, Lesions.lesionsOf(node))
        (again,) = self.surfaces(node)
        self.assertEqual(again, whole)

    def test_aSegmentThatComesBackHasASurface(self):
        """Every segment was removed, as a person may do; a lower threshold brings one back."""
        node, lesions = self.lesions()
        node.CreateClosedSurfaceRepresentation()
        (whole,) = self.surfaces(node)
        node.GetSegmentation().AddEmptySegment("mine", "Mine")
        node.GetSegmentation().RemoveSegment(SegmentVoxels.segmentIds(node)[0])
        Sensitivity.sensitivityOf(self.result.loaded).apply(node, self.petct.threshold)
        self.assertEqual(self.surfaces(node), [0, whole])

    def test_removedAndUndoneLesionsHaveSurfaces(self):
        node, lesions = self.lesions()
        node.CreateClosedSurfaceRepresentation()
        (whole,) = self.surfaces(node)
        Lesions.mark(node, 0, isIncluded=False)
        history = History.History()
        history.remember(node, withVoxels=True)
        Removal.removeExcluded(node, Lesions.lesionsOf(node))
        self.assertLess(self.surfaces(node)[0], whole)
        history.undo(node)
        self.assertEqual(self.surfaces(node), [whole])

    def test_replacedResultHasSurfaces(self):
        node, lesions = self.lesions()
        node.CreateClosedSurfaceRepresentation()
        self.segment(self.petct, self.result.images, outputId=node.GetID())
        node.CreateClosedSurfaceRepresentation()
        self.assertGreater(min(self.surfaces(node)), 0)
        BackupNode.swap(node)
        node.CreateClosedSurfaceRepresentation()
        self.assertGreater(min(self.surfaces(node)), 0)

    def test_sensitivity(self):
        node, lesions = self.lesions()
        sensitivity = Sensitivity.sensitivityOf(self.result.loaded)
        # Values of 1 to 10: at 0.95 only the first ball is left, at 0.05 all three.
        sensitivity.apply(node, 0.95)
        self.assertEqual(self.volumes(node), [round(lesions[0].volumeMl, 2)])
        self.assertEqual(ResultAttributes.number(node, "CurrentThreshold"), 0.95)
        sensitivity.apply(node, 0.05)
        self.assertEqual(len(Lesions.lesionsOf(node)), 3)
        sensitivity.apply(node, self.petct.threshold)
        self.assertEqual(self.volumes(node), [round(lesion.volumeMl, 2) for lesion in lesions])
        self.assertAlmostEqual(lesions[0].values["score"], 1.0, places=2)
        self.assertAlmostEqual(lesions[1].values["score"], 7 / 9, places=2)

    def test_whereNoThresholdDecides(self):
        brain = fixtures.loadCard(self.folder, fixtures.brainCard())
        photo = fixtures.loadCard(self.folder, fixtures.photoCard())
        self.assertEqual(Sensitivity.whyNot(self.petct), "")
        self.assertIn("several labels", Sensitivity.whyNotText(Sensitivity.whyNot(brain)))
        self.assertEqual(Sensitivity.whyNot(photo), "")
        photo.content["sampling"]["fusion"] = "majority"
        self.assertIn("vote", Sensitivity.whyNotText(Sensitivity.whyNot(photo)))
        self.assertEqual([Sensitivity.lowered(score) for score in (0.34, 0.3, 0.049)], [0.3, 0.3, 0.0])

    def test_replacedResultCanBeRestored(self):
        node, lesions = self.lesions()
        images = {name: image for name, image in self.result.images.items()}
        other = fixtures.ballsVolume("PET SUVbw later", BALLS[1:2])
        name = node.GetName()
        result = self.segment(self.petct, images | {"PET": other}, outputId=node.GetID())
        self.assertIs(result.segmentation, node)
        self.assertEqual((node.GetName(), ResultAttributes.fact(node, "Reference")), (name, "PET SUVbw later"))
        hidden = BackupNode.backupOf(node)
        self.assertTrue(hidden.GetHideFromEditors())
        self.assertEqual(hidden.GetName(), f"{name} (previous)")
        BackupNode.swap(node)
        self.assertEqual(ResultAttributes.fact(node, "Reference"), "PET SUVbw")
        self.assertEqual(self.volumes(node), [round(lesion.volumeMl, 2) for lesion in lesions])
        BackupNode.swap(node)
        self.assertEqual(ResultAttributes.fact(node, "Reference"), "PET SUVbw later")

    def test_partsOfATumor(self):
        card = fixtures.loadCard(self.folder, fixtures.tumorCard())
        node = self.segment(card, {"T1": fixtures.ballsVolume("T1", PARTS)}).segmentation
        table = ResultTable.tableOf(node, [], smallestMl=0.1)
        volumes = {row.name: row.values["volume_ml"] for row in table.rows}
        necrosis, edema, enhancing = (volumes[label.name] for label in card.labels)
        self.assertAlmostEqual(volumes["Whole tumor"], necrosis + edema + enhancing)
        self.assertAlmostEqual(volumes["Tumor core"], necrosis + enhancing)
        self.assertAlmostEqual(volumes["Enhancing tumor volume"], enhancing)
        self.assertAlmostEqual(table.total.values["volume_ml"], volumes["Whole tumor"])

    def test_photo(self):
        card = fixtures.loadCard(self.folder, fixtures.photoCard())
        photo = fixtures.softDisk("IMG_2041", radius=20)
        node = self.segment(card, {"Photo": photo}).segmentation
        table = ResultTable.tableOf(node, [], smallestMl=0.1)
        (row,) = table.rows
        self.assertEqual(row.name, "Skin lesion")
        self.assertAlmostEqual(row.values["area_px"], np.pi * 20**2, delta=0.02 * np.pi * 20**2)
        self.assertAlmostEqual(row.values["perimeter_px"], 2 * np.pi * 20, delta=0.05 * 2 * np.pi * 20)
        self.assertAlmostEqual(row.values["diameter_px"], 40, delta=1.5)
        self.assertAlmostEqual(row.values["share"], 100 * row.values["area_px"] / (90 * 70))
        self.assertAlmostEqual(row.values["agreement"], 94)
        ResultAttributes.setFact(node, "MmPerPx", 0.1)
        (row,) = ResultTable.tableOf(node, [], smallestMl=0.1).rows
        self.assertAlmostEqual(row.values["area_mm2"], row.values["area_px"] / 100)

    def test_uncertaintyVolume(self):
        card = fixtures.loadCard(self.folder, fixtures.photoCard())
        node = self.segment(card, {"Photo": fixtures.softDisk("IMG_2041")}).segmentation
        volume = Uncertainty.volumeOf(node)
        self.assertEqual(volume.GetName(), f"{node.GetName()} uncertainty")
        values = slicer.util.arrayFromVolume(volume)
        self.assertGreater(values.max(), 0.9)
        self.assertLessEqual(values.max(), 1.0)
        self.assertEqual(values[0, 35, 45], 0.0)
        places = Uncertainty.places(volume)
        self.assertEqual(len(places), 1)
        colors = volume.GetDisplayNode().GetColorNode().GetColorTransferFunction()
        brightness = [np.dot(colors.GetColor(value), (0.2126, 0.7152, 0.0722)) for value in np.linspace(0, 1, 9)]
        self.assertEqual(brightness, sorted(brightness))

    def test_thinBordersAreNoPlaces(self):
        values = np.zeros((1, 40, 40), np.uint8)
        values[0, 10:30, 10], values[0, 10:30, 30], values[0, 10, 10:30] = 255, 255, 255
        values[0, 18:23, 18:23] = 255
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "any")
        places = Uncertainty.places(Uncertainty.addVolume(node, values, np.eye(4)))
        self.assertEqual([place.count for place in places], [21])
        np.testing.assert_allclose(places[0].centerRas, (20, 20, 0))

    def test_detailsTellTheMaking(self):
        node, _lesions = self.lesions()
        text = Details.text(node)
        for part in ("[demo] Test PET/CT lesions 1.2.0", "PET = PET SUVbw", "0123456789ab", "Fake device", "1234", "0.0.fake"):
            self.assertIn(part, text)
        ResultAttributes.setFact(node, "CurrentThreshold", 0.3)
        self.assertIn("0.3, changed by hand; the model's is 0.5", Details.text(node))
        self.assertNotIn("<script>", Details.html(node))

    def test_pairsByName(self):
        first, second = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode") for _node in range(2))
        for name in ("Edema", "Core"):
            first.GetSegmentation().AddEmptySegment(name, name)
        for name in ("core", "Other"):
            second.GetSegmentation().AddEmptySegment(name, name)
        pairs = Comparison.pairByName(first, second)
        self.assertEqual([(pair.segmentId, pair.referenceId) for pair in pairs], [("Edema", ""), ("Core", "core")])
