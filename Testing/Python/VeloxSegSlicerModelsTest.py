"""Model cards and catalogue: what is read, what is refused, and with which sentence."""

import shutil
import tempfile
import unittest
from pathlib import Path

import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib import CardView
from VeloxSegSlicerLib.Errors import VeloxSegError
from VeloxSegSlicerLib.Models import Catalogue, readCard


class VeloxSegSlicerModelsTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)

    def test_cardFields(self):
        card = fixtures.loadCard(self.folder, fixtures.petctCard())
        self.assertEqual([role.name for role in card.roles], ["CT", "PET"])
        self.assertEqual(card.reference.name, "PET")
        self.assertTrue(card.isDemo)
        self.assertEqual(card.labels[0].color, (230, 90, 60))

    def test_terminologyIsUnderstoodBySlicer(self):
        card = fixtures.loadCard(self.folder, fixtures.brainCard())
        entry = slicer.vtkSlicerTerminologyEntry()
        self.assertTrue(
            slicer.vtkSlicerTerminologiesModuleLogic.DeserializeTerminologyEntry(
                card.labels[0].terminology, entry
            )
        )
        self.assertEqual(entry.GetTypeObject().GetCodeMeaning(), "Frontal lobe")
        self.assertEqual(entry.GetCategoryObject().GetCodeValue(), "123037004")

    def test_neoplasmUsesTheListThatHasIt(self):
        card = fixtures.loadCard(self.folder, fixtures.petctCard())
        self.assertTrue(
            card.labels[0].terminology.startswith("Segmentation category and type - DICOM master list~")
        )

    def test_catalogueOrder(self):
        fixtures.writeCards(
            self.folder,
            fixtures.petctCard(),
            fixtures.brainCard(),
            fixtures.brainCard() | {"id": "older", "version": "1.1.9"},
            fixtures.brainCard() | {"id": "newerDemo", "version": "2.0.0", "demo": True},
        )
        catalogue = Catalogue(self.folder)
        self.assertEqual(list(catalogue.tasks()), ["brain-regions", "petct-lesions"])
        self.assertEqual(
            [card.id for card in catalogue.models("brain-regions")], ["test-brain", "older", "newerDemo"]
        )

    def test_brokenCardsDoNotHideTheOthers(self):
        fixtures.writeCards(self.folder, fixtures.brainCard(), fixtures.petctCard() | {"labels": None})
        (self.folder / "text" / "configs").mkdir(parents=True)
        (self.folder / "text" / "configs" / "velox.json").write_text("{not json", encoding="utf-8")
        catalogue = Catalogue(self.folder)
        self.assertEqual([card.id for card in catalogue.cards], ["test-brain"])
        self.assertEqual([error.code for error in catalogue.errors], ["MODEL_CARD", "MODEL_CARD"])

    def test_refusals(self):
        brain = fixtures.brainCard()
        withoutReference = [role | {"reference": False} for role in brain["roles"]]
        for name, content, part in (
            ("version", brain | {"schema_version": 2}, "format 2"),
            ("reference", brain | {"roles": withoutReference}, "exactly one reference"),
            ("doubled", brain | {"roles": brain["roles"] + withoutReference}, "twice"),
            ("kind", brain | {"roles": [brain["roles"][0] | {"kind": "video"}]}, "video"),
            ("missing", {key: value for key, value in brain.items() if key != "threshold"}, "threshold"),
        ):
            with self.subTest(name):
                fixtures.writeCards(self.folder / name, content)
                with self.assertRaises(VeloxSegError) as caught:
                    readCard(self.folder / name / "test-brain")
                self.assertIn(part, caught.exception.text)

    def test_emptyFolder(self):
        self.assertEqual(Catalogue(self.folder / "nothing").cards, [])

    def test_cardViewEscapesThePackage(self):
        content = fixtures.petctCard() | {"intended_use": "<script>alert(1)</script>"}
        content["scores"] = [
            {
                "name": "Dice",
                "data": "phantoms",
                "n": 30,
                "seed": 1,
                "value": 0.8,
                "interval_95": [0.7, 0.9],
                "synthetic": True,
                "baseline": {"name": "copied labels", "value": 0.5},
            }
        ]
        html = CardView.html(fixtures.loadCard(self.folder, content))
        self.assertNotIn("<script>", html)
        self.assertIn("synthetic", html)
        self.assertIn("copied labels", html)
        self.assertIn("Demo weights", html)
