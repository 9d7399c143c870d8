"""A child process that speaks in lines. It may serve several runs, one after the other."""

from pathlib import Path

import qt

from ..common import Temporary
from ..common.Log import logger
from . import Child
from .Protocol import LineBuffer

END_TIMEOUT_MS = 3000


class ProcessListener:
    """Hears of a process. Every method may be replaced; the default does nothing."""

    def onLines(self, lines: list[str]) -> None:
        """Lines of stdout."""

    def onLogLines(self, lines: list[str]) -> None:
        """Lines of stderr."""

    def onStartFailed(self) -> None:
        """The program was not found or may not run."""

    def onEnd(self, exitCode: int, isNormal: bool) -> None:
        """The process has ended, normally or by a crash; all of its lines were heard."""


class Process:
    """A program with the engine package on its Python path, in a folder of its own that goes with it.

    The owner keeps the object until the next process: it must not be freed from within its own signal.
    """

    def __init__(self, command: list[str], modulePath: Path) -> None:
        """
        :param command: program and arguments, see `Child.command`; paths in them are absolute.
        :param modulePath: folder that holds the engine package.
        """
        self.command = [str(part) for part in command]
        self.listener = ProcessListener()
        self._stdout, self._stderr = LineBuffer(), LineBuffer()
        self._folder = Temporary.newFolder(Temporary.CHILD)
        self._process = self._newProcess(modulePath)

    @property
    def isRunning(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process.state() != qt.QProcess.NotRunning

    @property
    def processId(self) -> int:
        """The child's process id, 0 when it does not run."""
        return self._process.processId()

    def start(self) -> None:
        """Start it. A failure arrives at the listener."""
        self._process.start(self.command[0], self.command[1:])

    def writeLine(self, text: str) -> None:
        """Send a line to its stdin; before the process is up, the line waits."""
        self._process.write(f"{text}\n".encode())

    def askToEnd(self) -> None:
        """Close stdin and terminate: closing reaches the real Python also where PythonSlicer is only a launcher."""
        self._process.closeWriteChannel()
        self._process.terminate()

    def kill(self) -> None:
        """End it hard; the listener hears of the end."""
        self._process.closeWriteChannel()
        self._process.kill()

    def abort(self) -> None:
        """End it hard and wait for the end; the listener hears no more."""
        self._process.blockSignals(True)
        if self.isRunning:
            self.kill()
            self._process.waitForFinished(END_TIMEOUT_MS)
        Temporary.remove(self._folder)

    def _newProcess(self, modulePath: Path):
        process = qt.QProcess()
        process.setProcessEnvironment(Child.environment(modulePath))
        process.setWorkingDirectory(str(self._folder))
        process.connect("readyReadStandardOutput()", self._onStdout)
        process.connect("readyReadStandardError()", self._onStderr)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onProcessError)
        process.connect("finished(int,QProcess::ExitStatus)", self._onProcessFinished)
        return process

    def _onStdout(self) -> None:
        self.listener.onLines(self._stdout.feed(self._process.readAllStandardOutput().data()))

    def _onStderr(self) -> None:
        self.listener.onLogLines(self._stderr.feed(self._process.readAllStandardError().data()))

    def _onProcessError(self, processError) -> None:
        if processError == qt.QProcess.FailedToStart:
            Temporary.remove(self._folder)
            self.listener.onStartFailed()

    def _onProcessFinished(self, exitCode: int, exitStatus) -> None:
        isNormal = exitStatus == qt.QProcess.NormalExit
        logger.info("process ended with code %s, %s", exitCode, "normally" if isNormal else "by a crash")
        Temporary.remove(self._folder)
        try:
            self._onStdout()
            self._onStderr()
            self.listener.onLines(self._stdout.flush())
            self.listener.onLogLines(self._stderr.flush())
        finally:
            # Whatever its last words were, the owner must hear of the end.
            self.listener.onEnd(exitCode, isNormal)
