"""The runner's messages: bytes to lines to events to a progress that never goes back. No Qt here."""

import re
import time

from ..common import Shapes

# Share of the bar (percent) at the start of each stage; computing moves between its start and the next one.
STAGE_START = {"reading": 2, "model": 4, "preparing": 8, "computing": 12, "writing": 94, "measuring": 97}
COMPUTING_END = 94
# The first windows are slower than the others: an estimate waits for this share, or for these seconds.
SHARE_BEFORE_ESTIMATE = 0.05
SECONDS_BEFORE_ESTIMATE = 3.0
LARGEST_GROWTH_OF_TIME_LEFT = 4 / 3


# Of one line, in bytes: the list of some hundred thousand cases is shorter. What is longer is no message.
LONGEST_LINE = 64 * 2**20

END_LINE = re.compile(r'\s*\{\s*"event"\s*:\s*"end"')

_AMOUNT = Shapes.whole(0, 2**53)
# What every message must have and may have (docs/formats.md), whoever sends it. A result is checked by who waits for it.
EVENTS = {
    "hello": Shapes.record(
        {},
        {
            "device": Shapes.text,
            "why_cpu": Shapes.orNone(Shapes.text),
            "free_bytes": Shapes.orNone(Shapes.number(0)),
            "devices": Shapes.listOf(Shapes.record({"device": Shapes.text, "name": Shapes.text})),
        },
    ),
    "stage": Shapes.record({}, {"name": Shapes.text, "text": Shapes.text}),
    "progress": Shapes.record({"done": _AMOUNT, "total": _AMOUNT}, {"seconds_left": Shapes.orNone(Shapes.number(0))}),
    "note": Shapes.record({"code": Shapes.text, "text": Shapes.text}),
    "result": Shapes.anything,
    "error": Shapes.record({"code": Shapes.text, "text": Shapes.text}, {"detail": Shapes.text}),
    "end": Shapes.record({"exit_code": Shapes.whole(-(2**31), 2**32)}),
    "check": Shapes.record({"name": Shapes.text, "state": Shapes.text}),
    "preview": Shapes.record(
        {
            "cases": Shapes.listOf(
                Shapes.record(
                    {
                        "name": Shapes.text,
                        "files": Shapes.mapOf(Shapes.text),
                        "size": Shapes.orNone(Shapes.listOf(_AMOUNT)),
                        "state": Shapes.text,
                        "text": Shapes.text,
                    }
                )
            ),
            "patterns": Shapes.mapOf(Shapes.text),
            "bytes": Shapes.orNone(Shapes.number(0)),
            "free_bytes": Shapes.orNone(Shapes.number(0)),
            "seconds": Shapes.orNone(Shapes.number(0)),
        }
    ),
    "case": Shapes.record(
        {
            "number": Shapes.whole(1, 2**53),
            "total": Shapes.whole(1, 2**53),
            "name": Shapes.text,
            "state": Shapes.text,
            "text": Shapes.text,
            "seconds_left": Shapes.orNone(Shapes.number(0)),
        }
    ),
}


class LineBuffer:
    """Collects bytes that arrive in pieces and hands out whole lines. Of a line without end only the beginning is kept."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[str]:
        """Add bytes; return the lines that are now complete. Bytes that are not UTF-8 are replaced."""
        *complete, rest = data.split(b"\n")
        lines = []
        for piece in complete:
            self._keep(piece)
            lines.append(self._take())
        self._keep(rest)
        return lines

    def flush(self) -> list[str]:
        """The last line, when the stream ended without a line feed."""
        return [self._take()] if self._size else []

    def _keep(self, piece: bytes) -> None:
        piece = piece[: LONGEST_LINE - self._size]
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)

    def _take(self) -> str:
        line = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        return line.decode("utf-8", errors="replace").rstrip("\r")


def eventOf(line: str) -> dict | None:
    """The event of one stdout line, or None for anything else, which belongs into the log."""
    # Most lines of libraries need no parser to be told from events.
    if not line.lstrip().startswith("{"):
        return None
    try:
        event = Shapes.load(line)
    except ValueError:
        # Cut off or garbled, an end is still one: nothing comes after it.
        return {"event": "end"} if END_LINE.match(line) else None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def problemOf(event: dict) -> str:
    """What is wrong with the fields of an event, "" when nothing is. Kinds that this panel does not know are right."""
    kind = event["event"]
    problem = EVENTS.get(kind, Shapes.anything)(event)
    return f"{kind}{problem}" if problem else ""


class Progress:
    """Percent and time left for the panel, from `stage` and `progress` events."""

    def __init__(self) -> None:
        self.percent = 0
        self.secondsLeft: float | None = None
        self.done = 0
        self.total = 0
        self._firstWindowAt: float | None = None

    def stage(self, name: str) -> None:
        """A stage begins; unknown ones leave the bar where it is."""
        self.percent = max(self.percent, STAGE_START.get(name, 0))
        self.secondsLeft = None

    def windows(self, done: int, total: int, secondsLeft: float | None) -> None:
        """Some windows are done. Steps back are ignored; the time left grows by a third at most."""
        if total <= 0 or done < self.done:
            return
        self.done, self.total = min(done, total), total
        self._firstWindowAt = self._firstWindowAt or time.monotonic()
        waited = time.monotonic() - self._firstWindowAt
        if self.done / total < SHARE_BEFORE_ESTIMATE and waited < SECONDS_BEFORE_ESTIMATE:
            secondsLeft = None
        start = STAGE_START["computing"]
        self.percent = max(self.percent, int(start + (COMPUTING_END - start) * self.done / total))
        if secondsLeft is not None and self.secondsLeft:
            secondsLeft = min(secondsLeft, self.secondsLeft * LARGEST_GROWTH_OF_TIME_LEFT)
        self.secondsLeft = secondsLeft
