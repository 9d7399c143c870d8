"""The JSON files of prepared datasets and runs: what each must hold, and one sentence for one that doesn't."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import jsonschema

from veloxseg.contract.errors import VeloxSegError
from veloxseg.packages.cards import check_card
from veloxseg.validation import FOLDER

TEXT = {"type": "string", "minLength": 1}
IDS = {"type": "array", "items": TEXT, "uniqueItems": True}
SIZE = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 3}
GROUPS = {"type": "array", "items": {"type": "array", "items": TEXT}}
SPLIT = {"type": "object", "required": ["validation", "test"], "properties": {"train": IDS, "validation": IDS, "test": IDS}}
ML = {"type": "object", "additionalProperties": {"type": "object", "required": ["source", "prepared"]}}
CARD = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
SCORES = {**CARD["properties"]["scores"], "$defs": CARD["$defs"]}

AGAIN = "prepare it again with training/prepare.py"
TRAIN = "start train.py again, which writes it"
KINDS = {
    "dataset.json": ("DATASET", AGAIN, {
        "type": "object", "required": ["card", "groups", "patch_size", "synthetic", "split"],
        "properties": {"card": {"type": "object"}, "groups": GROUPS, "patch_size": SIZE, "synthetic": {"type": "boolean"},
                       "split": {"anyOf": [{"type": "null"}, SPLIT]}}}),
    "case.json": ("DATASET", "delete its folder and start training/prepare.py again", {
        "type": "object", "required": ["patient"],
        "properties": {"patient": TEXT, "size": SIZE, "label_ml": ML, "label_share": {"type": "object"},
                       "moved": {"type": ["object", "null"], "additionalProperties": {"type": "object"}},
                       "parameters": {"type": ["object", "null"]}}}),
    "prepare.json": ("DATASET", "delete the folder or choose another --output", {"type": "object"}),
    "data.json": ("RUN", TRAIN, {
        "type": "object", "required": ["card", "groups", "split", "folder", "synthetic"],
        "properties": {"card": {"type": "object"}, "groups": GROUPS, "patch_size": SIZE, "synthetic": {"type": "boolean"},
                       "folder": {"anyOf": [TEXT, {"type": "null"}]},
                       "split": SPLIT | {"required": ["train", "validation", "test"]}}}),
    "config.json": ("RUN", TRAIN, {
        "type": "object", "required": ["network"], "properties": {"network": TEXT}}),
    "scores.json": ("RUN", "start training/evaluate.py again, which writes it", SCORES),
}  # fmt: skip
"""Name of a file -> code of the refusal, what to do, JSON schema."""
MOST_OF_A_REASON = 200
FITTED = {"kind": "clip_zscore", "low": 0.0, "high": 1.0, "mean": 0.0, "std": 1.0}


def read(path: Path) -> dict | list:
    """The content of a file of one of the `KINDS`. Raises DATASET or RUN with the path and what is wrong."""
    code, remedy, schema = KINDS[path.name]
    problem = ""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        problem = _problem(schema, content)
    except OSError as error:
        problem = f"it can't be read ({error.strerror})" if path.exists() else "it doesn't exist"
    except (ValueError, RecursionError):
        problem = "it is no JSON"
    if problem:
        raise VeloxSegError(code, path=path, reason=problem, remedy=remedy)
    return content


def _problem(schema: dict, content: object) -> str:
    found = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(content))
    if found is not None:
        return f"{'.'.join(map(str, found.absolute_path)) or 'the file'}: {found.message[:MOST_OF_A_REASON]}"
    if isinstance(content, list) or "groups" not in content:
        return ""
    return card_problem(content["card"]) or _ungrouped(content) or _shared(content["split"] or {})


def _ungrouped(content: dict) -> str:
    names = [role["name"] for role in content["card"]["roles"]]
    grouped = [name for group in content["groups"] for name in group]
    return "" if grouped == names else f"groups: {', '.join(grouped)} instead of {', '.join(names)}, the roles of its card"


def _shared(split: dict) -> str:
    """What stands in two parts of a split."""
    seen = {}
    for part, cases in split.items():
        for case in cases:
            if seen.setdefault(case, part) != part:
                return f"split: the case {case} is in {seen[case]} and in {part}"
    return ""


def card_problem(card: dict) -> str:
    """What would keep the static part of a card out of a package, "" for nothing; what a training fills in may be missing."""
    filled = copy.deepcopy(card)
    try:
        for role in filled["roles"]:
            if role["intensity"] == {"kind": FITTED["kind"]}:
                role["intensity"] = FITTED
        filled["training"] |= {"command": "", "seed": 0}
        photo = any(role["kind"] == "photo" for role in filled["roles"])
        size = [filled["working_size"]] * 2 if photo else [32] * 3
        channels = [3] if photo else [len(filled["roles"])]
        arguments = {"input_size": size, "patch_size": 2, "in_ch": channels, "n_classes": len(filled["labels"]) + 1}
        filled |= {"architecture": {"name": "VeloxSeg", "arguments": arguments | {"spatial_dim": len(size)}}}
        filled |= {"scores": [], "weights_sha256": "0" * 64}
        filled.pop("sampling", None)
        if not photo:
            filled["window"].pop("size", None)
        check_card(filled, str(filled["id"]))
    except VeloxSegError as error:
        return f"card: {error.facts.get('reason') or error.text}"[:MOST_OF_A_REASON]
    except (AttributeError, KeyError, TypeError) as error:
        return f"card: {error} is missing or of the wrong type"
    return ""
