"""Tests of the host itself, and tests that need the host (screenshots, real clicks)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from hostfixtures import *  # noqa: F403
