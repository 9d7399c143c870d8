"""Many cases with one model: `veloxseg batch SETTINGS.json`, and the Batch section of the panel through the same command.

The network is loaded once, each case goes through `api.segment`, a failed case is recorded and the next begins, and a case
that is finished with the same model, settings and images is skipped.
"""

import math
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from veloxseg import files
from veloxseg.contract import names, redaction, strict_json
from veloxseg.contract.card import Card
from veloxseg.contract.errors import EXIT_MODEL, VeloxSegError, expected
from veloxseg.contract.settings import FIELDS
from veloxseg.packages import cards
from veloxseg.service import batch_cases, batch_files
from veloxseg.service.batch_cases import Case
from veloxseg.validation import first_problem

# A preview must not wait for torch.
if TYPE_CHECKING:
    from veloxseg.inference import progress
    from veloxseg.inference.case import Package

DEFAULTS = {**FIELDS, "format": "seg.nrrd", "outputs": []}
DONE, FAILED, SKIPPED, RUNNING = "done", "failed", "skipped", "running"
PAUSE_FILE = "pause"
CHANGED = {
    "model": "Runs again, because the model is another one.",
    "settings": "Runs again, because the settings differ.",
    "images": "Runs again, because the images changed.",
}
STOPS_THE_BATCH = ("DISK_FULL", "CANCELLED")


@dataclass(frozen=True)
class Batch:
    """A settings file that was read and checked: `settings` with defaults, absolute paths; the model's `folder` and `card`."""

    settings: dict
    folder: Path
    card: Card

    @property
    def output(self) -> Path:
        """Folder of all results."""
        return Path(self.settings["output"])

    def difference(self, case: Case) -> str | None:
        """None for a case that was never finished, else `batch_files.difference`."""
        record = batch_files.finished(self.output / case.name)
        if record is None:
            return None
        return batch_files.difference(record, case, self.settings, self.card.weights_sha256)


class BatchListener:
    """Hears how a batch goes; the default hears nothing."""

    def case(self, number: int, total: int, name: str, state: str, text: str, seconds_left: float | None) -> None:
        """A case begins (RUNNING) or has ended (DONE, FAILED, SKIPPED); `text` says why, "" when there is nothing to say."""

    def pipeline(self) -> "progress.Listener | None":
        """Who hears how the next case goes."""

    def writes(self, partial: Path) -> None:
        """The folder that is being written, to be removed if the process has to be ended hard."""


@dataclass
class Tally:
    """How a batch went: cases by state, seconds of each computed case, how many were not begun, and case -> failure."""

    counts: Counter = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    left: int = 0
    failures: dict[str, VeloxSegError] = field(default_factory=dict)

    def text(self) -> str:
        """One line for people."""
        parts = [f"{self.counts[state]} {state}" for state in (DONE, FAILED, SKIPPED)]
        return ", ".join(parts) + (f"; {self.left} not begun" if self.left else "")

    def seconds_left(self, cases: int) -> float | None:
        """For so many more cases, None before the first one was computed."""
        return sum(self.seconds) / len(self.seconds) * cases if self.seconds else None


def read(path: Path) -> Batch:
    """Read a settings file; its paths are relative to it. Raises REQUEST, PATH, BATCH_SOURCE and the MODEL_* codes."""
    names.check(path)
    try:
        content = strict_json.read(path)
    except (OSError, ValueError) as error:
        raise strict_json.unreadable(path, error) from error
    problem = first_problem("batch", content)
    if problem:
        raise VeloxSegError("REQUEST", reason=f"{names.shown(path.name)} is wrong at {problem}")
    base = path.absolute().parent
    for place in (content["source"]["path"], content["output"], content["model"]):
        names.check(base / place)
    settings = {**DEFAULTS, **content}
    settings["outputs"], settings["accept"] = sorted(settings["outputs"]), sorted(settings["accept"])
    settings["source"] = {**content["source"], "path": str(base / content["source"]["path"])}
    settings["output"] = str(base / content["output"])
    inside = base / content["model"]
    folder = cards.find(inside if inside.is_dir() else content["model"])
    card = cards.read(folder)
    _check(settings, card)
    return Batch(settings | {"model": str(folder)}, folder, card)


def _check(settings: dict, card: Card) -> None:
    is_photo = card.takes_photo
    possible = dict.fromkeys(("overlap", "mirrors", "region"), not is_photo)
    possible |= {"mm_per_px": is_photo, "members": card.has_ensemble}
    for name, is_possible in possible.items():
        if settings[name] != DEFAULTS[name] and not is_possible:
            raise VeloxSegError("REQUEST", reason=f"the model {card.title} has no setting {name}")
    source, output = Path(settings["source"]["path"]).resolve(), Path(settings["output"]).resolve()
    if settings["source"]["kind"] != "list" and (output == source or source in output.parents):
        raise VeloxSegError("REQUEST", reason="the output folder lies in the folder of the images")


def cases_of(batch: Batch, shard: tuple[int, int] = (1, 1)) -> list[Case]:
    """Every n-th case, beginning with the i-th, of a shard (i, n). Raises BATCH_SOURCE."""
    number, count = shard
    return batch_cases.discover(batch.settings["source"], batch.card)[number - 1 :: count]


def preview(batch: Batch, cases: Sequence[Case]) -> dict:
    """What would happen with each case, how many are in which state, and the disk space needed at most; nothing is written.

    `seconds`: mean of the finished cases, None without one.
    """
    entries, times, needed = [], [], 0
    for case in (batch_cases.inspect(case, batch.card) for case in cases):
        state, text = _outlook(batch, case)
        entries.append({
            "name": case.name,
            "files": {role: str(path) for role, path in case.files.items()},
            "size": list(case.size) if case.size else None,
            "state": state,
            "text": text,
        })  # fmt: skip
        if state == batch_cases.READY:
            needed += _bytes(case, batch.settings["outputs"])
        record = batch_files.finished(batch.output / case.name)
        if record is not None:
            times.append(float(record["results"]["seconds"]["total"]))
    return {
        "cases": entries,
        "counts": dict(Counter(entry["state"] for entry in entries)),
        "patterns": _patterns_in_use(batch),
        "bytes": needed,
        "free_bytes": _free(batch.output),
        "seconds": sum(times) / len(times) if times else None,
    }


def _outlook(batch: Batch, case: Case) -> tuple[str, str]:
    if case.state != batch_cases.READY:
        return case.state, case.problem
    difference = batch.difference(case)
    if difference == "":
        return "finished", "Finished with the same model, settings and images; will be skipped."
    if difference is not None:
        return case.state, CHANGED[difference]
    failure = batch_files.earlier_failure(batch.output / case.name)
    return case.state, f"Failed before: {failure['text']}" if failure else ""


def _patterns_in_use(batch: Batch) -> dict[str, str]:
    source = batch.settings["source"]
    default = batch_cases.default_patterns(batch.card.roles) if source["kind"] == "names" else {}
    return default | source.get("patterns", {})


def _bytes(case: Case, outputs: Sequence[str]) -> int:
    return math.prod(case.size or (0,)) * (1 + len(outputs))


def _free(folder: Path) -> int:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(existing).free


def run(batch: Batch, cases: Sequence[Case], listener: BatchListener | None = None) -> Tally:
    """Compute what is not finished. A file `pause` in the output folder ends the batch before its next case.

    Raises what no other case would survive: MODEL_*, REQUEST, DISK_FULL, OUTPUT_UNWRITABLE for the output folder, CANCELLED.
    """
    from veloxseg.inference import devices
    from veloxseg.packages import packages, warm

    listener, tally = listener or BatchListener(), Tally()
    devices.choose(batch.settings["device"])
    keeper = warm.Keeper()
    package = keeper.package(packages.read(batch.folder))
    with files.typed_output_errors(batch.output):
        batch.output.mkdir(parents=True, exist_ok=True)
    files.remove_leftovers(batch.output)
    files.write_json(batch.output / batch_files.SETTINGS, batch.settings)
    everything = batch_cases.discover(batch.settings["source"], batch.card)
    differences = [batch.difference(case) if case.state == batch_cases.READY else None for case in cases]
    try:
        for index, (case, difference) in enumerate(zip(cases, differences, strict=True)):
            if (batch.output / PAUSE_FILE).exists():
                tally.left = len(cases) - index
                break
            todo = sum(found != "" for found in differences[index:])
            _one(batch, case, difference, package, listener, tally, (index + 1, len(cases), todo))
            keeper.tidy()
    finally:
        batch_files.write_tables(batch.output, everything, tally.failures)
    return tally


def _one(
    batch: Batch,
    case: Case,
    difference: str | None,
    package: "Package",
    listener: BatchListener,
    tally: Tally,
    place: tuple[int, int, int],
) -> None:
    """One case of a batch; `place`: its number, the number of all, and how many are still to be computed with it."""
    number, total, todo = place
    folder = batch.output / case.name
    if difference == "":
        (folder / batch_files.FAILURE).unlink(missing_ok=True)
        tally.counts[SKIPPED] += 1
        listener.case(number, total, case.name, SKIPPED, "Same model, settings and images.", tally.seconds_left(todo))
        return
    listener.case(number, total, case.name, RUNNING, CHANGED.get(difference or "", ""), tally.seconds_left(todo))
    error = _attempt(batch, case, folder, package, listener, tally)
    state, text = (DONE, "") if error is None else (FAILED, error.text)
    tally.counts[state] += 1
    if error is not None:
        tally.failures[case.name] = error
    listener.case(number, total, case.name, state, text, tally.seconds_left(todo - 1))


def _attempt(
    batch: Batch,
    case: Case,
    folder: Path,
    package: "Package",
    listener: BatchListener,
    tally: Tally,
) -> VeloxSegError | None:
    """Compute and write a case; a failure of this case alone is recorded and returned."""
    try:
        if case.state != batch_cases.READY:
            return VeloxSegError("BATCH_CASE", problem=case.problem)
        batch_files.refuse_foreign_content(folder)
        tally.seconds.append(_compute(batch, case, folder, package, listener))
        return None
    except VeloxSegError as error:
        if error.code in STOPS_THE_BATCH or error.exit_code == EXIT_MODEL:
            raise
        found = VeloxSegError(error.code, detail=error.detail, **_without_files(error.facts, case))
    except Exception as error:  # noqa: BLE001 - the cases that follow must not suffer
        print(redaction.exception_text(), file=sys.stderr)
        found = expected(error)
    if found.code != "OUTPUT_UNWRITABLE":
        batch_files.write_failure(folder, found)
    return found


def _without_files(facts: Mapping[str, object], case: Case) -> dict[str, object]:
    """The facts of a failure with roles for the case's files, whose names may be those of patients."""
    roles = {str(path): f"of {role}" for role, path in case.files.items()}
    return {name: roles.get(str(value), value) for name, value in facts.items()}


def _compute(batch: Batch, case: Case, folder: Path, package: "Package", listener: BatchListener) -> float:
    """Segment and write one case; returns its seconds."""
    from veloxseg import api

    settings = batch.settings
    # before reading, so that a file that changes meanwhile is noticed the next time
    inputs = {role: batch_files.fingerprint(path, role) for role, path in case.files.items()}
    result = api.segment(
        package,
        case.files,
        **{name: settings[name] for name in FIELDS if name != "outputs"},
        outputs=["mask", "measures", *settings["outputs"]],
        listener=listener.pipeline(),
    )
    with result.run.stage("writing"), files.replacing_folder(folder) as partial:
        listener.writes(partial)
        record = {
            "schema_version": 1,
            "case": case.name,
            "settings": {name: settings[name] for name in batch_files.SAME_RESULT},
            "inputs": inputs,
            "results": result.provenance,
        }
        batch_files.write_case(partial, result.prediction, package.card, record, settings["outputs"], settings["format"])
        result.run.check()
    return result.run.times()["total"]
