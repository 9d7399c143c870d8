"""How an injected fault ended, and the judge that says so."""

import contextlib
import hashlib
import signal
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

RIGHT, NOTED, REFUSED, WRONG, LOST = "right", "noted", "refused", "wrong", "lost"
OUTCOMES = (RIGHT, NOTED, REFUSED, WRONG, LOST)
BAD = (WRONG, LOST)
LONGEST_SENTENCE = 900
SECONDS = 60


@dataclass(frozen=True)
class Verdict:
    """One of `OUTCOMES`; `why` says more about a bad one."""

    outcome: str
    why: str = ""


class Told(Exception):
    """A refusal that arrived from another process or as an event."""

    def __init__(self, code: str, text: str, exit_code: int) -> None:
        self.code, self.text, self.exit_code = code, text, exit_code
        super().__init__(f"{code}: {text}")


class Late(BaseException):
    """The limit has passed. Not an Exception, so that no door takes it for a failure of its own."""


class Kept:
    """What folders held, by hash."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._before = dict(self._contents())

    def _contents(self) -> Iterator[tuple[Path, str]]:
        for folder in self._folders:
            for path in sorted(folder.rglob("*")):
                yield path, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"

    def lost(self) -> str:
        """What is gone or differs, "" for nothing."""
        now = dict(self._contents())
        return next((f"{path.name} is gone or changed" for path, content in self._before.items() if now.get(path) != content), "")

    def added(self) -> str:
        """What has come, "" for nothing."""
        return next((f"{path.name} was left behind" for path, _ in self._contents() if path not in self._before), "")


def judge(
    do: Callable[[], object],
    difference: Callable[[object], str],
    exits: Collection[int] | None,
    kept: Kept | None = None,
    notes: list | None = None,
    replaced: Kept | None = None,
) -> Verdict:
    """The verdict on one fault.

    do: goes through the door. difference: of its result, from what is right, "" for none. exits: the exit codes that fit this
    fault, None where a door has none. kept: what must be there afterwards, and has nothing more after a refusal. notes: filled
    by `do`; a result that differs is `noted` with one. replaced: what a result alone may replace.
    """
    try:
        with _limit(SECONDS):
            result = do()
            found = difference(result)
    except Late:
        return Verdict(WRONG, f"still busy after {SECONDS} s")
    except Exception as error:  # noqa: BLE001 - what may come out of a door is what is judged
        verdict = _refusal(error, exits, kept)
    else:
        verdict = Verdict(NOTED) if notes else Verdict(WRONG, found) if found else Verdict(RIGHT)
    must_stay = [kept, replaced if verdict.outcome in (REFUSED, WRONG) else None]
    lost = next((lost for one in must_stay if one and (lost := one.lost())), "")
    return Verdict(LOST, lost) if lost else verdict


def _refusal(error: Exception, exits: Collection[int] | None, kept: Kept | None) -> Verdict:
    problem = problem_of(error, exits)
    if problem:
        return Verdict(WRONG, problem)
    left = kept.added() if kept else ""
    return Verdict(WRONG, left) if left else Verdict(REFUSED)


def problem_of(error: Exception, exits: Collection[int] | None) -> str:
    """Why an exception is no proper refusal, "" when it is one: typed, one sentence, with the exit code of its kind."""
    code, text = getattr(error, "code", None), getattr(error, "text", None)
    if not isinstance(code, str) or not isinstance(text, str):
        return "".join(traceback.format_exception(error)[-3:]).strip()
    if code == "UNEXPECTED" or "please report" in text:
        return f"{text} {getattr(error, 'detail', '')}"
    if "\n" in text or not text.isprintable() or len(text) > LONGEST_SENTENCE or "Traceback" in text:
        return f"no sentence: {text!r}"
    exit_code = getattr(error, "exit_code", None)
    return "" if exits is None or exit_code in exits else f"exit code {exit_code} of {code}"


@contextlib.contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
