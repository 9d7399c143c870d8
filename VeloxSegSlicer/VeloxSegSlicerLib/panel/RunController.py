"""One run of the panel: started, cancelled, followed through its stages, and told of at its end."""

from collections.abc import Callable

from slicer.i18n import tr as _

from ..common.Errors import VeloxSegError
from ..common.Log import logger
from ..common.Parameters import Quality
from ..engine import ComputerCheck
from ..engine.Protocol import Progress
from ..engine.Run import CANCELLED, DONE
from ..results.Result import RunResult
from ..results.ResultView import ResultView
from ..run import Times
from ..run.DeviceChoice import CPU, DeviceChoice
from ..run.Segmenter import RunListener, Segmenter
from ..widgets import Notice
from .Choices import Choices
from .Notices import Notices
from .RunTexts import noteText, progressText


class RunController(RunListener):
    """Starts runs with what is chosen and follows them; `stage` says what is being done, `device` where."""

    def __init__(
        self,
        ui,
        segmenter: Segmenter,
        choices: Choices,
        deviceChoice: DeviceChoice,
        notices: Notices,
        results: ResultView,
        onLog: Callable[[str], None],
        onChanged: Callable[[], None],
        onEnd: Callable[[], None],
    ) -> None:
        """
        :param ui: the child widgets of the panel.
        :param segmenter: runs the jobs.
        :param choices: model, images and settings of the next run.
        :param deviceChoice: learns of the devices when the engine starts.
        :param notices: is told of notes, failures and ends.
        :param results: takes a finished result.
        :param onLog: called with each line for the log.
        :param onChanged: called when the state of the panel has changed.
        :param onEnd: called after a run has ended and its end is shown.
        """
        self._ui = ui
        self._segmenter = segmenter
        self._choices = choices
        self._deviceChoice = deviceChoice
        self._notices = notices
        self._results = results
        self.onLog = onLog
        self._onChanged = onChanged
        self._onEnd = onEnd
        self.stage = ""
        self.device = ComputerCheck.lastDevice()

    def startOrCancel(self) -> None:
        """The one large button."""
        if self._segmenter.isBusy:
            self._segmenter.cancel()
            self.stage = _("Cancelling...")
            self._onChanged()
        else:
            self.start()

    def start(self) -> None:
        """Start a run with what is chosen; a refusal is shown as a message."""
        card, settings = self._choices.card, self._choices.settings
        if card is None:
            return
        self._notices.begin()
        self.stage = _("Preparing images...")
        self._ui.progressBar.value = 0
        self.onLog(f"--- {card.id} {card.version}, device {settings.device} ---")
        try:
            self._segmenter.start(card, self._choices.images, settings, self)
        except VeloxSegError as error:
            self._notices.fail(error)
        if settings.keepFiles and self._segmenter.isBusy:
            self.onLog(f"Job folder: {self._segmenter.jobFolder}")
        self._onChanged()

    def startOnCpu(self) -> None:
        """Start again where memory is larger."""
        self._deviceChoice.choose(CPU)
        self.start()

    def startByKey(self) -> None:
        """As the button, while it offers to start."""
        if self._ui.segmentButton.enabled and not self._segmenter.isBusy:
            # The control that has the focus may be locked by the run, and the focus would leave the panel.
            self._ui.segmentButton.setFocus()
            self.start()

    def cancelByKey(self) -> None:
        """As the button, while it offers to cancel."""
        if self._segmenter.isBusy and not self._segmenter.isCancelling:
            self.startOrCancel()

    def abandon(self) -> None:
        """The scene closes: a run in progress is cancelled, its result is never imported into another scene."""
        self._notices.forget()
        if self._segmenter.abandon():
            text = _("The computation was cancelled because the scene was closed. Nothing was imported.")
            self._notices.keep(Notice.Message(Notice.INFO, text))
        self.stage = ""

    def estimates(self) -> dict[Quality, float | None]:
        """About how many seconds each quality takes with what is chosen; the choices must be complete."""
        card, images = self._choices.card, self._choices.images
        facts = (self._deviceChoice.device, self._choices.inputOptions)
        return {quality: Times.about(card, images, quality, *facts) for quality in Quality}

    def onHello(self, hello: dict) -> None:
        self.device = str(hello.get("device", ""))
        self._deviceChoice.learn(hello)
        if not self._segmenter.isCancelling:
            self.stage = _("Starting on {device}...").format(device=self.device)
        self._onChanged()

    def onNote(self, code: str, text: str) -> None:
        if noteText(code):
            self._notices.note(noteText(code))
            self._onChanged()

    def onStage(self, text: str, progress: Progress) -> None:
        if not self._segmenter.isCancelling:
            self.stage = text
        self._showProgress(progress)

    def onProgress(self, progress: Progress) -> None:
        if not self._segmenter.isCancelling:
            self.stage = progressText(self._choices.card, progress)
        self._showProgress(progress)

    def _showProgress(self, progress: Progress) -> None:
        self._ui.progressBar.value = progress.percent
        self._ui.stageLabel.text = self.stage

    def onFinished(self, result: RunResult) -> None:
        try:
            self._tellEnd(result)
        except Exception:  # noqa: BLE001 - whatever it was, the person hears of it and the panel is free again
            logger.exception("the end of a run was not shown")
            self._notices.fail(VeloxSegError("UNEXPECTED", stage=_("Showing the result")))
        self._onChanged()
        self._onEnd()

    def _tellEnd(self, result: RunResult) -> None:
        if result.kind == DONE:
            self._rememberTime(result)
            self._notices.keep(self._results.take(result))
            self.onLog(self._notices.outcomeText)
        elif result.kind == CANCELLED:
            self._notices.keep(Notice.Message(Notice.INFO, _("Cancelled. Nothing was changed.")))
        else:
            self._notices.fail(result.error)

    def _rememberTime(self, result: RunResult) -> None:
        if not result.isReferenceGone and self._choices.parameters is not None:
            settings = self._choices.settings
            Times.remember(result.card, result.images, settings.quality, settings.device, result.seconds)
