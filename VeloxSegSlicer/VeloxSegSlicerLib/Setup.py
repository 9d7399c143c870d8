"""The AI engine on this computer: is it there, how is it started, how is it installed. No heavy imports."""

import importlib
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import slicer

from .Errors import VeloxSegError
from .Log import logger

READY = "ready"
MISSING = "missing"
DAMAGED = "damaged"
OLD_SLICER = "oldSlicer"

# slicer.packaging came with 5.12; its crash off the main thread was mended in 5.12.1.
OLDEST_SLICER = (5, 12, 1)
BEST_BACKEND = "auto"
CPU_BACKEND = "cpu"

TORCH_REQUIREMENT = ">=2.2"
HELPER_EXTENSION = "PyTorch"
# What the engine imports, by import name. Slicer brings numpy, scipy, SimpleITK and PIL, partly without metadata.
ENGINE_PACKAGES = ("torch", "numpy", "scipy", "SimpleITK", "PIL", "safetensors", "jsonschema", "tyro", "tqdm")
BUNDLED_PACKAGES = ("numpy", "scipy", "SimpleITK", "PIL")
# An interrupted install leaves the package folder without these files.
SIGNIFICANT_FILES = {"torch": ("__init__.py", "version.py")}


@dataclass(frozen=True)
class EngineState:
    """`status` (one of the above), the packages that are `missing` or `damaged`, and torch's version."""

    status: str
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    torchVersion: str = ""

    @property
    def error(self) -> VeloxSegError | None:
        """What to tell the person, None when ready."""
        if self.status == OLD_SLICER:
            return _oldSlicer()
        codes = {MISSING: "ENGINE_MISSING", DAMAGED: "ENGINE_DAMAGED"}
        return VeloxSegError(codes[self.status]) if self.status in codes else None


def probe(
    findSpec: Callable = importlib.util.find_spec, versionOf: Callable = importlib.metadata.version
) -> EngineState:
    """Look for the engine's packages without importing them.

    :param findSpec: as importlib.util.find_spec; replaced by tests.
    :param versionOf: as importlib.metadata.version; replaced by tests.
    """
    if slicerProblem() is not None:
        return EngineState(OLD_SLICER)
    missing, damaged = [], []
    for package in ENGINE_PACKAGES:
        spec = findSpec(package)
        if spec is None:
            missing.append(package)
        elif not _isWhole(package, spec) or not _hasMetadata(package, versionOf):
            damaged.append(package)
    status = DAMAGED if damaged else MISSING if missing else READY
    return EngineState(status, tuple(missing), tuple(damaged), versionOf("torch") if status == READY else "")


def slicerProblem() -> VeloxSegError | None:
    """SLICER_OLD when this Slicer is older than VeloxSeg needs, else None."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", str(slicer.app.applicationVersion))[:3])
    return None if numbers >= OLDEST_SLICER else _oldSlicer()


def pythonProgram() -> str:
    """The Python that runs the engine: PythonSlicer beside Slicer or on the path, else this interpreter."""
    beside = (
        Path(str(slicer.app.slicerHome))
        / "bin"
        / ("PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer")
    )
    # The path comes second: on Windows it begins with the working folder.
    return str(beside) if beside.is_file() else shutil.which("PythonSlicer") or sys.executable


def install(requirementsFile: Path, backend: str = BEST_BACKEND) -> None:
    """Install torch and the other packages, with Slicer's own progress dialog; only after a click.

    :param backend: BEST_BACKEND for what fits the graphics card, or CPU_BACKEND.
    :raises VeloxSegError: ENGINE_HELPER or INSTALL_FAILED. Declining a question of Slicer is no error.
    """
    try:
        _installTorch(backend)
        _installOthers(requirementsFile)
    except subprocess.CalledProcessError as error:
        logger.exception("the install failed")
        raise VeloxSegError("INSTALL_FAILED") from error
    finally:
        importlib.invalidate_caches()


def repair() -> None:
    """Remove a damaged torch; after a restart it can be installed again.

    :raises VeloxSegError: ENGINE_HELPER.
    """
    _torchLogic().uninstallTorch()
    importlib.invalidate_caches()


def isHelperInstalled() -> bool:
    """Whether the PyTorch helper extension is there."""
    return importlib.util.find_spec("PyTorchUtils") is not None


def installHelper() -> None:
    """Install the PyTorch helper extension; Slicer restarts when it is done.

    :raises VeloxSegError: ENGINE_HELPER when this Slicer cannot install extensions.
    """
    if not hasattr(slicer.app, "extensionsManagerModel"):
        raise VeloxSegError("ENGINE_HELPER")
    if not slicer.app.extensionsManagerModel().installExtensionFromServer(HELPER_EXTENSION, True):
        raise VeloxSegError("ENGINE_HELPER")


def _oldSlicer() -> VeloxSegError:
    needed = ".".join(map(str, OLDEST_SLICER))
    return VeloxSegError("SLICER_OLD", found=slicer.app.applicationVersion, needed=needed)


def _installTorch(backend: str) -> None:
    logic = _torchLogic()
    try:
        logic.installTorch(
            askConfirmation=False,
            forceComputationBackend=None if backend == BEST_BACKEND else backend,
            torchVersionRequirement=TORCH_REQUIREMENT,
        )
    except RuntimeError as error:
        # The helper raises this when the person declines.
        logger.info("torch was not installed: %s", error)


def _installOthers(requirementsFile: Path) -> None:
    import slicer.packaging

    requirements = slicer.packaging.load_requirements(requirementsFile)
    try:
        slicer.packaging.pip_ensure(
            requirements, requester="VeloxSeg", prompt_install=False, prompt_restart=False
        )
    except RuntimeError as error:
        logger.info("packages were not installed: %s", error)


def _torchLogic():
    try:
        import PyTorchUtils
    except ImportError as error:
        raise VeloxSegError("ENGINE_HELPER") from error
    return PyTorchUtils.PyTorchUtilsLogic()


def _isWhole(package: str, spec) -> bool:
    if spec.origin is None:
        return False
    folder = Path(spec.origin).parent
    return all((folder / name).is_file() for name in SIGNIFICANT_FILES.get(package, ()))


def _hasMetadata(package: str, versionOf: Callable) -> bool:
    if package in BUNDLED_PACKAGES:
        return True
    try:
        return bool(versionOf(package))
    except importlib.metadata.PackageNotFoundError:
        return False
