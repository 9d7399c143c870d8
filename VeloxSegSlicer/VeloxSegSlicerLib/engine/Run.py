"""One run of a process: start, messages, time-outs, cancel, and one outcome in every ending."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import qt

from veloxseg.contract.errors import EXIT_CANCELLED

from ..common.Errors import VeloxSegError
from . import Process
from .Protocol import eventOf, problemOf

START_TIMEOUT_MS = 60000
TERMINATE_AFTER_MS = 4000
KILL_AFTER_MS = 3000
# Events without which a result is as good.
UNIMPORTANT = ("hello", "stage", "progress", "note", "case")
# Characters of a line that are worth a place in the log.
LONGEST_LOG_LINE = 4000

DONE = "done"
CANCELLED = "cancelled"
FAILED = "failed"


@dataclass
class ProcessOutcome:
    """How a run ended: `kind`, the `error` when it failed, and all events that were not progress."""

    kind: str
    error: VeloxSegError | None = None
    hello: dict = field(default_factory=dict)
    result: dict = field(default_factory=dict)
    notes: list[dict] = field(default_factory=list)
    stage: str = ""


@dataclass
class Timeouts:
    """Milliseconds until the panel acts by itself; tests shorten them."""

    start: int = START_TIMEOUT_MS
    terminate: int = TERMINATE_AFTER_MS
    kill: int = KILL_AFTER_MS


class EngineRun(Process.ProcessListener):
    """What a process does for one request, in the protocol of docs/formats.md. A run is used once.

    It is over with the `end` event of a serving process, or with the end of the process.
    """

    def __init__(
        self,
        process: Process.Process,
        timeouts: Timeouts,
        onEvent: Callable,
        onLog: Callable,
        onFinished: Callable,
        askToCancel: Callable = lambda: None,
        request: Path | None = None,
        needsResult: bool = True,
    ) -> None:
        """
        :param process: running already or not.
        :param onEvent: called with each event as a dictionary.
        :param onLog: called with each line that is no event.
        :param onFinished: called once, with an `ProcessOutcome`.
        :param askToCancel: called on cancel, to ask the child in a friendly way.
        :param request: for a serving process.
        :param needsResult: success needs a `result` event besides exit code 0.
        """
        self._process = process
        self._request = request
        self._needsResult = needsResult
        self._onEvent, self._onLog = onEvent, onLog
        self._onFinished, self._askToCancel = onFinished, askToCancel
        self._outcome = ProcessOutcome(FAILED)
        self._engineError: VeloxSegError | None = None
        self._forcedError: VeloxSegError | None = None
        self._protocolError: VeloxSegError | None = None
        self._isCancelled = self._isFinished = self._moduleNotFound = False
        self._timeouts = timeouts
        self._startTimer = _singleShot(timeouts.start, self._onStartTimeout)
        self._terminateTimer = _singleShot(timeouts.terminate, self._onTerminateTimeout)
        self._killTimer = _singleShot(timeouts.kill, process.kill)

    @property
    def isActive(self) -> bool:
        """Whether the outcome is still open."""
        return not self._isFinished

    @property
    def isCancelling(self) -> bool:
        """Whether cancel was asked for and the run has not ended yet."""
        return self._isCancelled and not self._isFinished

    @property
    def processId(self) -> int:
        """The child's process id, 0 when it does not run."""
        return self._process.processId

    def start(self) -> None:
        """Start the process or send it the request. Every failure, also of starting, arrives as an outcome."""
        self._startTimer.start()
        self._process.listener = self
        if not self._process.isRunning:
            self._process.start()
        if self._request is not None:
            self._process.writeLine(str(self._request))

    def cancel(self) -> None:
        """Ask the child to stop; terminate and then kill it when it does not."""
        if self._isFinished or self._isCancelled:
            return
        self._isCancelled = True
        self._askToCancel()
        self._terminateTimer.start()

    def abort(self) -> None:
        """End the child now and report nothing: for closing the scene, the module or Slicer."""
        self._isFinished = True
        self._stopTimers()
        self._process.abort()

    def onLines(self, lines: list[str]) -> None:
        defects = []
        for line in lines:
            try:
                self._takeLine(line)
            except Exception as defect:  # noqa: BLE001 - the end of the run may be in the next line, and must be heard
                defects.append(defect)
        if defects:
            raise defects[0]

    def onLogLines(self, lines: list[str]) -> None:
        for line in lines:
            self._moduleNotFound = self._moduleNotFound or "No module named" in line
            if line.strip():
                self._onLog(line if len(line) <= LONGEST_LOG_LINE else f"{line[:LONGEST_LOG_LINE]} [...]")

    def onStartFailed(self) -> None:
        self._forcedError = VeloxSegError("START_FAILED")
        self._finish(CANCELLED if self._isCancelled else FAILED)

    def onEnd(self, exitCode: int, isNormal: bool) -> None:
        self._finish(self._kindOfEnd(exitCode, isNormal), exitCode)

    def _takeLine(self, line: str) -> None:
        event = eventOf(line)
        if event is None:
            self.onLogLines([line])
        elif not self._isFinished:
            self._takeChecked(event)

    def _takeChecked(self, event: dict) -> None:
        """Nothing is done with an event that is not as agreed; without its end a run would never be over."""
        self._startTimer.stop()
        problem = problemOf(event)
        if not problem:
            self._takeEvent(event)
            return
        self.onLogLines([problem])
        if event["event"] not in UNIMPORTANT:
            self._protocolError = VeloxSegError("ENGINE_PROTOCOL")
        if event["event"] == "end":
            self._finish(CANCELLED if self._isCancelled else FAILED)

    def _takeEvent(self, event: dict) -> None:
        kind = event["event"]
        if kind == "end":
            self.onEnd(event["exit_code"], isNormal=True)
            return
        if kind == "hello":
            self._outcome.hello = event
        elif kind == "stage":
            self._outcome.stage = event.get("text", "")
        elif kind == "note":
            self._outcome.notes.append(event)
        elif kind == "result":
            self._outcome.result = event
        elif kind == "error":
            self._takeError(event)
        self._onEvent(event)

    def _takeError(self, event: dict) -> None:
        facts = [event.get(key, "") for key in ("code", "text", "detail")]
        if facts[0] == "UNEXPECTED":
            self._engineError = VeloxSegError("UNEXPECTED", stage=self._outcome.stage)
        else:
            self._engineError = VeloxSegError.fromEngine(*facts)
        self.onLogLines([f"{facts[0]}: {facts[1]} {facts[2]}"])

    def _onStartTimeout(self) -> None:
        self._forcedError = VeloxSegError("TIMEOUT_START", seconds=round(self._timeouts.start / 1000))
        self._process.kill()

    def _onTerminateTimeout(self) -> None:
        self._process.askToEnd()
        self._killTimer.start()

    def _kindOfEnd(self, exitCode: int, isNormal: bool) -> str:
        # A result that arrives after the cancel button was pressed is not wanted anymore.
        if self._isCancelled or (isNormal and exitCode == EXIT_CANCELLED):
            return CANCELLED
        hasResult = bool(self._outcome.result) or not self._needsResult
        hasResult = hasResult and self._protocolError is None
        return DONE if isNormal and exitCode == 0 and hasResult else FAILED

    def _finish(self, kind: str, exitCode: int = 0) -> None:
        if self._isFinished:
            return
        self._isFinished = True
        self._stopTimers()
        self._outcome.kind = kind
        if kind == FAILED:
            self._outcome.error = self._errorOfEnd(exitCode)
        self._onFinished(self._outcome)

    def _errorOfEnd(self, exitCode: int) -> VeloxSegError:
        if self._forcedError or self._engineError:
            return self._forcedError or self._engineError
        if self._protocolError:
            return self._protocolError
        if exitCode == 0:
            return VeloxSegError("RESULT_MISSING")
        if self._moduleNotFound and not self._outcome.hello:
            return VeloxSegError("ENGINE_DAMAGED")
        return VeloxSegError("CRASH", exitCode=exitCode)

    def _stopTimers(self) -> None:
        for timer in (self._startTimer, self._terminateTimer, self._killTimer):
            timer.stop()


def _singleShot(milliseconds: int, callback: Callable):
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.connect("timeout()", callback)
    return timer
