"""PET numbers of segments inside Slicer's own Segment Statistics module, where that module is present."""

import importlib

import slicer
from slicer.i18n import tr as _

from veloxseg.contract import measures

from ..common import Geometry, SegmentVoxels
from ..common.Log import logger
from ..images import Suv

MODULE = "SegmentStatistics"
CLASS_NAME = "VeloxSegPetStatisticsPlugin"
# UCUM unit of each number.
UNITS = {
    "mtv": ("ml", "mL", "Milliliter"),
    "suv_max": ("g/ml", *Suv.UNIT[::2]),
    "suv_mean": ("g/ml", *Suv.UNIT[::2]),
    "suv_peak": ("g/ml", *Suv.UNIT[::2]),
    "tlg": ("g", "g", "Gram"),
}


def register() -> bool:
    """Add the numbers to Segment Statistics; again after a reload of this module.

    :return: whether Segment Statistics is there.
    """
    if MODULE not in slicer.app.moduleManager().modulesNames():
        return False
    logic = importlib.import_module(MODULE).SegmentStatisticsLogic
    base = importlib.import_module("SegmentStatisticsPlugins").SegmentStatisticsPluginBase
    # A reload brings a new class of the same name.
    logic.registeredPlugins[:] = [known for known in logic.registeredPlugins if known.__name__ != CLASS_NAME]
    logic.registerPlugin(pluginClass(base)())
    logger.debug("PET numbers were added to Segment Statistics")
    return True


def pluginClass(base: type) -> type:
    """The plug-in as a subclass of Slicer's SegmentStatisticsPluginBase, which can be imported inside Slicer only."""

    class VeloxSegPetStatisticsPlugin(base):
        """SUVmax, SUVmean, SUVpeak, MTV and TLG of a segment; nothing for a volume that does not hold SUV."""

        def __init__(self) -> None:
            super().__init__()
            self.name = "PET (VeloxSeg)"
            self.title = _("PET (VeloxSeg)")
            self.keys = list(UNITS)
            self.defaultKeys = list(UNITS)

        def computeStatistics(self, segmentID: str) -> dict:
            """The requested numbers of one segment."""
            node = self.getParameterNode()
            segmentation, volume = (
                slicer.mrmlScene.GetNodeByID(node.GetParameter(name)) for name in ("Segmentation", "ScalarVolume")
            )
            requested = self.getRequestedKeys()
            return {key: value for key, value in numbers(segmentation, segmentID, volume).items() if key in requested}

        def getMeasurementInfo(self, key: str) -> dict | None:
            """Name, definition and units of a number."""
            return information(key) if key in self.keys else None

    return VeloxSegPetStatisticsPlugin


def numbers(segmentationNode, segmentId: str, volumeNode) -> dict[str, float]:
    """Key -> number of a segment on a PET volume; empty without SUV or without voxels."""
    if segmentationNode is None or volumeNode is None or volumeNode.GetImageData() is None or not Suv.isSuv(volumeNode):
        return {}
    if not Geometry.isRectangular(Geometry.worldGrid(volumeNode)):
        return {}
    voxels = SegmentVoxels.voxelsOf(segmentationNode, segmentId)
    if not voxels.count:
        return {}
    values = slicer.util.arrayFromVolume(volumeNode)
    return {"mtv": voxels.volumeMl} | measures.suv(voxels.structure, values.T, Geometry.worldGrid(volumeNode).ijkToRas)


def information(key: str) -> dict:
    """What Segment Statistics shows of a number."""
    unit, code, meaning = UNITS[key]
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(code, "UCUM", meaning)
    names = {
        "mtv": (_("MTV"), _("Metabolic tumor volume: voxels times the volume of a voxel.")),
        "suv_max": (_("SUVmax"), _("Largest SUV, on the untouched PET voxels.")),
        "suv_mean": (_("SUVmean"), _("Mean SUV, on the untouched PET voxels.")),
        "suv_peak": (_("SUVpeak"), _("Highest mean SUV of a 1 ml sphere centered in the segment.")),
        "tlg": (_("TLG"), _("Total lesion glycolysis: SUVmean times volume.")),
    }
    title, description = names[key]
    return {"name": title, "title": title, "description": description, "units": unit, "DICOM.UnitsCode": entry.GetAsString()}
