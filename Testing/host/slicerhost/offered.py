"""What Qt, CTK and Slicer offer the module: no more than slicer_api.json lists.

A name that is listed for no class of an object's ancestry does not exist for the module's own files. Tests, the host and
slicer.util go on seeing all that PySide6 has.
"""

import functools
import json
import sys
from pathlib import Path

_LISTED = json.loads((Path(__file__).parents[1] / "slicer_api.json").read_text(encoding="utf-8"))
_MODULE = str(Path(__file__).resolve().parents[3] / "VeloxSegSlicer") + "/"


@functools.cache
def _namesOf(cls):
    return frozenset(name for base in cls.__mro__ for name in _LISTED.get(base.__name__, ()))


def check(cls, name, framesAbove):
    """Refuses a member that the module uses and that is not listed.

    framesAbove: how many calls lie between the module and this function.
    """
    if name in _namesOf(cls) or name.startswith("_"):
        return
    frame = sys._getframe()
    while framesAbove >= 0 and frame is not None:
        frame, framesAbove = frame.f_back, framesAbove - 1
    # PySide6, too, asks for attributes, while the module calls something else: those names are not in its code.
    if frame is not None and frame.f_code.co_filename.startswith(_MODULE) and name in frame.f_code.co_names:
        raise AttributeError(
            f"{cls.__name__}.{name} is not in slicer_api.json. If Slicer has it: python Testing/host/slicer_api.py --write"
        )
