"""The height of a table that shows its rows without a scroll bar of its own."""

MOST_VISIBLE_ROWS = 12


def fit(table) -> None:
    """As high as its rows, up to a dozen; longer tables scroll."""
    table.resizeRowsToContents()
    heights = [table.rowHeight(row) for row in range(min(table.rowCount, MOST_VISIBLE_ROWS))]
    height = sum(heights) + table.horizontalHeader().height + 2 * table.frameWidth
    height += table.horizontalScrollBar().sizeHint.height()
    table.setMinimumHeight(height)
    table.setMaximumHeight(height)
