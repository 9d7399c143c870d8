"""What is odd about images, asked or told by the panel in the words of the engine."""

import shutil
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import VeloxSegSlicerFixtures as fixtures

from veloxseg.contract import errors as engine
from veloxseg.contract import plausibility
from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.images import ImageStatistics, InputOptions, Plausibility, Verdicts
from VeloxSegSlicerLib.images.InputImage import readAll
from VeloxSegSlicerLib.images.InputOptions import InputOptions as Options

SIZE = (48, 40, 44)


class VeloxSegSlicerPlausibilityTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        folder = self.folder()
        self.brain = fixtures.loadCard(folder / "brain", fixtures.brainCard())
        self.petct = self.cardOf(folder / "petct")
        self.strict = self.cardOf(folder / "strict", plausibility={"CT_OFFSET": "refuse", "COVERAGE": "ignore"})

    def folder(self):
        folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def cardOf(self, folder, **changes):
        content = fixtures.petctCard() | changes
        content["roles"][0]["unit"] = "HU"
        return fixtures.loadCard(folder, content)

    def body(self, name, air, tissue, size=SIZE, fat=None):
        """A ball of tissue, half of it fat, in air."""
        volume = fixtures.sphereVolume(name, size=size, radius=30.0, high=1.0)
        array = slicer.util.arrayFromVolume(volume)
        noise = np.random.default_rng(len(name)).normal(0, 0.01 * abs(tissue), array.shape)
        inside = array > 0.6
        array[:] = np.where(inside, tissue, air) + noise
        if fat is not None:
            array[inside & (np.arange(array.shape[0]) % 2 == 0)[:, None, None]] = fat
        slicer.util.arrayFromVolumeModified(volume)
        return volume

    def ct(self, shift=0.0, size=SIZE):
        return self.body("CT", -1000.0 + shift, 50.0 + shift, size, fat=-100.0 + shift)

    def pet(self, scale=1.0):
        return self.body("PET SUVbw", 0.005 * scale, 2.0 * scale)

    def judged(self, card, options=None, **images):
        verdicts = Verdicts.judge(card, readAll(images), options)
        return Verdicts.firstProblem(card, verdicts), Verdicts.firstAdvice(card, verdicts)

    def test_plain(self):
        self.assertEqual(self.judged(self.petct, CT=self.ct(), PET=self.pet()), (None, None))

    def test_toldAndNotAsked(self):
        for code, images in (
            ("CT_OFFSET", {"CT": self.ct(1024.0), "PET": self.pet()}),
            ("PET_LOW", {"CT": self.ct(), "PET": self.pet(0.01)}),
            ("COVERAGE", {"CT": self.ct(size=(48, 40, 11)), "PET": self.pet()}),
        ):
            problem, advice = self.judged(self.petct, **images)
            self.assertIsNone(problem)
            self.assertEqual(advice.code, code)
            self.assertEqual(advice.text, engine.ODD[code][0].format(**advice.facts))
        self.assertIn("CT covers 25 % of PET", advice.text)

    def test_fewSlices(self):
        _problem, advice = self.judged(self.brain, T1=fixtures.sphereVolume("T1", size=(40, 40, 1)))
        self.assertEqual(advice.code, "GRID_SLICES")

    def test_askedAndAccepted(self):
        swapped = {"CT": self.pet(), "PET": self.ct()}
        problem, _advice = self.judged(self.petct, **swapped)
        self.assertEqual((problem.code, problem.actions[0]), ("ROLES_SWAPPED", "accept"))
        tiny = fixtures.sphereVolume("T1")
        tiny.SetSpacing(0.001, 0.001, 0.001)
        problem, _advice = self.judged(self.brain, T1=tiny)
        self.assertEqual(problem.text, "Voxels of T1 have an edge of 0.001 mm, as no scanner makes them.")
        options = Options(accepted=frozenset({("GRID_SPACING", "T1")}))
        self.assertEqual(self.judged(self.brain, options, T1=tiny), (None, None))
        self.assertEqual(Plausibility.acceptedCodes(options), ["GRID_SPACING"])
        self.assertNotIn("GRID_SPACING", InputOptions.acceptedText("GRID_SPACING", "T1"))

    def test_theCardDecides(self):
        problem, _advice = self.judged(self.strict, CT=self.ct(1024.0), PET=self.pet())
        self.assertEqual(problem.code, "CT_OFFSET")
        problem, advice = self.judged(self.strict, CT=self.ct(size=(48, 40, 11)), PET=self.pet())
        self.assertEqual((problem, advice.code), (None, "GRID_PART"))

    def test_cardThatDecidesNonsense(self):
        for wrong in ([], {"COVERAGE": "perhaps"}, {"COVERAGE": None}):
            with self.assertRaises(VeloxSegError) as caught:
                self.cardOf(self.folder(), plausibility=wrong)
            self.assertIn("plausibility", caught.exception.text)

    def test_activityThatIsScaledIsNoMatter(self):
        options = Options(accepted=frozenset({(InputOptions.ACTIVITY, "PET")}))
        unit = slicer.vtkCodedEntry()
        unit.SetValueSchemeMeaning("MBq/ml", "UCUM", "activity")
        pet = self.pet(0.002)
        pet.SetVoxelValueUnits(unit)
        self.assertEqual(self.judged(self.petct, options, CT=self.ct(), PET=pet), (None, None))

    def test_sameRegionOnlyWhereItIs(self):
        pet = fixtures.sphereVolume("PET SUVbw", size=(12, 13, 14), spacing=(4, 4, 4), radius=10.0, high=8.0)
        same = fixtures.sphereVolume("CT", size=(24, 26, 28))
        narrow = fixtures.sphereVolume("CT", size=(18, 18, 28), radius=10.0)
        _problem, advice = self.judged(self.plain(), CT=same, PET=pet)
        self.assertIn("cover the same region", advice.text)
        _problem, advice = self.judged(self.plain(), CT=narrow, PET=pet)
        self.assertEqual(advice.code, "GRID_PART")
        self.assertIn("CT covers 52 % of PET.", advice.text)

    def plain(self):
        return fixtures.loadCard(self.folder(), fixtures.petctCard())

    def test_sameWordsAsTheEngine(self):
        """A finding of the panel has the facts that the engine's note has."""
        images = {"CT": self.ct(1024.0), "PET": self.pet()}
        looked = {name: ImageStatistics.lookAt(node) for name, node in images.items()}
        (finding,) = plausibility.findings(self.petct, looked)
        note = engine.note(finding.code, **finding.facts)
        _problem, advice = self.judged(self.petct, **images)
        self.assertTrue(note.text.startswith(advice.text))
