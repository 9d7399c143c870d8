"""What the scene remembers of the panel: a typed parameter node, and the image chosen for each role."""

import enum
from typing import Annotated

from slicer import vtkMRMLMarkupsROINode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

ROLE_PREFIX = "Role."
BY_HAND_PREFIX = "RoleByHand."
ACCEPTED_PREFIX = "Accepted."


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
    output - the segmentation that the next result replaces; none makes a new one.
    result - the segmentation shown under Results.
    smallestLesionMl - smaller lesions share one row of the table.
    separateSegments - one segment per lesion.
    region - limits the search to a box; none for the whole image.
    mmPerPixel - side of a photo's pixels, 0 when unknown.
    """

    task: str = ""
    model: str = ""
    quality: Quality = Quality.BALANCED
    seed: Annotated[int, WithinRange(0, 999999)] = 1234
    keepFiles: bool = False
    output: vtkMRMLSegmentationNode
    result: vtkMRMLSegmentationNode
    smallestLesionMl: Annotated[float, WithinRange(0.0, 100.0)] = 0.1
    separateSegments: bool = False
    region: vtkMRMLMarkupsROINode
    mmPerPixel: Annotated[float, WithinRange(0, 10)] = 0.0


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


class Decisions:
    """What a person decided to accept, such as little overlap, for exactly these images.

    Kept as node references of the parameter node: (error code, role) -> the images it was decided for. So a
    decision is saved with the scene, and it ends when another image is chosen.
    """

    def __init__(self, parameterNode) -> None:
        """:param parameterNode: the vtkMRMLScriptedModuleNode below the parameter wrapper."""
        self._node = parameterNode

    def accept(self, code: str, role: str, images: dict, reference: str) -> None:
        """Accept what the message of a code says about a role.

        :param images: role name -> volume node or None.
        :param reference: name of the reference role.
        """
        key = f"{ACCEPTED_PREFIX}{code}.{role}"
        self._node.RemoveNodeReferenceIDs(key)
        for volumeNode in _concerned(role, images, reference):
            self._node.AddNodeReferenceID(key, volumeNode.GetID())

    def accepted(self, images: dict, reference: str) -> frozenset:
        """Pairs (error code, role name) that hold for these images."""
        keys = [self._node.GetNthNodeReferenceRole(n) for n in range(self._node.GetNumberOfNodeReferenceRoles())]
        pairs = [tuple(key.removeprefix(ACCEPTED_PREFIX).split(".", 1)) for key in keys if key.startswith(ACCEPTED_PREFIX)]
        return frozenset(
            (code, role) for code, role in pairs if self._images(code, role) == _concerned(role, images, reference) != []
        )

    def _images(self, code: str, role: str) -> list:
        key = f"{ACCEPTED_PREFIX}{code}.{role}"
        return [self._node.GetNthNodeReference(key, n) for n in range(self._node.GetNumberOfNodeReferences(key))]


def _concerned(role: str, images: dict, reference: str) -> list:
    """The image of a role and that of the reference role, each once."""
    return [node for node in dict.fromkeys((images.get(role), images.get(reference))) if node is not None]
