"""Who may import whom: a file uses what lies in its own room or further down, and no import goes in a circle.

Read from the sources, imports inside functions included; nothing is imported.
"""

import ast
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from rooms import MODULE, ROOT, imports, modules

PANEL = ["panel", "run", "results", "images", "engine", "widgets", "common"]
ENGINE = [
    # doors: the command, its subcommands, the processes behind the panel, MONAI's tools
    "__main__", "commands", "service", "bundle_steps",
    "api", "packages", "inference", "diffusion", "networks", "phantoms", "imaging",
    "validation", "files", "parallel", "processes", "contract",
]  # fmt: skip
"""From the doors down. Packages stand on inference, which knows a package as a card and a network."""
ALSO_IN_CONTRACT = {"veloxseg.contract.requirements": {"packaging"}}
"""pip and Slicer bring it along."""
ON_BOTH_SIDES = {"VeloxSegError", "Role"}
"""Classes of the panel that are the engine's with words for people around."""

# What the module must never need: it is shipped without them.
OTHERS = {"VeloxSegSlicer", "VeloxSegSlicerLib", "slicer", "qt", "ctk", "vtk", "benchmarks", "training", "Testing"}
OTHERS |= {path.stem for folder in ("training", "benchmarks") for path in (ROOT / folder).iterdir()}

MODULES = modules(MODULE)
TRAINING = {f"training.{name}".rstrip("."): path for name, path in modules(ROOT / "training").items()}


def against(known: dict[str, Path], is_allowed) -> list[str]:
    """`file:line: file -> module` of every import that goes against the arrows."""
    return [
        f"{path.relative_to(ROOT).as_posix()}:{line}: {name} -> {target}"
        for name, path in sorted(known.items())
        for target, line in imports(name, path, known)
        if not is_allowed(name, target)
    ]


def panel_floor(name: str) -> int:
    """How high a module of the panel stands, the highest first; what is no part of it stands below all."""
    top, *rest = name.split(".")
    if top == "VeloxSegSlicer":
        return -1
    return PANEL.index(rest[0]) if top == "VeloxSegSlicerLib" and rest else len(PANEL)


def test_panel_arrows():
    panel = {name: path for name, path in MODULES.items() if not name.startswith("veloxseg")}
    assert {path.parent.name for name, path in panel.items() if name.count(".") > 1} == set(PANEL)

    def is_allowed(name: str, target: str) -> bool:
        if target.split(".")[0] == "veloxseg":
            return target.startswith("veloxseg.contract")
        return panel_floor(name) <= panel_floor(target)

    assert not (wrong := against(panel, is_allowed)), "\n".join(wrong)


def engine_floor(name: str) -> int:
    """As `panel_floor`. The package itself, of which everybody may read the version, stands below all."""
    rest = name.split(".")[1:]
    return ENGINE.index(rest[0]) if rest else len(ENGINE)


def test_engine_arrows():
    engine = {name: path for name, path in MODULES.items() if name.startswith("veloxseg.")}
    assert {name.split(".")[1] for name in engine} == set(ENGINE)

    def is_allowed(name: str, target: str) -> bool:
        top = target.split(".")[0]
        if top == "veloxseg":
            return engine_floor(name) <= engine_floor(target)
        return top not in OTHERS

    assert not (wrong := against(engine, is_allowed)), "\n".join(wrong)


def test_contract_needs_numpy_alone():
    contract = {name: path for name, path in MODULES.items() if name.startswith("veloxseg.contract")}

    def is_allowed(name: str, target: str) -> bool:
        top = target.split(".")[0]
        also = {"numpy", *ALSO_IN_CONTRACT.get(name, ())}
        return target.startswith("veloxseg.contract") or top in sys.stdlib_module_names or top in also

    assert not (wrong := against(contract, is_allowed)), "\n".join(wrong)


def graph_of(known: dict[str, Path], own: str) -> dict[str, set[str]]:
    """Module -> the modules that it imports. The package `own` does not count: it is there before its files."""
    return {
        name: {target for target, _ in imports(name, path, known) if target in known.keys() - {name, own}}
        for name, path in known.items()
    }


@pytest.mark.parametrize("known,own", [(MODULES, "veloxseg"), (TRAINING, "training")], ids=["module", "training"])
def test_no_circles(known, own):
    try:
        TopologicalSorter(graph_of(known, own)).prepare()
    except CycleError as error:
        pytest.fail("imports in a circle: " + " <- ".join(error.args[1]))


def test_training_is_imported_by_its_full_name():
    """`datasets` or `networks` alone would be other packages of these names where they are installed."""
    bare = {name.split(".")[1] for name in TRAINING if "." in name} - {"_path"}
    users = TRAINING | {path.stem: path for folder in ("benchmarks", "Testing") for path in (ROOT / folder).rglob("*.py")}
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{line}: {target}"
        for name, path in users.items()
        for target, line in imports(name, path, users)
        if target.split(".")[0] in bare and target.split(".")[0] not in users.keys() - TRAINING.keys()
    ]
    assert not found, "\n".join(found)


def test_every_command_of_training_runs_from_any_folder(tmp_path):
    commands = [path for path in (ROOT / "training").glob("*.py") if "__main__" in path.read_text()]
    assert not [path.name for path in commands if "    import _path" not in path.read_text()]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    light = [sys.executable, str(ROOT / "training" / "real_data.py"), "--help"]
    shown = subprocess.run(light, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert shown.returncode == 0 and "--source" in shown.stdout, shown.stderr


def test_no_function_is_called_of():
    """`Names.of(x)` reads well at the call and says nothing in the file; a function is called what it returns."""
    folders = (MODULE, ROOT / "training", ROOT / "benchmarks", ROOT / "Testing")
    wrong = [
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "of"
    ]
    assert not wrong, "\n".join(wrong)


def test_no_two_classes_of_one_name():
    """What a run, a batch or a grid is differs on both sides of the border, so each has a name of its own."""
    places: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name)
    shared = {name: owners for name, owners in places.items() if len(owners) > 1}
    assert shared.keys() <= ON_BOTH_SIDES, shared
