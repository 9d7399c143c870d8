"""One word at the end of each image row, known before the run, with the reason behind it."""

from dataclasses import dataclass

from slicer.i18n import tr as _

from veloxseg.contract import limits, plausibility
from veloxseg.contract.card import Role

from ..common import Computer, Geometry
from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard
from . import InputOptions, Inputs, Plausibility, RegionBox, RunEstimate
from .InputImage import Images, InputImage
from .InputOptions import InputOptions as Options

# Of the reference and of the smaller box, for images that cover the same region.
SAME_REGION = 0.95

REFERENCE = "reference"
OK = "ok"
RESAMPLED = "resampled"
MOVED = "moved"
OVERLAP = "overlap"
MISSING = "missing"
UNSUITABLE = "unsuitable"
UNIT = "unit"


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
            UNIT: _("Unit?"),
        }[self.kind]


def judge(card: ModelCard, images: Images, options: Options | None = None) -> dict[str, Verdict]:
    """A verdict for every role of a card.

    :param images: role name -> image or None.
    :param options: what the person has decided about them.
    """
    options = options or Options()
    verdicts, odd = {}, Plausibility.findings(card, images, options)
    for role in card.roles:
        try:
            verdicts[role.name] = _judgeRole(card, role, images, options, odd.get(role.name, []))
        except VeloxSegError as error:
            verdicts[role.name] = Verdict(_kindOf(error), error.text, error)
    return verdicts


def firstProblem(card: ModelCard, verdicts: dict[str, Verdict]) -> VeloxSegError | None:
    """What blocks the run, in the order of the rows; None when nothing does."""
    errors = [verdicts[role.name].error for role in card.roles]
    return next((error for error in errors if error is not None), None)


def firstAdvice(card: ModelCard, verdicts: dict[str, Verdict]) -> VeloxSegError | None:
    """What should be told although it blocks nothing: warnings before remarks, each in the order of the rows."""
    advice = [verdicts[role.name].advice for role in card.roles if verdicts[role.name].advice is not None]
    return min(advice, key=lambda entry: entry.isRemark, default=None)


def _kindOf(error: VeloxSegError) -> str:
    kinds = {
        "ROLE_MISSING": MISSING,
        "ROLE_INCOMPLETE": MISSING,
        InputOptions.OVERLAP: OVERLAP,
        InputOptions.ACTIVITY: UNIT,
        InputOptions.UNIT_UNKNOWN: UNIT,
        "ROLE_UNIT_HIGH": UNIT,
        "ROLE_UNIT_DOUBTED": UNIT,
        "ROLE_SUV_KIND": UNIT,
    }
    return kinds.get(error.code, UNSUITABLE)


def _judgeRole(card: ModelCard, role: Role, images: Images, options: Options, odd: list[VeloxSegError]) -> Verdict:
    image = images.get(role.name)
    if image is None:
        raise _missing(card, role, images)
    _refuseDoubled(card, role, images)
    Inputs.check(role, image)
    Inputs.checkContent(role, image)
    Inputs.checkModality(role, image, options)
    _refuse(card, odd)
    Inputs.checkUnit(role, image, options)
    grid = image.grid
    advice = Inputs.remark(role, image) or next(iter(odd), None)
    if role.is_reference:
        _checkRegion(role, grid, options)
        advice = advice or _effort(card, images, options)
        shown = grid.sizeText() if role.is_photo else grid.description()
        text = _("{grid}. The result gets this grid.").format(grid=shown)
        return Verdict(MOVED if image.isMoved else REFERENCE, text, advice=advice or (_moved(role) if image.isMoved else None))
    return _compare(card, role, image, images, options, advice)


def _refuse(card: ModelCard, odd: list[VeloxSegError]) -> None:
    for error in odd:
        if Plausibility.isRefused(card, error.code):
            raise error


def _missing(card: ModelCard, role: Role, images: Images) -> VeloxSegError:
    given = [other.title for other in card.roles if images.get(other.name) is not None]
    if not given:
        return VeloxSegError("ROLE_MISSING", name=role.name, role=role.title)
    others = [other.title for other in card.roles if other is not role]
    return VeloxSegError("ROLE_INCOMPLETE", name=role.name, role=role.title, others=", ".join(others), given=", ".join(given))


def _refuseDoubled(card: ModelCard, role: Role, images: Images) -> None:
    for other in card.roles[: card.roles.index(role)]:
        if images.get(other.name) is not None and images[other.name].node is images[role.name].node:
            raise VeloxSegError("ROLE_DOUBLED", name=role.name, role=role.title, other=other.title)


def _checkRegion(role: Role, grid: Geometry.WorldGrid, options: Options) -> None:
    if options.region is not None and Geometry.overlap(RegionBox.gridOf(options.region), grid) == 0:
        raise VeloxSegError("REGION_OUTSIDE", name=role.name, reference=role.title)


def _effort(card: ModelCard, images: Images, options: Options) -> VeloxSegError | None:
    isWhole = all(images.get(role.name) is not None and Inputs.isSuitable(role, images[role.name]) for role in card.roles)
    if card.takes_photo or not isWhole or options.accepts(InputOptions.LARGE):
        return None
    effort, free = RunEstimate.estimate(card, images, options), Computer.freeMemory()
    if not RunEstimate.isGreat(effort, free):
        return None
    size = images[card.reference.name].size
    facts = {
        "name": card.reference.name,
        "size": " x ".join(map(str, size)),
        "minutes": max(1, round(effort.seconds / 60)),
        "needed": effort.memory / Computer.GIGABYTE,
    }
    if free is None:
        return VeloxSegError("IMAGE_LONG", **facts)
    return VeloxSegError(InputOptions.LARGE, free=free / Computer.GIGABYTE, **facts)


def _compare(
    card: ModelCard,
    role: Role,
    image: InputImage,
    images: Images,
    options: Options,
    advice: VeloxSegError | None,
) -> Verdict:
    """Compare a further image with the reference, as far as that one is usable."""
    reference = images.get(card.reference.name)
    if reference is None or not Inputs.isSuitable(card.reference, reference):
        return Verdict(OK, image.grid.description(), advice=advice)
    grid, referenceGrid = image.grid, reference.grid
    share = Geometry.overlap(grid, referenceGrid)
    facts = {"name": role.name, "role": role.title, "reference": card.reference.title, "percent": round(100 * share)}
    if not limits.covers(share) and not options.isAccepted(InputOptions.OVERLAP, role.name):
        raise VeloxSegError(InputOptions.OVERLAP, **facts)
    facts["grid"] = grid.description()
    if image.isMoved:
        text = _("{grid}, {percent} % overlap with {reference}. Its linear transform is applied to a copy.")
        return Verdict(MOVED, text.format(**facts), advice=advice or _moved(role))
    if Geometry.isSameGrid(grid, referenceGrid):
        return Verdict(OK, _("{grid}, the same grid as {reference}.").format(**facts), advice=advice)
    text = _("{grid}, {percent} % overlap with {reference}. A copy is resampled; your image stays as it is.")
    covered = plausibility.box_share(reference.sampled, image.sampled)
    code = "GRID_DIFFERS" if min(covered, share) >= SAME_REGION else "GRID_PART"
    parts = {"spacing": grid.spacingText(), "referenceSpacing": referenceGrid.spacingText(), "percent": round(100 * covered)}
    return Verdict(RESAMPLED, text.format(**facts), advice=advice or VeloxSegError(code, **facts | parts))


def _moved(role: Role) -> VeloxSegError:
    return VeloxSegError("GRID_MOVED", name=role.name, role=role.title)
