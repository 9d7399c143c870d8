"""Reading JSON files that others have written: standard JSON of a reasonable size, and nothing that surprises later."""

import json
import math
from pathlib import Path

from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.names import LONE_SURROGATE, shown

MOST_BYTES = 1 << 20
MOST_DIGITS = 25
MOST_LEVELS = 32
MOST_VALUES = 50_000


def read(path: Path, most_bytes: int = MOST_BYTES) -> object:
    """The content of a file. Raises OSError, and ValueError with a reason that a sentence can hold."""
    with open(path, "rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"it has more than {most_bytes >> 10} KiB")
    return parse(data)


def parse(data: bytes) -> object:
    """The content of a JSON text. Raises ValueError as `read` does."""
    try:
        text = data.decode("utf-8-sig")
        content = json.loads(text, object_pairs_hook=_object, parse_int=_int)
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    _check(content)
    return content


def unreadable(path: Path, error: OSError | ValueError) -> VeloxSegError:
    """REQUEST for a file that a person or program has written for one job."""
    reason = error.strerror if isinstance(error, OSError) else error
    return VeloxSegError("REQUEST", reason=f"{shown(path.name)} cannot be read as JSON ({reason})", detail=str(error))


def _object(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name appears twice in it")
    return content


def _int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError("it has a number that is too large")
    return int(digits)


def _check(content: object) -> None:
    level, values = [("", content)], 0
    for _ in range(MOST_LEVELS):
        values += len(level)
        if values > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES} values")
        for name, value in level:
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}: no finite number")
            if any(isinstance(text, str) and LONE_SURROGATE.search(text) for text in (name, value)):
                raise ValueError("it has a text that is not Unicode")
        level = [entry for name, value in level for entry in _below(name, value)]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _below(name: str, value: object) -> list[tuple[str, object]]:
    """What a list or an object holds, with names for messages: entries of a list have that of the list."""
    if isinstance(value, dict):
        return list(value.items())
    return [(name, entry) for entry in value] if isinstance(value, list) else []
