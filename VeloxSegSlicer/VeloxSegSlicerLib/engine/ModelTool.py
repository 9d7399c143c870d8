"""Import and verification of packages by the engine, in a process: the checks themselves exist there alone."""

from collections.abc import Callable
from pathlib import Path

from slicer.i18n import tr as _

from ..common import Shapes
from ..common.Errors import VeloxSegError
from . import Child
from .Process import Process
from .Run import DONE, EngineRun, ProcessOutcome, Timeouts

# Names of the engine's checks in their turn.
CHECKS = ("safe", "card", "weights", "test")
IMPORT, VERIFY = "import", "verify"
_RESULT = Shapes.record({"folder": Shapes.text})


def checkText(check: str) -> str:
    """The line of a check."""
    return {
        "safe": _("The files are safe"),
        "card": _("The card is complete"),
        "weights": _("The weights match"),
        "test": _("The test run gives the expected result"),
    }[check]


class ModelTool:
    """Runs `veloxseg models import` or `verify`, one at a time. `command` may be replaced, as tests without torch do."""

    def __init__(self, modulePath: Path, onCheck: Callable, onLog: Callable, onFinished: Callable) -> None:
        """
        :param modulePath: folder that holds the engine package.
        :param onCheck: called with (name of a check, whether it has passed); before, it is running.
        :param onLog: called with lines of the process.
        :param onFinished: called with (error, result event); the error is None on success.
        """
        self.command: list[str] | None = None
        self._modulePath = Path(modulePath)
        self._onCheck, self._onLog, self._onFinished = onCheck, onLog, onFinished
        self._run: EngineRun | None = None

    @property
    def isBusy(self) -> bool:
        """Whether a package is being checked."""
        return self._run is not None and self._run.isActive

    def start(self, action: str, package: Path, modelsFolder: Path, replace: bool = False) -> None:
        """Check a package; the end arrives at onFinished.

        :param action: IMPORT a zip or folder, or VERIFY an installed package.
        :param replace: whether an import may take the place of another model of the same name and version.
        """
        program = self.command or Child.command("veloxseg")
        arguments = ["models", action, str(package), "--folder", str(modelsFolder), "--events"]
        if replace:
            arguments.append("--replace")
        process = Process([*program, *arguments], self._modulePath)
        self._run = EngineRun(process, Timeouts(), self._onEvent, self._onLog, self._onEnd)
        self._run.start()

    def abandon(self) -> None:
        """End the process; a package that was half imported is gone."""
        if self.isBusy:
            self._run.abort()

    def _onEvent(self, event: dict) -> None:
        if event["event"] == "check" and event["name"] in CHECKS:
            self._onCheck(event["name"], event["state"] == "passed")

    def _onEnd(self, outcome: ProcessOutcome) -> None:
        if outcome.kind != DONE:
            self._onFinished(outcome.error, {})
        elif _RESULT(outcome.result):
            self._onFinished(VeloxSegError("ENGINE_PROTOCOL"), {})
        else:
            self._onFinished(None, outcome.result)
