"""Which device computes: the combo box, what the engine told of this computer, and the line below."""

import json
from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from ..common import Shapes
from ..widgets import ComboBox, PlainText

DEVICE_SETTING = "VeloxSegSlicer/Device"
KNOWN_SETTING = "VeloxSegSlicer/Devices"
AUTOMATIC = "auto"
CPU = "cpu"
GIGABYTE = 1e9
_KNOWN = Shapes.listOf(Shapes.record({"device": Shapes.text, "name": Shapes.text}))


class DeviceChoice:
    """Belongs to this computer and not to the scene, so it lives in the application's settings."""

    def __init__(self, ui, onChanged: Callable) -> None:
        """
        :param ui: the child widgets of the panel.
        :param onChanged: called after the person has chosen a device.
        """
        self._ui = ui
        self._onChanged = onChanged
        self._fill()
        ui.deviceFactLabel.setVisible(False)
        ui.deviceComboBox.connect("currentIndexChanged(int)", self._onChosen)

    @property
    def device(self) -> str:
        """The value for the request."""
        return self._ui.deviceComboBox.itemData(self._ui.deviceComboBox.currentIndex)

    def choose(self, device: str) -> None:
        """Choose as a person does."""
        self._ui.deviceComboBox.setCurrentIndex(max(self._ui.deviceComboBox.findData(device), 0))

    def learn(self, hello: dict) -> None:
        """Take over what the engine tells of this computer when it starts.

        :param hello: its event, see docs/formats.md.
        """
        known = [entry for entry in hello.get("devices", []) if entry.get("device") != CPU]
        qt.QSettings().setValue(KNOWN_SETTING, json.dumps(known))
        self._fill()
        facts = {"device": hello.get("device", "")}
        if hello.get("why_cpu"):
            text = _("CPU - no supported graphics card found. Why? See the tooltip.")
        elif hello.get("free_bytes"):
            text = _("{device}, {free:.1f} GB free").format(free=hello["free_bytes"] / GIGABYTE, **facts)
        else:
            text = facts["device"]
        self._ui.deviceFactLabel.text = text
        self._ui.deviceFactLabel.toolTip = PlainText.toolTip(hello.get("why_cpu") or _("The device of the last run."))
        self._ui.deviceFactLabel.setVisible(bool(text))

    def _fill(self) -> None:
        texts = {AUTOMATIC: _("Automatic")}
        for entry in Shapes.contentOr(slicer.util.settingsValue(KNOWN_SETTING, ""), _KNOWN, []):
            texts[entry["device"]] = entry["name"]
        texts[CPU] = _("CPU")
        ComboBox.fill(self._ui.deviceComboBox, texts, slicer.util.settingsValue(DEVICE_SETTING, AUTOMATIC))

    def _onChosen(self, index: int) -> None:
        qt.QSettings().setValue(DEVICE_SETTING, self._ui.deviceComboBox.itemData(index))
        self._onChanged()
