"""PythonQt's surface over PySide6: builds the module that Slicer code imports as ``qt``.

PythonQt (what Slicer embeds) and PySide6 show the same Qt in two ways. In PythonQt a Qt property is an attribute
(every method of the same name is hidden, the setX() slots stay), ``name`` means objectName, connect() takes a
signature string, a C++ object refuses attributes it does not have, a child can be read as an attribute by its object
name, and an object that can be empty, invalid or null is false then. The Qt classes are patched once, for the whole
process, instead of subclassed: objects that Qt itself creates (a button made by the .ui loader, a child found by
findChild) must show the same surface.
"""

import functools
import inspect
import sys
import types
import weakref

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

from . import offered

QObject = QtCore.QObject
_plainGetattribute = QObject.__getattribute__
_plainSetattr = shiboken6.Object.__setattr__

# Properties that PythonQt leaves out, because a function of the same name is wanted: (class, property).
_LEFT_OUT = {("QTimer", "singleShot")}
# What decides the truth value of an object; the first that its class has.
_EMPTINESS = ("isEmpty", "isValid", "isNull")
# What PythonQt takes for "false" where a property is a bool, without a word.
_FALSE_FOR_BOOL = (None, "", [])

# Classes that stand for C++ classes; their objects refuse unknown attributes.
_cppClasses = set()


def markAsCppClass(cls):
    """Objects of this Python class shall behave like wrapped C++ objects (strict attributes)."""
    _cppClasses.add(cls)
    return cls


# Properties ---------------------------------------------------------------------------------------


# (id of the object, name) of the properties that are being read
_beingRead: set = set()


class QtPropertyAttribute:
    """A Qt property as PythonQt shows it: an attribute that can be read and, if Qt allows it, assigned."""

    def __init__(self, prop):
        self.name = prop.name()
        self.writable = prop.isWritable()
        self.isBool = prop.typeName() == "bool"

    def __get__(self, obj, owner=None):
        if obj is None:
            return self
        key = (id(obj), self.name)
        if key in _beingRead:
            # Not Python but shiboken asks, in a virtual getter: is there an override in Python? See overrideGetter().
            return None
        _beingRead.add(key)
        try:
            value = QObject.property(obj, self.name)
        finally:
            _beingRead.discard(key)
        return tuple(value) if isinstance(value, list) else value  # PythonQt gives string lists as tuples

    def __set__(self, obj, value):
        owner = type(obj).__name__
        if not self.writable:
            raise AttributeError(f"Property '{self.name}' of {owner} object is not writable")
        if self.isBool and value in _FALSE_FOR_BOOL:
            value = False
        if self.name == "toolTip" and isinstance(obj, QtWidgets.QWidget):
            value = wrappedToolTip(value)
        if not QObject.setProperty(obj, self.name, value):
            raise AttributeError(
                f"Property '{self.name}' of {owner} object does not accept {value!r} of type {type(value).__name__}"
            )


def _showPropertiesAsAttributes(cls):
    """A property hides every method of its name, also where a class overrides a virtual getter (QLabel.sizeHint)."""
    meta = cls.staticMetaObject
    if meta.className().split("::")[-1] != cls.__name__:
        return  # a class without its own meta object repeats its parent's properties
    for index in range(meta.propertyCount()):
        prop = meta.property(index)
        isDeclaredHere = index >= meta.propertyOffset() or prop.name() in vars(cls)
        if isDeclaredHere and (cls.__name__, prop.name()) not in _LEFT_OUT:
            setattr(cls, prop.name(), QtPropertyAttribute(prop))


def _hasTruthValue(cls):
    """Objects of this class are false when they are empty, not valid or null."""
    getter = next((getattr(cls, name) for name in _EMPTINESS if callable(getattr(cls, name, None))), None)
    if getter is None:
        return
    isAffirmative = getter.__name__ == "isValid"
    cls.__bool__ = lambda self: bool(getter(self)) is isAffirmative


def wrappedToolTip(text):
    """Slicer lets long tooltips break into lines: it puts plain text into a paragraph of rich text."""
    isPlain = isinstance(text, str) and text and not QtGui.Qt.mightBeRichText(text)
    return QtGui.Qt.convertFromPlainText(text, QtCore.Qt.WhiteSpaceNormal) if isPlain else text


def _setToolTip(self, text):
    self.toolTip = text


# Signals ------------------------------------------------------------------------------------------


def _normalized(signature):
    text = QtCore.QMetaObject.normalizedSignature(signature)
    return text if isinstance(text, str) else bytes(text.data()).decode()


def _argumentTypes(signature):
    return [part for part in signature[signature.index("(") + 1 : -1].split(",") if part]


def _signalSignatures(obj, name):
    """Every declared form of a signal, in the order of declaration."""
    meta = obj.metaObject()
    forms = []
    for index in range(meta.methodCount()):
        method = meta.method(index)
        isSignal = method.methodType() == QtCore.QMetaMethod.MethodType.Signal
        if isSignal and bytes(method.name().data()).decode() == name:
            forms.append(bytes(method.methodSignature().data()).decode())
    return forms


def resolveSignal(obj, signature):
    """The PySide6 signal and the number of its arguments for "name(types)"; an unknown signal is an error."""
    wanted = _normalized(signature)
    name = wanted.split("(")[0]
    forms = _signalSignatures(obj, name)
    arity = len(_argumentTypes(wanted))
    if wanted in forms:
        signal = _plainGetattribute(obj, name)
        if sum(len(_argumentTypes(form)) == arity for form in forms) > 1:
            signal = signal[wanted[len(name) + 1 : -1]]
        return signal, arity
    if wanted in getattr(type(obj), "vtkSignals", ()):
        # VTK types do not exist for Qt here: the stand-in declares the signal with a plain Python object.
        return _plainGetattribute(obj, name), arity
    raise ValueError(f"{type(obj).__name__} has no signal {signature}; known forms: {forms}")


def _acceptedArguments(function):
    """How many positional arguments a Python function takes; None if PythonQt would pass all of them."""
    target = function.__func__ if isinstance(function, types.MethodType) else function
    if not isinstance(target, types.FunctionType) or target.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return target.__code__.co_argcount - (1 if isinstance(function, types.MethodType) else 0)


def _makeSlot(function, arity):
    """PySide6 chooses the form of an overloaded signal from the slot's arity, so the slot has the exact arity.

    As in PythonQt the function receives as many arguments as it declares, and an error in it is printed (through
    sys.excepthook) without stopping the emission.
    """
    accepted = _acceptedArguments(function)
    count = arity if accepted is None else min(arity, accepted)

    def call(*arguments):
        try:
            function(*arguments[:count])
        except Exception:  # noqa: BLE001  (a slot may raise anything)
            sys.excepthook(*sys.exc_info())

    slots = (
        lambda: call(),
        lambda a: call(a),
        lambda a, b: call(a, b),
        lambda a, b, c: call(a, b, c),
        lambda a, b, c, d: call(a, b, c, d),
    )
    return slots[arity]


def _addConnection(obj, signal, signature, function, arity):
    if not callable(function):
        raise ValueError(f"connect() needs a callable, not {function!r}")
    slot = _makeSlot(function, arity)
    signal.connect(slot)
    if "_connections" not in obj.__dict__:
        connections = obj.__dict__["_connections"] = []
        # A Python reference may outlive the C++ object; the slots of that one must not live on with it.
        _plainGetattribute(obj, "destroyed").connect(connections.clear)
    obj.__dict__["_connections"].append((signal, signature, function, slot))


def _removeConnections(obj, signature=None, function=None):
    """Disconnects matching connections; with a function given at most one of them, as Qt does."""
    connections = obj.__dict__.get("_connections", [])
    found = False
    for connection in list(connections):
        signal, knownSignature, knownFunction, slot = connection
        if signature not in (None, knownSignature) or function not in (None, knownFunction):
            continue
        signal.disconnect(slot)
        connections.remove(connection)
        found = True
        if function is not None:
            break
    return found


def _looksLikeSignature(argument):
    # PySide6's own SIGNAL() strings start with a digit.
    return isinstance(argument, str) and "(" in argument and not argument[0].isdigit()


def _connect(self, *arguments):
    """``obj.connect("clicked()", function)`` or ``obj.connect("clicked()", receiver, "slot()")``."""
    if not arguments or not _looksLikeSignature(arguments[0]):
        return _plainGetattribute(self, "connect")(*arguments)
    signature, *target = arguments
    signal, arity = resolveSignal(self, signature)
    function = target[0] if len(target) == 1 else getattr(target[0], target[1].split("(")[0])
    _addConnection(self, signal, _normalized(signature), function, arity)
    return True


def _disconnect(self, *arguments):
    """``obj.disconnect("clicked()", function)``, ``obj.disconnect("clicked()")`` or ``obj.disconnect()``."""
    if arguments and not _looksLikeSignature(arguments[0]):
        return _plainGetattribute(self, "disconnect")(*arguments)
    return _removeConnections(self, *[_normalized(arguments[0]), *arguments[1:2]] if arguments else [])


class BoundSignal:
    """``obj.clicked`` as PythonQt gives it: connect, disconnect, emit, and calling it emits too.

    Choosing a form by ``signal[type]`` is PySide6's way only, so it does not exist here.
    """

    def __init__(self, owner, name, signal):
        self._owner = owner
        self._signal = signal
        # Declared by a stand-in for VTK arguments, or by Qt: the first form is the one PythonQt connects to.
        forms = [form for form in getattr(type(owner), "vtkSignals", ()) if form.split("(")[0] == name]
        self._signature = (forms or _signalSignatures(owner, name))[0]

    def connect(self, function):
        if isinstance(function, BoundSignal):
            return self._signal.connect(function._signal)
        _addConnection(self._owner, self._signal, self._signature, function, len(_argumentTypes(self._signature)))
        return True

    def disconnect(self, function=None):
        return _removeConnections(self._owner, self._signature, function)

    def emit(self, *arguments):
        self._signal.emit(*arguments)

    __call__ = emit


def overrideGetter(obj, name, function):
    """Lets C++ call function(obj) for a virtual getter that is also a property (sizeHint), without hiding the property."""
    owner = weakref.ref(obj)
    obj.__dict__[name] = lambda: function(owner())


# Attribute access ---------------------------------------------------------------------------------


def _className(self):
    return type(self).__name__


def _delete(self):
    if shiboken6.isValid(self):
        shiboken6.delete(self)


_EXTRA_METHODS = {"connect": _connect, "disconnect": _disconnect, "className": _className, "delete": _delete}


@functools.cache  # an attribute is read very often, and the classes do not change
def _declaration(cls, name):
    """What the class declares under this name, without calling it."""
    return inspect.getattr_static(cls, name, None)


def _getAttribute(plainGetter, self, name):
    offered.check(type(self), name, framesAbove=2)
    if name in _EXTRA_METHODS:
        return types.MethodType(_EXTRA_METHODS[name], self)
    if name == "name":
        return QObject.property(self, "objectName")
    declared = _declaration(type(self), name)
    if isinstance(declared, QtCore.Property):
        return declared.fget(self)  # not through Qt, which would turn tuples into lists
    if isinstance(declared, QtPropertyAttribute):
        return declared.__get__(self)
    try:
        value = plainGetter(self, name)
    except AttributeError:
        if not name.startswith("_"):
            value = QObject.property(self, name)  # a dynamic property
            if value is not None:
                return value
            for child in QObject.children(self):
                if QObject.property(child, "objectName") == name:
                    return child
        raise
    return BoundSignal(self, name, value) if isinstance(value, QtCore.SignalInstance) else value


def _setAttribute(self, name, value):
    offered.check(type(self), name, framesAbove=1)
    if name == "name":
        QObject.setProperty(self, "objectName", value)
        return
    declared = _declaration(type(self), name)
    if isinstance(declared, QtCore.Property):
        if declared.fset is None:
            raise AttributeError(f"Property '{name}' of {type(self).__name__} object is not writable")
        declared.fset(self, value)
        return
    isProperty = isinstance(declared, (QtPropertyAttribute, property))
    isInternal = name.startswith("_") or isinstance(value, QtCore.SignalInstance)  # PySide6 caches signals
    if isProperty or isInternal or type(self) not in _cppClasses:
        _plainSetattr(self, name, value)
    elif callable(declared):
        raise AttributeError(f"Slot '{name}' can not be overwritten on {type(self).__name__} object")
    elif QObject.property(self, name) is not None:
        QObject.setProperty(self, name, value)
    else:
        raise AttributeError(
            f"Attribute '{name}' does not exist and creation of new attributes on C++ objects is not"
            f" allowed ({type(self).__name__})"
        )


def _patchAttributeAccess(cls):
    # Call the class's own getter: some (QFile) have a special one and crash with another class's.
    plainGetter = cls.__getattribute__
    cls.__setattr__ = _setAttribute
    return lambda self, name: _getAttribute(plainGetter, self, name)


# Modal calls --------------------------------------------------------------------------------------


def _refuseModal(className, methodName):
    def refuse(*arguments, **keywords):
        raise RuntimeError(
            f"{className}.{methodName} would wait for a user for ever in a test. Use the display"
            " helpers of slicer.util, or replace this function in the test."
        )

    return staticmethod(refuse)


_MODAL_FUNCTIONS = {
    QtWidgets.QMessageBox: ("about", "critical", "information", "question", "warning"),
    QtWidgets.QFileDialog: ("getExistingDirectory", "getOpenFileName", "getOpenFileNames", "getSaveFileName"),
    QtWidgets.QInputDialog: ("getDouble", "getInt", "getItem", "getMultiLineText", "getText"),
}


def install():
    """Patches PySide6 and returns the ``qt`` module, also put into sys.modules."""
    qt = types.ModuleType("qt", "PySide6 with PythonQt's surface")
    for module in (QtCore, QtGui, QtWidgets, QtUiTools, QtNetwork):
        for name in dir(module):
            if name.startswith("Q") and not hasattr(qt, name):
                setattr(qt, name, getattr(module, name))
    qt.Signal, qt.Slot, qt.Property = QtCore.Signal, QtCore.Slot, QtCore.Property

    for value in list(vars(qt).values()):
        if inspect.isclass(value):
            _hasTruthValue(value)
    QtWidgets.QWidget.setToolTip = _setToolTip
    classes = [value for value in vars(qt).values() if inspect.isclass(value) and issubclass(value, QObject)]
    getters = {}
    for cls in classes:
        _showPropertiesAsAttributes(cls)
        markAsCppClass(cls)
        getters[cls] = _patchAttributeAccess(cls)
    for cls, getter in getters.items():  # only now: a patched parent must not become a child's plain getter
        cls.__getattribute__ = getter

    for cls in (
        QtWidgets.QDialog,
        QtWidgets.QMenu,
        QtWidgets.QApplication,
        QtCore.QEventLoop,
        QtCore.QThread,
    ):
        cls.exec_ = cls.exec
    for cls, names in _MODAL_FUNCTIONS.items():
        for name in names:
            setattr(cls, name, _refuseModal(cls.__name__, name))
    sys.modules["qt"] = qt
    return qt
