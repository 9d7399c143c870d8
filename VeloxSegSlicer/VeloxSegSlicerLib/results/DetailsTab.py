"""The tab that says how the result was made."""

import qt

from ..widgets import UiParts
from . import Details


class DetailsTab:
    """A readable sheet and a button that copies it."""

    def __init__(self, ui) -> None:
        """:param ui: the child widgets of the panel."""
        UiParts.load(ui, ui.detailsTab, "DetailsTab")
        self._ui = ui
        self._node = None
        ui.copyDetailsButton.connect("clicked()", self._onCopy)

    def show(self, node) -> None:
        """Show the provenance of a result, or nothing for None."""
        self._node = node
        self._ui.detailsBrowser.setHtml(Details.html(node) if node is not None else "")
        self._ui.copyDetailsButton.enabled = node is not None

    def _onCopy(self) -> None:
        qt.QApplication.clipboard().setText(Details.text(self._node))
