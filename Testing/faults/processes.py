"""Engine processes that are killed, cancelled, or lose disk, streams and owner."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from veloxseg.contract.errors import EXIT_CANCELLED
from veloxseg.contract.protocol import SERVE
from veloxseg.inference import results
from veloxseg.service import runner

from .verdicts import Kept, Told, Verdict, judge
from .workshop import Workshop, read_answer

ENGINE = Path(results.__file__).parents[2]
SECONDS = 50
EXITS = (2, 3, 4, 5, 6)
STAND_IN = """
import sys
sys.path[:0] = {folders!r}
from Testing.faults.workshop import threshold_network
from veloxseg.service import runner
with threshold_network():
    sys.exit(runner.main(sys.argv[1:]))
"""


class Engine:
    """A runner with the stand-in network, in a process of its own: for one request, or serving."""

    def __init__(self, argument: str = SERVE, file_bytes: int | None = None) -> None:
        self.events: list[dict] = []
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", STAND_IN.format(folders=sys.path), argument],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            preexec_fn=(lambda: _limited(file_bytes)) if file_bytes else None,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"},
        )  # fmt: skip

    def send(self, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()

    def until(self, event: str) -> dict | None:
        """The next event of a kind, None when the process ended before."""
        for line in self._process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event:
                return self.events[-1]
        return None

    def kill(self, number: int) -> None:
        self._process.send_signal(number)

    def hang_up(self) -> None:
        """The owner is gone: stdin ends and nobody reads any more."""
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def wait(self) -> int:
        return self._process.wait(SECONDS)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self.hang_up()


def _limited(file_bytes: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))


def _job(workshop: Workshop) -> Path:
    sitk.WriteImage(workshop.image, str(workshop.inputs / "t1.nrrd"))
    path = workshop.place / "job" / "request.json"
    path.write_text(json.dumps(workshop.request()))
    return path


def _result_or_nothing(workshop: Workshop, code: int | None) -> str:
    """A result folder is whole and right, or there is none."""
    folder = workshop.place / "job" / "result"
    if folder.exists():
        return workshop.answer.difference(read_answer(folder))
    return "exit code 0 and no result" if code == 0 else ""


def interrupted(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Killed, asked to end, cancelled or deserted at any stage; the next run tidies up."""
    path = _job(workshop)
    engine = Engine(str(path))
    way = str(rng.choice(["kill", "term", "cancel", "desert"]))
    stage = str(rng.choice(["hello", "reading", "model", "preparing", "computing", "writing"]))

    def do() -> int | None:
        while (event := engine.until("hello" if stage == "hello" else "stage")) and event.get("name", "hello") != stage:
            pass
        if way == "cancel":
            (path.parent / runner.CANCEL_FILE).write_bytes(b"")
        elif way == "desert":
            engine.hang_up()
        else:
            engine.kill(signal.SIGKILL if way == "kill" else signal.SIGTERM)
        return engine.wait()

    def difference(code: int | None) -> str:
        found = _result_or_nothing(workshop, None if way == "kill" else code)
        if found or way == "kill":
            return found or _tidied(workshop)
        left = [one.name for one in path.parent.iterdir() if one.name.startswith(".")]
        return f"{left} left behind" if left else "" if code in (0, EXIT_CANCELLED) else f"{way} at {stage}: exit code {code}"

    try:
        return judge(do, difference, EXITS, Kept(workshop.inputs, workshop.place / "earlier"))
    finally:
        engine.close()


def _tidied(workshop: Workshop) -> str:
    """What is left after another job in the same folder."""
    (workshop.place / "job" / "result").exists() or workshop.run(workshop.request(), [])
    left = [one.name for one in (workshop.place / "job").iterdir() if one.name.startswith(".")]
    result = (workshop.place / "job" / "result").exists()
    return f"{left} left behind" if left and not result else ""


def full_disk(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """No file may grow beyond a limit: DISK_FULL or OUTPUT_UNWRITABLE, and the same process goes on serving."""
    path, engine = _job(workshop), Engine(file_bytes=int(rng.choice([1, 300, 1000])))

    def do() -> None:
        engine.send(str(path).encode())
        end = engine.until("end")
        error = next((event for event in engine.events if event["event"] == "error"), None)
        if end is None or error is None:
            raise AssertionError(f"no end or no error: {engine.events[-2:]}")
        raise Told(error["code"], error["text"], end["exit_code"])

    try:
        return judge(do, lambda _: "written on a full disk", EXITS, Kept(workshop.place))
    finally:
        engine.close()


def hostile_lines(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Lines that are no paths before a sound one: the sound one is computed as ever."""
    path, engine = _job(workshop), Engine()
    lines = (b"", b"\xff\xfe", b"/no/such/request.json", b"\0", b"x" * 100_000, b"{}", bytes(workshop.place), b"=1")
    chosen = [lines[int(number)] for number in rng.integers(0, len(lines), 4)]

    def do() -> int | None:
        for line in [*chosen, str(path).encode()]:
            engine.send(line)
        for _ in [*filter(bytes.strip, chosen), path]:
            end = engine.until("end")
        return end["exit_code"] if end else None

    try:
        return judge(
            do,
            lambda code: _result_or_nothing(workshop, code) or ("" if code == 0 else f"exit code {code} after {chosen}"),
            EXITS,
            Kept(workshop.inputs, workshop.place / "earlier"),
        )
    finally:
        engine.close()


def closed_streams(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """A command whose reader has gone, or whose output has nowhere to go."""
    commands = (["models"], ["models", "--json"], ["--help"], ["phantom", "x", "--output", "y"], ["segment", "--model", "x"])
    command = commands[int(rng.integers(len(commands)))]
    way = str(rng.choice(["gone", "full", "closed"]))
    reader, writer = os.pipe()
    os.close(reader)
    out = {"gone": writer, "full": os.open("/dev/full", os.O_WRONLY), "closed": None}[way]

    def do() -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-P", "-m", "veloxseg", *command], stdout=out, stderr=subprocess.PIPE,
            cwd=workshop.place / "job", timeout=SECONDS, env={**os.environ, "PYTHONPATH": str(ENGINE)},
            preexec_fn=(lambda: os.close(1)) if out is None else None,
        )  # fmt: skip

    def difference(ended: subprocess.CompletedProcess) -> str:
        told = ended.stderr.decode()
        is_fine = ended.returncode in (0, *EXITS) and "Traceback" not in told and "please report" not in told
        return "" if is_fine else f"{command} with {way} stdout: {ended.returncode} {told[-500:]}"

    try:
        return judge(do, difference, EXITS, workshop.kept())
    finally:
        for number in {writer, out} - {None}:
            os.close(number)


KINDS = {"process: interrupted": interrupted, "process: full disk": full_disk, "process: hostile lines": hostile_lines,
         "process: closed streams": closed_streams}  # fmt: skip
