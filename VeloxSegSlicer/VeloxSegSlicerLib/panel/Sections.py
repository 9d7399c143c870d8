"""Shows the state of the panel in the widgets of each section."""

from slicer.i18n import tr as _

from ..common import Geometry
from ..common.Models import Catalogue, ModelCard
from ..engine import DiskUse, Setup
from ..run import Samples
from ..widgets import ComboBox, Icons, Notice, PlainText
from . import CardView, State

GIGABYTE = 1e9
MEGABYTE = 1e6


def showModels(ui, catalogue: Catalogue, card: ModelCard | None) -> None:
    """Both combo boxes and the summary of the chosen model, or why there is none."""
    models = catalogue.models(card.task_id) if card else []
    ComboBox.fill(ui.taskComboBox, catalogue.tasks(), card.task_id if card else None)
    ComboBox.fill(ui.modelComboBox, {model.key: model.fullTitle for model in models}, card.key if card else None)
    ui.summaryLabel.text = card.summary if card else _modelProblem(catalogue)


def showSetup(ui, state: State.PanelState, engine: Setup.EngineState) -> None:
    """The check list of the Setup section and its button."""
    ui.setupCollapsibleButton.text = state.setupTitle
    lines = (
        (ui.engineStepIconLabel, ui.engineStepWordLabel, ui.engineStepLabel),
        (ui.modelStepIconLabel, ui.modelStepWordLabel, ui.modelStepLabel),
        (ui.imagesStepIconLabel, ui.imagesStepWordLabel, ui.imagesStepLabel),
    )
    for (iconLabel, wordLabel, label), step in zip(lines, state.steps, strict=True):
        Icons.showOn(iconLabel, step.state)
        wordLabel.text = step.word
        label.text = step.text
    labels = {Setup.MISSING: _("Install..."), Setup.DAMAGED: _("Repair..."), Setup.OLD: _("Update...")}
    ui.installButton.setVisible(engine.status in labels)
    ui.installButton.text = labels.get(engine.status, labels[Setup.MISSING])


def showInstaller(ui, state: State.PanelState, engine: Setup.EngineState, installer) -> None:
    """The check of this computer and its verdict.

    :param installer: the `Installer` of the panel.
    """
    isFree = not state.isRunning and not installer.check.isBusy
    ui.checkButton.setVisible(engine.status == Setup.READY)
    ui.checkButton.enabled = ui.installButton.enabled = isFree
    ui.checkLabel.setVisible(bool(installer.verdict))
    ui.checkLabel.text = installer.verdict


def showDiskUse(ui, use: DiskUse.DiskUse) -> None:
    """What is on the disks, and whether there is something to clear."""
    text = _("On disk: engine {engine}, models {models}, left by finished jobs {temporary}.")
    sizes = {"engine": use.engine, "models": use.models, "temporary": use.temporary}
    ui.diskLabel.text = text.format(**{name: sizeText(size) for name, size in sizes.items()})
    ui.clearButton.enabled = use.temporary > 0


def sizeText(size: int) -> str:
    """Bytes in words: "3.1 GB", "28 MB"."""
    if size >= 0.1 * GIGABYTE:
        return f"{size / GIGABYTE:.1f} GB"
    return f"{size / MEGABYTE:.0f} MB"


def showTask(ui, state: State.PanelState, card: ModelCard | None, isSampleBusy: bool) -> None:
    """Task, model, demo banner and the buttons below."""
    for widget in (ui.demoIconLabel, ui.demoLabel):
        widget.setVisible(card is not None)
    if card is not None:
        ui.demoLabel.text = CardView.levelText(card)
    Icons.showOn(ui.demoIconLabel, Notice.WARNING)
    isFree = not state.areChoicesLocked
    for widget in (ui.taskComboBox, ui.modelComboBox):
        widget.enabled = isFree and card is not None
    ui.cardButton.enabled = card is not None
    phantom = Samples.phantomFor(card) if card else None
    ui.sampleButton.enabled = isFree and phantom is not None and not isSampleBusy
    ui.slicerSampleButton.setVisible(phantom is Samples.BRAIN and Samples.hasSlicerBrain())
    ui.slicerSampleButton.enabled = isFree
    ui.assignButton.enabled = isFree and card is not None


def showImageOptions(ui, state: State.PanelState, card: ModelCard | None, images: dict) -> None:
    """Region for volumes, scale for photos."""
    isPhoto = card is not None and card.takes_photo
    for widget in (ui.scaleLabel, ui.scaleSpinBox):
        widget.setVisible(isPhoto)
    for widget in (ui.regionLabel, ui.regionSelector, ui.newRegionButton):
        widget.setVisible(card is not None and not isPhoto)
    isFree = not state.areChoicesLocked
    reference = images.get(card.reference.name) if card else None
    ui.scaleSpinBox.enabled = ui.regionSelector.enabled = isFree
    hasPlace = reference is not None and reference.GetImageData() is not None
    ui.newRegionButton.enabled = isFree and hasPlace and Geometry.isFinite(Geometry.worldGrid(reference))


def showRun(ui, state: State.PanelState, stage: str, isSampleBusy: bool) -> None:
    """The large button, what is locked during a run, progress and the line below.

    :param stage: what is being done, for the line.
    """
    if state.isRunning:
        ui.segmentButton.text = _("Cancelling...") if state.isCancelling else _("Cancel")
        ui.segmentButton.toolTip = _("Stops the computation. The scene stays as it was.")
    else:
        ui.segmentButton.text = _("Segment")
        ui.segmentButton.toolTip = PlainText.toolTip(state.hint)
    ui.segmentButton.accessibleName = ui.segmentButton.text
    ui.segmentButton.enabled = state.canStart or (state.isRunning and not state.isCancelling)
    for widget in (ui.deviceComboBox, ui.seedSpinBox, ui.keepFilesCheckBox):
        widget.enabled = not state.isRunning
    ui.progressBar.setVisible(state.isRunning)
    isWorking = state.isRunning or isSampleBusy
    ui.stageLabel.setVisible(isWorking or (state.problem is not None and State.noticeOf(state) is None))
    ui.stageLabel.text = stage if isWorking else state.hint


def _modelProblem(catalogue: Catalogue) -> str:
    """Why the list of models is empty."""
    return catalogue.errors[0].text if catalogue.errors else _("No model is installed.")
