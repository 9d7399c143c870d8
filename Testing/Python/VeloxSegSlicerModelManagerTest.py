"""The dialog of the models and licenses, with an engine that only plays its part."""

import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

from veloxseg.contract import limits
from VeloxSegSlicerLib.common import Licenses
from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.common.Models import Catalogue
from VeloxSegSlicerLib.panel import CardView
from VeloxSegSlicerLib.panel.ModelManager import ModelManager
from VeloxSegSlicerLib.run.Segmenter import RunListener, RunSettings, Segmenter

FAKE_MODELS = Path(__file__).resolve().parent / "VeloxSegSlicerFakeModels.py"
RESTRICTIVE = "CC-BY-NC-4.0"


class VeloxSegSlicerModelManagerTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        self.folder = Path(tempfile.mkdtemp(prefix="Velox"))
        self.addCleanup(shutil.rmtree, self.folder)
        fixtures.writeCards(self.folder / "shipped", fixtures.brainCard(), fixtures.petctCard())
        (self.folder / "imported").mkdir()
        self.catalogue = Catalogue(self.folder / "shipped", self.folder / "imported")
        self.changes = []
        self.manager = self.newManager()
        qt.QSettings().remove(Licenses.SETTING.rstrip("/"))

    def newManager(self):
        manager = ModelManager(self.catalogue, fixtures.modulePath(), lambda line: None, lambda: self.changes.append(1))
        manager.tool.command = [fixtures.Setup.pythonProgram(), str(FAKE_MODELS)]
        self.addCleanup(manager.close)
        return manager

    def package(self, name="mine", **changes):
        """A package folder outside of the models."""
        fixtures.writeCards(self.folder / "new", fixtures.brainCard() | {"id": name, "title": name} | changes)
        return self.folder / "new" / name

    def importPackage(self, package):
        self.manager.importPackage(str(package))
        self.assertTrue(fixtures.waitFor(lambda: not self.manager.tool.isBusy))

    def rows(self):
        table = self.manager.ui.modelsTable
        return [[table.item(row, column).text() for column in range(6)] for row in range(table.rowCount)]

    def select(self, *titles):
        table = self.manager.ui.modelsTable
        table.clearSelection()
        for row, cells in enumerate(self.rows()):
            if cells[0].split("] ")[-1] in titles:
                for column in range(6):
                    table.item(row, column).setSelected(True)

    def test_listAndCard(self):
        self.manager.show(self.catalogue.card("test-petct"))
        self.assertEqual(
            [row[:4] for row in self.rows()],
            [
                ["[research] Test brain regions", "1.2.0", "Installed", "Shipped"],
                ["[demo] Test PET/CT lesions", "1.2.0", "Installed", "Shipped"],
            ],
        )
        html = self.manager.ui.cardBrowser.plainText
        self.assertIn("Test PET/CT lesions", html)
        self.assertIn("Demo weights", html)
        self.assertFalse(self.manager.ui.removeButton.enabled)
        self.assertTrue(self.manager.ui.verifyButton.enabled)

    def test_importShowsFourChecks(self):
        self.manager.show()
        self.changes.clear()
        self.importPackage(self.package())
        self.assertEqual(set(self.manager._checks.words().values()), {"Passed"})
        self.assertIn("Imported", self.manager.ui.messageLabel.text)
        self.assertIn("mine", self.manager.ui.cardBrowser.plainText)
        self.assertEqual(self.catalogue.card("mine").isImported, True)
        self.assertEqual(self.changes, [1])
        self.assertTrue(self.manager.ui.removeButton.enabled)

    def test_failedImportNamesWhatToFix(self):
        self.manager.show()
        self.importPackage(self.package("bad"))
        self.assertEqual(
            self.manager._checks.words(),
            {"safe": "Passed", "card": "Passed", "weights": "Failed", "test": "To do"},
        )
        self.assertIn("LICENSE has been changed", self.manager.ui.messageLabel.text)
        self.assertIsNone(self.catalogue.card("bad"))

    def test_verifyMarksADamagedModel(self):
        shutil.copytree(self.package("bad"), self.folder / "imported" / "bad-1.2.0")
        self.manager.show()
        self.select("bad")
        self.manager.verify()
        self.assertTrue(fixtures.waitFor(lambda: not self.manager.tool.isBusy))
        states = {row[0].split("] ")[-1]: row[2] for row in self.rows()}
        self.assertEqual(states["bad"], "Damaged")
        self.assertIn("LICENSE has been changed", self.manager.ui.cardBrowser.plainText)

    def test_brokenCardIsListed(self):
        (self.folder / "imported" / "broken" / "configs").mkdir(parents=True)
        (self.folder / "imported" / "broken" / "configs" / "velox.json").write_text("{", encoding="utf-8")
        self.manager.show()
        self.assertIn(["broken", "", "Damaged", "Imported", "0.0", ""], self.rows())
        self.select("broken")
        self.assertIn("cannot be used", self.manager.ui.cardBrowser.plainText)
        with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=True):
            self.manager.remove()
        self.assertFalse((self.folder / "imported" / "broken").exists())

    def test_removeAsksOnce(self):
        self.manager.show()
        self.importPackage(self.package())
        self.select("mine")
        with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=False) as question:
            self.manager.remove()
            self.assertEqual(question.call_count, 1)
            self.assertIn("frees", question.call_args.args[0])
        self.assertIsNotNone(self.catalogue.card("mine"))
        with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=True) as question:
            self.manager.remove()
            self.assertEqual(question.call_count, 1)
        self.assertIsNone(self.catalogue.card("mine"))
        self.assertIn("MB are free again", self.manager.ui.messageLabel.text)

    def test_newerVersionAndComparison(self):
        self.manager.show()
        scores = [{"name": "Dice", "value": 0.9, "n": 5, "data": "x", "synthetic": True}]
        self.importPackage(self.package("test-brain", version="1.10.0", title="Newer", scores=scores))
        states = {row[0].split("] ")[-1]: row[2] for row in self.rows()}
        self.assertEqual(states["Test brain regions"], "Newer version exists")
        self.assertEqual(self.catalogue.card("test-brain").version, "1.10.0")
        self.assertEqual(self.catalogue.card("test-brain 1.2.0").version, "1.2.0")
        self.select("Newer", "Test brain regions")
        self.assertTrue(self.manager.ui.compareButton.enabled)
        self.manager.ui.compareButton.click()
        text = self.manager.ui.cardBrowser.plainText
        for part in ("1.10.0", "1.2.0", "Dice", "0.90", "synthetic"):
            self.assertIn(part, text)

    def test_comparisonEscapesThePackages(self):
        card = fixtures.loadCard(self.folder / "x", fixtures.brainCard() | {"title": "<script>", "limits": ["<b>"]})
        html = CardView.comparison(card, card)
        self.assertNotIn("<script>", html)
        self.assertIn("&lt;b&gt;", html)

    def test_closeEndsACheck(self):
        self.manager.show()
        self.manager.importPackage(str(self.package("slow")))
        self.assertTrue(fixtures.waitFor(lambda: self.manager._checks.words()["safe"] == "Running..."))
        self.manager.close()
        self.assertFalse(self.manager.tool.isBusy)
        self.assertFalse(self.manager.dialog.visible)

    def test_anotherModelOfTheSameNameIsReplacedAfterAQuestion(self):
        package = self.package("taken")
        for answer, wanted in ((False, []), (True, ["taken"])):
            with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=answer) as ask:
                self.importPackage(package)
                if answer:
                    fixtures.waitFor(lambda: not self.manager.tool.isBusy)
            self.assertIn("Replace it?", ask.call_args.args[0])
            self.assertEqual([card.id for card in self.catalogue.cards if card.isImported], wanted)

    def test_importedTakesThePlaceOfShipped(self):
        self.manager.show()
        self.importPackage(self.package("test-brain", title="Same version"))
        cards = [card for card in self.catalogue.cards if card.id == "test-brain"]
        self.assertEqual([(card.title, card.isImported) for card in cards], [("Same version", True)])

    # Licenses

    def restrictive(self):
        package = self.package("strict", license=RESTRICTIVE)
        (package / "LICENSE").write_text("Not for money.", encoding="utf-8")
        self.manager.show()
        self.importPackage(package)
        return self.catalogue.card("strict")

    def test_licenseIsShownInFullAndRemembered(self):
        card = self.restrictive()
        self.assertFalse(Licenses.isAccepted(card))
        self.assertIn("Not for money.", self.manager.ui.cardBrowser.plainText)
        self.assertFalse(self.manager.ui.acceptButton.isHidden())
        self.assertIn("License not accepted", [row[2] for row in self.rows()])
        self.manager.ui.acceptButton.click()
        self.assertTrue(self.manager.ui.acceptButton.isHidden())
        self.assertTrue(Licenses.isAccepted(card))
        (card.folder / "LICENSE").write_text("Other words.", encoding="utf-8")
        self.assertFalse(Licenses.isAccepted(card))

    def test_noRunBeforeTheLicenseIsAccepted(self):
        card = self.restrictive()
        segmenter = Segmenter(fixtures.modulePath())
        images = {"T1": fixtures.sphereVolume("T1")}
        with self.assertRaises(VeloxSegError) as caught:
            segmenter.start(card, images, RunSettings(), RunListener())
        self.assertEqual(caught.exception.code, "MODEL_LICENSE")
        self.assertIn(RESTRICTIVE, caught.exception.text)

    def test_permissiveLicensesNeedNothing(self):
        for name in limits.PERMISSIVE:
            card = fixtures.loadCard(self.folder / name, fixtures.brainCard() | {"license": name})
            self.assertTrue(Licenses.isAccepted(card), name)
        for name in ("CC-BY-NC-4.0", "Decided by who trains it", "GPL-3.0"):
            card = fixtures.loadCard(self.folder / name, fixtures.brainCard() | {"license": name})
            self.assertFalse(Licenses.isAccepted(card), name)

    # In the panel

    def openPanel(self, *contents):
        """The panel with these imported cards beside the shipped ones."""
        fixtures.writeCards(self.folder / "imported", *contents)
        widget = fixtures.openPanel(self.folder / "shipped")
        self.addCleanup(slicer.modules.veloxsegslicer.widgetRepresentation().exit)
        widget.panel.catalogue.importedRoot = self.folder / "imported"
        self.addCleanup(widget.panel.manager.close)
        widget.panel.enter()
        return widget

    def choose(self, widget, cardId):
        widget.panel.chooseModel(widget.panel.catalogue.card(cardId))

    def test_panelOffersTheLicense(self):
        fixtures.readyEngine(self)
        widget = self.openPanel(fixtures.brainCard() | {"id": "strict", "license": RESTRICTIVE})
        self.choose(widget, "strict")
        fixtures.sphereVolume("T1")
        self.assertTrue(fixtures.waitFor(lambda: widget.ui.segmentButton.enabled))
        widget.ui.segmentButton.click()
        self.assertIn(RESTRICTIVE, widget.ui.noticeLabel.text)
        self.assertFalse(widget.panel.manager.dialog.visible)
        self.assertEqual(widget.ui.noticeFirstButton.text, "Read license...")
        widget.ui.noticeFirstButton.click()
        self.assertTrue(widget.panel.manager.dialog.visible)
        widget.panel.manager.ui.acceptButton.click()
        widget.panel.manager.close()
        widget.ui.segmentButton.click()
        self.assertTrue(widget.logic.segmenter.isBusy)
        self.assertTrue(fixtures.waitFor(lambda: not widget.logic.segmenter.isBusy))

    def test_taskGoesOnWithTheNextModel(self):
        widget = self.openPanel(fixtures.brainCard() | {"id": "mine", "title": "Mine", "version": "9.0.0"})
        self.choose(widget, "mine")
        widget.ui.manageButton.click()
        with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=True):
            widget.panel.manager.remove()
        self.assertEqual(widget.panel.card.id, "test-brain")
        self.assertIn("Test brain regions", widget.ui.modelComboBox.currentText)

    def test_twoVersionsAreTwoChoices(self):
        widget = self.openPanel(fixtures.brainCard() | {"version": "1.3.0"})
        self.choose(widget, "test-brain")
        combo = widget.ui.modelComboBox
        self.assertEqual([combo.itemText(index)[-5:] for index in range(combo.count)], ["1.3.0", "1.2.0"])
        combo.setCurrentIndex(1)
        combo.activated.emit(1)
        self.assertEqual(widget.panel.card.version, "1.2.0")
