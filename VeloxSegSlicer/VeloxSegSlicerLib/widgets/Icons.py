"""Icons of the panel, drawn for this project so that they look alike in light and dark themes."""

from pathlib import Path

import qt

FOLDER = Path(__file__).parents[2] / "Resources" / "Icons"
SIZE = 16
# State of a row or message -> drawing.
DRAWINGS = {
    "reference": "anchor",
    "ok": "done",
    "resampled": "arrows",
    "moved": "arrows",
    "overlap": "warning",
    "missing": "todo",
    "unsuitable": "stop",
    "unit": "question",
    "info": "info",
    "warning": "warning",
    "stop": "stop",
    "todo": "todo",
    "done": "done",
    "optional": "optional",
}


def showOn(label, state: str) -> None:
    """Show the icon of a state on a label, in text size."""
    icon = qt.QIcon(str(FOLDER / f"{DRAWINGS[state]}.svg"))
    label.setPixmap(icon.pixmap(SIZE, SIZE))
