"""The front door: models by name, images from files or memory, one function that segments.

The runner of 3D Slicer's panel, the command line, batches and the evaluation of training all come through `segment`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from veloxseg.contract import names
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.settings import Settings
from veloxseg.imaging.images import Grid, image_of
from veloxseg.imaging.reading import Source, check_geometry
from veloxseg.imaging.stored import contradiction
from veloxseg.inference import devices, dispatch, results
from veloxseg.inference.case import Package
from veloxseg.inference.progress import Listener, Run
from veloxseg.packages import cards, packages, warm
from veloxseg.validation import first_problem

Image = Source | str | np.ndarray | tuple[np.ndarray, Grid]
"""A path; a SimpleITK image; a pair (array, grid) of a volume, (x, y, z); or a photo, uint8 (y, x, 3)."""
ITK_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
NEAREST_TYPES = {"b1": "u1", "f2": "f4"}
"""Number types that images don't have -> the smallest that holds their values."""


@dataclass(frozen=True)
class Result:
    """A segmented case in memory.

    Attributes:
        prediction: all that was found (`pipeline.VolumePrediction` or `photo_pipeline.PhotoPrediction`).
        card: the card of the model.
        run: stages, notes and times of the run.
        written: content of results.json where it was written at once.
    """

    prediction: dispatch.Prediction
    card: Card
    run: Run
    written: dict | None = None

    @cached_property
    def provenance(self) -> dict:
        """Content of results.json (docs/formats.md): model, versions, settings, times, notes and measures."""
        measured = "measures" in self.prediction.settings.outputs
        return self.written or results.describe(self.prediction, self.card, self.run, measured)

    @property
    def mask(self) -> np.ndarray:
        """uint8 (x, y, z): the values of the card's labels, 0 elsewhere; of a photo (x, y, 1)."""
        return self.prediction.mask

    @property
    def probability(self) -> np.ndarray:
        """float32 (x, y, z), 0 to 1: that a voxel belongs to any label."""
        return self.prediction.probability

    @property
    def uncertainty(self) -> np.ndarray | None:
        """float32 (x, y, z), 0 to 0.25: variance over passes or samples; None where there was one alone."""
        return self.prediction.uncertainty

    @property
    def grid(self) -> Grid:
        """Where the voxels lie: the grid of the reference image, LPS mm."""
        return self.prediction.grid

    @property
    def segments(self) -> list[dict]:
        """One entry per label of the card: value, name and sizes, with units in their names (ml, mm, px)."""
        return self.prediction.segments

    @property
    def lesions(self) -> list[dict] | None:
        """One entry per lesion, the largest first; None for models without lesions and where measures were not asked for."""
        return getattr(self.prediction, "lesions", None)

    @property
    def notes(self) -> list[dict]:
        """Code and text of what one should know that is no failure."""
        return self.run.notes

    def image(self) -> sitk.Image:
        """The mask as a SimpleITK image on its grid."""
        return image_of(self.mask, self.grid)

    def save(self, folder: str | Path) -> Path:
        """Writes mask.nrrd, results.json and the maps of the setting `outputs`, all or nothing.

        Args:
            folder: a new or an empty one.

        Returns:
            The folder.

        Raises:
            VeloxSegError: PATH, OUTPUT_UNWRITABLE or DISK_FULL.
        """
        with results.complete_folder(Path(folder)) as partial:
            self._write(partial)
        return Path(folder)

    def _write(self, partial: Path) -> dict:
        return results.write(self.prediction, self.card, partial, self.prediction.settings.outputs, self.run)


def models() -> list[packages.ModelPackage]:
    """The models of this computer, shipped ones first, without damaged ones, which `veloxseg models` names.

    Returns:
        Packages with their `card` (docs/formats.md) and `folder`; `segment` takes them.

    Example:
        >>> import veloxseg
        >>> [model.card.roles[0].name for model in veloxseg.models() if model.card.id == "brain-regions-t1"]
        ['T1']
    """
    found = []
    for folder in [*cards.shipped(), *cards.imported()]:
        try:
            found.append(packages.read(folder))
        except VeloxSegError as error:
            if not error.code.startswith("MODEL_"):
                raise
    return found


def load(model: str | Path, accept_license: bool = False) -> warm.WarmPackage:
    """A model that keeps its network, for several cases.

    Args:
        model: id or id-version of a shipped or imported model, or the folder of a model package.
        accept_license: needed for a model whose license may restrict its use: it was read and is accepted.

    Returns:
        The package, with its `card` and `folder`.

    Raises:
        VeloxSegError: MODEL_MISSING, MODEL_CORRUPT, MODEL_NEWER, MODEL_SCHEMA, MODEL_LICENSE or PATH.

    Example:
        >>> import veloxseg
        >>> veloxseg.load("petct-lesions-demo").card.title
        'PET/CT lesions'
    """
    package = packages.read(cards.find(model))
    cards.check_license(package.card, package.folder, accept_license)
    return warm.Keeper().package(package)


def segment(
    model: str | Path | Package,
    images: Mapping[str, Image] | Image,
    output: str | Path | None = None,
    *,
    device: str = Settings.device,
    overlap: float | None = Settings.overlap,
    mirrors: bool = Settings.mirrors,
    seed: int = Settings.seed,
    members: int | None = Settings.members,
    mm_per_px: float | None = Settings.mm_per_px,
    region: Mapping[str, object] | None = None,
    accept_overlap: bool = Settings.accept_overlap,
    accept: Sequence[str] = Settings.accept,
    suv: bool = Settings.suv,
    outputs: Sequence[str] = Settings.outputs,
    accept_license: bool = False,
    listener: Listener | None = None,
) -> Result:
    """Segments one case. None stands for the model's own value.

    Args:
        model: as for `load`, or what `load` or `models` gave; only `load` keeps the network for the next case.
        images: role of the model -> path, SimpleITK image or pair of an array (x, y, z) and its `veloxseg.Grid` (LPS mm); a photo
            may be an array uint8 (y, x, 3). A model with one role takes its image alone, too.
        output: folder for the results, new or empty; without it nothing is written.
        device: auto, cpu, cuda, cuda:N or mps.
        overlap: of the windows, 0 to 0.9; for volumes.
        mirrors: compute the left-right mirror image, too, and take the mean; for volumes.
        seed: of random numbers.
        members: samples of the ensemble; for models that have one.
        mm_per_px: side of a photo's pixels in mm.
        region: nothing is looked for outside of this box: `center` and `size` in LPS mm, and `axes`, three unit vectors.
        accept_overlap: the images share little space, and that is right.
        accept: codes of what is odd about the images and shall be noted instead of refused (docs/formats.md).
        suv: whether the PET image holds SUV; one that does not is scaled so that the mean of the body is 1, and not measured.
        outputs: some of mask, probability, uncertainty and measures.
        accept_license: as for `load`.
        listener: hears of stages, progress and notes, and may cancel.

    Returns:
        The result in memory, which was also written if there is an `output`.

    Raises:
        VeloxSegError: with a code of docs/formats.md and one sentence that says what to do.

    Example:
        >>> import veloxseg
        >>> model = veloxseg.load("petct-lesions-demo")
        >>> example = model.folder / "example"
        >>> result = veloxseg.segment(
        ...     model, {"CT": example / "CT.nii.gz", "PET": example / "PET.nii.gz"}, device="cpu"
        ... )
        >>> result.mask.shape == result.grid.size, str(result.mask.dtype), [part["name"] for part in result.segments]
        (True, 'uint8', ['Lesion'])
    """
    settings = _settings(
        device=device, overlap=overlap, mirrors=mirrors, seed=seed, members=members, mm_per_px=mm_per_px, region=region,
        accept_overlap=accept_overlap, accept=accept, suv=suv, outputs=outputs,
    )  # fmt: skip
    package = load(model, accept_license) if isinstance(model, str | os.PathLike) else model
    sources = _sources(package.card, images)
    run = Run(listener)
    if output is None:
        return _computed(package, sources, settings, run)
    with results.complete_folder(Path(output)) as partial:
        run.listener.writes(partial)
        result = _computed(package, sources, settings, run)
        result = replace(result, written=result._write(partial))
        run.check()
    return result


def _settings(**fields: object) -> Settings:
    """Raises REQUEST with the field's name."""
    problem = first_problem("request", {"schema_version": 1, "model": "any", "inputs": {"any": "any"}, **fields})
    if problem:
        raise VeloxSegError("REQUEST", reason=problem)
    return Settings.of(fields)


def _computed(package: Package, sources: Mapping[str, Source], settings: Settings, run: Run) -> Result:
    measure = "measures" in settings.outputs
    found = dispatch.segment(package, sources, settings, devices.choose(settings.device), run, measure)
    return Result(found, package.card, run)


def _sources(card: Card, given: Mapping[str, Image] | Image) -> dict[str, Source]:
    """Raises MODEL_ROLES for one image without a role where the model has several, and what `_source` raises."""
    roles = [role.name for role in card.roles]
    if not isinstance(given, Mapping):
        if len(roles) > 1:
            raise VeloxSegError("MODEL_ROLES", model=card.title, needed=", ".join(roles), given="one image without a role")
        given = {roles[0]: given}
    return {str(role): _source(card, str(role), image) for role, image in given.items()}


def _source(card: Card, role: str, image: Image) -> Source:
    """Raises REQUEST for what is no image, INPUT_KIND and INPUT_GEOMETRY for arrays."""
    if isinstance(image, str | os.PathLike):
        return Path(image)
    if isinstance(image, sitk.Image):
        return image
    is_photo = card.takes_photo
    if isinstance(image, np.ndarray) and is_photo:
        if image.ndim != 3:
            raise VeloxSegError("INPUT_KIND", role=role, found=f"an array of {image.ndim} axes")
        return sitk.GetImageFromArray(_numbers(role, image), isVector=True)
    is_pair = isinstance(image, tuple) and len(image) == 2 and isinstance(image[0], np.ndarray) and isinstance(image[1], Grid)
    if not is_pair or is_photo:
        kinds = "an array (y, x, 3)" if is_photo else "a pair of an array (x, y, z) and its veloxseg.Grid"
        found = f"the image {names.shown(role)} is a {names.shown(type(image).__name__)}"
        raise VeloxSegError("REQUEST", reason=f"{found} and not a path, a SimpleITK image or {kinds}")
    return _placed(role, *image)


def _placed(role: str, array: np.ndarray, grid: Grid) -> sitk.Image:
    if array.shape != tuple(grid.size):
        reason = f"its array has the shape {array.shape} and its grid the size {tuple(grid.size)}"
        raise contradiction(role, reason, "give an array (x, y, z) with the grid it lies on")
    check_geometry(role, grid.spacing, grid.origin, grid.direction)
    return image_of(_numbers(role, array), grid)


def _numbers(role: str, array: np.ndarray) -> np.ndarray:
    """The array with a number type that images have. Raises INPUT_KIND."""
    name = array.dtype.str[1:]
    name = NEAREST_TYPES.get(name, name)
    if name not in ITK_TYPES or not array.size:
        raise VeloxSegError("INPUT_KIND", role=role, found=f"an array of {array.dtype} with {array.size} values")
    return array.astype(name, copy=False)
