"""The form of VeloxSeg for inference: the same answer from the same weights in a fraction of the time."""

from .network import FastVeloxSeg, convert

__all__ = ["FastVeloxSeg", "convert"]
