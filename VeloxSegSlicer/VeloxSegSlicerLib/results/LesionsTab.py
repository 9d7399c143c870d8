"""The tab with the table: marks, sensitivity, undo, and what can be done with the result."""

from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from veloxseg.contract import csv_text

from ..common import Components, CoreModules, Names, ResultAttributes, SegmentVoxels
from ..widgets import PlainText, UiParts
from . import BackupNode, CsvFile, Highlight, Lesions, Removal, ResultTable, Sensitivity, Separate, Views, Wording
from .History import History
from .TableWidget import Handlers, TableWidget

# The table follows the slider after a short rest.
SETTLE_MS = 300
KEPT_RESULTS = 3
"""How many probabilities stay in memory."""


class LesionsTab:
    """Lesions or segments of the shown result."""

    def __init__(self, ui, layers: Views.Layers) -> None:
        """
        :param ui: the child widgets of the panel.
        :param layers: the slice layers to restore.
        """
        UiParts.load(ui, ui.lesionsTab, "LesionsTab")
        self._ui = ui
        self._layers = layers
        self._node = None
        self._shown: tuple | None = None
        self._lesions: list[Lesions.Lesion] = []
        self._content: ResultTable.ResultTable | None = None
        self._kept: dict[str, Sensitivity.Sensitivity] = {}
        self._history = History()
        self._pieces: tuple[tuple, list[Lesions.Piece]] = ((), [])
        self._isShowing = False
        self._centered: set[str] = set()
        handlers = Handlers(self._onMark, self._onShown, self._onSelected, self._onOpened)
        self._table = TableWidget(ui.segmentsTable, handlers)
        self._settleTimer = qt.QTimer()
        self._settleTimer.setSingleShot(True)
        self._settleTimer.setInterval(SETTLE_MS)
        self._settleTimer.connect("timeout()", self.refresh)
        self._connect()

    @property
    def content(self) -> ResultTable.ResultTable | None:
        """The table that is shown."""
        return self._content

    def keep(self, segmentationNode, sensitivity: Sensitivity.Sensitivity | None) -> None:
        """Keep the probability of a new result, and drop the oldest ones."""
        self._kept.pop(segmentationNode.GetID(), None)
        if sensitivity is not None:
            self._kept[segmentationNode.GetID()] = sensitivity
        for nodeId in list(self._kept)[:-KEPT_RESULTS]:
            del self._kept[nodeId]

    def remember(self, segmentationNode, undo) -> None:
        """Remember how a change from outside of this tab is taken back."""
        self._history.push(segmentationNode, undo)

    def show(self, node) -> None:
        """Show a result, or nothing for None. Voxels are looked at only when something changed."""
        now = () if node is None else (SegmentVoxels.state(node), self._options())
        if node is self._node and (self._settleTimer.isActive() or now == self._shown):
            return
        if node is not self._node:
            Highlight.show(None)
        self._node = node
        self.refresh()

    def refresh(self) -> None:
        """Measure what has changed and show it."""
        node, ui = self._node, self._ui
        self._settleTimer.stop()
        self._isShowing = True
        if node is None:
            self._lesions, self._content, self._shown = [], None, ()
        else:
            self._applySeparation()
            isLesions = ResultAttributes.fact(node, "Kind") == ResultAttributes.LESIONS
            self._lesions = Lesions.lesionsOf(node, self._kept.get(node.GetID())) if isLesions else []
            self._content = ResultTable.tableOf(node, self._lesions, ui.smallestLesionSpinBox.value)
            self._table.fill(self._content)
            self._shown = (SegmentVoxels.state(node), self._options())
        self._showTexts()
        self._showSensitivity()
        self._showButtons()
        ui.show3DButton.setSegmentationNode(node)
        display = node.GetDisplayNode() if node is not None else None
        ui.fillCheckBox.setVisible(display is not None)
        ui.fillCheckBox.checked = display is not None and display.GetVisibility2DFill()
        self._isShowing = False

    def nameAfter(self, kind: str) -> None:
        """Call the tab and its buttons what the entries are; see `Wording.wordsFor`."""
        ui, words = self._ui, Wording.wordsFor(kind)
        ui.resultTabs.setTabText(ui.resultTabs.indexOf(ui.lesionsTab), words.title)
        ui.segmentsTable.accessibleName = words.table
        for button, name, tip in (
            (ui.previousLesionButton, words.previous, words.previousTip),
            (ui.nextLesionButton, words.next, words.nextTip),
        ):
            button.accessibleName, button.toolTip = name, PlainText.toolTip(tip)

    def forget(self) -> None:
        """A scene closes: nothing of it may stay."""
        self._settleTimer.stop()
        self._kept.clear()
        self._history.clear()
        self._centered.clear()
        self._pieces = ((), [])
        self._node = None
        self.refresh()

    def step(self, by: int) -> None:
        """Go to the next (1) or previous (-1) row."""
        self._table.step(by)

    def goToLargest(self) -> None:
        """Choose the first lesion, so that the views show it. Segments of an organ stay where the person looks."""
        if self._content is not None and self._content.kind == ResultAttributes.LESIONS and self._content.rows:
            self._table.choose(0)

    def setSensitivity(self, threshold: float) -> None:
        """Give the shown result another threshold at once; the table follows after a short rest."""
        sensitivity = self._kept[self._node.GetID()]
        if not self._settleTimer.isActive():
            self._history.remember(self._node, withVoxels=True)
        Highlight.show(None)
        sensitivity.apply(self._node, threshold)
        self._settleTimer.start()

    def undo(self) -> None:
        """Take back the last change of the shown result."""
        self._settleTimer.stop()
        self._history.undo(self._node)
        self._ui.separateSegmentsCheckBox.checked = Separate.isSeparate(self._node)
        Highlight.show(None)
        self.refresh()

    def removeExcluded(self) -> None:
        """Clear the voxels of lesions without the Include mark."""
        self._history.remember(self._node, withVoxels=True)
        Removal.removeExcluded(self._node, self._lesions)
        Highlight.show(None)
        self.refresh()

    def restorePrevious(self) -> None:
        """Swap the shown result with what was in its segmentation before."""
        node = self._node
        self._kept.pop(node.GetID(), None)
        BackupNode.swap(node)
        self._history.push(node, lambda: BackupNode.swap(node))
        self.refresh()

    def saveCsv(self, path: str) -> None:
        """Write the table with units and provenance.

        :raises OSError: when the file cannot be written.
        """
        CsvFile.write(CsvFile.rows(self._node, self._content), Path(path))

    def _connect(self) -> None:
        ui = self._ui
        ui.previousLesionButton.connect("clicked()", lambda: self.step(-1))
        ui.nextLesionButton.connect("clicked()", lambda: self.step(1))
        ui.sensitivitySlider.connect("valueChanged(double)", self._onSensitivity)
        ui.resetSensitivityButton.connect("clicked()", self._onResetSensitivity)
        ui.smallestLesionSpinBox.connect("valueChanged(double)", self._onOption)
        ui.separateSegmentsCheckBox.connect("toggled(bool)", self._onOption)
        ui.removeExcludedButton.connect("clicked()", self.removeExcluded)
        ui.undoButton.connect("clicked()", self.undo)
        ui.restorePreviousButton.connect("clicked()", self.restorePrevious)
        ui.copyTableButton.connect("clicked()", self._onCopy)
        ui.tableNodeButton.connect("clicked()", self._onTableNode)
        ui.saveCsvButton.connect("clicked()", self._onSaveCsv)
        ui.fillCheckBox.connect("toggled(bool)", self._onFilled)
        ui.show3DButton.connect("toggled(bool)", self._onShown3D)
        ui.editButton.connect("clicked()", lambda: CoreModules.edit(self._node))
        ui.exportDicomButton.connect("clicked()", lambda: CoreModules.exportDicom(self._node))
        ui.restoreViewsButton.connect("clicked()", self._onRestoreViews)

    def _options(self) -> tuple:
        return self._ui.smallestLesionSpinBox.value, self._ui.separateSegmentsCheckBox.checked

    def _applySeparation(self) -> None:
        """One segment per lesion or per label, as the check box says."""
        node = self._node
        if ResultAttributes.fact(node, "Kind") != ResultAttributes.LESIONS:
            return
        isWanted = self._ui.separateSegmentsCheckBox.checked
        if isWanted != Separate.isSeparate(node):
            lesions = Lesions.lesionsOf(node, self._kept.get(node.GetID()))
            (Separate.split if isWanted else Separate.join)(node, lesions)

    def _showTexts(self) -> None:
        ui, content = self._ui, self._content
        isLesions = content is not None and content.kind == ResultAttributes.LESIONS
        isListed = content is not None and bool(content.rows)
        hasUptake = isLesions and isListed and ResultAttributes.fact(self._node, "HasEmission") == "yes"
        ui.uptakeLabel.setVisible(hasUptake)
        ui.segmentsTable.setVisible(isListed)
        for widget in (ui.previousLesionButton, ui.nextLesionButton):
            widget.setVisible(isListed and len(content.rows) > 1)
        ui.reviewedLabel.text = _reviewedText(content) if isLesions else ""
        ui.totalsLabel.text = _totalsText(content) if isLesions else ""
        ui.totalsLabel.setVisible(isLesions)
        ui.tableNoteLabel.text = content.note if content else ""
        ui.tableNoteLabel.setVisible(bool(ui.tableNoteLabel.text))
        for widget in (ui.smallestLesionLabel, ui.smallestLesionSpinBox, ui.separateSegmentsCheckBox):
            widget.setVisible(isLesions)

    def _showSensitivity(self) -> None:
        ui, node = self._ui, self._node
        kept = self._kept.get(node.GetID()) if node is not None else None
        for widget in (ui.sensitivityLabel, ui.sensitivitySlider, ui.resetSensitivityButton):
            widget.setVisible(kept is not None)
        ui.sensitivityFactsLabel.setVisible(node is not None)
        if kept is not None:
            current = ResultAttributes.number(node, "CurrentThreshold")
            current = kept.card.threshold if current is None else current
            ui.sensitivitySlider.value = current
            ui.resetSensitivityButton.enabled = current != kept.card.threshold
            ui.sensitivityFactsLabel.text = _("The model's own threshold is {threshold:.2f}.").format(
                threshold=kept.card.threshold
            )
        elif node is not None:
            ui.sensitivityFactsLabel.text = Sensitivity.whyNotText(ResultAttributes.fact(node, "NoThreshold"))

    def _showButtons(self) -> None:
        ui, node = self._ui, self._node
        isThere = node is not None
        isLesions = isThere and ResultAttributes.fact(node, "Kind") == ResultAttributes.LESIONS
        ui.removeExcludedButton.setVisible(isLesions)
        ui.removeExcludedButton.enabled = any(not lesion.isIncluded for lesion in self._lesions)
        ui.undoButton.enabled = isThere and self._history.canUndo(node)
        ui.restorePreviousButton.setVisible(isThere and BackupNode.backupOf(node) is not None)
        for button in (
            ui.undoButton, ui.copyTableButton, ui.tableNodeButton, ui.saveCsvButton, ui.show3DButton, ui.editButton,
            ui.exportDicomButton, ui.restoreViewsButton,
        ):  # fmt: skip
            button.setVisible(isThere)
        if isThere and ResultAttributes.fact(node, "Kind") == ResultAttributes.PHOTO:
            ui.show3DButton.setVisible(False)
        ui.editButton.enabled = isThere and CoreModules.has(CoreModules.EDITOR)
        ui.exportDicomButton.enabled = isThere and CoreModules.has(CoreModules.DICOM)
        ui.restoreViewsButton.enabled = self._layers.canRestore

    def _onSensitivity(self, threshold: float) -> None:
        if not self._isShowing and self._node is not None and self._node.GetID() in self._kept:
            self.setSensitivity(threshold)

    def _onResetSensitivity(self) -> None:
        self._ui.sensitivitySlider.value = self._kept[self._node.GetID()].card.threshold

    def _onOption(self) -> None:
        if not self._isShowing and self._node is not None:
            self.refresh()

    def _onMark(self, row: ResultTable.Row, **changes: object) -> None:
        self._history.remember(self._node, withVoxels=False)
        for number in row.numbers:
            Lesions.mark(self._node, number, **changes)
        if "name" in changes and Separate.isSeparate(self._node):
            self._nameSegment(row)
        self.refresh()

    def _nameSegment(self, row: ResultTable.Row) -> None:
        lesions = Lesions.lesionsOf(self._node)
        piece = self._pieceAt(row)
        title = Lesions.title(self._node, lesions, row.numbers[0])
        self._node.GetSegmentation().GetSegment(piece.segmentId).SetName(title)

    def _onShown(self, row: ResultTable.Row, isShown: bool) -> None:
        self._node.GetDisplayNode().SetSegmentVisibility(row.segmentId, isShown)

    def _onFilled(self, isFilled: bool) -> None:
        if not self._isShowing and self._node is not None:
            self._node.GetDisplayNode().SetVisibility2DFill(isFilled)

    def _onShown3D(self, isShown: bool) -> None:
        """The camera looks elsewhere at first: center each result once, and then leave the camera to the person."""
        if isShown and not self._isShowing and self._node is not None and self._node.GetID() not in self._centered:
            self._centered.add(self._node.GetID())
            Views.center3D()

    def _onSelected(self, row: ResultTable.Row) -> None:
        if row.kind == ResultTable.LESION:
            piece = self._pieceAt(row)
            Highlight.show(piece.voxels if piece else None)
        position = self._lookAt(row)
        if position is not None:
            Views.jumpTo(position)

    def _lookAt(self, row: ResultTable.Row):
        """What the views show of a row: its position, and without one the middle of its largest piece."""
        if row.positionsRas:
            return row.positionsRas[0]
        found = Components.pieces(SegmentVoxels.voxelsOf(self._node, row.segmentId)) if row.segmentId else []
        return Components.nearestTo(found[0], found[0].centerRas) if found else None

    def _pieceAt(self, row: ResultTable.Row) -> Lesions.Piece | None:
        """The voxels of a lesion; connected pieces are looked for once per state of the segmentation."""
        state = SegmentVoxels.state(self._node)
        if self._pieces[0] != state:
            self._pieces = (state, Lesions.pieces(self._node))
        return Lesions.pieceOf(self._lesions[row.numbers[0]], self._pieces[1])

    def _onOpened(self, row: ResultTable.Row) -> None:
        if CoreModules.has(CoreModules.EDITOR):
            piece = self._pieceAt(row) if row.kind == ResultTable.LESION else None
            CoreModules.edit(self._node, piece.segmentId if piece else row.segmentId)

    def _onCopy(self) -> None:
        qt.QApplication.clipboard().setText(csv_text.clipboard(ResultTable.rowsAsText(self._content)))

    def _onTableNode(self) -> None:
        ResultTable.tableNode(self._node, self._content)

    def _onSaveCsv(self) -> None:
        saveAs(f"{Names.nameOf(self._node)}.csv", self.saveCsv)

    def _onRestoreViews(self) -> None:
        self._layers.restore()
        self._ui.restoreViewsButton.enabled = False


def saveAs(fileName: str, write) -> None:
    """Ask for a place, and write a table there.

    :param write: called with the path; its OSError is told.
    """
    path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), _("Save measures"), fileName, _("Tables (*.csv)"))
    # Qt 6 bindings give a pair of file name and filter.
    path = path[0] if isinstance(path, tuple) else path
    if not path:
        return
    try:
        write(path)
    except OSError as error:
        text = _("The table could not be written: {reason}").format(reason=error.strerror)
        slicer.util.errorDisplay(PlainText.toolTip(text))


def _reviewedText(content: ResultTable.ResultTable) -> str:
    marks = [row.isReviewed for row in content.rows if row.kind == ResultTable.LESION]
    return _("{reviewed} of {count} reviewed").format(reviewed=sum(marks), count=len(marks)) if marks else ""


def _totalsText(content: ResultTable.ResultTable) -> str:
    """Such as: 7 lesions, 83.0 ml, TLG 512.0, largest SUVmax 14.20. Largest distance between lesions 312 mm."""
    values = content.total.values
    parts = [_("Lesions: {count}, {volume:.1f} ml").format(count=content.lesionCount, volume=values.get("volume_ml", 0.0))]
    if "tlg" in values:
        parts.append(_("TLG {tlg:.1f}").format(tlg=values["tlg"]))
    if "suv_max" in values:
        parts.append(_("largest SUVmax {suv:.2f}").format(suv=values["suv_max"]))
    text = ", ".join(parts) + "."
    if content.farthestMm:
        text += " " + _("Largest distance between lesions {distance:.0f} mm.").format(distance=content.farthestMm)
    return text
