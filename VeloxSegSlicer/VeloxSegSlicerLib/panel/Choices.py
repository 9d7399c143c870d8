"""What is chosen: model, images, settings and output, in and out of the parameter node. Nothing is shown here."""

import qt
import slicer

from ..common.Models import Catalogue, ModelCard
from ..common.Parameters import Decisions, RoleChoices, VeloxSegParameters
from ..images import Inputs, RegionBox
from ..images.InputOptions import InputOptions
from ..run.DeviceChoice import DeviceChoice
from ..run.Segmenter import RunSettings

LAST_TASK = "VeloxSegSlicer/LastTask"


class Choices:
    """The choices that the scene remembers, as the rest of the panel asks for them."""

    def __init__(self, catalogue: Catalogue, deviceChoice: DeviceChoice) -> None:
        """
        :param catalogue: the installed models.
        :param deviceChoice: the device is a matter of the computer, not of the scene.
        """
        self.parameters: VeloxSegParameters | None = None
        self.catalogue = catalogue
        self._deviceChoice = deviceChoice
        self._roles: RoleChoices | None = None
        self._decisions: Decisions | None = None

    def setParameters(self, parameters: VeloxSegParameters | None) -> None:
        """Follow another parameter node, or none while the scene closes."""
        self.parameters = parameters
        self._roles = RoleChoices(parameters.parameterNode) if parameters else None
        self._decisions = Decisions(parameters.parameterNode) if parameters else None
        if parameters:
            self._chooseDefaults()
            self.assign()

    @property
    def card(self) -> ModelCard | None:
        """The card of the chosen model."""
        return self.catalogue.card(self.parameters.model) if self.parameters else None

    @property
    def images(self) -> dict:
        """Role name -> chosen volume node or None."""
        return self._roles.images(self.card.roles) if self.card else {}

    @property
    def region(self):
        """The box that limits the search, or None."""
        return self.parameters.region if self.parameters else None

    @property
    def inputOptions(self) -> InputOptions:
        """What the person decided about the chosen images."""
        if self.card is None:
            return InputOptions()
        accepted = self._decisions.accepted(self.images, self.card.reference.name)
        if self.card.takes_photo:
            return InputOptions(accepted, None, self.parameters.mmPerPixel)
        return InputOptions(accepted, RegionBox.entryOf(self.parameters.region))

    @property
    def settings(self) -> RunSettings:
        """What a run is started with besides model and images."""
        parameters = self.parameters
        if parameters is None:
            # Between two scenes; a batch of files goes on.
            return RunSettings(self._deviceChoice.device)
        outputId = parameters.output.GetID() if parameters.output else None
        return RunSettings(
            self._deviceChoice.device,
            parameters.quality,
            parameters.seed,
            parameters.keepFiles,
            outputId,
            self.inputOptions,
            parameters.uncertainty,
            parameters.overlapPercent,
            parameters.members,
        )

    def assign(self) -> None:
        """Fill roles by what is known of the images. A choice made by hand stays."""
        if self.card is None:
            return
        kept = {role.name: self._roles.image(role.name) for role in self.card.roles if self.isByHand(role.name)}
        self._fill(Inputs.imagesInScene(), kept)

    def assignOnly(self, nodes: list) -> None:
        """Fill roles with some images, which take the place of former choices."""
        self._fill(nodes, {})

    def isByHand(self, roleName: str) -> bool:
        """Whether a person chose the image of a role."""
        return self._roles.isByHand(roleName)

    def chooseImage(self, roleName: str, node, byHand: bool) -> None:
        """Choose an image for a role, None for none; nothing while the scene closes."""
        if self._roles is not None:
            self._roles.choose(roleName, node, byHand)

    def accept(self, code: str, roleName: str) -> None:
        """Remember with the scene that these images are used in spite of a message."""
        self._decisions.accept(code, roleName, self.images, self.card.reference.name)

    def chooseModel(self, card: ModelCard) -> None:
        """Choose a model and its task, and assign the images to its roles."""
        if self.parameters is not None:
            self._setModel(card)
            self.assign()

    def chooseTask(self, taskId: str) -> None:
        """Choose the first model of a task, which is remembered for the next scene."""
        qt.QSettings().setValue(LAST_TASK, taskId)
        self.chooseModel(self.catalogue.models(taskId)[0])

    def replaceMissingModel(self) -> None:
        """When the chosen model is gone, its task goes on with the next one."""
        if self.parameters is not None and self.card is None:
            models = self.catalogue.models(self.parameters.task) or self.catalogue.cards
            if models:
                self.chooseModel(models[0])

    def newRegion(self) -> None:
        """Make a box around the reference image, if there is one."""
        reference = self.images.get(self.card.reference.name) if self.card else None
        if reference is not None:
            self.parameters.region = RegionBox.newAround(reference)

    def showResult(self, segmentationNode) -> None:
        """The result that is shown from now on."""
        if self.parameters is not None:
            self.parameters.result = segmentationNode

    def _fill(self, nodes: list, kept: dict) -> None:
        for name, node in Inputs.assign(self.card.roles, nodes, kept).items():
            self._roles.choose(name, node, byHand=False)

    def _chooseDefaults(self) -> None:
        """The last used task, else the first that fits the images; a choice of the scene stays."""
        if self.card is not None or not self.catalogue.cards:
            return
        lastTask = slicer.util.settingsValue(LAST_TASK, "")
        models = self.catalogue.models(lastTask) or self._fittingModels() or self.catalogue.cards
        self._setModel(models[0])

    def _fittingModels(self) -> list[ModelCard]:
        images = Inputs.imagesInScene()
        return [card for card in self.catalogue.cards if len(Inputs.assign(card.roles, images, {})) == len(card.roles)]

    def _setModel(self, card: ModelCard) -> None:
        self.parameters.task = card.task_id
        self.parameters.model = card.key
