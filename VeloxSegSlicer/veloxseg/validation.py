"""Checking JSON files against the schemas beside this module."""

import functools
import json
import math
from pathlib import Path

import jsonschema

from veloxseg.contract import names

LONGEST_PART = 120
# JSON Schema takes 2.0 for an integer; sizes and counts must be Python's, and numbers
# finite, as those of JSON are. What is about to be written may hold tuples.
_TYPES = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "integer": lambda _, value: type(value) is int,
        "number": lambda _, value: isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf,
        "array": lambda _, value: isinstance(value, list | tuple),
    }
)
_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=_TYPES)
FOLDER = Path(__file__).parent / "schemas"


@functools.cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return _Validator(schema)


def first_problem(name: str, content: object) -> str | None:
    """The most telling violation of schema `name` (card, request, results) as "field: what is wrong", or
    None."""
    problem = jsonschema.exceptions.best_match(_validator(name).iter_errors(content))
    if problem is None:
        return None
    field = ".".join(str(part) for part in problem.absolute_path) or "the file"
    message = names.one_line(problem.message)
    if len(message) > 2 * LONGEST_PART:
        message = f"{message[:LONGEST_PART]} ... {message[-LONGEST_PART:]}"
    return f"{names.shown(field)}: {message}"
