"""SUV by body weight from injected dose, time and weight; the arithmetic of the panel.

SUVbw = activity (Bq/ml) x weight (g) / dose left at the scan (Bq). Source: the QIBA FDG-PET/CT profile.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

UNIT = ("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value body weight")
ACTIVITY_UNITS = {"bq/ml": 1.0, "bqml": 1.0, "bq/cc": 1.0, "kbq/ml": 1000.0, "kbq/cc": 1000.0}
"""Unit in small letters -> Bq/ml of one."""
# Physical half-lives in minutes (Decay Data Evaluation Project).
HALF_LIVES = {"F-18": 109.77, "C-11": 20.36, "Ga-68": 67.71, "Cu-64": 762.1, "Zr-89": 4704.7, "I-124": 6013.4}
# Above this, even the bladder is no SUV.
HIGHEST_TYPICAL_SUV = 200.0
# Part of the mean of all positive values above which a voxel counts as body.
BODY_PART = 0.3
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
    return unit is not None and unit.lower() in ACTIVITY_UNITS


def isSuv(volumeNode) -> bool:
    """Whether unit or name say that the values are SUV."""
    return "SUV" in f"{unitOf(volumeNode) or ''} {volumeNode.GetName()}".upper()


def mark(volumeNode) -> None:
    """Store with the voxels that they are SUVbw."""
    unit = slicer.vtkCodedEntry()
    unit.SetValueSchemeMeaning(*UNIT)
    volumeNode.SetVoxelValueUnits(unit)


def factorOf(volumeNode, injection: Injection) -> float:
    """SUVbw of one unit of the stored values; values of unknown unit count as Bq/ml."""
    return ACTIVITY_UNITS.get((unitOf(volumeNode) or "").lower(), 1.0) * injection.factor


def convertedCopy(volumeNode, injection: Injection):
    """A new volume in the scene, "... SUVbw", in the same place and study; the image itself stays as it is."""
    array = slicer.util.arrayFromVolume(volumeNode).astype(np.float32) * np.float32(factorOf(volumeNode, injection))
    name = slicer.mrmlScene.GenerateUniqueName(_("{name} SUVbw").format(name=volumeNode.GetName()))
    copy = slicer.util.addVolumeFromArray(array, name=name)
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    volumeNode.GetIJKToRASMatrix(matrix)
    copy.SetIJKToRASMatrix(matrix)
    copy.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    copy.SetAttribute(ATTRIBUTE, json.dumps(asdict(injection)))
    mark(copy)
    _placeBeside(copy, volumeNode)
    return copy


def guessedFactor(array: np.ndarray) -> float:
    """A factor that gives the body a mean of 1, as SUV have by definition where nothing leaves the body.

    For finding lesions in values of unknown scale, never for measuring.
    """
    positive = array[array > 0]
    if positive.size == 0:
        return 1.0
    return 1.0 / float(positive[positive > BODY_PART * positive.mean()].mean())


def _placeBeside(copy, volumeNode) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    source, target = hierarchy.GetItemByDataNode(volumeNode), hierarchy.GetItemByDataNode(copy)
    if source and target:
        hierarchy.SetItemParent(target, hierarchy.GetItemParent(source))
        hierarchy.SetItemAttribute(target, "DICOM.Modality", hierarchy.GetItemAttribute(source, "DICOM.Modality"))
