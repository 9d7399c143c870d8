"""What the commands that a program may read have in common: events on stdout instead of text (docs/formats.md)."""

import contextlib
import platform
import sys
import traceback
from collections.abc import Iterator

from veloxseg import __version__, runner
from veloxseg.errors import EXIT_CANCELLED, VeloxSegError


@contextlib.contextmanager
def sent(wanted: bool) -> Iterator[runner.Events | None]:
    """The events of a command, beginning with `hello`, or None if text is wanted. A failure is sent as `error` and goes on."""
    if not wanted:
        yield None
        return
    events = runner.Events(runner.private_stdout())
    events.send("hello", engine=__version__, python=platform.python_version(), protocol=runner.PROTOCOL)
    try:
        yield events
    except VeloxSegError as error:
        if error.exit_code != EXIT_CANCELLED:
            _send(events, error)
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        _send(events, VeloxSegError("UNEXPECTED", kind=type(error).__name__, detail=str(error)))
        raise


def _send(events: runner.Events, error: VeloxSegError) -> None:
    events.send("error", code=error.code, text=error.text, detail=error.detail)
