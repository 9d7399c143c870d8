"""Names of files and other texts that come from outside: which can be used, and how the others are shown."""

import errno
import re
from pathlib import Path

from veloxseg.errors import VeloxSegError

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
SHOWN_CHARACTERS = 120


def printable(text: str) -> str:
    """The text with a replacement character for every byte of a name that is not UTF-8."""
    return LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def shown(path: object) -> str:
    """A path for a message: printable, on one line, its end when it is long."""
    text = one_line(path)
    return text if len(text) <= SHOWN_CHARACTERS else "..." + text[-SHOWN_CHARACTERS:]


def one_line(text: object) -> str:
    """A text of somebody else for a sentence: only what can be printed, on one line."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(text))


def check(path: Path | str) -> None:
    """Raises PATH for a name that the system or one of the libraries that read and write images cannot take."""
    reason = problem(path)
    if reason:
        raise VeloxSegError("PATH", path=shown(path), reason=reason)


def problem(path: Path | str) -> str:
    """Why a path cannot be used, "" when it can; whether there is something at this place does not matter."""
    if "\0" in str(path):
        return "it has a NUL character"
    if LONE_SURROGATE.search(str(path)):
        return "it has bytes that are not UTF-8"
    try:
        Path(path).lstat()
    except OSError as error:
        return {errno.ENAMETOOLONG: "it is too long", errno.ELOOP: "its links lead in a circle"}.get(error.errno, "")
    return ""
