"""Which images are there, what is known about them, and which one belongs to which role."""

import math
import re
from collections.abc import Sequence

import slicer

from veloxseg.contract import limits, plausibility
from veloxseg.contract.card import Role

from ..common import Geometry
from ..common.Errors import VeloxSegError
from . import InputOptions, Suv
from .InputImage import InputImage

IMAGE_CLASSES = ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode")
PHOTO_TYPES = ("unsigned char", "unsigned short")
PHOTO_COMPONENTS = (3, 4)
EMISSION_MODALITY = "PT"
MODALITY_SCORE = 4
UNIT_SCORE = 3
NAME_SCORE = 2
LONG_PATTERN = 4


def imagesInScene() -> list:
    """All volume nodes that a person can choose, in scene order. Label maps and hidden nodes are left out."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [
        node for node in nodes if node.GetClassName() in IMAGE_CLASSES and not node.GetHideFromEditors() and node.GetImageData()
    ]


def check(role: Role, image: InputImage) -> None:
    """Refuse an image that cannot serve a role, whatever the other images are and whatever is in its voxels.

    :raises VeloxSegError: ROLE_EMPTY, ROLE_NONLINEAR, ROLE_POSITION, ROLE_SHEAR, ROLE_LABELS, ROLE_COMPONENTS, ROLE_COLOR, or a
        ROLE_GRAY or PHOTO code.
    """
    facts = _facts(role, image)
    if image.isEmpty:
        raise VeloxSegError("ROLE_EMPTY", **facts)
    if image.isLabelMap:
        raise VeloxSegError("ROLE_LABELS", **facts)
    count = image.components
    if role.is_photo:
        _checkPhoto(image, facts)
    elif count > 1:
        raise VeloxSegError("ROLE_COLOR" if count in PHOTO_COMPONENTS else "ROLE_COMPONENTS", count=count, **facts)
    if image.isMovedNonlinearly:
        raise VeloxSegError("ROLE_NONLINEAR", **facts)
    if not Geometry.isFinite(image.grid):
        raise VeloxSegError("ROLE_POSITION", **facts)
    if not Geometry.isRectangular(image.grid):
        raise VeloxSegError("ROLE_SHEAR", degrees=_degrees(image.shear), **facts)


def _checkPhoto(image: InputImage, facts: dict) -> None:
    width, height, slices = image.size
    if image.components not in PHOTO_COMPONENTS:
        raise VeloxSegError("ROLE_GRAY" if slices > 1 else "ROLE_GRAY_PHOTO", slices=slices, **facts)
    if slices > 1:
        raise VeloxSegError("PHOTO_STACK", slices=slices, **facts)
    shortest, longest = limits.PHOTO_SIDES
    if min(width, height) < shortest or max(width, height) > longest:
        raise VeloxSegError("PHOTO_SIZE", width=width, height=height, shortest=shortest, longest=longest, **facts)
    if image.scalarType not in PHOTO_TYPES:
        raise VeloxSegError("PHOTO_TYPE", found=image.scalarType, **facts)


def checkContent(role: Role, image: InputImage) -> None:
    """Refuse an image that shows nothing, or no colors where they are needed.

    :raises VeloxSegError: IMAGE_NO_NUMBERS, IMAGE_CONSTANT or ROLE_GRAY_PHOTO.
    """
    content = image.statistics
    if 100 * content.share > limits.LARGEST_PERCENT_NAN:
        raise VeloxSegError("IMAGE_NO_NUMBERS", percent=f"{100 * content.share:.0f}", **_facts(role, image))
    if content.isConstant:
        raise VeloxSegError("IMAGE_CONSTANT", **_facts(role, image))
    if role.is_photo and content.isGray:
        raise VeloxSegError("ROLE_GRAY_PHOTO", **_facts(role, image))


def checkModality(role: Role, image: InputImage, options: InputOptions.InputOptions) -> None:
    """Ask once about an image that was stored as another modality.

    :raises VeloxSegError: ROLE_MODALITY.
    """
    found = image.modality
    isOther = found is not None and role.kind == "scalar" and found.upper() != role.modality.upper()
    if isOther and not options.isAccepted(InputOptions.MODALITY, role.name):
        raise VeloxSegError(InputOptions.MODALITY, found=found, needed=role.modality, **_facts(role, image))


def checkUnit(role: Role, image: InputImage, options: InputOptions.InputOptions) -> None:
    """SUV by body weight need no word; everything else needs a decision. Values outweigh a unit, and both a name.

    :raises VeloxSegError: ROLE_UNIT, ROLE_SUV_KIND, ROLE_UNIT_UNKNOWN, ROLE_UNIT_HIGH or ROLE_UNIT_DOUBTED.
    """
    if not role.wants_suv:
        return
    kind, isTooHigh = image.suvKind, image.isTooHighForSuv
    largest = plausibility.number(image.statistics.highest)
    facts = _facts(role, image) | {"unit": Suv.unitName(image.unit), "needed": role.unit, "largest": largest}
    if kind in (Suv.ACTIVITY, Suv.OTHER):
        if not options.isAccepted(InputOptions.ACTIVITY, role.name):
            raise VeloxSegError(InputOptions.ACTIVITY if kind == Suv.ACTIVITY else "ROLE_SUV_KIND", **facts)
        return
    if options.isAccepted(InputOptions.UNIT_UNKNOWN, role.name) or (kind == Suv.BODY_WEIGHT and not isTooHigh):
        return
    if not isTooHigh:
        raise VeloxSegError(InputOptions.UNIT_UNKNOWN, **facts)
    raise VeloxSegError("ROLE_UNIT_HIGH" if image.unit is None else "ROLE_UNIT_DOUBTED", **facts)


def remark(role: Role, image: InputImage) -> VeloxSegError | None:
    """What should be told about a usable image: numbers that are none, slight shear, a transparency channel."""
    facts = _facts(role, image)
    share = image.statistics.share
    if share > 0:
        return VeloxSegError("IMAGE_NUMBERS", percent=f"{max(100 * share, 0.1):.2g}", **facts)
    if image.shear > limits.SMALLEST_SHEAR:
        return VeloxSegError("ROLE_STRAIGHTENED", degrees=_degrees(image.shear), **facts)
    if role.is_photo and image.components == 4:
        return VeloxSegError("PHOTO_ALPHA", **facts)
    return None


def _degrees(shear: float) -> str:
    return f"{math.degrees(math.asin(min(shear, 1.0))):.2g}"


def _facts(role: Role, image: InputImage) -> dict:
    return {"name": role.name, "role": role.title, "image": image.name}


def isSuitable(role: Role, image: InputImage) -> bool:
    """Whether `check` passes."""
    try:
        check(role, image)
    except VeloxSegError:
        return False
    return True


def assign(roles: Sequence[Role], nodes: list, taken: dict) -> dict:
    """Suggest an image for each role that has none yet.

    The DICOM modality decides first, then the unit, then parts of the name. A stored modality that differs
    rules an image out. A single role takes the only image that fits, even without evidence.

    :param roles: the roles of the card.
    :param nodes: volume nodes to choose from.
    :param taken: role name -> node (or None) of choices that must stay.
    :return: role name -> volume node for the roles that got one.
    """
    kept = {name: node for name, node in taken.items() if node is not None}
    free = [InputImage(node) for node in nodes if node not in kept.values()]
    openRoles = [role for role in roles if role.name not in kept]
    pairs = [
        (evidence(role, image), -position, role.name, image.node)
        for role in openRoles
        for position, image in enumerate(free)
        if isSuitable(role, image)
    ]
    found = {}
    for score, _position, name, node in sorted(pairs, key=lambda pair: pair[:2], reverse=True):
        if score > 0 and name not in found and node not in found.values():
            found[name] = node
    neutral = [pair for pair in pairs if pair[0] == 0]
    if len(roles) == 1 and not found and len(pairs) == 1 and neutral:
        found[neutral[0][2]] = neutral[0][3]
    return found


def evidence(role: Role, image: InputImage) -> int:
    """How much speaks for an image in a role; 0 when nothing is known, negative when ruled out."""
    if image.modality and image.modality.upper() != role.modality.upper():
        return -1
    score = MODALITY_SCORE if image.modality else 0
    if role.modality == EMISSION_MODALITY and Suv.isOfPet(image.unit):
        score += UNIT_SCORE
    if any(_nameHas(image.name, pattern) for pattern in role.patterns):
        score += NAME_SCORE
    return score


def _nameHas(name: str, pattern: str) -> bool:
    """Short patterns such as "t1" must be a word of the name, so that "t1c" is not taken for it."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    if len(pattern) >= LONG_PATTERN and pattern in name.lower():
        return True
    return pattern in re.split(r"[^a-z0-9]+", words.lower())
