"""Choosing where to compute, and what can go wrong there."""

import ctypes
import gc
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from veloxseg.contract import errors, requirements
from veloxseg.contract.errors import VeloxSegError

LOST_PHRASES = ("cuda error", "cuda driver error", "cublas_status", "cudnn_status", "device-side assert", "gpu is lost")


@dataclass(frozen=True)
class Device:
    """A torch device and the name a person knows it by."""

    torch_device: torch.device
    name: str

    @property
    def is_cpu(self) -> bool:
        return self.torch_device.type == "cpu"


def choose(wanted: str = "auto") -> Device:
    """`auto` takes the first of CUDA, Apple's MPS and the CPU; other names are `cpu`, `cuda`, `cuda:N`,
    `mps`.

    Raises REQUEST when the wanted device does not exist here or the name is unknown, DRIVER_OLD when a driver keeps it away,
    ENGINE_OLD when torch or another package is too old.
    """
    requirements.check_engine()
    if wanted == "auto":
        return _describe(_best())
    kind, _, number = wanted.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise VeloxSegError("REQUEST", reason=f"{wanted!r} is no device (auto, cpu, cuda, cuda:N or mps)")
    if not _available(kind, int(number or 0)):
        raise driver_problem() or VeloxSegError("REQUEST", reason=f"the device {wanted} is not available on this computer")
    return _describe(torch.device(wanted))


def available() -> list[Device]:
    """Every device of this computer, the CPU last."""
    cards = [torch.device("cuda", number) for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    cards += [torch.device("mps")] if _available("mps", 0) else []
    return [_describe(device) for device in (*cards, torch.device("cpu"))]


def why_cpu() -> str:
    """A sentence: why `auto` takes the CPU on this computer."""
    problem = driver_problem()
    if problem is not None:
        return problem.text
    if torch.version.cuda is None and not torch.backends.mps.is_built():
        return "The installed engine was built for the CPU only."
    return "No graphics card was found that this engine can use."


def _best() -> torch.device:
    for kind in ("cuda", "mps"):
        if _available(kind, 0):
            return torch.device(kind)
    return torch.device("cpu")


def _available(kind: str, number: int) -> bool:
    if kind == "cuda":
        return torch.cuda.is_available() and number < torch.cuda.device_count()
    if kind == "mps":
        return torch.backends.mps.is_available() and number == 0
    return number == 0


def _describe(device: torch.device) -> Device:
    if device.type == "cuda":
        return Device(device, torch.cuda.get_device_name(device))
    if device.type == "mps":
        return Device(device, "Apple GPU")
    threads = torch.get_num_threads()
    return Device(device, f"CPU ({threads} thread{'s' if threads > 1 else ''})")


def free_bytes(device: torch.device) -> int | None:
    """Memory that nobody uses, of the GPU or of the computer; None where it is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "cpu":
        return _free_main_memory()
    return None


def _free_main_memory() -> int | None:
    if sys.platform == "linux":
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable:")), None)
    if sys.platform == "win32":
        return _free_windows_memory()
    return None


def _free_windows_memory() -> int | None:
    class MemoryStatus(ctypes.Structure):
        # MEMORYSTATUSEX of the Windows API
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "page", "page_free", "virtual", "virtual_free", "more")),
        ]

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    return status.free if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else None


def check_main_memory(needed: int) -> None:
    """Raises MEMORY_CPU when `needed` bytes are surely too many. An operating system that promises more memory than there is
    would otherwise end the process in the middle."""
    free = _free_main_memory()
    if free is not None and needed > free:
        detail = f"at least {needed / 2**30:.1f} GiB are needed and {free / 2**30:.1f} GiB are free"
        raise VeloxSegError("MEMORY_CPU", detail=detail)


def free_unused() -> None:
    """Give back what torch holds of the GPU without using it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def driver_problem() -> VeloxSegError | None:
    """DRIVER_OLD when there is an NVIDIA card that only its driver keeps this torch from using."""
    if torch.version.cuda is None or torch.cuda.is_available():
        return None
    try:
        torch.cuda.init()
    except RuntimeError as error:
        found = re.search(r"driver on your system is too old \(found version (\d+)\)", str(error))
        if found:
            return VeloxSegError("DRIVER_OLD", found=_cuda_version(int(found[1])), needed=torch.version.cuda)
    return None


def _cuda_version(number: int) -> str:
    """11040 is 11.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def is_device_lost(error: BaseException) -> bool:
    """Whether an exception means that the GPU does not answer any more. Exhausted memory is not meant."""
    message = str(error).lower()
    return (
        isinstance(error, RuntimeError)
        and any(phrase in message for phrase in LOST_PHRASES)
        and not errors.is_memory_error(error)
    )
