"""Neural cellular automata that segment, by diffusion or directly."""

from .config import PRESETS, PUBLISHED, NCAConfig
from .network import NCA, NCAOutput

__all__ = ["NCA", "NCAConfig", "NCAOutput", "PRESETS", "PUBLISHED"]
