"""The one notice of the panel: what is said, and what comes before what."""

from collections.abc import Callable

from veloxseg.contract import errors as engine

from ..common.Errors import VeloxSegError
from ..widgets import Notice
from . import State

OF_PANEL = ("ENGINE_", "ROLE_", "PHOTO_", "IMAGE_", "REGION_", "MODEL_NONE")


class Notices:
    """Keeps the last outcome and the note of a run, and shows the worst message first."""

    def __init__(self, ui, actionsFor: Callable[[VeloxSegError], dict], onLog: Callable[[str], None]) -> None:
        """
        :param ui: the child widgets of the panel.
        :param actionsFor: error -> action of Errors -> what a click does.
        :param onLog: called with each line for the log.
        """
        self._line = Notice.NoticeLine(ui)
        self._actionsFor = actionsFor
        self._onLog = onLog
        self._outcome: Notice.Message | None = None
        self._isFirst = False
        self._runNote: Notice.Message | None = None

    @property
    def outcomeText(self) -> str:
        """How the last thing ended, "" when something else happened since."""
        return self._outcome.text if self._outcome is not None else ""

    def keep(self, message: Notice.Message | None, isFirst: bool = False) -> None:
        """Keep a message until something else happens.

        :param isFirst: before problems as well, because it is about how they are being solved.
        """
        self._outcome, self._isFirst = message, isFirst

    def forget(self) -> None:
        """What was said is over."""
        self._outcome = None

    def begin(self) -> None:
        """A run starts: neither an outcome nor a note yet."""
        self._outcome, self._isFirst, self._runNote = None, False, None

    def note(self, text: str) -> None:
        """Something worth knowing of the run that goes on."""
        self._runNote = Notice.Message(Notice.INFO, text)

    def fail(self, error: VeloxSegError) -> None:
        """Keep the message of an error, and log it."""
        self.keep(self.messageOf(error))
        self._onLog(f"{error.code}: {error.text} {error.detail}".rstrip())

    def messageOf(self, error: VeloxSegError) -> Notice.Message:
        """The message of an error with its buttons."""
        isWarning = error.code.startswith(OF_PANEL) or error.code in engine.ODD
        kind = Notice.INFO if error.isRemark else Notice.WARNING if isWarning else Notice.STOP
        return Notice.fromError(error, self._actionsFor(error), kind)

    def show(self, state: State.PanelState, isEngineMissing: bool) -> None:
        """A failed run or missing engine, then a blocking problem, the end of a run, advice."""
        problem = State.noticeOf(state)
        isOutcomeMild = self._outcome is None or self._outcome.kind == Notice.INFO
        if state.isRunning:
            self._line.show(self._runNote)
        elif self._outcome is not None and self._isFirst:
            self._line.show(self._outcome)
        elif problem is not None and (isOutcomeMild or isEngineMissing):
            self._line.show(self.messageOf(problem))
        elif self._outcome is None and state.advice is not None:
            self._line.show(self.messageOf(state.advice))
        else:
            self._line.show(self._outcome)
