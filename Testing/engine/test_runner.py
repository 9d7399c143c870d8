"""The runner as the panel uses it: JSON lines on stdout, exit codes, nothing left behind.

Everything that needs a process of its own (streams, signals, cancelling, imports) has one; the many kinds of
bad requests and inputs run inside the test's process, because every start of Python and torch takes seconds.
"""

import ast
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import veloxseg
from benchmarks import bench_speed
from engine_cases import FakeCard, ShortOfMemory, blob_image, card, inputs_hash, tiny_package, write_image
from photo_cases import disk, photo_package, save, skin, slicer_volume, tilted_grid
from veloxseg import files
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.protocol import SERVE
from veloxseg.imaging import images
from veloxseg.inference import devices
from veloxseg.packages import packages
from veloxseg.packages.warm import Keeper
from veloxseg.service import runner
from veloxseg.validation import first_problem

ENGINE = Path(veloxseg.__file__).parent
TRAINING = Path(__file__).resolve().parents[2] / "training"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ENGINE.parent),
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
}


class Job:
    """A job folder with inputs beside it, and the process that works on it."""

    def __init__(self, folder, package, image=None):
        self.inputs = folder / "inputs"
        self.folder = folder / "job"
        self.inputs.mkdir()
        self.folder.mkdir()
        self.image = blob_image() if image is None else image
        write_image(self.image, self.inputs / "t1.nrrd")
        self.request = {"schema_version": 1, "model": str(package), "inputs": {"T1": "../inputs/t1.nrrd"}}
        self.events, self.process = [], None

    def run(self, **changes):
        """Do the job in this process; returns the exit code."""
        return self.run_file(self.write_request(**changes))

    def run_file(self, path):
        stream = io.StringIO()
        code = runner.guarded(path, runner.Events(stream), runner.Owner(), Keeper())
        self.events = [json.loads(line) for line in stream.getvalue().splitlines()]
        return code

    def write_request(self, **changes):
        path = self.folder / "request.json"
        path.write_text(json.dumps({**self.request, **changes}))
        return path

    def start(self, *arguments):
        """Do the job in a process of its own, by default with the request of this job."""
        arguments = arguments or [str(self.write_request())]
        self.log = self.folder.parent / "log.txt"
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "veloxseg.service.runner", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=ENVIRONMENT,
            cwd=self.folder,
        )
        os.close(log)
        return self

    def wait_for(self, event):
        while self._read_event():
            if self.events[-1]["event"] == event:
                return
        raise AssertionError(f"{event} never came: {self.events}")

    def finish(self):
        while self._read_event():
            pass
        return self.process.wait(60)

    def _read_event(self):
        line = self.process.stdout.readline()
        if line:
            self.events.append(json.loads(line))
        return bool(line)

    def close(self):
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()

    def log_text(self):
        return self.log.read_text(encoding="utf-8")

    def named(self, event):
        return [entry for entry in self.events if entry["event"] == event]

    def left_behind(self):
        return sorted(os.listdir(self.folder))


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return tiny_package(tmp_path_factory.mktemp("packages") / "tiny-test")


@pytest.fixture
def job(tmp_path, package):
    job = Job(tmp_path, package)
    yield job
    job.close()


@pytest.fixture
def long_job(tmp_path, package):
    """Many windows: time enough to interfere."""
    job = Job(tmp_path, package, blob_image((100, 100, 100)))
    yield job
    job.close()


class TestSuccess:
    def test_events_files_and_untouched_inputs(self, job):
        before = inputs_hash(job.inputs)
        assert job.start().finish() == 0, job.log_text()
        assert job.events[0]["event"] == "hello" and job.events[0]["protocol"] == 1
        assert job.events[0]["device"].startswith("CPU")
        stages = [entry["name"] for entry in job.named("stage")]
        assert [name for number, name in enumerate(stages) if name not in stages[:number]] == [
            "reading",
            "preparing",
            "model",
            "computing",
            "measuring",
            "writing",
        ]
        assert job.events[-1]["event"] == "result"
        assert not job.named("error")
        assert inputs_hash(job.inputs) == before
        assert job.left_behind() == ["request.json", "result"]

    def test_result_folder(self, job, package):
        assert job.run(outputs=["mask", "probability", "measures"], seed=7) == 0
        result = job.events[-1]
        assert sorted(result["files"]) == ["mask", "probability", "results"]
        for entry in result["files"].values():
            assert files.sha256(Path(entry["path"])) == entry["sha256"]
        mask = sitk.ReadImage(result["files"]["mask"]["path"])
        assert mask.GetPixelID() == sitk.sitkUInt8
        assert images.grid_of(mask) == images.grid_of(job.image)
        content = json.loads(Path(result["files"]["results"]["path"]).read_text())
        assert first_problem("results", content) is None
        assert content["seed"] == 7 and content["model"]["id"] == "tiny-test"
        assert content["segments"][0]["voxels"] == int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))
        assert content["seconds"]["total"] >= content["seconds"]["computing"] > 0
        probability = sitk.GetArrayViewFromImage(sitk.ReadImage(result["files"]["probability"]["path"]))
        agree = (probability >= 128) == (sitk.GetArrayViewFromImage(mask) > 0)
        assert agree.mean() > 0.999

    def test_thorough(self, job):
        """The mirror image gives an uncertainty map and an agreement, as far as it is asked for."""
        assert job.run(mirrors=True) == 0
        assert sorted(job.events[-1]["files"]) == ["mask", "results", "uncertainty"]
        content = json.loads((job.folder / "result" / "results.json").read_text())
        assert first_problem("results", content) is None
        assert content["mirrors"] and 0 <= content["agreement"] <= 1
        uncertainty = sitk.ReadImage(str(job.folder / "result" / "uncertainty.nrrd"))
        assert images.grid_of(uncertainty) == images.grid_of(job.image)
        assert sitk.GetArrayViewFromImage(uncertainty).max() > 0
        assert job.run(output="unasked", mirrors=True, outputs=["mask"]) == 0
        assert sorted(job.events[-1]["files"]) == ["mask", "results"]

    def test_mask_alone(self, job):
        assert job.run(outputs=["mask"]) == 0
        assert sorted(job.events[-1]["files"]) == ["mask", "results"]
        content = json.loads((job.folder / "result" / "results.json").read_text())
        assert first_problem("results", content) is None and "segments" not in content

    def test_progress_is_monotonic_complete_and_slow(self, long_job):
        assert long_job.run() == 0
        progress = long_job.named("progress")
        done = [entry["done"] for entry in progress]
        assert done == sorted(set(done)) and done[-1] == progress[-1]["total"]
        assert progress[0]["seconds_left"] is None and progress[-1]["seconds_left"] == 0
        computing = json.loads((long_job.folder / "result" / "results.json").read_text())["seconds"]["computing"]
        assert len(progress) <= 5 * computing + 2

    def test_same_request_gives_the_same_mask(self, job):
        assert job.run(output="one") == 0 and job.run(output="two") == 0
        assert (job.folder / "one/mask.nrrd").read_bytes() == (job.folder / "two/mask.nrrd").read_bytes()

    def test_output_with_missing_parents(self, job):
        assert job.run(output="deep/down/result") == 0
        assert (job.folder / "deep/down/result/mask.nrrd").is_file()


class TestBadRequest:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"garbage",
            b"[]",
            b"{}",
            b"\xff\xfe",
            b'{"schema_version": 2, "model": "m", "inputs": {"T1": "a"}}',
            b'{"schema_version": 1, "model": "m", "inputs": {"T1": "a", "T1": "b"}}',
            b'{"schema_version": 1, "model": "m", "inputs": {"T1": "a"}, "overlap": 1.5}',
            b'{"schema_version": 1, "model": "m", "inputs": {"T1": "a"}, "device": "gpu"}',
            b'{"schema_version": 1, "model": "m", "inputs": {"T1": "a"}, "more": 1}',
        ],
    )
    def test_garbage(self, job, content):
        (job.folder / "request.json").write_bytes(content)
        assert job.run_file(job.folder / "request.json") == 2
        assert_one_error(job, "REQUEST")
        assert job.left_behind() == ["request.json"]

    def test_answered_by_the_process(self, job):
        assert job.start("none.json").finish() == 2
        assert_one_error(job, "REQUEST")
        assert "Traceback" in job.log_text()

    def test_no_argument(self, job):
        assert job.start("one.json", "two.json").finish() == 2
        assert_one_error(job, "REQUEST")

    def test_device_that_does_not_exist(self, job):
        assert job.run(device="cuda:99") == 2
        assert "cuda:99" in assert_one_error(job, "REQUEST")["text"]


def assert_one_error(job, code):
    """Exactly one error, the last event, one sentence; the traceback reached the log alone."""
    errors = job.named("error")
    assert [entry["code"] for entry in errors] == [code] and job.events[-1] is errors[0]
    assert not job.named("result")
    assert "\n" not in errors[0]["text"] and errors[0]["text"].endswith(".")
    assert "Traceback" not in json.dumps(job.events)
    return errors[0]


def bad_inputs():
    volume = blob_image((8, 8, 8))
    holes = blob_image((8, 8, 8))
    holes[:5] = float("nan")
    return {
        "INPUT_KIND 4D": ("INPUT_KIND", sitk.JoinSeries([volume, volume])),
        "INPUT_KIND RGB": ("INPUT_KIND", sitk.Compose([sitk.Cast(volume, sitk.sitkUInt8)] * 3)),
        "INPUT_NAN": ("INPUT_NAN", holes),
        "INPUT_CONSTANT": ("INPUT_CONSTANT", volume * 0),
    }


class TestBadInput:
    @pytest.mark.parametrize("name", bad_inputs())
    def test_images(self, job, name):
        code, image = bad_inputs()[name]
        write_image(image, job.inputs / "t1.nrrd")
        self.check(job, code, 4)

    def test_missing(self, job):
        (job.inputs / "t1.nrrd").unlink()
        self.check(job, "INPUT_MISSING", 4)

    def test_unreadable(self, job):
        (job.inputs / "t1.nrrd").write_bytes(b"no image")
        self.check(job, "INPUT_UNREADABLE", 4)

    def test_roles(self, job):
        self.check(job, "MODEL_ROLES", 3, inputs={"CT": "../inputs/t1.nrrd"})

    def test_missing_model(self, job):
        self.check(job, "MODEL_MISSING", 3, model="nowhere")

    def test_wrong_hash(self, job, package, tmp_path):
        copy = Path(shutil.copytree(package, tmp_path / "copy"))
        with open(copy / packages.WEIGHTS, "ab") as file:
            file.write(b"x")
        self.check(job, "MODEL_CORRUPT", 3, model=str(copy))

    def check(self, job, code, exit_code, **changes):
        before = inputs_hash(job.inputs)
        assert job.run(**changes) == exit_code
        assert_one_error(job, code)
        assert job.left_behind() == ["request.json"]
        assert inputs_hash(job.inputs) == before

    def test_photo_for_a_volume(self, job):
        path = save(skin(disk(70, 90, 20)), job.inputs / "t1.png")
        self.check(job, "INPUT_KIND", 4, inputs={"T1": str(path)})

    @pytest.mark.parametrize("changes", [{"members": 3}, {"mm_per_px": 0.1}])
    def test_settings_of_photos(self, job, changes):
        self.check(job, "REQUEST", 2, **changes)


@pytest.fixture(scope="module")
def photo_model(tmp_path_factory):
    return photo_package(tmp_path_factory.mktemp("packages") / "tiny-test")


class PhotoJob(Job):
    """The same with a photo, as picture file and as 3D Slicer writes it."""

    def __init__(self, folder, package):
        super().__init__(folder, package)
        pixels = skin(disk(70, 90, 20))
        self.grid = tilted_grid(70, 90)
        save(pixels, self.inputs / "photo.jpg")
        write_image(slicer_volume(pixels, self.grid), self.inputs / "photo.nrrd")
        self.request["inputs"] = {"Photo": "../inputs/photo.nrrd"}

    def content(self):
        return json.loads((self.folder / "result" / "results.json").read_text())

    def map(self, name):
        return sitk.ReadImage(str(self.folder / "result" / name))


@pytest.fixture
def photo_job(tmp_path, photo_model):
    job = PhotoJob(tmp_path, photo_model)
    yield job
    job.close()


class TestPhoto:
    def test_events(self, photo_job):
        before = inputs_hash(photo_job.inputs)
        assert photo_job.run() == 0
        stages = [entry["name"] for entry in photo_job.named("stage")]
        assert stages == ["reading", "preparing", "model", "computing", "computing", "measuring", "writing"]
        assert photo_job.named("progress")[-1]["total"] == 6
        assert sorted(photo_job.events[-1]["files"]) == ["mask", "results", "uncertainty"]
        assert inputs_hash(photo_job.inputs) == before and photo_job.left_behind() == ["request.json", "result"]

    def test_result_folder(self, photo_job):
        outputs = ["mask", "probability", "uncertainty", "measures"]
        assert photo_job.run(outputs=outputs, members=4, mm_per_px=0.5) == 0
        assert sorted(photo_job.events[-1]["files"]) == ["mask", "probability", "results", "uncertainty"]
        content = photo_job.content()
        assert first_problem("results", content) is None
        assert content["sampling"]["members"] == 4 and 0 <= content["agreement"] <= 1 and content["working_size"] == 64
        inside = sitk.GetArrayFromImage(photo_job.map("mask.nrrd")) == 7
        (segment,) = content["segments"]
        assert segment["area_px"] == np.count_nonzero(inside) and segment["area_mm2"] == segment["area_px"] / 4
        for name in ("mask.nrrd", "probability.nrrd", "uncertainty.nrrd"):
            assert images.same_grid(images.grid_of(photo_job.map(name)), photo_job.grid)
            assert photo_job.map(name).GetPixelID() == sitk.sitkUInt8
        probability = sitk.GetArrayFromImage(photo_job.map("probability.nrrd"))
        assert ((probability >= 128) == inside).mean() > 0.99
        assert sitk.GetArrayFromImage(photo_job.map("uncertainty.nrrd")).max() > 0

    def test_mask_alone(self, photo_job):
        assert photo_job.run(outputs=["mask"], members=1, inputs={"Photo": "../inputs/photo.jpg"}) == 0
        assert sorted(photo_job.events[-1]["files"]) == ["mask", "results"]
        assert first_problem("results", photo_job.content()) is None and "segments" not in photo_job.content()
        assert photo_job.map("mask.nrrd").GetSize() == (90, 70, 1)

    @pytest.mark.parametrize("changes", [{"overlap": 0.5}, {"members": 0}, {"mm_per_px": 0}, {"mm_per_px": float("nan")}])
    def test_bad_settings(self, photo_job, changes):
        assert photo_job.run(**changes) == 2
        assert next(iter(changes)) in assert_one_error(photo_job, "REQUEST")["text"]
        assert photo_job.left_behind() == ["request.json"]

    def test_volume_for_a_photo(self, photo_job):
        self.check(photo_job, "PHOTO_KIND", "stack of 36 slices", "t1.nrrd")

    def test_hostile_files(self, photo_job):
        folder = photo_job.inputs
        (folder / "text.png").write_bytes(b"no picture")
        (folder / "cut.png").write_bytes(save(skin(disk(700, 900, 200)), folder / "whole.png").read_bytes()[:2000])
        save(skin(disk(70, 90, 20))[..., 0], folder / "gray.png")
        save(np.zeros((70, 90, 3), np.uint8), folder / "black.png")
        save(skin(disk(3, 90, 1)), folder / "thin.png")
        for name, code, words in (
            ("none.png", "INPUT_MISSING", "does not exist"),
            ("text.png", "PHOTO_UNREADABLE", "save it again"),
            ("cut.png", "PHOTO_UNREADABLE", "save it again"),
            ("gray.png", "PHOTO_KIND", "gray"),
            ("black.png", "PHOTO_EMPTY", "same color"),
            ("thin.png", "PHOTO_SIZE", "90 x 3"),
        ):
            self.check(photo_job, code, words, name)

    def test_cancel(self, photo_job):
        photo_job.start(str(photo_job.write_request(members=1000))).wait_for("progress")
        (photo_job.folder / "cancel").touch()
        assert photo_job.finish() == 6, photo_job.log_text()
        assert photo_job.left_behind() == ["cancel", "request.json"]

    def check(self, job, code, words, name):
        assert job.run(inputs={"Photo": f"../inputs/{name}"}) == 4
        assert words in assert_one_error(job, code)["text"]
        assert job.left_behind() == ["request.json"]


class TestOutput:
    def test_below_a_file(self, job):
        assert job.run(output="request.json/result") == 4
        assert_one_error(job, "OUTPUT_UNWRITABLE")
        assert job.left_behind() == ["request.json"]

    def test_folder_with_content_is_not_touched(self, job):
        (job.folder / "result").mkdir()
        (job.folder / "result" / "mine.txt").write_text("mine")
        assert job.run() == 4
        assert_one_error(job, "OUTPUT_UNWRITABLE")
        assert (job.folder / "result" / "mine.txt").read_text() == "mine"
        assert job.left_behind() == ["request.json", "result"]

    def test_empty_folder_is_taken(self, job):
        (job.folder / "result").mkdir()
        assert job.run() == 0 and (job.folder / "result" / "mask.nrrd").is_file()

    def test_full_disk(self, job, small_disk):
        write_image(blob_image((90, 80, 60), (0.9, 0.9, 0.9)), job.inputs / "t1.nrrd")
        assert job.run(output=str(small_disk / "result")) == 4
        assert_one_error(job, "DISK_FULL")
        assert os.listdir(small_disk) == []


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False
    with contextlib.suppress(FileNotFoundError):
        command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not mounted:
        pytest.skip("a small file system can only be mounted by root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


class TestCancel:
    def check(self, job):
        assert job.finish() == 6, job.log_text()
        assert not job.named("error") and not job.named("result")
        assert [name for name in job.left_behind() if name != "cancel"] == ["request.json"]

    def test_by_file(self, long_job):
        long_job.start().wait_for("progress")
        (long_job.folder / "cancel").touch()
        self.check(long_job)

    def test_by_closing_stdin(self, long_job):
        long_job.start().wait_for("progress")
        long_job.process.stdin.close()
        self.check(long_job)

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
    def test_by_sigterm(self, long_job):
        long_job.start().wait_for("progress")
        long_job.process.send_signal(signal.SIGTERM)
        self.check(long_job)

    def test_before_the_start(self, job):
        (job.folder / "cancel").touch()
        assert job.run() == 6
        assert [entry["event"] for entry in job.events] == ["hello"]
        assert job.left_behind() == ["cancel", "request.json"]

    def test_killed_process_leaves_no_result(self, long_job):
        before = inputs_hash(long_job.inputs)
        long_job.start().wait_for("progress")
        long_job.process.kill()
        assert long_job.finish() not in (0, 6)
        assert not (long_job.folder / "result").exists() and not long_job.named("result")
        assert inputs_hash(long_job.inputs) == before


def python(code):
    return subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)


class Server(Job):
    """A process that does one job after the other."""

    def __init__(self, folder, package):
        super().__init__(folder, package)
        self.start(SERVE)

    def ask(self, name, image=None, **changes):
        """Send one more job, in a folder of its own, without waiting for it."""
        self.folder = self.folder.parent / name
        self.folder.mkdir()
        if image is not None:
            write_image(image, self.inputs / "t1.nrrd")
        self.events = []
        self.process.stdin.write(f"{self.write_request(**changes)}\n".encode())
        self.process.stdin.flush()

    def answer(self):
        """The exit code of the job."""
        self.wait_for("end")
        return self.events[-1]["exit_code"]


@pytest.fixture
def server(tmp_path, package):
    server = Server(tmp_path, package)
    yield server
    server.close()


class TestServing:
    def test_jobs_of_one_process(self, server, tmp_path, package):
        """Good, bad, cancelled and good again; a job leaves nothing to the next one, and the answer is that of a cold start."""
        server.ask("first")
        assert server.answer() == 0, server.log_text()
        assert [entry["event"] for entry in server.events][0] == "hello" and server.named("result")
        server.ask("bad", model="nowhere")
        assert server.answer() == 3 and [entry["code"] for entry in server.named("error")] == ["MODEL_MISSING"]
        server.ask("no-request", schema_version=9)
        assert server.answer() == 2
        server.ask("long", blob_image((100, 100, 100)))
        server.wait_for("progress")
        (server.folder / runner.CANCEL_FILE).touch()
        assert server.answer() == 6 and not server.named("error") and not server.named("result")
        assert server.left_behind() == ["cancel", "request.json"]
        server.ask("last", blob_image())
        assert server.answer() == 0
        assert server.events[0]["event"] == "hello" and server.named("progress")[0]["done"] == 0
        (tmp_path / "cold").mkdir()
        cold = Job(tmp_path / "cold", package)
        assert cold.run() == 0
        mask = (cold.folder / "result/mask.nrrd").read_bytes()
        for name in ("first", "last"):
            assert (tmp_path / name / "result/mask.nrrd").read_bytes() == mask
        server.process.stdin.close()
        assert server.finish() == 0

    def test_end_of_stdin_ends_a_job_too(self, server):
        server.ask("long", blob_image((100, 100, 100)))
        server.wait_for("progress")
        server.process.stdin.close()
        assert server.answer() == 6 and server.finish() == 0
        assert server.left_behind() == ["request.json"]

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
    def test_sigterm_while_idle(self, server):
        server.ask("bad", model="nowhere")
        server.answer()
        server.process.send_signal(signal.SIGTERM)
        assert server.finish() == 0

    def test_unexpected_failure_ends_the_process(self):
        code = (
            "import sys; from veloxseg.service import runner\n"
            "def broken(*_): raise KeyError('inner')\n"
            "runner.run = broken\n"
            "sys.exit(runner.main(['--serve']))"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            process.stdin.write("a\nb\n")
            process.stdin.flush()
            assert process.wait(60) == 7
            assert [json.loads(line)["event"] for line in process.stdout] == ["error", "end"]


class TestKeptNetwork:
    """The network of the last job is used again only if it is the same one."""

    def test_same_package(self, package):
        keeper = Keeper()
        first = keeper.package(packages.read(package)).network(torch.device("cpu"))
        assert keeper.package(packages.read(package)).network(torch.device("cpu")) is first

    def test_other_weights(self, package, tmp_path):
        other = tiny_package(tmp_path / "tiny-test", version="1.0.1")
        keeper = Keeper()
        first = keeper.package(packages.read(package)).network(torch.device("cpu"))
        assert keeper.package(packages.read(other)).network(torch.device("cpu")) is not first

    def test_file_damaged_meanwhile(self, package, tmp_path):
        copy = Path(shutil.copytree(package, tmp_path / "copy"))
        keeper = Keeper()
        keeper.package(packages.read(copy)).network(torch.device("cpu"))
        with open(copy / packages.WEIGHTS, "ab") as file:
            file.write(b"x")
        with pytest.raises(VeloxSegError) as caught:
            keeper.package(packages.read(copy)).network(torch.device("cpu"))
        assert caught.value.code == "MODEL_CORRUPT"


class TestShortMemory:
    """A graphics card without memory for the first ways of computing still gives a result, with a note of each further way."""

    @pytest.mark.parametrize("failures,codes", [(1, ["RETRY_ONE_WINDOW"]), (3, ["RETRY_ONE_WINDOW", "RETRY_HALF", "RETRY_CPU"])])
    def test_a_result_and_a_note(self, job, monkeypatch, failures, codes):
        assert job.run(output="usual") == 0
        card_of_graphics, cpu = FakeCard(torch.device("cpu"), "Small card"), devices.choose("cpu")
        monkeypatch.setattr(devices, "choose", lambda wanted="auto": cpu if wanted == "cpu" else card_of_graphics)
        monkeypatch.setattr(ShortOfMemory, "failures", failures)
        build = packages.ModelPackage.network
        monkeypatch.setattr(packages.ModelPackage, "network", lambda package, device: ShortOfMemory(build(package, device)))
        # several workers would use up more than one failure for each thing that is tried
        with bench_speed.torch_threads(1):
            assert job.run() == 0
        assert [entry["code"] for entry in job.named("note")] == codes
        content = json.loads((job.folder / "result/results.json").read_text())
        assert first_problem("results", content) is None
        assert [note["code"] for note in content["notes"]] == codes
        assert content["device"] == (cpu.name if failures == 3 else "Small card")
        done = [entry["done"] for entry in job.named("progress")]
        assert done == sorted(set(done))
        assert (job.folder / "usual/mask.nrrd").read_bytes() == (job.folder / "result/mask.nrrd").read_bytes()


class TestLightness:
    def test_package_import_is_light(self):
        heavy = "{'torch', 'numpy', 'SimpleITK', 'monai', 'jsonschema'}"
        assert python(f"import sys, veloxseg, veloxseg.service.runner; print({heavy} & set(sys.modules))").stdout == "set()\n"

    def test_a_whole_job_needs_no_science_library(self):
        code = (
            "import sys, veloxseg.service.runner, veloxseg.api\n"
            "print({'monai', 'scipy', 'matplotlib', 'pandas', 'sklearn'} & set(sys.modules))"
        )
        assert python(code).stdout == "set()\n"

    def test_waiting_threads_leave_the_cores_to_others(self):
        """Decided before torch is there; a person's own wish is kept."""
        code = (
            "import os, sys; from veloxseg.service import runner\n"
            "runner.main([]); assert 'torch' not in sys.modules\n"
            "os.write(2, os.environ['OMP_WAIT_POLICY'].encode())"
        )
        assert python(code).stderr.endswith("PASSIVE")
        assert python("import os; os.environ['OMP_WAIT_POLICY'] = 'ACTIVE'\n" + code).stderr.endswith("ACTIVE")

    @pytest.mark.parametrize(
        "start",
        [
            "from veloxseg.commands import cli\ncli.main(['--version'])",
            f"sys.path.insert(0, {str(TRAINING)!r})\nimport _path",
        ],
        ids=["veloxseg", "training"],
    )
    def test_so_do_those_of_every_command(self, start):
        code = f"import os, sys\n{start}\nassert 'torch' not in sys.modules\nos.write(2, os.environ['OMP_WAIT_POLICY'].encode())"
        assert python(code).stderr.endswith("PASSIVE")

    def test_prints_of_libraries_do_not_reach_the_protocol(self):
        code = (
            "import os, sys; from veloxseg.service.runner import Events, private_stdout\n"
            "events = Events(private_stdout())\n"
            "print('library chatter'); os.write(1, b'C library chatter')\n"
            "events.send('note', code='A', text='b')"
        )
        outcome = python(code)
        assert json.loads(outcome.stdout) == {"event": "note", "code": "A", "text": "b"}
        assert "library chatter" in outcome.stderr and "C library chatter" in outcome.stderr


def test_unexpected_failure_is_reported(tmp_path):
    """A defect inside the engine: exit 7, one sentence, the traceback on stderr alone."""
    code = (
        "import sys; from pathlib import Path; from veloxseg.service import runner\n"
        "def broken(*_): raise KeyError('inner')\n"
        "runner.run = broken\n"
        "sys.exit(runner.main(['request.json']))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
        check=False,
    )
    assert outcome.returncode == 7
    event = json.loads(outcome.stdout)
    assert (event["event"], event["code"]) == ("error", "UNEXPECTED") and "KeyError" in event["text"]
    assert "Traceback" in outcome.stderr and "Traceback" not in outcome.stdout


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.py")), ids=lambda path: str(path.relative_to(ENGINE)))
def test_engine_never_imports_slicer(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        assert not {name.partition(".")[0] for name in names} & {"slicer", "qt", "vtk", "ctk", "PySide6"}


def test_card_of_the_tests_is_valid():
    assert first_problem("card", card()) is None
