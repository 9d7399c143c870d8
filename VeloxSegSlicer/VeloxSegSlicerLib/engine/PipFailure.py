"""Why an install failed, by what pip itself wrote: no sentence of ours is true for all causes."""

import contextlib
import os
import platform
import re
import subprocess
from collections.abc import Iterator

from slicer.i18n import tr as _

from ..common import Temporary
from ..common.Errors import VeloxSegError
from ..common.Log import logger

# pip and what is built around it write all they say to this file, too.
LOG_VARIABLE = "PIP_LOG"
# Code -> what pip says then, from its first error on. The first that is found counts.
CAUSES = {
    "INSTALL_DISK": r"\[Errno (28|122|27)\]|\[WinError (39|112)\]|No space left on device|Disk quota exceeded|File too large",
    "INSTALL_IN_USE": r"\[WinError (32|33)\]|being used by another process",
    "INSTALL_PERMISSION": r"\[Errno (1|13|30)\]|\[WinError 5\]|Permission denied|externally-managed-environment",
    "INSTALL_CONFLICT": r"conflicting dependencies",
    "INSTALL_DOWNLOAD": r"DO NOT MATCH THE HASHES|Wheel '.*is invalid|BadZipFile|not a zip file|Bad CRC|IncompleteRead",
    "INSTALL_CERTIFICATE": r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
    "INSTALL_NETWORK": r"Could not fetch URL|Max retries exceeded|ProxyError|NewConnectionError|name resolution|timed out",
    "INSTALL_NO_WHEEL": r"No matching distribution found|not a supported wheel|requires a different Python",
}


@contextlib.contextmanager
def typedErrors() -> Iterator[None]:
    """What goes wrong while packages are installed, as VeloxSegError with pip's own words as `detail`.

    :raises VeloxSegError: a code of CAUSES, or INSTALL_FAILED.
    """
    said = ""
    try:
        folder = Temporary.newFolder(Temporary.INSTALL)
        log = folder / "pip.log"
        with _environment(LOG_VARIABLE, str(log)):
            try:
                yield
            finally:
                said = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
                Temporary.remove(folder)
    except (subprocess.SubprocessError, OSError, ImportError, RuntimeError) as error:
        logger.exception("the install failed")
        raise errorOf(f"{said}\nERROR: {error}") from error


def errorOf(log: str) -> VeloxSegError:
    """The error for what pip wrote."""
    text = re.sub(r"(?m)^[\d-]+T[\d:,]+ ?", "", log)
    said = text[text.find("ERROR: ") :]
    code = next((code for code, pattern in CAUSES.items() if re.search(pattern, said)), "INSTALL_FAILED")
    if code == "INSTALL_NO_WHEEL" and "from versions: none" in said:
        # Without an answer from a server pip knows no version of anything; its warnings come before.
        answers = ("INSTALL_CERTIFICATE", "INSTALL_NETWORK", code)
        code = next(answer for answer in answers if re.search(CAUSES[answer], text))
    package = re.search(r"ERROR: (?:No matching distribution found for |Package ')([\w.-]+)", said)
    error = VeloxSegError(
        code,
        package=package[1] if package else _("a package of the engine"),
        python=platform.python_version(),
        system=platform.system(),
        machine=platform.machine(),
    )
    error.detail = "\n".join(line for line in said.splitlines() if line.startswith(("ERROR:", "WARNING:")))
    return error


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """A variable that child processes see for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
