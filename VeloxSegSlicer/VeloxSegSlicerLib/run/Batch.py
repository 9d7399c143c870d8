"""A batch without a window: the settings file, the engine's process for preview and run, pause and stop."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..common import Licenses, Shapes, Temporary
from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard
from ..engine import Child
from ..engine.Process import Process
from ..engine.Run import CANCELLED, EngineRun, ProcessOutcome, Timeouts

FOLDERS, NAMES, LIST, STUDIES = "folders", "names", "list", "studies"
SEG_NRRD, NIFTI = "seg.nrrd", "nii.gz"
SETTINGS_FILE = "settings.json"
PAUSE_FILE, CANCEL_FILE = "pause", "cancel"
SCHEMA_VERSION = 1
_COUNTS = ("done", "failed", "skipped", "left")
_RESULT = Shapes.record(
    {"counts": Shapes.record(dict.fromkeys(_COUNTS, Shapes.whole(0)))}, {"seconds_per_case": Shapes.orNone(Shapes.number(0))}
)


@dataclass(frozen=True)
class Plan:
    """What is to be done with which cases.

    `kind` is FOLDERS, NAMES or LIST, `path` its folder or file, `patterns` role name -> pattern where a person gave one.
    `quality` holds keys of the settings file that are not the card's. `outputs` are maps besides the segmentation:
    "probability", "uncertainty".
    """

    card: ModelCard
    kind: str
    path: str
    output: str
    patterns: dict = field(default_factory=dict)
    device: str = "auto"
    quality: dict = field(default_factory=dict)
    seed: int = 1234
    format: str = SEG_NRRD
    outputs: tuple[str, ...] = ()

    def content(self) -> dict:
        """The settings file (docs/formats.md); `veloxseg batch` does the same with it outside of Slicer."""
        # Relative paths would be taken from the settings file's folder.
        source = {"kind": self.kind, "path": str(Path(self.path).absolute())}
        return {
            "schema_version": SCHEMA_VERSION,
            "model": str(self.card.folder),
            "source": source | ({"patterns": self.patterns} if self.patterns else {}),
            "output": str(Path(self.output).absolute()),
            "device": self.device,
            **self.quality,
            "seed": self.seed,
            "format": self.format,
            "outputs": list(self.outputs),
        }


class BatchRun:
    """Previews and runs plans, one process at a time. `command` may be replaced, as tests without torch do."""

    def __init__(self, modulePath: Path, onEvent: Callable, onLog: Callable, onFinished: Callable) -> None:
        """
        :param modulePath: folder that holds the engine package.
        :param onEvent: called with each event of the engine: `preview`, `case`, `progress` and so on.
        :param onLog: called with lines of the process.
        :param onFinished: called with (error, result event, whether it was a preview) when a preview or run has ended; the
            error is None on success, the result is empty after a preview and after stopping.
        """
        self.command: list[str] | None = None
        self.timeouts = Timeouts()
        self._modulePath = Path(modulePath)
        self._onEvent, self._onLog, self._onFinished = onEvent, onLog, onFinished
        self._run: EngineRun | None = None
        self._temporary: Path | None = None
        self._output: Path | None = None

    @property
    def isBusy(self) -> bool:
        """Whether a preview or run goes on."""
        return self._run is not None and self._run.isActive

    @property
    def isRunning(self) -> bool:
        """Whether cases are being computed."""
        return self.isBusy and self._output is not None

    @property
    def isStopping(self) -> bool:
        """Whether a run was asked to stop and has not ended yet."""
        return self.isRunning and self._run.isCancelling

    def preview(self, plan: Plan) -> None:
        """List the cases without writing anything to the output folder; an earlier preview is given up."""
        self.abandon()
        self._temporary = Temporary.newFolder(Temporary.BATCH)
        settingsFile = self._temporary / SETTINGS_FILE
        settingsFile.write_text(json.dumps(plan.content(), indent=2), encoding="utf-8")
        self._start([str(settingsFile), "--preview"])

    def start(self, plan: Plan) -> None:
        """Compute the cases that are not finished.

        :raises VeloxSegError: BUSY, MODEL_LICENSE or BATCH_OUTPUT.
        """
        if self.isRunning:
            raise VeloxSegError("BUSY")
        Licenses.check(plan.card)
        self.abandon()
        output = Path(plan.output)
        settingsFile = writeSettings(plan)
        for name in (PAUSE_FILE, CANCEL_FILE):
            (output / name).unlink(missing_ok=True)
        self._output = output
        # asked for above
        self._start([str(settingsFile), "--accept-license"])

    def pause(self) -> None:
        """End after the case that is being computed; starting again goes on from there."""
        if self.isRunning:
            (self._output / PAUSE_FILE).touch()

    def stop(self) -> None:
        """End now; the case that is being computed is not written."""
        if self.isRunning:
            self._run.cancel()

    def abandon(self) -> None:
        """End the process and hear no more of it: another plan, or the module goes away."""
        if self.isBusy:
            self._run.abort()
        self._tidy()

    def _start(self, arguments: list[str]) -> None:
        program = self.command or Child.command("veloxseg")
        process = Process([*program, "batch", *arguments, "--events"], self._modulePath)
        self._run = EngineRun(process, self.timeouts, self._onEvent, self._onLog, self._onEnd, self._askToStop, needsResult=False)
        self._run.start()

    def _askToStop(self) -> None:
        (self._output / CANCEL_FILE).touch()

    def _onEnd(self, outcome: ProcessOutcome) -> None:
        # Failed cases give the process an exit code of its own, but the batch itself came to its end.
        result = {} if outcome.kind == CANCELLED else outcome.result
        error = outcome.error if not outcome.result else None
        wasPreview = self._output is None
        self._tidy()
        if result and _RESULT(result):
            result, error = {}, VeloxSegError("ENGINE_PROTOCOL")
        self._onFinished(error, result, wasPreview)

    def _tidy(self) -> None:
        if self._temporary is not None:
            Temporary.remove(self._temporary)
        if self._output is not None:
            for name in (PAUSE_FILE, CANCEL_FILE):
                (self._output / name).unlink(missing_ok=True)
        self._temporary = self._output = None


def writeSettings(plan: Plan) -> Path:
    """Write the settings file into the output folder, which is created.

    :raises VeloxSegError: BATCH_OUTPUT.
    """
    output = Path(plan.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / SETTINGS_FILE).write_text(json.dumps(plan.content(), indent=2), encoding="utf-8")
    except OSError as error:
        raise VeloxSegError("BATCH_OUTPUT", folder=output) from error
    return output / SETTINGS_FILE


def commandLine(settingsFile: Path) -> str:
    """The command that does the same outside of Slicer."""
    return f'veloxseg batch "{settingsFile}"'
