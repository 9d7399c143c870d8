"""What a person chose about the images of a run, besides which ones they are."""

from dataclasses import dataclass

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
