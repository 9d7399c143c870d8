"""Diffusion of masks: schedule, samplers, training loss, and ensembles of seeded members."""

from .ensemble import Ensemble, Member, Sampling, segment
from .loss import LossTerms, training_loss
from .samplers import sample
from .schedule import Schedule

__all__ = ["Ensemble", "LossTerms", "Member", "Sampling", "Schedule", "sample", "segment", "training_loss"]
