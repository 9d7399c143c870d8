"""The static part of model cards: files of training/cards, and cards made from what a data set says about itself."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from training import records
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError

FOLDER = Path(__file__).resolve().parent.parent / "cards"
# By modality: limits of a CT are measured on the training cases; 5 and 30 are the project's choice for FDG.
INTENSITIES = {
    "CT": {"kind": "clip_zscore"},
    "PT": {"kind": "scale", "divide_by": 5.0, "clip": [0.0, 30.0]},
    "MR": {"kind": "zscore_foreground"},
}
UNITS = {"CT": "HU", "PT": "SUVbw", "MR": None}
MODALITY_NAMES = {"ct": "CT", "pt": "PT", "pet": "PT", "suv": "PT"}
# Okabe and Ito's colors, which stay apart for color-blind readers
COLORS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
TISSUE = {
    "category": ["SCT", "85756007", "Tissue"],
    "type": ["SCT", "85756007", "Tissue"],
    "type_modifier": None,
    "region": None,
}


def load(path: Path, reference: str | None = None) -> Card:
    """A card file with every role's intensity filled in by modality where the file leaves it open.

    reference: name of the role whose grid the result lives on; None keeps the file's choice. Raises DATASET_FILE.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        for role in content["roles"]:
            role["intensity"] = role["intensity"] or copy.deepcopy(INTENSITIES[role["modality"]])
            if reference is not None:
                role["reference"] = role["name"] == reference
        return Card.of(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VeloxSegError("DATASET_FILE", path=path, reason=f"it is no model card ({error})") from error


def with_static_part(trained: Card, path: Path) -> Card:
    """The card of a file with the intensities that `trained` was fitted with, and the size at which it saw photos.

    Raises DATASET_FILE for a file that is no card of the same images and labels.
    """
    static, content = load(path).content, trained.content
    problem = records.card_problem(static)
    for key, what in (("roles", "name"), ("labels", "value")):
        if not problem and {entry[what] for entry in static[key]} != {entry[what] for entry in content[key]}:
            problem = f"its {key} aren't {', '.join(str(entry[what]) for entry in content[key])}"
    if problem:
        raise VeloxSegError("DATASET_FILE", path=path, reason=problem)
    fitted = {role.name: role.intensity for role in trained.roles}
    if trained.working_size is not None:
        static |= {"working_size": trained.working_size}
    return Card.of(static | {"roles": [role | {"intensity": fitted[role["name"]]} for role in static["roles"]]})


def with_scored_pet(card: Card) -> Card:
    """The card with PET as the paper takes it: zero mean and unit deviation over the foreground."""
    scored, roles = {"intensity": {"kind": "zscore_foreground"}}, card.content["roles"]
    return Card.of({**card.content, "roles": [{**role, **scored} if role["modality"] == "PT" else role for role in roles]})


def with_one_label(card: Card, name: str) -> Card:
    """The card with its first label under another name as the only one; another model, and another task."""
    end, words = f"-{identifier(name)}", f": {name.lower()}"
    label = {**card.content["labels"][0], "name": name, "terminology": TISSUE}
    task = {"id": card.task_id + end, "title": card.task_title + words}
    return Card.of({**card.content, "id": card.id + end, "title": card.title + words, "task": task, "labels": [label]})


def modality(role: str) -> str:
    """CT or PT by the role's name, and MR for everything else."""
    return MODALITY_NAMES.get(role.lower(), "MR")


def identifier(name: str) -> str:
    """The id of a model or task of this name: small letters, digits and dashes, 64 at most."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64].strip("-") or "model"


def role_name(text: str) -> str:
    """A name as cards allow it: letters, digits, dashes and underscores, 32 at most."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:32] or "image"


def reference(wanted: str | None, roles: Iterable[str]) -> str:
    """The wanted role, or the first one. Raises DATASET_REFERENCE."""
    roles = list(roles)
    if wanted is not None and wanted not in roles:
        raise VeloxSegError("DATASET_REFERENCE", wanted=wanted, roles=", ".join(roles))
    return wanted or roles[0]


def groups(card: Card) -> list[list[str]]:
    """Roles by modality, in channel order: every modality is one branch of the network."""
    by_modality: dict[str, list[str]] = {}
    for role in card.roles:
        by_modality.setdefault(role.modality, []).append(role.name)
    return list(by_modality.values())


def square(card: Card) -> tuple[int, int] | None:
    """Rows and columns in which the network sees a photo; None for volumes."""
    return None if card.working_size is None else (card.working_size,) * 2


def made(name: str, roles: Sequence[str], reference: str, labels: dict[int, str], spacing_mm: Sequence[float]) -> Card:
    """A card for a data set that brings none.

    roles: names; those of one modality are put together. labels: value -> name. spacing_mm: (x, y, z).
    """
    first = {modality(role): number for number, role in reversed(list(enumerate(roles)))}
    ordered = sorted(roles, key=lambda role: first[modality(role)])
    return Card.of(
        {
            "schema_version": 1,
            "id": identifier(name),
            "title": name,
            "version": "1.0.0",
            "task": {"id": identifier(name), "title": name},
            "summary": f"{', '.join(labels.values())}: trained on {name}.",
            "level": "research",
            "engine_version": ">=0.1",
            "architecture": {"name": "VeloxSeg", "arguments": {}},
            "roles": [_role(role, role == reference) for role in ordered],
            "spacing_mm": [float(step) for step in spacing_mm],
            "window": {"overlap": 0.5, "blend": "gaussian"},
            "smoothing_mm": 0.0,
            "lesions": any(modality(role) == "PT" for role in roles),
            "threshold": 0.5,
            "labels": [
                {"value": value, "name": title, "color": list(COLORS[number % len(COLORS)]), "terminology": TISSUE}
                for number, (value, title) in enumerate(sorted(labels.items()))
            ],
            "training": {"data": name, "data_license": "Not stated"},
            "scores": [],
            "intended_use": "Research by the people who trained it.",
            "not_for": "Diagnosis or treatment.",
            "limits": ["Not tested on data from elsewhere."],
            "license": "Not stated",
            "citation": ["VeloxSeg (ICLR 2026), the network; written anew from a description."],
            "weights_sha256": "",
        }
    )


def _role(name: str, is_reference: bool) -> dict:
    kind = modality(name)
    return {
        "name": name,
        "title": name,
        "modality": kind,
        "kind": "scalar",
        "unit": UNITS[kind],
        "reference": is_reference,
        "description": "",
        "patterns": [name.lower()],
        "intensity": copy.deepcopy(INTENSITIES[kind]),
    }
