"""What the scene remembers of the panel: a typed parameter node, and the image chosen for each role."""

import enum
from typing import Annotated

from slicer import vtkMRMLMarkupsROINode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from .Models import ModelCard

ROLE_PREFIX = "Role."
BY_HAND_PREFIX = "RoleByHand."
ACCEPTED_PREFIX = "Accepted."
RANGES = {
    "overlapPercent": (0, 90),
    "members": (0, 100),
    "seed": (0, 999999),
    "smallestLesionMl": (0.0, 100.0),
    "mmPerPixel": (0.0, 10.0),
}
WHOLE = ("overlapPercent", "members", "seed")
FLAGS = ("uncertainty", "keepFiles", "separateSegments")


class Quality(enum.Enum):
    """Trade of time against steadiness. Scenes store the member's name: never rename one."""

    FAST = "fast"
    BALANCED = "balanced"
    THOROUGH = "thorough"

    def label(self) -> str:
        """The text on the button."""
        return {Quality.FAST: _("Fast"), Quality.BALANCED: _("Balanced"), Quality.THOROUGH: _("Thorough")}[self]

    def request(self, card: ModelCard) -> dict:
        """The fields of a request (docs/formats.md) that this quality decides; None means the card's own value.

        Empty for a model that has one way of computing only.
        """
        if card.has_ensemble:
            return {"members": {Quality.FAST: 3, Quality.BALANCED: None, Quality.THOROUGH: 20}[self]}
        if card.takes_photo:
            return {}
        overlap = {Quality.FAST: 0.25, Quality.BALANCED: None, Quality.THOROUGH: 0.5}[self]
        return {"overlap": overlap, "mirrors": self is Quality.THOROUGH}

    def hasSeveralRuns(self, card: ModelCard) -> bool:
        """Whether the result tells where repeated runs disagree."""
        return card.has_ensemble or bool(self.request(card).get("mirrors"))

    def tip(self, card: ModelCard) -> str:
        """What the button does."""
        if card.has_ensemble:
            return {
                Quality.FAST: _("A preview from 3 runs."),
                Quality.BALANCED: _("Default. As many runs as the model was tested with."),
                Quality.THOROUGH: _("20 runs: the steadiest result."),
            }[self]
        return {
            Quality.FAST: _("A preview: windows overlap by 25 % only."),
            Quality.BALANCED: _("Default. The overlap of windows that the model was tested with."),
            Quality.THOROUGH: _(
                "Also looks at the left-right mirror image and takes the mean: twice the time of Balanced, and an"
                " uncertainty map. Not for models that tell left from right."
            ),
        }[self]


@parameterNodeWrapper
class VeloxSegParameters:
    """The choices that are saved with the scene.

    task - id of the chosen task.
    model - id of the chosen model package.
    quality - trade of time against steadiness.
    uncertainty - add a map of where repeated runs disagree, where there are such.
    overlapPercent - overlap of windows, 0 for that of the quality.
    members - runs of an ensemble, 0 for those of the quality.
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
    uncertainty: bool = True
    overlapPercent: Annotated[int, WithinRange(*RANGES["overlapPercent"])] = 0
    members: Annotated[int, WithinRange(*RANGES["members"])] = 0
    seed: Annotated[int, WithinRange(*RANGES["seed"])] = 1234
    keepFiles: bool = False
    output: vtkMRMLSegmentationNode
    result: vtkMRMLSegmentationNode
    smallestLesionMl: Annotated[float, WithinRange(*RANGES["smallestLesionMl"])] = 0.1
    separateSegments: bool = False
    region: vtkMRMLMarkupsROINode
    mmPerPixel: Annotated[float, WithinRange(*RANGES["mmPerPixel"])] = 0.0


def mend(parameterNode) -> None:
    """Forget what cannot be read of a scene that was damaged or made by another program: the defaults take its place.

    :param parameterNode: the vtkMRMLScriptedModuleNode, before it is wrapped.
    """
    for name in ("quality", *RANGES, *FLAGS):
        if not _isReadable(name, parameterNode.GetParameter(name)):
            parameterNode.UnsetParameter(name)


def _isReadable(name: str, text: str) -> bool:
    if name == "quality":
        return text in Quality.__members__
    if name in FLAGS:
        return text in ("True", "False")
    try:
        value = int(text) if name in WHOLE else float(text)
    except ValueError:
        return False
    low, high = RANGES[name]
    return low <= value <= high


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
