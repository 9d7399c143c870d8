"""Every message about images before a run: its exact sentence, its buttons, whether it blocks, and what the buttons do."""

import shutil
import tempfile
import time
import types
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.common import Computer, CoreModules, Temporary
from VeloxSegSlicerLib.common.Parameters import Quality
from VeloxSegSlicerLib.images import ImageStatistics, RegionBox, Suv
from VeloxSegSlicerLib.results import StatisticsPlugin
from VeloxSegSlicerLib.run import Job

GIGABYTE = 1e9
CHOOSE_ANOTHER = "Choose another"


class VeloxSegSlicerInputMessagesTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)
        fixtures.writeCards(self.folder, fixtures.brainCard(), fixtures.petctCard(), fixtures.photoCard())
        self.widget = fixtures.openPanel(self.folder)
        self.panel, self.ui = self.widget.panel, self.widget.ui
        self.addCleanup(self.leave)

    def leave(self):
        self.panel.sceneWillClose()
        slicer.modules.veloxsegslicer.widgetRepresentation().exit()
        self.assertEqual(fixtures.jobFolders(), [])

    def choose(self, taskId, **images):
        index = self.ui.taskComboBox.findData(taskId)
        self.ui.taskComboBox.setCurrentIndex(index)
        self.panel._onTaskChosen(index)
        for role, node in images.items():
            self.panel.chooseImage(role, node)

    def petct(self, ct=None, pet=None):
        ct, pet = ct or fixtures.sphereVolume("CT"), pet or fixtures.sphereVolume("PET SUVbw")
        self.choose("petct-lesions", CT=ct, PET=pet)
        return ct, pet

    def unmarked(self, unit=None, high=27.0):
        """A PET without the word SUV in its name."""
        volume = fixtures.sphereVolume("PET", high=high)
        slicer.util.arrayFromVolume(volume).flat[0] = high
        slicer.util.arrayFromVolumeModified(volume)
        if unit:
            entry = slicer.vtkCodedEntry()
            entry.SetValueSchemeMeaning(unit, "UCUM", "activity")
            volume.SetVoxelValueUnits(entry)
        return volume

    def buttons(self):
        buttons = (self.ui.noticeFirstButton, self.ui.noticeSecondButton, self.ui.noticeThirdButton)
        return [button.text for button in buttons if not button.isHidden()]

    def press(self, label):
        buttons = (self.ui.noticeFirstButton, self.ui.noticeSecondButton, self.ui.noticeThirdButton)
        next(button for button in buttons if button.text == label and not button.isHidden()).click()

    def assertTold(self, text, buttons, blocks):
        self.assertFalse(self.ui.noticeFrame.isHidden())
        self.assertEqual(self.ui.noticeLabel.text, text)
        self.assertEqual(self.buttons(), buttons)
        self.assertEqual(self.ui.segmentButton.enabled, not blocks)

    def word(self, role):
        return self.panel.rows._rows[role]._word.text

    def requestOf(self):
        """The request that a click on Segment would write."""
        written = {}

        def keep(job, *arguments):
            original(job, *arguments)
            written.update(fixtures.json.loads(job.requestFile.read_text(encoding="utf-8")))
            written["images"] = {
                role: slicer.util.loadVolume(str(job.folder / name), {"show": False}) for role, name in written["inputs"].items()
            }

        original = Job.Job.write
        with mock.patch.object(Job.Job, "write", keep):
            self.ui.segmentButton.click()
        self.assertTrue(fixtures.waitFor(lambda: not self.widget.logic.segmenter.isBusy))
        return written

    # Roles

    def test_requiredRoleEmpty(self):
        self.choose("petct-lesions", CT=fixtures.sphereVolume("CT"))
        text = "The PET series is missing. This model compares PET with CT and cannot run on CT alone."
        self.assertTold(text, ["Choose", "Load sample"], blocks=True)
        self.assertEqual(self.word("PET"), "Missing")
        with mock.patch.object(self.panel.samples, "start") as start:
            self.press("Load sample")
        start.assert_called_once_with(self.panel.card)

    def test_nothingChosenYetIsSaidInTheRowOnly(self):
        self.choose("petct-lesions")
        self.assertTrue(self.ui.noticeFrame.isHidden())
        self.assertEqual(fixtures.toolTipOf(self.ui.segmentButton), "The CT image is missing. This model cannot run without it.")

    def test_oneImageInTwoRows(self):
        volume = fixtures.sphereVolume("PET SUVbw")
        self.petct(volume, volume)
        self.assertFalse(self.ui.segmentButton.enabled)
        self.assertIn("Already used for CT.", self.ui.stageLabel.text)

    # Geometry

    def test_differentGridsWithGoodOverlap(self):
        pet = fixtures.sphereVolume("PET SUVbw", size=(12, 13, 14), spacing=(4, 4, 4))
        self.petct(fixtures.sphereVolume("CT", size=(48, 52, 56), spacing=(1, 1, 1)), pet)
        text = (
            "CT (1.0 mm) and PET (4.0 mm) have different grids and cover the same region. A copy of CT will be"
            " resampled to PET for the computation; your images stay as they are."
        )
        self.assertTold(text, ["Details"], blocks=False)
        self.assertEqual(self.word("CT"), "Will be resampled")
        self.assertTrue(self.ui.geometryGroupBox.collapsed)
        self.press("Details")
        self.assertFalse(self.ui.geometryGroupBox.collapsed)
        table = self.ui.geometryTable
        rows = [[table.item(row, column).text() for column in range(5)] for row in range(table.rowCount)]
        self.assertEqual(rows[0], ["CT", "48 x 52 x 56", "1.0", "LPS", "100 %"])
        self.assertEqual(rows[1], ["PET", "12 x 13 x 14", "4.0", "LPS", "Reference"])

    def test_orientationOfTurnedImages(self):
        self.petct(fixtures.sphereVolume("CT", axes=fixtures.OBLIQUE), fixtures.sphereVolume("PET SUVbw", axes=fixtures.FLIPPED))
        texts = [self.ui.geometryTable.item(row, 3).text() for row in range(2)]
        self.assertEqual(texts, ["RAS 37 deg", "LSP"])

    def test_verdictOfLargeImagesComesAtOnce(self):
        """Word and numbers of a row after a choice, with voxels that were never looked at; processor time, which other
        programs hardly change."""
        voxels = np.zeros((100, 512, 512), np.int16)
        voxels[50:] = 1
        ct = slicer.util.addVolumeFromArray(voxels, name="CT")
        pet = slicer.util.addVolumeFromArray(voxels[::2, ::2, ::2], np.diag([2.0, 2.0, 2.0, 1.0]), "PET SUVbw")
        self.choose("petct-lesions", PET=pet)
        started = time.process_time()
        self.panel.chooseImage("CT", ct)
        self.assertLess(time.process_time() - started, 0.2)
        self.assertEqual(self.word("CT"), "Will be resampled")

    def test_littleOverlapAcceptedOnce(self):
        ct, pet = self.petct(fixtures.sphereVolume("CT", center=(30, 0, 0)))
        percent = round(100 * (48 - 30) / 48)
        text = f"CT and PET overlap by {percent} %. They may not be aligned, and the result would be wrong."
        self.assertTold(text, ["Register CT to PET", "Use anyway", CHOOSE_ANOTHER], blocks=True)
        self.assertEqual(self.word("CT"), "Little overlap")
        self.assertFalse(self.ui.geometryGroupBox.collapsed)
        self.press("Use anyway")
        self.assertTrue(self.ui.segmentButton.enabled)
        self.assertTrue(self.requestOf()["accept_overlap"])
        self.panel.chooseImage("CT", fixtures.sphereVolume("other", center=(30, 0, 0)))
        self.assertFalse(self.ui.segmentButton.enabled)
        self.panel.chooseImage("CT", ct)
        self.assertTrue(self.ui.segmentButton.enabled)

    def test_registrationIsPrepared(self):
        ct, pet = self.petct(fixtures.sphereVolume("CT", center=(40, 0, 0)))
        made = {}
        module = mock.MagicMock()

        class Node:
            def AddObserver(self, event, observer):
                made["observer"] = observer

            def GetStatusString(self):
                return made.get("status", "Running")

            def GetParameterAsString(self, name):
                return made["fields"][name]

        def createNode(_module, fields):
            made["fields"] = fields
            return Node()

        fakes = (
            mock.patch.object(slicer.modules, "brainsfit", module, create=True),
            mock.patch.object(slicer, "cli", types.SimpleNamespace(createNode=createNode), create=True),
            mock.patch.object(slicer, "vtkMRMLCommandLineModuleNode", types.SimpleNamespace(StatusModifiedEvent=1), create=True),
        )
        with fakes[0], fakes[1], fakes[2]:
            self.press("Register CT to PET")
        self.assertEqual((made["fields"]["movingVolume"], made["fields"]["fixedVolume"]), (ct.GetID(), pet.GetID()))
        made["observer"](None, None)
        self.assertIsNone(ct.GetParentTransformNode())
        transform = slicer.mrmlScene.GetNodeByID(made["fields"]["linearTransform"])
        matrix = np.eye(4)
        matrix[0, 3] = -40
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        made["status"] = "Completed"
        made["observer"](None, None)
        self.panel.update()
        self.assertEqual(self.word("CT"), "Moved")
        self.assertTrue(self.ui.segmentButton.enabled)

    def test_withoutGeneralRegistration(self):
        self.petct(fixtures.sphereVolume("CT", center=(40, 0, 0)))
        with mock.patch.object(CoreModules, "show") as show:
            self.press("Register CT to PET")
        show.assert_called_once_with("Transforms")
        self.assertFalse(self.ui.segmentButton.enabled)

    def test_linearTransform(self):
        ct = fixtures.sphereVolume("CT")
        matrix = np.eye(4)
        matrix[1, 3] = 4
        fixtures.moved(ct, matrix)
        self.petct(ct)
        self.assertTold("CT has a linear transform. It will be applied to a copy.", ["Details"], blocks=False)
        self.assertEqual(self.word("CT"), "Moved")

    def test_nonLinearTransform(self):
        ct = fixtures.sphereVolume("CT")
        fixtures.bent(ct)
        self.petct(ct)
        self.assertTold("CT has a deformation that must be applied first.", ["Open Transforms"], blocks=True)
        with mock.patch.object(CoreModules, "show") as show:
            self.press("Open Transforms")
        show.assert_called_once_with("Transforms")

    # Photos and volumes

    def test_grayVolumeToPhotoModel(self):
        self.choose("photo", Photo=fixtures.sphereVolume("CT Thorax", size=(64, 64, 210), spacing=(1, 1, 1)))
        text = "This model reads color photos; 'CT Thorax' is a gray volume with 210 slices."
        self.assertTold(text, [CHOOSE_ANOTHER], blocks=True)

    def test_grayPhotoToPhotoModel(self):
        self.choose("photo", Photo=fixtures.sphereVolume("scan", size=(64, 64, 1)))
        self.assertTold("This model reads color photos; 'scan' is a gray picture.", [CHOOSE_ANOTHER], blocks=True)

    def test_grayPhotoStoredInColors(self):
        gray = np.repeat(np.random.default_rng(1).integers(0, 255, (1, 70, 90, 1), dtype=np.uint8), 3, axis=3)
        node = slicer.util.addVolumeFromArray(gray, name="scan", nodeClassName="vtkMRMLVectorVolumeNode")
        self.choose("photo", Photo=node)
        self.assertTold("This model reads color photos; 'scan' is a gray picture.", [CHOOSE_ANOTHER], blocks=True)

    def test_photosThatAreNone(self):
        def picture(name, shape, dtype=np.uint8):
            array = np.zeros(shape, dtype)
            array[..., : shape[2] // 2, 0] = 200
            return slicer.util.addVolumeFromArray(array, name=name, nodeClassName="vtkMRMLVectorVolumeNode")

        cases = (
            (picture("a", (5, 70, 80, 3)), "This model reads one photo; 'a' is a stack of 5 color pictures."),
            (
                picture("b", (1, 20, 80, 3)),
                "'b' has 80 x 20 pixels. Each side of a photo must have 64 to 6000 pixels.",
            ),
            (
                picture("c", (1, 70, 80, 3), np.float32),
                "'c' stores its colors as float. Save the photo with 8 bits for each color.",
            ),
            (picture("d", (1, 70, 80, 2)), "This model reads color photos; 'd' is a gray picture."),
        )
        for node, text in cases:
            self.choose("photo", Photo=node)
            self.assertTold(text, [CHOOSE_ANOTHER], blocks=True)

    def test_photoToVolumeModel(self):
        picture = fixtures.colorPicture("IMG_2041")
        self.choose("petct-lesions", CT=picture)
        text = "'IMG_2041' is a color photo. This model needs a CT volume."
        self.assertTold(text, ["Show photo tasks"], blocks=True)
        self.press("Show photo tasks")
        self.assertEqual(self.panel.card.id, "test-photo")
        self.assertIs(self.panel.images["Photo"], picture)
        self.assertTrue(self.ui.segmentButton.enabled)

    def test_noPhotoTaskInstalled(self):
        shutil.rmtree(self.folder / "test-photo")
        fixtures.useModels(self.widget, self.folder)
        self.choose("petct-lesions", CT=fixtures.colorPicture("IMG"))
        self.press("Show photo tasks")
        self.assertEqual(self.panel.card.id, "test-petct")

    def test_alphaChannel(self):
        array = np.random.default_rng(1).integers(0, 255, (1, 70, 90, 4), dtype=np.uint8)
        node = slicer.util.addVolumeFromArray(array, name="IMG", nodeClassName="vtkMRMLVectorVolumeNode")
        self.choose("photo", Photo=node)
        self.assertTold("The transparency channel is ignored.", [], blocks=False)

    # Modality and unit

    def test_modalityDiffers(self):
        ct = fixtures.sphereVolume("Series 4")
        ct.SetAttribute("DICOM.Modality", "MR")
        self.petct(ct)
        self.assertTold("'Series 4' is stored as MR, the model expects CT.", ["Use anyway", CHOOSE_ANOTHER], blocks=True)
        self.press("Use anyway")
        self.assertTrue(self.ui.segmentButton.enabled)

    def test_decisionIsSavedWithTheScene(self):
        ct = fixtures.sphereVolume("Series 4")
        ct.SetAttribute("DICOM.Modality", "MR")
        self.petct(ct)
        self.press("Use anyway")
        path = str(self.folder / "scene.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear(False)
        slicer.util.loadScene(path)
        self.assertTrue(fixtures.waitFor(lambda: self.ui.segmentButton.enabled, 5))

    def test_activity(self):
        pet = self.unmarked("Bq/ml", high=50000.0)
        ct, pet = self.petct(pet=pet)
        text = "PET values are activity (Bq/ml), not SUV. The model and SUV measures need SUVbw."
        buttons = ["How to convert", "Enter dose, time, weight", "Segment without SUV measures"]
        self.assertTold(text, buttons, blocks=True)
        self.assertEqual(self.word("PET"), "Unit?")
        self.press("How to convert")
        self.assertIn("PETDICOMExtension", self.panel.inputActions.textWindow.findChild(qt.QTextBrowser, "textBrowser").plainText)
        self.panel.inputActions.textWindow.close()

    def test_activityIsConvertedByDoseTimeAndWeight(self):
        pet = self.unmarked("Bq/ml", high=50000.0)
        before = fixtures.checksum(pet)
        self.petct(pet=pet)
        self.press("Enter dose, time, weight")
        dialog = self.panel.inputActions.suvDialog
        self.assertFalse(dialog.ui.convertButton.enabled)
        dialog.ui.doseSpinBox.value, dialog.ui.minutesSpinBox.value, dialog.ui.weightSpinBox.value = 350, 60, 75
        # By hand: 350 MBq x exp(-ln 2 x 60 / 109.77) = 239.63 MBq; 239.63e6 Bq / 75000 g = 3195.1 Bq/ml are SUV 1.
        self.assertEqual(dialog.ui.previewLabel.text, "SUV 1 is 3195 Bq/ml. The largest SUV will be 15.6.")
        dialog.ui.convertButton.click()
        copy = self.panel.images["PET"]
        self.assertEqual(copy.GetName(), "PET SUVbw")
        self.assertEqual(Suv.unitOf(copy), "{SUVbw}g/ml")
        self.assertAlmostEqual(slicer.util.arrayFromVolume(copy).max() / (50000 / 3195.1), 1, delta=0.01)
        self.assertEqual(fixtures.checksum(pet), before)
        self.assertEqual(self.word("PET"), "Reference")
        self.assertTrue(self.ui.segmentButton.enabled)
        self.assertTrue(self.requestOf()["suv"])

    def test_activityWithoutSuvMeasures(self):
        pet = self.unmarked("Bq/ml", high=50000.0)
        before = fixtures.checksum(pet)
        self.petct(pet=pet)
        self.press("Segment without SUV measures")
        self.assertTrue(self.ui.segmentButton.enabled)
        request = self.requestOf()
        self.assertFalse(request["suv"])
        # the engine scales it, which is asked for by the field above
        sent = slicer.util.arrayFromVolume(request["images"]["PET"])
        np.testing.assert_array_equal(sent, slicer.util.arrayFromVolume(pet))
        self.assertEqual(fixtures.checksum(pet), before)

    def test_unitUnknown(self):
        self.petct(pet=self.unmarked())
        text = "The unit of this PET is not stored. Largest value 27: typical of SUV."
        self.assertTold(text, ["Treat as SUVbw", CHOOSE_ANOTHER], blocks=True)
        self.press("Treat as SUVbw")
        self.assertTrue(self.ui.segmentButton.enabled)

    def test_unitUnknownAndNoSuv(self):
        self.petct(pet=self.unmarked(high=31000.0))
        text = "The unit of this PET is not stored. Largest value 31000: too high for SUV."
        self.assertTold(text, ["Enter dose, time, weight", "Treat as SUVbw", CHOOSE_ANOTHER], blocks=True)

    def test_otherKindsOfSuv(self):
        """By lean mass, surface and ideal weight: the measures need body weight."""
        units = {"{SUVlbm}g/ml": "SUVlbm", "{SUVbsa}cm2/ml": "SUVbsa", "{SUVibw}g/ml": "SUVibw", "{counts}": "counts"}
        for unit, kind in units.items():
            pet = self.unmarked(unit, high=8.0)
            pet.SetName("PET SUVbw")
            self.petct(pet=pet)
            text = f"PET values are {kind}; the model and the measures need SUVbw."
            self.assertTold(text, ["How to convert", "Segment without SUV measures", CHOOSE_ANOTHER], blocks=True)
            self.assertEqual(self.word("PET"), "Unit?")
            self.assertFalse(Suv.isSuv(pet))
        self.press("Segment without SUV measures")
        self.assertTrue(self.ui.segmentButton.enabled)
        self.assertFalse(self.requestOf()["suv"])

    def test_bodyWeightIsToldInManyWays(self):
        for unit in ("{SUVbw}g/ml", "{SUVbw} g/mL", "g/ml", "SUVbw", "GML"):
            self.assertEqual(Suv.kindOf(self.unmarked(unit, high=8.0)), Suv.BODY_WEIGHT, unit)
        for unit in ("Bq/ml", "BQML", "kBq/mL", "MBq/cc"):
            self.assertEqual(Suv.kindOf(self.unmarked(unit)), Suv.ACTIVITY, unit)

    def test_nameIsNoUnit(self):
        """A name says SUV by words of its own, and the values outweigh it."""
        kinds = {
            "PET SUV": Suv.BODY_WEIGHT,
            "5: PET_SUVbw_AC": Suv.BODY_WEIGHT,
            "PET_noSUV": Suv.UNKNOWN,
            "PET no SUV": Suv.UNKNOWN,
            "PET SUV lbm": Suv.UNKNOWN,
            "PET SUVlbm": Suv.UNKNOWN,
            "Pursuvia": Suv.UNKNOWN,
        }
        for name, kind in kinds.items():
            pet = self.unmarked(high=8.0)
            pet.SetName(name)
            self.assertEqual(Suv.kindOf(pet), kind, name)
        for name in ("PET SUV", "PET_noSUV"):
            pet = self.unmarked(high=19500.0)
            pet.SetName(name)
            self.petct(pet=pet)
            text = "The unit of this PET is not stored. Largest value 19500: too high for SUV."
            self.assertTold(text, ["Enter dose, time, weight", "Treat as SUVbw", CHOOSE_ANOTHER], blocks=True)
            self.assertFalse(Suv.isSuv(pet))

    def test_storedUnitThatTheValuesContradict(self):
        pet = self.unmarked("{SUVbw}g/ml", high=19500.0)
        self.petct(pet=pet)
        text = "PET is stored as SUVbw, but its largest value 19500 is too high for SUV."
        self.assertTold(text, ["Enter dose, time, weight", "Treat as SUVbw", CHOOSE_ANOTHER], blocks=True)

    # Position

    def test_positionThatIsNoNumber(self):
        """It is told in the row of the image, is never assigned, and stops nothing."""
        breaks = {
            "spacing": lambda node: node.SetSpacing(float("nan"), 2, 2),
            "origin": lambda node: node.SetOrigin(float("nan"), 0, 0),
            "infinite": lambda node: node.SetOrigin(0, float("inf"), 0),
            "direction": lambda node: node.SetIJKToRASDirections(*[float("nan")] * 9),
            "transform": lambda node: fixtures.moved(node, np.full((4, 4), np.nan)),
        }
        for name, damage in breaks.items():
            slicer.mrmlScene.Clear(False)
            ct, pet = fixtures.sphereVolume("CT"), fixtures.sphereVolume("PET SUVbw")
            bad = fixtures.sphereVolume(f"CT PET broken {name}")
            damage(bad)
            self.choose("petct-lesions")
            self.panel.update()
            self.assertEqual(self.panel.images, {"CT": ct, "PET": pet}, name)
            for role in ("CT", "PET"):
                self.choose("petct-lesions", CT=ct, PET=pet)
                self.panel.chooseImage(role, bad)
                text = (
                    f"'CT PET broken {name}' has a position that is no number. Correct its spacing, origin and transform,"
                    " or choose another image."
                )
                self.assertTold(text, [CHOOSE_ANOTHER], blocks=True)
                self.assertEqual(self.word(role), "Not suitable")
                self.assertEqual(self.ui.newRegionButton.enabled, role == "CT")
                self.assertEqual(StatisticsPlugin.numbers(slicer.vtkMRMLSegmentationNode(), "1", bad), {})

    # Content

    def test_constantImage(self):
        flat = fixtures.sphereVolume("T1 flat", high=0.0)
        slicer.util.arrayFromVolume(flat)[:] = 5
        slicer.util.arrayFromVolumeModified(flat)
        self.choose("brain-regions", T1=flat)
        self.assertTold("The image 'T1 flat' is constant.", [CHOOSE_ANOTHER], blocks=True)

    def test_noNumbers(self):
        volume = fixtures.sphereVolume("T1")
        array = slicer.util.arrayFromVolume(volume)
        array.flat[: round(0.12 * array.size)] = np.nan
        slicer.util.arrayFromVolumeModified(volume)
        self.choose("brain-regions", T1=volume)
        text = "The image 'T1' contains no numbers in 12 % of voxels. They count as empty in the computation."
        self.assertTold(text, [CHOOSE_ANOTHER], blocks=False)
        # the engine has one rule for all doors
        sent = slicer.util.arrayFromVolume(self.requestOf()["images"]["T1"])
        np.testing.assert_array_equal(sent, array)
        self.assertTrue(np.isnan(slicer.util.arrayFromVolume(volume).flat[0]))

    def test_changedVoxelsAreLookedAtAgain(self):
        volume = fixtures.sphereVolume("T1")
        highest = ImageStatistics.statisticsOf(volume).highest
        slicer.util.arrayFromVolume(volume)[:] *= 2
        slicer.util.arrayFromVolumeModified(volume)
        self.assertAlmostEqual(ImageStatistics.statisticsOf(volume).highest, 2 * highest, places=3)

    # Size, disk, domain

    def test_veryLarge(self):
        with mock.patch.object(Computer, "freeMemory", return_value=int(0.001 * GIGABYTE)):
            self.choose("brain-regions", T1=fixtures.sphereVolume("T1"))
            text = "This image has 24 x 26 x 28 voxels. About 1 min and 0.5 GB of memory; 0.0 GB is free."
            self.assertTold(text, ["Use Region", "Use Fast", "Continue"], blocks=False)
            self.press("Use Region")
            self.assertIsNotNone(self.ui.regionSelector.currentNode())
            self.panel.tell(None)
            self.press("Continue")
            self.assertTrue(self.ui.noticeFrame.isHidden())

    def test_veryLargeByFast(self):
        with mock.patch.object(Computer, "freeMemory", return_value=1000):
            self.choose("brain-regions", T1=fixtures.sphereVolume("T1"))
            self.press("Use Fast")
            self.assertEqual(self.panel.parameters.quality, Quality.FAST)
            self.assertTrue(self.ui.noticeFrame.isHidden())

    def test_modelOutsideItsDomain(self):
        self.choose("brain-regions", T1=fixtures.sphereVolume("T1", size=(10, 10, 10), spacing=(2, 2, 8)))
        text = "Voxel spacing 8 mm is much coarser than the grid of 2 mm that this model was trained on."
        self.assertTold(text, ["Model card"], blocks=False)

    def test_fullDisk(self):
        self.choose("brain-regions", T1=fixtures.sphereVolume("T1"))
        with mock.patch.object(Computer, "freeDisk", return_value=1000):
            self.ui.segmentButton.click()
        self.assertFalse(self.widget.logic.segmenter.isBusy)
        self.assertTold("0.0 GB free on the temporary drive, about 0.0 GB needed.", ["Choose folder", "Try again"], blocks=False)
        other = self.folder / "temporary"
        other.mkdir()
        self.addCleanup(qt.QSettings().remove, Temporary.FOLDER_SETTING)
        with mock.patch.object(qt.QFileDialog, "getExistingDirectory", lambda *arguments: str(other)):
            self.press("Choose folder")
        self.assertEqual(Temporary.folderOfJobs(), other)
        self.assertTrue(self.ui.noticeFrame.isHidden())
        self.requestOf()
        self.assertEqual(list(other.iterdir()), [])

    # Region and scale

    def test_regionReachesTheRequest(self):
        volume = fixtures.sphereVolume("T1", axes=fixtures.OBLIQUE, center=(10, 20, 30))
        self.choose("brain-regions", T1=volume)
        self.assertIsNone(self.requestOf()["region"])
        self.ui.newRegionButton.click()
        roi = self.ui.regionSelector.currentNode()
        roi.SetSize(20, 30, 40)
        region = self.requestOf()["region"]
        np.testing.assert_allclose(region["center"], [-10, -20, 30], atol=1e-6)
        np.testing.assert_allclose(region["size"], [20, 30, 40], atol=1e-6)
        np.testing.assert_allclose(np.array(region["axes"]) * [-1, -1, 1], np.array(fixtures.OBLIQUE).T, atol=1e-6)

    def test_regionBesideTheImage(self):
        self.choose("brain-regions", T1=fixtures.sphereVolume("T1"))
        self.ui.newRegionButton.click()
        self.ui.regionSelector.currentNode().SetCenter(500, 0, 0)
        self.assertTrue(fixtures.waitFor(lambda: not self.ui.segmentButton.enabled, 5))
        text = "The region does not touch T1. Move it over the image, or use the whole image."
        self.assertTold(text, ["Whole image"], blocks=True)
        self.press("Whole image")
        self.assertTrue(self.ui.segmentButton.enabled)

    def test_regionFollowsItsTransform(self):
        self.choose("brain-regions", T1=fixtures.sphereVolume("T1"))
        self.ui.newRegionButton.click()
        roi = self.ui.regionSelector.currentNode()
        matrix = np.diag([2.0, 2.0, 2.0, 1.0])
        matrix[:3, 3] = (5, 6, 7)
        fixtures.moved(roi, matrix)
        entry = RegionBox.entryOf(roi)
        np.testing.assert_allclose(entry["center"], [-5, -6, 7], atol=1e-6)
        np.testing.assert_allclose(entry["size"], [96, 104, 112], atol=1e-6)

    def test_photosHaveAScaleAndNoRegion(self):
        self.choose("photo", Photo=fixtures.colorPicture("IMG"))
        self.assertFalse(self.ui.scaleSpinBox.isHidden())
        self.assertTrue(self.ui.regionSelector.isHidden())
        request = self.requestOf()
        self.assertIsNone(request["mm_per_px"])
        self.assertNotIn("overlap", request)
        self.ui.scaleSpinBox.value = 0.05
        self.assertEqual(self.requestOf()["mm_per_px"], 0.05)
        self.choose("brain-regions")
        self.assertTrue(self.ui.scaleSpinBox.isHidden())
