"""The runner's messages: bytes to lines to events to a progress that never goes back. No Qt here."""

import json
import time

# Share of the bar (percent) at the start of each stage; computing moves between its start and the next one.
STAGE_START = {"reading": 2, "model": 4, "preparing": 8, "computing": 12, "writing": 94, "measuring": 97}
COMPUTING_END = 94
# The first windows are slower than the others: an estimate waits for this share, or for these seconds.
SHARE_BEFORE_ESTIMATE = 0.05
SECONDS_BEFORE_ESTIMATE = 3.0
LARGEST_GROWTH_OF_TIME_LEFT = 4 / 3


class LineBuffer:
    """Collects bytes that arrive in pieces and hands out whole lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Add bytes; return the lines that are now complete. Bytes that are not UTF-8 are replaced."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode("utf-8", errors="replace").rstrip("\r") for line in lines]

    def flush(self) -> list[str]:
        """The last line, when the stream ended without a line feed."""
        lines = self.feed(b"\n") if self._rest else []
        return lines


def eventOf(line: str) -> dict | None:
    """The event of one stdout line, or None for anything else, which belongs into the log."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


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
