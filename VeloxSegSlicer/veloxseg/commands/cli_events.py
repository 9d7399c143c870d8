"""What the commands that a program may read have in common: events on stdout instead of text (docs/formats.md)."""

import contextlib
import platform
import sys
from collections.abc import Iterator

from veloxseg import __version__
from veloxseg.contract import redaction
from veloxseg.contract.errors import EXIT_CANCELLED, expected
from veloxseg.service import runner


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
    except Exception as error:
        failure = expected(error)
        if failure is not error:
            print(redaction.exception_text(), file=sys.stderr)
        if failure.exit_code != EXIT_CANCELLED:
            runner.send_error(events, failure)
        raise
