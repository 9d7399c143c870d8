"""The rooms of the house and the arrows between them, read from the sources; nothing is imported.

python Testing/rooms.py             prints the picture
python Testing/rooms.py --write     puts it into docs/architecture.md
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "VeloxSegSlicer"
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = re.compile(r"(<!-- rooms -->\n```\n).*?(```\n)", re.DOTALL)


def modules(folder: Path) -> dict[str, Path]:
    """Dotted name -> file, of everything that Python finds when the folder is on its path."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


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


def room(path: Path) -> str:
    """Room of a file: the folder below its package, or the package itself for files that lie in no room."""
    parts = path.relative_to(MODULE).parts[:-1]
    return "/".join(parts[:2]) if parts else path.name


def arrows(known: dict[str, Path]) -> dict[str, set[str]]:
    """Room -> the other rooms that its files import."""
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        targets = {room(known[target]) for target, _ in imports(name, path, known) if target in known}
        found.setdefault(room(path), set()).update(targets - {room(path)})
    return found


def picture() -> str:
    """One line a room: files, lines of code, the rooms that it imports."""
    known = modules(MODULE)
    lines = []
    for own, targets in sorted(arrows(known).items()):
        files = [path for path in known.values() if room(path) == own]
        length = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
        package = own.split("/")[0]
        shown = sorted(target.removeprefix(f"{package}/") for target in targets)
        lines.append(f"{own:<27}{len(files):>3} files {length:>6} lines   -> {', '.join(shown) or '(none)'}\n")
    return "".join(lines)


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    if not arguments:
        print(picture(), end="")
        return 0
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PICTURE.sub(lambda block: block.group(1) + picture() + block.group(2), page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
