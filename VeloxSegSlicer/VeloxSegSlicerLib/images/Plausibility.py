"""What is odd about the chosen images, by the rules and the words of the engine (`veloxseg.contract.plausibility`)."""

from veloxseg.contract import plausibility

from ..common import Errors
from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard
from . import InputOptions, Inputs
from .InputImage import Images, InputImage
from .InputOptions import InputOptions as Options


def findings(card: ModelCard, images: Images, options: Options) -> dict[str, list[VeloxSegError]]:
    """Role name -> what is odd about its image, without what was accepted; those that block offer to accept them.

    The unit of a PET is asked for by `Inputs.checkUnit`.

    :param images: role name -> image or None.
    """
    if card.takes_photo:
        return {}
    looked = {name: image.sampled for name, image in images.items() if _isReadable(card, name, image)}
    found: dict[str, list[VeloxSegError]] = {}
    for finding in plausibility.findings(card, looked):
        if not _isSettled(finding, options) and plausibility.action(card, finding.code) != plausibility.IGNORE:
            error = VeloxSegError(finding.code, name=finding.role, image=images[finding.role].name, **finding.facts)
            if isRefused(card, finding.code):
                error.actions = (Errors.ACCEPT, *error.actions)
            found.setdefault(finding.role, []).append(error)
    return found


def isRefused(card: ModelCard, code: str) -> bool:
    """Whether the engine refuses images with this finding, unless it is accepted."""
    return plausibility.action(card, code) == plausibility.REFUSE


def acceptedCodes(options: Options) -> list[str]:
    """What a person has accepted, in the words of a request."""
    codes = {code for code, _role in options.accepted if code in plausibility.DEFAULTS}
    return sorted(codes | ({"PET_UNIT"} if options.accepts(InputOptions.UNIT_UNKNOWN) else set()))


def _isReadable(card: ModelCard, name: str, image: InputImage | None) -> bool:
    role = next(role for role in card.roles if role.name == name)
    return image is not None and Inputs.isSuitable(role, image) and not image.statistics.isConstant


def _isSettled(finding: plausibility.Finding, options: Options) -> bool:
    isScaled = options.isAccepted(InputOptions.ACTIVITY, finding.role)
    return (
        finding.code == "PET_UNIT"
        or options.isAccepted(finding.code, finding.role)
        or (isScaled and finding.code in ("PET_SCALE", "PET_LOW"))
    )
