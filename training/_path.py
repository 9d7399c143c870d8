"""Lets `python training/<command>.py` find the package that the file is in, from any working folder, before torch is loaded."""

import os
import sys
from pathlib import Path

# in place of training/ itself, whose modules would stand in front of other packages of the same names
sys.path[0] = str(Path(__file__).resolve().parents[1])
# as veloxseg.processes.wait_passively, which is not known here yet
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
