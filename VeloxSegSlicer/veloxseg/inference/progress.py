"""How a case gets on: its stages, windows and notes, who hears of them, and cancelling."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from veloxseg.contract import errors
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.protocol import STAGES


class Listener:
    """Hears how a run goes; the default hears nothing. Subclasses override what they need."""

    def stage(self, name: str, text: str) -> None:
        """A stage of `STAGES` begins."""

    def progress(self, done: int, total: int) -> None:
        """So many of the windows are computed."""

    def note(self, code: str, text: str) -> None:
        """Something the user should know that is no failure."""

    def writes(self, partial: Path) -> None:
        """The unfinished folder of the results, to be removed if the process has to be ended hard."""

    def cancelled(self) -> bool:
        """Whether to stop; asked between windows and between steps."""
        return False


class Run:
    """Stages, notes and cancelling of one run: tells the listener and takes the times."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.listener = listener or Listener()
        self.notes: list[dict] = []
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._begun = time.perf_counter()

    @contextlib.contextmanager
    def stage(self, name: str, text: str = "") -> Iterator[None]:
        """Times the block and adds it to the seconds of stage `name`. Raises CANCELLED before it if asked to
        stop."""
        self.check()
        self.listener.stage(name, text or STAGES[name])
        begun = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - begun

    def note(self, note: errors.Note) -> None:
        """Passes a note on and keeps it for the results."""
        self.notes.append({"code": note.code, "text": note.text})
        self.listener.note(note.code, note.text)

    def check(self) -> None:
        """Raises CANCELLED if asked to stop."""
        if self.listener.cancelled():
            raise VeloxSegError("CANCELLED")

    def times(self) -> dict[str, float]:
        """Seconds of every stage and in total since the run began."""
        return {**self.seconds, "total": time.perf_counter() - self._begun}
