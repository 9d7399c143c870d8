"""qt.QUiLoader: loads Qt Designer files that name Slicer's widgets.

Qt silently turns an unknown widget class into its base class, an unknown property into a dynamic one and a wrong
connection into a warning. All three are mistakes in a module's .ui file, so all three are errors here.
"""

from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import pythonqt, standins

# Understood by Qt's form builder although the class has no such property.
_FORM_BUILDER_PROPERTIES = {"buddy"}


class QUiLoader(QtUiTools.QUiLoader):
    def load(self, device, parent=None):
        tree = ElementTree.fromstring(bytes(device.readAll().data()))
        declared = self._checkWidgets(tree)
        enumerations = self._takeEnumerations(tree)
        connections = self._takeConnections(tree)

        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(tree))
        buffer.open(QtCore.QIODevice.ReadOnly)
        root = super().load(buffer, parent)

        byName = {widget.objectName: widget for widget in [root, *root.findChildren(QtCore.QObject)]}
        for widgetName, propertyName in declared:
            if byName[widgetName].metaObject().indexOfProperty(propertyName) < 0:
                raise RuntimeError(f"{byName[widgetName].className()} {widgetName} has no property {propertyName}")
        for widget in byName.values():
            if widget.isWidgetType() and widget.toolTip:
                widget.toolTip = widget.toolTip
        for widgetName, propertyName, value in enumerations:
            setattr(byName[widgetName], propertyName, value)
        for sender, signal, receiver, slot in connections:
            byName[sender].connect(signal, byName[receiver], slot)
        return root

    def _checkWidgets(self, tree):
        """Refuses unknown classes; returns the (widget, property) pairs that must be real properties."""
        declared = []
        for element in tree.iter("widget"):
            className = element.get("class")
            if className in standins.registry:
                self.registerCustomWidget(standins.registry[className])
            elif className != "Line" and not hasattr(QtWidgets, className):
                raise RuntimeError(f"The test host has no widget class {className}: add a stand-in for it")
            for prop in element.findall("property"):
                isDynamic = prop.get("stdset") == "0"
                if className != "Line" and not isDynamic and prop.get("name") not in _FORM_BUILDER_PROPERTIES:
                    declared.append((element.get("name"), prop.get("name")))
        return declared

    def _takeEnumerations(self, tree):
        """Qt cannot read the enumerations of a Python class: take them out of the file and set them afterwards."""
        found = []
        for element in tree.iter("widget"):
            cls = standins.registry.get(element.get("class"))
            for prop in element.findall("property") if cls else ():
                numbers = getattr(cls, "uiEnums", {}).get(prop.get("name"))
                text = prop.findtext("set") or prop.findtext("enum")
                if numbers and text:
                    value = 0
                    for enumerator in text.split("|"):
                        value |= numbers[enumerator.strip().split("::")[-1]]
                    found.append((element.get("name"), prop.get("name"), value))
                    element.remove(prop)
        return found

    def _takeConnections(self, tree):
        """Connections are made in Python: Qt knows neither VTK types nor the slots of the stand-ins."""
        found = []
        for block in tree.findall("connections"):
            for element in block.findall("connection"):
                found.append([element.findtext(key) for key in ("sender", "signal", "receiver", "slot")])
            tree.remove(block)
        return found


pythonqt.markAsCppClass(QUiLoader)
