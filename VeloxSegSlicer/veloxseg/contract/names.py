"""Names of files and other texts that come from outside: which can be used, and how the others are shown."""

import errno
import re
import unicodedata
from pathlib import Path

from veloxseg.contract.errors import VeloxSegError, one_line

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
SHOWN_CHARACTERS = 120
# What some file system does not take in a name, devices of Windows among it.
UNUSABLE = re.compile(
    r'[\\/:*?"<>|\x00-\x1f\x7f\ud800-\udfff]|^[.\s]|[.\s]$|^$|^(con|prn|aux|nul|(com|lpt)[0-9¹²³])\s*(\.|$)', re.IGNORECASE
)
MOST_BYTES = 150


def printable(text: str) -> str:
    """The text with a replacement character for every byte of a name that is not UTF-8."""
    return LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def shown(path: object) -> str:
    """A path for a message: printable, on one line, its end when it is long."""
    text = one_line(path)
    return text if len(text) <= SHOWN_CHARACTERS else "..." + text[-SHOWN_CHARACTERS:]


def check(path: Path | str) -> None:
    """Raises PATH for a name that the system or one of the libraries that read and write images cannot take."""
    reason = problem(path)
    if reason:
        raise VeloxSegError("PATH", path=shown(path), reason=reason)


_UNUSABLE: dict[int | None, str] = {errno.ENAMETOOLONG: "it is too long", errno.ELOOP: "its links lead in a circle"}


def problem(path: Path | str) -> str:
    """Why a path cannot be used, "" when it can; whether there is something at this place does not matter."""
    if "\0" in str(path):
        return "it has a NUL character"
    if LONE_SURROGATE.search(str(path)):
        return "it has bytes that are not UTF-8"
    try:
        Path(path).lstat()
    except OSError as error:
        return _UNUSABLE.get(error.errno, "")
    return ""


def fits_every_system(name: str) -> bool:
    """Whether a file or folder can have this name on every system, with room for a hidden name made of it."""
    return UNUSABLE.search(name) is None and len(name.encode()) <= MOST_BYTES


def folded(name: str) -> str:
    """Equal for names that some file system takes for one: capitals, and letters with their accents apart."""
    return unicodedata.normalize("NFC", name).casefold()
