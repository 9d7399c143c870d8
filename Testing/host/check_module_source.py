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


# Objects that end with their last Python reference, unless they have a Qt parent.
_SHORT_LIVED = ("QTimer", "QProcess", "QDialog", "QFileDialog", "QShortcut")
# Methods of Qt objects that people call with keywords in PySide6.
_WITHOUT_KEYWORDS = ("findChild", "findChildren", "addWidget", "addItem", "insertItem", "setData", "singleShot", "addRow")
# Functions that give such objects, and words at the end of names for them.
_FALSE_WHEN_EMPTY = ("layout", "menu", "icon", "pixmap", "document", "windowIcon")
_QT_WORDS = ("layout", "icon", "pixmap", "menu", "image", "color", "document", "palette")
_THREADS = ("threading", "concurrent", "multiprocessing")


def _isQt(node):
    return isinstance(node, ast.Name) and node.id in ("qt", "ctk")


class _Finder(ast.NodeVisitor):
    def __init__(self, fileName, source):
        self.fileName = fileName
        self.source = source
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
        if name == "__feature__":
            self._add(node, "snake_case and true_property exist in PySide6 only")
        if name.split(".")[0] in _THREADS:
            self._add(node, f"import of {name}: MRML and widgets must not be touched from a thread")

    def visit_If(self, node):
        self._checkTruth(node.test)
        self.generic_visit(node)

    visit_While = visit_IfExp = visit_If

    def visit_BoolOp(self, node):
        for value in node.values:
            self._checkTruth(value)
        self.generic_visit(node)

    def _checkTruth(self, test):
        """Layouts, icons, menus and the like are false when they are empty."""
        test = test.operand if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else test
        if isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute) and test.func.attr in _FALSE_WHEN_EMPTY:
            self._add(test, f"truth value of {test.func.attr}(): false when empty; compare with None")
        if isinstance(test, (ast.Name, ast.Attribute)):
            name = ast.unparse(test).split(".")[-1].lower()
            if name.endswith(_QT_WORDS):
                self._add(test, f"truth value of {ast.unparse(test)}: false when empty; compare with None")

    def visit_FunctionDef(self, node):
        for name, assignment in self._newObjects(node):
            uses = [found for found in ast.walk(node) if isinstance(found, ast.Name) and found.id == name]
            methods = [found.value for found in ast.walk(node) if isinstance(found, ast.Attribute)]
            if all(use in methods or isinstance(use.ctx, ast.Store) for use in uses):
                self._add(assignment, f"{name} ends with this function: keep a reference or give it a parent")
        self.generic_visit(node)

    def _newObjects(self, function):
        """(name, assignment) of local objects without a parent that Python would delete at the end."""
        made = [f"{module}.{name}()" for module in ("qt", "ctk") for name in _SHORT_LIVED]
        for node in ast.walk(function):
            isLocal = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            if isLocal and ast.unparse(node.value) in made:
                yield node.targets[0].id, node

    def visit_Assign(self, node):
        isPair = isinstance(node.targets[0], (ast.Tuple, ast.List))
        if isPair and isinstance(node.value, ast.Call) and "QFileDialog.get" in ast.unparse(node.value.func):
            self._add(node, "QFileDialog gives the file name alone in PythonQt, a pair in PySide6")
        self.generic_visit(node)

    def visit_Attribute(self, node):
        if ast.unparse(node) == "sys.executable" and "PythonSlicer" not in self.source:
            self._add(node, "sys.executable is Slicer itself: look for PythonSlicer first")
        if node.attr.endswith("Layout") and ast.unparse(node.value).split(".")[-1] in ("ui", "_ui"):
            self._add(node, f"{node.attr} by name: an empty layout is false and not found; take layout() of a named widget")
        if node.attr in ("addSegment", "AddSegment") and ast.unparse(node.value).lower().endswith("segmentation"):
            self._add(node, "AddSegment() puts empty label maps in the place of surfaces: use AddEmptySegment()")
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
        if isinstance(function, ast.Name) and function.id in ("str", "bytes") and node.args:
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
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr.startswith("readAll"):
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
        isPython = ast.unparse(function.value) == "slicer.util"
        if function.attr in _WITHOUT_KEYWORDS and node.keywords and not isPython:
            self._add(node, f"keyword arguments of {function.attr}(): PythonQt takes them by position only")
        if function.attr in _SHARED_DEFAULT and ast.unparse(function.value) in ("slicer.util", "util"):
            isNamed = any(keyword.arg in ("properties", None) for keyword in node.keywords)
            if not isNamed and len(node.args) < _SHARED_DEFAULT[function.attr]:
                self._add(node, f"{function.attr}() without properties: its default is one dictionary for all calls")

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
    finder = _Finder(fileName, source)
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
