"""What the pages promise: links lead somewhere, files and options exist, commands are accepted, words are American."""

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from veloxseg.commands import cli
from veloxseg.contract import requirements

ROOT = requirements.FILE.parents[2]
README = ROOT / "README.md"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / one / "README.md" for one in ("training", "Testing/host"))]
EXAMPLE = "VeloxSegSlicer/Resources/Models/brain-regions-t1"
PANEL = "VeloxSegSlicer/VeloxSegSlicerLib"
FOLDERS = ("", "VeloxSegSlicer", PANEL, "VeloxSegSlicer/veloxseg", "training", "Testing/host", EXAMPLE)
LINK = re.compile(r"!?\[[^]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```[a-z]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STARTS_PROGRAM = re.compile(r"(\w+=\S+ )*(\.venv/bin/\w+|python3?|torchrun|make|veloxseg (segment|batch|models|phantom|bench)) ")
NAMED_FILE = re.compile(r"`([A-Za-z0-9_./-]*[A-Za-z0-9_-]+\.(?:py|sh|md|cff))`")
BRITISH = re.compile(
    r"\w*(?:colour|grey|centre|metres?\b|favour|behaviour|neighbour|labelled|modelled|licence|artefact|learnt|tumour|oedema"
    r"|(?:normal|recogn|organ|initial|optim|minim|maxim|standard|visual|summar|general)is(?:e|ing|ation))\w*",
    re.IGNORECASE,
)
# label names of a data set, units in headers, and a heading of packages that are already out
NAMES_OF_OTHERS = re.compile(r"BrainTumour|enhancing tumour|\"millimetres?\"|## Licence and citation")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[list[str]]:
    """Words of every line in a block of the page that starts a program of the repository."""
    blocks = [block.replace("\\\n", " ") for block in FENCED.findall(text(page))]
    lines = [line.split(" #")[0].split(" >")[0].strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if STARTS_PROGRAM.match(line)]


def problem(words: list[str]) -> str | None:
    """What is wrong with a command, without running it; None if nothing."""
    while "=" in words[0]:
        words = words[1:]
    if words[0] == "make":
        unknown = set(words[1:]) - set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.MULTILINE))
        return f"no target {unknown}" if unknown else None
    if words[0].endswith("veloxseg"):
        try:
            cli.read(words[1:])
        except SystemExit:
            return "not accepted"
        return None
    scripts = [word for word in words if word.endswith(".py")]
    missing = [script for script in scripts if not (ROOT / script).exists()]
    return f"no file {missing}" if missing else next(filter(None, (_unknown_option(word) for word in words if scripts)), None)


def _unknown_option(word: str) -> str | None:
    """An option of training is a chain of field names: --data.cut."""
    if not re.match(r"--[a-z]", word):
        return None
    names = word.removeprefix("--").split("=")[0].replace("-", "_").split(".")
    known = all(re.search(rf"\b{name.removeprefix('no_')}\b", _training_sources()) for name in names)
    return None if known or names[0] == "nproc_per_node" else f"no option {word}"


@cache
def _training_sources() -> str:
    folders = (ROOT / "training", ROOT / "VeloxSegSlicer" / "veloxseg")
    return "\n".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py"))


def test_readme_is_one_sitting():
    assert len(text(README).splitlines()) <= 150


@pages
def test_links_lead_somewhere(page):
    for target in LINK.findall(text(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pages
def test_named_files_exist(page):
    for name in NAMED_FILE.findall(text(page)):
        if "/" in name:
            assert any((folder / name).exists() for folder in (page.parent, *(ROOT / one for one in FOLDERS))), name


@pages
def test_commands_are_accepted(page):
    wrong = {" ".join(words): found for words in commands(page) if (found := problem(words))}
    assert not wrong


@pytest.mark.slow
def test_command_line_and_python_of_the_readme_run(tmp_path):
    """One block after the other, as a reader would; a batch needs settings of one's own."""
    program = {"PYTHONPATH": str(ROOT / "VeloxSegSlicer"), **os.environ}
    lines = [words for words in commands(README) if words[0] == ".venv/bin/veloxseg" and words[1] != "batch"]
    block = re.search(r"^```python\n(.*?)^```$", text(README), re.DOTALL | re.MULTILINE).group(1)
    for words in (*(["-m", "veloxseg", *line[1:]] for line in lines), ["-c", block]):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=program, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-2000:]
    first, again = (sitk.ReadImage(str(tmp_path / folder / "mask.nrrd")) for folder in ("lesions", "lesions-again"))
    assert np.array_equal(sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(again))
    assert sitk.GetArrayViewFromImage(first).any()


def test_wrong_commands_are_found():
    """The check itself: a target, an option, a value and a file that are not there."""
    options = ("veloxseg segment --modle a --output b", "python training/train.py --data.fodler x")
    wrong = ("make tea", "python training/tea.py", *options)
    assert all(problem(shlex.split(line)) for line in wrong)
    assert len(commands(README)) >= 6


def british(path: Path) -> list[str]:
    return [found.group() for found in BRITISH.finditer(NAMES_OF_OTHERS.sub("", text(path)))]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "acceptance.md"], ids=lambda path: path.name)
def test_american_spelling(page):
    assert not british(page)


def test_american_spelling_of_the_module():
    """Names, comments and texts that people read."""
    module = ROOT / "VeloxSegSlicer"
    sources = [*module.rglob("*.py"), *module.rglob("*.ui"), *(ROOT / "training").rglob("*.py")]
    words = {path.relative_to(ROOT).as_posix(): found for path in sources if (found := british(path))}
    assert len(sources) > 200 and not words
