"""The state of the panel as one function of setup, model, images and run. No Qt and no scene here."""

from dataclasses import dataclass

from slicer.i18n import tr as _

from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard
from ..engine import Setup
from ..images import Verdicts

TODO = "todo"
DONE = "done"
OPTIONAL = "optional"


@dataclass(frozen=True)
class Step:
    """One line of the Setup check list: `state` (one of the above) and `text`."""

    state: str
    text: str

    @property
    def word(self) -> str:
        """The state as a word, because color and icon alone do not reach everybody."""
        return {TODO: _("To do"), DONE: _("Done"), OPTIONAL: _("Optional")}[self.state]


@dataclass(frozen=True)
class PanelState:
    """Everything that `Widget` shows and enables."""

    canStart: bool
    isRunning: bool
    isCancelling: bool
    hint: str
    problem: VeloxSegError | None
    advice: VeloxSegError | None
    steps: tuple[Step, Step, Step]
    setupTitle: str

    @property
    def areChoicesLocked(self) -> bool:
        """Whether task, model and images must stay as they are."""
        return self.isRunning


def panelState(
    engine: Setup.EngineState,
    device: str,
    card: ModelCard | None,
    images: dict,
    verdicts: dict[str, Verdicts.Verdict],
    isRunning: bool,
    isCancelling: bool,
) -> PanelState:
    """
    :param engine: what `Setup.probe` found.
    :param device: name of the device of the last run, "" before the first one.
    :param card: the chosen model, None when there is none.
    :param images: role name -> volume node or None.
    :param verdicts: role name -> verdict.
    :param isRunning: a job is running.
    :param isCancelling: it is being cancelled.
    """
    inputProblem = Verdicts.firstProblem(card, verdicts) if card else None
    noModel = None if card else VeloxSegError("MODEL_NONE")
    problem = engine.error or noModel or inputProblem
    return PanelState(
        canStart=problem is None and not isRunning,
        isRunning=isRunning,
        isCancelling=isCancelling,
        hint=problem.text if problem else _("Starts the computation. Your images stay as they are."),
        problem=problem,
        advice=Verdicts.firstAdvice(card, verdicts) if card else None,
        steps=_steps(engine, card, images, inputProblem),
        setupTitle=_setupTitle(engine, device),
    )


def noticeOf(state: PanelState) -> VeloxSegError | None:
    """The problem for the notice line. Where no image is there yet, or one is there twice, the row says it."""
    if state.problem is None or state.problem.code in ("ROLE_MISSING", "ROLE_DOUBLED"):
        return None
    return state.problem


def _steps(engine: Setup.EngineState, card: ModelCard | None, images: dict, inputProblem) -> tuple[Step, Step, Step]:
    return _engineStep(engine), _modelStep(card), _imagesStep(images, inputProblem)


def _engineStep(engine: Setup.EngineState) -> Step:
    if engine.status == Setup.READY:
        return Step(DONE, _("AI engine: installed (torch {version})").format(version=engine.torchVersion))
    if engine.status == Setup.OLD_SLICER:
        return Step(TODO, engine.error.text)
    if engine.status == Setup.OLD:
        return Step(TODO, _("AI engine: too old ({packages})").format(packages=engine.oldPackages))
    if engine.status == Setup.DAMAGED:
        return Step(
            TODO,
            _("AI engine: only partly installed ({packages})").format(packages=", ".join(engine.damaged)),
        )
    return Step(TODO, _("AI engine: not installed ({packages})").format(packages=", ".join(engine.missing)))


def _modelStep(card: ModelCard | None) -> Step:
    if card is None:
        return Step(TODO, _("Model: none"))
    return Step(DONE, _("Model: {title} {version}").format(title=card.title, version=card.version))


def _imagesStep(images: dict, inputProblem) -> Step:
    if not images or all(node is None for node in images.values()):
        return Step(TODO, _("Images: none chosen"))
    if inputProblem:
        return Step(TODO, _("Images: {problem}").format(problem=inputProblem.text))
    return Step(DONE, _("Images: chosen"))


def _setupTitle(engine: Setup.EngineState, device: str) -> str:
    if engine.status != Setup.READY:
        return _("Setup")
    return _("Setup: ready - {device}").format(device=device) if device else _("Setup: ready")
