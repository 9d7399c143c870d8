"""The whole job without a window: check, export, run, import, clean up. One at a time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from ..common import Geometry, Licenses, Names
from ..common.Errors import VeloxSegError
from ..common.Log import logger
from ..common.Models import ModelCard
from ..common.Parameters import Quality
from ..engine import Child
from ..engine.Protocol import Progress
from ..engine.Run import DONE, FAILED, EngineRun, ProcessOutcome, Timeouts
from ..engine.WarmEngine import WarmEngine
from ..images import Verdicts
from ..images.InputImage import readAll
from ..images.InputOptions import InputOptions
from ..results import ReportCheck, Results
from ..results.Result import RunResult
from .Job import Job, checkDisk

RUNNER_MODULE = "veloxseg.service.runner"


@dataclass(frozen=True)
class RunSettings:
    """What a person can set for a run besides images and model.

    `outputId` is the segmentation that the result replaces; None makes a new one. `inputs`: decisions about the images.
    `overlapPercent` and `members` are 0 for what the quality says.
    """

    device: str = "auto"
    quality: Quality = Quality.BALANCED
    seed: int = 1234
    keepFiles: bool = False
    outputId: str | None = None
    inputs: InputOptions = InputOptions()
    uncertainty: bool = True
    overlapPercent: int = 0
    members: int = 0

    def request(self, card: ModelCard) -> dict:
        """The fields of a request that say how a model computes; see `Quality.request`."""
        fields = self.quality.request(card)
        if "overlap" in fields and self.overlapPercent:
            fields["overlap"] = self.overlapPercent / 100
        if "members" in fields and self.members:
            fields["members"] = self.members
        return fields

    def wantsUncertainty(self, card: ModelCard) -> bool:
        """Whether the result shall have a map of where runs disagree."""
        return self.uncertainty and self.quality.hasSeveralRuns(card)


class RunListener:
    """Hears of a running job. Every method may be replaced; the default does nothing."""

    def onStage(self, text: str, progress: Progress) -> None:
        """A stage begins; `text` is an English sentence of the engine."""

    def onProgress(self, progress: Progress) -> None:
        """Some windows are done."""

    def onHello(self, hello: dict) -> None:
        """The engine has started; the event tells what it found on this computer."""

    def onNote(self, code: str, text: str) -> None:
        """The engine goes on in another way; `text` is an English sentence."""

    def onLog(self, line: str) -> None:
        """A line for the log."""

    def onFinished(self, result: RunResult) -> None:
        """The job has ended, in whatever way; its folder is gone already."""


class Segmenter:
    """Runs one job at a time. `command` and `timeouts` may be replaced, as tests without torch do."""

    def __init__(self, modulePath: Path) -> None:
        """:param modulePath: folder that holds the engine package."""
        self.modulePath = Path(modulePath)
        self.command: Sequence[str] | None = None
        self.timeouts = Timeouts()
        self.engine = WarmEngine(self.modulePath)
        self._run: EngineRun | None = None
        self._job: Job | None = None
        self._facts: Results.RunFacts | None = None
        self._listener = RunListener()
        self._progress = Progress()
        self._startedAt = 0.0

    @property
    def isBusy(self) -> bool:
        """Whether a job is running."""
        return self._run is not None and self._run.isActive

    @property
    def isCancelling(self) -> bool:
        """Whether a job is being cancelled."""
        return self._run is not None and self._run.isCancelling

    @property
    def jobFolder(self) -> Path | None:
        """Folder of the last job."""
        return self._job.folder if self._job else None

    def start(self, card: ModelCard, images: dict, settings: RunSettings, listener: RunListener) -> None:
        """Check the images, export them and start the runner; everything after this arrives at the listener.

        :param images: role name -> volume node.
        :raises VeloxSegError: BUSY, MODEL_LICENSE, a code of the images, DISK_FULL, EXPORT_FAILED.
        """
        if self.isBusy:
            raise VeloxSegError("BUSY")
        Licenses.check(card)
        problem = Verdicts.firstProblem(card, Verdicts.judge(card, readAll(images), settings.inputs))
        if problem:
            raise problem
        checkDisk(card, images, settings.inputs)
        self._startedAt = time.monotonic()
        self._listener, self._progress = listener, Progress()
        self._facts = _factsOf(card, images, settings)
        command = self.command or Child.command(RUNNER_MODULE)
        self.engine.warmUp(command)
        job = Job(settings.keepFiles)
        try:
            way = settings.request(card)
            job.write(card, images, settings.device, settings.seed, way, settings.wantsUncertainty(card), settings.inputs)
        except VeloxSegError:
            job.remove()
            raise
        self._job = job
        self._run = self.engine.newRun(
            command,
            job.requestFile,
            self.timeouts,
            self._onEvent,
            listener.onLog,
            self._onFinished,
            job.requestCancel,
        )
        self._run.start()

    def cancel(self) -> None:
        """Ask the running job to stop; the listener hears when it has."""
        if self._run is not None:
            self._run.cancel()

    def abandon(self) -> bool:
        """End a running job at once and import nothing; the listener hears no more. For a closing scene.

        :return: whether there was one.
        """
        wasBusy = self.isBusy
        if wasBusy:
            self._run.abort()
        if self._job is not None:
            self._job.remove()
        return wasBusy

    def close(self) -> None:
        """End everything, also the warm process: the module is reloaded, the engine is replaced, or Slicer quits."""
        self.abandon()
        self.engine.end()

    def _onEvent(self, event: dict) -> None:
        kind = event["event"]
        if kind == "hello":
            self._listener.onHello(event)
        elif kind == "stage":
            self._progress.stage(event.get("name", ""))
            self._listener.onStage(event.get("text", ""), self._progress)
        elif kind == "progress":
            self._progress.windows(event["done"], event["total"], event.get("seconds_left"))
            self._listener.onProgress(self._progress)
        elif kind == "note":
            self._listener.onLog(f"{event['code']}: {event['text']}")
            self._listener.onNote(event["code"], event["text"])

    def _onFinished(self, outcome: ProcessOutcome) -> None:
        result = RunResult(
            outcome.kind,
            self._facts.card,
            _imagesStillThere(self._facts),
            error=outcome.error,
            notes=outcome.notes,
        )
        result.isReferenceGone = self._facts.card.reference.name not in result.images
        try:
            if outcome.kind == DONE:
                self._import(outcome, result)
        except VeloxSegError as error:
            result.kind, result.error = FAILED, error
        except Exception:  # noqa: BLE001 - whatever it was, the person hears of it and the panel is free again
            logger.exception("the result was not placed")
            result.kind, result.error = FAILED, VeloxSegError("UNEXPECTED", stage=_("Loading the result"))
        finally:
            self._job.remove()
        result.seconds = time.monotonic() - self._startedAt
        if result.error:
            logger.warning("%s: %s", result.error.code, result.error.text)
        self._listener.onFinished(result)

    def _import(self, outcome: ProcessOutcome, result: RunResult) -> None:
        folder, card = self._job.resultFolder, self._facts.card
        report = Results.readReport(folder, outcome.result.get("files"), card)
        loaded = Results.load(folder, report, self._facts)
        # Only here: a person may have edited the mask in a folder of a batch.
        ReportCheck.checkSizes(report, loaded.counts)
        if not loaded.isEmpty:
            result.segmentation = Results.place(loaded)
        result.report, result.loaded = report, loaded


def _factsOf(card: ModelCard, images: dict, settings: RunSettings) -> Results.RunFacts:
    inputs = tuple(Results.Input(role.name, images[role.name].GetID(), Names.nameOf(images[role.name])) for role in card.roles)
    grid = Geometry.worldGrid(images[card.reference.name])
    return Results.RunFacts(card, inputs, grid, settings.quality.name, settings.inputs.accepted, settings.outputId)


def _imagesStillThere(facts: Results.RunFacts) -> dict:
    nodes = {entry.role: slicer.mrmlScene.GetNodeByID(entry.nodeId) for entry in facts.inputs}
    return {role: node for role, node in nodes.items() if node is not None}
