"""@parameterPack: a group of parameters that is itself the type of a parameter; packs may be nested."""

import dataclasses
import typing

import slicer

from . import annotations, storage


@dataclasses.dataclass
class _Place:
    """Where a pack that was read from a parameter node writes its members to."""

    node: slicer.vtkMRMLScriptedModuleNode
    name: str


def _memberProperty(name):

    def read(self):
        return self._members[name]

    def write(self, value):
        memberStorage = type(self)._storages[name]
        memberStorage.validate(value)
        if self._place is None:
            self._members[name] = value
        else:
            fullName = f"{self._place.name}.{name}"
            memberStorage.write(self._place.node, fullName, value)
            self._members[name] = memberStorage.read(self._place.node, fullName)

    return property(read, write)


def _checkedMember(pack, name):
    top, rest = annotations.splitName(name)
    if top not in pack._storages:
        raise ValueError(f"{pack} has no member {top}")
    return top, rest


def _initialize(self, *values, **namedValues):
    self._place = None
    self._members = {}
    names = list(self._storages)
    given = dict(zip(names, values))
    for name, value in namedValues.items():
        if name not in names or name in given:
            raise TypeError(f"Unexpected argument {name} for {type(self).__name__}")
        given[name] = value
    for name in names:
        setattr(self, name, given[name] if name in given else self._defaults[name].value)


def _getValue(self, name):
    top, rest = _checkedMember(self, name)
    value = getattr(self, top)
    return value if rest is None else value.getValue(rest)


def _setValue(self, name, value):
    top, rest = _checkedMember(self, name)
    if rest is None:
        setattr(self, top, value)
    else:
        getattr(self, top).setValue(rest, value)


def _equal(self, other):
    return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in self._storages)


def _text(self):
    return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._storages)})"


def parameterPack(cls):
    hints = typing.get_type_hints(cls, include_extras=True)
    if not hints:
        raise ValueError(f"{cls} has no members")
    storages = {name: storage.makeStorage(hint) for name, hint in hints.items()}
    defaults = {name: storage.defaultOf(cls, name, hints[name], storages[name]) for name in hints}
    for name in hints:
        storages[name].validate(defaults[name].value)

    def dataType(name):
        top, rest = _checkedMember(cls, name)
        return hints[top] if rest is None else annotations.split(hints[top])[0].dataType(rest)

    def observed(node, name):
        pack = cls.__new__(cls)
        pack._members = {member: storages[member].read(node, f"{name}.{member}") for member in storages}
        pack._place = _Place(node, name)
        return pack

    ownInit = vars(cls).get("__init__")

    def initialize(self, *values, **namedValues):
        _initialize(self)  # a pack's own __init__ starts from the defaults
        ownInit(self, *values, **namedValues)

    members = {
        "_isParameterPack": True,
        "_storages": storages,
        "_defaults": defaults,
        "_observed": staticmethod(observed),
        "__init__": initialize if ownInit else _initialize,
        "__eq__": _equal,
        "__repr__": _text,
        "__hash__": None,
        "dataType": staticmethod(dataType),
        "getValue": _getValue,
        "setValue": _setValue,
    }
    for name, member in (members | {name: _memberProperty(name) for name in hints}).items():
        setattr(cls, name, member)
    return cls


def isParameterPack(value):
    return getattr(value, "_isParameterPack", False)
