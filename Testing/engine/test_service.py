"""What the machine around the engine may do to it: names that are no text, streams that are closed or full, kills, JSON."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from engine_cases import blob_image, card, tiny_package, write_image
from test_runner import ENVIRONMENT, Job
from veloxseg import files, processes
from veloxseg.commands import cli
from veloxseg.contract import errors, names, strict_json
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.inference import results
from veloxseg.service import batch_cases, children, runner

NOT_UTF8 = os.fsdecode(b"caf\xe9")
LINUX = sys.platform == "linux"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return tiny_package(tmp_path_factory.mktemp("package") / "tiny")


@pytest.fixture
def job(tmp_path, package):
    work = Job(tmp_path, package)
    yield work
    work.close()


def error_of(function, *arguments):
    with pytest.raises(VeloxSegError) as caught:
        function(*arguments)
    assert "\n" not in caught.value.text and caught.value.text.endswith(".")
    return caught.value


class TestNames:
    def test_sentences_stay_on_one_line(self):
        error, note = VeloxSegError("INPUT_MISSING", role="PET", path="a\nb\r.nii"), errors.note("INPUT_SCALE", role="P\nT")
        assert error.text.isprintable() and error.facts["path"] == "a\nb\r.nii" and note.text.isprintable()

    @pytest.mark.parametrize("code", ["DISK_FULL", "OUTPUT_UNWRITABLE"])
    def test_what_cannot_be_written_is_told_with_the_chosen_place(self, tmp_path, code):
        with pytest.raises(VeloxSegError) as caught, results.complete_folder(tmp_path / "out") as partial:
            raise VeloxSegError(code, path=partial / "mask.nrrd", reason="it is full")
        assert str(tmp_path / "out") in caught.value.text and "partial" not in caught.value.text

    def test_text_for_people_is_always_text(self):
        assert names.printable(f"x {NOT_UTF8} \ud800") == "x caf\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}"
        assert len(names.shown("a\nb" * 5000)) < 150 and "\n" not in names.shown("a\nb")

    @pytest.mark.parametrize(
        "path, reason",
        [
            ("a\0b", "NUL"),
            (NOT_UTF8, "UTF-8"),
            ("\ud800", "UTF-8"),
            ("x" * 5000, "too long"),
            ("x/" * 3000, "too long"),
        ],
    )
    def test_paths_that_nothing_can_take(self, path, reason):
        assert reason in error_of(names.check, path).text

    def test_other_paths_are_for_their_readers(self, tmp_path):
        for path in (tmp_path, tmp_path / "none", tmp_path / "none" / "none", "/", ".", "é", "a b", "日本"):
            assert names.problem(path) == ""

    def test_links_in_a_circle(self, tmp_path):
        (tmp_path / "a").symlink_to(tmp_path / "b")
        (tmp_path / "b").symlink_to(tmp_path / "a")
        assert "circle" in error_of(names.check, tmp_path / "a" / "c").text

    @pytest.mark.parametrize("key", ["model", "output", "inputs"])
    @pytest.mark.parametrize("value", ["a\0b", "x" * 5000, NOT_UTF8, "\ud800"])
    def test_requests(self, job, key, value):
        assert job.run(**{key: {"T1": value} if key == "inputs" else value}) in (2, 4)
        (event,) = job.named("error")
        assert event["code"] in ("PATH", "REQUEST") and len(event["text"]) < 400
        assert job.left_behind() == ["request.json"]

    def test_events_are_always_utf8(self, job):
        code = (
            "from veloxseg.service.runner import Events, private_stdout\n"
            "Events(private_stdout()).send('note', code='A', text='\\udce9 \\ud800', path=b'x')"
        )
        done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, check=True)
        assert json.loads(done.stdout.decode("utf-8"))["text"] == "\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}"

    @pytest.mark.skipif(not LINUX, reason="only Linux has names that are not UTF-8")
    def test_command_line(self, package, tmp_path, capsys):
        image = write_image(blob_image(), tmp_path / "t1.nrrd")
        image.rename(tmp_path / f"{NOT_UTF8}.nrrd")
        command = ["segment", "--model", str(package), "--input", f"T1={tmp_path / NOT_UTF8}.nrrd", "--output"]
        assert cli.main([*command, str(tmp_path / "out")]) == 4
        assert "not UTF-8" in capsys.readouterr().err and not (tmp_path / "out").exists()
        command[4] = f"T1={tmp_path}/none.nrrd"
        assert cli.main([*command, str(tmp_path / NOT_UTF8)]) == 4
        assert "not UTF-8" in capsys.readouterr().err

    @pytest.mark.skipif(not LINUX, reason="only Linux has names that are not UTF-8")
    @pytest.mark.parametrize("kind", ["names", "folders"])
    def test_one_file_does_not_take_the_tables_of_all(self, package, tmp_path, kind, capsys):
        source = tmp_path / "images"
        for name in ("good", NOT_UTF8):
            folder = source / name if kind == "folders" else source
            folder.mkdir(parents=True, exist_ok=True)
            write_image(blob_image(), tmp_path / "t1.nrrd").rename(folder / f"{name}.nrrd")
        settings = {"schema_version": 1, "model": str(package), "source": {"kind": kind, "path": str(source)}, "output": "out"}
        (tmp_path / "settings.json").write_text(json.dumps(settings | {"device": "cpu"}))
        assert cli.main(["batch", str(tmp_path / "settings.json"), "--preview"]) == 0
        assert cli.main(["batch", str(tmp_path / "settings.json")]) == 8
        summary = (tmp_path / "out" / "summary.csv").read_text(encoding="utf-8")
        assert "good,done" in summary and "caf\N{REPLACEMENT CHARACTER},failed" in summary
        assert "UTF-8" in (tmp_path / "out" / "failures.csv").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        "name",
        [
            "pause",
            "Pause",
            "cancel",
            "settings.json",
            "SUMMARY.csv",
            "CON",
            "con",
            "nul.txt",
            "Com1",
            "lpt9.x",
            "AUX ",
            "end.",
            "end ",
            ".hidden",
            "a/b",
            "a\\b",
            "a:b",
            "a\nb",
            "",
            "x" * 151,
            "é" * 80,
            NOT_UTF8,
        ],
    )
    def test_cases_that_cannot_be_folders(self, name, tmp_path):
        image = tmp_path / "image.nrrd"
        image.touch()
        case = batch_cases._case(name, {"T1": [image]})
        assert case.state == batch_cases.INCOMPLETE and case.problem.endswith(".")
        for fine in ("console", "pause1", "a.b", "x" * 150, "nulls", "Ünïcode", "case 1"):
            assert batch_cases._case(fine, {"T1": [image]}).state == batch_cases.READY

    def test_names_that_some_file_system_takes_for_one(self, tmp_path):
        (tmp_path / "a.nrrd").touch()
        cases = [
            batch_cases._case(name, {"T1": [tmp_path / "a.nrrd"]})
            for name in ("caf\u00e9", "cafe\u0301", "Straße", "STRASSE", "z")
        ]
        assert [case.state for case in batch_cases._without_doubles(cases)] == [batch_cases.INCOMPLETE] * 4 + [batch_cases.READY]

    @pytest.mark.parametrize(
        "line", ["good,a\0b", "good," + "x" * 5000, '"a\nb",image.nrrd', "good,\udce9", '"' + "x" * 200000 + '",a']
    )
    def test_lists(self, tmp_path, line):
        path = tmp_path / "list.csv"
        path.write_bytes(f"case,T1\n{line}\n".encode("utf-8", "surrogateescape"))
        source = {"kind": "list", "path": str(path)}
        try:
            (case,) = batch_cases.discover(source, Card.of(card()))
            assert case.state == batch_cases.INCOMPLETE and case.problem
        except VeloxSegError as error:
            assert error.code == "BATCH_SOURCE" and "\n" not in error.text

    def test_pattern_that_would_never_end(self, tmp_path):
        (tmp_path / ("a" * 200 + ".nrrd")).touch()
        source = {"kind": "names", "path": str(tmp_path), "patterns": {"T1": "{case}" + "*a" * 40 + "b"}}
        assert "more than" in error_of(batch_cases.discover, source, Card.of(card())).text


class TestJson:
    @pytest.mark.parametrize(
        "text, reason",
        [
            (b'{"a": NaN}', "a: no finite number"),
            (b'{"a": [1, -Infinity]}', "a: no finite"),
            (b'{"a": 1e400}', "a: no finite"),
            (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
            (b"[" * 100000 + b"]" * 100000, "deeply"),
            (b"[" * 60 + b"]" * 60, "deeply"),
            (b'{"a": 1, "a": 2}', "twice"),
            (b'"\\ud800"', "not Unicode"),
            (b'{"\\udfff": 1}', "not Unicode"),
            (b"\xff", "not UTF-8"),
            (b"", "no JSON"),
            (b"{", "no JSON"),
            (b"[" + b"1," * 60000 + b"1]", "values"),
        ],
    )
    def test_refused(self, text, reason):
        with pytest.raises(ValueError, match=reason):
            strict_json.parse(text)

    def test_taken(self, tmp_path):
        assert strict_json.parse(b'\xef\xbb\xbf{"a": [1, 2.5, "\\u00e9", null, true]}') == {"a": [1, 2.5, "é", None, True]}
        (tmp_path / "large.json").write_bytes(b" " * (strict_json.MOST_BYTES + 1))
        with pytest.raises(ValueError, match="KiB"):
            strict_json.read(tmp_path / "large.json")


class TestStreams:
    """Shells close and fill streams; the job does not mind."""

    def shell(self, line, job, **more):
        job.write_request()
        (job.folder / "go.sh").write_text(f"exec {line}\n")
        environment = {**ENVIRONMENT, "PYTHON": sys.executable, **more}
        return subprocess.Popen(
            ["sh", "go.sh"],
            cwd=job.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", ">/dev/full", ">&-", ">&- 2>&-"])
    def test_runner(self, job, streams):
        with self.shell(f'"$PYTHON" -m veloxseg.service.runner request.json {streams}', job) as child:
            output, _ = child.stdout.read(), child.stderr.read()
            assert child.wait(120) == 0
        assert (job.folder / "result" / "mask.nrrd").is_file()
        if streams.startswith("2"):
            assert json.loads(output.splitlines()[-1])["event"] == "result"

    @pytest.mark.parametrize(
        "streams, code, words",
        [
            ("| head -c 1", 0, ""),
            (">/dev/full", 4, "cannot be printed"),
            (">&-", 0, ""),
            ("2>/dev/full", 0, ""),
            ("<&- >&- 2>&-", 0, ""),
        ],
    )
    def test_command(self, job, streams, code, words):
        with self.shell(f'"$PYTHON" -m veloxseg models {streams}'.replace("exec", ""), job) as child:
            child.stdout.read()
            log = child.stderr.read().decode()
            assert child.wait(60) == code
        assert words in log and "report" not in log and "Traceback" not in log and "Exception" not in log
        assert bool(words) == bool(log)

    def test_closed_stderr_writes_into_no_file(self, tmp_path):
        """The first file that is opened would get the number of stderr."""
        code = (
            "from veloxseg.service import streams; streams.prepare()\n"
            "import os, sys; file = open('kept.txt', 'w')\n"
            "os.write(2, b'noise'); print('noise', file=sys.stderr); file.write('kept')"
        )
        subprocess.run(["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code], cwd=tmp_path, env=ENVIRONMENT, check=True)
        assert (tmp_path / "kept.txt").read_text() == "kept"


class TestMemory:
    def test_every_way_to_say_it(self):
        for error in (
            MemoryError(),
            OSError(12, "Cannot allocate memory"),
            RuntimeError("can't start new thread"),
            ImportError("libtorch_cpu.so: failed to map segment from shared object"),
            RuntimeError("Exception thrown in SimpleITK: std::bad_alloc"),
            ImportError("x.so: cannot allocate memory"),
        ):
            assert errors.expected(error).code == "MEMORY_CPU", error
        assert errors.expected(ValueError("no")).code == "UNEXPECTED"
        known = VeloxSegError("CANCELLED")
        assert errors.expected(known) is known

    @pytest.mark.parametrize(
        "place",
        ["inference.pipeline.read_inputs", "inference.pipeline.prepare", "inference.results.write", "packages.packages.read"],
    )
    def test_outside_of_torch(self, job, monkeypatch, place):
        def short(*_arguments, **_more):
            raise MemoryError("Unable to allocate 9.3 GiB for an array")

        monkeypatch.setattr(f"veloxseg.{place}", short)
        assert job.run() == 5
        assert [event["code"] for event in job.named("error")] == ["MEMORY_CPU"]
        assert job.left_behind() == ["request.json"]


class TestLeftovers:
    @pytest.fixture
    def gone(self):
        """The id of a process that has ended."""
        done = subprocess.Popen([sys.executable, "-c", ""])
        done.wait()
        return done.pid

    def named(self, path, kind, number):
        return path.with_name(f".{kind}-{files.HOST}-{number}-{'0' * 12}-{path.name}")

    def test_of_the_dead_go_and_of_the_living_stay(self, tmp_path, gone):
        dead, own = (self.named(tmp_path / "result", files.PARTIAL, number) for number in (gone, os.getpid()))
        other = dead.with_name(dead.name.replace(files.HOST, "0" * 8))
        strange = tmp_path / ".partial-notes"
        for folder in (dead, own, other, strange):
            folder.mkdir()
            (folder / "file").touch()
        self.named(tmp_path / "table.csv", files.PARTIAL, gone).touch()
        files.remove_leftovers(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([own, other, strange])

    def test_what_was_put_aside_comes_back(self, tmp_path, gone):
        for name in ("a", "b"):
            folder = self.named(tmp_path / name, files.REPLACED, gone)
            folder.mkdir()
            (folder / "old").touch()
        (tmp_path / "b").mkdir()
        files.remove_leftovers(tmp_path)
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "old"]
        assert (tmp_path / "a" / "old").is_file()

    def test_links_are_not_followed(self, tmp_path, gone):
        (tmp_path / "kept").mkdir()
        (tmp_path / "kept" / "file").touch()
        self.named(tmp_path / "result", files.PARTIAL, gone).symlink_to(tmp_path / "kept")
        files.remove_leftovers(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["kept"] and (tmp_path / "kept" / "file").is_file()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
    def test_after_a_signal(self, tmp_path, package, number):
        """TERM, HUP and INT clean up themselves, KILL is cleaned up by the next start."""
        image = write_image(blob_image((180, 180, 120)), tmp_path / "t1.nrrd")
        out = tmp_path / "out"
        command = ["-m", "veloxseg", "segment", "--model", str(package), "--input", f"T1={image}", "--output", str(out)]
        child = subprocess.Popen(
            children.command(*command, "--overlap", "0.75"),
            env=children.environment(OMP_NUM_THREADS="1"),
            # a suite that was started with nohup would hand its deafness on
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None,
        )
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(".partial-*")):
            assert time.monotonic() < deadline and child.poll() is None
            time.sleep(0.02)
        time.sleep(random.Random(number).random())
        child.send_signal(number)
        code = child.wait(120)
        if number == signal.SIGKILL:
            assert list(tmp_path.glob(".partial-*"))
            with results.complete_folder(tmp_path / "next"):
                pass
        else:
            assert code == errors.EXIT_CANCELLED
        assert not list(tmp_path.glob(".partial-*")) and not out.exists()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_exit_code_of_a_signal_that_comes_while_code_is_made(self, tmp_path, number):
        """A dataclass is made by exec, and a module may be imported at any moment."""
        made = f"import os, time; os.kill(os.getpid(), {int(number)}); time.sleep(60)"
        code = f"import sys\nfrom veloxseg.commands import cli\ncli._run = lambda _: exec({made!r})\nsys.exit(cli.main())\n"
        (tmp_path / "started.py").write_text(code, encoding="utf-8")
        path = os.pathsep.join([str(tmp_path), ENVIRONMENT.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-m", "started"], env=ENVIRONMENT | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, "nothing was written" in done.stderr) == (errors.EXIT_CANCELLED, True)

    def test_living(self, gone):
        assert processes.is_running(os.getpid()) and processes.is_running(os.getppid()) and not processes.is_running(gone)
        assert not processes.is_running(10**30)

    @pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no hang-up")
    def test_nohup_is_respected(self):
        code = (
            "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
            "from veloxseg.service.runner import ending_signals; assert signal.SIGHUP not in ending_signals()"
        )
        subprocess.run(children.command("-c", code), env=children.environment(), check=True)


class TestOutput:
    @pytest.mark.parametrize(
        "output", ["/", "..", ".", "../..", "/proc/none", "/dev/null", "/dev/null/x", "x" * 250, "request.json"]
    )
    def test_places_that_cannot_be_one(self, job, output):
        assert job.run(output=output) in (0, 4)
        assert [event["code"] for event in job.named("error")] in ([], ["OUTPUT_UNWRITABLE"], ["PATH"])
        assert (job.folder / "request.json").is_file() and not list(job.folder.parent.rglob(".partial*"))


def test_fuzzed_requests(job):
    """Whatever stands in a request: an answer, one sentence, nothing left behind."""
    generator = random.Random(10)
    strange = [
        None,
        True,
        -1,
        0,
        1e30,
        -1e30,
        10**24,
        "",
        "x",
        "\0",
        "/",
        "a" * 6000,
        [],
        {},
        [[]],
        {"T1": 1},
        "é",
        "../../x",
        [1e30] * 3,
        0.5,
    ]
    keys = [*runner.REQUEST_DEFAULTS, "schema_version", "model", "inputs", "new"]
    for _ in range(300):
        changes = {generator.choice(keys): generator.choice(strange) for _ in range(generator.randint(1, 3))}
        if changes.get("output") in ("x", "é", "../../x") and len(changes) == 1:
            continue
        code = job.run(**{"model": "none", **changes})
        assert code in (2, 3, 4), changes
        (event,) = job.named("error")
        assert "\n" not in event["text"] and event["text"].endswith(".") and len(event["text"]) < 700, event
        assert job.left_behind() == ["request.json"], changes


def test_fuzzed_bytes_of_a_request(job):
    generator = random.Random(11)
    plain = job.write_request(model="none").read_bytes()
    for _ in range(300):
        data = bytearray(plain)
        for _ in range(generator.randint(1, 8)):
            place = generator.randrange(len(data))
            data[place : place + generator.randint(0, 3)] = bytes(
                generator.randrange(256) for _ in range(generator.randint(0, 3))
            )
        (job.folder / "request.json").write_bytes(data)
        assert job.run_file(job.folder / "request.json") in (2, 3, 4)
        assert len(job.named("error")) == 1


def test_fuzzed_settings_of_a_batch(package, tmp_path):
    generator = random.Random(12)
    settings = {
        "schema_version": 1,
        "model": str(package),
        "source": {"kind": "names", "path": "images"},
        "output": "out",
        "seed": 1,
    }
    strange = [
        None,
        True,
        -1,
        1e30,
        10**24,
        "",
        "\0",
        "a" * 6000,
        [],
        {},
        "\udce9",
        {"kind": "list", "path": "x\0"},
        {"kind": 1},
        "..",
        {"kind": "names", "path": "images", "patterns": {"T1": "{case}" * 40}},
    ]
    for _ in range(200):
        changed = {**settings, generator.choice([*settings, "overlap", "outputs", "format"]): generator.choice(strange)}
        path = tmp_path / "settings.json"
        path.write_text(json.dumps(changed))
        assert cli.main(["batch", str(path), "--preview"]) in (2, 3, 4), changed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["settings.json"]
