"""How the Python stand-ins of C++ widgets (CTK, qMRML) are written.

    @standIn(ctk)
    class ctkSomething(QtWidgets.QWidget):
        valueChanged = QtCore.Signal(float)
        value = stored("value", float, 0.0, changed="_show", notify="valueChanged")

A stand-in declares its properties and signals like the C++ class. It gets a setX() method for every property, strict
attributes, and can be named in a .ui file. Signals with VTK arguments are declared with ``QtCore.Signal(object)`` and
their true signature is listed in ``vtkSignals``. Enumerations that a .ui file may name are listed in ``uiEnums``:
{property: {enumerator: number}}.
"""

from PySide6 import QtCore

from . import pythonqt

# class name -> stand-in class, for the .ui loader
registry = {}

_CASTS = (bool, int, float, str)


def stored(name, valueType, default, limit=None, changed=None, notify=None):
    """A Qt property that is kept in the object.

    Names of methods: limit turns the wanted into the allowed value, changed shows a new value. notify: the name of the
    signal that announces it.
    """
    key = "_stored_" + name

    def read(self):
        return self.__dict__.get(key, default)

    def write(self, value):
        if valueType in _CASTS:
            value = valueType(value)
        elif valueType is tuple:
            value = tuple(value)
        if limit:
            value = getattr(self, limit)(value)
        if value == read(self):
            return
        self.__dict__[key] = value
        if changed:
            getattr(self, changed)()
        if notify:
            getattr(self, notify).emit(value)

    return QtCore.Property("QStringList" if valueType is tuple else valueType, read, write)


def _setter(name):
    def setValue(self, value):
        setattr(self, name, value)

    return setValue


def standIn(module):
    """Class decorator: finishes the class and puts it into the module (``ctk`` or ``slicer``)."""

    def finish(cls):
        for name, value in list(vars(cls).items()):
            setterName = "set" + name[0].upper() + name[1:]
            if isinstance(value, QtCore.Property) and not hasattr(cls, setterName):
                setattr(cls, setterName, _setter(name))
        pythonqt.markAsCppClass(cls)
        registry[cls.__name__] = cls
        setattr(module, cls.__name__, cls)
        return cls

    return finish
