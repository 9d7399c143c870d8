"""VeloxSeg engine: networks, geometry, model packages and the runner. Knows torch and SimpleITK, never
Slicer.

`segment`, `models`, `load` and `Grid` are those of `veloxseg.api`, which is imported with the first of them.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from veloxseg.api import Grid, Result, load, models, segment

__all__ = ["Grid", "Result", "load", "models", "segment"]
__version__ = "0.2.0"

# While `python -m veloxseg...` looks for its module, the program's name is "-m" and the working folder comes first on the path.
# Files of a data folder must not be taken for torch.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    del sys.path[0]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from veloxseg import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
