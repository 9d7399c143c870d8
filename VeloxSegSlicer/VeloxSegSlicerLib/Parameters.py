"""What the scene remembers of the panel: a typed parameter node, and the image chosen for each role."""

import enum
from typing import Annotated

from slicer import vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

ROLE_PREFIX = "Role."
BY_HAND_PREFIX = "RoleByHand."


class Quality(enum.Enum):
    """How much neighboring windows overlap. Scenes store the member's name: never rename one."""

    BALANCED = "balanced"
    FAST = "fast"

    def label(self) -> str:
        """The text in the combo box."""
        return {Quality.BALANCED: _("Balanced"), Quality.FAST: _("Fast (preview)")}[self]

    def overlap(self) -> float | None:
        """Window overlap (0-1) for the request; None means the model card's own value."""
        return {Quality.BALANCED: None, Quality.FAST: 0.25}[self]


@parameterNodeWrapper
class VeloxSegParameters:
    """The choices that are saved with the scene.

    task - id of the chosen task.
    model - id of the chosen model package.
    quality - trade of time against smooth window borders.
    seed - start of all random numbers of a run.
    keepFiles - keep the job folder for troubleshooting.
    result - the segmentation shown under Results.
    """

    task: str = ""
    model: str = ""
    quality: Quality = Quality.BALANCED
    seed: Annotated[int, WithinRange(0, 999999)] = 1234
    keepFiles: bool = False
    result: vtkMRMLSegmentationNode


class RoleChoices:
    """The image of each role, as node references of the parameter node.

    The roles come from the model card and are known only at run time, so they cannot be attributes of the
    wrapper; node references still follow the scene through saving, loading and deleting.
    """

    def __init__(self, parameterNode) -> None:
        """:param parameterNode: the vtkMRMLScriptedModuleNode below the parameter wrapper."""
        self._node = parameterNode

    def image(self, role: str):
        """The chosen volume node, or None."""
        return self._node.GetNodeReference(ROLE_PREFIX + role)

    def isByHand(self, role: str) -> bool:
        """Whether a person made this choice; such a choice is never replaced."""
        return self.image(role) is not None and self._node.GetParameter(BY_HAND_PREFIX + role) == "True"

    def choose(self, role: str, volumeNode, byHand: bool) -> None:
        """Set or clear (None) the image of a role."""
        self._node.SetParameter(BY_HAND_PREFIX + role, str(byHand))
        self._node.SetNodeReferenceID(ROLE_PREFIX + role, volumeNode.GetID() if volumeNode else None)

    def images(self, roles) -> dict:
        """Role name -> volume node or None for all `roles` of a card."""
        return {role.name: self.image(role.name) for role in roles}
