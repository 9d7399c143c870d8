"""Cards of model packages: where packages lie, and what their cards may say (docs/formats.md). Without torch, which takes seconds
to import."""

import difflib
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from veloxseg import __version__, files
from veloxseg.contract import limits, names, strict_json
from veloxseg.contract.card import Card
from veloxseg.contract.errors import Note, VeloxSegError, note
from veloxseg.validation import first_problem

CARD = "configs/velox.json"
MOST_SUGGESTIONS = 3
POOR_DICE = 0.3
MOST_VOXELS = 1 << 24
"""Of one window: 256 x 256 x 256."""
_ENGINE = Path(__file__).resolve().parents[1]
_IN_WHEEL, _IN_MODULE = _ENGINE / "Models", _ENGINE.parent / "Resources" / "Models"
SHIPPED = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_MODULE
"""Beside the engine's code in a wheel (setup.py), in the module's resources in Slicer and in the repository."""


def shipped() -> list[Path]:
    """Folders of the packages that come with VeloxSegSlicer, by id."""
    return _packages_in(SHIPPED)


def user_folder() -> Path:
    """Where a person's imported packages lie: $VELOXSEG_MODELS, else `VeloxSegSlicer/Models` below the system's folder for the
    data of programs (the one that Qt calls GenericDataLocation)."""
    if "VELOXSEG_MODELS" in os.environ:
        return Path(os.environ["VELOXSEG_MODELS"])
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "VeloxSegSlicer" / "Models"


def imported(folder: Path | None = None) -> list[Path]:
    """Folders of imported packages, in `user_folder` or another one, by name; what a killed import left is tidied first."""
    files.remove_leftovers(folder or user_folder())
    return _packages_in(folder or user_folder())


def find(name_or_folder: str | Path, imported_folder: Path | None = None) -> Path:
    """Folder of a package given by path, or by `id` or `id-version` of an imported or shipped one; of several the newest
    version, and an imported one before a shipped one. Raises MODEL_MISSING, PATH."""
    names.check(name_or_folder)
    if (Path(name_or_folder) / CARD).is_file():
        return Path(name_or_folder)
    known = {folder: _names(folder) for folder in [*shipped(), *imported(imported_folder)]}
    found = [folder for folder, own in known.items() if str(name_or_folder) in own]
    if not found:
        raise _missing(str(name_or_folder), set().union(*known.values()))
    return max(found, key=_version)


def _missing(name: str, known: set[str]) -> VeloxSegError:
    begun = [one for one in sorted(known) if name and one.startswith(name)]
    alike = begun[:MOST_SUGGESTIONS] or difflib.get_close_matches(name, sorted(known), n=MOST_SUGGESTIONS)
    near = f"; did you mean {' or '.join(alike)}?" if alike else ""
    return VeloxSegError("MODEL_MISSING", path=names.shown(name), near=near.rstrip("?"))


def check_license(card: Card, folder: Path, is_accepted: bool) -> None:
    """Raises MODEL_LICENSE for weights whose license may restrict their use, as an unknown one may, until a person accepts it."""
    if card.license not in limits.PERMISSIVE and not is_accepted:
        file = folder / "LICENSE"
        where = f" (in full: {names.shown(file)})" if file.is_file() else ""
        raise VeloxSegError("MODEL_LICENSE", model=card.title, license=card.license, where=where)


def _packages_in(folder: Path) -> list[Path]:
    # hidden ones are being written
    return sorted(card.parent.parent for card in folder.glob(f"[!.]*/{CARD}"))


def _names(folder: Path) -> set[str]:
    """What a person may call a package; a damaged one has the name of its folder alone."""
    try:
        card = read(folder)
    except VeloxSegError:
        return {folder.name}
    return {folder.name, card.id, card.package_name}


def _version(folder: Path) -> tuple[tuple[int, ...], bool]:
    """For sorting: the version's numbers, then whether the package is an imported one."""
    try:
        numbers = tuple(int(part) for part in read(folder).version.split("."))
    except VeloxSegError:
        numbers = ()
    return numbers, folder.parent != SHIPPED


def read(folder: Path) -> Card:
    """Read and check the card of a package. Raises MODEL_MISSING, MODEL_CORRUPT, MODEL_NEWER or MODEL_SCHEMA."""
    folder = Path(folder)
    if not (folder / CARD).is_file():
        raise VeloxSegError("MODEL_MISSING", path=names.shown(folder), near="")
    return checked(read_json(folder, CARD), folder.name)


def checked(content: object, name: str) -> Card:
    """The card with this content, which has a `level` then. Raises MODEL_NEWER or MODEL_SCHEMA with the field's name."""
    check_card(content, name)
    card = Card.of(content)
    return replace(card, content={key: value for key, value in content.items() if key != "demo"} | {"level": card.level})


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
    if isinstance(schema_version, int) and schema_version > limits.CARD_SCHEMA_VERSION:
        raise VeloxSegError("MODEL_NEWER", model=name, needed=f"package format {schema_version}", engine=__version__)
    wanted = card.get("engine_version")
    if isinstance(wanted, str) and re.fullmatch(r">=[0-9]{1,6}(\.[0-9]{1,6}){0,2}", wanted):
        least = [int(part) for part in wanted[2:].split(".")]
        if [int(part) for part in __version__.split(".")] < least:
            raise VeloxSegError("MODEL_NEWER", model=name, needed=f"VeloxSeg {wanted[2:]} or newer", engine=__version__)


def _disagreements(card: dict) -> Iterator[str]:
    """What the schema cannot express; only the first is asked for, and each relies on those before it."""
    if "level" not in card and "demo" not in card:
        yield "level: it is missing"
    roles = [role["name"] for role in card["roles"]]
    values = [label["value"] for label in card["labels"]]
    if sum(role["reference"] for role in card["roles"]) != 1:
        yield "roles: exactly one must be the reference"
    if len(set(roles)) != len(roles):
        yield "roles: names must differ"
    if len(set(values)) != len(values):
        yield "labels: values must differ"
    if card.get("single") and len(values) > 1:
        yield "single: it is for one label"
    if card.get("turns") and ("sampling" in card or card["roles"][0]["kind"] != "photo"):
        yield "turns: it is for photos and networks without sampling"
    if any(role["kind"] == "photo" for role in card["roles"]):
        yield from _photo_disagreements(card)
    else:
        yield from _volume_disagreements(card)
    if any(_is_empty_range(role["intensity"]) for role in card["roles"]):
        yield "roles.intensity: the lower bound must be below the upper one"
    arguments = card["architecture"]["arguments"]
    if arguments.get("n_classes", 2) != len(values) + 1:
        yield "architecture.arguments.n_classes: one more than the labels is needed"
    if math.prod(arguments.get("input_size", ())) > MOST_VOXELS:
        yield f"architecture.arguments.input_size: a window has at most {MOST_VOXELS} voxels"


def _is_empty_range(intensity: dict) -> bool:
    low, high = intensity.get("clip") or (intensity.get("low", 0), intensity.get("high", 1))
    return low >= high


def _volume_disagreements(card: dict) -> Iterator[str]:
    if any(role["intensity"]["kind"] == "rgb" for role in card["roles"]):
        yield "roles.intensity: rgb is for photos"
    for name in ("spacing_mm", "window"):
        if card[name] is None:
            yield f"{name}: volumes need it"
    if "working_size" in card:
        yield "working_size: it is for photos"
    arguments = card["architecture"]["arguments"]
    if card["architecture"]["name"] == "NCA":
        yield from _volume_nca_disagreements(card, arguments)
        return
    if "sampling" in card:
        yield "sampling: it is for NCA"
    if "size" in card["window"]:
        yield "window.size: it is for NCA"
    if len(arguments["input_size"]) != 3 or arguments.get("spatial_dim", 3) != 3:
        yield "architecture.arguments.input_size: volumes need three axes"
    if sum(arguments["in_ch"]) != len(card["roles"]):
        yield "architecture.arguments.in_ch: as many channels as roles are needed"


def _volume_nca_disagreements(card: dict, arguments: dict) -> Iterator[str]:
    if "size" not in card["window"]:
        yield "window.size: NCA needs it"
    if math.prod(card["window"]["size"]) > MOST_VOXELS:
        yield f"window.size: a window has at most {MOST_VOXELS} voxels"
    yield from _sampling_disagreements(card, arguments)
    if card["sampling"]["fusion"] != "mean":
        yield "sampling.fusion: volumes need mean"
    if arguments.get("spatial_dim", 2) != 3 or arguments.get("in_ch", 3) != len(card["roles"]):
        yield "architecture.arguments: volumes need spatial_dim 3 and in_ch as many as roles"


def _sampling_disagreements(card: dict, arguments: dict) -> Iterator[str]:
    if "sampling" not in card:
        yield "sampling: NCA needs it"
    if card["sampling"]["calls"] > _diffusion_steps(arguments):
        yield "sampling.calls: it cannot be more than the network's diffusion_steps"


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
    yield from _sampling_disagreements(card, arguments)
    if arguments.get("spatial_dim", 2) != 2 or arguments.get("in_ch", 3) != 3:
        yield "architecture.arguments: photos need spatial_dim 2 and in_ch 3"


def _diffusion_steps(arguments: dict) -> int:
    if "diffusion_steps" in arguments:
        return arguments["diffusion_steps"]
    # brings in torch
    from veloxseg.networks.nca import NCAConfig

    return NCAConfig.diffusion_steps


def _photo_veloxseg_disagreements(card: dict, arguments: dict) -> Iterator[str]:
    if "sampling" in card:
        yield "sampling: it is for NCA"
    if arguments.get("spatial_dim", 3) != 2 or sum(arguments["in_ch"]) != 3:
        yield "architecture.arguments: photos need spatial_dim 2 and 3 channels in in_ch"
    if arguments["input_size"] != [card["working_size"]] * 2:
        yield "architecture.arguments.input_size: it must be working_size on both axes"


def is_unsafe_name(name: str) -> bool:
    """Whether a relative file name is absolute, empty, has a drive, a backslash, a NUL or a parent step."""
    path = PurePosixPath(name)
    return not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in path.parts[0]


def read_json(folder: Path, name: str) -> object:
    """Content of a JSON file of a package. Raises MODEL_CORRUPT."""
    try:
        return strict_json.read(folder / name)
    except OSError as error:
        reason = f"{name} cannot be read"
        raise VeloxSegError("MODEL_CORRUPT", model=names.shown(folder.name), reason=reason, detail=str(error)) from error
    except ValueError as error:
        raise VeloxSegError("MODEL_CORRUPT", model=names.shown(folder.name), reason=f"{name}: {error}") from error


def warning(scores: Sequence[Mapping]) -> Note | None:
    """What everybody who gets a model should hear aloud: that its first Dice is poor, or that it has none; else None."""
    score = next((entry for entry in scores if entry["name"].startswith("Dice")), None)
    if score is None:
        return note("MODEL_UNSCORED")
    if score["value"] >= POOR_DICE:
        return None
    rule = score.get("baseline")
    beside = f" ({rule['name']}: {rule['value']:.2f})" if rule else ""
    return note("MODEL_POOR", score=score["name"], value=score["value"], beside=beside, n=score["n"])
