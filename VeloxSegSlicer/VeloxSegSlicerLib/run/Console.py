"""One run from Slicer's Python console: waits for the result, opens no window."""

import time

import qt
import slicer

from veloxseg.contract import errors

from ..common.Errors import VeloxSegError
from ..common.Models import Catalogue, ModelCard
from ..engine.Run import CANCELLED
from .Segmenter import RunListener, RunResult, RunSettings, Segmenter

PAUSE_SECONDS = 0.01


class _Waiting(RunListener):
    def __init__(self) -> None:
        self.result: RunResult | None = None

    def onFinished(self, result: RunResult) -> None:
        self.result = result


def segment(catalogue: Catalogue, segmenter: Segmenter, images, model: str | None = None, settings: RunSettings | None = None):
    """Segment and wait; meanwhile mouse and keys do nothing.

    :param images: role name -> volume node, or the node alone for a model with one image.
    :param model: id or id-version; None for the only model with these roles.
    :return: the segmentation node, None where nothing was found.
    :raises VeloxSegError: MODEL_MISSING, MODEL_ROLES, CANCELLED, and the codes of `Segmenter.start` and of the engine.
    """
    card = _cardFor(catalogue, images, model)
    if not isinstance(images, dict):
        images = {card.roles[0].name: images}
    waiting = _Waiting()
    segmenter.start(card, images, settings or RunSettings(), waiting)
    while waiting.result is None:
        slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)
        time.sleep(PAUSE_SECONDS)
    if waiting.result.error:
        raise waiting.result.error
    if waiting.result.kind == CANCELLED:
        raise _engineError("CANCELLED")
    return waiting.result.segmentation


def _cardFor(catalogue: Catalogue, images, model: str | None) -> ModelCard:
    fitting = [card for card in catalogue.cards if _fits(card, images)]
    if model is None:
        if len(fitting) != 1:
            raise _engineError("MODEL_MISSING", path="(none)", near="; say which one: " + ", ".join(card.id for card in fitting))
        return fitting[0]
    card = catalogue.card(model)
    if card is None:
        raise _engineError("MODEL_MISSING", path=model, near="")
    if not _fits(card, images):
        needed = ", ".join(role.name for role in card.roles)
        given = ", ".join(map(str, images)) if isinstance(images, dict) else "one image without a role"
        raise _engineError("MODEL_ROLES", model=card.title, needed=needed, given=given or "none")
    return card


def _fits(card: ModelCard, images) -> bool:
    roles = {role.name for role in card.roles}
    return set(images) == roles if isinstance(images, dict) else len(roles) == 1


def _engineError(code: str, **facts: object) -> VeloxSegError:
    return VeloxSegError.fromEngine(code, errors.VeloxSegError(code, **facts).text)
