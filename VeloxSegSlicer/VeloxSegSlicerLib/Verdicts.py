"""One word at the end of each image row, known before the run, with the reason behind it."""

from dataclasses import dataclass

from slicer.i18n import tr as _

from . import Geometry, Inputs
from .Errors import VeloxSegError
from .Models import ModelCard, Role

# At half the smaller box or less, images are most likely not of one position.
LITTLE_OVERLAP = 0.5

REFERENCE = "reference"
OK = "ok"
RESAMPLED = "resampled"
MOVED = "moved"
OVERLAP = "overlap"
MISSING = "missing"
UNSUITABLE = "unsuitable"


@dataclass(frozen=True)
class Verdict:
    """State of one row: `kind` (one of the above) and `text` for the tooltip.

    `error` blocks the run until it is solved or accepted, `advice` is told and blocks nothing.
    """

    kind: str
    text: str
    error: VeloxSegError | None = None
    advice: VeloxSegError | None = None

    @property
    def word(self) -> str:
        """The word shown at the end of the row."""
        return {
            REFERENCE: _("Reference"),
            OK: _("OK"),
            RESAMPLED: _("Will be resampled"),
            MOVED: _("Moved"),
            OVERLAP: _("Little overlap"),
            MISSING: _("Missing"),
            UNSUITABLE: _("Not suitable"),
        }[self.kind]


def judge(card: ModelCard, images: dict, accepted: frozenset = frozenset()) -> dict[str, Verdict]:
    """A verdict for every role of a card.

    :param images: role name -> volume node or None.
    :param accepted: pairs (error code, role name) that the person has decided to accept, see `Parameters.Decisions`.
    """
    verdicts = {}
    for role in card.roles:
        try:
            verdicts[role.name] = _judgeRole(card, role, images, accepted)
        except VeloxSegError as error:
            verdicts[role.name] = Verdict(_kindOf(error), error.text, error)
    return verdicts


def firstProblem(card: ModelCard, verdicts: dict[str, Verdict]) -> VeloxSegError | None:
    """What blocks the run, in the order of the rows; None when nothing does."""
    errors = [verdicts[role.name].error for role in card.roles]
    return next((error for error in errors if error is not None), None)


def firstAdvice(card: ModelCard, verdicts: dict[str, Verdict]) -> VeloxSegError | None:
    """What should be told although it blocks nothing, in the order of the rows."""
    advice = [verdicts[role.name].advice for role in card.roles]
    return next((entry for entry in advice if entry is not None), None)


def _kindOf(error: VeloxSegError) -> str:
    return {"ROLE_MISSING": MISSING, "ROLE_OVERLAP": OVERLAP}.get(error.code, UNSUITABLE)


def _judgeRole(card: ModelCard, role: Role, images: dict, accepted: frozenset) -> Verdict:
    node = images.get(role.name)
    if node is None:
        raise VeloxSegError("ROLE_MISSING", role=role.title)
    _refuseDoubled(card, role, images)
    Inputs.check(role, node)
    grid = Geometry.worldGrid(node)
    if role.isReference:
        text = _("{grid}. The result gets this grid.")
        return Verdict(MOVED if Geometry.isMoved(node) else REFERENCE, text.format(grid=grid.description()))
    return _compare(card, role, node, grid, images, accepted)


def _refuseDoubled(card: ModelCard, role: Role, images: dict) -> None:
    for other in card.roles[: card.roles.index(role)]:
        if images.get(other.name) is images[role.name]:
            raise VeloxSegError("ROLE_DOUBLED", role=role.title, other=other.title)


def _compare(
    card: ModelCard, role: Role, node, grid: Geometry.Grid, images: dict, accepted: frozenset
) -> Verdict:
    """Compare a further image with the reference, as far as that one is usable."""
    reference = images.get(card.reference.name)
    if reference is None or not Inputs.isSuitable(card.reference, reference):
        return Verdict(OK, grid.description())
    referenceGrid = Geometry.worldGrid(reference)
    share = Geometry.overlap(grid, referenceGrid)
    if share <= LITTLE_OVERLAP and ("ROLE_OVERLAP", role.name) not in accepted:
        raise VeloxSegError(
            "ROLE_OVERLAP", role=role.title, reference=card.reference.title, percent=round(100 * share)
        )
    facts = {"grid": grid.description(), "percent": round(100 * share), "reference": card.reference.title}
    if Geometry.isMoved(node):
        text = _("{grid}, {percent} % overlap with {reference}. Its linear transform is applied to a copy.")
        return Verdict(MOVED, text.format(**facts))
    if Geometry.isSameGrid(grid, referenceGrid):
        return Verdict(OK, _("{grid}, the same grid as {reference}.").format(**facts))
    text = _("{grid}, {percent} % overlap with {reference}. A copy is resampled; your image stays as it is.")
    return Verdict(RESAMPLED, text.format(**facts))
