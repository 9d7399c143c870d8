"""One runner process: start, messages, time-outs, cancel, and one outcome in every ending."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import qt

from .Errors import VeloxSegError
from .Protocol import LineBuffer, eventOf

START_TIMEOUT_MS = 60000
TERMINATE_AFTER_MS = 5000
KILL_AFTER_MS = 3000
EXIT_CANCELLED = 6

DONE = "done"
CANCELLED = "cancelled"
FAILED = "failed"


@dataclass
class Outcome:
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


class Run:
    """A child process that speaks the protocol of docs/formats.md. A run is used once.

    The owner keeps the object until the next run: a process must not be freed from within its own signal.
    """

    def __init__(
        self,
        command: list[str],
        folder: Path,
        modulePath: Path,
        timeouts: Timeouts,
        onEvent: Callable,
        onLog: Callable,
        onFinished: Callable,
        askToCancel: Callable,
        needsResult: bool = True,
    ) -> None:
        """
        :param command: program and arguments.
        :param folder: working directory.
        :param modulePath: folder that holds the engine package, put first on the child's Python path.
        :param onEvent: called with each event as a dictionary.
        :param onLog: called with each line that is no event.
        :param onFinished: called once, with an `Outcome`.
        :param askToCancel: called on cancel, to ask the child in a friendly way.
        :param needsResult: success needs a `result` event besides exit code 0.
        """
        self._command = [str(part) for part in command]
        self._timeouts = timeouts
        self._needsResult = needsResult
        self._onEvent, self._onLog = onEvent, onLog
        self._onFinished, self._askToCancel = onFinished, askToCancel
        self._outcome = Outcome(FAILED)
        self._engineError: VeloxSegError | None = None
        self._forcedError: VeloxSegError | None = None
        self._isCancelled = self._isFinished = self._moduleNotFound = False
        self._stdout, self._stderr = LineBuffer(), LineBuffer()
        self._startTimer = _singleShot(timeouts.start, self._onStartTimeout)
        self._terminateTimer = _singleShot(timeouts.terminate, self._onTerminateTimeout)
        self._killTimer = _singleShot(timeouts.kill, self._onKillTimeout)
        self._process = self._newProcess(folder, modulePath)

    @property
    def isActive(self) -> bool:
        """Whether the outcome is still open."""
        return not self._isFinished

    @property
    def isCancelling(self) -> bool:
        """Whether cancel was asked for and the process has not ended yet."""
        return self._isCancelled and not self._isFinished

    @property
    def processId(self) -> int:
        """The child's process id, 0 when it does not run."""
        return self._process.processId()

    def start(self) -> None:
        """Start the process. Every failure, also of starting, arrives as an outcome."""
        self._startTimer.start()
        self._process.start(self._command[0], self._command[1:])

    def cancel(self) -> None:
        """Ask the child to stop; terminate it after 5 s, kill it after 3 s more."""
        if self._isFinished or self._isCancelled:
            return
        self._isCancelled = True
        self._askToCancel()
        self._terminateTimer.start()

    def abort(self) -> None:
        """End the child now and report nothing: for closing the scene, the module or Slicer."""
        self._isFinished = True
        self._stopTimers()
        self._process.blockSignals(True)
        if self._process.state() != qt.QProcess.NotRunning:
            self._process.closeWriteChannel()
            self._process.kill()
            self._process.waitForFinished(self._timeouts.kill)

    def _newProcess(self, folder: Path, modulePath: Path):
        process = qt.QProcess()
        environment = qt.QProcessEnvironment.systemEnvironment()
        paths = [str(modulePath), environment.value("PYTHONPATH", "")]
        environment.insert("PYTHONPATH", os.pathsep.join(path for path in paths if path))
        environment.insert("PYTHONUNBUFFERED", "1")
        environment.insert("PYTHONUTF8", "1")
        process.setProcessEnvironment(environment)
        process.setWorkingDirectory(str(folder))
        process.connect("readyReadStandardOutput()", self._onStdout)
        process.connect("readyReadStandardError()", self._onStderr)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onProcessError)
        process.connect("finished(int,QProcess::ExitStatus)", self._onProcessFinished)
        return process

    def _onStdout(self) -> None:
        self._takeLines(self._stdout.feed(self._process.readAllStandardOutput().data()))

    def _onStderr(self) -> None:
        self._takeLog(self._stderr.feed(self._process.readAllStandardError().data()))

    def _takeLines(self, lines: list[str]) -> None:
        for line in lines:
            event = eventOf(line)
            if event is None:
                self._takeLog([line])
            else:
                self._takeEvent(event)

    def _takeLog(self, lines: list[str]) -> None:
        for line in lines:
            self._moduleNotFound = self._moduleNotFound or "No module named" in line
            if line.strip():
                self._onLog(line)

    def _takeEvent(self, event: dict) -> None:
        self._startTimer.stop()
        kind = event["event"]
        if kind == "hello":
            self._outcome.hello = event
        elif kind == "stage":
            self._outcome.stage = str(event.get("text", ""))
        elif kind == "note":
            self._outcome.notes.append(event)
        elif kind == "result":
            self._outcome.result = event
        elif kind == "error":
            self._takeError(event)
        self._onEvent(event)

    def _takeError(self, event: dict) -> None:
        facts = [str(event.get(key, "")) for key in ("code", "text", "detail")]
        self._engineError = VeloxSegError.fromEngine(*facts)
        self._takeLog([f"{facts[0]}: {facts[1]} {facts[2]}"])

    def _onStartTimeout(self) -> None:
        self._forcedError = VeloxSegError("TIMEOUT_START", seconds=round(self._timeouts.start / 1000))
        self._end()

    def _onTerminateTimeout(self) -> None:
        # Closing stdin reaches the real Python also where PythonSlicer is only a launcher.
        self._process.closeWriteChannel()
        self._process.terminate()
        self._killTimer.start()

    def _onKillTimeout(self) -> None:
        self._end()

    def _end(self) -> None:
        self._process.closeWriteChannel()
        self._process.kill()

    def _onProcessError(self, processError) -> None:
        if processError == qt.QProcess.FailedToStart:
            self._forcedError = VeloxSegError("START_FAILED")
            self._finish(CANCELLED if self._isCancelled else FAILED)

    def _onProcessFinished(self, exitCode: int, exitStatus) -> None:
        self._onStdout()
        self._onStderr()
        self._takeLines(self._stdout.flush())
        self._takeLog(self._stderr.flush())
        isNormal = exitStatus == qt.QProcess.NormalExit
        logging.info(
            "VeloxSeg: runner ended with code %s, %s", exitCode, "normally" if isNormal else "by a crash"
        )
        self._finish(self._kindOfEnd(exitCode, isNormal), exitCode)

    def _kindOfEnd(self, exitCode: int, isNormal: bool) -> str:
        # A result that arrives after the cancel button was pressed is not wanted anymore.
        if self._isCancelled or (isNormal and exitCode == EXIT_CANCELLED):
            return CANCELLED
        hasResult = bool(self._outcome.result) or not self._needsResult
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
