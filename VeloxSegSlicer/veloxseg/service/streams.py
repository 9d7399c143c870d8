"""The standard streams of a program: always there, and never the reason why a computation fails."""

import contextlib
import io
import os
import sys
from typing import TextIO

from veloxseg.contract.errors import VeloxSegError

STANDARD = (0, 1, 2)


class _Printed(io.FileIO):
    """Says in a sentence why something cannot be printed. A reader that is gone is a BrokenPipeError."""

    def write(self, data) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise VeloxSegError("PRINTING", reason=error.strerror) from error


class _Lenient(io.FileIO):
    """Takes everything: a reader that is gone or a full disk is the reader's loss."""

    def write(self, data) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def lenient(descriptor: int, **how: object) -> TextIO:
    """A text stream to a descriptor, line by line, on which writing never fails; `how`: as for TextIOWrapper."""
    return _text(_Lenient(descriptor, "w", closefd=False), line_buffering=True, **how)


def _text(raw: io.FileIO, **how: object) -> TextIO:
    return io.TextIOWrapper(io.BufferedWriter(raw), errors="backslashreplace", **how)


def prepare() -> None:
    """To be called first in a program. A closed stream leads nowhere from now on, so that no file takes its number; what a
    stream cannot say is shown as escapes; stderr never fails."""
    for descriptor in STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = _text(_Printed(1, "w", closefd=False), line_buffering=os.isatty(1), encoding=_encoding(sys.stdout))
    sys.stderr = lenient(2, encoding=_encoding(sys.stderr))


def _encoding(stream: TextIO | None) -> str:
    return stream.encoding if stream is not None else "utf-8"


def private_stdout() -> TextIO:
    """A stream to the real stdout; everything else that is printed to stdout goes to stderr from now on."""
    stream = lenient(os.dup(1), encoding="utf-8", newline="\n")
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os.dup2(2, 1)
    return stream


def give_up_stdout() -> None:
    """Nobody reads what is still to be printed: let it go nowhere, so that the end of the process has nothing to say."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
