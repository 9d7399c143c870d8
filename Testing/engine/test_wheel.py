"""The wheel is whole: built here, installed into an empty folder, run where no repository is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from veloxseg import __version__
from veloxseg.packages import cards

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "VeloxSegSlicer/veloxseg", "VeloxSegSlicer/Resources/Models")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the wheel was installed into. It is built from a copy, because building leaves files behind."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in BUILT_FROM:
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, target)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-index", "--no-build-isolation", "--no-deps", "-w", source, source], check=True)
    (wheel,) = source.glob("veloxseg-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", folder, wheel], check=True)
    return folder


def run(installed, *arguments, **more):
    """The command as installed, with the environment's other packages and nothing of the repository on the path."""
    others = [path for path in sys.path if path and not Path(path).resolve().is_relative_to(ROOT) or "site-packages" in path]
    code = (
        f"import sys; sys.path[:] = {[str(installed), *others]!r}\n"
        f"import veloxseg; assert veloxseg.__file__.startswith({str(installed)!r}), veloxseg.__file__\n"
        "from veloxseg.commands import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    environment = {**os.environ, "VELOXSEG_MODELS": str(installed / "none")}
    command = [sys.executable, "-I", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True, **more).stdout


def test_models_schemas_and_requirements(installed):
    def inside(folder):
        files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in files if "__pycache__" not in path.parts)

    engine = ROOT / "VeloxSegSlicer" / "veloxseg"
    expected = inside(engine) + [f"Models/{name}" for name in inside(cards.SHIPPED)]
    assert inside(installed / "veloxseg") == sorted(expected)


def test_every_model_is_listed(installed, tmp_path):
    listed = run(installed, "models", cwd=tmp_path)
    assert [line.split()[0] for line in listed.splitlines()] == [cards.read(folder).id for folder in cards.shipped()]
    assert run(installed, "--version", cwd=tmp_path) == f"veloxseg {__version__}\n"


def test_a_case_is_segmented(installed, tmp_path):
    photo = cards.SHIPPED / "skin-lesion-nca-direct-demo" / "example" / "photo.png"
    arguments = ["--model", "skin-lesion-nca-direct-demo", "--input", f"Photo={photo}", "--output", tmp_path / "out"]
    found = json.loads(run(installed, "segment", *arguments, "--device", "cpu", "--json", cwd=tmp_path))
    assert found["segments"][0]["area_px"] > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[0] == "mask.nrrd"
