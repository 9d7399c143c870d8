"""Enter dose, time and weight: a small window that turns activity into SUV on a copy."""

from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from ..common import Names
from ..widgets import Dialogs
from . import ImageStatistics, Suv


class SuvDialog:
    """One image, five fields, a preview, and a copy at the end."""

    def __init__(self, volumeNode, onConverted: Callable) -> None:
        """
        :param volumeNode: PET in activity.
        :param onConverted: called with the new volume.
        """
        self._volumeNode, self._onConverted = volumeNode, onConverted
        self.window = Dialogs.load("SuvDialog.ui")
        self.ui = slicer.util.childWidgetVariables(self.window)
        self.ui.imageLabel.text = _("Image: {name}").format(name=Names.nameOf(volumeNode))
        for isotope in Suv.HALF_LIVES:
            self.ui.isotopeComboBox.addItem(isotope)
        for spinBox in (self.ui.doseSpinBox, self.ui.minutesSpinBox, self.ui.weightSpinBox):
            spinBox.connect("valueChanged(double)", self._onChanged)
        self.ui.isotopeComboBox.connect("currentIndexChanged(int)", self._onChanged)
        Dialogs.onClick(self.window, self.ui.convertButton, self._convert)
        self.ui.cancelButton.connect("clicked()", self.window.close)
        self._showPreview()

    def show(self) -> None:
        """Open the window."""
        self.window.show()
        self.ui.doseSpinBox.setFocus()

    @property
    def injection(self) -> Suv.Injection:
        """What the fields say."""
        return Suv.Injection(
            self.ui.doseSpinBox.value,
            self.ui.isotopeComboBox.currentText,
            self.ui.minutesSpinBox.value,
            self.ui.weightSpinBox.value,
        )

    def _onChanged(self, _value) -> None:
        self._showPreview()

    def _isComplete(self) -> bool:
        return self.ui.doseSpinBox.value > 0 and self.ui.weightSpinBox.value > 0 and self._isInScene()

    def _isInScene(self) -> bool:
        return self._volumeNode.GetScene() is not None

    def _showPreview(self) -> None:
        self.ui.convertButton.enabled = self._isComplete()
        if not self._isComplete():
            self.ui.previewLabel.text = _("Enter dose and weight.")
            return
        largest = ImageStatistics.statisticsOf(self._volumeNode).highest * Suv.factorOf(self._volumeNode, self.injection)
        text = _("SUV 1 is {activity:.0f} Bq/ml. The largest SUV will be {largest:.1f}.")
        self.ui.previewLabel.text = text.format(activity=1 / self.injection.factor, largest=largest)

    def _convert(self) -> None:
        if self._isInScene():
            self._onConverted(Suv.convertedCopy(self._volumeNode, self.injection))
