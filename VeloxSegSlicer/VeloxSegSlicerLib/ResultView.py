"""The Results section: which result, its segments with volumes, 3D, CSV."""

import json
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from . import Results, Statistics, Views

NAME_COLUMN = 0
VOLUME_COLUMN = 1


class ResultView:
    """Shows one segmentation of this module in the widgets of the .ui file."""

    def __init__(self, ui, layers: Views.Layers) -> None:
        """
        :param ui: the child widgets of the panel.
        :param layers: the slice layers to restore.
        """
        self._ui = ui
        self._layers = layers
        self._node = None
        self._shown: tuple = ()
        self._isFilling = False
        ui.resultSelector.addAttribute("vtkMRMLSegmentationNode", Results.MODEL_ATTRIBUTE)
        ui.segmentsTable.setColumnCount(2)
        ui.segmentsTable.setHorizontalHeaderLabels([_("Segment"), _("Volume (ml)")])
        ui.segmentsTable.horizontalHeader().setSectionResizeMode(NAME_COLUMN, qt.QHeaderView.Stretch)
        ui.segmentsTable.horizontalHeader().setSectionResizeMode(
            VOLUME_COLUMN, qt.QHeaderView.ResizeToContents
        )
        ui.segmentsTable.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        ui.segmentsTable.verticalHeader().hide()
        ui.segmentsTable.connect("itemChanged(QTableWidgetItem*)", self._onItemChanged)
        ui.segmentsTable.connect("itemSelectionChanged()", self._onSelectionChanged)
        ui.saveCsvButton.connect("clicked()", self._onSaveCsv)
        ui.restoreViewsButton.connect("clicked()", self._onRestoreViews)

    def show(self, node) -> None:
        """Show a result, or nothing for None. Voxels are counted only when something changed."""
        now = (node.GetID(), node.GetSegmentation().GetMTime()) if node is not None else ()
        if now != self._shown or not self._shown:
            self._shown, self._node = now, node
            self._fillTable()
            self._ui.show3DButton.setSegmentationNode(node)
            self._ui.resultFactsLabel.text = _factsText(node) if node is not None else ""
        self._ui.resultsCollapsibleButton.enabled = True
        for widget in (self._ui.segmentsTable, self._ui.resultFactsLabel):
            widget.setVisible(node is not None)
        self._ui.saveCsvButton.enabled = node is not None
        self._ui.show3DButton.enabled = node is not None
        self._ui.restoreViewsButton.enabled = self._layers.canRestore

    def saveCsv(self, path: str) -> None:
        """Write the measures of the shown result.

        :raises OSError: when the file cannot be written.
        """
        Statistics.writeCsv(self._node, Path(path))

    def _fillTable(self) -> None:
        measures = Statistics.measure(self._node) if self._node is not None else []
        table = self._ui.segmentsTable
        self._isFilling = True
        table.setRowCount(len(measures))
        for row, entry in enumerate(measures):
            table.setItem(row, NAME_COLUMN, _nameItem(entry, self._node))
            volume = qt.QTableWidgetItem(f"{entry.volumeMl:.1f}")
            volume.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            table.setItem(row, VOLUME_COLUMN, volume)
        self._isFilling = False
        table.resizeRowsToContents()
        table.updateGeometry()

    def _segmentIdAt(self, row: int) -> str:
        return self._ui.segmentsTable.item(row, NAME_COLUMN).data(qt.Qt.UserRole)

    def _onItemChanged(self, item) -> None:
        if self._isFilling or self._node is None:
            return
        isVisible = item.checkState() == qt.Qt.Checked
        self._node.GetDisplayNode().SetSegmentVisibility(self._segmentIdAt(item.row()), isVisible)

    def _onSelectionChanged(self) -> None:
        row = self._ui.segmentsTable.currentRow()
        if not self._isFilling and self._node is not None and row >= 0:
            center = self._node.GetSegmentCenterRAS(self._segmentIdAt(row))
            if center is not None:
                Views.jumpTo(center)

    def _onSaveCsv(self) -> None:
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save measures"), f"{self._node.GetName()}.csv", _("Tables (*.csv)")
        )
        # Qt 6 bindings give a pair of file name and filter.
        path = path[0] if isinstance(path, tuple) else path
        if not path:
            return
        try:
            self.saveCsv(path)
        except OSError as error:
            slicer.util.errorDisplay(
                _("The table could not be written: {reason}").format(reason=error.strerror)
            )

    def _onRestoreViews(self) -> None:
        self._layers.restore()
        self._ui.restoreViewsButton.enabled = False


def _nameItem(entry: Statistics.Measure, node):
    item = qt.QTableWidgetItem(entry.name)
    item.setData(qt.Qt.UserRole, entry.segmentId)
    item.setData(qt.Qt.DecorationRole, qt.QColor(*(round(255 * part) for part in entry.color)))
    isVisible = node.GetDisplayNode() is not None and node.GetDisplayNode().GetSegmentVisibility(
        entry.segmentId
    )
    item.setCheckState(qt.Qt.Checked if isVisible else qt.Qt.Unchecked)
    return item


def _factsText(node) -> str:
    """How the result was made, in two lines."""
    names = json.loads(Results.fact(node, "InputNames") or "{}")
    text = _("{title} {version}{demo} on {device}, seed {seed}, {date}.\nImages: {images}.")
    return text.format(
        title=Results.fact(node, "ModelTitle"),
        version=Results.fact(node, "ModelVersion"),
        demo=_(" [demo]") if Results.fact(node, "Demo") == "yes" else "",
        device=Results.fact(node, "Device"),
        seed=Results.fact(node, "Seed"),
        date=Results.fact(node, "Created").replace("T", " ").replace("Z", " UTC"),
        images=", ".join(f"{role} = {name}" for role, name in names.items()),
    )
