"""The check of a whole card (docs/formats.md) before anything of it is shown or used. The engine checks it again."""

import re
from collections.abc import Iterator

from veloxseg.contract import plausibility
from veloxseg.contract.card import LEVELS

from . import Shapes

_TEXTS = Shapes.listOf(Shapes.text)
_SCORE_NUMBER = Shapes.number(-1e9, 1e9)
_ABOVE_ZERO = Shapes.number(1e-6, 1e6)


def _pattern(expression: str) -> Shapes.Check:
    def check(value: object) -> str:
        return Shapes.text(value) or ("" if re.fullmatch(expression, value) else " is not written as agreed")

    return check


def _several(check: Shapes.Check, most: int) -> Shapes.Check:
    def checkList(value: object) -> str:
        problem = Shapes.listOf(check)(value)
        return problem or ("" if 1 <= len(value) <= most else f" has not 1 to {most} entries")

    return checkList


# Slicer writes codes into one text with these signs between them.
_CODE = Shapes.listOf(_pattern(r"[^~^|]+"), 3)
_ROLE = Shapes.record(
    {
        "name": _pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"),
        "title": Shapes.text,
        "modality": Shapes.text,
        "kind": Shapes.oneOf("scalar", "photo"),
        "unit": Shapes.orNone(Shapes.text),
        "reference": Shapes.flag,
        "description": Shapes.text,
        "patterns": _TEXTS,
    }
)
_LABEL = Shapes.record(
    {
        "value": Shapes.whole(1, 255),
        "name": Shapes.text,
        "color": Shapes.listOf(Shapes.whole(0, 255), 3),
        "terminology": Shapes.record(
            {
                "category": _CODE,
                "type": _CODE,
                "type_modifier": Shapes.orNone(_CODE),
                "region": Shapes.orNone(_CODE),
            }
        ),
    }
)
_SCORE = Shapes.record(
    {"name": Shapes.text, "data": Shapes.text, "n": Shapes.whole(1, 10**9), "value": _SCORE_NUMBER},
    {
        "synthetic": Shapes.flag,
        "interval_95": Shapes.orNone(Shapes.listOf(_SCORE_NUMBER, 2)),
        "baseline": Shapes.orNone(Shapes.record({"name": Shapes.text, "value": _SCORE_NUMBER})),
    },
)
_WINDOW = Shapes.record(
    {"overlap": Shapes.number(0, 0.9), "blend": Shapes.text}, {"size": Shapes.listOf(Shapes.whole(1, 1024), 3)}
)
_CARD = Shapes.record(
    {
        "id": _pattern(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}"),
        "title": Shapes.text,
        "version": _pattern(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,3}"),
        "task": Shapes.record({"id": Shapes.text, "title": Shapes.text}),
        "summary": Shapes.text,
        "architecture": Shapes.record(
            {
                "name": Shapes.text,
                "arguments": Shapes.record({}, {"input_size": Shapes.listOf(Shapes.whole(1, 10**5))}),
            }
        ),
        "roles": _several(_ROLE, 64),
        "lesions": Shapes.flag,
        "threshold": Shapes.number(0, 1),
        "labels": _several(_LABEL, 255),
        "license": Shapes.text,
        "weights_sha256": _pattern(r"[0-9a-f]{64}"),
    },
    {
        "single": Shapes.flag,
        "turns": Shapes.flag,
        "level": Shapes.oneOf(*LEVELS),
        "demo": Shapes.flag,
        "spacing_mm": Shapes.orNone(Shapes.listOf(_ABOVE_ZERO, 3)),
        "window": Shapes.orNone(_WINDOW),
        "sampling": Shapes.record(
            {"members": Shapes.whole(1, 1000), "calls": Shapes.whole(1, 10**6), "method": Shapes.text, "fusion": Shapes.text}
        ),
        "training": Shapes.record(
            {}, {name: Shapes.text for name in ("data", "data_license", "date")} | {"steps": Shapes.whole(0)}
        ),
        "plausibility": Shapes.record({}, {code: _pattern("ignore|note|refuse") for code in plausibility.DEFAULTS}),
        "scores": Shapes.listOf(_SCORE),
        "intended_use": Shapes.text,
        "not_for": Shapes.text,
        "limits": _TEXTS,
        "citation": _TEXTS,
    },
)


def problemOf(content: dict) -> str:
    """The first field that is wrong and why, "" when nothing is."""
    return _CARD(content).lstrip(".") or next(_disagreements(content), "")


def _disagreements(content: dict) -> Iterator[str]:
    """What a shape alone cannot say."""
    if "level" not in content and "demo" not in content:
        yield "level is missing"
    values = [label["value"] for label in content["labels"]]
    if len(set(values)) != len(values):
        yield "labels has a value twice"
    kinds = {role["kind"] for role in content["roles"]}
    if kinds == {"scalar"} and (content.get("spacing_mm") is None or content.get("window") is None):
        yield "spacing_mm and window are needed for volumes"
    elif kinds == {"scalar"} and not {"input_size", "size"} & {*content["architecture"]["arguments"], *content["window"]}:
        yield "architecture.arguments.input_size is missing"
