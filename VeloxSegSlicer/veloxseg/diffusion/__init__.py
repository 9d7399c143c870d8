"""Diffusion of masks: schedule, samplers, training loss, and ensembles of seeded members."""

from .ensemble import Ensemble, Sampling, segment
from .loss import LossTerms, training_loss
from .samplers import sample
from .schedule import Schedule

__all__ = ["Ensemble", "LossTerms", "Sampling", "Schedule", "sample", "segment", "training_loss"]
