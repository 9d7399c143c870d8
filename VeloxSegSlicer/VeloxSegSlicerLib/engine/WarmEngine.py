"""The runner process that stays warm between runs, so that only the first click waits for torch."""

from collections.abc import Callable
from pathlib import Path

import qt

from veloxseg.contract.protocol import SERVE

from ..common.Errors import VeloxSegError
from .Process import Process
from .Run import FAILED, EngineRun, ProcessOutcome, Timeouts

IDLE_MS = 5 * 60 * 1000


class WarmEngine:
    """One serving runner for one run at a time. It ends when idle, when a run fails, and with the module."""

    def __init__(self, modulePath: Path) -> None:
        """:param modulePath: folder that holds the engine package."""
        self.idleMs = IDLE_MS
        self._modulePath = Path(modulePath)
        self._process: Process | None = None
        self._lastProcess: Process | None = None
        self._run: EngineRun | None = None
        self._idleTimer = qt.QTimer()
        self._idleTimer.setSingleShot(True)
        self._idleTimer.connect("timeout()", self.end)

    @property
    def processId(self) -> int:
        """The process id, 0 when none runs."""
        return self._process.processId if self._process is not None else 0

    @property
    def isBusy(self) -> bool:
        """Whether a run is going on."""
        return self._run is not None and self._run.isActive

    def warmUp(self, command: list[str]) -> None:
        """Start the process if it does not run yet: it loads torch while the caller prepares a request.

        :param command: the runner's program and arguments, without request.
        """
        serving = [*(str(part) for part in command), SERVE]
        if self._process is None or not self._process.isRunning or self._process.command != serving:
            self.end()
            # The last one may be just telling of its end, and must not be freed meanwhile.
            self._lastProcess = self._process
            self._process = Process(serving, self._modulePath)
            self._process.start()
        self._idleTimer.start(self.idleMs)

    def newRun(
        self,
        command: list[str],
        requestFile: Path,
        timeouts: Timeouts,
        onEvent: Callable,
        onLog: Callable,
        onFinished: Callable,
        askToCancel: Callable,
    ) -> EngineRun:
        """A run of a request, to be started by the caller; for the parameters see `warmUp` and `EngineRun`.

        :raises VeloxSegError: BUSY.
        """
        if self.isBusy:
            raise VeloxSegError("BUSY")
        self.warmUp(command)

        def finish(outcome: ProcessOutcome) -> None:
            # What a process remembers after a failure is not to be trusted.
            if outcome.kind == FAILED:
                self.end()
            self._idleTimer.start(self.idleMs)
            onFinished(outcome)

        self._idleTimer.stop()
        self._run = EngineRun(self._process, timeouts, onEvent, onLog, finish, askToCancel, requestFile)
        return self._run

    def end(self) -> None:
        """End the process, running or not; nobody hears of it."""
        self._idleTimer.stop()
        if self._process is not None:
            self._process.abort()
