"""From one click to a tested engine: one question, a restart in between, damage, decline, no network, the check, the disk."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import types
import unittest
from pathlib import Path
from unittest import mock

import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.common import Computer, Temporary
from VeloxSegSlicerLib.engine import ComputerCheck, DiskUse, PendingStep, Setup
from VeloxSegSlicerLib.panel import Installer

CARD = Computer.GraphicsCard("NVIDIA RTX 4070", "560.35")
READY = Setup.EngineState(Setup.READY, torchVersion="2.5")
MISSING = Setup.EngineState(Setup.MISSING, ("torch",))
DAMAGED = Setup.EngineState(Setup.DAMAGED, damaged=("torch",))
COMPANIONS = ["safetensors>=0.4", "jsonschema>=4.18", "tyro>=0.9.14", "tqdm>=4.60"]
ON_CPU = {"device": "CPU (2 threads)", "is_cpu": True, "seconds": 0.4, "cuda_build": None, "obstacle": None, "detail": ""}
ON_CARD = ON_CPU | {"device": "RTX 4070", "is_cpu": False, "seconds": 0.021, "cuda_build": "12.4"}


class FakeTorchHelper:
    """The PyTorch extension: remembers what it was asked for."""

    def __init__(self):
        self.calls = []
        self.failure = None

    def PyTorchUtilsLogic(self):
        return self

    def installTorch(self, **settings):
        self.calls.append(settings)
        if self.failure:
            raise self.failure

    def uninstallTorch(self):
        self.calls.append("uninstall")


class VeloxSegSlicerInstallTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="Models"))
        self.addCleanup(shutil.rmtree, self.folder)
        fixtures.writeCards(self.folder, fixtures.brainCard())
        self.widget = fixtures.openPanel(self.folder)
        self.panel, self.ui = self.widget.panel, self.widget.ui
        self.installer = self.panel.installer
        self.installer.check.command = self.checkCommand(ON_CARD)
        self.addCleanup(self.leave)
        for name in (PendingStep.SETTING, ComputerCheck.SECONDS_SETTING, ComputerCheck.DEVICE_SETTING):
            qt.QSettings().remove(name)
            self.addCleanup(qt.QSettings().remove, name)

    def leave(self):
        self.installer.check.abandon()
        self.panel.engine = READY
        slicer.modules.veloxsegslicer.widgetRepresentation().exit()

    def checkCommand(self, finding):
        return [Setup.pythonProgram(), str(fixtures.FAKE_RUNNER), "check", json.dumps(finding)]

    def patch(self, target, name, value, **more):
        patcher = mock.patch.object(target, name, value, **more)
        patcher.start()
        self.addCleanup(patcher.stop)

    def withHelper(self, found=MISSING, after=READY):
        """The helper extension is there; the engine's state before and after the install."""
        helper = FakeTorchHelper()
        packaging = types.ModuleType("slicer.packaging")
        packaging.pip_ensure = lambda wanted, **settings: helper.calls.append(([str(one) for one in wanted], settings))
        patcher = mock.patch.dict(sys.modules, {"PyTorchUtils": helper, "slicer.packaging": packaging})
        patcher.start()
        self.addCleanup(patcher.stop)
        self.patch(slicer, "packaging", packaging, create=True)
        self.patch(Setup, "isHelperInstalled", lambda: True)
        self.patch(Setup, "probe", lambda: after)
        self.panel.engine = found
        self.panel.update()
        return helper

    def question(self, card=CARD):
        """Press Install and return the widgets of the question."""
        self.patch(Computer, "graphicsCard", lambda: card)
        self.ui.installButton.click()
        self.addCleanup(self.installer.dialog.close)
        return slicer.util.childWidgetVariables(self.installer.dialog)

    def buttons(self):
        buttons = (self.ui.noticeFirstButton, self.ui.noticeSecondButton, self.ui.noticeThirdButton)
        return [button.text for button in buttons if not button.isHidden()]

    def waitForCheck(self):
        self.assertTrue(fixtures.waitFor(lambda: not self.installer.check.isBusy))

    def test_oneQuestionAndThenReady(self):
        helper = self.withHelper()
        ui = self.question()
        for part in ("NVIDIA RTX 4070 (driver 560.35)", "3 GB to download", "6 GB on disk", "cannot be interrupted"):
            self.assertIn(part, ui.questionLabel.text)
        labels = [button.text.replace("&", "") for button in (ui.installButton, ui.cpuButton, ui.laterButton)]
        self.assertEqual(labels, ["Install", "CPU version instead, 1 GB", "Not now"])
        ui.installButton.click()
        torch, others = helper.calls
        self.assertEqual(torch["askConfirmation"], False)
        self.assertIsNone(torch["forceComputationBackend"])
        self.assertEqual(torch["torchVersionRequirement"], ">=2.4")
        self.assertEqual(others[0], COMPANIONS)
        self.assertEqual((others[1]["prompt_install"], others[1]["prompt_restart"]), (False, False))
        self.waitForCheck()
        self.assertEqual(self.ui.noticeLabel.text, "Ready. A test on the graphics card (RTX 4070) took 0.02 s.")

    def test_cpuVersion(self):
        helper = self.withHelper()
        self.question().cpuButton.click()
        self.assertEqual(helper.calls[0]["forceComputationBackend"], "cpu")
        self.waitForCheck()

    def test_withoutACardThereIsNothingToChoose(self):
        self.withHelper()
        ui = self.question(card=None)
        self.assertIn("for the CPU of this computer", ui.questionLabel.text)
        self.assertTrue(ui.cpuButton.isHidden())

    def test_notNow(self):
        helper = self.withHelper(after=MISSING)
        before = self.ui.noticeLabel.text
        self.question().laterButton.click()
        self.assertEqual((helper.calls, self.ui.noticeLabel.text), ([], before))
        self.assertIsNone(PendingStep.due())

    def test_declinedInTheHelper(self):
        helper = self.withHelper(after=MISSING)
        helper.failure = RuntimeError("declined")
        self.question().installButton.click()
        self.assertEqual(self.ui.noticeLabel.text, "The AI engine is not installed.")
        self.assertFalse(self.installer.check.isBusy)

    def test_noNetwork(self):
        helper = self.withHelper(after=MISSING)

        def installTorch(**settings):
            said = "ERROR: No matching distribution found for torch>=2.4 (from versions: none)\n"
            Path(os.environ["PIP_LOG"]).write_text(f"Could not fetch URL: connection error\n{said}", encoding="utf-8")
            raise subprocess.CalledProcessError(1, "pip")

        helper.installTorch = installTorch
        self.question().installButton.click()
        self.assertIn("No matching distribution found for torch>=2.4", self.ui.logTextEdit.plainText)
        text = "The download server could not be reached. Check the connection or proxy, or install from files."
        self.panel.update()
        self.assertEqual(self.ui.noticeLabel.text, text)
        self.assertEqual(self.buttons(), ["Try again", "Offline instructions", "Show log"])
        self.ui.noticeSecondButton.click()
        shown = self.installer.textWindow.findChild(qt.QTextBrowser, "textBrowser").plainText
        self.installer.textWindow.close()
        packages = " ".join(f'"{one}"' for one in ["torch>=2.4", *COMPANIONS])
        for part in ("pip download", "--no-index --find-links", packages):
            self.assertIn(part, shown)

    def test_helperFirstThenAfterTheRestartByItself(self):
        helper = self.withHelper()
        asked = []
        self.patch(Setup, "isHelperInstalled", lambda: False)
        self.patch(Setup, "installHelper", lambda: asked.append("helper"))
        self.question().cpuButton.click()
        self.assertEqual(asked, ["helper"])
        self.assertEqual(self.buttons(), ["Restart now", "Later"])
        self.assertIn("unsaved changes are lost", self.ui.noticeLabel.text)
        self.panel.enter()
        self.assertEqual(helper.calls, [], "nothing goes on without a restart")
        self.patch(Setup, "isHelperInstalled", lambda: True)
        self.patch(Setup, "probe", lambda: MISSING if not helper.calls else READY)
        self.patch(os, "getpid", lambda: -1)
        self.assertEqual(PendingStep.due(), (PendingStep.INSTALL, "cpu"))
        self.panel.enter()
        self.assertTrue(fixtures.waitFor(lambda: helper.calls))
        self.assertEqual(helper.calls[0]["forceComputationBackend"], "cpu")
        self.waitForCheck()
        self.assertIsNone(PendingStep.due())
        self.assertIn("Ready.", self.ui.noticeLabel.text)

    def test_afterTheRestartTheModuleIsShown(self):
        self.patch(slicer.util, "mainWindow", lambda: object())
        shown = []
        self.patch(slicer.util, "selectModule", shown.append)
        PendingStep.showModuleIfDue()
        self.assertEqual(shown, [])
        PendingStep.remember(PendingStep.INSTALL, "auto")
        self.patch(os, "getpid", lambda: -1)
        PendingStep.showModuleIfDue()
        self.assertEqual(shown, ["VeloxSegSlicer"])

    def test_helperCannotBeInstalled(self):
        self.withHelper(after=MISSING)
        self.patch(Setup, "isHelperInstalled", lambda: False)
        self.question().installButton.click()
        self.assertIn("PyTorch helper extension is needed once", self.ui.noticeLabel.text)
        self.assertEqual(slicer.util.settingsValue(PendingStep.SETTING, ""), "")

    def test_damageIsRepairedOverARestart(self):
        helper = self.withHelper(found=DAMAGED, after=MISSING)
        self.assertEqual(self.buttons(), ["Repair"])
        self.question().installButton.click()
        self.assertEqual(helper.calls, ["uninstall"])
        self.assertEqual(self.buttons(), ["Restart now", "Later"])
        restarted = []
        self.patch(slicer.util, "restart", lambda: restarted.append(True))
        self.ui.noticeFirstButton.click()
        self.assertEqual(restarted, [True])
        self.patch(os, "getpid", lambda: -1)
        self.assertEqual(PendingStep.due(), (PendingStep.INSTALL, "auto"))

    def test_oldTorchIsReplacedOverARestart(self):
        old = Setup.EngineState(Setup.OLD, old={"torch": "2.3.1"})
        helper = self.withHelper(found=old, after=MISSING)
        self.assertEqual(self.ui.noticeLabel.text, "The AI engine is too old: torch 2.3.1 (2.4 or newer).")
        self.assertEqual((self.buttons(), self.ui.installButton.text), (["Update"], "Update..."))
        self.assertIn("torch 2.3.1", self.ui.engineStepLabel.text)
        self.assertFalse(self.ui.segmentButton.enabled)
        self.ui.noticeFirstButton.click()
        self.addCleanup(self.installer.dialog.close)
        slicer.util.childWidgetVariables(self.installer.dialog).installButton.click()
        self.assertEqual((helper.calls, self.buttons()), (["uninstall"], ["Restart now", "Later"]))
        self.patch(os, "getpid", lambda: -1)
        self.assertEqual(PendingStep.due(), (PendingStep.INSTALL, "auto"))

    def test_oldHelperIsUpdatedAtOnce(self):
        helper = self.withHelper(found=Setup.EngineState(Setup.OLD, old={"tyro": "0.8.14"}))
        self.question().installButton.click()
        self.assertEqual(helper.calls[1][0], COMPANIONS)
        self.waitForCheck()
        self.assertIn("Ready.", self.ui.noticeLabel.text)

    def test_oldPackageOfSlicerNeedsARestart(self):
        helper = self.withHelper(found=Setup.EngineState(Setup.OLD, old={"numpy": "1.26.4"}))
        self.question().installButton.click()
        self.assertEqual(helper.calls[1][0], [*COMPANIONS, "numpy>=2"])
        self.assertEqual(self.buttons(), ["Restart now", "Later"])
        self.assertFalse(self.installer.check.isBusy)

    def test_engineThatFindsItselfOld(self):
        """Another Python than Slicer's own may run the engine."""
        text = 'Too old for this VeloxSeg: torch 2.3.1; update with: pip install --upgrade "torch>=2.4"'
        event = json.dumps({"event": "error", "code": "ENGINE_OLD", "text": text, "detail": ""})
        self.installer.check.command = [Setup.pythonProgram(), "-c", f"import sys; print({event!r}); sys.exit(2)"]
        self.ui.checkButton.click()
        self.waitForCheck()
        self.assertEqual((self.ui.checkLabel.text, self.ui.noticeLabel.text, self.buttons()), (text, text, ["Update"]))

    def test_oldSlicer(self):
        self.patch(Setup, "OLDEST_SLICER", (99, 0, 0))
        self.panel.engine = Setup.probe()
        self.panel.update()
        found = slicer.app.applicationVersion
        self.assertEqual(self.ui.noticeLabel.text, f"This is Slicer {found}. VeloxSeg needs Slicer 99.0.0 or newer.")
        self.assertFalse(self.ui.segmentButton.enabled)
        self.assertTrue(self.ui.installButton.isHidden())

    def check(self, finding, card=None):
        self.patch(Computer, "graphicsCard", lambda: card)
        self.installer.check.command = self.checkCommand({**ON_CPU, **finding})
        self.ui.checkButton.click()
        self.assertEqual(self.ui.checkLabel.text, "Testing...")
        self.assertFalse(self.ui.checkButton.enabled)
        self.waitForCheck()

    def test_checkOnTheCpu(self):
        self.check({})
        self.assertEqual(self.ui.checkLabel.text, "Ready. A test on the CPU took 0.4 s.")
        self.assertEqual(slicer.util.settingsValue(ComputerCheck.SECONDS_SETTING, 0.0, float), 0.4)
        self.assertIn("CPU (2 threads)", self.ui.setupCollapsibleButton.text)

    def test_checkOnTheCard(self):
        self.check({"device": "NVIDIA RTX 4070", "is_cpu": False, "seconds": 0.021}, CARD)
        self.assertEqual(self.ui.checkLabel.text, "Ready. A test on the graphics card (NVIDIA RTX 4070) took 0.02 s.")
        self.assertEqual(self.buttons(), [])

    def test_wrongBuild(self):
        for finding in ({}, {"obstacle": "build", "cuda_build": "12.4"}):
            self.check(finding, CARD)
            text = "The installed engine does not support this graphics card; the CPU will be used."
            self.assertEqual((self.ui.noticeLabel.text, self.buttons()), (text, ["Repair", "Use CPU"]))
            self.ui.noticeSecondButton.click()
            self.assertTrue(self.ui.noticeFrame.isHidden() or self.ui.noticeLabel.text != text)

    def test_oldDriver(self):
        self.check({"obstacle": "driver", "cuda_build": "12.4"}, Computer.GraphicsCard("NVIDIA T4", "470.82"))
        text = "The graphics driver (470.82) is older than this engine needs (525)."
        self.assertEqual((self.ui.noticeLabel.text, self.buttons()), (text, ["Use CPU", "How to update"]))
        self.ui.noticeSecondButton.click()
        self.installer.textWindow.close()

    def test_checkThatFails(self):
        self.installer.check.command = [Setup.pythonProgram(), "-c", "import sys; sys.exit('No module named torch')"]
        self.ui.checkButton.click()
        self.waitForCheck()
        self.assertIn("only partly installed", self.ui.checkLabel.text)

    def test_cardFromTheDriversTool(self):
        self.assertEqual(Computer.cardFrom("NVIDIA RTX 4070, 560.35\nNVIDIA T4, 560.35\n"), CARD)
        self.assertIsNone(Computer.cardFrom(""))
        self.patch(Computer, "CARD_QUERY", ("no-such-program-anywhere",))
        self.assertIsNone(Computer.graphicsCard())

    def test_leftoversAreShownAndCleared(self):
        place = Path(str(slicer.app.temporaryPath))
        old, young = place / "VeloxSeg-old", place / "VeloxSegSample-young"
        for folder in (old, young):
            folder.mkdir()
            (folder / "input1.nrrd").write_bytes(b"0" * 2_000_000)
            self.addCleanup(shutil.rmtree, folder, True)
        long_ago = time.time() - 2 * DiskUse.LEFTOVER_AGE_SECONDS
        for path in (old / "input1.nrrd", old):
            os.utime(path, (long_ago, long_ago))
        self.ui.setupCollapsibleButton.collapsed = True
        self.ui.setupCollapsibleButton.collapsed = False
        self.assertIn("left by finished jobs 2 MB", self.ui.diskLabel.text)
        self.ui.clearButton.click()
        self.assertEqual((old.exists(), young.exists()), (False, True))
        self.assertIn("left by finished jobs 0 MB", self.ui.diskLabel.text)
        self.assertFalse(self.ui.clearButton.enabled)

    def test_clearKnowsEveryTemporaryName(self):
        place, long_ago = Path(str(slicer.app.temporaryPath)), time.time() - 2 * DiskUse.LEFTOVER_AGE_SECONDS
        names = ("VeloxSeg-a1", "VeloxSegSample-b2", "VeloxSegBatch-c3", "veloxseg-process-d4")
        old = [place / name for name in names]
        for folder in old:
            (folder / "deep").mkdir(parents=True)
            (folder / "deep" / "1-CT.nrrd").write_bytes(b"0" * 1000)
        log = Path(tempfile.gettempdir()) / "veloxseg-e5.log"
        log.write_text("Traceback", encoding="utf-8")
        foreign = place / "VeloxSegWork"
        foreign.mkdir()
        busy = Temporary.newFolder(Temporary.BATCH)
        for folder in (*old, foreign, busy):
            self.addCleanup(shutil.rmtree, folder, True)
            for path in (*folder.rglob("*"), folder):
                os.utime(path, (long_ago, long_ago))
        os.utime(log, (long_ago, long_ago))
        self.assertGreater(DiskUse.measure([]).temporary, 4000)
        DiskUse.clear()
        self.assertEqual([path.name for path in (*old, log) if path.exists()], [])
        self.assertTrue(foreign.exists() and busy.exists())
        Temporary.remove(busy)
        self.assertFalse(busy.exists())

    def test_foldersOfAnotherSlicerStay(self):
        """Another Slicer of the same user works for hours on images that it has exported; Clear leaves them alone."""
        if not sys.platform.startswith("linux"):
            self.skipTest("another process's lock is written by hand here, as Qt does it on Linux")
        place, long_ago = Path(str(slicer.app.temporaryPath)), time.time() - 2 * DiskUse.LEFTOVER_AGE_SECONDS
        other = subprocess.Popen([Setup.pythonProgram(), "-c", "input()"], stdin=subprocess.PIPE)
        self.addCleanup(other.stdin.close)
        program = Path(os.path.realpath(f"/proc/{other.pid}/exe")).name
        ended = subprocess.Popen([Setup.pythonProgram(), "-c", ""])
        ended.wait()
        folders = [place / f"VeloxSegBatch-{process.pid}-abc" for process in (other, ended)]
        for folder, process in zip(folders, (other, ended), strict=True):
            folder.mkdir()
            self.addCleanup(shutil.rmtree, folder, True)
            os.utime(folder, (long_ago, long_ago))
            lines = (str(process.pid), program, socket.gethostname(), "", "")
            (place / f"veloxseg-{process.pid}.lock").write_text("\n".join(lines), encoding="utf-8")
        self.assertEqual(fixtures.jobFolders(), [])
        DiskUse.clear()
        self.assertEqual([folder.exists() for folder in folders], [True, False])
        other.communicate(b"\n")
        DiskUse.clear()
        self.assertFalse(folders[0].exists())

    def test_questionOnAMac(self):
        self.patch(sys, "platform", "darwin")
        self.assertIn("On some Macs", Installer.question(None))
