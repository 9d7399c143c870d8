"""What JSON from outside must look like before anything is done with it: small checks that are put together.

A check is a function of a value; it returns "" for a value that fits, else where and why it does not, such as
"lesions[2].score is no number from 0 to 1". No foreign word is in that text.
"""

import json
import math
from collections.abc import Callable

Check = Callable[[object], str]


def load(text: str | bytes) -> object:
    """The content of a JSON text.

    :raises ValueError: for anything that is no JSON, also for nesting without end. NaN and infinity are no numbers of a check.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def contentOr(text: str, check: Check, default: object) -> object:
    """The content of a JSON text that was kept somewhere, or a default where it is empty or damaged."""
    try:
        content = load(text)
    except ValueError:
        return default
    return default if check(content) else content


def anything(_value: object) -> str:
    """Fits always."""
    return ""


def text(value: object) -> str:
    """Characters that can be shown and stored: no half of a surrogate pair and no NUL."""
    if not isinstance(value, str):
        return " is no text"
    isClean = "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    return "" if isClean else " has characters that are none"


def flag(value: object) -> str:
    """True or false."""
    return "" if isinstance(value, bool) else " is not true or false"


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """A finite number within limits."""

    def check(value: object) -> str:
        isNumber = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if isNumber and _isFinite(value) and low <= value <= high else f" is no number{_range(low, high)}"

    return check


def whole(low: float = -math.inf, high: float = math.inf) -> Check:
    """A whole number within limits."""

    def check(value: object) -> str:
        isWhole = isinstance(value, int) and not isinstance(value, bool)
        return "" if isWhole and low <= value <= high else f" is no whole number{_range(low, high)}"

    return check


def oneOf(*values: object) -> Check:
    """One of these values."""
    return lambda value: "" if any(value == one and type(value) is type(one) for one in values) else " is not known"


def orNone(check: Check) -> Check:
    """What a check says, or null."""
    return lambda value: "" if value is None else check(value)


def listOf(check: Check, length: int | None = None) -> Check:
    """A list of values that fit."""

    def checkList(value: object) -> str:
        if not isinstance(value, list) or length not in (None, len(value)):
            return " is no list" if length is None else f" is no list of {length}"
        return next((f"[{index}]{problem}" for index, entry in enumerate(value) if (problem := check(entry))), "")

    return checkList


def mapOf(check: Check) -> Check:
    """An object with any keys whose values fit."""

    def checkMap(value: object) -> str:
        if not isinstance(value, dict):
            return " is no object"
        return next((f"[...]{problem}" for key, entry in value.items() if (problem := text(key) or check(entry))), "")

    return checkMap


def record(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    """An object with fields that fit; other fields may be there too."""
    optional = optional or {}

    def checkRecord(value: object) -> str:
        if not isinstance(value, dict):
            return " is no object"
        missing = next((name for name in required if name not in value), None)
        if missing is not None:
            return f".{missing} is missing"
        checks = {**required, **optional}
        found = (f".{name}{problem}" for name, check in checks.items() if name in value and (problem := check(value[name])))
        return next(found, "")

    return checkRecord


def _isFinite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _range(low: float, high: float) -> str:
    if low == -math.inf and high == math.inf:
        return ""
    return f" from {low:g}" if high == math.inf else f" from {low:g} to {high:g}"
