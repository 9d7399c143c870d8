"""The dialog of the models: list, card, import with four visible checks, verification, comparison, removal, license."""

import shutil
from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from ..common import Licenses
from ..common.Errors import VeloxSegError
from ..common.Models import Catalogue, ModelCard
from ..engine import ModelTool
from ..widgets import Icons, Notice, PlainText
from . import CardView, State

UI_FILE = Path(__file__).parents[2] / "Resources" / "UI" / "ModelManager.ui"
# Pixels of the list and of the card at first; a person can move the border.
WIDTHS = (540, 400)


class ModelManager:
    """Belongs to the panel, which keeps it. Nothing is downloaded: models come from files."""

    def __init__(self, catalogue: Catalogue, modulePath: Path, onLog: Callable, onChanged: Callable) -> None:
        """
        :param catalogue: the installed models.
        :param modulePath: folder that holds the engine package.
        :param onLog: called with lines for the log.
        :param onChanged: called when models came or went, or a license was accepted.
        """
        self.catalogue = catalogue
        self.tool = ModelTool.ModelTool(modulePath, self._onCheck, onLog, self._onToolFinished)
        self.dialog = PlainText.load(str(UI_FILE))
        self.ui = slicer.util.childWidgetVariables(self.dialog)
        self._onChanged = onChanged
        self._entries: list[_Entry] = []
        self._failures: dict[Path, VeloxSegError] = {}
        self._checked: Path | None = None
        self._checks = _CheckList(self.ui.checksFrame.layout())
        self._connectControls()

    def show(self, card: ModelCard | None = None) -> None:
        """Open the window, at a model if one is given; it does not block Slicer."""
        if slicer.util.mainWindow() is not None:
            self.dialog.setParent(slicer.util.mainWindow(), qt.Qt.Dialog)
        self.ui.checksFrame.setVisible(False)
        self._modelsChanged("", card.folder if card else None)
        self.dialog.show()

    def close(self) -> None:
        """End a check that is running and close the window."""
        self.tool.abandon()
        self.dialog.hide()

    def importPackage(self, source: str) -> None:
        """Import a zip or folder; the checks are shown as they go."""
        if source and not self.tool.isBusy:
            self._begin(ModelTool.IMPORT, Path(source), ModelTool.CHECKS)

    def verify(self) -> None:
        """Check the chosen model again."""
        entries = self._chosen()
        if len(entries) == 1 and not self.tool.isBusy:
            self._begin(ModelTool.VERIFY, entries[0].folder, ModelTool.CHECKS[1:])

    def remove(self) -> None:
        """Delete the chosen imported model after one question."""
        (entry,) = self._chosen()
        size = _megabytes(entry.bytes)
        question = _("Remove {model} from this computer? This frees {size} MB.").format(model=entry.title, size=size)
        if not slicer.util.confirmOkCancelDisplay(PlainText.toolTip(question), _("Remove model")):
            return
        try:
            shutil.rmtree(entry.folder)
        except OSError:
            self._say(_("{model} could not be removed. Its folder may be in use or protected.").format(model=entry.title))
            return
        self._failures.pop(entry.folder, None)
        self._modelsChanged(_("{model} was removed; {size} MB are free again.").format(model=entry.title, size=size))

    def accept(self) -> None:
        """Remember that the license of the chosen model was accepted."""
        (entry,) = self._chosen()
        Licenses.accept(entry.card)
        self._modelsChanged(_("The license of {model} is accepted on this computer.").format(model=entry.title), entry.folder)

    def compare(self) -> None:
        """Show two cards next to each other."""
        first, second = (entry.card for entry in self._chosen())
        self.ui.cardBrowser.setHtml(CardView.comparison(first, second))

    # The list

    def _fill(self, chosen: Path | None = None) -> None:
        table = self.ui.modelsTable
        self._entries = [_Entry(card.folder, card) for card in self.catalogue.cards]
        self._entries += [_Entry(folder, None, error) for folder, error in self.catalogue.broken.items()]
        wasBlocked = table.blockSignals(True)
        headers = (_("Model"), _("Version"), _("State"), _("Origin"), _("MB"), _("Task"))
        table.setColumnCount(len(headers))
        table.setHorizontalHeaderLabels(list(headers))
        table.setRowCount(len(self._entries))
        for row, entry in enumerate(self._entries):
            for column, text in enumerate(self._cells(entry)):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        table.verticalHeader().setVisible(False)
        table.resizeColumnsToContents()
        table.blockSignals(wasBlocked)
        rows = [row for row, entry in enumerate(self._entries) if entry.folder == chosen]
        if self._entries:
            table.selectRow(rows[0] if rows else 0)
        self._showFolderSize()
        self._showChosen()

    def _cells(self, entry: "_Entry") -> tuple[str, ...]:
        card = entry.card
        size = f"{entry.bytes / 1e6:.1f}"
        origin = _("Imported") if entry.folder.parent == self.catalogue.importedRoot else _("Shipped")
        if card is None:
            return entry.title, "", self._stateOf(entry), origin, size, ""
        return card.marked_title, card.version, self._stateOf(entry), origin, size, card.task_title

    def _stateOf(self, entry: "_Entry") -> str:
        if entry.error is not None or entry.folder in self._failures:
            return _("Damaged")
        if not Licenses.isAccepted(entry.card):
            return _("License not accepted")
        return _("Newer version exists") if self.catalogue.isOutdated(entry.card) else _("Installed")

    def _chosen(self) -> list["_Entry"]:
        rows = sorted({index.row() for index in self.ui.modelsTable.selectionModel().selectedRows()})
        return [self._entries[row] for row in rows]

    def _showChosen(self) -> None:
        """The card of one chosen model, and what can be done with the choice."""
        entries, isFree = self._chosen(), not self.tool.isBusy
        one = entries[0] if len(entries) == 1 else None
        isImported = one is not None and one.folder.parent == self.catalogue.importedRoot
        self.ui.cardBrowser.setHtml(self._html(entries))
        self.ui.acceptButton.setVisible(one is not None and one.card is not None and not Licenses.isAccepted(one.card))
        self.ui.verifyButton.enabled = isFree and one is not None
        self.ui.compareButton.enabled = len(entries) == 2 and all(entry.card for entry in entries)
        self.ui.removeButton.enabled = isFree and isImported
        canImport = isFree and self.catalogue.importedRoot is not None
        for button in (self.ui.importZipButton, self.ui.importFolderButton):
            button.enabled = canImport

    def _html(self, entries: list["_Entry"]) -> str:
        if len(entries) == 2:
            return CardView.hint(_("Two models are chosen. Press Compare to see their cards next to each other."))
        if len(entries) != 1:
            return CardView.hint(_("Choose a model to read its card."))
        (entry,) = entries
        error = entry.error or self._failures.get(entry.folder)
        if entry.card is None:
            return CardView.hint(error.text)
        card = CardView.html(entry.card, error.text if error else "")
        license = CardView.license(entry.card, Licenses.text(entry.card))
        # What must be decided comes first.
        return card + license if Licenses.isAccepted(entry.card) else license + card

    def _showFolderSize(self) -> None:
        imported = [entry.bytes for entry in self._entries if entry.folder.parent == self.catalogue.importedRoot]
        self.ui.sizeLabel.text = _("Imported models: {size} MB").format(size=_megabytes(sum(imported)))
        self.ui.openFolderButton.enabled = bool(imported)

    def _openFolder(self) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self.catalogue.importedRoot)))

    # Checking

    def _begin(self, action: str, package: Path, checks: tuple[str, ...], replace: bool = False) -> None:
        self._checked = package
        self._checks.begin(checks)
        self.ui.checksFrame.setVisible(True)
        self._say(_("Checking {package}...").format(package=package.name))
        self.tool.start(action, package, self.catalogue.importedRoot or package.parent, replace)
        self._showChosen()

    def _onCheck(self, check: str, isPassed: bool) -> None:
        self._checks.show(check, isPassed)

    def _onToolFinished(self, error: VeloxSegError | None, result: dict) -> None:
        if error is not None and error.code == "MODEL_EXISTS" and self._mayReplace():
            self._begin(ModelTool.IMPORT, self._checked, ModelTool.CHECKS, replace=True)
            return
        if error is not None:
            self._checks.fail()
            if self._checked in [entry.folder for entry in self._entries]:
                self._failures[self._checked] = error
            self._modelsChanged(error.text, self._checked)
            return
        folder = Path(result["folder"])
        self._failures.pop(folder, None)
        isVerified = self._checked == folder
        self._modelsChanged(_("All checks passed.") if isVerified else _("Imported. All checks passed."), folder)

    def _mayReplace(self) -> bool:
        question = _("A model of the same name and version is already here, with other weights. Replace it?")
        return slicer.util.confirmOkCancelDisplay(PlainText.toolTip(question), _("Replace model"))

    def _modelsChanged(self, text: str, chosen: Path | None = None) -> None:
        self.catalogue.refresh()
        self._fill(chosen)
        self._say(text)
        self._onChanged()

    def _say(self, text: str) -> None:
        self.ui.messageLabel.text = text
        self.ui.messageLabel.setVisible(bool(text))

    def _connectControls(self) -> None:
        ui = self.ui
        ui.splitter.setSizes(list(WIDTHS))
        ui.modelsTable.connect("itemSelectionChanged()", self._showChosen)
        ui.importZipButton.connect("clicked()", self._chooseZip)
        ui.importFolderButton.connect("clicked()", self._chooseFolder)
        ui.verifyButton.connect("clicked()", self.verify)
        ui.compareButton.connect("clicked()", self.compare)
        ui.removeButton.connect("clicked()", self.remove)
        ui.acceptButton.connect("clicked()", self.accept)
        ui.openFolderButton.connect("clicked()", self._openFolder)
        ui.closeButton.connect("clicked()", self.close)

    def _chooseZip(self) -> None:
        title, kinds = _("Import a model"), _("Model packages (*.zip)")
        self.importPackage(qt.QFileDialog.getOpenFileName(self.dialog, title, "", kinds))

    def _chooseFolder(self) -> None:
        self.importPackage(qt.QFileDialog.getExistingDirectory(self.dialog, _("Import a model")))


class _Entry:
    """A package in the list; without a card when that cannot be read."""

    def __init__(self, folder: Path, card: ModelCard | None, error: VeloxSegError | None = None) -> None:
        self.folder, self.card, self.error = folder, card, error
        self.bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    @property
    def title(self) -> str:
        return self.card.fullTitle if self.card else self.folder.name


class _CheckList:
    """A line for each check: icon, word and text."""

    def __init__(self, layout) -> None:
        layout.setColumnStretch(2, 1)
        self._lines = {}
        for row, check in enumerate(ModelTool.CHECKS):
            icon, word = PlainText.newLabel(), PlainText.newLabel()
            text = PlainText.newLabel(ModelTool.checkText(check))
            for column, label in enumerate((icon, word, text)):
                layout.addWidget(label, row, column)
            self._lines[check] = (icon, word, text)
        self._running: str | None = None

    def begin(self, checks: tuple[str, ...]) -> None:
        """All of these are still to be done."""
        self._running = None
        for check, labels in self._lines.items():
            for label in labels:
                label.setVisible(check in checks)
            self._mark(check, State.TODO, _("To do"))

    def show(self, check: str, isPassed: bool) -> None:
        """A check is running or has passed."""
        self._running = None if isPassed else check
        if isPassed:
            self._mark(check, State.DONE, _("Passed"))
        else:
            self._mark(check, State.TODO, _("Running..."))

    def fail(self) -> None:
        """The check that is running has failed."""
        if self._running is not None:
            self._mark(self._running, Notice.STOP, _("Failed"))

    def words(self) -> dict[str, str]:
        """Check -> word beside it."""
        return {check: labels[1].text for check, labels in self._lines.items()}

    def _mark(self, check: str, icon: str, word: str) -> None:
        Icons.showOn(self._lines[check][0], icon)
        self._lines[check][1].text = word


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"
