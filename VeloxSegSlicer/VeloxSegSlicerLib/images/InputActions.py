"""What the buttons beside a message about images do."""

from collections.abc import Callable
from typing import Protocol

import qt
import slicer
from slicer.i18n import tr as _

from ..common import CoreModules, Errors, Names, Temporary
from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard
from ..common.Parameters import Quality, VeloxSegParameters
from ..widgets import Dialogs, Notice
from . import InputOptions, RegionBox, Registration
from .SuvDialog import SuvDialog


class ImagesPanel(Protocol):
    """What these actions need of whoever shows the images."""

    @property
    def card(self) -> ModelCard | None:
        """The card of the chosen model."""

    @property
    def images(self) -> dict:
        """Role name -> chosen volume node or None."""

    @property
    def parameters(self) -> VeloxSegParameters | None:
        """The choices that are saved with the scene."""

    def chooseImage(self, roleName: str, node) -> None:
        """Choose an image for a role, as a person does."""

    def choosePhotoTask(self) -> None:
        """Choose a task that reads photos."""

    def accept(self, code: str, roleName: str) -> None:
        """Go on in spite of a message."""

    def focusRole(self, roleName: str) -> None:
        """Lead the person to the row of a role."""

    def showGeometry(self) -> None:
        """Open the table of grids."""

    def loadSample(self) -> None:
        """Load the example of the chosen model."""

    def tell(self, message: Notice.Message | None) -> None:
        """Show a message until something else happens."""

    def update(self) -> None:
        """Show the choices as they are now."""


class InputActions:
    """Carries out a decision about the images in the panel that it belongs to."""

    def __init__(self, panel: ImagesPanel) -> None:
        """:param panel: whose images the messages are about."""
        self._panel = panel
        self.suvDialog: SuvDialog | None = None
        self.textWindow = None

    def of(self, error: VeloxSegError) -> dict[str, Callable]:
        """Action of Errors -> what a click does about this message."""
        role = error.facts.get("name", "")
        panel = self._panel
        return {
            Errors.CHOOSE: lambda: panel.focusRole(role),
            Errors.CHOOSE_ANOTHER: lambda: panel.focusRole(role),
            Errors.LOAD_SAMPLE: panel.loadSample,
            Errors.SHOW_GEOMETRY: panel.showGeometry,
            Errors.ACCEPT: lambda: panel.accept(error.code, role),
            Errors.CONTINUE: lambda: panel.accept(InputOptions.LARGE, role),
            Errors.TREAT_AS_SUV: lambda: panel.accept(InputOptions.UNIT_UNKNOWN, role),
            Errors.WITHOUT_SUV: lambda: panel.accept(InputOptions.ACTIVITY, role),
            Errors.REGISTER: lambda: self._register(role),
            Errors.OPEN_TRANSFORMS: lambda: CoreModules.show(Registration.TRANSFORMS),
            Errors.SHOW_PHOTO_TASKS: panel.choosePhotoTask,
            Errors.EXPLAIN_SUV: self._explainSuv,
            Errors.CONVERT_TO_SUV: lambda: self._convert(role),
            Errors.USE_REGION: self._useRegion,
            Errors.WHOLE_IMAGE: self._useWholeImage,
            Errors.USE_FAST: self._useFast,
            Errors.CHOOSE_FOLDER: self._chooseFolder,
        }

    def _register(self, role: str) -> None:
        card, images = self._panel.card, self._panel.images
        if not Registration.open(images[role], images[card.reference.name]):
            text = _(
                "General Registration is not in this Slicer. Align '{image}' with '{reference}' in the Transforms"
                " module; the row then changes to Moved."
            )
            facts = {"image": Names.nameOf(images[role]), "reference": Names.nameOf(images[card.reference.name])}
            self._panel.tell(Notice.Message(Notice.INFO, text.format(**facts)))

    def _explainSuv(self) -> None:
        text = _(
            "SUVbw (g/ml) is the activity of a voxel times the body weight, divided by the dose that is left at the"
            " scan.\n\n"
            "With the DICOM files: install the extension PETDICOMExtension in the Extensions Manager and load the"
            " series again; it reads dose, time and weight from the files and loads the image as SUVbw.\n\n"
            "Without them: press 'Enter dose, time, weight'. A copy in SUVbw is made; the image itself stays as it"
            " is."
        )
        self.textWindow = Dialogs.showText(_("How to convert PET values to SUV"), text)

    def _convert(self, role: str) -> None:
        self.suvDialog = SuvDialog(self._panel.images[role], lambda copy: self._panel.chooseImage(role, copy))
        self.suvDialog.show()

    def _useRegion(self) -> None:
        parameters = self._panel.parameters
        if parameters.region is None:
            parameters.region = RegionBox.newAround(self._panel.images[self._panel.card.reference.name])
        text = _("Drag the handles of the box in the views until it holds what shall be searched.")
        self._panel.tell(Notice.Message(Notice.INFO, text))

    def _useWholeImage(self) -> None:
        self._panel.parameters.region = None
        self._panel.update()

    def _useFast(self) -> None:
        self._panel.parameters.quality = Quality.FAST
        self._panel.accept(InputOptions.LARGE, self._panel.card.reference.name)

    def _chooseFolder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Folder for temporary files"), str(Temporary.folderOfJobs())
        )
        if folder:
            qt.QSettings().setValue(Temporary.FOLDER_SETTING, folder)
            self._panel.tell(None)
