"""The acceptance record: a pytest plugin that writes docs/acceptance.md from what the tests measured.

A test marked `acceptance(number)` belongs to a check of `CHECKS` and tells what it measured through the fixture
`measured`; whether the check holds is whether its tests pass. The file is written at the end of a session in which every
check and all tests that run in Slicer took part, so a partial run never touches it. Its times are those of the computer
that ran it.
"""

import os
import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "acceptance.md"
SLICER_TESTS = "Testing/Python/"
SLICER_TESTS_LIMIT_S = 180
CANCEL_LIMIT_S = 8
THIS_COMPUTER = ("127.0.0.1", "::1", "localhost")

# number -> (claim, when it counts as shown)
CHECKS = {
    1: ("Opens without torch", "under 1 s, no error, check list of three lines"),
    2: ("Install is one decision", "one dialog before installing; the same step again after a restart"),
    3: ("Damaged install recognized", "an empty torch package gives Repair"),
    4: ("Grid mismatch told before the run", "word and numbers in the row within 0.2 s of choosing"),
    5: ("Correct overlay on any grid", "Dice with a synthetic sphere above 0.99 for oblique, flipped, anisotropic grids"),
    6: ("PET unit check", "Bq/ml asks for a decision; SUV within 1 % of a hand calculation"),
    7: ("Color and gray explained", "both directions"),
    8: ("Slicer stays responsive", "event loop blocked for less than 0.5 s during a run"),
    9: ("Cancel", f"text within 1 s, process gone within {CANCEL_LIMIT_S} s, the same nodes as before"),
    10: ("Percent and time left", "never goes back; estimate off by less than 50 % after 20 %"),
    11: ("Lack of memory is survived", "a simulated lack of memory ends with a result and a note"),
    12: ("A crash is reported", "a killed process gives the crash text; the panel is ready again"),
    13: ("Earlier results are safe", "a second run leaves the first; a replaced one can be restored"),
    14: ("Names, colors, terminology, study", "as in the card, for every shipped model"),
    15: ("DICOM tags", "algorithm type and name on every segment"),
    16: ("Lesion table", "synthetic spheres: volume within 2 %, SUV within 1 %, TLG right"),
    17: ("An empty result is explained", "text with the highest score, and a jump to it"),
    18: ("Uncertainty can be read", "map, agreement, places to review; identical with the same seed"),
    19: ("Provenance", "attributes are there after saving and loading the scene"),
    20: ("Batch", "ten cases, one broken: nine done, one listed; resuming skips nine"),
    21: ("Import of an own model", "a zip of training works; five kinds of damage give five sentences"),
    22: ("Demo weights are marked", "in panel, node name and CSV"),
    23: ("No pop-up in unattended use", "logic and batch run with no window"),
    24: ("Every control labeled", "tooltip, accessible name and label for all, by a scan"),
    25: ("Tests need no network, few need torch", "no connection; the tests for Slicer take less than 3 min of a processor"),
}
# What a check measures beyond its criterion, and measures that are no check.
EXTRA = "More measures"

UNPROVED = (
    "Native look, fonts and keyboard focus of the C++ widgets; drag and drop; the settings pages of the application.",
    "Installing torch through the PyTorch helper extension, and the restart of Slicer itself.",
    "The DICOM browser and the DICOM SEG exporter; the tests check the tags and the terminology that it reads.",
    "Segment Editor, General Registration and Segment Statistics opened from the panel, as far as they are C++ or other modules.",
    "Graphics cards, Windows and macOS: the tests ran on the CPU under Linux.",
    "A screen reader's reading of the panel: the tests check names, descriptions, buddies and focus only.",
    "Packaging by the Extensions Index; the lists in CMakeLists.txt are compared with the folder.",
)


@dataclass
class Row:
    """A check as far as its tests have run: what they measured, and whether all of them passed."""

    measured: list[str] = field(default_factory=list)
    passed: bool = True


@dataclass
class _Session:
    rows: dict[int, Row] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    slicerTests: dict[str, float] = field(default_factory=dict)
    """Test under Testing/Python -> seconds of a processor, those of its processes included."""
    slicerSeconds: float = 0.0
    """How long these tests took on the clock."""
    current: str = ""
    engineTests: set[str] = field(default_factory=set)
    """Tests of the panel that started the real engine."""
    isPartial: bool = False


_session = _Session()


def ownTime() -> float:
    """Seconds of a clock that stands still while other programs have the processor, where the system counts that."""
    statistics = Path("/proc/thread-self/schedstat")
    waited = int(statistics.read_text().split()[1]) / 1e9 if statistics.exists() else 0.0
    return time.perf_counter() - waited


def amount(value: float, unit: str) -> str:
    """A number with two significant digits: a finer one would differ on every run."""
    return f"{value:.2g} {unit}" if value < 100 else f"{value:.0f} {unit}"


@pytest.fixture
def measured(request):
    """measured("0.3 s") notes what the test of a check measured; with `name` it is a measure beside the checks."""

    def note(text: str, name: str | None = None) -> None:
        if name is not None:
            _session.extra[name] = text
        else:
            _rowOf(request.node).measured.append(text)

    return note


def _rowOf(item) -> Row:
    return _session.rows.setdefault(item.get_closest_marker("acceptance").args[0], Row())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if item.get_closest_marker("acceptance") and (report.failed or report.skipped):
        row = _rowOf(item)
        row.passed = False
        row.measured.append(f"{item.name} {report.outcome}")
    elif item.get_closest_marker("acceptance") and report.when == "call":
        _rowOf(item)
    return report


def pytest_runtest_logstart(nodeid):
    _session.current = nodeid


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    before, begun = sum(os.times()[:4]), time.monotonic()
    done = yield
    if item.nodeid.startswith(SLICER_TESTS):
        _session.slicerTests[item.nodeid] = sum(os.times()[:4]) - before
        _session.slicerSeconds += time.monotonic() - begun
    return done


def pytest_deselected(items):
    _session.isPartial = _session.isPartial or bool(items)


def pytest_sessionfinish():
    _judgeSuite()
    if _session.rows.keys() >= CHECKS.keys() and not _session.isPartial:
        FILE.write_text(document(_session.rows, _session.extra), encoding="utf-8")


def _judgeSuite() -> None:
    """Check 25 is about the session itself. A connection would have failed the test that tried it."""
    if not _session.slicerTests:
        return
    seconds = sum(_session.slicerTests.values())
    engine = len(_session.engineTests & _session.slicerTests.keys())
    clock = amount(_session.slicerSeconds, "s")
    text = (
        f"{len(_session.slicerTests)} tests take {amount(seconds, 's')} of a processor ({clock} on the clock, beside other"
        f" programs), {engine} of them with torch; connections are refused"
    )
    _session.rows[25] = Row([text], seconds < SLICER_TESTS_LIMIT_S)


def _audit(event: str, arguments: tuple) -> None:
    """Refuses connections to other computers, and notes who starts the engine in a process."""
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in THIS_COMPUTER:
        raise RuntimeError(f"{_session.current} opens a connection to {arguments[1]}")
    if event == "subprocess.Popen" and "veloxseg" in str(arguments[1]):
        _session.engineTests.add(_session.current)


sys.addaudithook(_audit)


def noteEngineStarts(qt) -> None:
    """QProcess is not audited by Python: note the engine's starts there, too."""
    start = qt.QProcess.start

    def noted(process, *arguments):
        if any(str(part).startswith("veloxseg") for part in arguments[1]):
            _session.engineTests.add(_session.current)
        return start(process, *arguments)

    qt.QProcess.start = noted


def document(rows: dict[int, Row], extra: dict[str, str]) -> str:
    """The Markdown text of the record."""
    lines = [
        "# Acceptance",
        "",
        "Written by the test suite (`make test`, plugin `Testing/host/acceptance.py`) in the test host: Slicer's own MRML and",
        "`slicer.util`, an imitated Qt side, the unmodified module. A check passes when its tests in"
        " `Testing/host/test_acceptance*.py`",
        "pass. All images are *synthetic*. Times are of this computer, without what other programs took:"
        f" {os.cpu_count()} CPU cores, {platform.system()}, Python {platform.python_version()}.",
        "",
        "| # | Claim | Holds when | Measured | Result |",
        "|---|---|---|---|---|",
    ]
    for number, (claim, criterion) in CHECKS.items():
        row = rows[number]
        lines.append(f"| {number} | {claim} | {criterion} | {'; '.join(row.measured)} | {'pass' if row.passed else 'FAIL'} |")
    lines += ["", f"## {EXTRA}", "", "| Measure | Value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in sorted(extra.items())]
    lines += ["", "## Unproved: only a real Slicer can show", "", *(f"- {text}" for text in UNPROVED)]
    return "\n".join(lines) + "\n"
