"""Who may import whom: a file uses what lies in its own room or further down.

Read from the sources, imports inside functions included; nothing is imported.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "VeloxSegSlicer"
PANEL = ["panel", "run", "results", "images", "engine", "widgets", "common"]


def modules(folder: Path) -> dict[str, Path]:
    """Dotted name -> file, of everything that Python finds when the folder is on its path."""
    found = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules(MODULE)


def imports(name: str, path: Path, known: dict[str, Path]) -> list[tuple[str, int]]:
    """(module, line) of each import of a file, as absolute names and as deep as there are files."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                deeper = f"{origin}.{alias.name}"
                found.append((deeper if deeper in known else origin, node.lineno))
    return found


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
