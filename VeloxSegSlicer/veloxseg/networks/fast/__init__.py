"""The fast form of VeloxSeg: the same answer from the same weights in a fraction of the time."""

from .network import FastVeloxSeg, convert
from .training import FastTraining, training_form

__all__ = ["FastTraining", "FastVeloxSeg", "convert", "training_form"]
