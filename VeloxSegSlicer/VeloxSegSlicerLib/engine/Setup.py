"""The AI engine on this computer: is it there, how is it started, how is it installed. No heavy imports."""

import importlib
import importlib.metadata
import importlib.util
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from veloxseg.contract import requirements

from ..common.Errors import VeloxSegError
from ..common.Log import logger
from . import PipFailure

READY = "ready"
MISSING = "missing"
DAMAGED = "damaged"
OLD = "old"
OLD_SLICER = "oldSlicer"

# slicer.packaging came with 5.12; its crash off the main thread was mended in 5.12.1.
OLDEST_SLICER = (5, 12, 1)
BEST_BACKEND = "auto"
CPU_BACKEND = "cpu"

HELPER_EXTENSION = "PyTorch"
TORCH = "torch"
# Slicer brings these, partly without metadata.
BUNDLED_PACKAGES = ("numpy", "scipy", "SimpleITK", "pillow", "packaging")
IMPORT_NAMES = {"pillow": "PIL"}
# An interrupted install leaves the package folder without these files.
SIGNIFICANT_FILES = {"torch": ("__init__.py", "version.py")}


@dataclass(frozen=True)
class EngineState:
    """`status` (one of the above), the packages that are `missing`, `damaged` or too old, and torch's version."""

    status: str
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    torchVersion: str = ""
    old: dict[str, str] = field(default_factory=dict)
    """Name -> version of what is too old."""

    @property
    def error(self) -> VeloxSegError | None:
        """What to tell the person, None when ready."""
        if self.status == OLD_SLICER:
            return _oldSlicer()
        if self.status == OLD:
            return VeloxSegError("ENGINE_OLD", packages=self.oldPackages)
        codes = {MISSING: "ENGINE_MISSING", DAMAGED: "ENGINE_DAMAGED"}
        return VeloxSegError(codes[self.status]) if self.status in codes else None

    @property
    def oldPackages(self) -> str:
        """What is too old, and the oldest release that would do: "torch 2.3.1 (2.4 or newer)"."""
        oldest = {one.name: str(one.specifier).removeprefix(">=") for one in requirements.engine()}
        text = _("{package} {version} ({oldest} or newer)")
        return ", ".join(text.format(package=name, version=version, oldest=oldest[name]) for name, version in self.old.items())

    @property
    def mustRemoveTorch(self) -> bool:
        """Whether an install must begin by taking away the torch that is there."""
        return self.status == DAMAGED or self.status == READY or TORCH in self.old


def probe(findSpec: Callable = importlib.util.find_spec, versionOf: Callable = importlib.metadata.version) -> EngineState:
    """Look for the engine's packages without importing them.

    :param findSpec: as importlib.util.find_spec; replaced by tests.
    :param versionOf: as importlib.metadata.version; replaced by tests.
    """
    if slicerProblem() is not None:
        return EngineState(OLD_SLICER)
    missing, damaged, old = [], [], {}
    for requirement in requirements.engine():
        name = requirement.name
        spec = findSpec(IMPORT_NAMES.get(name, name))
        if spec is None:
            missing.append(name)
            continue
        version = _version(name, versionOf)
        if not _isWhole(name, spec) or not (version or name in BUNDLED_PACKAGES):
            damaged.append(name)
        elif version and not requirement.specifier.contains(version, prereleases=True):
            old[name] = version
    status = DAMAGED if damaged else MISSING if missing else OLD if old else READY
    return EngineState(status, tuple(missing), tuple(damaged), _version(TORCH, versionOf) if status == READY else "", old)


def companions() -> list:
    """Those of the requirements that an install adds besides torch."""
    return [one for one in requirements.engine() if one.name not in (TORCH, *BUNDLED_PACKAGES)]


def slicerProblem() -> VeloxSegError | None:
    """SLICER_OLD when this Slicer is older than VeloxSeg needs, else None."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", str(slicer.app.applicationVersion))[:3])
    return None if numbers >= OLDEST_SLICER else _oldSlicer()


def pythonProgram() -> str:
    """The Python that runs the engine: PythonSlicer beside Slicer or on the path, else this interpreter."""
    beside = Path(str(slicer.app.slicerHome)) / "bin" / ("PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer")
    # The path comes second: on Windows it begins with the working folder.
    return str(beside) if beside.is_file() else shutil.which("PythonSlicer") or sys.executable


def install(engine: EngineState, backend: str = BEST_BACKEND) -> None:
    """Install torch and the other packages, with Slicer's own progress dialog; only after a click.

    :param engine: what is there; of the packages that Slicer brought, only those that are too old now are replaced.
    :param backend: BEST_BACKEND for what fits the graphics card, or CPU_BACKEND.
    :raises VeloxSegError: ENGINE_HELPER or a code of PipFailure. Declining a question of Slicer is no error.
    """
    with PipFailure.typedErrors():
        try:
            _installTorch(backend)
            replaced = [one for one in requirements.engine() if one.name in BUNDLED_PACKAGES and one.name in engine.old]
            _installOthers([*companions(), *replaced])
        except RuntimeError as error:
            # So do Slicer and the helper tell that the person declines.
            if "declin" not in str(error):
                raise
            logger.info("nothing was installed: %s", error)
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
    wanted = next(one for one in requirements.engine() if one.name == TORCH)
    _torchLogic().installTorch(
        askConfirmation=False,
        forceComputationBackend=None if backend == BEST_BACKEND else backend,
        torchVersionRequirement=str(wanted.specifier),
    )


def _installOthers(wanted: list) -> None:
    import slicer.packaging

    slicer.packaging.pip_ensure(wanted, requester="VeloxSeg", prompt_install=False, prompt_restart=False)


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


def _version(package: str, versionOf: Callable) -> str:
    """What the package's metadata say, "" without them."""
    try:
        return versionOf(package) or ""
    except importlib.metadata.PackageNotFoundError:
        return ""
