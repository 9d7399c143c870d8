"""The result folder: mask, maps and `results.json`, either complete or absent."""

import contextlib
import platform
import shutil
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from veloxseg import __version__, files
from veloxseg.contract import names
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images
from veloxseg.inference.photo_pipeline import PhotoPrediction
from veloxseg.inference.pipeline import VolumePrediction
from veloxseg.inference.progress import Run

MASK = "mask.nrrd"
PROBABILITY = "probability.nrrd"
UNCERTAINTY = "uncertainty.nrrd"
LARGEST_VARIANCE = 0.25  # half of the members (or passes) say 0, the others 1
RESULTS = "results.json"


@contextlib.contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """Give a hidden folder beside `folder` to fill; on success it takes that name, on failure nothing is
    left.

    Missing parents are created (and removed again on failure). An empty folder may exist already. Raises PATH,
    OUTPUT_UNWRITABLE or DISK_FULL, at the beginning if possible.
    """
    folder = Path(folder).absolute()
    names.check(folder)
    with files.typed_output_errors(folder):
        _refuse_content(folder)
    files.remove_leftovers(folder.parent)
    partial = files.partial_name(folder)
    new_parents: list[Path] = []
    finished = False
    try:
        with files.typed_output_errors(folder):
            new_parents = [parent for parent in folder.parents if not parent.exists()]
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
        with _named(folder, partial):
            yield partial
        with files.typed_output_errors(folder):
            if folder.exists():
                folder.rmdir()
            partial.rename(folder)
        finished = True
    finally:
        if not finished:
            shutil.rmtree(partial, ignore_errors=True)
            for parent in new_parents:
                with contextlib.suppress(OSError):
                    parent.rmdir()


@contextlib.contextmanager
def _named(folder: Path, partial: Path) -> Iterator[None]:
    """What cannot be written is told with the place that a person has chosen."""
    try:
        yield
    except VeloxSegError as error:
        path = error.facts.get("path")
        if not isinstance(path, Path) or partial not in path.parents:
            raise
        raise VeloxSegError(error.code, error.detail, **error.facts | {"path": folder}) from error


def _refuse_content(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VeloxSegError("OUTPUT_UNWRITABLE", path=folder, reason="it already exists and is not an empty folder")


def write(outcome: VolumePrediction | PhotoPrediction, card: Card, folder: Path, outputs: Collection[str], run: Run) -> dict:
    """Write the files of `outputs` into an existing folder; returns the content of results.json.

    The mask is always written; an uncertainty that the outcome does not have is left out.
    """
    with run.stage("writing"):
        images.write(images.image_of(outcome.mask, outcome.grid), folder / MASK)
        if "probability" in outputs:
            run.check()
            images.write(_byte_image(outcome.probability, 1.0, outcome.grid), folder / PROBABILITY)
        if "uncertainty" in outputs and outcome.uncertainty is not None:
            run.check()
            images.write(_byte_image(outcome.uncertainty, LARGEST_VARIANCE, outcome.grid), folder / UNCERTAINTY)
        run.check()
    content = describe(outcome, card, run, measured="measures" in outputs)
    files.write_json(folder / RESULTS, content)
    return content


def _byte_image(values: np.ndarray, highest: float, grid: images.Grid) -> sitk.Image:
    scaled = np.rint(np.clip(values / highest, 0, 1) * 255).astype(np.uint8)
    return images.image_of(scaled, grid)


def describe(outcome: VolumePrediction | PhotoPrediction, card: Card, run: Run, measured: bool = True) -> dict:
    """Content of results.json; without `measured` it has no numbers about the mask."""
    content = {
        "schema_version": 1,
        "model": {key: getattr(card, key) for key in ("id", "title", "version", "level", "weights_sha256")},
        "reference": card.reference.name,
        "device": outcome.device,
        "seed": outcome.settings.seed,
        **_way(outcome, card),
        "seconds": {name: round(value, 3) for name, value in run.times().items()},
        "versions": versions(),
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "notes": run.notes,
    }
    if measured:
        content["segments"] = outcome.segments
        content["highest_probability"] = outcome.highest_probability
        if isinstance(outcome, VolumePrediction) and outcome.lesions is not None:
            content["lesions"] = outcome.lesions
    return content


def _way(outcome: VolumePrediction | PhotoPrediction, card: Card) -> dict:
    if isinstance(outcome, VolumePrediction):
        return {
            "overlap": outcome.overlap,
            "windows": outcome.windows,
            "mirrors": outcome.settings.mirrors,
            "sampling": outcome.sampling,
            "agreement": outcome.agreement,
        }
    return {
        "working_size": card.working_size,
        "mm_per_px": outcome.settings.mm_per_px,
        "sampling": outcome.sampling,
        "agreement": outcome.agreement,
    }


def versions() -> dict[str, str]:
    """Versions of everything that may change a result."""
    return {
        "engine": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "simpleitk": sitk.Version.VersionString(),
    }


def file_table(folder: Path) -> dict[str, dict[str, str]]:
    """Name -> path and SHA-256 of every file of a result folder."""
    names = {"mask": MASK, "probability": PROBABILITY, "uncertainty": UNCERTAINTY, "results": RESULTS}
    return {
        name: {"path": str(folder / file), "sha256": files.sha256(folder / file)}
        for name, file in names.items()
        if (folder / file).is_file()
    }
