"""How a value of each type lies in a vtkMRMLScriptedModuleNode: texts and node references, as in Slicer.

Scenes saved by this code and by Slicer must be the same.
"""

import enum
import inspect
import pathlib

import slicer

from . import annotations

_PATH_TYPES = (
    pathlib.Path,
    pathlib.PosixPath,
    pathlib.WindowsPath,
    pathlib.PurePath,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
)


class Storage:
    """One text parameter; the other storages change what they need."""

    def __init__(self, valueType, validators=()):
        self.valueType = valueType
        self.validators = [*self.ownValidators(), *validators]

    def ownValidators(self):
        return [annotations.NotNone(), annotations.IsInstance(self.valueType)]

    def validate(self, value):
        for validator in self.validators:
            validator.validate(value)

    def accepts(self, valueType):
        """Whether values of this exact type are stored here (to choose the member of a union)."""
        return valueType is self.valueType

    def default(self):
        return self.valueType()

    def toText(self, value):
        return str(value)

    def fromText(self, text):
        return self.valueType(text)

    def isIn(self, node, name):
        return bool(node.HasParameter(name))

    def write(self, node, name, value):
        self.validate(value)
        node.SetParameter(name, self.toText(value))

    def read(self, node, name):
        return self.fromText(node.GetParameter(name))

    def remove(self, node, name):
        node.UnsetParameter(name)


class BoolStorage(Storage):
    def fromText(self, text):
        return text == "True"


class NumberStorage(Storage):
    def ownValidators(self):
        accepted = (int, float) if self.valueType is float else int
        return [annotations.NotNone(), annotations.IsInstance(accepted)]

    def accepts(self, valueType):
        return valueType in (int, float)

    def default(self):
        return 0


class PathStorage(Storage):
    def accepts(self, valueType):
        return valueType in _PATH_TYPES


class EnumStorage(Storage):
    """By the member's name: renaming a member breaks old scenes."""

    def accepts(self, valueType):
        return issubclass(valueType, enum.Enum)

    def default(self):
        return next(iter(self.valueType))

    def toText(self, value):
        return value.name

    def fromText(self, text):
        if text not in self.valueType.__members__:
            raise ValueError(f"{text!r} is not a member of {self.valueType}")
        return self.valueType[text]


class NodeStorage(Storage):
    """A node reference; an empty text of the same name says that the parameter is present (it may be None)."""

    def ownValidators(self):
        return [annotations.IsInstance(self.valueType)]

    def accepts(self, valueType):
        return issubclass(valueType, slicer.vtkMRMLNode)

    def default(self):
        return None

    def write(self, node, name, value):
        self.validate(value)
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node, name):
        return node.GetNodeReference(name)

    def remove(self, node, name):
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class NoneStorage(Storage):
    """The None of a union: the text "True"."""

    def ownValidators(self):
        return []

    def accepts(self, valueType):
        return valueType is type(None)

    def default(self):
        return None

    def toText(self, value):
        return "True"

    def fromText(self, text):
        return None


class UnionStorage(Storage):
    """Each member of the union has its own name: "parameter.0", "parameter.1" and so on; one of them is present."""

    def __init__(self, valueType, validators=()):
        super().__init__(valueType, validators)
        self.members = [makeStorage(member) for member in annotations.unionMembers(valueType)]

    def ownValidators(self):
        return []

    def accepts(self, valueType):
        return any(member.accepts(valueType) for member in self.members)

    def default(self):
        isOptional = len(self.members) == 2 and isinstance(self.members[1], NoneStorage)
        return None if isOptional else self.members[0].default()

    def isIn(self, node, name):
        return any(member.isIn(node, f"{name}.{index}") for index, member in enumerate(self.members))

    def write(self, node, name, value):
        self.validate(value)
        index = self._memberFor(value)
        with slicer.util.NodeModify(node):
            self.remove(node, name)
            self.members[index].write(node, f"{name}.{index}", value)

    def _memberFor(self, value):
        """A value that no member takes is an error; None too, unless the union names it."""
        error = TypeError(f"Cannot store {value!r} as {self.valueType}")
        for index, member in enumerate(self.members):
            if member.accepts(type(value)):
                try:
                    member.validate(value)
                    return index
                except (TypeError, ValueError) as problem:
                    error = problem
        raise error

    def read(self, node, name):
        for index, member in enumerate(self.members):
            if member.isIn(node, f"{name}.{index}"):
                return member.read(node, f"{name}.{index}")
        raise KeyError(name)

    def remove(self, node, name):
        with slicer.util.NodeModify(node):
            for index, member in enumerate(self.members):
                member.remove(node, f"{name}.{index}")


class PackStorage(Storage):
    """Every member under its dotted name: "pack.member"."""

    def accepts(self, valueType):
        return getattr(valueType, "_isParameterPack", False)

    def isIn(self, node, name):
        member, storage = next(iter(self.valueType._storages.items()))
        return storage.isIn(node, f"{name}.{member}")

    def write(self, node, name, value):
        self.validate(value)
        with slicer.util.NodeModify(node):
            for member, storage in self.valueType._storages.items():
                storage.write(node, f"{name}.{member}", getattr(value, member))

    def read(self, node, name):
        return self.valueType._observed(node, name)

    def remove(self, node, name):
        for member, storage in self.valueType._storages.items():
            storage.remove(node, f"{name}.{member}")


def _storageClass(valueType):
    if valueType is bool:
        return BoolStorage
    if valueType in (int, float):
        return NumberStorage
    if valueType is str:
        return Storage
    if valueType in _PATH_TYPES:
        return PathStorage
    if valueType is type(None):
        return NoneStorage
    if annotations.unionMembers(valueType):
        return UnionStorage
    if getattr(valueType, "_isParameterPack", False):
        return PackStorage
    if inspect.isclass(valueType) and issubclass(valueType, enum.Enum):
        return EnumStorage
    if inspect.isclass(valueType) and issubclass(valueType, slicer.vtkMRMLNode):
        return NodeStorage
    raise TypeError(f"The test host's parameter node does not know the type {valueType}")


def makeStorage(annotatedType):
    valueType, hints = annotations.split(annotatedType)
    validators = [hint for hint in hints if isinstance(hint, annotations.Validator)]
    return _storageClass(valueType)(valueType, validators)


def defaultOf(owner, name, annotatedType, storage):
    """The default of a member: "= value" in the class, Default(...) in the annotation, or the type's own."""
    if name in vars(owner):
        return annotations.Default(vars(owner)[name])
    annotated = annotations.first(annotations.split(annotatedType)[1], annotations.Default)
    return annotated or annotations.Default(generator=storage.default)
