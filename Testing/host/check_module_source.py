"""Finds PythonQt traps in a module's source that no test host can see.

PySide6 accepts all of these, so tests pass with them; inside Slicer they fail or do something else.

    python check_module_source.py [FILE...]
"""

import ast
import sys
from pathlib import Path

_FOREIGN_PACKAGES = ("PySide6", "PySide2", "PyQt5", "PyQt6", "shiboken6")
# Functions of slicer.util with the default properties={}: how many positional arguments include it.
_SHARED_DEFAULT = {
    "loadVolume": 2,
    "loadLabelVolume": 2,
    "loadSegmentation": 2,
    "loadScene": 2,
    "saveScene": 2,
    "loadNodeFromFile": 3,
    "loadNodesFromFile": 3,
    "saveNode": 3,
    "exportNode": 3,
}


def _isQt(node):
    return isinstance(node, ast.Name) and node.id in ("qt", "ctk")


class _Finder(ast.NodeVisitor):
    def __init__(self, fileName):
        self.fileName = fileName
        self.findings = []

    def _add(self, node, text):
        self.findings.append(f"{self.fileName}:{node.lineno}: {text}")

    def visit_Import(self, node):
        for alias in node.names:
            self._checkPackage(node, alias.name)

    def visit_ImportFrom(self, node):
        self._checkPackage(node, node.module or "")

    def _checkPackage(self, node, name):
        if name.split(".")[0] in _FOREIGN_PACKAGES:
            self._add(node, f"import of {name}: Slicer has qt and ctk only")
        if name.split(".")[0] == "slicerhost":
            self._add(node, "import of the test host")

    def visit_Attribute(self, node):
        names = ast.unparse(node).split(".")
        if _isQt(node.value) and node.attr in ("Signal", "Slot"):
            self._add(node, f"qt.{node.attr}: own signals and slots cannot be declared as in PySide6")
        if names[0] in ("qt", "ctk") and len(names) == 4 and all(name[:1].isupper() for name in names[1:]):
            self._add(node, f"scoped enumeration {ast.unparse(node)}: leave out {names[2]}")
        self.generic_visit(node)

    def visit_Call(self, node):
        function = node.func
        if isinstance(function, ast.Name) and function.id == "isinstance" and len(node.args) == 2:
            self._checkIsInstance(node)
        if isinstance(function, ast.Name) and function.id == "str" and node.args:
            self._checkBytesAsText(node.args[0])
        if isinstance(function, ast.Attribute):
            self._checkMethod(node, function)
        self.generic_visit(node)

    def visit_FormattedValue(self, node):
        self._checkBytesAsText(node.value)
        self.generic_visit(node)

    def _checkIsInstance(self, node):
        types = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
        for candidate in types:
            if isinstance(candidate, ast.Attribute) and _isQt(candidate.value):
                self._add(
                    node,
                    f"isinstance with {ast.unparse(candidate)}: False for derived classes; use inherits()",
                )

    def _checkBytesAsText(self, value):
        if (
            isinstance(value, ast.Call)
            and isinstance(value.func, ast.Attribute)
            and value.func.attr.startswith("readAll")
        ):
            self._add(value, f"{value.func.attr}() as text: write .data().decode()")

    def _checkMethod(self, node, function):
        if function.attr in ("connect", "disconnect"):
            self._checkConnection(node, function.value)
        if function.attr == "exec":
            self._add(node, "exec(): write exec_()")
        if _isQt(function.value) and node.keywords:
            self._add(
                node,
                f"keyword arguments of {ast.unparse(function)}: set the properties after the construction",
            )
        if function.attr in _SHARED_DEFAULT and ast.unparse(function.value) in ("slicer.util", "util"):
            isNamed = any(keyword.arg in ("properties", None) for keyword in node.keywords)
            if not isNamed and len(node.args) < _SHARED_DEFAULT[function.attr]:
                self._add(
                    node, f"{function.attr}() without properties: its default is one dictionary for all calls"
                )

    def _checkConnection(self, node, owner):
        if isinstance(owner, ast.Subscript):
            self._add(node, f'{ast.unparse(owner)}: choose a form by connect("signal(type)", slot)')
        isBySignature = bool(node.args) and isinstance(node.args[0], ast.Constant)
        if (len(node.args) > 1 and not isBySignature) or node.keywords:
            self._add(node, "connect() with a connection type: PythonQt has no such argument")
        for slot in node.args:
            if isinstance(slot, ast.Lambda) and (slot.args.defaults or any(slot.args.kw_defaults)):
                self._add(slot, "lambda with a default value as slot: the signal's argument overwrites it")


def checkSource(source, fileName="<source>"):
    """Returns a list of texts "file:line: what is wrong"; empty when nothing was found."""
    finder = _Finder(fileName)
    finder.visit(ast.parse(source, fileName))
    return finder.findings


def checkFile(path):
    return checkSource(Path(path).read_text(encoding="utf-8"), str(path))


def moduleFiles():
    """This repository's sources that run inside Slicer."""
    folder = Path(__file__).resolve().parents[2] / "VeloxSegSlicer"
    files = [folder / "VeloxSegSlicer.py", *sorted((folder / "VeloxSegSlicerLib").rglob("*.py"))]
    return [path for path in files if path.is_file()]


if __name__ == "__main__":
    found = [finding for path in sys.argv[1:] or moduleFiles() for finding in checkFile(path)]
    print("\n".join(found) or "nothing found")
    sys.exit(1 if found else 0)
