"""Install, repair, check: from one click to a tested engine, over restarts of Slicer if need be."""

import sys
from pathlib import Path
from typing import Protocol

import qt
import slicer
from slicer.i18n import tr as _

from veloxseg.contract import requirements

from ..common import Computer, Errors
from ..common.Errors import VeloxSegError
from ..engine import ComputerCheck, PendingStep, Setup
from ..widgets import Dialogs, Notice


class EnginePanel(Protocol):
    """What the installer needs of whoever shows how it goes."""

    engine: Setup.EngineState

    def probeEngine(self) -> None:
        """Look again at what is installed."""

    def closeEngine(self) -> None:
        """End the engine's process."""

    def useDevice(self, name: str) -> None:
        """Show the device that the engine found."""

    def messageOf(self, error: VeloxSegError) -> Notice.Message:
        """The message of an error with its buttons."""

    def tell(self, message: Notice.Message | None, isFirst: bool = False) -> None:
        """Show a message until something else happens."""

    def onLog(self, line: str) -> None:
        """A line for the log."""

    def update(self) -> None:
        """Show the state as it is now."""


class Installer:
    """Belongs to a panel. Each way begins with one question; after the answer nothing else is asked."""

    def __init__(self, panel: EnginePanel, modulePath: Path) -> None:
        """
        :param panel: shows how it goes.
        :param modulePath: folder that holds the engine package.
        """
        self._panel = panel
        self.check = ComputerCheck.ComputerCheck(modulePath, panel.onLog, self._onChecked)
        self.verdict = ""
        self.dialog = None
        self.textWindow = None

    def ask(self) -> None:
        """The one question: which engine, or not now."""
        problem = Setup.slicerProblem()
        if problem is not None:
            self._tell(self._panel.messageOf(problem))
            return
        self.dialog = Dialogs.load("InstallDialog.ui")
        ui = slicer.util.childWidgetVariables(self.dialog)
        card = Computer.graphicsCard()
        ui.questionLabel.text = question(card)
        ui.cpuButton.setVisible(card is not None)
        Dialogs.onClick(self.dialog, ui.installButton, lambda: self._begin(Setup.BEST_BACKEND))
        Dialogs.onClick(self.dialog, ui.cpuButton, lambda: self._begin(Setup.CPU_BACKEND))
        ui.laterButton.connect("clicked()", self.dialog.close)
        self.dialog.show()

    def resume(self) -> None:
        """Go on with what a restart interrupted; the person has agreed before it."""
        due = PendingStep.due()
        if due is None:
            return
        PendingStep.forget()
        if self._panel.engine.status == Setup.READY:
            self.startCheck()
        elif not Setup.isHelperInstalled():
            self._tell(self._panel.messageOf(VeloxSegError("ENGINE_HELPER")))
        else:
            # Slicer shows the module first.
            qt.QTimer.singleShot(0, lambda: self._install(due[1]))

    def startCheck(self) -> None:
        """Let the engine compute a little."""
        self.verdict = _("Testing...")
        self.check.start()
        self._panel.update()

    def showOfflineInstructions(self) -> None:
        """How to install without a network."""
        self.textWindow = Dialogs.showText(_("Install without a network"), offlineInstructions())

    def explainDriver(self) -> None:
        """How a driver is brought up to date."""
        text = _(
            "Load the newest driver for your card from the manufacturer's page, or let the operating system update it,"
            " and restart the computer. Then press Check this computer. Until then the CPU is used."
        )
        self.textWindow = Dialogs.showText(_("How to update the graphics driver"), text)

    def _begin(self, backend: str) -> None:
        """From the answer on: remove what is damaged, get the helper, install, each as far as it goes without a restart."""
        panel = self._panel
        panel.closeEngine()
        self.check.abandon()
        try:
            if not Setup.isHelperInstalled():
                PendingStep.remember(PendingStep.INSTALL, backend)
                Setup.installHelper()
                self._offerRestart(_("The PyTorch helper extension is installed. Restart Slicer to go on."))
            elif panel.engine.mustRemoveTorch:
                PendingStep.remember(PendingStep.INSTALL, backend)
                Setup.repair()
                self._offerRestart(_("The former engine was removed. Restart Slicer to install it again."))
            else:
                self._install(backend)
        except VeloxSegError as error:
            PendingStep.forget()
            self._tell(panel.messageOf(error))
        self._panel.probeEngine()

    def _install(self, backend: str) -> None:
        former = self._panel.engine
        self._panel.tell(None)
        try:
            Setup.install(former, backend)
        except VeloxSegError as error:
            self._panel.onLog(error.detail)
            self._tell(self._panel.messageOf(error))
        self._panel.probeEngine()
        if self._panel.engine.status == Setup.READY and set(former.old) & set(Setup.BUNDLED_PACKAGES):
            self._offerRestart(_("Packages that Slicer itself uses were updated. Restart Slicer now."))
            return
        if self._panel.engine.status == Setup.READY:
            self.startCheck()

    def _offerRestart(self, text: str) -> None:
        saving = _("Save the scene first: unsaved changes are lost.")
        buttons = (
            Notice.Button(_("Restart now"), lambda: slicer.util.restart()),
            Notice.Button(_("Later"), lambda: self._panel.tell(None)),
        )
        self._tell(Notice.Message(Notice.INFO, f"{text} {saving}", buttons))

    def _onChecked(self, finding: ComputerCheck.CheckFinding | None, error: VeloxSegError | None) -> None:
        if error is not None:
            self.verdict = error.text
            self._tell(self._panel.messageOf(error))
            return
        self.verdict = ComputerCheck.sentence(finding)
        self._panel.onLog(f"{self.verdict} {finding.detail}".rstrip())
        problem = ComputerCheck.problemOf(finding, Computer.graphicsCard())
        message = Notice.Message(Notice.INFO, self.verdict) if problem is None else self._panel.messageOf(problem)
        self._panel.useDevice(finding.device)
        self._panel.tell(message)

    def actions(self) -> dict:
        """Action of Errors -> what a click does."""
        return {
            Errors.INSTALL: self.ask,
            Errors.REPAIR: self.ask,
            Errors.UPDATE: self.ask,
            Errors.TRY_INSTALL: self.ask,
            Errors.OFFLINE: self.showOfflineInstructions,
            Errors.UPDATE_DRIVER: self.explainDriver,
        }

    def _tell(self, message: Notice.Message) -> None:
        self._panel.tell(message, isFirst=True)


def question(card: Computer.GraphicsCard | None) -> str:
    """What will be installed, how large it is and how long it takes."""
    if card is not None:
        text = _(
            "The AI engine (PyTorch and small helpers) for {name} (driver {driver}) will be installed: about 3 GB to"
            " download and 6 GB on disk. It takes several minutes and cannot be interrupted. Slicer may have to restart;"
            " save your scene first."
        )
        return text.format(name=card.name, driver=card.driver)
    text = _(
        "The AI engine (PyTorch and small helpers) for the CPU of this computer will be installed: about 1 GB to download"
        " and 2 GB on disk. It takes several minutes and cannot be interrupted. Slicer may have to restart; save your scene"
        " first."
    )
    if sys.platform == "darwin":
        text += " " + _("On some Macs no engine fits this Slicer; then nothing is changed.")
    return text


def offlineInstructions() -> str:
    """Steps for a computer that cannot reach the download server."""
    text = _(
        "1. On a computer with a network, the same operating system and the same Slicer, open a terminal in Slicer's folder"
        " and type:\n\n"
        "    bin/PythonSlicer -m pip download --dest engine {packages}\n\n"
        "2. Bring the new folder 'engine' to this computer.\n\n"
        "3. In Slicer's Python console (View menu) type, with the folder's place:\n\n"
        "    slicer.util.pip_install('--no-index --find-links \"FOLDER\" {packages}')\n\n"
        "4. Restart Slicer, open this module and press Check this computer.\n\n"
        "The helper extension is not needed then. Models are files; they are imported with Manage."
    )
    wanted = [one for one in requirements.engine() if one.name not in Setup.BUNDLED_PACKAGES]
    return text.format(packages=" ".join(f'"{one}"' for one in wanted))
