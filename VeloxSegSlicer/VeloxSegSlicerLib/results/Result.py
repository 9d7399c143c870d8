"""What a finished job hands on to those who show it."""

from dataclasses import dataclass, field

from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard
from .Results import Loaded


@dataclass
class RunResult:
    """How a job ended. `loaded` and `segmentation` are None when it failed or was cancelled; an empty result is loaded only."""

    kind: str
    card: ModelCard
    images: dict
    error: VeloxSegError | None = None
    loaded: Loaded | None = None
    segmentation: object = None
    report: dict = field(default_factory=dict)
    notes: list[dict] = field(default_factory=list)
    isReferenceGone: bool = False
    seconds: float = 0.0
    """From the start of the job to its result in the scene."""
