"""Windows with a text or a few fields. None of them blocks Slicer or waits for an answer."""

from collections.abc import Callable
from pathlib import Path

import qt
import slicer

from . import PlainText

UI_FOLDER = Path(__file__).parents[2] / "Resources" / "UI"


def showText(title: str, text: str):
    """A text to read and copy; the caller keeps the window."""
    window = load("TextWindow.ui")
    ui = slicer.util.childWidgetVariables(window)
    window.setWindowTitle(title)
    ui.textBrowser.setPlainText(text)
    ui.textBrowser.accessibleName = title
    ui.closeButton.connect("clicked()", window.close)
    window.show()
    return window


def load(fileName: str):
    """A window of a .ui file, above Slicer's."""
    window = PlainText.load(str(UI_FOLDER / fileName))
    if slicer.util.mainWindow() is not None:
        window.setParent(slicer.util.mainWindow(), qt.Qt.Dialog)
    return window


def onClick(window, button, action: Callable) -> None:
    """A click closes the window and then acts."""

    def act() -> None:
        window.close()
        action()

    button.connect("clicked()", act)
