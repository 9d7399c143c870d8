"""Shows a ResultTable in a Qt table, and tells what a person does in it."""

from collections.abc import Callable
from dataclasses import dataclass

import qt
from slicer.i18n import tr as _

from ..common import ResultAttributes
from ..widgets import PlainText, TableHeight
from . import ResultTable
from .ResultTable import LESION, REST, SEGMENT, Row

NAME = 0
INCLUDE = 1
REVIEWED = 2


@dataclass(frozen=True)
class Handlers:
    """What to call with a `Row`: another mark or name, another visibility, a row chosen, a row opened."""

    onMark: Callable
    onShown: Callable
    onSelected: Callable
    onOpened: Callable


class TableWidget:
    """The table of lesions or segments; the numbers of its lesions are in the vertical heading."""

    def __init__(self, table, handlers: Handlers) -> None:
        """:param table: the QTableWidget of the .ui file."""
        self._table = table
        self._handlers = handlers
        self._content: ResultTable.ResultTable | None = None
        self._isFilling = False
        table.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.connect("itemChanged(QTableWidgetItem*)", self._onItemChanged)
        table.connect("itemSelectionChanged()", self._onSelectionChanged)
        table.connect("cellDoubleClicked(int,int)", self._onDoubleClicked)

    def fill(self, content: ResultTable.ResultTable) -> None:
        """Show a table; the chosen row stays chosen."""
        row = self._table.currentRow()
        self._content, self._isFilling = content, True
        self._setHeadings()
        self._table.setRowCount(0)
        rows = (*content.rows, content.total) if content.rows else ()
        self._table.setRowCount(len(rows))
        for number, entry in enumerate(rows):
            self._fillRow(number, entry)
        self._table.setVerticalHeaderLabels(
            [str(number + 1) if entry.kind in (LESION, SEGMENT) else "" for number, entry in enumerate(rows)]
        )
        if 0 <= row < len(content.rows):
            self._table.setCurrentCell(row, NAME)
        self._isFilling = False
        TableHeight.fit(self._table)

    def choose(self, number: int) -> None:
        """Choose a row as a click does."""
        self._table.setCurrentCell(-1, -1)
        self._table.setCurrentCell(number, NAME)

    def step(self, by: int) -> None:
        """Choose the next (1) or the former (-1) row; at the ends it goes round."""
        if self._content is None or not self._content.rows:
            return
        row = self._table.currentRow()
        count = len(self._content.rows)
        first = 0 if by > 0 else count - 1
        self._table.setCurrentCell((row + by) % count if 0 <= row < count else first, NAME)

    def _setHeadings(self) -> None:
        isLesions = self._content.kind == ResultAttributes.LESIONS
        headings = [(_("Name"), _("F2 changes the name of a lesion.") if isLesions else _("The check box shows or hides it."))]
        if isLesions:
            headings += [
                (_("Include"), _("Off leaves the lesion out of the totals, for example normal uptake.")),
                (_("Reviewed"), _("Your own mark that you have looked at the lesion.")),
            ]
        headings += [(column.title, column.toolTip) for column in self._content.columns]
        self._table.setColumnCount(len(headings))
        self._table.setHorizontalHeaderLabels([title for title, _toolTip in headings])
        for number, (_title, toolTip) in enumerate(headings):
            self._table.horizontalHeaderItem(number).setToolTip(PlainText.toolTip(toolTip))
        header = self._table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        if len(headings) <= 2:
            header.setSectionResizeMode(NAME, qt.QHeaderView.Stretch)
        self._table.verticalHeader().setVisible(isLesions)

    def _fillRow(self, number: int, row: Row) -> None:
        items = [self._nameItem(row)]
        if self._content.kind == ResultAttributes.LESIONS:
            items += [_markItem(row.isIncluded, _("Include")), _markItem(row.isReviewed, _("Reviewed"))]
        items += [_numberItem(column.text(row)) for column in self._content.columns]
        for position, item in enumerate(items):
            if row.kind in (ResultTable.TOTAL, ResultTable.SUM):
                font = item.font()
                font.setBold(row.kind == ResultTable.TOTAL)
                font.setItalic(row.kind == ResultTable.SUM)
                item.setFont(font)
            self._table.setItem(number, position, item)

    def _nameItem(self, row: Row):
        item = qt.QTableWidgetItem(row.name)
        flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
        if row.color is not None:
            item.setData(qt.Qt.DecorationRole, qt.QColor(*(round(255 * part) for part in row.color)))
        if row.isShown is not None:
            flags |= qt.Qt.ItemIsUserCheckable
            item.setCheckState(qt.Qt.Checked if row.isShown else qt.Qt.Unchecked)
            item.setToolTip(_("The check box shows or hides the segment."))
        item.setFlags(flags | qt.Qt.ItemIsEditable if row.kind == LESION else flags)
        return item

    def _rowAt(self, number: int) -> Row | None:
        isRow = self._content is not None and 0 <= number < len(self._content.rows)
        return self._content.rows[number] if isRow else None

    def _onItemChanged(self, item) -> None:
        row = self._rowAt(item.row())
        if self._isFilling or row is None:
            return
        isChecked = item.checkState() == qt.Qt.Checked
        if row.kind == SEGMENT:
            self._handlers.onShown(row, isChecked)
        elif item.column() == NAME:
            self._handlers.onMark(row, name=item.text().strip())
        elif item.column() == INCLUDE:
            self._handlers.onMark(row, isIncluded=isChecked)
        elif item.column() == REVIEWED and row.kind != REST:
            self._handlers.onMark(row, isReviewed=isChecked)

    def _onSelectionChanged(self) -> None:
        row = self._rowAt(self._table.currentRow())
        if not self._isFilling and row is not None:
            self._handlers.onSelected(row)

    def _onDoubleClicked(self, number: int, _column: int) -> None:
        if self._rowAt(number) is not None:
            self._handlers.onOpened(self._rowAt(number))


def _markItem(mark: bool | None, name: str):
    item = qt.QTableWidgetItem("")
    item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
    if mark is not None:
        item.setFlags(item.flags() | qt.Qt.ItemIsUserCheckable)
        item.setCheckState(qt.Qt.Checked if mark else qt.Qt.Unchecked)
        item.setData(qt.Qt.AccessibleTextRole, name)
    return item


def _numberItem(text: str):
    item = qt.QTableWidgetItem(text)
    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
    return item
