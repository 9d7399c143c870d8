"""Segmentation networks."""

from .checkpoint import load_reference_checkpoint, load_weights
from .config import VeloxSegConfig
from .network import TrainingOutput, VeloxSeg

__all__ = ["TrainingOutput", "VeloxSeg", "VeloxSegConfig", "load_reference_checkpoint", "load_weights"]
