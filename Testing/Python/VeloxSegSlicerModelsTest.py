"""Model cards and catalogue: what is read, what is refused, and with which sentence."""

import copy
import json
import shutil
import tempfile
import unittest
from pathlib import Path

import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.common import CardCheck
from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.common.Models import Catalogue, readCard
from VeloxSegSlicerLib.panel import CardView

WRONG = (None, True, "text", "", -1, 10**400, float("nan"), [], [1], {}, {"a": 1}, chr(0xD800), "a~b^c|d", "9" * 5000)


class VeloxSegSlicerModelsTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)

    def test_cardFields(self):
        card = fixtures.loadCard(self.folder, fixtures.petctCard())
        self.assertEqual([role.name for role in card.roles], ["CT", "PET"])
        self.assertEqual(card.reference.name, "PET")
        self.assertEqual((card.level, card.is_demo, card.marked_title), ("demo", True, "[demo] Test PET/CT lesions"))
        self.assertEqual(card.labels[0].color, (230, 90, 60))

    def test_terminologyIsUnderstoodBySlicer(self):
        card = fixtures.loadCard(self.folder, fixtures.brainCard())
        entry = slicer.vtkSlicerTerminologyEntry()
        self.assertTrue(
            slicer.vtkSlicerTerminologiesModuleLogic.DeserializeTerminologyEntry(card.labels[0].terminology_entry, entry)
        )
        self.assertEqual(entry.GetTypeObject().GetCodeMeaning(), "Frontal lobe")
        self.assertEqual(entry.GetCategoryObject().GetCodeValue(), "123037004")

    def test_cardsOfBeforeThereWereLevels(self):
        card = fixtures.petctCard()
        del card["level"]
        for said, level in ((True, "demo"), (False, "research")):
            self.assertEqual(fixtures.loadCard(self.folder / level, card | {"demo": said}).level, level)
        for wrong in ({}, {"level": "clinical"}):
            self.assertIn("level", CardCheck.problemOf(card | wrong))

    def test_neoplasmUsesTheListThatHasIt(self):
        card = fixtures.loadCard(self.folder, fixtures.petctCard())
        self.assertTrue(card.labels[0].terminology_entry.startswith("Segmentation category and type - DICOM master list~"))

    def test_organsUseSlicersOwnList(self):
        card = fixtures.loadCard(self.folder, fixtures.brainCard())
        self.assertEqual(
            card.labels[0].terminology_entry,
            "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
            "~SCT^83251001^Frontal lobe~^^~Anatomic codes - DICOM master list~^^~^^",
        )

    def test_catalogueOrder(self):
        fixtures.writeCards(
            self.folder,
            fixtures.petctCard(),
            fixtures.brainCard(),
            fixtures.brainCard() | {"id": "older", "version": "1.1.9"},
            fixtures.brainCard() | {"id": "newerDemo", "version": "2.0.0", "level": "demo"},
        )
        catalogue = Catalogue(self.folder)
        self.assertEqual(list(catalogue.tasks()), ["brain-regions", "petct-lesions"])
        self.assertEqual([card.id for card in catalogue.models("brain-regions")], ["test-brain", "older", "newerDemo"])

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
            ("kind", brain | {"roles": [brain["roles"][0] | {"kind": "video"}]}, "roles[0].kind"),
            ("missing", {key: value for key, value in brain.items() if key != "threshold"}, "threshold"),
        ):
            with self.subTest(name):
                fixtures.writeCards(self.folder / name, content)
                with self.assertRaises(VeloxSegError) as caught:
                    readCard(self.folder / name / "test-brain")
                self.assertIn(part, caught.exception.text)

    def test_everyFieldOfACardIsLookedAt(self):
        """What is read can be shown; everything else is refused with one sentence."""
        content = fixtures.photoCard() | {"spacing_mm": None, "sampling": fixtures.photoCard()["sampling"]}
        content["scores"] = [{"name": "Dice", "data": "some", "n": 3, "value": 0.5, "interval_95": [0.4, 0.6],
                              "baseline": {"name": "copied", "value": 0.3}, "synthetic": True}]  # fmt: skip
        refused = 0
        for path in paths(content):
            for wrong in WRONG:
                changed = changedAt(content, path, wrong)
                shutil.rmtree(self.folder / "card", ignore_errors=True)
                (self.folder / "card" / "configs").mkdir(parents=True)
                (self.folder / "card" / "configs" / "velox.json").write_text(json.dumps(changed), encoding="utf-8")
                try:
                    card = readCard(self.folder / "card")
                except VeloxSegError as error:
                    self.assertEqual(error.code, "MODEL_CARD")
                    self.assertLess(len(error.text), 300)
                    refused += 1
                    continue
                CardView.html(card).encode()
                CardView.comparison(card, card)
        self.assertGreater(refused, 300)

    def test_deepOrHugeCards(self):
        for text in ("[" * 100_000, '{"schema_version": ' + "9" * 5000 + "}", "3", "null", '"text"'):
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            (folder / "configs").mkdir()
            (folder / "configs" / "velox.json").write_text(text, encoding="utf-8")
            with self.assertRaises(VeloxSegError) as caught:
                readCard(folder)
            self.assertEqual(caught.exception.code, "MODEL_CARD")

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


def paths(value, path=()):
    """The path to every value of a JSON content."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from paths(entry, (*path, key))


def changedAt(content, path, value):
    """A copy with another value at a path."""
    changed = copy.deepcopy(content)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed
