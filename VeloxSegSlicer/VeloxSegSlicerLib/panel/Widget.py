"""The panel: connects the widgets of the .ui file to the logic, and shows one state at a time."""


import qt
import slicer
import vtk
from slicer.i18n import tr as _

from veloxseg.contract import errors as engine

from ..common import Errors, Facts
from ..common.Errors import VeloxSegError
from ..common.Log import logger
from ..common.Models import Catalogue, ModelCard
from ..common.Parameters import Decisions, Quality, RoleChoices, VeloxSegParameters
from ..engine import ComputerCheck, DiskUse, Setup
from ..engine.Protocol import Progress
from ..engine.Run import CANCELLED, DONE
from ..images import Content, Inputs, RegionBox, Verdicts
from ..images.GeometryView import GeometryView
from ..images.InputActions import InputActions
from ..images.InputOptions import InputOptions
from ..images.RoleRows import RoleRows
from ..results import Views
from ..results.Result import Result
from ..results.ResultView import ResultView
from ..run import Samples, Times
from ..run.BatchView import BatchView
from ..run.DeviceChoice import CPU, DeviceChoice
from ..run.Segmenter import Listener, Segmenter, Settings
from ..widgets import Notice, TabOrder
from ..widgets.KeptChoice import KeptChoice
from ..widgets.Shortcuts import Key, Shortcuts
from . import CardView, Report, Sections, State
from .Installer import Installer
from .ModelManager import ModelManager
from .RunControls import RunControls
from .RunTexts import noteText, progressText

SETTINGS_PREFIX = "VeloxSegSlicer/"
# New images arrive in bursts: wait until the scene is quiet before looking at them.
NEW_IMAGES_DELAY_MS = 200
STATUS_MS = 10000


class Panel(Listener):
    """Bindings and states of the panel. It belongs to the module widget, which forwards Slicer's events."""

    def __init__(self, ui, catalogue: Catalogue, segmenter: Segmenter) -> None:
        """
        :param ui: the child widgets of the .ui file.
        :param catalogue: the installed models.
        :param segmenter: runs the jobs.
        """
        self.ui = ui
        self.catalogue = catalogue
        self.segmenter = segmenter
        self.engine = Setup.probe()
        self.layers = Views.Layers()
        self._parameters: VeloxSegParameters | None = None
        self._choices: RoleChoices | None = None
        self._decisions: Decisions | None = None
        self._shownCardKey: str | None = None
        self._outcome: Notice.Message | None = None
        self._isOutcomeFirst = False
        self._device = ComputerCheck.lastDevice()
        self._isEntered = False
        self._runNote: Notice.Message | None = None
        self._stage = ""
        self._cardDialog = None
        self._wasReady: bool | None = None
        self._observed: list[tuple] = []
        self._notice = Notice.NoticeLine(ui)
        self._rows = RoleRows(ui.rolesFrame.layout(), self._onImageChosen)
        self.results = ResultView(ui, self.layers, segmenter.modulePath, self.onLog, self._useResult)
        self._kept = (
            *(KeptChoice(selector) for selector in (ui.regionSelector, ui.outputSelector, ui.referenceSelector)),
            KeptChoice(ui.resultSelector, Facts.LISTED),
        )
        self._geometry = GeometryView(ui)
        self.inputActions = InputActions(self)
        self.deviceChoice = DeviceChoice(ui, self.update)
        self._runControls = RunControls(ui, self.update)
        self.installer = Installer(self, segmenter.modulePath)
        self.samples = Samples.SampleMaker(segmenter.modulePath, self.onLog, self._onSampleFinished)
        self.manager = ModelManager(catalogue, segmenter.modulePath, self.onLog, self._onModelsChanged)
        self.batch = BatchView(
            ui.batchCollapsibleButton, segmenter.modulePath, self._settings, self.onLog, self._onCaseLoaded
        )
        self._newImagesTimer = _newTimer(NEW_IMAGES_DELAY_MS, self._onNewImages)
        self._shortcuts = Shortcuts(ui.noticeFrame.parent(), self._keys())
        self._fillFixedControls()
        self._connectControls()
        self.update()

    # Life of the panel

    def setParameters(self, parameters: VeloxSegParameters | None) -> None:
        """Show another parameter node, or none while the scene closes."""
        self._parameters = parameters
        self._choices = RoleChoices(parameters.parameterNode) if parameters else None
        self._decisions = Decisions(parameters.parameterNode) if parameters else None
        if parameters:
            self._chooseDefaults()
            self.assign()
        self.update()

    def enter(self) -> None:
        """The person opens the module: look at the computer and the scene again."""
        self._isEntered = True
        self.engine = Setup.probe()
        self.catalogue.refresh()
        self._onModelsChanged()
        if self._parameters:
            self.assign()
        self.update()
        self.installer.resume()

    def exit(self) -> None:
        """The person opens another module; a run goes on, and its end is told in the status bar."""
        self._isEntered = False
        if self.segmenter.isBusy:
            slicer.util.showStatusMessage(_("VeloxSeg goes on computing."), STATUS_MS)

    def sceneWillClose(self) -> None:
        """A run in progress is cancelled; its result is never imported into another scene."""
        self.samples.abandon()
        self._outcome = None
        if self.segmenter.abandon():
            self._outcome = Notice.Message(
                Notice.INFO,
                _("The computation was cancelled because the scene was closed. Nothing was imported."),
            )
        self._stage = ""
        self.layers.forget()
        self.results.forget()
        Content.forget()
        self.batch.sceneWillClose()

    def cleanup(self) -> None:
        """End processes and let go of the scene: the module is reloaded or Slicer quits."""
        self._newImagesTimer.stop()
        self.segmenter.close()
        self.samples.abandon()
        self.batch.abandon()
        self.installer.check.abandon()
        self.manager.close()
        self.results.cleanup()
        self._observeImages({})
        for choice in self._kept:
            choice.release()
        self._rows.setScene(None)

    def imageAdded(self) -> None:
        """A volume came into the scene; it has no voxels yet."""
        self._newImagesTimer.start()

    def nodeWillBeRemoved(self, node) -> None:
        """What was chosen and is deleted is not chosen any more."""
        for choice in (*self._rows.kept, *self._kept):
            choice.nodeWillBeRemoved(node)

    # What is chosen

    @property
    def card(self) -> ModelCard | None:
        """The card of the chosen model."""
        return self.catalogue.card(self._parameters.model) if self._parameters else None

    @property
    def images(self) -> dict:
        """Role name -> chosen volume node or None."""
        return self._choices.images(self.card.roles) if self.card else {}

    @property
    def parameters(self) -> VeloxSegParameters | None:
        """The choices that are saved with the scene, None while it closes."""
        return self._parameters

    @property
    def inputOptions(self) -> InputOptions:
        """What the person decided about the chosen images."""
        if self.card is None:
            return InputOptions()
        accepted = self._decisions.accepted(self.images, self.card.reference.name)
        if self.card.reference.kind == "photo":
            return InputOptions(accepted, None, self._parameters.mmPerPixel)
        return InputOptions(accepted, RegionBox.entryOf(self._parameters.region))

    def assign(self) -> None:
        """Fill roles by what is known of the images. A choice made by hand stays."""
        if self.card is None:
            return
        kept = {
            role.name: self._choices.image(role.name)
            for role in self.card.roles
            if self._choices.isByHand(role.name)
        }
        for name, node in Inputs.assign(self.card.roles, Inputs.imagesInScene(), kept).items():
            self._choices.choose(name, node, byHand=False)

    def selector(self, roleName: str):
        """The node selector of a role."""
        return self._rows.selector(roleName)

    def focusRole(self, roleName: str) -> None:
        """Lead the person to the row of a role."""
        self.ui.imagesCollapsibleButton.collapsed = False
        self._rows.focus(roleName)

    def showGeometry(self) -> None:
        """Open the table below the images."""
        self.ui.imagesCollapsibleButton.collapsed = False
        self._geometry.open()

    def accept(self, code: str, roleName: str) -> None:
        """Go on in spite of a message; remembered with the scene for these images."""
        self._outcome = None
        self._decisions.accept(code, roleName, self.images, self.card.reference.name)
        self.update()

    def chooseImage(self, roleName: str, node) -> None:
        """Choose an image for a role, as a person does in its row."""
        self._onImageChosen(roleName, node)

    def choosePhotoTask(self) -> None:
        """Choose the first task that reads photos, or say that there is none."""
        models = [card for card in self.catalogue.cards if card.reference.kind == "photo"]
        if models:
            self._useModel(models[0])
        else:
            self.tell(Notice.Message(Notice.WARNING, _("No model for photos is installed.")))

    def tell(self, message: Notice.Message | None, isFirst: bool = False) -> None:
        """Show a message until something else happens.

        :param isFirst: before problems as well, because it is about how they are being solved.
        """
        self._outcome, self._isOutcomeFirst = message, isFirst
        self.update()

    # Showing the state

    def update(self, _caller=None, _event=None) -> None:
        """Compute the one state of the panel and show it."""
        card, images = self.card, self.images
        verdicts = Verdicts.judge(card, images, self.inputOptions) if card else {}
        state = State.panelState(
            self.engine,
            self._device,
            card,
            images,
            verdicts,
            self.segmenter.isBusy,
            self.segmenter.isCancelling,
        )
        self._observeImages(images)
        self._showModels(card)
        self._rows.show(images, verdicts, state.areChoicesLocked)
        self._geometry.show(card, images, verdicts)
        Sections.showSetup(self.ui, state, self.engine)
        Sections.showInstaller(self.ui, state, self.engine, self.installer)
        Sections.showImageOptions(self.ui, state, card, images)
        Sections.showTask(self.ui, state, card, self.samples.isBusy)
        Sections.showRun(self.ui, state, self._stage, self.samples.isBusy)
        self._runControls.show(self._parameters, card, self._secondsHere(state), state.isRunning)
        self._foldSetup()
        self._showNotice(state)
        self.results.show(self._parameters.result if self._parameters else None)
        self.batch.show(card)

    def _showModels(self, card: ModelCard | None) -> None:
        """Fill both combo boxes and the rows when another model was chosen, here or by loading a scene."""
        cardKey = card.key if card else ""
        if cardKey == self._shownCardKey:
            return
        self._shownCardKey = cardKey
        Sections.showModels(self.ui, self.catalogue, card)
        self._rows.build(card.roles if card else ())
        TabOrder.follow(self.ui.noticeFrame.parent())

    def _foldSetup(self) -> None:
        """Close the section once everything is there, open it when something is missing."""
        isReady = self.engine.status == Setup.READY and self.card is not None
        if isReady != self._wasReady and self._parameters is not None:
            self._wasReady = isReady
            self.ui.setupCollapsibleButton.collapsed = isReady

    def _showNotice(self, state: State.PanelState) -> None:
        """The worst message first: a failed run or missing engine, a blocking problem, the end of a run, advice."""
        problem = State.noticeOf(state)
        isOutcomeMild = self._outcome is None or self._outcome.kind == Notice.INFO
        if state.isRunning:
            self._notice.show(self._runNote)
        elif self._outcome is not None and self._isOutcomeFirst:
            self._notice.show(self._outcome)
        elif problem is not None and (isOutcomeMild or self.engine.error is not None):
            self._notice.show(self.messageOf(problem))
        elif self._outcome is None and state.advice is not None:
            self._notice.show(self.messageOf(state.advice))
        else:
            self._notice.show(self._outcome)

    def messageOf(self, error: VeloxSegError) -> Notice.Message:
        """The message of an error with its buttons."""
        actions = {
            **self.installer.actions(),
            Errors.CHOOSE_CPU: self._chooseCpu,
            Errors.RETRY: self.start,
            Errors.USE_CPU: self._retryOnCpu,
            Errors.SHOW_LOG: self._showLog,
            Errors.COPY_REPORT: self.copyReport,
            Errors.SHOW_CARD: self._showCard,
            Errors.SHOW_LICENSE: self._manageModels,
            **self.inputActions.of(error),
        }
        isOfPanel = error.code.startswith(("ENGINE_", "ROLE_", "PHOTO_", "IMAGE_", "REGION_", "MODEL_NONE"))
        isWarning = isOfPanel or error.code in engine.ODD
        kind = Notice.INFO if error.isRemark else Notice.WARNING if isWarning else Notice.STOP
        return Notice.fromError(error, actions, kind)

    # Running

    def startOrCancel(self) -> None:
        """The one large button."""
        if self.segmenter.isBusy:
            self.segmenter.cancel()
            self._stage = _("Cancelling...")
            self.update()
        else:
            self.start()

    def start(self) -> None:
        """Start a run with what is chosen; a refusal is shown as a message."""
        if self.card is None:
            return
        self._outcome, self._isOutcomeFirst, self._runNote = None, False, None
        self._stage = _("Preparing images...")
        self.ui.progressBar.value = 0
        self.onLog(f"--- {self.card.id} {self.card.version}, device {self._settings().device} ---")
        try:
            self.segmenter.start(self.card, self.images, self._settings(), self)
        except VeloxSegError as error:
            self._fail(error)
        if self._parameters.keepFiles and self.segmenter.isBusy:
            self.onLog(f"Job folder: {self.segmenter.jobFolder}")
        self.update()

    def _settings(self) -> Settings:
        parameters = self._parameters
        if parameters is None:
            # Between two scenes; a batch of files goes on.
            return Settings(self.deviceChoice.device)
        outputId = parameters.output.GetID() if parameters.output else None
        return Settings(
            self.deviceChoice.device,
            parameters.quality,
            parameters.seed,
            parameters.keepFiles,
            outputId,
            self.inputOptions,
            parameters.uncertainty,
            parameters.overlapPercent,
            parameters.members,
        )

    def _chooseCpu(self) -> None:
        self.deviceChoice.choose(CPU)
        self.tell(None)

    def _retryOnCpu(self) -> None:
        self.deviceChoice.choose(CPU)
        self.start()

    def onHello(self, hello: dict) -> None:
        self._device = str(hello.get("device", ""))
        self.deviceChoice.learn(hello)
        if not self.segmenter.isCancelling:
            self._stage = _("Starting on {device}...").format(device=self._device)
        self.update()

    def onNote(self, code: str, text: str) -> None:
        if noteText(code):
            self._runNote = Notice.Message(Notice.INFO, noteText(code))
            self.update()

    def onStage(self, text: str, progress: Progress) -> None:
        if not self.segmenter.isCancelling:
            self._stage = text
        self._showProgress(progress)

    def onProgress(self, progress: Progress) -> None:
        if not self.segmenter.isCancelling:
            self._stage = progressText(self.card, progress)
        self._showProgress(progress)

    def _showProgress(self, progress: Progress) -> None:
        self.ui.progressBar.value = progress.percent
        self.ui.stageLabel.text = self._stage

    def onLog(self, line: str) -> None:
        self.ui.logTextEdit.appendPlainText(line)

    def onFinished(self, result: Result) -> None:
        try:
            self._tellEnd(result)
        except Exception:  # noqa: BLE001 - whatever it was, the person hears of it and the panel is free again
            logger.exception("the end of a run was not shown")
            self._fail(VeloxSegError("UNEXPECTED", stage=_("Showing the result")))
        self.update()
        if not self._isEntered:
            slicer.util.showStatusMessage(self._outcome.text, STATUS_MS)

    def _tellEnd(self, result: Result) -> None:
        if result.kind == DONE:
            self._rememberTime(result)
            self._outcome = self.results.take(result)
            self.onLog(self._outcome.text)
        elif result.kind == CANCELLED:
            self._outcome = Notice.Message(Notice.INFO, _("Cancelled. Nothing was changed."))
        else:
            self._fail(result.error)

    def _rememberTime(self, result: Result) -> None:
        if not result.isReferenceGone and self._parameters is not None:
            settings = self._settings()
            Times.remember(result.card, result.images, settings.quality, settings.device, result.seconds)

    def _secondsHere(self, state: State.PanelState) -> dict:
        """About how long each quality takes; empty as long as images are missing."""
        if self.card is None or state.problem is not None:
            return {}
        facts = (self.deviceChoice.device, self.inputOptions)
        return {quality: Times.about(self.card, self.images, quality, *facts) for quality in Quality}

    def _useResult(self, segmentationNode) -> None:
        """Show a result from now on; what was said before it came is over."""
        self._outcome = None
        if self._parameters is not None:
            self._parameters.result = segmentationNode

    def _fail(self, error: VeloxSegError) -> None:
        self._outcome, self._isOutcomeFirst = self.messageOf(error), False
        self.onLog(f"{error.code}: {error.text} {error.detail}".rstrip())

    # Setup, samples, card, report

    def _showDiskUse(self, isCollapsed: bool = False) -> None:
        """Counted only when it can be seen."""
        if not isCollapsed:
            folders = [card.folder for card in self.catalogue.cards]
            Sections.showDiskUse(self.ui, DiskUse.measure(folders))

    def _onClear(self) -> None:
        DiskUse.clear()
        self._showDiskUse()

    def useDevice(self, name: str) -> None:
        """Show the device that the engine found."""
        self._device = name

    def loadSample(self) -> None:
        """Load the example of the chosen model and assign it."""
        self._outcome = None
        self._stage = _("Preparing sample data...")
        try:
            self.samples.start(self.card)
        except VeloxSegError as error:
            self._fail(error)
        self.update()

    def _onSampleFinished(self, nodes, error) -> None:
        if error is not None:
            self._fail(error)
        else:
            self._chooseSample(nodes)
        self.update()

    def _chooseSample(self, nodes: list) -> None:
        """The person asked for the sample: it takes the place of former choices."""
        for name, node in Inputs.assign(self.card.roles, nodes, {}).items():
            self._choices.choose(name, node, byHand=False)
        self.ui.segmentButton.setFocus()

    def _loadSlicerSample(self) -> None:
        try:
            self._chooseSample([Samples.loadSlicerBrain()])
        except VeloxSegError as error:
            self._fail(error)
        self.update()

    def _showCard(self) -> None:
        if self.card is not None:
            self._cardDialog = CardView.show(self.card)

    def _manageModels(self) -> None:
        self._outcome = None
        self.manager.show(self.card)
        self.update()

    def _onModelsChanged(self) -> None:
        """Models came or went: when the chosen one is gone, its task goes on with the next one."""
        self._shownCardKey = None
        if self._parameters is not None and self.card is None:
            models = self.catalogue.models(self._parameters.task) or self.catalogue.cards
            if models:
                self._chooseModel(models[0])
                self.assign()
        self.update()

    def _onCaseLoaded(self, card: ModelCard, images: dict, segmentationNode) -> None:
        """A case of a batch is in the scene."""
        self.layers.show(card, images)
        if segmentationNode is not None:
            self._useResult(segmentationNode)
        self.update()

    def showHelp(self) -> None:
        """Open Log and help, where the keys are listed."""
        self.ui.logCollapsibleButton.collapsed = False
        self.ui.logTextEdit.setFocus()

    def _showLog(self) -> None:
        self.ui.logCollapsibleButton.collapsed = False

    def copyReport(self) -> None:
        """Put the report without personal data on the clipboard."""
        report = Report.text(
            self.engine, self.card, self.images, self._device, self._stage, self.ui.logTextEdit.plainText
        )
        qt.QApplication.clipboard().setText(report)

    # Events

    def _keys(self) -> tuple[Key, ...]:
        return (
            Key("Ctrl+Return", _("start the computation"), self._onStartKey),
            Key("Ctrl+.", _("cancel it"), self._onCancelKey),
            Key("F7", _("row above in the table of the result"), self.results.previousLesion),
            Key("F8", _("row below"), self.results.nextLesion),
            Key("Ctrl+Shift+O", _("hide or show the result in the views"), self.results.toggleOverlay),
            Key("F1", _("this help"), self.showHelp),
        )

    def _onStartKey(self) -> None:
        if self.ui.segmentButton.enabled and not self.segmenter.isBusy:
            # The control that has the focus may be locked by the run, and the focus would leave the panel.
            self.ui.segmentButton.setFocus()
            self.start()

    def _onCancelKey(self) -> None:
        if self.segmenter.isBusy and not self.segmenter.isCancelling:
            self.startOrCancel()

    def _fillFixedControls(self) -> None:
        self.ui.resultsCollapsibleButton.collapsed = True
        self.ui.keysLabel.text = self._shortcuts.text()

    def _connectControls(self) -> None:
        ui = self.ui
        ui.taskComboBox.connect("activated(int)", self._onTaskChosen)
        ui.modelComboBox.connect("activated(int)", self._onModelChosen)
        ui.segmentButton.connect("clicked()", self.startOrCancel)
        ui.installButton.connect("clicked()", self.installer.ask)
        ui.checkButton.connect("clicked()", self.installer.startCheck)
        ui.clearButton.connect("clicked()", self._onClear)
        ui.setupCollapsibleButton.connect("contentsCollapsed(bool)", self._showDiskUse)
        ui.sampleButton.connect("clicked()", self.loadSample)
        ui.slicerSampleButton.connect("clicked()", self._loadSlicerSample)
        ui.assignButton.connect("clicked()", self._onAssign)
        ui.newRegionButton.connect("clicked()", self._onNewRegion)
        ui.cardButton.connect("clicked()", self._showCard)
        ui.manageButton.connect("clicked()", self._manageModels)
        ui.copyReportButton.connect("clicked()", self.copyReport)

    def _chooseDefaults(self) -> None:
        """The last used task, else the first that fits the images; a choice of the scene stays."""
        if self.catalogue.card(self._parameters.model) is not None or not self.catalogue.cards:
            return
        lastTask = slicer.util.settingsValue(SETTINGS_PREFIX + "LastTask", "")
        models = self.catalogue.models(lastTask) or self._fittingModels() or self.catalogue.cards
        self._chooseModel(models[0])

    def _fittingModels(self) -> list[ModelCard]:
        images = Inputs.imagesInScene()
        return [
            card
            for card in self.catalogue.cards
            if len(Inputs.assign(card.roles, images, {})) == len(card.roles)
        ]

    def _chooseModel(self, card: ModelCard) -> None:
        self._parameters.task = card.taskId
        self._parameters.model = card.key

    def _onTaskChosen(self, index: int) -> None:
        taskId = self.ui.taskComboBox.itemData(index)
        qt.QSettings().setValue(SETTINGS_PREFIX + "LastTask", taskId)
        self._useModel(self.catalogue.models(taskId)[0])

    def _onModelChosen(self, index: int) -> None:
        self._useModel(self.catalogue.card(self.ui.modelComboBox.itemData(index)))

    def _useModel(self, card: ModelCard) -> None:
        if self._parameters is None:
            return
        self._outcome = None
        self._chooseModel(card)
        self.assign()
        self.update()

    def _onImageChosen(self, roleName: str, node) -> None:
        if self._choices is not None:
            self._outcome = None
            self._choices.choose(roleName, node, byHand=True)
            self.update()

    def _onAssign(self) -> None:
        self.assign()
        self.update()

    def _onNewRegion(self) -> None:
        if self.card is None or self.images[self.card.reference.name] is None:
            return
        self._parameters.region = RegionBox.newAround(self.images[self.card.reference.name])
        self.update()

    def _onNewImages(self) -> None:
        if self._parameters is not None and not self.segmenter.isBusy:
            self.assign()
            self.update()

    def _observeImages(self, images: dict) -> None:
        """Follow what can change a verdict: voxels, grid and transform of the chosen images."""
        region = self._parameters.region if self._parameters else None
        nodes = [node for node in (*images.values(), region) if node is not None]
        if nodes == [node for node, _tags in self._observed]:
            return
        for node, tags in self._observed:
            for tag in tags:
                node.RemoveObserver(tag)
        events = (
            vtk.vtkCommand.ModifiedEvent,
            slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
            slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
            slicer.vtkMRMLMarkupsNode.PointModifiedEvent,
        )
        self._observed = [
            (node, [node.AddObserver(event, self._onImageModified) for event in events]) for node in nodes
        ]

    def _onImageModified(self, _caller, _event) -> None:
        if not self.segmenter.isBusy:
            self._newImagesTimer.start()


def _newTimer(milliseconds: int, callback):
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.connect("timeout()", callback)
    return timer
