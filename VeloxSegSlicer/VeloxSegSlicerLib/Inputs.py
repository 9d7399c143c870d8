"""Which images are there, what is known about them, and which one belongs to which role."""

import re

import slicer

from . import Geometry
from .Errors import VeloxSegError
from .Models import Role

IMAGE_CLASSES = ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode")
ACTIVITY_UNITS = ("Bq/ml", "kBq/ml", "BQML", "Bq/cc")
MODALITY_SCORE = 4
UNIT_SCORE = 3
NAME_SCORE = 2
LONG_PATTERN = 4


def imagesInScene() -> list:
    """All volume nodes that a person can choose, in scene order. Label maps and hidden nodes are left out."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [
        node
        for node in nodes
        if node.GetClassName() in IMAGE_CLASSES and not node.GetHideFromEditors() and node.GetImageData()
    ]


def modalityOf(volumeNode) -> str | None:
    """The DICOM modality stored with the node, such as "CT"; None when it was not loaded from DICOM."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy else 0
    modality = hierarchy.GetItemAttribute(item, "DICOM.Modality") if item else ""
    return modality or volumeNode.GetAttribute("DICOM.Modality") or None


def unitOf(volumeNode) -> str | None:
    """The unit stored with the voxels, such as "{SUVbw}g/ml"; None when none is stored."""
    units = volumeNode.GetVoxelValueUnits()
    return (units.GetCodeValue() or None) if units else None


def isActivity(unit: str | None) -> bool:
    """Whether a unit is radioactivity per volume instead of SUV."""
    return unit is not None and unit.lower() in [known.lower() for known in ACTIVITY_UNITS]


def check(role: Role, volumeNode) -> None:
    """Refuse an image that cannot serve a role, whatever the other images are.

    :raises VeloxSegError: ROLE_EMPTY, ROLE_COLOR, ROLE_GRAY, ROLE_NONLINEAR, ROLE_SHEAR or ROLE_UNIT.
    """
    facts = {"role": role.title, "image": volumeNode.GetName()}
    image = volumeNode.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise VeloxSegError("ROLE_EMPTY", **facts)
    isColor = image.GetNumberOfScalarComponents() > 1
    if role.kind == "scalar" and isColor:
        raise VeloxSegError("ROLE_COLOR", **facts)
    if role.kind == "photo" and not isColor:
        raise VeloxSegError("ROLE_GRAY", slices=image.GetDimensions()[2], **facts)
    if Geometry.isMovedNonlinearly(volumeNode):
        raise VeloxSegError("ROLE_NONLINEAR", **facts)
    if not Geometry.isRectangular(Geometry.worldGrid(volumeNode)):
        raise VeloxSegError("ROLE_SHEAR", **facts)
    if role.unit and isActivity(unitOf(volumeNode)):
        raise VeloxSegError("ROLE_UNIT", unit=unitOf(volumeNode), needed=role.unit, **facts)


def isSuitable(role: Role, volumeNode) -> bool:
    """Whether `check` passes."""
    try:
        check(role, volumeNode)
    except VeloxSegError:
        return False
    return True


def assign(roles, images, taken: dict) -> dict:
    """Suggest an image for each role that has none yet.

    The DICOM modality decides first, then the unit, then parts of the name. A stored modality that differs
    rules an image out. A single role takes the only image that fits, even without evidence.

    :param roles: the roles of the card.
    :param images: volume nodes to choose from.
    :param taken: role name -> node (or None) of choices that must stay.
    :return: role name -> volume node for the roles that got one.
    """
    kept = {name: node for name, node in taken.items() if node is not None}
    free = [node for node in images if node not in kept.values()]
    openRoles = [role for role in roles if role.name not in kept]
    pairs = [
        (evidence(role, node), -position, role.name, node)
        for role in openRoles
        for position, node in enumerate(free)
        if isSuitable(role, node)
    ]
    found = {}
    for score, _position, name, node in sorted(pairs, key=lambda pair: pair[:2], reverse=True):
        if score > 0 and name not in found and node not in found.values():
            found[name] = node
    neutral = [pair for pair in pairs if pair[0] == 0]
    if len(roles) == 1 and not found and len(pairs) == 1 and neutral:
        found[neutral[0][2]] = neutral[0][3]
    return found


def evidence(role: Role, volumeNode) -> int:
    """How much speaks for an image in a role; 0 when nothing is known, negative when ruled out."""
    modality = modalityOf(volumeNode)
    if modality and modality.upper() != role.modality.upper():
        return -1
    score = MODALITY_SCORE if modality else 0
    if role.unit and "SUV" in (unitOf(volumeNode) or "").upper():
        score += UNIT_SCORE
    if any(_nameHas(volumeNode.GetName(), pattern) for pattern in role.patterns):
        score += NAME_SCORE
    return score


def _nameHas(name: str, pattern: str) -> bool:
    """Short patterns such as "t1" must be a word of the name, so that "t1c" is not taken for it."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    if len(pattern) >= LONG_PATTERN and pattern in name.lower():
        return True
    return pattern in re.split(r"[^a-z0-9]+", words.lower())
