"""Words of others - names of images, cards of models - in widgets: shown as they are and never read as HTML.

HTML could load a picture from another computer, which then knows who looks at what. Widgets guess whether a text is HTML; so
labels are told that it is none, and where that is not possible the text is escaped.
"""

from html import escape

import qt
import slicer


def toolTip(text: str) -> str:
    """A text for a tooltip or a message box, which read as HTML what looks like it."""
    if not any(sign in text for sign in "<&"):
        return text
    return f"<p>{escape(text)}</p>".replace("\n", "<br>")


def newLabel(text: str = ""):
    """A QLabel that shows its text as it is."""
    label = qt.QLabel(text)
    label.setTextFormat(qt.Qt.PlainText)
    return label


def load(path: str):
    """The widget of a .ui file; all of its labels show their texts as they are."""
    widget = slicer.util.loadUI(path)
    for label in slicer.util.findChildren(widget, className="QLabel"):
        label.setTextFormat(qt.Qt.PlainText)
    return widget
