"""PET numbers for Segment Statistics: on a ball known by hand, in the shape that Slicer's module asks for."""

import unittest

import numpy as np
import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.images import Suv
from VeloxSegSlicerLib.results import StatisticsPlugin

RADIUS = 15.0
UPTAKE = 8.0


class StandInBase:
    """What Slicer's SegmentStatisticsPluginBase gives its subclasses, as far as the plug-in uses it."""

    def __init__(self) -> None:
        self.name, self.keys, self.defaultKeys = "", [], []
        self.parameterNode = None

    def getParameterNode(self):
        return self.parameterNode

    def getRequestedKeys(self):
        prefix = type(self).__name__
        return [key for key in self.keys if self.parameterNode.GetParameter(f"{prefix}.{key}.enabled") == "True"]


class VeloxSegSlicerStatisticsPluginTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.volume = fixtures.ballsVolume("PET", (((0, 0, 0), RADIUS, UPTAKE),), size=(50, 50, 50), spacing=(1.0, 1.0, 1.0))
        Suv.mark(self.volume)
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        self.node.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        self.segmentId = self.node.GetSegmentation().AddEmptySegment("Ball", "Ball")
        mask = (slicer.util.arrayFromVolume(self.volume) > 4).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, self.node, self.segmentId, self.volume)

    def plugin(self, *keys):
        plugin = StatisticsPlugin.pluginClass(StandInBase)()
        plugin.parameterNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        plugin.parameterNode.SetParameter("Segmentation", self.node.GetID())
        plugin.parameterNode.SetParameter("ScalarVolume", self.volume.GetID())
        for key in keys:
            plugin.parameterNode.SetParameter(f"{StatisticsPlugin.CLASS_NAME}.{key}.enabled", "True")
        return plugin

    def test_numbersOfABall(self):
        numbers = self.plugin(*StatisticsPlugin.UNITS).computeStatistics(self.segmentId)
        volume = 4 / 3 * np.pi * RADIUS**3 / 1000
        self.assertEqual(set(numbers), set(StatisticsPlugin.UNITS))
        self.assertAlmostEqual(numbers["mtv"] / volume, 1, delta=0.02)
        for key in ("suv_max", "suv_mean", "suv_peak"):
            self.assertAlmostEqual(numbers[key], UPTAKE, delta=0.01 * UPTAKE)
        self.assertAlmostEqual(numbers["tlg"] / (volume * UPTAKE), 1, delta=0.02)

    def test_onlyWhatIsAskedFor(self):
        self.assertEqual(list(self.plugin("tlg").computeStatistics(self.segmentId)), ["tlg"])

    def test_nothingWithoutSuv(self):
        plugin = self.plugin(*StatisticsPlugin.UNITS)
        self.volume.SetVoxelValueUnits(None)
        self.assertEqual(plugin.computeStatistics(self.segmentId), {})

    def test_nothingForAnEmptySegment(self):
        empty = self.node.GetSegmentation().AddEmptySegment("Empty", "Empty")
        self.assertEqual(self.plugin(*StatisticsPlugin.UNITS).computeStatistics(empty), {})

    def test_information(self):
        plugin = self.plugin()
        for key in plugin.keys:
            self.assertNotIn(".", key)
            information = plugin.getMeasurementInfo(key)
            self.assertTrue(all(information[part] for part in ("name", "title", "description", "units")))
        self.assertIsNone(plugin.getMeasurementInfo("mean"))

    def test_registered(self):
        isThere = StatisticsPlugin.MODULE in slicer.app.moduleManager().modulesNames()
        self.assertEqual(StatisticsPlugin.register(), isThere)
        if not isThere:
            return
        StatisticsPlugin.register()
        import SegmentStatistics

        names = [known.__name__ for known in SegmentStatistics.SegmentStatisticsLogic.registeredPlugins]
        self.assertEqual(names.count(StatisticsPlugin.CLASS_NAME), 1)
