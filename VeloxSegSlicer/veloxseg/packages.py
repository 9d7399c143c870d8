"""Model packages: read, verify, build the network.

A package is a folder of data files (docs/formats.md). Nothing in it is executed, imported, evaluated or
unpickled: the card is JSON, the weights are safetensors, the network's code is this engine's own.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from veloxseg import __version__, devices, files, images, measures, photo_pipeline, pipeline
from veloxseg.errors import VeloxSegError
from veloxseg.networks import VeloxSeg, fast, load_weights
from veloxseg.networks.nca import NCA, NCAConfig
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

    def network(self, device: torch.device | str = "cpu") -> fast.FastVeloxSeg | VeloxSeg | NCA:
        """The network with the package's weights, in eval mode, on a device; for volumes in its fast form, whose logits are
        those of the plain form minus the background's.

        Raises MODEL_CORRUPT when the weights are not those of the card and MODEL_SCHEMA when the
        architecture's arguments make no network.
        """
        self.check_weights()
        network = build_network(self.card)
        try:
            load_weights(network, load_file(self.folder / WEIGHTS))
        except (SafetensorError, ValueError) as error:
            raise VeloxSegError(
                "MODEL_CORRUPT",
                model=self.card["title"],
                detail=str(error),
                reason="its weights do not fit its architecture",
            ) from error
        return fast.convert(network.eval(), relative=True).to(device)

    def check_weights(self) -> None:
        """Raises MODEL_CORRUPT when the weights are missing or not those of the card."""
        path = self.folder / WEIGHTS
        if not path.is_file():
            raise VeloxSegError("MODEL_CORRUPT", model=self.card["title"], reason=f"{WEIGHTS} is missing")
        if files.sha256(path) != self.card["weights_sha256"]:
            raise VeloxSegError(
                "MODEL_CORRUPT",
                model=self.card["title"],
                reason=f"{WEIGHTS} is not the file that the card names",
            )


def build_network(card: dict) -> VeloxSeg | NCA:
    """The inference network of a card, without weights. Raises MODEL_SCHEMA."""
    arguments = card["architecture"]["arguments"]
    try:
        if card["architecture"]["name"] == "NCA":
            return NCA(**arguments)
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
    problem = first_problem("card", card) or next(_disagreements(card), None)
    if problem:
        raise VeloxSegError("MODEL_SCHEMA", model=name, reason=problem)


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


def _disagreements(card: dict) -> Iterator[str]:
    """What the schema cannot express; only the first is asked for, and each relies on those before it."""
    roles = [role["name"] for role in card["roles"]]
    values = [label["value"] for label in card["labels"]]
    if sum(role["reference"] for role in card["roles"]) != 1:
        yield "roles: exactly one must be the reference"
    if len(set(roles)) != len(roles):
        yield "roles: names must differ"
    if len(set(values)) != len(values):
        yield "labels: values must differ"
    if any(role["kind"] == "photo" for role in card["roles"]):
        yield from _photo_disagreements(card)
    else:
        yield from _volume_disagreements(card)
    if card["architecture"]["name"] == "VeloxSeg" and card["architecture"]["arguments"]["n_classes"] != len(values) + 1:
        yield "architecture.arguments.n_classes: one more than the labels is needed"


def _volume_disagreements(card: dict) -> Iterator[str]:
    if any(role["intensity"]["kind"] == "rgb" for role in card["roles"]):
        yield "roles.intensity: rgb is for photos"
    for name in ("spacing_mm", "window"):
        if card[name] is None:
            yield f"{name}: volumes need it"
    for name in ("working_size", "sampling"):
        if name in card:
            yield f"{name}: it is for photos"
    if card["architecture"]["name"] != "VeloxSeg":
        yield "architecture.name: volumes need VeloxSeg"
    arguments = card["architecture"]["arguments"]
    if len(arguments["input_size"]) != 3 or arguments.get("spatial_dim", 3) != 3:
        yield "architecture.arguments.input_size: volumes need three axes"
    if sum(arguments["in_ch"]) != len(card["roles"]):
        yield "architecture.arguments.in_ch: as many channels as roles are needed"


def _photo_disagreements(card: dict) -> Iterator[str]:
    if len(card["roles"]) > 1:
        yield "roles: a photo must be the only image"
    if len(card["labels"]) > 1:
        yield "labels: photos have exactly one"
    if card["roles"][0]["intensity"]["kind"] != "rgb":
        yield "roles.intensity: photos need rgb"
    if "working_size" not in card:
        yield "working_size: photos need it"
    for name in ("spacing_mm", "window"):
        if card[name] is not None:
            yield f"{name}: it must be null for photos"
    for name in ("smoothing_mm", "lesions"):
        if card[name]:
            yield f"{name}: it is for volumes"
    arguments = card["architecture"]["arguments"]
    if card["architecture"]["name"] == "VeloxSeg":
        yield from _photo_veloxseg_disagreements(card, arguments)
        return
    if "sampling" not in card:
        yield "sampling: NCA needs it"
    if arguments.get("spatial_dim", 2) != 2 or arguments.get("in_ch", 3) != 3:
        yield "architecture.arguments: photos need spatial_dim 2 and in_ch 3"
    if card["sampling"]["calls"] > arguments.get("diffusion_steps", NCAConfig.diffusion_steps):
        yield "sampling.calls: it cannot be more than the network's diffusion_steps"


def _photo_veloxseg_disagreements(card: dict, arguments: dict) -> Iterator[str]:
    if "sampling" in card:
        yield "sampling: it is for NCA"
    if arguments.get("spatial_dim", 3) != 2 or sum(arguments["in_ch"]) != 3:
        yield "architecture.arguments: photos need spatial_dim 2 and 3 channels in in_ch"
    if arguments["input_size"] != [card["working_size"]] * 2:
        yield "architecture.arguments.input_size: it must be working_size on both axes"


def segment(
    package: pipeline.Package,
    paths: Mapping[str, Path],
    settings: photo_pipeline.Settings,
    device: devices.Device,
    run: pipeline.Run | None = None,
    measure: bool = True,
) -> pipeline.Outcome | photo_pipeline.PhotoOutcome:
    """One case through `pipeline.segment` or `photo_pipeline.segment`, whichever the card needs, with the same arguments.

    Raises REQUEST for a setting that the model does not have, and what those two raise.
    """
    photo_pipeline.check_settings(package.card, settings)
    way = photo_pipeline if photo_pipeline.takes_photo(package.card) else pipeline
    return way.segment(package, paths, settings, device, run, measure)


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
        truth, grid = _expected_mask(package, _inside(package, "example/" + expected["mask"]))
        outcome = segment(package, inputs, photo_pipeline.Settings(device="cpu"), devices.choose("cpu"))
        least = float(expected["dice_min"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _corrupt(package, f"{EXPECTED} is not usable", str(error)) from error
    except VeloxSegError as error:
        if error.code.startswith(("INPUT", "PHOTO")):
            raise _corrupt(package, "its example cannot be read", error.text) from error
        raise
    if not images.same_grid(grid, outcome.grid):
        raise _corrupt(package, "its example and the expected mask differ in their grids")
    dice = measures.mean_dice(outcome.mask, truth)
    if dice < least:
        raise _corrupt(package, f"its example gives a Dice of {dice:.3f} instead of {least:g} or more")
    return dice


def _expected_mask(package: ModelPackage, path: Path) -> tuple[np.ndarray, images.Grid]:
    """The label values (x, y, z) that the example shall give, and their grid."""
    if photo_pipeline.takes_photo(package.card):
        inside, grid = photo_pipeline.read_mask(path)
        return inside * np.uint8(package.card["labels"][0]["value"]), grid
    image = images.read_volume(path, "expected mask")
    return images.array_of(image), images.grid_of(image)


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
