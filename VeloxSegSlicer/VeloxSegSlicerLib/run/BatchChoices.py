"""What a person chooses for a batch: where the cases are, which files belong to which image, what is written where."""

from collections.abc import Callable
from pathlib import Path

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from ..common.Models import ModelCard
from ..widgets import ComboBox, PlainText
from . import Batch
from .Segmenter import RunSettings

SETTINGS = "VeloxSegSlicer/Batch/"


class BatchChoices:
    """The controls of the Batch section that make up its plan."""

    def __init__(self, ui, onEdited: Callable) -> None:
        """
        :param ui: the widgets of Batch.ui.
        :param onEdited: called without arguments when a person or a program has changed a choice.
        """
        self._ui = ui
        self._onEdited = onEdited
        self._patternEdits: dict[str, object] = {}
        self._fill()
        self._connect()

    @property
    def isScene(self) -> bool:
        """Whether the cases are the studies of the scene."""
        return self._kind == Batch.STUDIES

    @property
    def source(self) -> str:
        """The chosen folder or list, "" before one was chosen."""
        return self._ui.sourcePathEdit.currentPath

    @property
    def output(self) -> str:
        """The folder for the results, "" before one was chosen."""
        return self._ui.outputPathEdit.currentPath

    def show(self, card: ModelCard | None) -> None:
        """Another model: a field for the files of each of its images."""
        layout = self._ui.patternsFrame.layout()
        while layout.count():
            widget = layout.takeAt(0).widget()
            widget.hide()
            widget.setParent(None)
            widget.deleteLater()
        self._patternEdits = {}
        for row, role in enumerate(card.roles if card else ()):
            label, edit = PlainText.newLabel(_("{role} files:").format(role=role.title)), qt.QLineEdit()
            label.setBuddy(edit)
            edit.accessibleName = _("Pattern of the {role} files").format(role=role.title)
            tip = _(
                "Which files are {role}: * and ? stand for characters, {{case}} for the name of the case, .* at the end for any"
                " image. Empty: by the words of the file's name."
            ).format(role=role.title)
            edit.toolTip = PlainText.toolTip(tip)
            edit.connect("textEdited(QString)", self._onValue)
            layout.addWidget(label, row, 0)
            layout.addWidget(edit, row, 1)
            self._patternEdits[role.name] = edit

    def showPatterns(self, patterns: dict) -> None:
        """Tell by which pattern the files of each role were found where a person gave none."""
        for role, edit in self._patternEdits.items():
            edit.setPlaceholderText(patterns.get(role, _("by the name of the file")))

    def setEnabled(self, isEnabled: bool, hasSeveralRuns: bool) -> None:
        """Enable or lock everything, and hide what the kind of source does not have.

        :param hasSeveralRuns: whether there is an uncertainty to write.
        """
        ui = self._ui
        choices = (ui.sourceComboBox, ui.sourcePathEdit, ui.outputPathEdit, ui.formatComboBox, ui.probabilityCheckBox)
        for widget in (*choices, *self._patternEdits.values()):
            widget.enabled = isEnabled
        ui.uncertaintyCheckBox.enabled = isEnabled and hasSeveralRuns
        for widget in (ui.sourcePathEdit, ui.sourcePathLabel):
            widget.setVisible(not self.isScene)
        ui.patternsFrame.setVisible(self._hasPatterns)

    def problem(self, card: ModelCard | None) -> str:
        """The first choice that is missing for a start, "" when none is."""
        if card is None:
            return _("No model is installed for this task.")
        if not self.isScene and not self.source:
            return _("Choose the folder or list of the cases.")
        return "" if self.output else _("Choose a folder for the results.")

    def plan(self, card: ModelCard, settings: RunSettings, exported: Path | None) -> Batch.Plan:
        """
        :param exported: the list of the scene's studies, once they are files.
        """
        wanted = {
            "probability": self._ui.probabilityCheckBox.checked,
            "uncertainty": self._ui.uncertaintyCheckBox.checked and settings.quality.hasSeveralRuns(card),
        }
        patterns = {role: edit.text.strip() for role, edit in self._patternEdits.items()}
        return Batch.Plan(
            card=card,
            kind=Batch.LIST if self.isScene else self._kind,
            path=str(exported) if self.isScene and exported else self.source,
            output=self.output or _exampleOutput(),
            patterns={role: pattern for role, pattern in patterns.items() if pattern} if self._hasPatterns else {},
            device=settings.device,
            quality=settings.request(card),
            seed=settings.seed,
            format=_current(self._ui.formatComboBox),
            outputs=tuple(name for name, isWanted in wanted.items() if isWanted),
        )

    def remember(self) -> None:
        """Store the choices for the next session."""
        values = {
            "Source": self._kind,
            "Path": self.source,
            "Output": self.output,
            "Format": _current(self._ui.formatComboBox),
        }
        for name, value in values.items():
            qt.QSettings().setValue(SETTINGS + name, value)

    @property
    def _kind(self) -> str:
        return _current(self._ui.sourceComboBox)

    @property
    def _hasPatterns(self) -> bool:
        return self._kind in (Batch.FOLDERS, Batch.NAMES)

    def _fill(self) -> None:
        sources = {
            Batch.FOLDERS: _("Folder with a subfolder per case"),
            Batch.NAMES: _("Folder with names by pattern"),
            Batch.LIST: _("List file (CSV: case and a column per image)"),
            Batch.STUDIES: _("Studies in the scene"),
        }
        stored = {name: slicer.util.settingsValue(SETTINGS + name, "") for name in ("Source", "Path", "Output", "Format")}
        ComboBox.fill(self._ui.sourceComboBox, sources, stored["Source"])
        formats = {Batch.SEG_NRRD: _("seg.nrrd (3D Slicer)"), Batch.NIFTI: _("nii.gz (NIfTI)")}
        ComboBox.fill(self._ui.formatComboBox, formats, stored["Format"])
        self._ui.sourcePathEdit.currentPath, self._ui.outputPathEdit.currentPath = stored["Path"], stored["Output"]
        self._chooseFilters()

    def _chooseFilters(self) -> None:
        """Whether the path is that of a file or of a folder."""
        kinds = ctk.ctkPathLineEdit.Files if self._kind == Batch.LIST else ctk.ctkPathLineEdit.Dirs
        self._ui.sourcePathEdit.filters = kinds | ctk.ctkPathLineEdit.Readable

    def _connect(self) -> None:
        ui = self._ui
        ui.sourceComboBox.connect("currentIndexChanged(int)", self._onSourceChosen)
        ui.sourcePathEdit.connect("currentPathChanged(QString)", self._onValue)
        ui.outputPathEdit.connect("currentPathChanged(QString)", self._onValue)
        ui.formatComboBox.connect("currentIndexChanged(int)", self._onValue)
        ui.probabilityCheckBox.connect("toggled(bool)", self._onValue)
        ui.uncertaintyCheckBox.connect("toggled(bool)", self._onValue)

    def _onSourceChosen(self, _index: int) -> None:
        self._chooseFilters()
        self._onEdited()

    def _onValue(self, _value) -> None:
        self._onEdited()


def _exampleOutput() -> str:
    """Where a preview looks for finished cases before a person chose a folder: nothing is there."""
    return str(Path(str(slicer.app.temporaryPath)) / "VeloxSegNoBatch")


def _current(combo) -> str:
    return combo.itemData(combo.currentIndex)
