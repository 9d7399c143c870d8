"""`veloxseg batch`: many cases with one model and one settings file (docs/formats.md)."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from tqdm import tqdm

from veloxseg.commands import cli_events
from veloxseg.contract import names
from veloxseg.contract.errors import EXIT_OK, EXIT_PARTLY, VeloxSegError
from veloxseg.packages import cards
from veloxseg.service import batch, runner

if TYPE_CHECKING:
    from veloxseg.inference import progress


@dataclass(frozen=True)
class BatchCommand:
    """Segment all cases of a settings file (docs/formats.md). Finished cases are skipped, so the same command goes on after an
    interruption. A file called pause in the output folder, or Ctrl+C, stops it."""

    settings: tyro.conf.Positional[Path]
    """JSON file: model, source of the cases, output folder; the panel of 3D Slicer writes the same."""
    preview: tyro.conf.FlagCreatePairsOff[bool] = False
    """List the cases and what would happen with each, and write nothing."""
    shard: str = "1/1"
    """i/n: only every n-th case, beginning with the i-th, to share the work between n processes or computers."""
    accept_license: tyro.conf.FlagCreatePairsOff[bool] = False
    """Needed for a model whose license may restrict its use: it was read and is accepted."""
    events: tyro.conf.FlagCreatePairsOff[bool] = False
    """For programs: one JSON object per line on stdout instead of text; the end of stdin then cancels."""

    def run(self) -> int:
        """Do it; returns the exit code. Raises VeloxSegError."""
        with cli_events.sent(self.events) as events:
            plan = batch.read(self.settings)
            cases = batch.cases_of(plan, parse_shard(self.shard))
            if self.preview:
                _tell_preview(batch.preview(plan, cases), events)
                return EXIT_OK
            cards.check_license(plan.card, plan.folder, self.accept_license)
            tally = _run_with_events(plan, cases, events) if events else _run_with_bar(plan, cases)
        return EXIT_PARTLY if tally.counts[batch.FAILED] else EXIT_OK


def parse_shard(text: str) -> tuple[int, int]:
    """ "2/5" -> (2, 5). Raises REQUEST."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise VeloxSegError("REQUEST", reason=f"the shard {text} is not i/n with i from 1 to n")
    return number, count


def _tell_preview(content: dict, events: runner.Events | None) -> None:
    if events is not None:
        events.send("preview", **content)
        return
    for entry in content["cases"]:
        size = " x ".join(map(str, entry["size"] or ()))
        print(names.printable(f"{entry['name']:<24} {entry['state']:<11} {size:<18} {entry['text']}").rstrip())
    print(", ".join(f"{count} {state}" for state, count in content["counts"].items()))
    print(f"At most {content['bytes'] / 1e6:,.0f} MB on disk, {content['free_bytes'] / 1e6:,.0f} MB free")


class _Bar(batch.BatchListener):
    """Draws one bar over all cases on stderr."""

    def __init__(self, total: int) -> None:
        self._bar = tqdm(total=total, unit="case", file=sys.stderr)
        self._name = ""

    def case(self, number: int, total: int, name: str, state: str, text: str, seconds_left: float | None) -> None:
        self._name = names.shown(name)
        self._bar.set_postfix_str(self._name)
        if state != batch.RUNNING:
            self._bar.update()
        if text and state != batch.SKIPPED:
            self.say(text)

    def pipeline(self) -> "_Notes":
        return _Notes(self)

    def say(self, text: str) -> None:
        """A line about the present case above the bar."""
        self._bar.write(f"{self._name}: {text}", file=sys.stderr)

    def close(self) -> None:
        self._bar.close()


class _Notes:
    """The pipeline's listener (`progress.Listener`) that passes on notes alone."""

    def __init__(self, bar: _Bar) -> None:
        self._bar = bar

    def stage(self, name: str, text: str) -> None:
        pass

    def progress(self, done: int, total: int) -> None:
        pass

    def note(self, code: str, text: str) -> None:
        self._bar.say(f"Note: {text}")

    def cancelled(self) -> bool:
        return False


def _run_with_bar(plan: batch.Batch, cases: list) -> batch.Tally:
    bar = _Bar(len(cases))
    try:
        tally = batch.run(plan, cases, bar)
    finally:
        bar.close()
    print(f"{tally.text()}. Written to {plan.output}")
    if tally.left:
        print(f"Delete {plan.output / batch.PAUSE_FILE} and start again to go on.")
    return tally


class _Sender(batch.BatchListener):
    """Sends events; stops when the process that started this one asks for it or is gone."""

    def __init__(self, events: runner.Events, owner: runner.Owner, cancel_file: Path) -> None:
        self._events, self._owner, self._cancel_file = events, owner, cancel_file

    def case(self, number: int, total: int, name: str, state: str, text: str, seconds_left: float | None) -> None:
        self._events.send("case", number=number, total=total, name=name, state=state, text=text, seconds_left=seconds_left)

    def pipeline(self) -> "progress.Listener":
        # progress begins anew with each case
        return runner.Reporter(self._events.again(), self._owner, self._cancel_file)

    def writes(self, partial: Path) -> None:
        self._owner.remove_when_abandoned(partial)


def _run_with_events(plan: batch.Batch, cases: list, events: runner.Events) -> batch.Tally:
    owner = runner.Owner()
    owner.start()
    tally = batch.run(plan, cases, _Sender(events, owner, plan.output / runner.CANCEL_FILE))
    owner.finish()
    counts = {state: tally.counts[state] for state in (batch.DONE, batch.FAILED, batch.SKIPPED)}
    events.send(
        "result",
        folder=str(plan.output),
        text=tally.text(),
        counts=counts | {"left": tally.left},
        seconds_per_case=tally.seconds_left(1),
    )
    return tally
