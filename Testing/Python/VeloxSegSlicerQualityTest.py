"""Quality, uncertainty and device: what the panel offers, says and asks for, and the time it promises."""

import dataclasses
import json
import shutil
import tempfile
import unittest
from pathlib import Path

import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

from veloxseg.contract.windows_plan import WindowPlan
from VeloxSegSlicerLib.common.Parameters import Quality
from VeloxSegSlicerLib.engine.Protocol import Progress
from VeloxSegSlicerLib.images import RunEstimate
from VeloxSegSlicerLib.images.InputImage import readAll
from VeloxSegSlicerLib.images.InputOptions import InputOptions
from VeloxSegSlicerLib.panel import RunTexts
from VeloxSegSlicerLib.run import Times
from VeloxSegSlicerLib.run.Segmenter import RunSettings

SAMPLING = {"members": 10, "calls": 2, "method": "ddim", "fusion": "mean"}
SETTINGS = ("VeloxSegSlicer/Seconds", "VeloxSegSlicer/CheckSeconds", "VeloxSegSlicer/Devices", "VeloxSegSlicer/Device")


class QualityCase(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        forget()
        self.addCleanup(forget)
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)


def forget():
    for setting in SETTINGS:
        qt.QSettings().remove(setting)


class VeloxSegSlicerRequestTest(QualityCase):
    def test_volume(self):
        card = fixtures.loadCard(self.folder, fixtures.brainCard())
        expected = {
            Quality.FAST: {"overlap": 0.25, "mirrors": False},
            Quality.BALANCED: {"overlap": None, "mirrors": False},
            Quality.THOROUGH: {"overlap": 0.5, "mirrors": True},
        }
        for quality, fields in expected.items():
            self.assertEqual(RunSettings(quality=quality).request(card), fields)
            self.assertEqual(RunSettings(quality=quality).wantsUncertainty(card), quality is Quality.THOROUGH)
        self.assertEqual(RunSettings(overlapPercent=75, members=5).request(card), {"overlap": 0.75, "mirrors": False})

    def test_ensemble(self):
        card = fixtures.loadCard(self.folder, fixtures.photoCard() | {"sampling": SAMPLING})
        members = {quality: RunSettings(quality=quality).request(card) for quality in Quality}
        self.assertEqual(
            members,
            {Quality.FAST: {"members": 3}, Quality.BALANCED: {"members": None}, Quality.THOROUGH: {"members": 20}},
        )
        self.assertEqual(RunSettings(members=7, overlapPercent=75).request(card), {"members": 7})
        self.assertTrue(RunSettings().wantsUncertainty(card))
        self.assertFalse(RunSettings(uncertainty=False).wantsUncertainty(card))

    def test_ensembleOnVolumes(self):
        """An automaton on volumes is asked for members as one on photos is, and is told about in windows."""
        content = fixtures.brainCard() | {"sampling": SAMPLING | {"members": 4, "calls": 1}}
        content["window"] = content["window"] | {"size": [32, 48, 32]}
        content["architecture"] = {"name": "NCA", "arguments": {"channels": 16}}
        card = fixtures.loadCard(self.folder, content)
        requests = [RunSettings(quality=quality).request(card) for quality in Quality]
        self.assertEqual(requests, [{"members": 3}, {"members": None}, {"members": 20}])
        self.assertTrue(all(RunSettings(quality=quality).wantsUncertainty(card) for quality in Quality))
        progress = Progress()
        progress.windows(12, 40, 14.2)
        self.assertEqual(RunTexts.progressText(card, progress), "Window 12 of 40 - 14 s left")
        one = fixtures.sphereVolume("One window", size=(16, 24, 16))
        many = fixtures.sphereVolume("Many windows", size=(64, 96, 64))
        windows = [RunEstimate.estimate(card, readAll({"T1": volume}), InputOptions()).windows for volume in (one, many)]
        self.assertEqual(windows, [4, 4 * 27])
        qt.QSettings().setValue("VeloxSegSlicer/CheckSeconds", 2.0)
        seconds = [Times.about(card, {"T1": many}, quality, "cpu", InputOptions()) for quality in Quality]
        self.assertEqual([round(each / seconds[1], 3) for each in seconds], [3 / 4, 1, 20 / 4])

    def test_windowsOfAnEstimateAreThoseOfTheEngine(self):
        card = fixtures.loadCard(self.folder, fixtures.brainCard())
        images = readAll({"T1": fixtures.sphereVolume("Many windows", size=(64, 96, 64))})
        size = (64, 96, 64)  # voxels are those of the model's grid
        found = [RunEstimate.estimate(card, images, InputOptions(), {"overlap": overlap}).windows for overlap in (0.25, 0.5)]
        self.assertEqual(found, [WindowPlan(card.window.size, overlap).count(size) for overlap in (0.25, 0.5)])
        self.assertLess(found[0], found[1])

    def test_photoWithOneAnswer(self):
        content = fixtures.photoCard()
        content.pop("sampling", None)
        card = fixtures.loadCard(self.folder, content)
        self.assertEqual([RunSettings(quality=quality).request(card) for quality in Quality], [{}, {}, {}])

    def test_progressInWords(self):
        volume = fixtures.loadCard(self.folder, fixtures.brainCard())
        ensemble = fixtures.loadCard(self.folder, fixtures.photoCard() | {"sampling": SAMPLING | {"calls": 10}})
        progress = Progress()
        progress.windows(12, 40, 14.2)
        self.assertEqual(RunTexts.progressText(volume, progress), "Window 12 of 40 - 14 s left")
        progress = Progress()
        progress.windows(26, 100, 20.0)
        self.assertEqual(RunTexts.progressText(ensemble, progress), "Run 3 of 10, step 7 of 10 - 20 s left")
        progress.windows(100, 100, 0.0)
        self.assertEqual(RunTexts.progressText(ensemble, progress), "Run 10 of 10, step 10 of 10 - 1 s left")


class VeloxSegSlicerTimesTest(QualityCase):
    def setUp(self):
        super().setUp()
        self.card = fixtures.loadCard(self.folder, fixtures.brainCard())
        self.images = {"T1": fixtures.sphereVolume("T1")}

    def about(self, quality=Quality.BALANCED, device="auto"):
        return Times.about(self.card, self.images, quality, device, InputOptions())

    def test_nothingIsPromisedWithoutKnowledge(self):
        self.assertIsNone(self.about())

    def test_lastRunOfThisKind(self):
        Times.remember(self.card, self.images, Quality.BALANCED, "auto", 24.96)
        self.assertEqual(self.about(), 25.0)
        self.assertIsNone(self.about(Quality.FAST))
        self.assertIsNone(self.about(device="cpu"))
        self.images = {"T1": fixtures.sphereVolume("large", size=(48, 52, 56))}
        self.assertIsNone(self.about())

    def test_checkOfThisComputer(self):
        qt.QSettings().setValue("VeloxSegSlicer/CheckSeconds", 2.0)
        # one window of the size that the check times
        self.card = dataclasses.replace(self.card, window=dataclasses.replace(self.card.window, size=(96, 96, 96)))
        self.assertAlmostEqual(self.about(), 2.0)
        self.assertAlmostEqual(self.about(Quality.THOROUGH), 4.0)
        Times.remember(self.card, self.images, Quality.BALANCED, "auto", 9.0)
        self.assertAlmostEqual(self.about(), 9.0)

    def test_inWords(self):
        for seconds, text in ((0.2, "about 1 s"), (24.6, "about 25 s"), (89, "about 89 s"), (200, "about 3 min")):
            self.assertEqual(Times.inWords(seconds), text)


class VeloxSegSlicerRunControlsTest(QualityCase):
    def setUp(self):
        super().setUp()
        fixtures.writeCards(self.folder, fixtures.brainCard(), fixtures.photoCard() | {"sampling": SAMPLING})
        self.widget = fixtures.openPanel(self.folder)
        self.ui, self.panel = self.widget.ui, self.widget.panel
        self.addCleanup(self.leave)
        self.panel.deviceChoice.learn({})
        fixtures.chooseTask(self.widget, "brain-regions")
        self.volume = fixtures.sphereVolume("T1 head")
        self.panel.assign()
        self.panel.update()

    def leave(self):
        self.panel.sceneWillClose()
        slicer.modules.veloxsegslicer.widgetRepresentation().exit()
        self.assertEqual(fixtures.jobFolders(), [])

    def checked(self):
        buttons = (self.ui.fastButton, self.ui.balancedButton, self.ui.thoroughButton)
        return [button.text for button in buttons if button.checked]

    def run_(self, scenario="succeed"):
        fixtures.segment(self.widget, scenario)

    def test_threeExclusiveButtons(self):
        self.assertEqual(self.checked(), ["Balanced"])
        self.ui.thoroughButton.click()
        self.assertEqual(self.checked(), ["Thorough"])
        self.assertEqual(self.widget._parameterNode.quality, Quality.THOROUGH)
        self.widget._parameterNode.quality = Quality.FAST
        self.assertEqual(self.checked(), ["Fast"])

    def test_uncertaintyNeedsSeveralRuns(self):
        box = self.ui.uncertaintyCheckBox
        self.assertFalse(box.enabled or box.checked)
        self.assertIn("Thorough", fixtures.toolTipOf(box))
        self.ui.thoroughButton.click()
        self.assertTrue(box.enabled and box.checked)
        box.click()
        self.assertFalse(self.widget._parameterNode.uncertainty)
        self.assertFalse(box.checked)
        fixtures.chooseTask(self.widget, "photo")
        self.ui.balancedButton.click()
        self.assertTrue(box.enabled)

    def test_advancedFollowsTheModel(self):
        self.assertTrue(self.ui.overlapSpinBox.enabled)
        self.assertFalse(self.ui.membersSpinBox.enabled)
        fixtures.chooseTask(self.widget, "photo")
        self.assertFalse(self.ui.overlapSpinBox.enabled)
        self.assertTrue(self.ui.membersSpinBox.enabled)

    def test_choicesReachTheRequest(self):
        self.ui.thoroughButton.click()
        self.ui.overlapSpinBox.value = 70
        self.ui.keepFilesCheckBox.checked = True
        self.run_()
        folder = self.widget.logic.segmenter.jobFolder
        request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
        shutil.rmtree(folder)
        self.assertEqual((request["overlap"], request["mirrors"]), (0.7, True))
        self.assertIn("uncertainty", request["outputs"])

    def test_timeIsShownAfterARun(self):
        self.assertTrue(self.ui.timeLabel.isHidden())
        self.run_()
        self.assertRegex(self.ui.timeLabel.text, r"^Takes about \d+ s on this computer\.$")
        self.assertIn(self.ui.timeLabel.text, fixtures.toolTipOf(self.ui.balancedButton))
        self.assertNotIn("on this computer", fixtures.toolTipOf(self.ui.fastButton))
        self.ui.fastButton.click()
        self.assertTrue(self.ui.timeLabel.isHidden())

    def test_lockedDuringTheRun(self):
        self.widget.logic.segmenter.command = fixtures.fakeCommand("paced")
        self.ui.segmentButton.click()
        for widget in (self.ui.fastButton, self.ui.thoroughButton, self.ui.overlapSpinBox, self.ui.deviceComboBox):
            self.assertFalse(widget.enabled)
        self.assertTrue(fixtures.waitFor(lambda: not self.widget.logic.segmenter.isBusy))
        self.assertTrue(self.ui.fastButton.enabled)

    def test_devicesOfThisComputer(self):
        combo = self.ui.deviceComboBox
        self.assertEqual([combo.itemText(index) for index in range(combo.count)], ["Automatic", "CPU"])
        self.assertTrue(self.ui.deviceFactLabel.isHidden())
        self.run_()
        names = [combo.itemText(index) for index in range(combo.count)]
        self.assertEqual(names, ["Automatic", "Fake device", "CPU"])
        self.assertEqual(self.ui.deviceFactLabel.text, "Fake device, 8.0 GB free")
        combo.setCurrentIndex(1)
        self.assertEqual(self.panel.deviceChoice.device, "cuda:0")

    def test_whyTheCpu(self):
        self.panel.deviceChoice.learn({"device": "CPU (2 threads)", "why_cpu": "The driver is old.", "devices": []})
        self.assertIn("no supported graphics card found", self.ui.deviceFactLabel.text)
        self.assertEqual(fixtures.toolTipOf(self.ui.deviceFactLabel), "The driver is old.")

    def test_shortMemoryIsToldDuringTheRun(self):
        self.widget.logic.segmenter.command = fixtures.fakeCommand("shortMemory")
        self.ui.segmentButton.click()
        texts = []

        def isOver():
            if not self.ui.noticeFrame.isHidden() and self.ui.noticeLabel.text not in texts:
                texts.append(self.ui.noticeLabel.text)
            return not self.widget.logic.segmenter.isBusy

        self.assertTrue(fixtures.waitFor(isOver))
        self.assertTrue(texts[0].startswith("Graphics memory was short."), texts)
        self.assertTrue(texts[1].startswith("Graphics memory is too small"), texts)
        self.assertIn("Done", self.ui.noticeLabel.text)

    def test_statusBarWhileAway(self):
        told = []
        original = slicer.util.showStatusMessage
        slicer.util.showStatusMessage = lambda text, *rest: told.append(text)
        self.addCleanup(setattr, slicer.util, "showStatusMessage", original)
        self.widget.logic.segmenter.command = fixtures.fakeCommand("paced")
        self.ui.segmentButton.click()
        slicer.modules.veloxsegslicer.widgetRepresentation().exit()
        self.assertEqual(told, ["VeloxSeg goes on computing."])
        self.assertTrue(fixtures.waitFor(lambda: not self.widget.logic.segmenter.isBusy))
        self.assertEqual(len(told), 2)
        self.assertIn("Done", told[1])
