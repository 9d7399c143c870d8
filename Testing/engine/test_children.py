"""Python files in folders of images are data: no door imports them."""

import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import hostile
import veloxseg
from engine_cases import blob_image, tiny_package, write_image
from veloxseg.service import children

COMMAND = str(Path(sys.executable).parent / "veloxseg")


@pytest.fixture
def place(tmp_path):
    """A working folder, an input and an output folder full of hostile modules; and one case, asked for in every way."""
    for name in ("work", "inputs", "job", "results"):
        hostile.plant(tmp_path / name, tmp_path / "witness")
    package = tiny_package(tmp_path / "package")
    write_image(blob_image(), tmp_path / "inputs" / "t1.nii.gz")
    request = {"schema_version": 1, "model": str(package), "inputs": {"T1": "../inputs/t1.nii.gz"}}
    (tmp_path / "job" / "request.json").write_text(json.dumps(request))
    settings = {
        "schema_version": 1,
        "model": str(package),
        "source": {"kind": "names", "path": str(tmp_path / "inputs")},
        "output": str(tmp_path / "results"),
        "device": "cpu",
    }
    (tmp_path / "results" / "settings.json").write_text(json.dumps(settings))
    return tmp_path


def doors(place):
    image = f"T1={place / 'inputs' / 't1.nii.gz'}"
    segment = ["segment", "--model", str(place / "package"), "--input", image, "--output", str(place / "results" / "out")]
    batch = ["batch", str(place / "results" / "settings.json")]
    module = [sys.executable, "-m"]
    return {
        "installed": [COMMAND, *segment],
        "module": [*module, "veloxseg", *segment],
        "batch": [*module, "veloxseg", *batch],
        "models": [*module, "veloxseg", "models"],
        "runner": [*module, "veloxseg.service.runner", str(place / "job" / "request.json")],
        "check": [*module, "veloxseg.service.check"],
    }


@pytest.mark.parametrize("door", ["installed", "module", "batch", "models", "runner", "check"])
def test_nothing_in_a_working_folder_is_imported(place, door):
    code, log = finish(doors(place)[door], place / "results", place / "log")
    assert hostile.imported(place / "witness") == ""
    assert code == 0, log


def finish(command, folder, log):
    """Exit code and output. stdin stays open: the runner counts its end as the end of its owner."""
    streams = {"stdin": subprocess.PIPE, "stdout": log.open("w"), "stderr": subprocess.STDOUT}
    with streams["stdout"], subprocess.Popen(command, cwd=folder, **streams) as child:
        code = child.wait(300)
    return code, log.read_text()


@pytest.mark.parametrize("variable", ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "pythonpath"])
def test_children_do_not_hear_what_was_set_for_python(place, monkeypatch, variable):
    monkeypatch.setenv(variable, str(place / "inputs"))
    code, log = finish_child(["-c", "import json, torch, veloxseg"], place / "work", place / "log")
    assert hostile.imported(place / "witness") == ""
    assert code == 0, log


def finish_child(arguments, folder, log):
    with open(log, "w") as output:
        done = subprocess.run(
            children.command(*arguments), env=children.environment(), cwd=folder, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, timeout=300, check=False,
        )  # fmt: skip
    return done.returncode, log.read_text()


def test_children_find_the_engine_where_it_is_not_installed(place):
    """Slicer has it in a folder; -S keeps this environment's packages away."""
    code, log = finish_child(["-S", "-c", "import veloxseg; print(veloxseg.__file__)"], place / "work", place / "log")
    assert code == 0 and Path(log.strip()) == Path(veloxseg.__file__), log


def test_spawned_processes_do_not_look_into_the_working_folder(place, monkeypatch):
    monkeypatch.chdir(place / "work")
    monkeypatch.delenv(children.SAFE_PATH, raising=False)
    with ProcessPoolExecutor(1, children.spawn_context()) as pool:
        assert pool.submit(os.getcwd).result() == str(place / "work")
    assert hostile.imported(place / "witness") == ""


def test_everything_that_starts_python_is_told_so():
    """Other ways to start a process would forget it."""
    root = Path(__file__).resolve().parents[2]
    sources = [*root.glob("VeloxSegSlicer/veloxseg/**/*.py"), *root.glob("training/**/*.py"), *root.glob("benchmarks/*.py")]
    starters = ("sys.executable", "get_context(", "multiprocessing.Pool", "multiprocessing.Process", "os.system", "os.spawn")
    found = {path.name for path in sources for word in starters if word in path.read_text(encoding="utf-8")}
    assert found == {"children.py"}
