"""What ships and how it is written: CMake lists, the .ui file, imports, texts, encoding."""

import ast
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "VeloxSegSlicer"
LIB = sorted((MODULE / "VeloxSegSlicerLib").rglob("*.py"))
SLICER_FACING = [MODULE / "VeloxSegSlicer.py", *LIB]
UI_FILES = sorted((MODULE / "Resources" / "UI").glob("*.ui"))
UIS = [ElementTree.parse(path).getroot() for path in UI_FILES]
# Not shipped: the list itself and what Python leaves behind when it runs.
NOT_SHIPPED = re.compile(r"^CMakeLists\.txt$|(^|/)__pycache__/")
ALLOWED_AT_FILE_SCOPE = {"slicer", "vtk", "qt", "ctk", "numpy", "scipy", "VeloxSegSlicerLib"}
CONTRACT = MODULE / "veloxseg" / "contract"
"""The one room of the engine that the panel reads, too: it needs numpy alone, which every Slicer has."""
INTERACTIVE = {
    "QPushButton",
    "QComboBox",
    "QSpinBox",
    "QCheckBox",
    "QTableWidget",
    "QPlainTextEdit",
    "QProgressBar",
    "qMRMLNodeComboBox",
    "qMRMLSegmentationShow3DButton",
    "QDoubleSpinBox",
    "QListWidget",
    "QTabWidget",
    "QTextBrowser",
    "ctkSliderWidget",
}


def listed(cmakeFile: Path, name: str) -> list[str]:
    """The files below the CMake file's folder that file(GLOB_RECURSE name ...) finds there."""
    text = re.sub(r"#.*", "", cmakeFile.read_text(encoding="utf-8"))
    (patterns,) = re.findall(rf"file\(GLOB_RECURSE {name} RELATIVE \S+ CONFIGURE_DEPENDS\s([^)]*)\)", text)
    files = [path.relative_to(cmakeFile.parent).as_posix() for path in cmakeFile.parent.rglob("*") if path.is_file()]
    # CMake looks for the last part of a pattern in every folder below the first ones
    places = [pattern.rpartition("/") for pattern in patterns.split()]
    return [
        name
        for name in files
        if any(name.startswith(folder + slash) and PurePosixPath(name).match(last) for folder, slash, last in places)
    ]


def widgets():
    return [widget for ui in UIS for widget in ui.iter("widget")]


def text(widget, name: str) -> str:
    found = widget.find(f"property[@name='{name}']")
    return "" if found is None else "".join(found.itertext()).strip()


def test_cmakePatternsFindWhatIsShipped():
    cmakeFile = MODULE / "CMakeLists.txt"
    names = listed(cmakeFile, "MODULE_PYTHON_SCRIPTS") + listed(cmakeFile, "MODULE_PYTHON_RESOURCES")
    onDisk = {path.relative_to(MODULE).as_posix() for path in MODULE.rglob("*") if path.is_file()}
    shipped = {name for name in onDisk if not NOT_SHIPPED.search(name)}
    assert len(names) == len(set(names)), "a file is listed twice"
    assert {name for name in names if not NOT_SHIPPED.search(name)} == shipped


def test_scriptsAreScriptsAndResourcesAreNot():
    assert all(name.endswith(".py") for name in listed(MODULE / "CMakeLists.txt", "MODULE_PYTHON_SCRIPTS"))
    assert not any(name.endswith(".py") for name in listed(MODULE / "CMakeLists.txt", "MODULE_PYTHON_RESOURCES"))


def test_everySlicerTestIsRegistered():
    cmake = (ROOT / "Testing" / "Python" / "CMakeLists.txt").read_text(encoding="utf-8")
    registered = set(re.findall(r"VeloxSegSlicer\w+Test\.py", cmake))
    assert registered == {path.name for path in (ROOT / "Testing" / "Python").glob("*Test.py")}


def test_extensionMetadata():
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "project(VeloxSegSlicer)" in cmake
    for name in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS"):
        assert re.search(rf'set\(EXTENSION_{name} "[^"\n]+"\)', cmake), name
    assert 'set(EXTENSION_DEPENDS "PyTorch")' in cmake


def test_icon():
    import qt

    icon = qt.QImage(str(ROOT / "VeloxSegSlicer.png"))
    assert (icon.width(), icon.height()) == (128, 128)
    colors = {icon.pixel(x, y) for x in range(0, 128, 8) for y in range(0, 128, 8)}
    assert len(colors) > 10


def textFiles():
    folders = [
        MODULE / "VeloxSegSlicerLib",
        MODULE / "Resources" / "UI",
        MODULE / "Resources" / "Icons",
        ROOT / "Testing" / "Python",
        ROOT / "Testing" / "host",
    ]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".ui", ".svg", ".txt")]
    return [*files, MODULE / "VeloxSegSlicer.py", MODULE / "CMakeLists.txt", ROOT / "CMakeLists.txt"]


def test_asciiAndLineFeeds():
    for path in textFiles():
        content = path.read_bytes()
        assert content.isascii(), path
        assert b"\r" not in content, path
        assert content.endswith(b"\n") and not content.endswith(b"\n\n"), path


def test_noPathOfAMachine():
    for path in [*SLICER_FACING, *UI_FILES]:
        assert not re.search(r"/(home|work|tmp|root)/|[A-Z]:\\\\", path.read_text(encoding="utf-8")), path


def test_importsAtFileScope():
    for path in SLICER_FACING:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom) and node.level == 0
                else []
            )
            for name in names:
                top = name.split(".")[0]
                if name == "veloxseg.contract" or name.startswith("veloxseg.contract."):
                    continue
                assert top in ALLOWED_AT_FILE_SCOPE or top in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_neverImportsEngineOrTorch():
    for path in SLICER_FACING:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not {name.split(".")[0] for name in names} & {
                "torch",
                "monai",
                "psutil",
                "SimpleITK",
            }, path


def test_contractNeedsNothingButNumpy():
    names = ", ".join(f"veloxseg.contract.{path.stem}" for path in sorted(CONTRACT.glob("*.py")) if path.stem != "__init__")
    code = (
        f"import sys; sys.path.insert(0, {str(MODULE)!r}); import {names};"
        " sys.exit(bool({'torch', 'SimpleITK', 'scipy', 'jsonschema'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True)


SHOWN_ATTRIBUTES = {"text", "toolTip", "accessibleName", "noneDisplay", "title"}
TRANSLATED = {"_", "translate"}


def test_shownTextsAreTranslated():
    """No literal text is assigned to a shown attribute; placeholders are filled after _()."""
    for path in SLICER_FACING:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
                isShown = node.targets[0].attr in SHOWN_ATTRIBUTES
                assert not (
                    isShown and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) and node.value.value
                ), f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TRANSLATED:
                assert all(isinstance(argument, ast.Constant) for argument in node.args), f"{path.name}:{node.lineno}"


def test_publicThingsAreDocumented():
    for path in SLICER_FACING:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_parameterNames():
    from VeloxSegSlicerLib.common.Parameters import VeloxSegParameters

    names = [text(widget, "SlicerParameterName") for widget in widgets() if text(widget, "SlicerParameterName")]
    assert len(names) == len(set(names)) > 0
    assert set(names) <= set(VeloxSegParameters.__annotations__)


def test_everyControlHasTooltipAndName():
    for widget in widgets():
        if widget.get("class") in INTERACTIVE:
            assert text(widget, "toolTip"), widget.get("name")
            assert text(widget, "accessibleName"), widget.get("name")


def test_everyFieldLabelHasABuddyAndALetterOfItsOwn():
    names = {widget.get("name") for widget in widgets()}
    parts = [ui.find("widget") for path, ui in zip(UI_FILES, UIS, strict=True) if path.stem != "VeloxSegSlicer"]
    for section in [*(widget for widget in widgets() if widget.get("class") == "ctkCollapsibleButton"), *parts]:
        letters = []
        for widget in section.iter("widget"):
            if widget.get("class") == "QLabel" and text(widget, "text").endswith(":"):
                assert text(widget, "buddy") in names, widget.get("name")
                letters.append(text(widget, "text").split("&")[1][0].lower())
        assert len(letters) == len(set(letters)), section.get("name")


def test_noStyleSheetsNoFixedSizes():
    for widget in widgets():
        for name in ("styleSheet", "minimumSize", "maximumSize", "minimumWidth", "maximumHeight"):
            assert widget.find(f"property[@name='{name}']") is None, widget.get("name")
    for path in SLICER_FACING:
        assert "setStyleSheet" not in path.read_text(encoding="utf-8"), path


def test_sentencesOfTheUiFileAreAscii():
    for element in (string for ui in UIS for string in ui.iter("string")):
        assert (element.text or "").isascii()


def test_temporaryFoldersAreMadeAtOnePlace():
    """Else Clear would not know them."""
    makers = [path.name for path in SLICER_FACING if re.search(r"\bmk[ds]temp\(|TemporaryDirectory|NamedTemp", path.read_text())]
    assert makers == ["Temporary.py"]


def test_logIsWrittenThroughTheRedaction():
    writers = [path.name for path in SLICER_FACING if re.search(r"\blogging\.|\bprint\(", path.read_text())]
    assert writers == ["Log.py"]


MAKERS = ("PlainText.toolTip(", "CardView.", "Details.html(", "self._html(", "html(")


def test_wordsOfOthersAreNeverHtml():
    """Labels are made by PlainText, and so is every tooltip that is not one of our own sentences; HTML is made by two files."""
    for path in SLICER_FACING:
        source = path.read_text(encoding="utf-8")
        if path.name != "PlainText.py":
            assert not re.search(r"\bqt\.QLabel\(|\bloadUI\(", source), path.name
        for node in ast.walk(ast.parse(source)):
            for value in _shownAsHtml(node):
                isMade = ast.unparse(value).startswith(MAKERS)
                assert isMade or _isOwnSentence(value), f"{path.name}:{value.lineno} {ast.unparse(value)}"


def _isOwnSentence(value):
    """Whether nothing but translated texts is in an expression."""
    calls = [part for part in ast.walk(value) if isinstance(part, ast.Call)]
    return bool(calls) and all(isinstance(call.func, ast.Name) and call.func.id == "_" for call in calls)


def _shownAsHtml(node):
    """What a statement gives to a tooltip, a message box or a browser."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute) and node.targets[0].attr == "toolTip":
        yield node.value
    boxes = {"setToolTip", "setHtml", "setWhatsThis", "errorDisplay", "warningDisplay", "infoDisplay", "confirmOkCancelDisplay",
             "confirmYesNoDisplay", "messageBox", "setInformativeText"}  # fmt: skip
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in boxes:
        yield node.args[0]
