"""One row per role of the model: label, image selector, verdict icon and word."""

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from veloxseg.contract.card import Role

from ..widgets import Icons, PlainText
from ..widgets.KeptChoice import KeptChoice
from . import Inputs
from .Verdicts import Verdict

SELECTOR_COLUMN = 1


class RoleRows:
    """Builds the rows from the card and keeps them in step with the choices."""

    def __init__(self, layout, onChosen: Callable) -> None:
        """
        :param layout: the grid layout of the .ui file: label, selector, icon, word.
        :param onChosen: called with (role name, node or None) when a person chooses.
        """
        self._layout = layout
        self._layout.setColumnStretch(SELECTOR_COLUMN, 1)
        self._onChosen = onChosen
        self._rows: dict[str, _Row] = {}

    def build(self, roles: tuple[Role, ...]) -> None:
        """Replace the rows by those of another model."""
        for row in self._rows.values():
            row.remove()
        labels = _labelsWithLetters([role.title for role in roles])
        self._rows = {
            role.name: _Row(self._layout, index, role, label, self._onChosen)
            for index, (role, label) in enumerate(zip(roles, labels, strict=True))
        }

    def setScene(self, scene) -> None:
        """Give the selectors another scene, None while it closes."""
        for row in self._rows.values():
            row.setScene(scene)

    def show(self, images: dict, verdicts: dict[str, Verdict], isLocked: bool) -> None:
        """Show the chosen images and their verdicts."""
        for name, row in self._rows.items():
            row.show(images.get(name), verdicts[name])
            row.selector.enabled = not isLocked

    @property
    def kept(self) -> tuple[KeptChoice, ...]:
        """The watched choices of all roles."""
        return tuple(row.kept for row in self._rows.values())

    def selector(self, roleName: str):
        """The node selector of a role."""
        return self._rows[roleName].selector

    def focus(self, roleName: str) -> None:
        """Lead the keyboard to the selector of a role."""
        self._rows[roleName].selector.setFocus()


class _Row:
    def __init__(self, layout, index: int, role: Role, label: str, onChosen: Callable) -> None:
        self._isShowing = False
        self._node = None
        self._role = role
        self._onChosen = onChosen
        self.selector = _newSelector(role)
        self._label = PlainText.newLabel(label)
        self._label.setBuddy(self.selector)
        self._icon, self._word = PlainText.newLabel(), PlainText.newLabel()
        self._widgets = (self._label, self.selector, self._icon, self._word)
        for column, widget in enumerate(self._widgets):
            layout.addWidget(widget, index, column)
        self.kept = KeptChoice(self.selector)
        self.selector.connect("currentNodeChanged(vtkMRMLNode*)", self._onNodeChanged)

    def setScene(self, scene) -> None:
        if scene is None:
            self.kept.release()
        self.selector.setMRMLScene(scene)

    def remove(self) -> None:
        self.selector.disconnect("currentNodeChanged(vtkMRMLNode*)", self._onNodeChanged)
        self.setScene(None)
        for widget in self._widgets:
            widget.hide()
            widget.setParent(None)
            widget.deleteLater()

    def show(self, node, verdict: Verdict) -> None:
        self._isShowing = True
        self._node = node
        self.selector.setCurrentNode(node)
        self._isShowing = False
        Icons.showOn(self._icon, verdict.kind)
        self._word.text = verdict.word
        for widget in (self._icon, self._word):
            widget.toolTip = PlainText.toolTip(verdict.text)
        self._word.accessibleDescription = verdict.text

    def _onNodeChanged(self, node) -> None:
        # Also announced when nothing was chosen, because a row above is gone.
        if not self._isShowing and node is not self._node:
            self._onChosen(self._role.name, node)


def _labelsWithLetters(titles: list[str]) -> list[str]:
    """Label texts with an & before a letter that no other row uses."""
    used: set[str] = set()
    labels = []
    for title in titles:
        free = [position for position, letter in enumerate(title) if letter.isalnum() and letter.lower() not in used]
        plain = [letter.replace("&", "&&") for letter in title]
        if free:
            used.add(title[free[0]].lower())
            plain[free[0]] = "&" + plain[free[0]]
        labels.append("".join(plain) + ":")
    return labels


def _newSelector(role: Role):
    selector = slicer.qMRMLNodeComboBox()
    selector.name = f"role{role.name}Selector"
    selector.nodeTypes = list(Inputs.IMAGE_CLASSES)
    selector.showChildNodeTypes = False
    selector.noneEnabled = True
    selector.addEnabled = False
    selector.removeEnabled = False
    selector.noneDisplay = _("Choose an image")
    # A long name of an image must not widen the panel.
    selector.sizeAdjustPolicy = qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
    selector.toolTip = PlainText.toolTip(role.description)
    selector.accessibleName = role.title
    selector.setMRMLScene(slicer.mrmlScene)
    return selector
