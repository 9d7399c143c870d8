"""SUV by body weight from injected dose, time and weight; the arithmetic of the panel.

SUVbw = activity (Bq/ml) x weight (g) / dose left at the scan (Bq). Source: the QIBA FDG-PET/CT profile.
"""

import json
import re
from dataclasses import asdict, dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

from veloxseg.contract import plausibility

from ..common import Names
from . import ImageStatistics

UNIT = ("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value body weight")
_VOLUMES = ("/ml", "ml", "/cc", "/cm3")
ACTIVITY_UNITS = {prefix + "bq" + volume: scale for prefix, scale in {"": 1.0, "k": 1e3, "m": 1e6}.items() for volume in _VOLUMES}
"""Unit in small letters -> Bq/ml of one."""
# In small letters: of the PET DICOM extension, of DICOM (GML, where no other kind is named), and as people write it.
BODY_WEIGHT_UNITS = ("{suvbw}g/ml", "{suvbw}", "suvbw", "{suv}g/ml", "suv", "g/ml", "gml")
BODY_WEIGHT_WORDS = {"suv", "suvbw"}
# Words beside "SUV" in a name that say of what else it is, or that it is none.
OTHER_WORDS = {"lbm", "lean", "sul", "bsa", "ibw", "ideal", "no", "not", "non", "without", "bq", "bqml", "kbq"}
# What is known about the values of a volume.
BODY_WEIGHT, ACTIVITY, OTHER, UNKNOWN = "body weight", "activity", "other", "unknown"
# Physical half-lives in minutes (Decay Data Evaluation Project).
HALF_LIVES = {"F-18": 109.77, "C-11": 20.36, "Ga-68": 67.71, "Cu-64": 762.1, "Zr-89": 4704.7, "I-124": 6013.4}
ATTRIBUTE = "VeloxSeg.SuvConversion"


@dataclass(frozen=True)
class Injection:
    """`doseMBq` at injection, `minutes` from there to the time that the values are corrected to, `weightKg`."""

    doseMBq: float
    isotope: str
    minutes: float
    weightKg: float

    @property
    def factor(self) -> float:
        """SUVbw of 1 Bq/ml."""
        left = self.doseMBq * 1e6 * 0.5 ** (self.minutes / HALF_LIVES[self.isotope])
        return self.weightKg * 1000 / left


def unitOf(volumeNode) -> str | None:
    """The unit stored with the voxels, such as "{SUVbw}g/ml"; None when none is stored."""
    units = volumeNode.GetVoxelValueUnits()
    return (units.GetCodeValue() or None) if units else None


def isActivity(unit: str | None) -> bool:
    """Whether a unit is radioactivity per volume instead of SUV."""
    return unit is not None and unit.lower().replace(" ", "") in ACTIVITY_UNITS


def isOfPet(unit: str | None) -> bool:
    """Whether a unit is one of a PET: any SUV, or activity."""
    return isActivity(unit) or "suv" in (unit or "").lower()


def unitName(unit: str | None) -> str:
    """A unit for people: "SUVlbm" for "{SUVlbm}g/ml"."""
    kind = re.match(r"\{(\w+)\}", unit or "")
    return kind[1] if kind else unit or ""


def kindOf(volumeNode) -> str:
    """BODY_WEIGHT, ACTIVITY, OTHER or UNKNOWN: what the unit says, and the name where no unit is stored."""
    unit = unitOf(volumeNode)
    if unit is None:
        words = set(re.split(r"[^a-z0-9]+", Names.nameOf(volumeNode).lower()))
        return BODY_WEIGHT if words & BODY_WEIGHT_WORDS and not words & OTHER_WORDS else UNKNOWN
    if isActivity(unit):
        return ACTIVITY
    return BODY_WEIGHT if unit.lower().replace(" ", "") in BODY_WEIGHT_UNITS else OTHER


def isTooHigh(volumeNode) -> bool:
    """Whether the values are too high for SUV, whatever unit and name say."""
    isSampled = ImageStatistics.statisticsOf(volumeNode).sample is not None
    return isSampled and plausibility.is_too_high(ImageStatistics.lookAt(volumeNode))


def isSuv(volumeNode) -> bool:
    """Whether unit or name say that the values are SUV by body weight, and the values do not say otherwise."""
    return kindOf(volumeNode) == BODY_WEIGHT and not isTooHigh(volumeNode)


def mark(volumeNode) -> None:
    """Store with the voxels that they are SUVbw."""
    unit = slicer.vtkCodedEntry()
    unit.SetValueSchemeMeaning(*UNIT)
    volumeNode.SetVoxelValueUnits(unit)


def factorOf(volumeNode, injection: Injection) -> float:
    """SUVbw of one unit of the stored values; values of unknown unit count as Bq/ml."""
    return ACTIVITY_UNITS.get((unitOf(volumeNode) or "").lower().replace(" ", ""), 1.0) * injection.factor


def convertedCopy(volumeNode, injection: Injection):
    """A new volume in the scene, "... SUVbw", in the same place and study; the image itself stays as it is."""
    array = slicer.util.arrayFromVolume(volumeNode).astype(np.float32) * np.float32(factorOf(volumeNode, injection))
    name = slicer.mrmlScene.GenerateUniqueName(_("{name} SUVbw").format(name=Names.nameOf(volumeNode)))
    copy = slicer.util.addVolumeFromArray(array, name=name)
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    volumeNode.GetIJKToRASMatrix(matrix)
    copy.SetIJKToRASMatrix(matrix)
    copy.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    copy.SetAttribute(ATTRIBUTE, json.dumps(asdict(injection)))
    mark(copy)
    _placeBeside(copy, volumeNode)
    return copy


def _placeBeside(copy, volumeNode) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    source, target = hierarchy.GetItemByDataNode(volumeNode), hierarchy.GetItemByDataNode(copy)
    if source and target:
        hierarchy.SetItemParent(target, hierarchy.GetItemParent(source))
        hierarchy.SetItemAttribute(target, "DICOM.Modality", hierarchy.GetItemAttribute(source, "DICOM.Modality"))
