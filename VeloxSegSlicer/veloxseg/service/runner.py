"""Jobs in a process of their own, described by `request.json` files (docs/formats.md).

    python -m veloxseg.service.runner <job folder>/request.json     one job, then the end
    python -m veloxseg.service.runner --serve                       one job per line of stdin, each line the path of a request

stdout carries one JSON object per line (docs/formats.md, "Events"), stderr is free text for the log. A job stops between
two windows when a file `cancel` appears beside its request, when stdin ends or on SIGTERM; a process that does not come to
that point within ten seconds after stdin ended is ended hard, so that no orphan keeps a GPU busy.

A serving process keeps torch, and the network of the last job, so that the next job begins at once. It ends with stdin, and
after an unexpected failure, because what is left in memory then is not to be trusted.
"""

import contextlib
import json
import os
import platform
import queue
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from veloxseg import __version__, processes
from veloxseg.contract import names, redaction, requirements, strict_json
from veloxseg.contract.errors import EXIT_CANCELLED, EXIT_OK, EXIT_UNEXPECTED, VeloxSegError, expected
from veloxseg.contract.protocol import SERVE
from veloxseg.contract.settings import FIELDS
from veloxseg.packages.warm import Keeper
from veloxseg.service.streams import prepare, private_stdout

PROTOCOL = 1
PROGRESS_INTERVAL = 0.25
GRACE_SECONDS = 10.0
CANCEL_FILE = "cancel"
REQUEST_DEFAULTS = {"output": "result", **FIELDS}


class Events:
    """Writes events to `streams.private_stdout`, so that no library can disturb the protocol. A reader that has gone away is not
    an error there: the end of stdin tells the same story."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress_at = -PROGRESS_INTERVAL
        self._progress_done = -1
        self._computing_since = 0.0

    def send(self, event: str, **fields: object) -> None:
        """One line of UTF-8, whatever the names in it are made of."""
        line = json.dumps({"event": event, **fields}, ensure_ascii=False, default=str)
        self._stream.write(names.printable(line) + "\n")
        self._stream.flush()

    def again(self) -> "Events":
        """For another job on the same stream, whose progress begins anew."""
        return Events(self._stream)

    def progress(self, done: int, total: int) -> None:
        """At most one event in a quarter of a second besides the last, and never backwards."""
        now = time.monotonic()
        if done == 0:
            self._computing_since = now
        due = now - self._progress_at >= PROGRESS_INTERVAL or done == total
        if not due or done <= self._progress_done:
            return
        self._progress_at, self._progress_done = now, done
        seconds_left = (now - self._computing_since) / done * (total - done) if done else None
        self.send("progress", done=done, total=total, seconds_left=seconds_left)


class Owner:
    """The process that started this one: its wishes arrive on stdin, and its end is the end of stdin."""

    def __init__(self) -> None:
        self.is_gone = threading.Event()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._finished = threading.Event()
        self._partial: Path | None = None

    def start(self) -> None:
        """Begin to listen to stdin and to the signals that ask a process to end."""
        for number in ending_signals():
            signal.signal(number, lambda *_: self._leave())
        threading.Thread(target=self._listen, daemon=True).start()

    def requests(self) -> Iterator[Path]:
        """The path of each request as it comes, until the owner is gone."""
        while not self.is_gone.is_set():
            line = self._lines.get()
            if line:
                yield Path(line)

    def remove_when_abandoned(self, partial: Path) -> None:
        """The unfinished result folder, to be removed if the process has to be ended hard."""
        self._partial = partial

    def finish(self) -> None:
        """All jobs are over: do not end the process any more."""
        self._finished.set()

    def _leave(self) -> None:
        self.is_gone.set()
        self._lines.put(None)

    def _listen(self) -> None:
        # os.read and not sys.stdin: a thread that holds the lock of sys.stdin at exit makes Python abort.
        rest = b""
        try:
            while data := os.read(0, 4096):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._lines.put(line.decode("utf-8", errors="replace").strip())
        except OSError:
            print("VeloxSeg: stdin cannot be read and counts as closed", file=sys.stderr)
        self._leave()
        if not self._finished.wait(GRACE_SECONDS):
            if self._partial is not None:
                shutil.rmtree(self._partial, ignore_errors=True)
            os._exit(EXIT_CANCELLED)


def ending_signals() -> list[int]:
    """The signals that ask this process to end; a hang-up that `nohup` keeps away stays away."""
    numbers = [signal.SIGTERM, signal.SIGINT]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


class Reporter:
    """The pipeline's listener (`progress.Listener`) that turns what it hears into events."""

    def __init__(self, events: Events, owner: Owner, cancel_file: Path) -> None:
        self._events = events
        self._owner, self._cancel_file = owner, cancel_file
        self.progress = events.progress

    def cancelled(self) -> bool:
        return self._owner.is_gone.is_set() or self._cancel_file.exists()

    def stage(self, name: str, text: str) -> None:
        self._events.send("stage", name=name, text=text)

    def note(self, code: str, text: str) -> None:
        self._events.send("note", code=code, text=text)

    def writes(self, partial: Path) -> None:
        self._owner.remove_when_abandoned(partial)


def read_request(path: Path) -> dict:
    """The request with defaults filled in and paths made absolute. Raises REQUEST, PATH."""
    from veloxseg.validation import first_problem

    names.check(path)
    try:
        request = strict_json.read(path)
    except (OSError, ValueError) as error:
        raise strict_json.unreadable(path, error) from error
    problem = first_problem("request", request)
    if problem:
        raise VeloxSegError("REQUEST", reason=problem)
    request = {**REQUEST_DEFAULTS, **request}
    folder = path.absolute().parent
    for file in (request["model"], request["output"], *request["inputs"].values()):
        names.check(folder / file)
    return {
        **request,
        "model": folder / request["model"],
        "output": folder / request["output"],
        "inputs": {role: folder / file for role, file in request["inputs"].items()},
    }


def run(request_path: Path, events: Events, owner: Owner, keeper: Keeper) -> None:
    """Do one job and report it. Raises VeloxSegError and whatever is unexpected."""
    requirements.check_engine()
    request = read_request(request_path)
    # torch takes seconds to import: bad requests are answered before it.
    from veloxseg import api
    from veloxseg.inference import devices, results
    from veloxseg.packages import packages

    device = devices.choose(request["device"])
    events.send(
        "hello",
        engine=__version__,
        python=platform.python_version(),
        torch=results.versions()["torch"],
        device=device.name,
        why_cpu=devices.why_cpu() if device.is_cpu and request["device"] == "auto" else None,
        free_bytes=devices.free_bytes(device.torch_device),
        devices=[{"device": str(one.torch_device), "name": one.name} for one in devices.available()],
        protocol=PROTOCOL,
    )
    package = keeper.package(packages.read(request["model"]))
    result = api.segment(
        package,
        request["inputs"],
        request["output"],
        **{name: request[name] for name in FIELDS},
        listener=Reporter(events, owner, request_path.absolute().parent / CANCEL_FILE),
    )
    events.send(
        "result",
        folder=str(request["output"]),
        files=results.file_table(request["output"]),
        seconds=result.provenance["seconds"],
        device=result.provenance["device"],
    )


def guarded(request_path: Path, events: Events, owner: Owner, keeper: Keeper) -> int:
    """Do one job; every failure becomes an `error` event and an exit code, a traceback only reaches
    stderr."""
    try:
        run(request_path, events, owner, keeper)
        return EXIT_OK
    except Exception as error:  # noqa: BLE001 - the last net: the panel must hear of every failure
        failure = expected(error)
        if failure.exit_code != EXIT_CANCELLED:
            print(redaction.exception_text(), file=sys.stderr)
            send_error(events, failure)
        return failure.exit_code


def serve(stream: TextIO, owner: Owner) -> int:
    """Do jobs until the owner is gone or a job ends unexpectedly; returns the exit code."""
    # Before the first job is known, so that it finds everything ready. What is too old, the first job tells.
    with contextlib.suppress(VeloxSegError):
        requirements.check_engine()
        from veloxseg import api  # noqa: F401

    keeper = Keeper()
    for request_path in owner.requests():
        events = Events(stream)
        exit_code = guarded(request_path, events, owner, keeper)
        keeper.tidy()
        events.send("end", exit_code=exit_code)
        if exit_code == EXIT_UNEXPECTED:
            return exit_code
    return EXIT_OK


def send_error(events: Events, error: VeloxSegError) -> None:
    """The event of a failure."""
    events.send("error", code=error.code, text=error.text, detail=error.detail)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    processes.wait_passively()
    prepare()
    stream = private_stdout()
    if len(arguments) != 1:
        error = VeloxSegError("REQUEST", reason=f"the path of one request.json or {SERVE} is needed")
        send_error(Events(stream), error)
        return error.exit_code
    owner = Owner()
    owner.start()
    exit_code = serve(stream, owner) if arguments[0] == SERVE else guarded(Path(arguments[0]), Events(stream), owner, Keeper())
    owner.finish()
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
