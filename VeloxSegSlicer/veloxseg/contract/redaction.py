"""Takes what could name a person or a place out of logs and reports: the one redaction of the engine and the panel.

A path in free text has no end that can be found: folders may hold spaces, quotes and commas. So a line with a path, or with the
name of a file that is not our own, is left out as a whole, but for the kind of an error and for places in our own source.
"""

import builtins
import getpass
import os
import platform
import re
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from veloxseg.contract import errors

HIDDEN = "[...]"
"""Stands for what was taken out. Without letters, so that no name can be part of it."""

SHORT_NAME = 4
"""Shorter names are hidden only where they are words of their own."""
SHORT_WORD = 3
"""Shorter parts of a name are no names by themselves."""

_OWN_FILES = (
    "request.json", "results.json", "settings.json", "run.json", "failure.json", "comparison.json", "expected.json",
    "velox.json", "manifest.json", "metadata.json", "inference.json", "model.safetensors", "mask.nrrd", "probability.nrrd",
    "uncertainty.nrrd", "summary.csv", "lesions.csv", "failures.csv", "measures.csv", "requirements.txt",
)  # fmt: skip
_OWN_FILE = re.compile(rf"(?<![\w.\-])(?:{'|'.join(map(re.escape, _OWN_FILES))})(?![\w.\-])")
_FILE = re.compile(
    r"\.(?:nii|gz|nrrd|nhdr|mha|mhd|z?raw|img|hdr|gipl|dcm|ima|png|jpe?g|jp2|tiff?|bmp|gif|webp|heic|csv|tsv|txt|json|ya?ml"
    r"|xml|html?|pdf|docx?|xlsx?|zip|tar|7z|pth?|ckpt|safetensors|onnx|log|py|mrb|mrml|vt[kpu]|stl|obj|np[yz]|h5|mat|md)(?!\w)",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"(?<![\w/\\.~])[\d.,]*\s?(?:\d/\d+|(?:[kM]?Bq|g|cm2|mm2)/ml|(?:it|step|case|window|epoch|[kMGT]i?B)/s|s/(?:it|step|case|epoch)"
    r"|PET/CT|PET/MR|CPU/GPU|I/O|N/A|and/or)(?![\w/\\]|\.\w)"
)
_PATH = re.compile(r"[/\\]|(?<!\w)~\w")
_FRAME = re.compile(r'^(\s*)File "(.*)", line (\d+)(?:, in ([\w<>.]+))?$')
_PACKAGES = ("veloxseg", "VeloxSegSlicerLib", "training")
_QUOTED = re.compile(r"(?<![\w'\"])(?<!No module named )(['\"]).*\1(?!\w)")
_IDENTIFIERS = (
    re.compile(r"(?<![\d.])\d+(?:\.\d+){5,}(?![\d.])"),  # DICOM
    re.compile(r"[^\s^]+\^[^\s^]*(?:\^[^\s^]*)*"),  # a person's name in DICOM
    re.compile(r"[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)*"),
    re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"),
    re.compile(r"(?<!\w)(?:[0-9a-fA-F]{2}[:\-]){5}[0-9a-fA-F]{2}(?!\w)"),
    re.compile(r"(?<![\w.])\d{6,}(?![\w.])"),
)
_KINDS = {
    *errors.TABLE,
    *(name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)),
}


def redacted(text: str, names: Iterable[str] = ()) -> str:
    """A text without paths, names of files, accounts and computers, identifiers, quoted words, and without `names`.

    names: of patients, images and whatever else the caller knows; their words are hidden, too.
    """
    # Before anything else: a name may hold what ends a line.
    for pattern in _patterns([*names, *_names_of_computer()]):
        text = pattern.sub(HIDDEN, text)
    return "\n".join(map(_line, text.splitlines()))


def exception_text() -> str:
    """The traceback of the exception that is being handled, redacted."""
    return redacted(traceback.format_exc())


def _line(line: str) -> str:
    frame = _FRAME.match(line)
    if frame:
        indent, path, number, function = frame.groups()
        return f"{indent}File {_own_source(path)}, line {number}" + (f", in {function}" if function else "")
    if _has_path(line):
        kind = re.match(r"\w+", line)
        return f"{kind[0]}: {HIDDEN}" if kind and kind[0] in _KINDS else HIDDEN
    line = _QUOTED.sub(HIDDEN, line)
    for pattern in _IDENTIFIERS:
        line = pattern.sub(HIDDEN, line)
    return line


def _has_path(line: str) -> bool:
    rest = _OWN_FILE.sub("", _HARMLESS.sub("", line))
    return bool(_PATH.search(rest) or _FILE.search(rest))


def _own_source(path: str) -> str:
    """The place inside one of our packages when the file is one of them, else nothing of it."""
    here = Path(__file__).resolve().parents[1]
    parts = re.split(r"[/\\]", path)
    for position in range(len(parts) - 1, -1, -1):
        if parts[position] in _PACKAGES:
            inside = Path(*parts[position:])
            is_ours = any((root / inside).is_file() for root in (here, here.parent))
            return inside.as_posix() if is_ours else HIDDEN
    return HIDDEN


def _patterns(names: Iterable[str]) -> list[re.Pattern]:
    """For each name the whole, however its words are joined, and then each word, longest first."""
    wholes: set[str] = set()
    words: set[str] = set()
    for name in names:
        parts = re.findall(r"[^\W_]+", name)
        if not parts:
            continue
        pattern = r"[\W_]*".join(map(re.escape, parts))
        is_long = sum(map(len, parts)) >= SHORT_NAME
        wholes.add(pattern if is_long else rf"(?<![^\W_]){pattern}(?![^\W_])")
        words.update(rf"(?<![^\W_]){re.escape(part)}(?![^\W_])" for part in parts if len(part) >= SHORT_WORD)
    ordered = [*sorted(wholes, key=len, reverse=True), *sorted(words, key=len, reverse=True)]
    return [re.compile(pattern, re.IGNORECASE) for pattern in ordered]


def _names_of_computer() -> Iterator[str]:
    """The account and the computer."""
    yield Path.home().name
    try:
        yield getpass.getuser()
    except (OSError, KeyError, ImportError):
        # no account by that number, as in some containers
        yield ""
    for variable in ("LOGNAME", "USER", "USERNAME", "USERDOMAIN", "COMPUTERNAME", "HOSTNAME"):
        yield os.environ.get(variable, "")
    host = platform.node()
    yield host
    yield host.partition(".")[0]
