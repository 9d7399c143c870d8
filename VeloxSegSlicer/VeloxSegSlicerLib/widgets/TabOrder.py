"""The order in which the Tab key visits controls: that of the layouts, also where rows and parts came later."""

from collections.abc import Iterator
from itertools import pairwise

import qt


def follow(root) -> None:
    """Let Tab go through all controls of a widget from top to bottom."""
    for first, second in pairwise(_stops(root)):
        qt.QWidget.setTabOrder(first, second)


def _stops(widget) -> Iterator:
    """Everything that takes the focus by Tab, in the order of the layouts."""
    if widget.focusPolicy & qt.Qt.TabFocus:
        yield widget
    if widget.inherits("QTabWidget"):
        for index in range(widget.count):
            yield from _stops(widget.widget(index))
    elif widget.layout() is not None:
        yield from _stopsOfLayout(widget.layout())


def _stopsOfLayout(layout) -> Iterator:
    for index in range(layout.count()):
        item = layout.itemAt(index)
        if item.widget() is not None:
            yield from _stops(item.widget())
        elif item.layout() is not None:
            yield from _stopsOfLayout(item.layout())
