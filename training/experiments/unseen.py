"""Photos that training has not seen, ready for a network, and masks of it scored on the photos' own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training import records
from training.export import TrainedModel
from training.metrics import dice
from training.photos import MASK, PHOTO, read_mask
from training.scored_cases import Cases, cases_of_run
from veloxseg import diffusion
from veloxseg.diffusion.ensemble import draw_member
from veloxseg.imaging import photos
from veloxseg.inference import photo_pipeline
from veloxseg.inference.members import sampling_of
from veloxseg.networks.nca import NCA


@dataclass(frozen=True)
class UnseenPhoto:
    """`image` (3, size, size) for the network, where the photo lies in it, and the true mask, bool (y, x) on the photo."""

    case: str
    pixels: np.ndarray
    image: Tensor
    placement: photos.Placement
    truth: np.ndarray

    def dice(self, probability: np.ndarray, threshold: float = 0.5) -> float:
        """Dice of a map (size, size), cut on the photo's own pixels as at inference."""
        return dice(photos.to_photo(probability, self.placement) >= threshold, self.truth, both_empty=1.0)


def of_run(run: Path, size: int, most: int | None = None) -> list[UnseenPhoto]:
    """The first `most` test photos (None: all) of a run's dataset in squares of `size` pixels."""
    cases = cases_of_run(run, "test")
    return [_read(cases, case, size) for case in cases.ids[:most]]


def _read(cases: Cases, case: str, size: int) -> UnseenPhoto:
    pixels = photos.read(cases.path(case, PHOTO))
    image, placement = photo_pipeline.prepare(pixels, size)
    return UnseenPhoto(case, pixels, image, placement, read_mask(cases.path(case, MASK)))


def contrast(cases: Cases, case: str) -> float | None:
    """Of a phantom: the lesion's melanin above the skin's."""
    drawn = records.read(cases.path(case, "case.json")).get("parameters") or {}
    return drawn.get("lesion", {}).get("contrast")


def members(network: NCA, image: Tensor, sampling: diffusion.Sampling) -> np.ndarray:
    """Probabilities (members, size, size) of every member alone."""
    with torch.inference_mode():
        return np.stack([draw_member(network, image[None], sampling, number).numpy() for number in range(sampling.members)])


def scored(model: TrainedModel, chosen: Sequence[UnseenPhoto], count: int) -> np.ndarray:
    """Dice (photos,) of the model as it is shipped, but with `count` members where it has an ensemble."""
    network = model.network()
    chosen_members = photo_pipeline.Settings(members=count if model.card.has_ensemble else None)
    sampling = sampling_of(model.card, chosen_members)
    answers = (photo_pipeline.answer(model.card, network, photo.image, sampling, "cpu") for photo in chosen)
    return np.array([photo.dice(answer.support, answer.cut) for photo, answer in zip(chosen, answers)])
