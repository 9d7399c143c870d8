"""slicer.parameterNodeWrapper: typed access to a module's parameter node, and its link to the panel.

Types: bool, int, float, str, pathlib paths, enumerations, node classes, unions of these (with None where a value may be
absent) and parameter packs. Slicer also knows lists, tuples, dictionaries, ranges and colors; those are errors here.
"""

from .annotations import (
    Choice,
    Decimals,
    Default,
    Exclude,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    SingleStep,
    Validator,
    WithinRange,
)
from .packs import isParameterPack, parameterPack
from .wrapper import SlicerParameterNamePropertyName, isParameterNodeWrapper, parameterNodeWrapper

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "isParameterNodeWrapper",
    "isParameterPack",
    "parameterNodeWrapper",
    "parameterPack",
]
