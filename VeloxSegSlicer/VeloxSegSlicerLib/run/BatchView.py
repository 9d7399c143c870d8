"""The Batch section: choose cases, see them, compute them in one process, load what is done."""

import os
from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from ..common import Licenses, Names, Temporary
from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard
from ..images import RunEstimate
from ..widgets import PlainText
from . import Batch, BatchChoices, BatchTable, CaseLoader, Studies, Times

UI_FILE = Path(__file__).parents[2] / "Resources" / "UI" / "Batch.ui"
SECONDS = "VeloxSegSlicer/BatchSeconds/"
# A pattern is typed letter by letter.
PREVIEW_DELAY_MS = 600
MEGABYTE = 1e6


class BatchView:
    """Belongs to the panel, which tells it of the chosen model and settings."""

    def __init__(self, section, modulePath: Path, settings: Callable, onLog: Callable, onLoaded: Callable) -> None:
        """
        :param section: the collapsible button of the panel.
        :param modulePath: folder that holds the engine package.
        :param settings: returns the panel's RunSettings.
        :param onLog: called with lines for the log.
        :param onLoaded: called with (card, role name -> volume node, segmentation node or None) when a case was loaded.
        """
        self.batch = Batch.BatchRun(modulePath, self._onEvent, onLog, self._onFinished)
        widget = PlainText.load(str(UI_FILE))
        section.layout().addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        self._section, self._settings = section, settings
        self._onLog, self._onLoaded = onLog, onLoaded
        self._card: ModelCard | None = None
        self._request: dict = {}
        self._table = BatchTable.BatchTable(self.ui.casesTable)
        self._choices = BatchChoices.BatchChoices(self.ui, self._onEdited)
        self._studies: list[Studies.Study] = []
        self._export: Studies.Export | None = None
        self._exportFolder: Path | None = None
        self._preview: dict = {}
        self._place = (1, 1)
        self._isAbandoned = False
        self._previewTimer = _timer(PREVIEW_DELAY_MS, self.preview)
        self._exportTimer = _timer(0, self._exportNext)
        self._connectControls()
        self._say("")

    # Life

    def show(self, card: ModelCard | None) -> None:
        """The panel's model or settings changed: other settings than those of the list make other cases finished."""
        if not self.isBusy:
            isOther = (card.key if card else None) != (self._card.key if self._card else None)
            request = self._settings().request(card) if card else {}
            if isOther:
                self._card = card
                self._choices.show(card)
            if isOther or request != self._request:
                self._request = request
                self._forget()
        self._update()

    def abandon(self) -> None:
        """End the process: the module goes away. Signals that still come then start no other one."""
        self._isAbandoned = True
        self._previewTimer.stop()
        self._endExport()
        self.batch.abandon()

    def sceneWillClose(self) -> None:
        """Studies of the scene disappear; a batch of files goes on."""
        if self._export is not None:
            self._endExport()
            self._say(_("The scene was closed before all images were exported. Nothing was computed."))
        if self._choices.isScene and not self.batch.isRunning:
            self._forget()
        self._update()

    @property
    def isBusy(self) -> bool:
        """Whether cases are exported or computed."""
        return self._export is not None or self.batch.isRunning

    # Preview

    def preview(self) -> None:
        """List the cases; nothing is written."""
        if self._card is None or self.isBusy or self._isAbandoned:
            return
        self._say("")
        if self._choices.isScene:
            self._showPreview(self._previewOfStudies())
        elif self._choices.source:
            self.ui.countsLabel.text = _("Looking for cases...")
            self.batch.preview(self._plan())
        self._update()

    def _previewOfStudies(self) -> dict:
        self._studies = Studies.inScene(self._card)
        cases = [
            {
                "name": study.name,
                "files": {role: Names.nameOf(slicer.mrmlScene.GetNodeByID(nodeId)) for role, nodeId in study.nodeIds.items()},
                "size": None,
                "state": "incomplete" if study.problem else "ready",
                "text": study.problem,
            }
            for study in self._studies
        ]
        return {"cases": cases, "patterns": {}, "bytes": None, "free_bytes": None, "seconds": None}

    def _showPreview(self, content: dict) -> None:
        self._preview = content
        self.ui.showFailuresButton.checked = False
        self._table.show(content["cases"], [role.name for role in self._card.roles])
        self._choices.showPatterns(content["patterns"])
        self.ui.countsLabel.text = self._table.countsText() or _("No cases were found.")
        self.ui.estimateLabel.text = self._estimate()

    def _estimate(self) -> str:
        """Time and disk for the cases that are not finished."""
        cases = self._table.count("ready")
        if not cases:
            return ""
        seconds = self._preview["seconds"] or RunEstimate.storedNumber(SECONDS + self._card.key)
        parts = []
        if seconds:
            parts.append(_("About {time} on this computer.").format(time=_duration(seconds * cases)))
        else:
            parts.append(_("The time is known after the first case."))
        if self._preview["bytes"]:
            text = _("At most {needed} MB of disk, {free} MB are free.")
            sizes = {"needed": self._preview["bytes"], "free": self._preview["free_bytes"]}
            parts.append(text.format(**{name: f"{size / MEGABYTE:,.0f}" for name, size in sizes.items()}))
        return " ".join(parts)

    # Running

    def start(self) -> None:
        """Compute the cases that are not finished."""
        self._choices.remember()
        try:
            Licenses.check(self._card)
            if self._choices.isScene:
                self._beginExport()
            else:
                self.batch.start(self._plan())
            self._say(_("Starting..."))
        except VeloxSegError as error:
            self._fail(error)
        self.ui.batchProgressBar.value = 0
        self._update()

    def pause(self) -> None:
        """End after the case that is being computed."""
        self.batch.pause()
        self._say(_("Pausing after this case..."))

    def stop(self) -> None:
        """End now."""
        self._endExport()
        self.batch.stop()
        self._say(_("Stopping..."))
        self._update()

    def _onEvent(self, event: dict) -> None:
        kind = event["event"]
        if kind == "preview":
            self._showPreview(event)
        elif kind == "case":
            self._showCase(event)
        elif kind == "progress" and event.get("total"):
            self._showProgress(event["done"] / event["total"])
        elif kind == "note":
            self._onLog(f"{event.get('code')}: {event.get('text')}")

    def _showCase(self, event: dict) -> None:
        self._place = (event["number"], event["total"])
        if self._exportFolder is not None:
            # Another Slicer's Clear takes what nothing has changed for an hour.
            os.utime(self._exportFolder)
        self._table.update(event["name"], event["state"], event["text"])
        self._showProgress(0.0 if event["state"] == "running" else 1.0)
        if event["state"] == "running":
            place = _("Case {number} of {total}").format(number=event["number"], total=event["total"])
            self._say(" - ".join(part for part in (place, Times.leftInWords(event["seconds_left"])) if part))
        elif event["state"] == "done" and self.ui.loadResultsCheckBox.checked:
            self._load(next(case for case in self._table.cases if case["name"] == event["name"]))
        self.ui.countsLabel.text = self._table.countsText()

    def _showProgress(self, share: float) -> None:
        number, total = self._place
        self.ui.batchProgressBar.value = int(100 * (number - 1 + share) / total)

    def _onFinished(self, error: VeloxSegError | None, result: dict, wasPreview: bool) -> None:
        if error is not None:
            self._fail(error)
            if wasPreview:
                self._forget()
        elif result:
            self._say(_resultText(result["counts"]))
            if result.get("seconds_per_case"):
                qt.QSettings().setValue(SECONDS + self._card.key, result["seconds_per_case"])
        elif not wasPreview:
            self._say(_("Stopped. Finished cases stay; Start goes on from there."))
        if not wasPreview:
            # Exported again, the images are the same by their content.
            self._endExport()
            self._table.endRunning()
            self.ui.countsLabel.text = self._table.countsText()
        self._update()

    # Studies of the scene

    def _beginExport(self) -> None:
        self._endExport()
        self._exportFolder = Temporary.newFolder(Temporary.BATCH)
        ready = [study for study in self._studies if not study.problem]
        self._export = Studies.Export(ready, self._card, self._exportFolder)
        self._exportTimer.start()

    def _exportNext(self) -> None:
        """One image each time the event loop is free."""
        try:
            if self._export.step():
                place = {"done": self._export.done, "total": self._export.total}
                self._say(_("Exporting image {done} of {total}...").format(**place))
                self._exportTimer.start()
                return
            plan = self._plan()
            self._export = None
            self.batch.start(plan)
            self._say(_("Starting..."))
        except VeloxSegError as error:
            self._endExport()
            self._fail(error)
        self._update()

    def _endExport(self) -> None:
        self._exportTimer.stop()
        self._export = None
        if self._exportFolder is not None:
            Temporary.remove(self._exportFolder)
            self._exportFolder = None

    # Afterwards

    def loadCase(self, row: int) -> None:
        """Load images and result of a finished case into the scene."""
        case = self._table.case(row)
        if case["state"] in ("done", "finished", "skipped"):
            self._load(case)

    def _load(self, case: dict) -> None:
        name, folder = case["name"], Path(self._choices.output) / case["name"]
        try:
            images = self._imagesOf(case)
            _loaded, segmentation = CaseLoader.load(folder, images, self._card)
        except VeloxSegError as error:
            self._fail(error)
            return
        if segmentation is None:
            self._say(_("Nothing was found in {case}; its images were loaded.").format(case=name))
        self._onLoaded(self._card, images, segmentation)

    def _imagesOf(self, case: dict) -> dict:
        study = next((study for study in self._studies if study.name == case["name"]), None)
        if not self._choices.isScene or study is None:
            return CaseLoader.loadImages(case["name"], case["files"])
        nodes = {role: slicer.mrmlScene.GetNodeByID(nodeId) for role, nodeId in study.nodeIds.items()}
        gone = [role for role, node in nodes.items() if node is None]
        if gone:
            raise VeloxSegError("IMAGE_MISSING", image=f"{case['name']} {gone[0]}")
        return nodes

    def copyCommand(self) -> None:
        """Write the settings file and put the command that uses it on the clipboard."""
        try:
            command = Batch.commandLine(Batch.writeSettings(self._plan()))
        except VeloxSegError as error:
            self._fail(error)
            return
        qt.QApplication.clipboard().setText(command)
        self._say(_("Copied: {command}").format(command=command))

    def _openOutput(self) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(self._choices.output))

    def _showFailures(self) -> None:
        self._table.showOnly("failed" if self.ui.showFailuresButton.checked else None)

    # Showing

    def _plan(self) -> Batch.Plan:
        return self._choices.plan(self._card, self._settings(), self._export.listFile if self._export else None)

    def _update(self) -> None:
        """What is enabled and visible."""
        ui, isRunning, isBusy = self.ui, self.batch.isRunning, self.isBusy
        problem = self._choices.problem(self._card) or ("" if self._table.cases else _("No cases were found."))
        hasRuns = self._card is not None and self._settings().quality.hasSeveralRuns(self._card)
        self._choices.setEnabled(not isBusy, hasRuns)
        ui.startBatchButton.enabled = not isBusy and not problem
        ui.startBatchButton.toolTip = PlainText.toolTip(problem or _("Computes the cases that are not finished."))
        ui.pauseBatchButton.enabled = isRunning and not self.batch.isStopping
        ui.stopBatchButton.enabled = isBusy and not self.batch.isStopping
        ui.batchProgressBar.setVisible(isBusy)
        ui.openOutputButton.enabled = bool(self._choices.output) and Path(self._choices.output).is_dir()
        ui.copyCommandButton.enabled = not isBusy and not self._choices.isScene and not problem
        failures = self._table.count("failed")
        ui.showFailuresButton.enabled = failures > 0
        ui.retryFailuresButton.enabled = failures > 0 and not isBusy and not problem
        ui.estimateLabel.setVisible(bool(ui.estimateLabel.text))
        if not isBusy:
            ui.batchModelLabel.text = self._modelText()

    def _modelText(self) -> str:
        if self._card is None:
            return ""
        facts = {"model": self._card.fullTitle, "quality": self._settings().quality.label()}
        return _("{model}, quality {quality}, as chosen above.").format(**facts)

    def _forget(self) -> None:
        """The list of cases is not that of the choices any more."""
        self._preview = {}
        self._table.show([], [])
        self.ui.countsLabel.text = self.ui.estimateLabel.text = ""
        if not self._section.collapsed:
            self._previewTimer.start()

    def _fail(self, error: VeloxSegError) -> None:
        self._say(error.text)
        self._onLog(f"{error.code}: {error.text} {error.detail}".rstrip())

    def _say(self, text: str) -> None:
        self.ui.batchStatusLabel.text = text
        self.ui.batchStatusLabel.setVisible(bool(text))

    # Controls

    def _connectControls(self) -> None:
        ui = self.ui
        ui.startBatchButton.connect("clicked()", self.start)
        ui.retryFailuresButton.connect("clicked()", self.start)
        ui.pauseBatchButton.connect("clicked()", self.pause)
        ui.stopBatchButton.connect("clicked()", self.stop)
        ui.openOutputButton.connect("clicked()", self._openOutput)
        ui.copyCommandButton.connect("clicked()", self.copyCommand)
        ui.showFailuresButton.connect("clicked()", self._showFailures)
        ui.casesTable.connect("cellDoubleClicked(int,int)", lambda row, _column: self.loadCase(row))
        self._section.connect("contentsCollapsed(bool)", self._onFolded)

    def _onEdited(self) -> None:
        if not self.isBusy:
            self._forget()
            self._update()

    def _onFolded(self, isCollapsed: bool) -> None:
        if not isCollapsed and not self._table.cases:
            self.preview()


def _resultText(counts: dict) -> str:
    """Such as "47 done, 2 failed, 1 skipped."."""
    text = _("{done} done, {failed} failed, {skipped} skipped.").format(**counts)
    if not counts["left"]:
        return text
    return text + " " + _("Paused: {left} not begun. Start goes on from there.").format(**counts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return _("{seconds} s").format(seconds=max(1, round(seconds)))
    return _("{minutes} min").format(minutes=round(seconds / 60))


def _timer(milliseconds: int, callback: Callable):
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.connect("timeout()", callback)
    return timer
