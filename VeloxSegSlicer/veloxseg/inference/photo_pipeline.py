"""One photo: file -> the network's square -> probability -> mask on the photo's own pixels, with its measures.

The counterpart of `pipeline` for cards whose role is a photo; `dispatch.segment` chooses between the two. Photos and maps are
(y, x) inside, row 0 on top. What an outcome holds is (x, y, 1) on the photo's grid, one slice, as `images` has it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
import torch
from PIL import Image
from torch import Tensor

from veloxseg import diffusion
from veloxseg.contract import errors, measures
from veloxseg.contract.card import Card, Label
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.settings import Settings
from veloxseg.imaging import findings, images, photos, reading
from veloxseg.inference import devices, members, oom_fallback, pipeline, single
from veloxseg.inference.case import Package
from veloxseg.inference.progress import Run

EIGHT_NEIGHBORS = np.ones((3, 3), bool)
VIEWS = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))
"""Quarter turns and mirror images of a square, the square itself first."""


class Photo(NamedTuple):
    """uint8 (y, x, 3) and the grid of one slice that results have."""

    pixels: np.ndarray
    grid: images.Grid


class SquarePrediction(NamedTuple):
    """What the network found in its square; maps are float32 (size, size) on the CPU."""

    probability: np.ndarray
    support: np.ndarray
    """The mask is where this map, brought to the photo, is at least `cut`."""
    cut: float
    variance: np.ndarray | None
    """Over the members, 0 to 0.25; None without an ensemble."""
    agreement: float | None


@dataclass
class PhotoPrediction:
    """All of a finished photo: uint8 mask and float32 maps, (x, y, 1) on `grid`.

    uncertainty: variance over the members, 0 to 0.25. It, `agreement` (`diffusion.Ensemble`) and `sampling` (members, calls,
    method, fusion) are None where there is no ensemble. segments: value, name and `contract.measures.photo` of the label.
    """

    mask: np.ndarray
    probability: np.ndarray
    uncertainty: np.ndarray | None
    grid: images.Grid
    device: str
    settings: Settings
    sampling: dict | None
    agreement: float | None
    segments: list[dict]
    highest_probability: dict


def check_settings(card: Card, settings: Settings) -> None:
    """Raises REQUEST for a setting that the model does not have, and for a scale that is no positive number."""
    unused = {
        "overlap": settings.overlap is not None and card.takes_photo,
        "region": settings.region is not None and card.takes_photo,
        "mirrors": settings.mirrors and card.takes_photo,
        "members": settings.members is not None and not card.has_ensemble,
        "mm_per_px": settings.mm_per_px is not None and not card.takes_photo,
    }
    for name, given in unused.items():
        if given:
            raise VeloxSegError("REQUEST", reason=f"the model {card.title} has no setting {name}")
    if settings.mm_per_px is not None and not 0 < settings.mm_per_px < math.inf:
        raise VeloxSegError("REQUEST", reason=f"mm_per_px must be a positive number and not {settings.mm_per_px}")


def read(source: reading.Source, hear: errors.Hear = errors.unheard) -> Photo:
    """Read a photo from PNG, JPEG or TIFF, or from a volume of one slice as 3D Slicer writes it, in a file or in memory.

    `hear` gets the note on the bits of its colors. A picture file gets a grid of 1 mm per pixel at the origin, because results
    need one; it is no measure of the skin. Raises INPUT_MISSING and the PHOTO_* codes.
    """
    in_memory = isinstance(source, sitk.Image)
    if not in_memory and not Path(source).name.lower().endswith(tuple(reading.FORMATS)):
        pixels = photos.read(source, hear)
        return Photo(pixels, _plain_grid(pixels))
    try:
        image = reading.read(source, "photo")
    except VeloxSegError as error:
        if error.code == "INPUT_MISSING":
            raise
        raise VeloxSegError("PHOTO_UNREADABLE", photo="in memory" if in_memory else source, detail=error.text) from error
    pixels = photos.from_volume(image, hear)
    return Photo(pixels, images.grid_of(_three_axes(image)))


def read_mask(path: Path) -> tuple[np.ndarray, images.Grid]:
    """A picture's bright pixels as uint8 (x, y, 1) of 0 and 1 on the grid that `read` gives. Raises PHOTO_UNREADABLE."""
    try:
        with Image.open(path, formats=("PNG",)) as file:
            mask = np.array(file.convert("L")) >= 128
    except photos.DAMAGED as error:
        raise VeloxSegError("PHOTO_UNREADABLE", photo=path, detail=str(error)) from error
    return _as_slice(mask.astype(np.uint8)), _plain_grid(mask)


def prepare(pixels: np.ndarray, size: int) -> tuple[Tensor, photos.Placement]:
    """Network input (3, size, size), (channel, y, x), float32 from -1 to 1, of a photo uint8 (y, x, 3), and its place there."""
    working, placement = photos.to_working(pixels, size)
    return torch.from_numpy(working.astype(np.float32) / 127.5 - 1).permute(2, 0, 1).contiguous(), placement


def answer(
    card: Card,
    network: torch.nn.Module,
    image: Tensor,
    sampling: diffusion.Sampling | None,
    device: torch.device | str,
    run: Run | None = None,
) -> SquarePrediction:
    """The network's answer to an image of `prepare`. Raises NUMERIC or CANCELLED."""
    run = run or Run()
    listener = run.listener
    if sampling is None:
        views = VIEWS if card.takes_turns else VIEWS[:1]
        maps = []
        for done, view in enumerate(views):
            run.check()
            listener.progress(done, len(views))
            with torch.inference_mode():
                logits = network(_turned(image, view)[None].to(device))[0].float().cpu()
            if not logits.isfinite().all():
                raise VeloxSegError("NUMERIC")
            maps.append(_turned_back(torch.softmax(logits, dim=0)[1], view))
        listener.progress(len(views), len(views))
        probability = torch.stack(maps).mean(dim=0).numpy()
        return SquarePrediction(probability, probability, card.threshold, None, None)
    ensemble = diffusion.segment(network, image, sampling, listener.progress, listener.cancelled)
    probability = ensemble.probability.numpy()
    # The mean can be cut after it was brought to the photo, which gives a smooth border; votes are cut already.
    if sampling.fusion == "mean":
        support, cut = probability, sampling.threshold
    else:
        support, cut = ensemble.mask.float().numpy(), 0.5
    variance = ensemble.variance.numpy() if sampling.members > 1 else None
    return SquarePrediction(probability, support, cut, variance, ensemble.agreement)


def _turned(image: Tensor, view: tuple[int, bool]) -> Tensor:
    turns, mirrored = view
    return torch.rot90(image.flip(-1) if mirrored else image, turns, (-2, -1)).contiguous()


def _turned_back(image: Tensor, view: tuple[int, bool]) -> Tensor:
    turns, mirrored = view
    back = torch.rot90(image, -turns, (-2, -1))
    return back.flip(-1) if mirrored else back


def segment(
    package: Package,
    sources: Mapping[str, reading.Source],
    settings: Settings,
    device: devices.Device,
    run: Run | None = None,
    measure: bool = True,
) -> PhotoPrediction:
    """One photo from file or memory to outcome in memory; nothing is written.

    `device` is what `devices.choose(settings.device)` gave. Without `measure` there are no segments. Raises REQUEST and the
    model, photo, memory, numeric and cancel codes.
    """
    run = run or Run()
    card = package.card
    check_settings(card, settings)
    sampling = members.sampling_of(card, settings)
    with pipeline.typed_device_errors(device):
        with run.stage("reading"):
            photo = read(_source(card, sources), run.note)
        with run.stage("preparing"):
            image, placement = prepare(photo.pixels, card.working_size)
        found, device = _compute(package, image, sampling, settings, device, run)
        with run.stage("computing", "Bringing the result onto the photo"):
            probability = photos.to_photo(found.probability, placement)
            shared = found.support is found.probability
            inside = (probability if shared else photos.to_photo(found.support, placement)) >= found.cut
            uncertainty = None if found.variance is None else _as_slice(photos.to_photo(found.variance, placement))
            if card.is_single:
                beside = single.beside_largest(inside)
                inside[beside], probability[beside] = False, 0
        with run.stage("measuring"):
            highest = findings.highest_probability(_as_slice(probability), photo.grid)
            if not inside.any():
                pipeline.note_nothing(card, highest, run)
            return PhotoPrediction(
                _as_slice(np.where(inside, card.labels[0].value, 0).astype(np.uint8)),
                _as_slice(probability),
                uncertainty,
                photo.grid,
                device.name,
                settings,
                members.facts(card, sampling),
                found.agreement,
                [_segment(card.labels[0], inside, settings.mm_per_px)] if measure else [],
                highest,
            )


def _source(card: Card, sources: Mapping[str, reading.Source]) -> reading.Source:
    name = card.roles[0].name
    if set(sources) != {name}:
        raise VeloxSegError("MODEL_ROLES", model=card.title, needed=name, given=", ".join(sources) or "none")
    return sources[name]


def _compute(
    package: Package,
    image: Tensor,
    sampling: diffusion.Sampling | None,
    settings: Settings,
    device: devices.Device,
    run: Run,
) -> tuple[SquarePrediction, devices.Device]:
    """Load and run the network; with device "auto" a GPU that is too small hands over to the CPU."""

    def compute(attempt: oom_fallback.Attempt) -> SquarePrediction:
        with run.stage("model"):
            network = package.network(attempt.device.torch_device)
        with run.stage("computing"):
            return answer(package.card, network, image, sampling, attempt.device.torch_device, run)

    planned = oom_fallback.attempts(device, settings.device, windows=False)
    found, attempt = oom_fallback.first_that_fits(planned, compute, run.note)
    return found, attempt.device


def _segment(label: Label, inside: np.ndarray, mm_per_px: float | None) -> dict:
    # brings in scipy, which volumes don't need
    from scipy import ndimage

    numbered, _ = ndimage.label(inside, EIGHT_NEIGHBORS)
    return {"value": label.value, "name": label.name, **measures.photo(numbered, mm_per_px)}


def _plain_grid(pixels: np.ndarray) -> images.Grid:
    return images.Grid((pixels.shape[1], pixels.shape[0], 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def _as_slice(array: np.ndarray) -> np.ndarray:
    """(y, x) as (x, y, 1)."""
    return array.T[..., None]


def _three_axes(image: sitk.Image) -> sitk.Image:
    if image.GetDimension() == 2:
        return sitk.JoinSeries(image)
    return image[(slice(None),) * 3 + (0,) * (image.GetDimension() - 3)]
