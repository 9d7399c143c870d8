"""Setup: torch is looked for without importing it, damage is recognized; the error table; the report."""

import importlib.metadata
import platform
import shutil
import sys
import tempfile
import types
import unittest
from pathlib import Path

import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.common import Errors
from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.engine import Setup
from VeloxSegSlicerLib.images.InputImage import readAll
from VeloxSegSlicerLib.panel import Report, State


class VeloxSegSlicerSetupTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxSetup"))
        self.addCleanup(shutil.rmtree, self.folder)

    def package(self, name, *files):
        """A spec of a package folder with these files."""
        package = self.folder / name
        package.mkdir()
        for fileName in files:
            (package / fileName).touch()
        return types.SimpleNamespace(origin=str(package / "__init__.py"))

    def probe(self, torchSpec, torchVersion="2.5.1", others=True, **versions):
        """What is found; other packages have the newest version, or the given one, or with None no metadata."""
        whole = self.package("other", "__init__.py")

        def findSpec(name):
            return torchSpec if name == "torch" else whole if others else None

        def versionOf(name):
            version = {"torch": torchVersion, **versions}.get(name, "999")
            if version is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return version

        return Setup.probe(findSpec, versionOf)

    def test_ready(self):
        state = self.probe(self.package("torch", "__init__.py", "version.py"))
        self.assertEqual((state.status, state.torchVersion, state.error), (Setup.READY, "2.5.1", None))

    def test_missing(self):
        state = self.probe(None)
        self.assertEqual((state.status, state.missing, state.error.code), (Setup.MISSING, ("torch",), "ENGINE_MISSING"))

    def test_smallPackageMissing(self):
        state = self.probe(self.package("torch", "__init__.py", "version.py"), others=False)
        self.assertEqual(state.status, Setup.MISSING)
        self.assertIn("safetensors", state.missing)

    def test_emptyFolderIsDamage(self):
        state = self.probe(types.SimpleNamespace(origin=None))
        self.assertEqual((state.status, state.damaged, state.error.code), (Setup.DAMAGED, ("torch",), "ENGINE_DAMAGED"))

    def test_halfInstalledIsDamage(self):
        self.assertEqual(self.probe(self.package("torch", "__init__.py")).status, Setup.DAMAGED)

    def test_withoutMetadataIsDamage(self):
        spec = self.package("torch", "__init__.py", "version.py")
        self.assertEqual(self.probe(spec, torchVersion=None).status, Setup.DAMAGED)

    def wholeTorch(self):
        return self.package("torch", "__init__.py", "version.py")

    def test_oldTorch(self):
        state = self.probe(self.wholeTorch(), torchVersion="2.3.1+cu121")
        self.assertEqual((state.status, state.error.code, state.error.actions), (Setup.OLD, "ENGINE_OLD", (Errors.UPDATE,)))
        self.assertEqual(state.error.text, "The AI engine is too old: torch 2.3.1+cu121 (2.4 or newer).")
        self.assertTrue(state.mustRemoveTorch)

    def test_oldHelpers(self):
        state = self.probe(self.wholeTorch(), tyro="0.8.14", numpy="1.26.4")
        self.assertEqual(state.error.text, "The AI engine is too old: numpy 1.26.4 (2 or newer), tyro 0.8.14 (0.9.14 or newer).")
        self.assertFalse(state.mustRemoveTorch)

    def test_versionsAreNumbers(self):
        for index, version in enumerate(("2.4", "2.4.1+cpu", "2.10.0", "3.0.0.dev20260101")):
            self.folder = self.folder / str(index)
            self.folder.mkdir()
            self.assertEqual(self.probe(self.wholeTorch(), torchVersion=version).status, Setup.READY, version)

    def test_slicersOwnPackagesMayHaveNoMetadata(self):
        state = self.probe(self.wholeTorch(), SimpleITK=None, pillow=None)
        self.assertEqual(state.status, Setup.READY)

    def test_probeImportsNothing(self):
        before = set(sys.modules)
        Setup.probe()
        self.assertFalse({"torch", "safetensors", "jsonschema"} & (set(sys.modules) - before))

    def test_installWithoutHelper(self):
        if Setup.isHelperInstalled():
            self.skipTest("the PyTorch extension is installed here")
        with self.assertRaises(VeloxSegError) as caught:
            Setup.install(Setup.EngineState(Setup.MISSING))
        self.assertEqual(caught.exception.code, "ENGINE_HELPER")

    def test_installLeavesWhatSlicerBrought(self):
        added = {one.name for one in Setup.companions()}
        self.assertEqual(added, {"safetensors", "jsonschema", "tyro", "tqdm"})

    def test_everyErrorHasTextAndKnownActions(self):
        for code, (text, actions) in Errors.panelErrors().items():
            self.assertTrue(text.endswith("."), code)
            self.assertLessEqual(len(actions), 3, code)
            for action in actions:
                self.assertTrue(Errors.actionLabel(action, {"role": "T2", "reference": "T1c"}))
        for actions in Errors.ENGINE_ACTIONS.values():
            self.assertLessEqual(len(actions), 3)

    def test_engineErrorKeepsItsSentence(self):
        error = VeloxSegError.fromEngine("MEMORY_GPU", "Short of memory.", "detail")
        self.assertEqual((error.code, error.text, error.detail), ("MEMORY_GPU", "Short of memory.", "detail"))
        self.assertEqual(str(error), "Short of memory.")

    def test_firstMissingThingIsTheHint(self):
        card = fixtures.loadCard(self.folder, fixtures.brainCard())
        from VeloxSegSlicerLib.images import Verdicts

        images = {"T1": None}
        verdicts = Verdicts.judge(card, readAll(images))
        ready, missing = Setup.EngineState(Setup.READY), Setup.EngineState(Setup.MISSING, ("torch",))
        cases = (
            (missing, card, "ENGINE_MISSING"),
            (ready, None, "MODEL_NONE"),
            (ready, card, "ROLE_MISSING"),
        )
        for engine, chosen, code in cases:
            state = State.panelState(engine, "", chosen, images, verdicts, False, False)
            self.assertFalse(state.canStart)
            self.assertEqual(state.problem.code, code)
            self.assertEqual(state.hint, state.problem.text)

    def test_reportHasNoPersonalData(self):
        card = fixtures.loadCard(self.folder, fixtures.brainCard())
        volume = fixtures.sphereVolume("DOE^JOHN T1")
        log = "\n".join(
            [
                "reading /home/someone/DOE/scan.nrrd",
                "series 1.2.840.113619.2.55.3.604688 of DOE^JOHN T1",
                "C:\\Users\\x\\y.nrrd",
            ]
        )
        text = Report.text(Setup.EngineState(Setup.READY, torchVersion="2.5"), card, {"T1": volume}, "CPU", "reading", log)
        result = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Kowalczyk follow-up")
        log += "\n".join(
            [
                "",
                "cannot open 'C:\\My Files\\Anna Secret\\scan 1.nii.gz': no such file",
                "writing Secret/series 3/out.nrrd failed",
                f"started by {Path.home().name} on {platform.node()}",
                "loading Kowalczyk follow-up as T1",
                "Window 3 of 40",
            ]
        )
        text = Report.text(Setup.EngineState(Setup.READY, torchVersion="2.5"), card, {"T1": volume}, "CPU", result.GetName(), log)
        for part in ("DOE", "someone", "1.2.840", "Users", "Anna", "Secret", "scan 1", "series 3", "Kowalczyk", "follow-up"):
            self.assertNotIn(part, text)
        self.assertNotIn(Path.home().name, text.split("Log:")[1])
        self.assertNotIn(platform.node(), text)
        self.assertIn("Window 3 of 40", text)
        for part in ("DOE", "someone", "1.2.840", "Users"):
            self.assertNotIn(part, text)
        for part in ("test-brain 1.2.0", "24 x 26 x 28", "torch 2.5", "CPU"):
            self.assertIn(part, text)
