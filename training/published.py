"""What is particular about trainings as published: their length in epochs, and the task that the data must be."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from training.cases import CasesSettings, read_description, split_of
from training.photos import PhotosSettings
from training.settings import Settings
from veloxseg.contract.errors import VeloxSegError

PATCHES_PER_CASE = {CasesSettings: 2, PhotosSettings: 1}
"""That an epoch takes of every training case, by the kind of data."""
VALIDATED_EPOCHS = 5
"""Epochs from one validation to the next."""
Z_SCORE = "zscore_foreground"


def with_steps(settings: Settings, world: int = 1) -> Settings:
    """The settings with `epochs`, if there are any, as steps of `world` processes.

    Raises DATASET for a folder that can't be trained on, and for data that isn't made of cases.
    """
    if settings.epochs is None:
        return settings
    patches = PATCHES_PER_CASE.get(type(settings.data))
    if patches is None:
        raise VeloxSegError("DATASET", path="This configuration", reason="it has no cases that epochs could count",
                            remedy="choose --steps")  # fmt: skip
    cases = split_of(read_description(settings.data.folder), settings.data)["train"]
    steps = ceil(len(cases) * patches / (settings.batch_size * world))
    return replace(settings, steps=settings.epochs * steps, validate_every=VALIDATED_EPOCHS * steps)


def check(settings: Settings, task) -> None:
    """Raises DATASET for data whose images, labels or intensities aren't those that the configuration was published with."""
    if not settings.as_published:
        return
    wanted, found = settings.veloxseg, (tuple(map(len, task.groups)), len(task.values) + 1)
    scored = all(role.intensity["kind"] == Z_SCORE for role in task.card.roles if role.modality == "PT")
    if found != (wanted.in_ch, wanted.n_classes) or not scored:
        task = f"{sum(wanted.in_ch)} images (PET z-scored) and {wanted.n_classes - 1} label(s)"
        raise VeloxSegError("DATASET", path=settings.data.folder, reason=f"it isn't the published task of {task}",
                            remedy="prepare it as 'train.py --help' says, or choose the configuration cases")  # fmt: skip
