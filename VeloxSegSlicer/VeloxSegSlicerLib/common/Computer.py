"""What this computer has: free memory, free disk, graphics card. Nothing is imported for it and nothing installed."""

import ctypes
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .Log import logger

GIGABYTE = 1e9
CARD_TIMEOUT_SECONDS = 5
CARD_QUERY = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")


@dataclass(frozen=True)
class GraphicsCard:
    """`name` and `driver` version, as the driver's own tool tells them."""

    name: str
    driver: str


def graphicsCard() -> GraphicsCard | None:
    """The first NVIDIA card, None when there is none or its driver does not answer."""
    program = shutil.which(CARD_QUERY[0])
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, *CARD_QUERY[1:]], capture_output=True, text=True, timeout=CARD_TIMEOUT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.info("nvidia-smi gave no answer: %s", error)
        return None
    return cardFrom(answer.stdout)


def cardFrom(answer: str) -> GraphicsCard | None:
    """The card of the first line "name, driver"."""
    name, comma, driver = (answer.splitlines() or [""])[0].rpartition(",")
    return GraphicsCard(name.strip(), driver.strip()) if comma else None


def freeMemory() -> int | None:
    """Bytes that programs can still use, None where the system does not tell."""
    if sys.platform == "linux":
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return _freeWindowsMemory()
    return None


def freeDisk(folder) -> int:
    """Bytes free on the drive of a folder."""
    return shutil.disk_usage(folder).free


def sizeOf(folder: Path) -> int:
    """Bytes of a file, or of all files of a folder; what disappears meanwhile counts nothing."""
    total = 0
    for path in (Path(folder), *Path(folder).rglob("*")):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            logger.debug("a file cannot be looked at")
    return total


def _freeWindowsMemory() -> int | None:
    class MemoryStatus(ctypes.Structure):
        # MEMORYSTATUSEX of the Windows API
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "page", "freePage", "virtual", "freeVirtual", "more")),
        ]

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    return status.free if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else None
