"""What a result knows of its making: attributes and links of its segmentation node, saved with the scene."""

import math

from veloxseg.contract.card import LEVELS

from . import Shapes

PREFIX = "VeloxSeg."
MODEL_ID = PREFIX + "ModelId"
LISTED = PREFIX + "Listed"
"""Marks what the panel lists as a result. It belongs to the node and stays when former content is brought back."""
EMISSION = PREFIX + "Emission"
UNCERTAINTY = PREFIX + "Uncertainty"
PREVIOUS = PREFIX + "Previous"
"""Roles of node references: the PET image, the uncertainty volume, the hidden copy of what was there before."""

# What a table of the result lists.
LESIONS = "lesions"
SEGMENTS = "segments"
REGIONS = "regions"
PHOTO = "photo"


def fact(segmentationNode, name: str) -> str:
    """A fact of a result, "" when absent."""
    return segmentationNode.GetAttribute(PREFIX + name) or ""


def level(segmentationNode) -> str:
    """One of the `LEVELS`, "" when unknown; a result of before there were levels says only whether it is of a demo."""
    found = fact(segmentationNode, "Level") or {"yes": "demo", "no": "research"}.get(fact(segmentationNode, "Demo"), "")
    return found if found in LEVELS else ""


def setFact(segmentationNode, name: str, value: object) -> None:
    """Remember a fact."""
    segmentationNode.SetAttribute(PREFIX + name, str(value))


def number(segmentationNode, name: str) -> float | None:
    """A fact that is a number, None when absent or damaged: a scene may come from anywhere."""
    try:
        value = float(fact(segmentationNode, name))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def content(segmentationNode, name: str, check: Shapes.Check, default: object) -> object:
    """A fact that is kept as JSON, the default when absent or damaged."""
    return Shapes.contentOr(fact(segmentationNode, name), check, default)


def labelNames(segmentationNode) -> dict[str, str]:
    """Label value, as text, -> name."""
    return content(segmentationNode, "LabelNames", Shapes.mapOf(Shapes.text), {})


def isResult(segmentationNode) -> bool:
    """Whether a segmentation was made by this module."""
    return segmentationNode.GetAttribute(MODEL_ID) is not None


def names(segmentationNode) -> list[str]:
    """The facts that a node has, with prefix."""
    return [name for name in segmentationNode.GetAttributeNames() if name.startswith(PREFIX) and name != LISTED]
