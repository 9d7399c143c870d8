"""What may stand in Annotated[type, ...]: the default, checks of the value and hints for the widget."""

import dataclasses
import types
import typing


class Default:
    def __init__(self, value=None, *, generator=None):
        self._value = value
        self._generator = generator

    @property
    def value(self):
        return self._generator() if self._generator else self._value


class Validator:
    """Base class of the checks; validate() raises when the value is wrong."""

    def validate(self, value):
        raise NotImplementedError


class NotNone(Validator):
    def validate(self, value):
        if value is None:
            raise ValueError("The value must not be None")


class IsInstance(Validator):
    def __init__(self, classtype):
        self.classtype = classtype

    def validate(self, value):
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"{value!r} is not of type {self.classtype}")


class WithinRange(Validator):
    def __init__(self, minimum, maximum):
        self.minimum = minimum
        self.maximum = maximum

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not between {self.minimum} and {self.maximum}")


class Minimum(Validator):
    def __init__(self, minimum):
        self.minimum = minimum

    def validate(self, value):
        if value < self.minimum:
            raise ValueError(f"{value} is below {self.minimum}")


class Maximum(Validator):
    def __init__(self, maximum):
        self.maximum = maximum

    def validate(self, value):
        if value > self.maximum:
            raise ValueError(f"{value} is above {self.maximum}")


class Choice(Validator):
    def __init__(self, choices):
        self.choices = choices

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


class Exclude(Validator):
    def __init__(self, excludedValues):
        self.excludedValues = excludedValues

    def validate(self, value):
        if value in self.excludedValues:
            raise ValueError(f"{value!r} is excluded")


@dataclasses.dataclass
class Decimals:
    value: int


@dataclasses.dataclass
class SingleStep:
    value: float


def split(annotatedType):
    """(type, annotations); works for plain types, too."""
    if typing.get_origin(annotatedType) is typing.Annotated:
        return annotatedType.__origin__, list(annotatedType.__metadata__)
    return annotatedType, []


def first(annotations, annotationClass):
    return next((annotation for annotation in annotations if isinstance(annotation, annotationClass)), None)


def unionMembers(valueType):
    """The types of A | B or Union[A, B] without their annotations; empty for any other type."""
    if typing.get_origin(valueType) in (typing.Union, types.UnionType):
        return [split(member)[0] for member in typing.get_args(valueType)]
    return []


def splitName(name):
    """("pack", "inner.value") for "pack.inner.value"; the second part is None for an undotted name."""
    top, _, rest = name.partition(".")
    return top, rest or None
