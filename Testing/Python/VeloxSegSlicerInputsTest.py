"""Which image serves which role, and the verdict on each before a run."""

import shutil
import tempfile
import unittest

import numpy as np
import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.common import Geometry
from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.common.Parameters import Decisions, RoleChoices
from VeloxSegSlicerLib.images import Inputs, Verdicts
from VeloxSegSlicerLib.images.InputImage import InputImage, readAll
from VeloxSegSlicerLib.images.InputOptions import InputOptions


class VeloxSegSlicerInputsTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        folder = tempfile.mkdtemp(prefix="VeloxModels")
        self.addCleanup(shutil.rmtree, folder)
        self.brain = fixtures.loadCard(folder, fixtures.brainCard())
        self.petct = fixtures.loadCard(folder, fixtures.petctCard())
        self.photo = fixtures.loadCard(folder, fixtures.photoCard())

    def assigned(self, card, taken=None):
        found = Inputs.assign(card.roles, Inputs.imagesInScene(), taken or {})
        return {role: node.GetName() for role, node in found.items()}

    def kinds(self, card, **images):
        verdicts = Verdicts.judge(card, readAll({role.name: images.get(role.name) for role in card.roles}))
        return {name: verdict.kind for name, verdict in verdicts.items()}

    def test_assignByName(self):
        for name in ("5: PET SUVbw", "scout", "3: CT Thorax"):
            fixtures.sphereVolume(name)
        self.assertEqual(self.assigned(self.petct), {"CT": "3: CT Thorax", "PET": "5: PET SUVbw"})

    def test_shortPatternsAreWholeWords(self):
        fixtures.sphereVolume("Ax T1c post")
        fixtures.sphereVolume("Sag MPRAGE")
        fixtures.sphereVolume("FLAIR")
        self.assertEqual(self.assigned(self.brain), {"T1": "Sag MPRAGE"})

    def test_modalityBeatsName(self):
        series, other = fixtures.sphereVolume("Series 4"), fixtures.sphereVolume("ct-like")
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        for node, modality in ((series, "CT"), (other, "MR")):
            hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(node), "DICOM.Modality", modality)
        self.assertEqual(self.assigned(self.petct), {"CT": "Series 4"})

    def test_unitSuggestsPet(self):
        fixtures.sphereVolume("a")
        volume = fixtures.sphereVolume("b")
        unit = slicer.vtkCodedEntry()
        unit.SetValueSchemeMeaning("{SUVbw}g/ml", "UCUM", "SUV")
        volume.SetVoxelValueUnits(unit)
        self.assertEqual(self.assigned(self.petct), {"PET": "b"})

    def test_onlyImageGoesToOnlyRole(self):
        fixtures.sphereVolume("MRHead")
        self.assertEqual(self.assigned(self.brain), {"T1": "MRHead"})
        fixtures.sphereVolume("Another")
        self.assertEqual(self.assigned(self.brain), {})

    def test_takenImageIsNotGivenTwice(self):
        only = fixtures.sphereVolume("PET CT fused")
        self.assertEqual(self.assigned(self.petct, {"CT": only}), {})

    def test_labelMapsAndHiddenImagesAreNoImages(self):
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "T1 labels")
        fixtures.sphereVolume("T1 hidden").SetHideFromEditors(True)
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1 without voxels")
        self.assertEqual(Inputs.imagesInScene(), [])

    def test_choiceByHandIsKnown(self):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        choices = RoleChoices(node)
        volume = fixtures.sphereVolume("x")
        choices.choose("T1", volume, byHand=True)
        self.assertTrue(choices.isByHand("T1"))
        slicer.mrmlScene.RemoveNode(volume)
        self.assertIsNone(choices.image("T1"))
        self.assertFalse(choices.isByHand("T1"))

    def test_referenceAndSameGrid(self):
        kinds = self.kinds(self.petct, CT=fixtures.sphereVolume("CT"), PET=fixtures.sphereVolume("PET SUV"))
        self.assertEqual(kinds, {"CT": Verdicts.OK, "PET": Verdicts.REFERENCE})

    def test_otherGridIsResampled(self):
        coarse = fixtures.sphereVolume("PET", size=(12, 13, 14), spacing=(4, 4, 4))
        kinds = self.kinds(self.petct, CT=fixtures.sphereVolume("CT"), PET=coarse)
        self.assertEqual(kinds["CT"], Verdicts.RESAMPLED)

    def test_tinyDifferencesAreTheSameGrid(self):
        shifted = fixtures.sphereVolume("CT", center=(0.05, 0, 0))
        self.assertEqual(self.kinds(self.petct, CT=shifted, PET=fixtures.sphereVolume("PET"))["CT"], Verdicts.OK)
        shifted = fixtures.sphereVolume("CT", center=(0.2, 0, 0))
        self.assertEqual(self.kinds(self.petct, CT=shifted, PET=fixtures.sphereVolume("PET"))["CT"], Verdicts.RESAMPLED)

    def test_missing(self):
        self.assertEqual(
            self.kinds(self.petct, CT=fixtures.sphereVolume("CT")),
            {"CT": Verdicts.OK, "PET": Verdicts.MISSING},
        )

    def test_doubledIsRefusedOnTheSecondRow(self):
        volume = fixtures.sphereVolume("CT")
        verdicts = Verdicts.judge(self.petct, readAll({"CT": volume, "PET": volume}))
        self.assertEqual(verdicts["PET"].error.code, "ROLE_DOUBLED")
        self.assertIn("Already used for CT", verdicts["PET"].text)

    def test_halfIsEnoughOverlapAsForTheEngine(self):
        for shift, kind in ((24, Verdicts.RESAMPLED), (26, Verdicts.OVERLAP)):  # of 48 mm
            images = {"CT": fixtures.sphereVolume("CT", center=(shift, 0, 0)), "PET": fixtures.sphereVolume("PET")}
            self.assertEqual(Verdicts.judge(self.petct, readAll(images))["CT"].kind, kind)

    def test_littleOverlapBlocks(self):
        pet = fixtures.sphereVolume("PET")
        verdicts = Verdicts.judge(self.petct, readAll({"CT": fixtures.sphereVolume("CT", center=(30, 0, 0)), "PET": pet}))
        self.assertEqual(verdicts["CT"].kind, Verdicts.OVERLAP)
        self.assertIn("38 %", verdicts["CT"].text)
        verdicts = Verdicts.judge(self.petct, readAll({"CT": fixtures.sphereVolume("CT", center=(200, 0, 0)), "PET": pet}))
        self.assertIn("by 0 %", verdicts["CT"].text)

    def test_linearTransformIsShownAndCounted(self):
        volume = fixtures.sphereVolume("CT")
        matrix = np.eye(4)
        matrix[0, 3] = 6
        fixtures.moved(volume, matrix)
        self.assertEqual(self.kinds(self.petct, CT=volume, PET=fixtures.sphereVolume("PET"))["CT"], Verdicts.MOVED)
        matrix[0, 3] = 300
        volume.GetParentTransformNode().SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        self.assertEqual(self.kinds(self.petct, CT=volume, PET=fixtures.sphereVolume("PET"))["CT"], Verdicts.OVERLAP)

    def codeOf(self, card, **images):
        verdicts = Verdicts.judge(card, readAll(images))
        problem = Verdicts.firstProblem(card, verdicts)
        self.assertIsInstance(problem, VeloxSegError)
        return problem.code

    def test_bentImageIsRefused(self):
        volume = fixtures.sphereVolume("T1")
        fixtures.bent(volume)
        self.assertEqual(self.codeOf(self.brain, T1=volume), "ROLE_NONLINEAR")

    def test_skewedAndFlatImagesAreRefused(self):
        volume = fixtures.sphereVolume("T1")
        matrix = np.eye(4)
        matrix[0, 1] = 0.5
        transform = fixtures.moved(volume, matrix)
        self.assertEqual(self.codeOf(self.brain, T1=volume), "ROLE_SHEAR")
        matrix[0, :2] = 0
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        self.assertEqual(self.codeOf(self.brain, T1=volume), "ROLE_SHEAR")

    def test_slightShearIsStraightened(self):
        volume = fixtures.sphereVolume("T1")
        matrix = np.eye(4)
        matrix[0, 1] = 0.004
        fixtures.moved(volume, matrix)
        self.assertIsNone(Verdicts.firstProblem(self.brain, Verdicts.judge(self.brain, readAll({"T1": volume}))))
        grid = Geometry.worldGrid(volume)
        axes = grid.ijkToRas[:3, :3] / grid.spacing
        self.assertLess(np.abs(axes.T @ axes - np.eye(3)).max(), 1e-9)
        self.assertEqual(Inputs.remark(self.brain.reference, InputImage(volume)).code, "ROLE_STRAIGHTENED")

    def test_imageOfNoNumbersIsRefused(self):
        volume = fixtures.sphereVolume("T1")
        array = slicer.util.arrayFromVolume(volume).astype(np.float32)
        array.flat[: round(0.6 * array.size)] = np.nan
        slicer.util.updateVolumeFromArray(volume, array)
        self.assertEqual(self.codeOf(self.brain, T1=volume), "IMAGE_NO_NUMBERS")

    def test_colorPictureIsNoScan(self):
        self.assertEqual(self.codeOf(self.brain, T1=fixtures.colorPicture("IMG")), "ROLE_COLOR")

    def test_otherKindsOfVolumes(self):
        for count in (2, 6):
            values = np.random.default_rng(1).normal(size=(4, 40, 40, count)).astype(np.float32)
            field = slicer.util.addVolumeFromArray(values, name="field", nodeClassName="vtkMRMLVectorVolumeNode")
            self.assertEqual(self.codeOf(self.brain, T1=field), "ROLE_COMPONENTS")
        values = np.zeros((20, 40, 40), np.uint8)
        values[5:9] = 1
        labels = slicer.util.addVolumeFromArray(values, name="labels", nodeClassName="vtkMRMLLabelMapVolumeNode")
        self.assertEqual(self.codeOf(self.brain, T1=labels), "ROLE_LABELS")

    def test_scanIsNoColorPicture(self):
        self.assertEqual(self.codeOf(self.photo, Photo=fixtures.sphereVolume("CT")), "ROLE_GRAY")
        self.assertEqual(self.kinds(self.photo, Photo=fixtures.colorPicture("IMG")), {"Photo": Verdicts.REFERENCE})

    def test_activityIsNotSuv(self):
        volume = fixtures.sphereVolume("PET")
        unit = slicer.vtkCodedEntry()
        unit.SetValueSchemeMeaning("Bq/ml", "UCUM", "activity")
        volume.SetVoxelValueUnits(unit)
        verdicts = Verdicts.judge(self.petct, readAll({"CT": fixtures.sphereVolume("CT"), "PET": volume}))
        self.assertEqual(verdicts["PET"].error.code, "ROLE_UNIT")
        self.assertEqual(verdicts["PET"].kind, Verdicts.UNIT)

    def test_imageWithoutVoxels(self):
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1")
        self.assertEqual(self.codeOf(self.brain, T1=empty), "ROLE_EMPTY")

    def test_overlapIsExactForBoxes(self):
        first = Geometry.worldGrid(fixtures.sphereVolume("a", size=(20, 20, 20), spacing=(1, 1, 1)))
        half = Geometry.worldGrid(fixtures.sphereVolume("b", size=(20, 20, 20), spacing=(1, 1, 1), center=(10, 0, 0)))
        inside = Geometry.worldGrid(fixtures.sphereVolume("c", size=(4, 4, 4), spacing=(1, 1, 1), axes=fixtures.OBLIQUE))
        self.assertAlmostEqual(Geometry.overlap(first, half), 0.5)
        self.assertEqual(Geometry.overlap(inside, first), 1.0)
        self.assertEqual(Geometry.overlap(first, inside), 1.0)

    def test_everyVerdictHasAWord(self):
        for kind in ("reference", "ok", "resampled", "moved", "overlap", "missing", "unsuitable"):
            self.assertTrue(Verdicts.Verdict(kind, "").word)

    def test_decisionHoldsForItsImagesOnly(self):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        decisions = Decisions(node)
        ct, pet, other = (fixtures.sphereVolume(name) for name in ("CT", "PET", "other"))
        decisions.accept("ROLE_OVERLAP", "CT", {"CT": ct, "PET": pet}, "PET")
        self.assertEqual(decisions.accepted({"CT": ct, "PET": pet}, "PET"), {("ROLE_OVERLAP", "CT")})
        self.assertEqual(decisions.accepted({"CT": other, "PET": pet}, "PET"), frozenset())
        self.assertEqual(decisions.accepted({"CT": ct, "PET": other}, "PET"), frozenset())
        self.assertEqual(decisions.accepted({"CT": None, "PET": None}, "PET"), frozenset())

    def test_acceptedOverlapDoesNotBlock(self):
        images = {"CT": fixtures.sphereVolume("CT", center=(200, 0, 0)), "PET": fixtures.sphereVolume("PET SUV")}
        self.assertEqual(self.codeOf(self.petct, **images), "ROLE_OVERLAP")
        verdicts = Verdicts.judge(self.petct, readAll(images), InputOptions(frozenset({("ROLE_OVERLAP", "CT")})))
        self.assertIsNone(Verdicts.firstProblem(self.petct, verdicts))
