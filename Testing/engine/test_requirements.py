"""Packages that are too old: one place says which, and every door answers before anything is imported that could break."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from veloxseg.contract import requirements
from veloxseg.contract.errors import EXIT_REQUEST, VeloxSegError
from veloxseg.inference import devices

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
SENTENCE = 'Too old for this VeloxSeg: torch 2.3.1; update with: pip install --upgrade "torch>=2.4"'


@pytest.fixture(autouse=True)
def asked_again():
    """The answer is kept for the life of a process."""
    requirements.check_engine.cache_clear()
    yield
    requirements.check_engine.cache_clear()


def installed(monkeypatch, name, version):
    """Pretends that a package has another version, or with None that it is absent."""
    real = metadata.version

    def pretended(asked):
        if asked != name:
            return real(asked)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", pretended)


@pytest.fixture
def old_torch(tmp_path):
    """Environment of a process whose torch says that it is 2.3.1."""
    record = tmp_path / "site" / "torch-2.3.1.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.3.1\n")
    paths = [record.parent, requirements.FILE.parents[1], os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(path) for path in paths if path)}


@pytest.mark.parametrize("version", ["2.4", "2.4.0", "2.4.1+cpu", "2.10.0", "2.13.0+cu130", "3.0.0.dev20260101", None])
def test_what_is_new_enough_or_absent(monkeypatch, version):
    installed(monkeypatch, "torch", version)
    requirements.check_engine()


@pytest.mark.parametrize("version", ["1.13.1", "2.2.0", "2.3.1+cu121", "2.4.0rc1"])
def test_what_is_too_old(monkeypatch, version):
    installed(monkeypatch, "torch", version)
    with pytest.raises(VeloxSegError, match=re.escape(f"Too old for this VeloxSeg: torch {version};")):
        requirements.check_engine()


@pytest.mark.parametrize("wanted", requirements.engine(), ids=str)
def test_every_package_has_an_oldest_release(monkeypatch, wanted):
    installed(monkeypatch, wanted.name, "0.0.1")
    with pytest.raises(VeloxSegError) as caught:
        requirements.check_engine()
    assert caught.value.text == f'Too old for this VeloxSeg: {wanted.name} 0.0.1; update with: pip install --upgrade "{wanted}"'


def test_python(monkeypatch):
    installed(monkeypatch, "numpy", "1.26.4")
    with pytest.raises(VeloxSegError, match="numpy 1.26.4"):
        devices.choose("cpu")


@pytest.mark.parametrize("words", ["segment --model m --input T1=i --output o", "batch b", "models"])
def test_command_line(old_torch, tmp_path, words):
    command = [sys.executable, "-m", "veloxseg", *words.split()]
    done = subprocess.run(command, cwd=tmp_path, env=old_torch, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_REQUEST, "", f"veloxseg: {SENTENCE}\n")


@pytest.mark.parametrize("module", ["runner", "check", "comparison"])
def test_processes_of_the_panel(old_torch, tmp_path, module):
    command = [sys.executable, "-m", f"veloxseg.service.{module}", *([] if module == "check" else ["request.json"])]
    done = subprocess.run(command, cwd=tmp_path, env=old_torch, capture_output=True, text=True, timeout=120)
    error = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, error["event"], error["code"], error["text"]) == (EXIT_REQUEST, "error", "ENGINE_OLD", SENTENCE)


def test_warm_engine(old_torch, tmp_path):
    command = [sys.executable, "-m", "veloxseg.service.runner", "--serve"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=old_torch, **pipes) as process:
        process.stdin.write("request.json\n")
        process.stdin.flush()
        error, end = (json.loads(process.stdout.readline()) for _ in range(2))
        process.stdin.close()
    assert (error["code"], error["text"], end["event"], process.returncode) == ("ENGINE_OLD", SENTENCE, "end", 0)


def test_one_place_for_packages():
    assert "dependencies" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["dependencies"]["file"] == [requirements.FILE.relative_to(ROOT).as_posix()]
    torch = next(one for one in requirements.engine() if one.name == "torch")
    assert f"PyTorch {str(torch.specifier).removeprefix('>=')} or newer" in README


def test_every_import_is_promised():
    """What is imported only where a person asks for it has a message of its own."""
    extras = {"monai", "ignite", "nilearn", "pydicom", "matplotlib"}
    imported = set()
    for path in requirements.FILE.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported |= {name.partition(".")[0] for name in names}
    promised = {{"pillow": "PIL"}.get(one.name, one.name) for one in requirements.engine()}
    assert imported - set(sys.stdlib_module_names) - {"veloxseg"} - extras == promised


def test_pinned_packages_are_new_enough():
    pins = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().splitlines() if line[:1] not in ("#", "")]
    pinned = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}
    for wanted in requirements.engine():
        assert wanted.specifier.contains(pinned[wanted.name]), wanted


def test_one_oldest_python():
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    makefile = (ROOT / "Makefile").read_text()
    assert f"Python {oldest} or newer" in README
    assert f"Python {oldest} or newer" in makefile and f"({oldest.replace('.', ', ')})" in makefile
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder in which a process works")
def test_started_in_a_folder_that_is_gone(tmp_path):
    """PyTorch would end the process there."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})\nfrom veloxseg.commands import cli\n"
    code += "raise SystemExit(cli.main(['models', 'verify', 'petct-lesions-demo']))"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "VeloxSegSlicer")}
    ended = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert ended.returncode == EXIT_REQUEST
    assert "because the folder in which it was started does not exist any more; correct it" in ended.stderr
