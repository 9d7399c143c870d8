"""The tab that compares the shown result with another segmentation."""

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from veloxseg.contract import csv_text

from ..common import Names
from ..common.Errors import VeloxSegError
from ..widgets import PlainText, UiParts
from . import CsvFile
from .Comparison import Comparison, Pair, pairByName
from .LesionsTab import saveAs

SEGMENT = 0
REFERENCE = 1
# Key of the engine's numbers -> decimals.
NUMBERS = {
    "dice": 3,
    "volume_ml": 2,
    "reference_ml": 2,
    "difference_ml": 2,
    "difference_percent": 1,
    "hd95_mm": 1,
    "mean_surface_mm": 2,
    "missed": 0,
    "extra": 0,
}


class CompareTab:
    """A row per segment with its partner in the reference and the numbers of the pair."""

    def __init__(self, ui, modulePath: Path, onLog: Callable) -> None:
        """
        :param ui: the child widgets of the panel.
        :param modulePath: folder that holds the engine package.
        :param onLog: called with each line for the log.
        """
        self._part = UiParts.load(ui, ui.compareTab, "CompareTab")
        self._part.setMRMLScene(slicer.mrmlScene)
        self._ui = ui
        self._node = None
        self._reference = None
        self._partners: list = []
        self._rows: list[dict] = []
        self._comparedRows: list[int] = []
        self._comparison = Comparison(modulePath, onLog, self._onFinished)
        self._fillHeadings()
        ui.referenceSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onReference)
        ui.compareButton.connect("clicked()", self.start)
        ui.copyComparisonButton.connect("clicked()", self._onCopy)
        ui.saveComparisonButton.connect("clicked()", self._onSave)

    def show(self, node) -> None:
        """Offer the segments of a result for comparison; numbers of another state are gone."""
        self._comparison.abandon()
        self._node = node
        self._fillRows()

    def start(self) -> None:
        """Compare all pairs that are chosen; the numbers come later."""
        pairs = self.pairs()
        self._comparedRows = [row for row, pair in enumerate(pairs) if pair.referenceId]
        reference = self._ui.referenceSelector.currentNode()
        try:
            self._comparison.start(self._node, reference, [pairs[row] for row in self._comparedRows])
        except VeloxSegError as error:
            self._onFinished(None, error)
        self._showButtons()

    def pairs(self) -> list[Pair]:
        """The pairs as chosen in the table; "" for no partner."""
        ids = self._node.GetSegmentation().GetSegmentIDs()
        return [Pair(segmentId, combo.itemData(combo.currentIndex)) for segmentId, combo in zip(ids, self._partners, strict=True)]

    def abandon(self) -> None:
        """End a running comparison: the scene closes."""
        self._comparison.abandon()

    def cleanup(self) -> None:
        """The panel goes away."""
        self._comparison.abandon()
        self._part.setMRMLScene(None)

    def _fillHeadings(self) -> None:
        headings = [
            (_("Segment"), _("Segment of this result.")),
            (_("Reference"), _("The segment of the reference that it is compared with.")),
            (_("Dice"), _("Overlap: twice the common volume, divided by the sum of both volumes; 1 is equal.")),
            (_("Volume (ml)"), _("Volume of the segment.")),
            (_("Reference (ml)"), _("Volume of the reference on the grid of this result.")),
            (_("Difference (ml)"), _("Volume minus volume of the reference.")),
            (_("Difference (%)"), _("Difference in percent of the reference.")),
            (_("HD95 (mm)"), _("95th percentile of the distances between both surfaces.")),
            (_("Mean distance (mm)"), _("Mean distance between both surfaces.")),
            (_("Missed"), _("Connected pieces of the reference that this result does not touch.")),
            (_("Extra"), _("Connected pieces of this result that the reference does not touch.")),
        ]
        table = self._ui.comparisonTable
        table.setColumnCount(len(headings))
        table.setHorizontalHeaderLabels([title for title, _toolTip in headings])
        for number, (_title, toolTip) in enumerate(headings):
            table.horizontalHeaderItem(number).setToolTip(PlainText.toolTip(toolTip))
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.verticalHeader().hide()

    def _fillRows(self) -> None:
        """Segments and suggested partners, without numbers."""
        table, reference = self._ui.comparisonTable, self._ui.referenceSelector.currentNode()
        self._reference = reference
        self._partners, self._rows = [], []
        table.setRowCount(0)
        if self._node is not None and reference is not None and reference is not self._node:
            for row, pair in enumerate(pairByName(self._node, reference)):
                table.insertRow(row)
                name = Names.nameOf(self._node.GetSegmentation().GetSegment(pair.segmentId))
                table.setItem(row, SEGMENT, qt.QTableWidgetItem(name))
                combo = self._partnerCombo(reference, pair.referenceId, name)
                self._partners.append(combo)
                table.setCellWidget(row, REFERENCE, combo)
        table.setVisible(bool(self._partners))
        self._ui.comparisonLabel.text = self._hint(reference)
        self._showButtons()

    def _partnerCombo(self, reference, chosenId: str, name: str):
        combo = qt.QComboBox()
        combo.accessibleName = _("Partner of {segment}").format(segment=name)
        combo.toolTip = _("The segment of the reference that it is compared with.")
        combo.addItem(_("none"), "")
        segmentation = reference.GetSegmentation()
        for segmentId in segmentation.GetSegmentIDs():
            combo.addItem(Names.nameOf(segmentation.GetSegment(segmentId)), segmentId)
        combo.setCurrentIndex(max(combo.findData(chosenId), 0))
        combo.connect("currentIndexChanged(int)", self._onPartner)
        return combo

    def _hint(self, reference) -> str:
        if reference is not None and reference is self._node:
            return _("Choose another segmentation than the result itself.")
        return "" if self._partners else _("Choose a reference.")

    def _showButtons(self) -> None:
        ui = self._ui
        isBusy = self._comparison.isBusy
        hasPair = any(combo.itemData(combo.currentIndex) for combo in self._partners)
        ui.compareButton.enabled = hasPair and not isBusy
        ui.copyComparisonButton.enabled = ui.saveComparisonButton.enabled = bool(self._rows)
        if isBusy:
            ui.comparisonLabel.text = _("Comparing...")
        ui.comparisonLabel.setVisible(bool(ui.comparisonLabel.text))

    def _onFinished(self, numbers: list[dict] | None, error: VeloxSegError | None) -> None:
        self._ui.comparisonLabel.text = error.text if error else ""
        table = self._ui.comparisonTable
        self._rows = []
        for row, values in zip(self._comparedRows, numbers or [], strict=False):
            texts = {key: _text(values[key], decimals) for key, decimals in NUMBERS.items()}
            for column, text in enumerate(texts.values(), start=REFERENCE + 1):
                item = qt.QTableWidgetItem(text)
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(row, column, item)
            names = {"segment": table.item(row, SEGMENT).text(), "reference_segment": self._partners[row].currentText}
            self._rows.append(names | texts)
        self._showButtons()

    def _onReference(self, node) -> None:
        # Also announced when it has another name, or another row because one above is gone.
        if node is not self._reference:
            self._comparison.abandon()
            self._fillRows()

    def _onPartner(self, _index: int) -> None:
        """Numbers of other pairs are not left beside these ones."""
        self._comparison.abandon()
        self._rows = []
        table = self._ui.comparisonTable
        for row in range(len(self._partners)):
            for column in range(REFERENCE + 1, REFERENCE + 1 + len(NUMBERS)):
                table.setItem(row, column, qt.QTableWidgetItem(""))
        self._ui.comparisonLabel.text = ""
        self._showButtons()

    def _onCopy(self) -> None:
        qt.QApplication.clipboard().setText(csv_text.clipboard([self._rows[0], *(row.values() for row in self._rows)]))

    def _onSave(self) -> None:
        saveAs(f"{Names.nameOf(self._node)} comparison.csv", self.saveCsv)

    def saveCsv(self, path: str) -> None:
        """Write the numbers with units and provenance.

        :raises OSError: when the file cannot be written.
        """
        reference = {"compared_with": Names.nameOf(self._ui.referenceSelector.currentNode())}
        CsvFile.write([row | reference | CsvFile.provenance(self._node) for row in self._rows], Path(path))


def _text(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"
