"""The tab about where repeated runs disagree: overlay, one number, places to review."""

import qt
from slicer.i18n import tr as _

from ..common import Geometry, ResultAttributes
from ..widgets import UiParts
from . import Messages, Uncertainty, Views

LEGEND_WIDTH = 64


class UncertaintyTab:
    """Shows the uncertainty of one result."""

    def __init__(self, ui, layers: Views.Layers) -> None:
        """
        :param ui: the child widgets of the panel.
        :param layers: the slice layers, for the overlay.
        """
        UiParts.load(ui, ui.uncertaintyTab, "UncertaintyTab")
        self._ui = ui
        self._layers = layers
        self._node = None
        self._positions: list = []
        ui.legendLabel.setPixmap(_legend())
        ui.overlayCheckBox.connect("toggled(bool)", self._onOverlay)
        ui.overlayOpacitySlider.connect("valueChanged(double)", self._onOpacity)
        ui.placesList.connect("currentRowChanged(int)", self._onPlace)

    def show(self, node) -> None:
        """Show the uncertainty of a result, or why there is none."""
        if node is not self._node:
            self._ui.overlayCheckBox.checked = False
        self._node = node
        volume = Uncertainty.volumeOf(node) if node is not None else None
        ui = self._ui
        for widget in (ui.overlayCheckBox, ui.overlayOpacityLabel, ui.overlayOpacitySlider, ui.agreeLabel):
            widget.setVisible(volume is not None)
        for widget in (ui.legendLabel, ui.disagreeLabel, ui.placesLabel, ui.placesList):
            widget.setVisible(volume is not None)
        self._fillPlaces(volume)
        ui.agreementLabel.text = self._reading(volume)

    def _reading(self, volume) -> str:
        if self._node is None:
            return ""
        return f"{self._text(volume)} {_photoAdvice(volume)}" if self._isPhoto else self._text(volume)

    @property
    def _isPhoto(self) -> bool:
        return self._node is not None and ResultAttributes.fact(self._node, "Kind") == ResultAttributes.PHOTO

    def _text(self, volume) -> str:
        if volume is None:
            return _(
                "This result was computed once, so there is nothing to compare it with. Models that draw several runs,"
                " and Quality Thorough, add a map of where the runs disagree."
            )
        agreement = ResultAttributes.number(self._node, "Agreement")
        places = _("Places to review: {count}.").format(count=len(self._positions))
        return f"{Messages.agreementText(agreement)} {places}" if agreement is not None else places

    def _fillPlaces(self, volume) -> None:
        places = Uncertainty.places(volume) if volume is not None else []
        self._positions = [place.centerRas for place in places]
        listed = self._ui.placesList
        wasBlocked = listed.blockSignals(True)
        listed.clear()
        for place in places:
            listed.addItem(_photoText(place, volume) if self._isPhoto else _volumeText(place))
        listed.blockSignals(wasBlocked)

    def _onOverlay(self, isOn: bool) -> None:
        volume = Uncertainty.volumeOf(self._node) if self._node is not None else None
        if isOn and volume is not None:
            self._layers.cover(volume, self._ui.overlayOpacitySlider.value)
        else:
            self._layers.uncover()

    def _onOpacity(self, opacity: float) -> None:
        if self._ui.overlayCheckBox.checked:
            self._layers.setCoverOpacity(opacity)

    def _onPlace(self, row: int) -> None:
        if 0 <= row < len(self._positions):
            Views.jumpTo(self._positions[row])


def _volumeText(place) -> str:
    return _("{position}: {volume:.2f} ml").format(position=Geometry.positionText(place.centerRas), volume=place.volumeMl)


def _photoAdvice(volume) -> str:
    """What tells poor masks of photos apart: measured, see docs/models.md, "Which uncertainty to look at"."""
    if volume is None:
        return _("On photos, look at Sensitivity first: where many pixels change with it, the mask is poor more often.")
    return _("On photos, a bright map is a better sign of a poor mask than pixels that change with Sensitivity.")


def _photoText(place, volume) -> str:
    column, row, _slice = Geometry.worldGrid(volume).index(place.centerRas)
    return _("column {column:.0f}, row {row:.0f}: {count} px").format(column=column, row=row, count=place.count)


def _legend():
    """The colors from agreement to disagreement, a row of pixels that is stretched to the width of the label."""
    image = qt.QImage(LEGEND_WIDTH, 1, qt.QImage.Format_RGB32)
    for x in range(LEGEND_WIDTH):
        image.setPixelColor(x, 0, qt.QColor(*Uncertainty.color(x / (LEGEND_WIDTH - 1))))
    return qt.QPixmap.fromImage(image)
