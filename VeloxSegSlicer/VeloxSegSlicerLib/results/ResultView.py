"""The Results section: one result in four tabs, and what a finished run brings."""

from collections.abc import Callable
from pathlib import Path

from slicer.i18n import tr as _

from veloxseg.contract.card import mark

from ..common import Geometry, ResultAttributes, SegmentVoxels
from ..widgets import Notice
from . import Messages, Results, Sensitivity, Views
from .CompareTab import CompareTab
from .DetailsTab import DetailsTab
from .LesionsTab import LesionsTab
from .Result import RunResult
from .UncertaintyTab import UncertaintyTab


class ResultView:
    """Shows one segmentation of this module."""

    def __init__(self, ui, layers: Views.Layers, modulePath: Path, onLog: Callable, onChosen: Callable) -> None:
        """
        :param ui: the child widgets of the panel.
        :param layers: the slice layers to restore.
        :param modulePath: folder that holds the engine package.
        :param onLog: called with each line for the log.
        :param onChosen: called with the segmentation that shall be shown from now on, or None.
        """
        self._ui = ui
        self._layers = layers
        self._node = None
        self._empty: RunResult | None = None
        self._lowered = 0.0
        self._onChosen = onChosen
        self.lesions = LesionsTab(ui, layers)
        self.uncertainty = UncertaintyTab(ui, layers)
        self.compare = CompareTab(ui, modulePath, onLog)
        self.details = DetailsTab(ui)
        self._shown: tuple | None = None
        ui.resultSelector.addAttribute("vtkMRMLSegmentationNode", ResultAttributes.LISTED)
        ui.keepEmptyButton.connect("clicked()", self.keepEmpty)
        ui.lowerSensitivityButton.connect("clicked()", self.lowerSensitivity)

    def show(self, node) -> None:
        """Show a result, or nothing for None."""
        ui = self._ui
        self._node = node
        self.lesions.show(node)
        self.lesions.nameAfter(self._kind())
        now = SegmentVoxels.state(node) if node is not None else ()
        if now != self._shown:
            self._shown = now
            self.uncertainty.show(node)
            self.compare.show(node)
            self.details.show(node)
            ui.resultFactsLabel.text = _factsText(node) if node is not None and ResultAttributes.isResult(node) else ""
        ui.resultFactsLabel.setVisible(node is not None)
        isEmpty = self._empty is not None and node is None
        ui.resultTabs.setVisible(node is not None or isEmpty)
        ui.emptyFrame.setVisible(isEmpty)

    def _kind(self) -> str:
        if self._node is not None:
            return ResultAttributes.fact(self._node, "Kind")
        return Results.kindOf(self._empty.card) if self._empty is not None else ""

    def take(self, result: RunResult) -> Notice.Message:
        """Show what a finished run brought, and say it.

        :param result: a run that is done, with or without a segmentation.
        :return: the message for the notice line.
        """
        self._ui.resultsCollapsibleButton.collapsed = False
        self._empty = None
        if result.segmentation is None:
            self._empty = result
            self._onChosen(None)
            return self._emptyMessage(result)
        self._present(result)
        return Notice.Message(Notice.INFO, Messages.doneText(result, self.lesions.content))

    def keepEmpty(self) -> None:
        """Add the empty result to the scene, because the person asked for it."""
        self._place()

    def lowerSensitivity(self) -> None:
        """Add the empty result with a threshold at which something is found."""
        self._place()
        self.lesions.setSensitivity(self._lowered)
        self.lesions.refresh()
        self.lesions.goToLargest()

    def previousLesion(self) -> None:
        """Go to the row above."""
        self.lesions.step(-1)

    def nextLesion(self) -> None:
        """Go to the row below."""
        self.lesions.step(1)

    def toggleOverlay(self) -> None:
        """Hide the shown result in all views, or show it again."""
        display = self._node.GetDisplayNode() if self._node is not None else None
        if display is not None:
            display.SetVisibility(not display.GetVisibility())

    def forget(self) -> None:
        """The scene closes."""
        self._empty = None
        self.compare.abandon()
        self.lesions.forget()
        self.show(None)

    def cleanup(self) -> None:
        """The panel goes away."""
        self.compare.cleanup()

    def _place(self) -> None:
        """Put the empty result into the scene."""
        result, self._empty = self._empty, None
        result.segmentation = Results.place(result.loaded)
        self._present(result)

    def _present(self, result: RunResult) -> None:
        self._layers.show(result.card, result.images)
        self.lesions.keep(result.segmentation, Sensitivity.sensitivityOf(result.loaded))
        self._onChosen(result.segmentation)
        self.show(result.segmentation)
        self.lesions.goToLargest()

    def _emptyMessage(self, result: RunResult) -> Notice.Message:
        """Nothing found is a result too: say how close it was and offer to look there."""
        text = Messages.emptyText(result)
        highest = result.report.get("highest_probability", {})
        self._lowered = Sensitivity.lowered(highest.get("value", 0.0)) if Sensitivity.sensitivityOf(result.loaded) else 0.0
        self._ui.emptyLabel.text = text
        self._ui.lowerSensitivityButton.setVisible(self._lowered > 0)
        self._ui.lowerSensitivityButton.text = _("Lower sensitivity threshold to {threshold:.2f}").format(threshold=self._lowered)
        if "value" not in highest:
            return Notice.Message(Notice.INFO, text)
        position = Geometry.rasFromLps(highest["position_lps"])
        return Notice.Message(Notice.INFO, text, (Notice.Button(_("Go there"), lambda: Views.jumpTo(position)),))


def _factsText(node) -> str:
    """How the result was made, in one line; the rest is under Details."""
    text = _("{mark}{title} {version} on {device}, {date}.")
    return text.format(
        title=ResultAttributes.fact(node, "ModelTitle"),
        version=ResultAttributes.fact(node, "ModelVersion"),
        mark=mark(ResultAttributes.level(node)),
        device=ResultAttributes.fact(node, "Device"),
        date=ResultAttributes.fact(node, "Created").replace("T", " ").replace("Z", " UTC"),
    )
