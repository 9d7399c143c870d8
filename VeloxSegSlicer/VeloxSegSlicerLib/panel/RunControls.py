"""Quality and uncertainty in the Segment section, overlap and ensemble under Advanced: what of it a model has."""

from collections.abc import Callable

from slicer.i18n import tr as _

from ..common.Models import ModelCard
from ..common.Parameters import Quality, VeloxSegParameters
from ..run import Times
from ..widgets import PlainText


class RunControls:
    """Shows and changes the choices of a run that depend on the model."""

    def __init__(self, ui, onChanged: Callable) -> None:
        """
        :param ui: the child widgets of the panel.
        :param onChanged: called after the person has chosen something.
        """
        self._ui = ui
        self._onChanged = onChanged
        self._parameters: VeloxSegParameters | None = None
        self._buttons = {
            Quality.FAST: ui.fastButton,
            Quality.BALANCED: ui.balancedButton,
            Quality.THOROUGH: ui.thoroughButton,
        }
        # One closure per button: a lambda's default argument would be taken for the signal's.
        for quality, button in self._buttons.items():
            button.connect("clicked()", self._chooser(quality))
        ui.uncertaintyCheckBox.connect("clicked()", self._onUncertainty)

    def show(
        self,
        parameters: VeloxSegParameters | None,
        card: ModelCard | None,
        seconds: dict[Quality, float | None],
        isLocked: bool,
    ) -> None:
        """
        :param parameters: None while the scene closes.
        :param card: the chosen model, None when there is none.
        :param seconds: about how long a run takes here, None where it is not known.
        :param isLocked: a run is going on.
        """
        self._parameters = parameters
        isFree = parameters is not None and card is not None and not isLocked
        offers = card is not None and bool(Quality.FAST.request(card))
        for quality, button in self._buttons.items():
            button.enabled = isFree and offers
            button.checked = parameters is not None and parameters.quality == quality
            tip = quality.tip(card) if offers else _("This model has one way of computing only.")
            button.toolTip = PlainText.toolTip(" ".join(part for part in (tip, _time(seconds.get(quality))) if part))
        self._ui.timeLabel.text = _time(seconds.get(parameters.quality)) if parameters is not None else ""
        self._ui.timeLabel.setVisible(bool(self._ui.timeLabel.text))
        self._showUncertainty(card, isFree)
        hasOverlap = card is not None and "overlap" in Quality.BALANCED.request(card)
        hasEnsemble = card is not None and "members" in Quality.BALANCED.request(card)
        self._ui.overlapSpinBox.enabled = isFree and hasOverlap
        self._ui.membersSpinBox.enabled = isFree and hasEnsemble

    def _showUncertainty(self, card: ModelCard | None, isFree: bool) -> None:
        parameters = self._parameters
        isThere = parameters is not None and card is not None and parameters.quality.hasSeveralRuns(card)
        box = self._ui.uncertaintyCheckBox
        box.enabled = isFree and isThere
        box.checked = isThere and parameters.uncertainty
        box.toolTip = (
            _("On by default. Adds an image that shows where repeated runs disagree. Agreement is not correctness.")
            if isThere
            else _("Off, because it needs several runs: choose Thorough, or a model with an ensemble.")
        )

    def _chooser(self, quality: Quality) -> Callable:
        def choose() -> None:
            if self._parameters is not None:
                self._parameters.quality = quality
                self._onChanged()

        return choose

    def _onUncertainty(self) -> None:
        if self._parameters is not None:
            self._parameters.uncertainty = self._ui.uncertaintyCheckBox.checked


def _time(seconds: float | None) -> str:
    """The time of a run as a sentence, "" where it is not known."""
    return "" if seconds is None else _("Takes {time} on this computer.").format(time=Times.inWords(seconds))
