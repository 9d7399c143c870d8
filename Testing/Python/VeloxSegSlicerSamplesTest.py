"""Sample data: offline, assigned, cleaned up; with a stand-in for the phantom command."""

import dataclasses
import shutil
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import slicer
import VeloxSegSlicerFixtures as fixtures

from veloxseg.contract.card import Role
from VeloxSegSlicerLib.common import Geometry
from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.engine import Setup
from VeloxSegSlicerLib.images import Inputs, Suv
from VeloxSegSlicerLib.run import Samples


class VeloxSegSlicerSamplesTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.brain = fixtures.loadCard(self.folder, fixtures.brainCard())
        self.petct = fixtures.loadCard(self.folder, fixtures.petctCard())
        self.finished = []
        modulePath = Path(slicer.util.modulePath("VeloxSegSlicer")).parent
        self.maker = Samples.SampleMaker(modulePath, lambda line: None, lambda *end: self.finished.append(end))
        self.maker.command = [Setup.pythonProgram(), str(fixtures.FAKE_RUNNER)]
        self.addCleanup(self.maker.abandon)

    def finish(self, seconds=fixtures.TIMEOUT_SECONDS):
        self.assertTrue(fixtures.waitFor(lambda: self.finished, seconds))
        self.assertEqual(fixtures.jobFolders(), [])
        return self.finished[0]

    def test_petctPhantomFitsItsRoles(self):
        self.maker.start(self.petct)
        self.assertTrue(self.maker.isBusy)
        nodes, error = self.finish()
        self.assertIsNone(error)
        assigned = Inputs.assign(self.petct.roles, nodes, {})
        self.assertEqual(
            {role: node.GetName() for role, node in assigned.items()},
            {"CT": "CT phantom", "PET": "PET SUVbw phantom"},
        )
        self.assertEqual(Suv.unitOf(assigned["PET"]), "{SUVbw}g/ml")
        self.assertFalse(self.maker.isBusy)

    def test_brainPhantomWhereNilearnIsMissing(self):
        with mock.patch.object(Samples, "nilearnBrain", return_value=None):
            self.maker.start(self.brain)
        nodes, _error = self.finish()
        self.assertEqual([node.GetName() for node in nodes], ["T1 brain phantom"])

    def test_realBrainWhereNilearnIsThere(self):
        if Samples.nilearnBrain() is None:
            self.skipTest("nilearn is not installed here")
        self.maker.start(self.brain)
        nodes, _error = self.finish()
        self.assertEqual([node.GetName() for node in nodes], ["MNI152 T1"])
        self.assertGreater(min(nodes[0].GetImageData().GetDimensions()), 150)
        self.assertEqual(list(Inputs.assign(self.brain.roles, nodes, {}).values()), nodes)

    def test_twoClicks(self):
        """The second one does not take the folder of the first one away."""
        self.maker.start(self.petct)
        self.maker.startPhantom(Samples.PETCT)
        nodes, error = self.finish()
        self.assertIsNone(error)
        self.assertEqual((len(nodes), len(self.finished), self.maker.isBusy), (2, 1, False))

    def test_failingCommand(self):
        self.maker.command = [Setup.pythonProgram(), "-c", "import sys; sys.exit('nothing')"]
        self.maker.start(self.petct)
        nodes, error = self.finish()
        self.assertIsNone(nodes)
        self.assertEqual(error.code, "CRASH")
        self.assertEqual(Inputs.imagesInScene(), [])

    def test_eachTaskHasItsOwnPhantom(self):
        neck = dataclasses.replace(self.petct, task_id="head-neck-tumors")
        self.assertEqual(Samples.phantomFor(neck).kind, "head-neck-petct")
        self.assertEqual(Samples.phantomFor(self.petct).kind, "petct")
        other = dataclasses.replace(self.brain, task_id="another task")
        self.assertEqual(Samples.phantomFor(other).kind, "brain-t1")

    def test_phantomOnBrainMapsWhereNilearnIsMissing(self):
        missing = mock.patch.object(Samples.importlib.util, "find_spec", return_value=None)
        with missing, self.assertRaises(VeloxSegError) as caught:
            self.maker.startPhantom(Samples.TUMOR)
        self.assertEqual(caught.exception.code, "SAMPLE_NILEARN")
        self.assertIn("pip_install('nilearn')", caught.exception.text)
        self.assertFalse(self.maker.isBusy)

    def test_modelWithoutSample(self):
        roles = (Role("US", "US", "US", "scalar", None, True, "", (), {}),)
        self.assertIsNone(Samples.phantomFor(dataclasses.replace(self.brain, roles=roles)))

    def test_photoStandsUpright(self):
        """The first row of the file is on top in the axial view, its first column on the left."""
        photo = fixtures.loadCard(self.folder, fixtures.photoCard())
        self.maker.command = None
        self.maker.start(photo)
        nodes, error = self.finish(120)
        self.assertIsNone(error)
        self.assertEqual([node.GetName() for node in nodes], ["Skin photo phantom"])
        self.assertTrue(nodes[0].IsA("vtkMRMLVectorVolumeNode"))
        grid = Geometry.worldGrid(nodes[0])
        self.assertEqual((grid.size, grid.orientation()), ((256, 256, 1), "LPS"))
        self.assertEqual(Inputs.assign(photo.roles, nodes, {}), {"Photo": nodes[0]})

    def test_withoutSampleData(self):
        """Some Slicers are built without the module; its absence is no error at each start."""
        with mock.patch.dict(sys.modules, {"SampleData": None}):
            Samples.register(self.maker._modulePath, self.folder)

    def test_sampleThatCannotBeRead(self):
        """Slicer raises for what it cannot read; the end is told, and the next sample can be loaded."""
        with mock.patch.object(slicer.util, "loadVolume", side_effect=RuntimeError("Failed to load node from file")):
            self.maker.start(self.petct)
            nodes, error = self.finish()
        self.assertEqual((nodes, error.code, self.maker.isBusy), (None, "SAMPLE_FAILED", False))

    def test_slicersBrainWithoutNetwork(self):
        if not Samples.hasSlicerBrain():
            self.skipTest("this Slicer has no Sample Data module")
        for answer in ({"return_value": []}, {"return_value": [None]}, {"side_effect": RuntimeError("cannot be read")}):
            with (
                mock.patch("SampleData.SampleDataLogic.downloadSamples", **answer),
                self.assertRaises(VeloxSegError) as caught,
            ):
                Samples.loadSlicerBrain()
            self.assertEqual(caught.exception.code, "SAMPLE_FAILED")

    def test_registeredOnceInSampleData(self):
        if not Samples.hasSlicerBrain():
            self.skipTest("this Slicer has no Sample Data module")
        import SampleData

        import VeloxSegSlicer

        VeloxSegSlicer.registerSampleData()
        first = len(SampleData.SampleDataLogic.sampleDataSourcesByCategory(Samples.CATEGORY))
        VeloxSegSlicer.registerSampleData()
        sources = SampleData.SampleDataLogic.sampleDataSourcesByCategory(Samples.CATEGORY)
        self.assertEqual((first, len(sources)), (5, 5))
        for source in sources:
            self.assertTrue(callable(source.customDownloader))
            self.assertTrue(Path(source.thumbnailFileName).is_file())
