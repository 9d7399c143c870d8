"""One line in Slicer's console segments nodes: waits, returns the node, refuses with a sentence."""

import shutil
import tempfile
import unittest

import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicer import VeloxSegSlicerLogic
from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.common.Models import Catalogue


class VeloxSegSlicerConsoleTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = tempfile.mkdtemp(prefix="VeloxModels")
        self.addCleanup(shutil.rmtree, self.folder)
        self.card = fixtures.loadCard(self.folder, fixtures.brainCard())
        self.volume = fixtures.sphereVolume("T1 head")
        self.logic = VeloxSegSlicerLogic()
        self.logic.catalogue = Catalogue(self.folder)
        self.play("succeed")

    def play(self, scenario):
        self.logic.segmenter = fixtures.fakeSegmenter(scenario)
        self.addCleanup(self.logic.segmenter.close)

    def assertRefused(self, code, *arguments):
        with self.assertRaises(VeloxSegError) as caught:
            self.logic.segment(*arguments)
        self.assertEqual(caught.exception.code, code)
        self.assertTrue(caught.exception.text.endswith("."))

    def test_nodeAndDict(self):
        for images, model in ((self.volume, None), ({"T1": self.volume}, None), (self.volume, self.card.id)):
            node = self.logic.segment(images, model)
            self.assertTrue(node.IsA("vtkMRMLSegmentationNode"))
            self.assertGreater(node.GetSegmentation().GetNumberOfSegments(), 0)
        self.assertEqual(fixtures.jobFolders(), [])

    def test_refusals(self):
        self.assertRefused("MODEL_MISSING", self.volume, "no-such-model")
        self.assertRefused("MODEL_MISSING", {"CT": self.volume})
        self.assertRefused("MODEL_ROLES", {"CT": self.volume}, self.card.id)
        self.assertRefused("ROLE_MISSING", {"T1": None})
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])
