"""One case: images by role -> working grid -> intensities -> network -> probabilities -> mask on the
reference grid.

The panel's runner, the command line, package verification, evaluation during training and the tests all come
through here. `network` is any callable (1, C, *window) -> (1, K, *window); K is one more than the card's
labels, background first. Arrays are (x, y, z), see `images`.
"""

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from veloxseg import parallel
from veloxseg.contract import errors, limits, plausibility
from veloxseg.contract.card import Card, Role
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.settings import Settings
from veloxseg.contract.windows_plan import WindowPlan
from veloxseg.imaging import findings, images, intensities, regions
from veloxseg.imaging.reading import Source
from veloxseg.inference import devices, empty_space, members, oom_fallback, opinions, single, windows
from veloxseg.inference.case import Network, Package, Prepared
from veloxseg.inference.progress import Run


@dataclass
class VolumePrediction:
    """All of a finished case: uint8 mask and float32 maps, (x, y, z) on `grid`; `probability` is that of any label.

    uncertainty: variance of the passes, 0 to 0.25, and agreement: see `opinions.Opinions`. Both are None without an ensemble and
    mirrors, and `sampling` (members, calls, method, fusion) without an ensemble.
    """

    mask: np.ndarray
    probability: np.ndarray
    uncertainty: np.ndarray | None
    agreement: float | None
    grid: images.Grid
    windows: int
    device: str
    overlap: float
    settings: Settings
    sampling: dict | None
    segments: list[dict]
    highest_probability: dict
    lesions: list[dict] | None


def read_inputs(
    card: Card, sources: Mapping[str, Source], run: Run | None = None, accept_overlap: bool = False
) -> dict[str, sitk.Image]:
    """One image per role of the card, read where it is a file, in channel order; checks that they lie in the same place.

    Raises MODEL_ROLES for missing or unknown roles, INPUT_ROLE for one file in two roles, INPUT_OVERLAP when
    two images share less than half of the smaller one's box and that is not accepted, and everything that `images.read` raises.
    """
    run = run or Run()
    names = [role.name for role in card.roles]
    if set(names) != set(sources):
        raise VeloxSegError("MODEL_ROLES", model=card.title, needed=", ".join(names), given=", ".join(sources) or "none")
    _refuse_doubles(sources)
    run.check()

    def read(role: Role) -> tuple[sitk.Image, list[errors.Note]]:
        notes: list[errors.Note] = []
        empty = partial(intensities.background, role.intensity)
        return images.read(sources[role.name], role.name, empty, notes.append), notes

    found = parallel.each(read, card.roles)
    volumes = {name: image for name, (image, _) in zip(names, found)}
    for _, notes in found:
        for note in notes:
            run.note(note)
    if not accept_overlap:
        check_overlap(card, volumes)
    return volumes


def _refuse_doubles(sources: Mapping[str, Source]) -> None:
    seen: dict[Path | int, str] = {}
    for name, source in sources.items():
        in_memory = isinstance(source, sitk.Image)
        other = seen.setdefault(id(source) if in_memory else Path(source).resolve(), name)
        if other != name:
            kind = "image" if in_memory else "file"
            raise VeloxSegError("INPUT_ROLE", role=name, reason=f"the same {kind} is given as {other}")


def with_guessed_suv(card: Card, volumes: Mapping[str, sitk.Image]) -> dict[str, sitk.Image]:
    """The images, those for roles in SUV scaled so that the body has a mean of 1, as SUV by body weight have by definition where
    nothing leaves the body: good for finding lesions, never for measuring them."""
    wanted = {role.name for role in card.roles if role.wants_suv}
    return {name: intensities.scaled_to_body(image) if name in wanted else image for name, image in volumes.items()}


def check_overlap(card: Card, volumes: Mapping[str, sitk.Image]) -> None:
    """Raises INPUT_OVERLAP when an image shares less than half of the smaller box with the reference
    image."""
    reference = card.reference.name
    for name, image in volumes.items():
        shared = images.overlap(images.grid_of(image), images.grid_of(volumes[reference]))
        if not limits.covers(shared):
            raise VeloxSegError("INPUT_OVERLAP", role=name, reference=reference, percent=100 * shared)


def check_plausibility(card: Card, volumes: Mapping[str, sitk.Image], accept: Collection[str], hear: errors.Hear) -> bool:
    """Notes, or refuses as the card says, what is odd about the images; returns whether a PET holds SUV.

    accept: codes that are noted and not refused. Raises the codes of `plausibility`.
    """
    looked = dict(zip(volumes, parallel.each(_look, volumes.values())))
    found = plausibility.findings(card, looked)
    for finding in found:
        wanted = plausibility.action(card, finding.code)
        if wanted == plausibility.REFUSE and finding.code not in accept:
            raise VeloxSegError(finding.code, **finding.facts)
        if wanted != plausibility.IGNORE:
            hear(errors.note(finding.code, **finding.facts))
    return plausibility.holds_suv(found)


def _look(image: sitk.Image) -> plausibility.Image:
    return plausibility.look(sitk.GetArrayViewFromImage(image).transpose(2, 1, 0), images.grid_of(image).to_world)


def prepare(card: Card, volumes: Mapping[str, sitk.Image], run: Run | None = None) -> Prepared:
    """Every role's image on the working grid with the card's intensities, stacked in channel order, without empty margins."""
    (run or Run()).check()
    grid = images.working_grid(images.grid_of(volumes[card.reference.name]), card.spacing_mm)

    def channel(role: Role) -> tuple[np.ndarray, float]:
        image, spec = volumes[role.name], role.intensity
        outside = intensities.background(spec, sitk.GetArrayViewFromImage(image))
        values = intensities.apply(spec, images.on_grid(image, grid, outside))
        return values, intensities.padding_value(spec, values)

    channels, pad_values = zip(*parallel.each(channel, card.roles))
    return without_margins(Prepared(torch.from_numpy(np.stack(channels)), grid, list(pad_values)))


def without_margins(prepared: Prepared) -> Prepared:
    """The box that holds everything that differs from empty space in some channel.

    Where windows fall must depend on the patient and not on how much air was stored around; the corners of an oblique image's
    bounding box are such air.
    """
    empty = torch.tensor(prepared.pad_values).reshape(-1, 1, 1, 1)
    filled = (prepared.volume > empty).any(dim=0)
    if not filled.any():
        return prepared
    places = [filled.any(dim=others).nonzero() for others in ((1, 2), (0, 2), (0, 1))]
    return prepared.part([int(place[0]) for place in places], [int(place[-1]) + 1 for place in places])


def probabilities(
    card: Card,
    network: Network,
    prepared: Prepared,
    device: torch.device,
    plan: WindowPlan,
    run: Run | None = None,
) -> torch.Tensor:
    """Class probabilities (K, x, y, z) on the working grid, float32 on the CPU. Raises NUMERIC or
    CANCELLED."""
    classes = torch.empty((len(card.labels) + 1, *prepared.volume.shape[1:]))
    tolerances = [intensities.empty_tolerance(role.intensity) for role in card.roles]
    empty = list(map(windows.Empty, prepared.pad_values, tolerances))
    slabs = windows.slabs(network, prepared.volume, plan, empty, len(classes), device, (run or Run()).listener)
    with contextlib.closing(slabs):
        for place, logits in slabs:
            if not torch.isfinite(logits).all():
                raise VeloxSegError("NUMERIC")
            # background of a network with relative logits
            zeros = logits.new_zeros((len(classes) - len(logits), *logits.shape[1:]))
            classes[:, place] = torch.softmax(torch.cat([zeros, logits]), dim=0)
    for class_map in classes:
        class_map.copy_(torch.from_numpy(images.smooth(class_map.numpy(), prepared.grid, card.smoothing_mm)))
    return classes


def opinions_of(
    card: Card,
    passes: Sequence[Network],
    prepared: Prepared,
    device: torch.device,
    plan: WindowPlan,
    run: Run | None = None,
) -> opinions.Opinions:
    """What the networks of `members.passes` say together. Raises NUMERIC or CANCELLED."""

    def classes(network: Network, run: Run) -> torch.Tensor:
        return probabilities(card, network, prepared, device, plan, run)

    return opinions.opinions(classes, passes, card.threshold if len(card.labels) == 1 else None, run or Run())


def mask_on(
    card: Card, classes: torch.Tensor, source: images.Grid, target: images.Grid, run: Run | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mask (uint8, values of the card) and probability of any label (float32), both (x, y, z) on the target
    grid.

    One label: probability at or above the card's threshold. Several: the most probable class.
    `single` models keep the largest part alone.
    """
    run = run or Run()
    foreground = images.map_on_grid(1.0 - classes[0].numpy(), source, target)
    run.check()
    labels = card.labels
    if len(labels) == 1:
        mask = np.where(foreground >= card.threshold, labels[0].value, 0).astype(np.uint8)
    else:
        values = [0, *(label.value for label in labels)]
        mask = images.labels_on_grid((class_map.numpy() for class_map in classes), source, target, values, run.check)
    if card.is_single:
        beside = single.beside_largest(mask > 0)
        mask[beside], foreground[beside] = 0, 0
    return mask, foreground


def segment(
    package: Package,
    sources: Mapping[str, Source],
    settings: Settings,
    device: devices.Device,
    run: Run | None = None,
    measure: bool = True,
) -> VolumePrediction:
    """One case from files or memory to a `VolumePrediction` in memory; nothing is written.

    `device` is what `devices.choose(settings.device)` gave. Raises the model, input, memory, numeric and
    cancel codes.
    """
    run = run or Run()
    torch.manual_seed(settings.seed)
    card = package.card
    with typed_device_errors(device):
        with run.stage("reading"):
            volumes = read_inputs(card, sources, run, settings.accept_overlap)
            if not settings.suv:
                volumes = with_guessed_suv(card, volumes)
            holds_suv = check_plausibility(card, volumes, settings.accept, run.note) and settings.suv
            grid = images.grid_of(volumes[card.reference.name])
            inside = None if settings.region is None else regions.inside(settings.region, grid)
            devices.check_main_memory(least_memory(card, grid))
        with run.stage("preparing"):
            prepared = prepare(card, volumes, run)
            if settings.region is not None:
                prepared = prepared.part(*regions.box(prepared.grid, settings.region, card.window.size))
        plan = card.window if settings.overlap is None else replace(card.window, overlap=settings.overlap)
        found, device = _compute(package, prepared, settings, device, plan, run)
        with run.stage("computing", "Bringing the result onto the image's grid"):
            mask, probability = mask_on(card, found.classes, prepared.grid, grid, run)
            uncertainty = None if found.variance is None else images.map_on_grid(found.variance.numpy(), prepared.grid, grid)
            if inside is not None:
                mask, probability = inside.keep(mask), inside.keep(probability)
                uncertainty = None if uncertainty is None else inside.keep(uncertainty)
            empty = tuple(empty_space.marked_in_vain(card, volumes, probability).T)
            for result in (mask, probability, uncertainty):
                if result is not None:
                    result[empty] = 0
        with run.stage("measuring"):
            lesions = _lesions(card, mask, probability, grid, volumes, holds_suv) if measure and card.lists_lesions else None
            highest = findings.highest_probability(probability, grid)
            if not mask.any():
                note_nothing(card, highest, run)
            sampling = members.sampling_of(card, settings)
            passes = (1 if sampling is None else sampling.members) * (1 + settings.mirrors)
            return VolumePrediction(
                mask,
                probability,
                uncertainty,
                found.agreement,
                grid,
                passes * plan.count(prepared.volume.shape[1:]),
                device.name,
                plan.overlap,
                settings,
                members.facts(card, sampling),
                findings.segments(mask, grid, card.labels),
                highest,
                lesions,
            )


def note_nothing(card: Card, highest: dict, run: Run) -> None:
    """Nothing found is a result too: say how close it was and what may be behind it. highest: of `findings`."""
    position = plausibility.position_text(highest["position_lps"])
    facts = {"threshold": card.threshold, "score": highest["value"], "position": position}
    run.note(errors.note("NOTHING_FOUND", **facts))


def least_memory(card: Card, grid: images.Grid) -> int:
    """Bytes without which a case cannot be done: the network's input, and mask and probability on the reference grid."""
    working = images.working_grid(grid, card.spacing_mm)
    return 4 * len(card.roles) * math.prod(working.size) + 5 * math.prod(grid.size)


def _compute(
    package: Package, prepared: Prepared, settings: Settings, device: devices.Device, plan: WindowPlan, run: Run
) -> tuple[opinions.Opinions, devices.Device]:
    """Load and run the network; where memory is short, as `oom_fallback` says."""
    card = package.card

    def compute(attempt: oom_fallback.Attempt) -> opinions.Opinions:
        with run.stage("model"):
            passes = members.passes(card, package.network(attempt.device.torch_device), settings)
        with run.stage("computing"):
            ready = [attempt.network(network) for network in passes]
            return opinions_of(card, ready, prepared, attempt.collecting_device, plan, run)

    planned = oom_fallback.promising(oom_fallback.attempts(device, settings.device), _collected_bytes(card, prepared))
    found, attempt = oom_fallback.first_that_fits(planned, compute, run.note)
    return found, attempt.device


def _collected_bytes(card: Card, prepared: Prepared) -> int:
    """Of the logits of a slab as thick as a window."""
    _, _, y, z = prepared.volume.shape
    return 4 * (len(card.labels) + 1) * card.window.size[0] * y * z


def _lesions(
    card: Card,
    mask: np.ndarray,
    probability: np.ndarray,
    grid: images.Grid,
    volumes: Mapping[str, sitk.Image],
    suv: bool,
) -> list[dict]:
    pets = [volumes[role.name] for role in card.roles if role.modality == "PT"]
    pet = pets[0] if pets and suv else None
    return findings.lesions(mask, probability, grid, pet)


@contextlib.contextmanager
def typed_device_errors(device: devices.Device) -> Iterator[None]:
    """Turn exhausted memory into MEMORY_CPU or MEMORY_GPU, and a GPU that is gone into DEVICE_LOST."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        detail = str(error).splitlines()[0] if str(error) else ""
        if devices.is_device_lost(error):
            raise VeloxSegError("DEVICE_LOST", device=device.name, detail=detail) from error
        if not errors.is_memory_error(error):
            raise
        on_gpu = isinstance(error, torch.cuda.OutOfMemoryError) or "mps" in str(error).lower()
        code = "MEMORY_GPU" if on_gpu else "MEMORY_CPU"
        raise VeloxSegError(code, device=device.name, detail=detail) from error
