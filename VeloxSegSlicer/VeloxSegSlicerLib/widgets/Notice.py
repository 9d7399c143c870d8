"""The notice line: one message at a time, with an icon and up to three buttons."""

from collections.abc import Callable
from dataclasses import dataclass

from ..common import Errors
from ..common.Errors import VeloxSegError
from . import Icons

INFO = "info"
WARNING = "warning"
STOP = "stop"


@dataclass(frozen=True)
class Button:
    """A button beside a message: its label and what a click does."""

    label: str
    action: Callable


@dataclass(frozen=True)
class Message:
    """One message: `kind` (one of the above), a sentence or two, and up to three buttons."""

    kind: str
    text: str
    buttons: tuple[Button, ...] = ()


def fromError(error: VeloxSegError, actions: dict[str, Callable], kind: str = STOP) -> Message:
    """The message of an error, with those of its actions that the panel knows.

    :param actions: action of Errors -> what to call.
    """
    buttons = [Button(Errors.actionLabel(action, error.facts), actions[action]) for action in error.actions if action in actions]
    return Message(kind, error.text, tuple(buttons))


class NoticeLine:
    """Shows a message in the widgets of the .ui file, or hides the line."""

    def __init__(self, ui) -> None:
        """:param ui: the child widgets of the panel."""
        self._ui = ui
        self._buttons = (ui.noticeFirstButton, ui.noticeSecondButton, ui.noticeThirdButton)
        self._message: Message | None = None
        ui.noticeFirstButton.connect("clicked()", lambda: self._press(0))
        ui.noticeSecondButton.connect("clicked()", lambda: self._press(1))
        ui.noticeThirdButton.connect("clicked()", lambda: self._press(2))
        ui.noticeFrame.setVisible(False)

    def show(self, message: Message | None) -> None:
        """Show a message, or nothing."""
        if message == self._message:
            return
        self._message = message
        self._ui.noticeFrame.setVisible(message is not None)
        if message is None:
            return
        self._ui.noticeLabel.text = message.text
        Icons.showOn(self._ui.noticeIconLabel, message.kind)
        for index, widget in enumerate(self._buttons):
            isUsed = index < len(message.buttons)
            widget.setVisible(isUsed)
            if isUsed:
                widget.text = message.buttons[index].label
        if message.kind == STOP:
            # A screen reader reads what has the focus; for everything else the person is left alone.
            self._ui.noticeLabel.setFocus()

    def _press(self, index: int) -> None:
        if self._message is not None and index < len(self._message.buttons):
            self._message.buttons[index].action()
