"""Compares the host with Slicer's own pure-Python layers. An occasional check by hand, not part of CI.

    SLICER_SOURCE=<a checkout of Slicer> python oracle.py [pytest arguments]

Slicer's i18n, ScriptedLoadableModule and parameterNodeWrapper are loaded from the checkout in place of the host's
stand-ins; then the host's own tests of these layers and Slicer's unit tests that need nothing but them are run. Tests
that use widgets without a stand-in fail; look at those and at nothing else. The checkout stays outside of this
repository: none of its files may be copied into it.
"""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

import slicerhost

_HERE = Path(__file__).resolve().parent
_SLICER_TESTS = (
    "test_slicer_parameter_node_wrapper.py",
    "test_slicer_parameter_pack.py",
    "test_slicer_parameter_node_wrapper_guis.py",
    "test_slicer_parameter_node_wrapper_gui_creation.py",
    "test_slicer_util_VTKObservationMixin.py",
    "test_slicer_util_chdir.py",
    "test_slicer_util_childWidgetVariables.py",
    "test_slicer_util_getNodes.py",
    "test_slicer_util_without_modules.py",
)
_LAYERS = ("i18n", "ScriptedLoadableModule", "parameterNodeWrapper")
# What Slicer's layers mention while they are imported, although no test of ours uses it.
_NAMES_ONLY = {
    "ctk": (
        "ctkRangeWidget",
        "ctkDoubleRangeSlider",
        "ctkDoubleSlider",
        "ctkCheckablePushButton",
        "ctkDirectoryButton",
        "ctkColorPickerButton",
    ),
    "slicer": (
        "qMRMLSliderWidget",
        "qMRMLSpinBox",
        "qMRMLRangeWidget",
        "qMRMLCheckableNodeComboBox",
        "qMRMLSubjectHierarchyComboBox",
        "qMRMLSubjectHierarchyTreeView",
    ),
}


def _useSlicersLayers(pythonFolder):
    import qt
    import slicer

    for moduleName, classNames in _NAMES_ONLY.items():
        for name in classNames:
            if not hasattr(sys.modules[moduleName], name):
                setattr(sys.modules[moduleName], name, type(name, (qt.QWidget,), {}))
    for name in _LAYERS:
        for known in [key for key in sys.modules if key == f"slicer.{name}" or key.startswith(f"slicer.{name}.")]:
            del sys.modules[known]
        file = pythonFolder / "slicer" / f"{name}.py"
        folder = pythonFolder / "slicer" / name
        spec = importlib.util.spec_from_file_location(
            f"slicer.{name}",
            folder / "__init__.py" if folder.is_dir() else file,
            submodule_search_locations=[str(folder)] if folder.is_dir() else None,
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[f"slicer.{name}"] = module
        spec.loader.exec_module(module)
        setattr(slicer, name, module)


def main(arguments):
    pythonFolder = Path(os.environ["SLICER_SOURCE"]).resolve() / "Base" / "Python"
    slicerhost.start()
    _useSlicersLayers(pythonFolder)
    common = ["-p", "no:cacheprovider", "-q", *arguments]
    # Slicer's developer section makes a menu in a way that only PythonQt takes; Slicer knows more types than the host.
    own = pytest.main(
        [
            *common,
            "-k",
            "not developerSection and not unknownTypeIsAnError",
            str(_HERE / "test_slicerhost.py"),
        ]
    )
    tests = pythonFolder / "slicer" / "tests"
    theirs = pytest.main(
        [
            *common,
            "-c",
            os.devnull,
            "--rootdir",
            str(tests),
            "--confcutdir",
            str(tests),
            *[str(tests / name) for name in _SLICER_TESTS],
        ]
    )
    return int(own) or int(theirs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
