"""The cases of a batch as rows: what is in them, and what happens with each."""

from pathlib import Path

import qt
from slicer.i18n import tr as _

from ..widgets import PlainText

# Columns
STATE, NOTE = 1, 2


def stateText(state: str) -> str:
    """The word of a state of the engine's events."""
    return {
        "ready": _("Ready"),
        "incomplete": _("Incomplete"),
        "unreadable": _("Unreadable"),
        "finished": _("Finished"),
        "running": _("Running..."),
        "done": _("Done"),
        "failed": _("Failed"),
        "skipped": _("Skipped"),
    }.get(state, state)


class BatchTable:
    """Shows `cases`: dictionaries with name, state, text, files (role -> path or name) and size, as in a preview event."""

    def __init__(self, table) -> None:
        """:param table: the QTableWidget of the .ui file."""
        self._table = table
        self.cases: list[dict] = []
        self._rows: dict[str, int] = {}
        table.verticalHeader().setVisible(False)
        table.setWordWrap(False)

    def show(self, cases: list[dict], roles: list[str]) -> None:
        """Replace all rows."""
        self.cases = cases
        self._rows = {case["name"]: row for row, case in enumerate(cases)}
        headers = [_("Case"), _("State"), _("Note"), *roles, _("Size")]
        table = self._table
        table.clear()
        table.setColumnCount(len(headers))
        table.setHorizontalHeaderLabels(headers)
        table.setRowCount(len(cases))
        for row, case in enumerate(cases):
            files = [Path(case["files"].get(role, "")).name for role in roles]
            size = " x ".join(str(length) for length in case["size"] or ())
            texts = (case["name"], stateText(case["state"]), case["text"], *files, size)
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(PlainText.toolTip(text))
                table.setItem(row, column, item)
        table.resizeColumnsToContents()
        table.setVisible(bool(cases))

    def update(self, name: str, state: str, text: str) -> None:
        """A case has another state."""
        row = self._rows.get(name)
        if row is None:
            return
        self.cases[row] |= {"state": state, "text": text}
        self._table.item(row, STATE).setText(stateText(state))
        note = self._table.item(row, NOTE)
        note.setText(text)
        note.setToolTip(PlainText.toolTip(text))
        self._table.resizeColumnToContents(NOTE)
        self._table.scrollToItem(self._table.item(row, 0))

    def endRunning(self) -> None:
        """The case that was being computed was given up."""
        for case in self.cases:
            if case["state"] == "running":
                self.update(case["name"], "ready", "")

    def case(self, row: int) -> dict:
        """The case of a row."""
        return self.cases[row]

    def showOnly(self, state: str | None) -> None:
        """Hide the cases of other states; None shows all."""
        for row, case in enumerate(self.cases):
            self._table.setRowHidden(row, state is not None and case["state"] != state)

    def count(self, state: str) -> int:
        """How many cases have a state."""
        return sum(case["state"] == state for case in self.cases)

    def countsText(self) -> str:
        """Such as "48 ready, 2 incomplete, 1 unreadable"."""
        texts = {
            "ready": _("{count} ready"),
            "incomplete": _("{count} incomplete"),
            "unreadable": _("{count} unreadable"),
            "finished": _("{count} finished"),
            "done": _("{count} done"),
            "failed": _("{count} failed"),
            "skipped": _("{count} skipped"),
        }
        counts = {state: self.count(state) for state in texts}
        return ", ".join(texts[state].format(count=count) for state, count in counts.items() if count)
