"""The few keys of the panel. They work only while the keyboard is in the panel, and none of them deletes anything."""

from collections.abc import Callable
from dataclasses import dataclass

import qt


@dataclass(frozen=True)
class Key:
    """A key, such as "Ctrl+Return", what it does in a few words, and what is called."""

    sequence: str
    meaning: str
    action: Callable


class Shortcuts:
    """Makes the keys work inside one widget."""

    def __init__(self, parent, keys: tuple[Key, ...]) -> None:
        """
        :param parent: the widget in which the keyboard must be.
        :param keys: what to listen to.
        """
        self._keys = keys
        self._shortcuts = [_newShortcut(parent, key) for key in keys]

    def text(self) -> str:
        """One line per key, for the help."""
        return "\n".join(f"{key.sequence}: {key.meaning}" for key in self._keys)


def _newShortcut(parent, key: Key):
    shortcut = qt.QShortcut(qt.QKeySequence(key.sequence), parent)
    shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
    shortcut.connect("activated()", key.action)
    # Slicer's own menu has the same key: it shall get it the next time.
    shortcut.connect("activatedAmbiguously()", lambda: shortcut.setEnabled(False))
    return shortcut
