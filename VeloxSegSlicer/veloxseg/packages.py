"""Model packages: read, verify, build the network.

A package is a folder of data files (docs/formats.md). Nothing in it is executed, imported, evaluated or
unpickled: the card is JSON, the weights are safetensors, the network's code is this engine's own.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from veloxseg import __version__, devices, files, images, measures, pipeline
from veloxseg.errors import VeloxSegError
from veloxseg.networks import VeloxSeg, load_weights
from veloxseg.validation import first_problem

CARD = "configs/velox.json"
WEIGHTS = "models/model.safetensors"
MANIFEST = "manifest.json"
EXPECTED = "example/expected.json"
SCHEMA_VERSION = 1
SHIPPED = Path(__file__).resolve().parent.parent / "Resources" / "Models"


@dataclass(frozen=True)
class ModelPackage:
    """A package whose card has been read and checked."""

    folder: Path
    card: dict

    def network(self, device: torch.device | str = "cpu") -> VeloxSeg:
        """The network with the package's weights, in eval mode, on a device.

        Raises MODEL_CORRUPT when the weights are not those of the card and MODEL_SCHEMA when the
        architecture's arguments make no network.
        """
        path = self.folder / WEIGHTS
        if not path.is_file():
            raise VeloxSegError("MODEL_CORRUPT", model=self.card["title"], reason=f"{WEIGHTS} is missing")
        if files.sha256(path) != self.card["weights_sha256"]:
            raise VeloxSegError(
                "MODEL_CORRUPT",
                model=self.card["title"],
                reason=f"{WEIGHTS} is not the file that the card names",
            )
        network = build_network(self.card)
        try:
            load_weights(network, load_file(path))
        except (SafetensorError, ValueError) as error:
            raise VeloxSegError(
                "MODEL_CORRUPT",
                model=self.card["title"],
                detail=str(error),
                reason="its weights do not fit its architecture",
            ) from error
        return network.eval().to(device)


def build_network(card: dict) -> VeloxSeg:
    """The inference network of a card, without weights. Raises MODEL_SCHEMA."""
    arguments = card["architecture"]["arguments"]
    try:
        return VeloxSeg(**{**arguments, "teachers": False, "deep_supervision": False})
    except (TypeError, ValueError) as error:
        raise VeloxSegError(
            "MODEL_SCHEMA", model=card["title"], reason=f"architecture.arguments: {error}"
        ) from error


def shipped() -> list[Path]:
    """Folders of the packages that come with VeloxSegSlicer, by id."""
    return sorted(card.parent.parent for card in SHIPPED.glob(f"*/{CARD}"))


def find(name_or_folder: str | Path) -> Path:
    """Folder of a package given by path or by the id of a shipped one. Raises MODEL_MISSING."""
    for folder in (Path(name_or_folder), SHIPPED / name_or_folder):
        if (folder / CARD).is_file():
            return folder
    raise VeloxSegError("MODEL_MISSING", path=name_or_folder)


def read(folder: Path) -> ModelPackage:
    """Read and check the card. Raises MODEL_MISSING, MODEL_CORRUPT, MODEL_NEWER or MODEL_SCHEMA."""
    folder = Path(folder)
    if not (folder / CARD).is_file():
        raise VeloxSegError("MODEL_MISSING", path=folder)
    card = _read_json(folder, CARD)
    check_card(card, folder.name)
    return ModelPackage(folder, card)


def check_card(card: object, name: str) -> None:
    """Check a card's version, schema and inner agreement. Raises MODEL_NEWER or MODEL_SCHEMA with the field's
    name."""
    if not isinstance(card, dict):
        raise VeloxSegError("MODEL_SCHEMA", model=name, reason="the card is not a JSON object")
    _check_versions(card, name)
    problem = first_problem("card", card) or _disagreement(card)
    if problem:
        raise VeloxSegError("MODEL_SCHEMA", model=name, reason=problem)
    if any(role["kind"] == "photo" for role in card["roles"]):
        raise VeloxSegError("MODEL_NEWER", model=name, needed="colour photos", engine=__version__)


def _check_versions(card: dict, name: str) -> None:
    schema_version = card.get("schema_version")
    if isinstance(schema_version, int) and schema_version > SCHEMA_VERSION:
        raise VeloxSegError(
            "MODEL_NEWER", model=name, needed=f"package format {schema_version}", engine=__version__
        )
    wanted = card.get("engine_version")
    if isinstance(wanted, str) and re.fullmatch(r">=\d+(\.\d+){0,2}", wanted):
        least = [int(part) for part in wanted[2:].split(".")]
        if [int(part) for part in __version__.split(".")] < least:
            raise VeloxSegError(
                "MODEL_NEWER", model=name, needed=f"VeloxSeg {wanted[2:]} or newer", engine=__version__
            )


def _disagreement(card: dict) -> str | None:
    """The first thing that the schema cannot express, or None."""
    arguments = card["architecture"]["arguments"]
    roles = [role["name"] for role in card["roles"]]
    values = [label["value"] for label in card["labels"]]
    checks = {
        "roles: exactly one must be the reference": sum(role["reference"] for role in card["roles"]) == 1,
        "roles: names must differ": len(set(roles)) == len(roles),
        "labels: values must differ": len(set(values)) == len(values),
        "architecture.arguments.in_ch: as many channels as roles are needed": sum(arguments["in_ch"])
        == len(roles),
        "architecture.arguments.n_classes: one more than the labels is needed": arguments["n_classes"]
        == len(values) + 1,
    }
    return next((text for text, holds in checks.items() if not holds), None)


def verify(folder: Path) -> float:
    """Check every file of a package and run it on its example; returns the mean Dice with the expected mask.

    Raises the MODEL_* codes; an example that is unreadable or comes out worse than `dice_min` is
    MODEL_CORRUPT.
    """
    package = read(folder)
    check_manifest(package)
    return dry_run(package)


def check_manifest(package: ModelPackage) -> None:
    """Every file is listed with its SHA-256 and present, nothing is a link. Raises MODEL_CORRUPT."""
    manifest = _read_json(package.folder, MANIFEST)
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
            raise _corrupt(package, f"{name} is a link")
        if name not in listed:
            raise _corrupt(package, f"{name} is not in {MANIFEST}")
        if files.sha256(path) != listed[name]:
            raise _corrupt(package, f"{name} has been changed")
    for name in listed:
        if name not in present:
            raise _corrupt(package, f"{name} is missing")


def dry_run(package: ModelPackage) -> float:
    """Segment the package's example on the CPU; returns the mean Dice over the labels. Raises
    MODEL_CORRUPT."""
    expected = _read_json(package.folder, EXPECTED)
    try:
        inputs = {role: _inside(package, "example/" + name) for role, name in expected["inputs"].items()}
        truth = images.read_volume(_inside(package, "example/" + expected["mask"]), "expected mask")
        outcome = pipeline.segment(package, inputs, pipeline.Settings(device="cpu"), devices.choose("cpu"))
        least = float(expected["dice_min"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _corrupt(package, f"{EXPECTED} is not usable", str(error)) from error
    except VeloxSegError as error:
        if error.code.startswith("INPUT"):
            raise _corrupt(package, "its example cannot be read", error.text) from error
        raise
    if not images.same_grid(images.grid_of(truth), outcome.grid):
        raise _corrupt(package, "its example and the expected mask differ in their grids")
    dice = measures.mean_dice(outcome.mask, images.array_of(truth))
    if dice < least:
        raise _corrupt(package, f"its example gives a Dice of {dice:.3f} instead of {least:g} or more")
    return dice


def _inside(package: ModelPackage, relative: str) -> Path:
    """Path of a file named inside the package; names that leave it are refused."""
    if is_unsafe_name(relative):
        raise _corrupt(package, f"{relative!r} leaves the package")
    return package.folder / relative


def is_unsafe_name(name: str) -> bool:
    """Whether a relative file name is absolute, empty, has a drive, a backslash, a NUL or a parent step."""
    path = PurePosixPath(name)
    return (
        not path.parts
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or "\0" in name
        or ":" in path.parts[0]
    )


def _read_json(folder: Path, name: str) -> object:
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VeloxSegError(
            "MODEL_CORRUPT", model=folder.name, reason=f"{name} cannot be read", detail=str(error)
        ) from error


def _corrupt(package: ModelPackage, reason: str, detail: str = "") -> VeloxSegError:
    return VeloxSegError("MODEL_CORRUPT", detail=detail, model=package.card["title"], reason=reason)
