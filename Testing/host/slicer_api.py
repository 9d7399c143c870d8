"""What the module uses of Qt, CTK, the qMRML widgets and Slicer's application: made from its source and its .ui files.

    python slicer_api.py                    compare slicer_api.json with the source
    python slicer_api.py --write            write it again, after the module has come to use something else
    python slicer_api.py --write HEADER...  and read what Qt does not tell from the C++ headers of CTK and Slicer

The file says for each class which members the module uses and what each of them is in real Slicer, where PythonQt shows
properties, signals, slots, invokable functions, enumerators, the functions that it wraps for Qt's own classes, and
decorators. A plain member function of a CTK or Slicer class is none of these, and cannot be called. The test host offers
the module these members and no others.
"""

import ast
import enum
import importlib
import json
import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

HOST = Path(__file__).resolve().parent
MODULE = HOST.parents[1] / "VeloxSegSlicer"
DATA = HOST / "slicer_api.json"
QT_MODULES = ("QtCore", "QtGui", "QtWidgets", "QtUiTools", "QtNetwork")
PLAIN = ("property", "signal", "slot", "invokable", "enum", "wrapped", "decorator", "python")
# Objects of the application: expression -> class.
APPLICATION = {
    "slicer.app": "qSlicerApplication",
    "slicer.modules": "slicer.modules",
    "slicer.util": "slicer.util",
    "slicer.cli": "slicer.cli",
}
# What functions of Slicer return; those of Qt are in PySide6's stubs.
RETURNS = {
    ("qSlicerApplication", "layoutManager"): "qSlicerLayoutManager",
    ("qSlicerApplication", "moduleManager"): "qSlicerModuleManager",
    ("qSlicerApplication", "extensionsManagerModel"): "qSlicerExtensionsManagerModel",
    ("slicer.util", "loadUI"): "QDialog qMRMLWidget",
    ("slicer.util", "mainWindow"): "QMainWindow",
    ("slicer.util", "childWidgetVariables"): "ui",
}
# What Slicer itself gives the module: place of a value -> class.
GIVEN = {
    ("parameter", "VeloxSegSlicer.VeloxSegSlicer.__init__", "parent"): "qSlicerScriptedLoadableModule",
    ("attribute", "VeloxSegSlicer.VeloxSegSlicerWidget", "parent"): "qSlicerScriptedLoadableModuleWidget",
    ("attribute", "VeloxSegSlicer.VeloxSegSlicerWidget", "layout"): "QVBoxLayout",
}
# Methods of Python's containers, which have the types of what they hold.
OF_CONTAINERS = ("items", "values", "get", "pop")


def isForeign(name: str) -> bool:
    """Whether a class is PythonQt's: of Qt, CTK, Slicer or one of its namespaces."""
    return bool(re.match(r"(Q[A-Z]\w*|Qt|ctk[A-Z]\w*|q(MRML|Slicer)\w+|slicer\.\w+)$", name))


# .ui files


class UiFiles:
    """Names of widgets with their classes, and what the files themselves use."""

    def __init__(self, folder: Path) -> None:
        self.widgets: dict[str, set[str]] = defaultdict(set)
        self.uses: dict[str, set[str]] = defaultdict(set)
        for path in sorted(folder.glob("*.ui")):
            self._read(ElementTree.parse(path).getroot())

    def _read(self, root) -> None:
        for element in (*root.iter("widget"), *root.iter("layout")):
            kind = element.get("class")
            if element.tag == "widget":
                self.widgets[element.get("name")].add(kind)
            self.uses[kind] |= {
                entry.get("name")
                for entry in element.findall("property")
                if entry.get("stdset") != "0" and entry.get("name") != "buddy" and not entry.get("name").endswith("Margin")
            }
        for connection in root.iter("connection"):
            for person, function in (("sender", "signal"), ("receiver", "slot")):
                for kind in self.widgets[connection.findtext(person)]:
                    self.uses[kind].add(connection.findtext(function).split("(")[0])


# Types of expressions


@cache
def stubs() -> dict[str, tuple[list[str], dict[str, str]]]:
    """Qt class -> its bases, and method -> class of what it returns, from the stubs that come with PySide6."""
    import PySide6

    found = {}
    for name in QT_MODULES:
        path = Path(PySide6.__file__).with_name(f"{name}.pyi")
        for cls in [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]:
            methods = {node.name: _lastName(node.returns) for node in cls.body if isinstance(node, ast.FunctionDef)}
            found[cls.name] = ([_lastName(base) for base in cls.bases], methods)
    return found


def _lastName(node) -> str:
    """The class in an annotation such as PySide6.QtWidgets.QLayout | None."""
    text = "" if node is None else ast.unparse(node).replace(" | None", "").replace("typing.Optional[", "").strip("'\"]")
    return re.sub(r".*\.", "", text)


def returned(cls: str, member: str) -> str:
    """The class of what a method or property of a foreign class gives, "" where it is none that matters."""
    if (cls, member) in RETURNS:
        return RETURNS[cls, member]
    bases, methods = stubs().get(cls, (BASES.get(cls, []), {}))
    if member in methods:
        return methods[member] if isForeign(methods[member]) else ""
    return next((kind for base in bases if (kind := returned(base, member))), "") or _returnedBelow(cls, member)


def _returnedBelow(cls: str, member: str) -> str:
    return next((stubs()[one][1][member] for one in below(cls) if member in stubs()[one][1]), "")


BASES = {
    "ctkCollapsibleButton": ["QAbstractButton"],
    "ctkCollapsibleGroupBox": ["QGroupBox"],
    "ctkSliderWidget": ["QWidget"],
    "ctkPathLineEdit": ["QWidget"],
    "ctkMenuButton": ["QPushButton"],
    "qMRMLWidget": ["QWidget"],
    "qMRMLNodeComboBox": ["QWidget"],
    "qMRMLSegmentationShow3DButton": ["ctkMenuButton"],
    "qSlicerApplication": ["qSlicerCoreApplication", "QApplication"],
    "qSlicerCoreApplication": ["QApplication"],
    "qSlicerLayoutManager": ["qMRMLLayoutManager"],
    "qMRMLLayoutManager": ["QObject"],
    "qSlicerModuleManager": ["QObject"],
    "qSlicerExtensionsManagerModel": ["QObject"],
    "qSlicerDICOMExportDialog": ["QObject"],
    "qSlicerScriptedLoadableModule": ["qSlicerAbstractModule"],
    "qSlicerAbstractModule": ["qSlicerAbstractCoreModule"],
    "qSlicerAbstractCoreModule": ["QObject"],
    "qSlicerScriptedLoadableModuleWidget": ["qSlicerAbstractModuleWidget"],
    "qSlicerAbstractModuleWidget": ["qSlicerWidget"],
    "qSlicerWidget": ["QWidget"],
}


class Source:
    """The functions and classes of the module's files, and what is known of the types of their values.

    Types are names: of foreign classes, "ui" for the widgets of .ui files, "type Q" for a class itself, and "File.Class" for
    the module's own. Parameters get the types of what they are called with, so everything is read until nothing new comes.
    """

    def __init__(self, folder: Path) -> None:
        self.ui = UiFiles(folder / "Resources" / "UI")
        self.uses: dict[str, set[str]] = defaultdict(set)
        for kind, members in self.ui.uses.items():
            self.uses[kind] |= members
        files = [folder / "VeloxSegSlicer.py", *sorted((folder / "VeloxSegSlicerLib").rglob("*.py"))]
        self.trees = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in files}
        self.known: dict[tuple, set[str]] = defaultdict(set)  # place of a value -> types
        for place, kind in GIVEN.items():
            self.known[place].add(kind)
        self.functions: dict[str, ast.FunctionDef] = {}
        self.classes: set[str] = set()
        self.names: dict[str, dict[str, str]] = {}
        for stem, tree in self.trees.items():
            self._declare(stem, tree)
        while True:
            before = self._size()
            for stem, tree in self.trees.items():
                Reader(self, stem, "", {}).readAll(tree.body)
            if self._size() == before:
                break

    def _size(self) -> int:
        return sum(map(len, self.known.values())) + sum(map(len, self.uses.values()))

    def _declare(self, stem: str, tree) -> None:
        names = self.names[stem] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("VeloxSegSlicerLib")):
                module = (node.module or "").rpartition(".")[2]
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{module}.{alias.name}" if module in self.trees else alias.name
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names[node.name] = f"{stem}.{node.name}"
            if isinstance(node, ast.FunctionDef):
                self.functions[f"{stem}.{node.name}"] = node
            if isinstance(node, ast.ClassDef):
                self.classes.add(f"{stem}.{node.name}")
                for method in [entry for entry in node.body if isinstance(entry, ast.FunctionDef)]:
                    self.functions[f"{stem}.{node.name}.{method.name}"] = method

    def use(self, kind: str, member: str) -> None:
        """The module uses a member of a foreign class."""
        if isForeign(kind) and not member.startswith("_"):
            self.uses[kind].add(member)


class Reader:
    """Reads statements of one function (or of a file) with the types of its local names."""

    def __init__(self, source: Source, stem: str, cls: str, local: dict[str, set[str]], place: str = "") -> None:
        self.source, self.stem, self.cls, self.place = source, stem, cls, place
        self.local = local

    def readAll(self, body: list) -> None:
        """Read statements, and the functions and classes in them."""
        for statement in body:
            self._read(statement)

    def _read(self, node) -> None:
        if isinstance(node, ast.ClassDef):
            Reader(self.source, self.stem, f"{self.stem}.{node.name}", {}).readAll(node.body)
        elif isinstance(node, ast.FunctionDef):
            self._readFunction(node)
        elif isinstance(node, ast.Return) and node.value is not None:
            self.source.known["return", self.place] |= self.typesOf(node.value)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            types = self.typesOf(node.value)
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self._assign(target, types, node.value)
        elif isinstance(node, (ast.For, ast.comprehension)):
            self.typesOf(node.iter)
            self._assign(node.target, self._elementTypes(node.iter), None)
            self.readAll([*getattr(node, "body", []), *getattr(node, "orelse", [])])
        else:
            for child in ast.iter_child_nodes(node):
                self.typesOf(child) if isinstance(child, ast.expr) else self._read(child)

    def _readFunction(self, node) -> None:
        place = f"{self.cls or self.stem}.{node.name}"
        names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
        local = dict(self.local) if self.place else {}  # a function inside another one sees its names
        local |= {name: self.source.known["parameter", place, name] for name in names}
        if self.cls and names[:1] == ["self"]:
            local["self"] = {self.cls}
        if "ui" in names:
            self.source.known["parameter", place, "ui"].add("ui")
        Reader(self.source, self.stem, self.cls, local, place).readAll(node.body)

    def _assign(self, target, types: set[str], value) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            values = value.elts if isinstance(value, (ast.Tuple, ast.List)) else [None] * len(target.elts)
            for position, part in enumerate(target.elts):
                own = self.typesOf(values[position]) if position < len(values) and values[position] is not None else types
                self._assign(part, own, None)
        elif isinstance(target, ast.Name):
            self.local.setdefault(target.id, set()).update(types)
        elif isinstance(target, ast.Attribute):
            for owner in self.typesOf(target.value):
                self.source.use(owner, target.attr)
                if owner in self.source.classes:
                    self.source.known["attribute", owner, target.attr] |= types
        elif isinstance(target, ast.Subscript):
            self._assign(target.value, types, None)

    def _elementTypes(self, node) -> set[str]:
        """What a loop over something gives; a container has the types of all that is in it."""
        return self.typesOf(node)

    def typesOf(self, node) -> set[str]:
        """The types of an expression. Everything that it uses is noted on the way."""
        if isinstance(node, ast.Name):
            return self._typesOfName(node.id)
        if isinstance(node, ast.Attribute):
            return self._typesOfAttribute(node)
        if isinstance(node, ast.Call):
            return self._typesOfCall(node)
        if isinstance(node, ast.Lambda):
            return {"value of " + kind for kind in self.typesOf(node.body)}
        if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)):
            for part in node.generators:
                self._read(part)
            return set().union(*(self.typesOf(part) for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)))
        parts = [self.typesOf(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        return set().union(*parts) if isinstance(node, HOLDING) else set()

    def _typesOfName(self, name: str) -> set[str]:
        if name in self.local:
            return set(self.local[name])
        target = self.source.names[self.stem].get(name)
        return {f"name {target}"} if target else {f"import {name}"}

    def _typesOfAttribute(self, node) -> set[str]:
        text = ast.unparse(node)
        if text in APPLICATION:
            return {APPLICATION[text]}
        found = set()
        for owner in self.typesOf(node.value):
            found |= self._member(owner, node.attr)
        return found

    def _member(self, owner: str, member: str) -> set[str]:
        source = self.source
        if owner in ("import qt", "import ctk", "import slicer"):
            source.uses.setdefault(member, set()) if isForeign(member) else None
            return {f"type {member}"} if isForeign(member) else set()
        if owner.startswith("type "):
            source.use(owner[5:], member)
            return {f"method {owner[5:]} {member}"}
        if owner == "ui":
            return set(source.ui.widgets.get(member, ())) | source.known["attribute", "ui", member]
        if owner.startswith("name "):
            return {f"name {owner[5:]}.{member}"}
        if owner in source.classes:
            function = f"{owner}.{member}"
            isProperty = function in source.functions and source.functions[function].decorator_list
            got = set(source.known["return", function]) if isProperty else {f"name {function}"}
            return got | source.known["attribute", owner, member] | ({"ui"} if member in ("ui", "_ui") else set())
        if isForeign(owner):
            source.use(owner, member)
            return {f"method {owner} {member}", *returned(owner, member).split()}
        return set()

    def _typesOfCall(self, node) -> set[str]:
        function = self.typesOf(node.func)
        arguments = [self.typesOf(argument) for argument in node.args]
        keywords = {keyword.arg: self.typesOf(keyword.value) for keyword in node.keywords}
        found = set()
        for target in function:
            if target.startswith("type "):
                found.add(target[5:])
            elif target.startswith("method "):
                found |= self._callForeign(*target.split()[1:], node)
            elif target.startswith("name "):
                found |= self._callOwn(target[5:], arguments, keywords)
            elif target.startswith("import "):
                found |= set().union(*arguments) if target[7:] in PASSING else set()
        return found

    def _callForeign(self, owner: str, member: str, node) -> set[str]:
        if member in ("connect", "disconnect") and node.args and isinstance(node.args[0], ast.Constant):
            signal, _, types = str(node.args[0].value).rstrip(")").partition("(")
            self.source.use(owner, signal)
            arguments = [{kind.strip("* ")} if isForeign(kind.strip("* ")) else set() for kind in types.split(",")]
            for slot in self.typesOf(node.args[-1]):
                if slot.startswith("name "):
                    self._callOwn(slot[5:], arguments, {})
        return {owner} if member in OF_CONTAINERS else set(returned(owner, member).split())

    def _callOwn(self, name: str, arguments: list, keywords: dict) -> set[str]:
        source = self.source
        isClass = name in source.classes
        place = f"{name}.__init__" if isClass else name
        function = source.functions.get(place)
        if function is not None:
            names = [argument.arg for argument in function.args.args]
            names = names[1:] if names[:1] == ["self"] else names
            for parameter, types in [*zip(names, arguments), *keywords.items()]:
                source.known["parameter", place, parameter] |= types
        return {name} if isClass else set(source.known["return", name])


# Expressions that have the types of their parts.
HOLDING = (ast.Tuple, ast.List, ast.Dict, ast.Starred, ast.IfExp, ast.BoolOp, ast.Subscript, ast.NamedExpr)
# Built-in functions that give back what they were given, or hold it.
PASSING = ("zip", "enumerate", "list", "tuple", "set", "sorted", "reversed", "next", "iter", "dict", "getattr", "max", "min")


# What each member is in real Slicer


@cache
def qtClass(name: str):
    """PySide6's class of a name, or None."""
    modules = (importlib.import_module(f"PySide6.{module}") for module in QT_MODULES)
    return next((getattr(module, name) for module in modules if hasattr(module, name)), None)


@cache
def qtKinds(name: str) -> dict[str, str]:
    """Member -> kind of a class of Qt, from Qt's own description of it; what is not in there PythonQt wraps."""
    cls = qtClass(name)
    found = {member: "wrapped" for member in dir(cls) if not member.startswith("_")} if cls else {}
    found |= {member: "enum" for member in found if isinstance(getattr(cls, member), enum.Enum)}
    meta = getattr(cls, "staticMetaObject", None)
    if meta is None:
        return found
    for method in map(meta.method, range(meta.methodCount())):
        kind = {1: "signal", 2: "slot"}.get(method.methodType().value, "wrapped")
        found[bytes(method.name().data()).decode()] = kind
    found |= {meta.property(index).name(): "property" for index in range(meta.propertyCount())}
    return found | {"connect": "python", "disconnect": "python", "name": "property"}


def headerKinds(paths: list[Path]) -> dict[str, dict[str, str]]:
    """Class -> member -> kind, from C++ headers of CTK and Slicer."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for path in paths:
        text = re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(encoding="utf-8", errors="replace"), flags=re.S)
        for cls, body in re.findall(r"^class (?:\w+_EXPORT )?(\w+)\s*:[^{;]*\{(.*?)^\};", text, flags=re.S | re.M):
            found[cls] |= _kindsIn(body)
        for cls, name in re.findall(r"^\s*[\w:<>*& ]+?\b(?:static_)?(\w+?)_(\w+)\(", text, flags=re.M):
            found[cls].setdefault(name, "decorator")
        if path.name.endswith("Decorators.h"):
            for name, cls in re.findall(r"^\s*[\w:<>*& ]+?\b(\w+)\((\w+)\*", text, flags=re.M):
                found[cls].setdefault(name, "decorator")
    return found


# The line before the members of one kind in a C++ class.
SECTION = r"((?:public|protected|private)?\s*(?:slots|Q_SLOTS)|signals|Q_SIGNALS|public|protected|private)\s*:(?!:)"


def _kindsIn(body: str) -> dict[str, str]:
    """Member -> kind of one C++ class."""
    found = {}
    for enumerators in re.findall(r"enum\b[^{;]*\{(.*?)\}", body, flags=re.S):
        found |= dict.fromkeys(re.findall(r"(?:^|,)\s*(\w+)", enumerators), "enum")
    kind = ""
    for statement in re.split(r"[;{}]", re.sub(SECTION, r";\1:;", body)):
        function = re.search(r"(\w+)\s*\(", statement)
        if re.fullmatch(SECTION, statement.strip()):
            kind = "slot" if re.match(r"public\s+\w", statement.strip()) else "signal" if "signals" in statement.lower() else ""
        elif function and (kind or "Q_INVOKABLE" in statement):
            found.setdefault(function[1], kind or "invokable")
    return found | dict.fromkeys(re.findall(r"Q_PROPERTY\(\s*[\w:]+\*?\s+(\w+)", body), "property")


def kindOf(cls: str, member: str, foreign: dict) -> str:
    """What a member is; "" for what the class and those below it do not have."""
    if cls in ("slicer.util", "slicer.cli"):
        return "python"
    own = foreign.get(cls, {}).get(member) or (_qtKind(cls, member) if cls.startswith("Q") else "")
    inherited = (kindOf(base, member, foreign) for base in BASES.get(cls, ()))
    return own or next(filter(None, inherited), "")


def _qtKind(name: str, member: str) -> str:
    # PySide6 does not list enumerators by their short names.
    isEnumerator = isinstance(getattr(qtClass(name), member, None), enum.Enum)
    return "enum" if isEnumerator else qtKinds(name).get(member, "")


def kindBelow(name: str, member: str) -> str:
    """What a member is in a class of Qt that is derived from another one: a layout is a grid, an object a widget."""
    return next((qtKinds(one)[member] for one in below(name) if member in qtKinds(one)), "")


@cache
def below(name: str) -> tuple[str, ...]:
    """The classes of Qt that are derived from one."""
    cls = qtClass(name)
    return tuple(one for one in stubs() if cls and isinstance(qtClass(one), type) and issubclass(qtClass(one), cls))


def inventory(foreign: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Class -> member -> kind, for everything that the module uses.

    :param foreign: the same for classes of CTK and Slicer.
    """
    found = {}
    for cls, members in sorted(Source(MODULE).uses.items()):
        kinds = {name: kindOf(cls, name, foreign) or (kindBelow(cls, name) if cls.startswith("Q") else "") for name in members}
        found[cls] = {name: kind for name, kind in sorted(kinds.items()) if kind or not cls.startswith("Q")}
    return {cls: members for cls, members in found.items() if cls != "slicer.modules"}


def stored() -> dict[str, dict[str, str]]:
    """The file as it is."""
    return json.loads(DATA.read_text(encoding="utf-8")) if DATA.is_file() else {}


def main(arguments: list[str]) -> int:
    """Compare or write; returns the exit code."""
    foreign = {cls: dict(members) for cls, members in stored().items() if not cls.startswith("Q")}
    for cls, members in headerKinds([Path(path) for path in arguments if not path.startswith("-")]).items():
        foreign[cls] = foreign.get(cls, {}) | members
    made = inventory(foreign)
    if "--write" in arguments:
        DATA.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    unknown = [f"{cls}.{name}" for cls, members in made.items() for name, kind in members.items() if kind not in PLAIN]
    print(f"{len(made)} classes, {sum(map(len, made.values()))} members", "; unknown: " + ", ".join(unknown) if unknown else "")
    return int(made != stored() or bool(unknown))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
