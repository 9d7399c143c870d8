"""The panel: builds its parts, connects them with the widgets of the .ui file, and shows one state at a time."""

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from ..common import Errors, ResultAttributes
from ..common.Errors import VeloxSegError
from ..common.Models import Catalogue, ModelCard
from ..common.Parameters import VeloxSegParameters
from ..engine import DiskUse, Setup
from ..images import ImageStatistics, Verdicts
from ..images.GeometryView import GeometryView
from ..images.InputActions import InputActions
from ..images.InputImage import readAll
from ..images.RoleRows import RoleRows
from ..results import Views
from ..results.ResultView import ResultView
from ..run import Samples
from ..run.BatchView import BatchView
from ..run.DeviceChoice import CPU, DeviceChoice
from ..run.Segmenter import Segmenter
from ..widgets import Notice, TabOrder
from ..widgets.KeptChoice import KeptChoice
from ..widgets.Shortcuts import Key, Shortcuts
from . import CardView, Report, Sections, State
from .Choices import Choices
from .ImageWatch import ImageWatch
from .Installer import Installer
from .ModelManager import ModelManager
from .Notices import Notices
from .RunController import RunController
from .RunControls import RunControls

STATUS_MS = 10000


class Panel:
    """The parts of the panel put together. It belongs to the module widget, which forwards Slicer's events."""

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
        self._shownCardKey: str | None = None
        self._isEntered = False
        self.cardDialog = None
        self._wasReady: bool | None = None
        modulePath = segmenter.modulePath
        self.rows = RoleRows(ui.rolesFrame.layout(), self.chooseImage)
        self.results = ResultView(ui, self.layers, modulePath, self.onLog, self._useResult)
        self._kept = (
            *(KeptChoice(selector) for selector in (ui.regionSelector, ui.outputSelector, ui.referenceSelector)),
            KeptChoice(ui.resultSelector, ResultAttributes.LISTED),
        )
        self._geometry = GeometryView(ui)
        self.deviceChoice = DeviceChoice(ui, self.update)
        self.choices = Choices(catalogue, self.deviceChoice)
        self.notices = Notices(ui, self._actionsFor, self.onLog)
        self.run = RunController(
            ui,
            segmenter,
            self.choices,
            self.deviceChoice,
            self.notices,
            self.results,
            self.onLog,
            self.update,
            self._onRunEnd,
        )
        self.inputActions = InputActions(self)
        self._runControls = RunControls(ui, self.update)
        self.installer = Installer(self, modulePath)
        self.samples = Samples.SampleMaker(modulePath, self.onLog, self._onSampleFinished)
        self.manager = ModelManager(catalogue, modulePath, self.onLog, self._onModelsChanged)
        self.batch = BatchView(
            ui.batchCollapsibleButton, modulePath, lambda: self.choices.settings, self.onLog, self._onCaseLoaded
        )
        self._watch = ImageWatch(self._onImagesChanged, lambda: self.segmenter.isBusy)
        self._shortcuts = Shortcuts(ui.noticeFrame.parent(), self._keys())
        ui.resultsCollapsibleButton.collapsed = True
        ui.keysLabel.text = self._shortcuts.text()
        self._connectControls()
        self.update()

    # Life of the panel

    def setParameters(self, parameters: VeloxSegParameters | None) -> None:
        """Show another parameter node, or none while the scene closes."""
        self.choices.setParameters(parameters)
        self.update()

    def enter(self) -> None:
        """The person opens the module: look at the computer and the scene again."""
        self._isEntered = True
        self.engine = Setup.probe()
        self.catalogue.refresh()
        self._onModelsChanged()
        self.choices.assign()
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
        self.run.abandon()
        self.layers.forget()
        self.results.forget()
        ImageStatistics.forget()
        self.batch.sceneWillClose()

    def cleanup(self) -> None:
        """End processes and let go of the scene: the module is reloaded or Slicer quits."""
        self.segmenter.close()
        self.samples.abandon()
        self.batch.abandon()
        self.installer.check.abandon()
        self.manager.close()
        self.results.cleanup()
        self._watch.stop()
        for choice in self._kept:
            choice.release()
        self.rows.setScene(None)

    def imageAdded(self) -> None:
        """A volume came into the scene; it has no voxels yet."""
        self._watch.changed()

    def nodeWillBeRemoved(self, node) -> None:
        """What was chosen and is deleted is not chosen any more."""
        for choice in (*self.rows.kept, *self._kept):
            choice.nodeWillBeRemoved(node)

    # What the parts and their actions ask for

    @property
    def card(self) -> ModelCard | None:
        """The card of the chosen model."""
        return self.choices.card

    @property
    def images(self) -> dict:
        """Role name -> chosen volume node or None."""
        return self.choices.images

    @property
    def parameters(self) -> VeloxSegParameters | None:
        """The choices that are saved with the scene, None while it closes."""
        return self.choices.parameters

    def assign(self) -> None:
        """Fill roles by what is known of the images, and show it."""
        self.choices.assign()
        self.update()

    def chooseImage(self, roleName: str, node) -> None:
        """Choose an image for a role, as a person does in its row."""
        if self.parameters is not None:
            self.notices.forget()
            self.choices.chooseImage(roleName, node, byHand=True)
            self.update()

    def chooseModel(self, card: ModelCard) -> None:
        """Choose a model and assign the images to its roles."""
        self.notices.forget()
        self.choices.chooseModel(card)
        self.update()

    def choosePhotoTask(self) -> None:
        """Choose the first task that reads photos, or say that there is none."""
        models = [card for card in self.catalogue.cards if card.takes_photo]
        if models:
            self.chooseModel(models[0])
        else:
            self.tell(Notice.Message(Notice.WARNING, _("No model for photos is installed.")))

    def accept(self, code: str, roleName: str) -> None:
        """Go on in spite of a message; remembered with the scene for these images."""
        self.notices.forget()
        self.choices.accept(code, roleName)
        self.update()

    def focusRole(self, roleName: str) -> None:
        """Lead the person to the row of a role."""
        self.ui.imagesCollapsibleButton.collapsed = False
        self.rows.focus(roleName)

    def showGeometry(self) -> None:
        """Open the table below the images."""
        self.ui.imagesCollapsibleButton.collapsed = False
        self._geometry.open()

    def tell(self, message: Notice.Message | None, isFirst: bool = False) -> None:
        """Show a message until something else happens.

        :param isFirst: before problems as well, because it is about how they are being solved.
        """
        self.notices.keep(message, isFirst)
        self.update()

    def messageOf(self, error: VeloxSegError) -> Notice.Message:
        """The message of an error with its buttons."""
        return self.notices.messageOf(error)

    def onLog(self, line: str) -> None:
        """A line for the log."""
        self.ui.logTextEdit.appendPlainText(line)

    def closeEngine(self) -> None:
        """End the warm process: libraries in use cannot be replaced."""
        self.segmenter.close()

    def probeEngine(self) -> None:
        """Look again at what is installed."""
        self.engine = Setup.probe()
        self.update()

    def useDevice(self, name: str) -> None:
        """Show the device that the engine found."""
        self.run.device = name

    # Showing the state

    def update(self, _caller=None, _event=None) -> None:
        """Compute the one state of the panel and show it."""
        card, images = self.card, self.images
        read = readAll(images)
        verdicts = Verdicts.judge(card, read, self.choices.inputOptions) if card else {}
        state = State.panelState(
            self.engine,
            self.run.device,
            card,
            images,
            verdicts,
            self.segmenter.isBusy,
            self.segmenter.isCancelling,
        )
        self._watch.follow([node for node in (*images.values(), self.choices.region) if node is not None])
        self._showModels(card)
        self.rows.show(images, verdicts, state.areChoicesLocked)
        self._geometry.show(card, read, verdicts)
        Sections.showSetup(self.ui, state, self.engine)
        Sections.showInstaller(self.ui, state, self.engine, self.installer)
        Sections.showImageOptions(self.ui, state, card, images)
        Sections.showTask(self.ui, state, card, self.samples.isBusy)
        Sections.showRun(self.ui, state, self.run.stage, self.samples.isBusy)
        seconds = self.run.estimates() if card is not None and state.problem is None else {}
        self._runControls.show(self.parameters, card, seconds, state.isRunning)
        self._foldSetup()
        self.notices.show(state, self.engine.error is not None)
        self.results.show(self.parameters.result if self.parameters else None)
        self.batch.show(card)

    def _showModels(self, card: ModelCard | None) -> None:
        """Fill both combo boxes and the rows when another model was chosen, here or by loading a scene."""
        cardKey = card.key if card else ""
        if cardKey == self._shownCardKey:
            return
        self._shownCardKey = cardKey
        Sections.showModels(self.ui, self.catalogue, card)
        self.rows.build(card.roles if card else ())
        TabOrder.follow(self.ui.noticeFrame.parent())

    def _foldSetup(self) -> None:
        """Close the section once everything is there, open it when something is missing."""
        isReady = self.engine.status == Setup.READY and self.card is not None
        if isReady != self._wasReady and self.parameters is not None:
            self._wasReady = isReady
            self.ui.setupCollapsibleButton.collapsed = isReady

    # Buttons and keys

    def _connectControls(self) -> None:
        ui = self.ui
        ui.taskComboBox.connect("activated(int)", self._onTaskChosen)
        ui.modelComboBox.connect("activated(int)", self._onModelChosen)
        ui.segmentButton.connect("clicked()", self.run.startOrCancel)
        ui.installButton.connect("clicked()", self.installer.ask)
        ui.checkButton.connect("clicked()", self.installer.startCheck)
        ui.clearButton.connect("clicked()", self._onClear)
        ui.setupCollapsibleButton.connect("contentsCollapsed(bool)", self._showDiskUse)
        ui.sampleButton.connect("clicked()", self.loadSample)
        ui.slicerSampleButton.connect("clicked()", self._loadSlicerSample)
        ui.assignButton.connect("clicked()", self.assign)
        ui.newRegionButton.connect("clicked()", self._onNewRegion)
        ui.cardButton.connect("clicked()", self._showCard)
        ui.manageButton.connect("clicked()", self._manageModels)
        ui.copyReportButton.connect("clicked()", self.copyReport)

    def _keys(self) -> tuple[Key, ...]:
        return (
            Key("Ctrl+Return", _("start the computation"), self.run.startByKey),
            Key("Ctrl+.", _("cancel it"), self.run.cancelByKey),
            Key("F7", _("row above in the table of the result"), self.results.previousLesion),
            Key("F8", _("row below"), self.results.nextLesion),
            Key("Ctrl+Shift+O", _("hide or show the result in the views"), self.results.toggleOverlay),
            Key("F1", _("this help"), self.showHelp),
        )

    def _actionsFor(self, error: VeloxSegError) -> dict[str, Callable]:
        """Action of Errors -> what a click on the button beside its message does."""
        return {
            **self.installer.actions(),
            Errors.CHOOSE_CPU: self._chooseCpu,
            Errors.RETRY: self.run.start,
            Errors.USE_CPU: self.run.startOnCpu,
            Errors.SHOW_LOG: self._showLog,
            Errors.COPY_REPORT: self.copyReport,
            Errors.SHOW_CARD: self._showCard,
            Errors.SHOW_LICENSE: self._manageModels,
            **self.inputActions.of(error),
        }

    def _chooseCpu(self) -> None:
        self.deviceChoice.choose(CPU)
        self.tell(None)

    def _onTaskChosen(self, index: int) -> None:
        self.notices.forget()
        self.choices.chooseTask(self.ui.taskComboBox.itemData(index))
        self.update()

    def _onModelChosen(self, index: int) -> None:
        self.chooseModel(self.catalogue.card(self.ui.modelComboBox.itemData(index)))

    def _onNewRegion(self) -> None:
        self.choices.newRegion()
        self.update()

    def _showDiskUse(self, isCollapsed: bool = False) -> None:
        """Counted only when it can be seen."""
        if not isCollapsed:
            folders = [card.folder for card in self.catalogue.cards]
            Sections.showDiskUse(self.ui, DiskUse.measure(folders))

    def _onClear(self) -> None:
        DiskUse.clear()
        self._showDiskUse()

    def loadSample(self) -> None:
        """Load the example of the chosen model and assign it."""
        self.notices.forget()
        self.run.stage = _("Preparing sample data...")
        try:
            self.samples.start(self.card)
        except VeloxSegError as error:
            self.notices.fail(error)
        self.update()

    def _loadSlicerSample(self) -> None:
        try:
            self._chooseSample([Samples.loadSlicerBrain()])
        except VeloxSegError as error:
            self.notices.fail(error)
        self.update()

    def _chooseSample(self, nodes: list) -> None:
        """The person asked for the sample: it takes the place of former choices."""
        self.choices.assignOnly(nodes)
        self.ui.segmentButton.setFocus()

    def _showCard(self) -> None:
        if self.card is not None:
            self.cardDialog = CardView.show(self.card)

    def _manageModels(self) -> None:
        self.notices.forget()
        self.manager.show(self.card)
        self.update()

    def showHelp(self) -> None:
        """Open Log and help, where the keys are listed."""
        self._showLog()
        self.ui.logTextEdit.setFocus()

    def _showLog(self) -> None:
        self.ui.logCollapsibleButton.collapsed = False

    def copyReport(self) -> None:
        """Put the report without personal data on the clipboard."""
        log = self.ui.logTextEdit.plainText
        report = Report.text(self.engine, self.card, self.images, self.run.device, self.run.stage, log)
        qt.QApplication.clipboard().setText(report)

    # What the parts tell

    def _onRunEnd(self) -> None:
        if not self._isEntered:
            slicer.util.showStatusMessage(self.notices.outcomeText, STATUS_MS)

    def _onSampleFinished(self, nodes, error) -> None:
        if error is not None:
            self.notices.fail(error)
        else:
            self._chooseSample(nodes)
        self.update()

    def _onModelsChanged(self) -> None:
        self._shownCardKey = None
        self.choices.replaceMissingModel()
        self.update()

    def _onCaseLoaded(self, card: ModelCard, images: dict, segmentationNode) -> None:
        """A case of a batch is in the scene."""
        self.layers.show(card, images)
        if segmentationNode is not None:
            self._useResult(segmentationNode)
        self.update()

    def _useResult(self, segmentationNode) -> None:
        """Show a result from now on; what was said before it came is over."""
        self.notices.forget()
        self.choices.showResult(segmentationNode)

    def _onImagesChanged(self) -> None:
        if self.parameters is not None and not self.segmenter.isBusy:
            self.assign()
