"""Model packages: read, verify, build the network.

A package is a folder of data files (docs/formats.md). Nothing in it is executed, imported, evaluated or
unpickled: the card is JSON, the weights are safetensors, the network's code is this engine's own.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from veloxseg import files
from veloxseg.contract import names
from veloxseg.contract.card import Card
from veloxseg.contract.errors import EXIT_INPUT, VeloxSegError
from veloxseg.contract.settings import Settings
from veloxseg.imaging import findings, images
from veloxseg.inference import devices, dispatch, photo_pipeline
from veloxseg.networks import VeloxSeg, fast, load_weights
from veloxseg.networks.checkpoint import POSITION_INDEX
from veloxseg.networks.nca import NCA
from veloxseg.packages import bundles, cards

WEIGHTS = "models/model.safetensors"
MANIFEST = "manifest.json"
EXPECTED = "example/expected.json"
LARGEST_WEIGHTS = 2 << 30
NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
RUNNING, PASSED = "running", "passed"

Report = Callable[[str, str], None]
"""Hears the name of a check and RUNNING or PASSED; a failure is raised."""


def unheard(check: str, state: str) -> None:
    """The report that nobody reads."""


@dataclass(frozen=True)
class ModelPackage:
    """A package whose card has been read and checked."""

    folder: Path
    card: Card

    def network(self, device: torch.device | str = "cpu") -> fast.FastVeloxSeg | VeloxSeg | NCA:
        """The network with the package's weights, in eval mode, on a device; for volumes in its fast form, whose logits are
        those of the plain form minus the background's.

        Raises MODEL_CORRUPT when the weights are not those of the card and MODEL_SCHEMA when the
        architecture's arguments make no network.
        """
        data = self.check_weights()
        try:
            state = load(data)
            _check_numbers(state)
            # Without memory for its parameters, in case the card asks for far more than the file has.
            with torch.device("meta"):
                wanted = sum(parameter.numel() for parameter in build_network(self.card).parameters())
            if wanted > sum(tensor.numel() for tensor in state.values()):
                raise ValueError(f"the architecture has {wanted} parameters, more than the file")
            network = build_network(self.card)
            load_weights(network, state)
        except (SafetensorError, ValueError, KeyError) as error:
            raise _corrupt(self, "its weights do not fit its architecture", str(error)) from error
        return fast.convert(network.eval(), relative=True).to(device)

    def check_weights(self) -> bytes:
        """The bytes of the weights, read once: what was checked is what is used. Raises MODEL_CORRUPT when they are missing or
        not those of the card."""
        path = self.folder / WEIGHTS
        if not path.is_file():
            raise _corrupt(self, f"{WEIGHTS} is missing")
        if path.stat().st_size > LARGEST_WEIGHTS:
            raise _corrupt(self, f"{WEIGHTS} has more than {LARGEST_WEIGHTS >> 30} GiB")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise _corrupt(self, f"{WEIGHTS} cannot be read", str(error)) from error
        if hashlib.sha256(data).hexdigest() != self.card.weights_sha256:
            raise _corrupt(self, f"{WEIGHTS} is not the file that the card names")
        return data


def _check_numbers(state: Mapping[str, torch.Tensor]) -> None:
    """Raises ValueError for weights that are no finite real numbers in single precision."""
    for name, tensor in state.items():
        if not name.endswith(POSITION_INDEX) and tensor.dtype not in NUMBERS:
            raise ValueError(f"{names.shown(name)} holds {tensor.dtype}, not real numbers")
        if not torch.isfinite(tensor.float()).all():
            raise ValueError(f"{names.shown(name)} has numbers that are not finite")


def build_network(card: Card) -> VeloxSeg | NCA:
    """The inference network of a card, without weights. Raises MODEL_SCHEMA."""
    arguments = card.arguments
    try:
        if card.network == "NCA":
            return NCA(**arguments)
        return VeloxSeg(**{**arguments, "teachers": False, "deep_supervision": False})
    except (TypeError, ValueError) as error:
        raise VeloxSegError("MODEL_SCHEMA", model=card.title, reason=f"architecture.arguments: {error}") from error


def read(folder: Path) -> ModelPackage:
    """The package of a folder, its card checked. Raises MODEL_MISSING, MODEL_CORRUPT, MODEL_NEWER or MODEL_SCHEMA."""
    return ModelPackage(Path(folder), cards.read(folder))


def verify(folder: Path, report: Report = unheard) -> float:
    """Check every file of a package and run it on its example; returns the mean Dice with the expected mask.

    `report` hears of the checks `card`, `weights` and `test`. Raises the MODEL_* codes: MODEL_CORRUPT for an example that is
    unreadable, MODEL_ANSWER for one that comes out worse than `dice_min`.
    """
    with reported("card", report):
        package = read(folder)
    with reported("weights", report):
        check_manifest(package)
        package.network()
    with reported("test", report):
        return dry_run(package)


@contextlib.contextmanager
def reported(check: str, report: Report) -> Iterator[None]:
    """Tell that a check is running, and after the block that it has passed."""
    report(check, RUNNING)
    yield
    report(check, PASSED)


def check_manifest(package: ModelPackage) -> None:
    """Every file is listed with its SHA-256 and present, nothing is a link, and what other tools evaluate is what this engine
    wrote. Raises MODEL_CORRUPT."""
    manifest = cards.read_json(package.folder, MANIFEST)
    listed = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(listed, dict):
        raise _corrupt(package, f"{MANIFEST} has no list of files")
    present = {
        path.relative_to(package.folder).as_posix(): path
        for path in package.folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    present.pop(MANIFEST, None)
    for name, path in sorted(present.items()):
        if path.is_symlink():
            raise _corrupt(package, f"{names.shown(name)} is a link")
        if name not in listed:
            raise _corrupt(package, f"{names.shown(name)} is not in {MANIFEST}")
        if files.sha256(path) != listed[name]:
            raise _corrupt(package, f"{names.shown(name)} has been changed")
    for name in listed:
        if name not in present:
            raise _corrupt(package, f"{names.shown(name)} is missing")
    foreign = bundles.foreign(package.folder, package.card)
    if foreign:
        raise _corrupt(package, foreign)


def dry_run(package: ModelPackage) -> float:
    """Segment the package's example on the CPU; returns the mean Dice over the labels. Raises MODEL_CORRUPT or
    MODEL_ANSWER."""
    expected = cards.read_json(package.folder, EXPECTED)
    try:
        least = _least_dice(expected["dice_min"])
        inputs = {role: _inside(package, "example/" + name) for role, name in expected["inputs"].items()}
        truth, grid = _expected_mask(package, _inside(package, "example/" + expected["mask"]))
        outcome = dispatch.segment(package, inputs, Settings(device="cpu"), devices.choose("cpu"))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _corrupt(package, f"{EXPECTED} is not usable", str(error)) from error
    except VeloxSegError as error:
        if error.exit_code == EXIT_INPUT:
            raise _corrupt(package, "its example cannot be read", error.text) from error
        raise
    if not images.same_grid(grid, outcome.grid):
        raise _corrupt(package, "its example and the expected mask differ in their grids")
    dice = findings.mean_dice(outcome.mask, truth)
    if not dice >= least:
        reason = f"its example gives a Dice of {dice:.3f} instead of {least:g} or more"
        raise VeloxSegError("MODEL_ANSWER", model=package.card.title, reason=reason)
    return dice


def _least_dice(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(f"dice_min is {value!r}, not a number above 0 and up to 1")
    return float(value)


def _expected_mask(package: ModelPackage, path: Path) -> tuple[np.ndarray, images.Grid]:
    """The label values (x, y, z) that the example shall give, and their grid."""
    if package.card.takes_photo:
        inside, grid = photo_pipeline.read_mask(path)
        return inside * np.uint8(package.card.labels[0].value), grid
    image = images.read_volume(path, "expected mask")
    mask = images.array_of(image)
    if not np.isin(mask, [0, *(label.value for label in package.card.labels)]).all():
        raise _corrupt(package, "its expected mask has values that no label has")
    return mask, images.grid_of(image)


def _inside(package: ModelPackage, relative: str) -> Path:
    """Path of a file named inside the package; names that leave it are refused."""
    if cards.is_unsafe_name(relative):
        raise _corrupt(package, f"{relative!r} leaves the package")
    return package.folder / relative


def _corrupt(package: ModelPackage, reason: str, detail: str = "") -> VeloxSegError:
    return VeloxSegError("MODEL_CORRUPT", detail=detail, model=package.card.title, reason=reason)
