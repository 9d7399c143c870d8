"""Names of images, cards and labels from anywhere are shown as they are: no widget reads them as HTML."""

import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.images.SuvDialog import SuvDialog
from VeloxSegSlicerLib.panel import CardView
from VeloxSegSlicerLib.results.LesionsTab import saveAs
from VeloxSegSlicerLib.run import Samples
from VeloxSegSlicerLib.widgets import Dialogs, Notice, PlainText

EVIL = '<img src="file://host/share/x.png">'
TAG = "<img"


def hostile(content: dict) -> dict:
    """A card with a tag in every text that a package may choose."""
    roles = [role | {"title": role["title"] + EVIL, "description": EVIL} for role in content["roles"]]
    labels = [label | {"name": label["name"] + EVIL} for label in content["labels"]]
    score = {"name": EVIL, "data": EVIL, "n": 3, "value": 0.5, "baseline": {"name": EVIL, "value": 0.4}}
    return content | {
        "title": content["title"] + EVIL,
        "task": {"id": content["task"]["id"], "title": content["task"]["title"] + EVIL},
        "summary": EVIL,
        "roles": roles,
        "labels": labels,
        "training": {"data": EVIL, "data_license": EVIL, "date": EVIL, "steps": 1},
        "scores": [score],
        "intended_use": EVIL,
        "not_for": EVIL,
        "limits": [EVIL],
        "license": EVIL,
        "citation": [EVIL],
    }


class VeloxSegSlicerForeignWordsTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.boxes = []
        for name in ("errorDisplay", "confirmOkCancelDisplay"):
            patcher = mock.patch.object(slicer.util, name, side_effect=lambda text, *_more: self.boxes.append(text))
            patcher.start()
            self.addCleanup(patcher.stop)

    def open(self, *contents):
        fixtures.writeCards(self.folder, *map(hostile, contents))
        self.widget = fixtures.openPanel(self.folder)
        self.panel, self.ui = self.widget.panel, self.widget.ui
        for card in self.panel.catalogue.cards:
            self.accept(card)
        self.addCleanup(self.leave)

    def accept(self, card):
        from VeloxSegSlicerLib.common import Licenses

        Licenses.accept(card)
        self.addCleanup(qt.QSettings().remove, Licenses.SETTING + card.key)

    def leave(self):
        self.panel.sceneWillClose()
        self.panel.manager.close()
        slicer.modules.veloxsegslicer.widgetRepresentation().exit()

    def assertShownAsItIs(self, root):
        """No widget below reads a foreign word as HTML; some show it."""
        seen = 0
        for widget in [root, *slicer.util.findChildren(root)]:
            if not widget.isWidgetType():
                continue
            self.assertNotIn(TAG, widget.toolTip, widget.objectName)
            if widget.inherits("QLabel"):
                self.assertEqual(widget.textFormat, qt.Qt.PlainText, widget.text)
                seen += TAG in widget.text
            if widget.inherits("QTextBrowser"):
                self.assertNotIn(TAG, widget.toHtml(), widget.objectName)
                seen += TAG in widget.toPlainText()
            if widget.inherits("QTableWidget"):
                seen += self.lookAtTable(widget)
        return seen

    def lookAtTable(self, table):
        items = [table.item(row, column) for row in range(table.rowCount) for column in range(table.columnCount)]
        items += [table.horizontalHeaderItem(column) for column in range(table.columnCount)]
        for item in filter(None, items):
            self.assertNotIn(TAG, item.toolTip())
        return sum(TAG in item.text() for item in items if item is not None)

    def test_cardsImagesAndResults(self):
        self.open(fixtures.petctCard(), fixtures.brainCard())
        fixtures.chooseTask(self.widget, "petct-lesions")
        fixtures.sphereVolume("CT " + EVIL), fixtures.sphereVolume("PET SUVbw " + EVIL, size=(12, 13, 14), spacing=(4, 4, 4))
        self.panel.assign()
        self.panel.update()
        root = self.ui.noticeFrame.parent()
        self.assertGreater(self.assertShownAsItIs(root), 1)
        fixtures.segment(self.widget)
        self.assertIn("Done", self.ui.noticeLabel.text)
        result = self.panel.parameters.result
        self.assertIn(TAG, result.GetName())
        other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", EVIL)
        other.GetSegmentation().AddEmptySegment(EVIL, EVIL)
        self.ui.referenceSelector.setCurrentNode(other)
        self.panel.update()
        self.assertGreater(self.assertShownAsItIs(root), 3)

    def test_noticesOfEveryKind(self):
        self.open(fixtures.petctCard())
        for code, facts in (
            ("ROLE_COLOR", {"image": EVIL, "role": EVIL}),
            ("IMAGE_MISSING", {"image": EVIL}),
            ("MODEL_CARD", {"folder": EVIL, "reason": EVIL}),
            ("BATCH_OUTPUT", {"folder": EVIL}),
        ):
            self.panel.tell(self.panel.messageOf(VeloxSegError(code, **facts)), isFirst=True)
            self.assertIn(TAG, self.ui.noticeLabel.text)
            self.assertShownAsItIs(self.ui.noticeFrame)
        self.panel.tell(Notice.Message(Notice.STOP, VeloxSegError.fromEngine("REQUEST", EVIL).text), isFirst=True)
        self.assertShownAsItIs(self.ui.noticeFrame)

    def test_batch(self):
        self.open(fixtures.brainCard())
        self.panel.batch._showPreview(
            {
                "cases": [{"name": EVIL, "files": {"T1": EVIL}, "size": None, "state": EVIL, "text": EVIL}],
                "patterns": {"T1": EVIL},
                "bytes": None,
                "free_bytes": None,
                "seconds": None,
            }
        )
        self.panel.batch._fail(VeloxSegError("IMAGE_MISSING", image=EVIL))
        self.assertGreater(self.assertShownAsItIs(self.ui.batchCollapsibleButton), 2)

    def test_modelManagerAndCard(self):
        self.open(fixtures.petctCard(), fixtures.brainCard())
        self.panel.manager.show()
        self.assertGreater(self.assertShownAsItIs(self.panel.manager.dialog), 2)
        self.panel.manager.ui.modelsTable.selectAll()
        self.panel.manager.compare()
        self.assertShownAsItIs(self.panel.manager.dialog)
        dialog = CardView.show(self.panel.catalogue.cards[0])
        self.addCleanup(dialog.close)
        self.assertEqual(self.assertShownAsItIs(dialog), 1)

    def test_windowsAndBoxes(self):
        self.open(fixtures.petctCard())
        window = Dialogs.showText(EVIL, EVIL)
        self.addCleanup(window.close)
        self.assertGreater(self.assertShownAsItIs(window), 0)
        dialog = SuvDialog(fixtures.sphereVolume("PET " + EVIL), lambda copy: None)
        self.assertEqual(self.assertShownAsItIs(dialog.window), 1)
        downloader = Samples._Downloader(fixtures.modulePath(), Samples.PETCT)
        downloader._onFinished(None, VeloxSegError("IMAGE_MISSING", image=EVIL))

        def fail(_path):
            raise OSError(5, EVIL)

        with mock.patch.object(qt.QFileDialog, "getSaveFileName", return_value="x.csv"):
            saveAs("x.csv", fail)
        self.panel.manager.show()
        self.panel.manager.remove()
        self.assertEqual(len(self.boxes), 3)
        for text in self.boxes:
            self.assertNotIn(TAG, text)
            self.assertIn("&lt;img", text)

    def test_ordinaryToolTipsStay(self):
        self.assertEqual(PlainText.toolTip("Starts it; 3 > 2."), "Starts it; 3 > 2.")
        self.assertEqual(PlainText.toolTip("A & B\n<b>"), "<p>A &amp; B<br>&lt;b&gt;</p>")
