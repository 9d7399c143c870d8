"""What a person chose about the images of a run, besides which ones they are."""

from dataclasses import dataclass

from slicer.i18n import tr as _

OVERLAP = "ROLE_OVERLAP"
MODALITY = "ROLE_MODALITY"
ACTIVITY = "ROLE_UNIT"
UNIT_UNKNOWN = "ROLE_UNIT_UNKNOWN"
LARGE = "IMAGE_LARGE"


@dataclass(frozen=True)
class InputOptions:
    """Decisions, region and scale.

    `accepted`: pairs (error code, role name), see `Parameters.Decisions`. `region`: as in a request, None for the whole
    image. `mmPerPixel`: side of a photo's pixels, 0 when unknown.
    """

    accepted: frozenset = frozenset()
    region: dict | None = None
    mmPerPixel: float = 0.0

    def isAccepted(self, code: str, role: str) -> bool:
        """Whether the message of a code was accepted for a role."""
        return (code, role) in self.accepted

    def accepts(self, code: str) -> bool:
        """Whether the message of a code was accepted for any role."""
        return any(code == accepted for accepted, _role in self.accepted)


def acceptedText(code: str, role: str) -> str:
    """What was accepted, in words, for the sheet of a result."""
    words = {
        OVERLAP: _("{role} overlaps little with the reference"),
        MODALITY: _("{role} has another modality"),
        ACTIVITY: _("{role} is no SUV and was scaled so that the body's mean is 1"),
        UNIT_UNKNOWN: _("{role} has no stored unit and counts as SUV"),
        LARGE: _("the image is large for this computer"),
        "VALUES_OF_CT": _("{role} has values like those of a CT"),
        "ROLES_SWAPPED": _("{role} seems to be swapped with another image"),
        "GRID_SPACING": _("{role} has an unusual voxel spacing"),
        "GRID_EXTENT": _("{role} has an unusual size"),
    }
    return words[code].format(role=role) if code in words else code
