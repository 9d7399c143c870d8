"""VeloxSeg engine: networks, geometry, model packages and the runner. Knows torch and SimpleITK, never
Slicer."""

import sys

__version__ = "0.2.0"

# While `python -m veloxseg...` looks for its module, the program's name is "-m" and the working folder comes first on the path.
# Files of a data folder must not be taken for torch.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    del sys.path[0]
