"""Choosing where to compute."""

from dataclasses import dataclass

import torch

from veloxseg.errors import VeloxSegError

MEMORY_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
)


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

    Raises REQUEST when the wanted device does not exist here or the name is unknown.
    """
    if wanted == "auto":
        return _describe(_best())
    kind, _, number = wanted.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise VeloxSegError("REQUEST", reason=f"{wanted!r} is no device (auto, cpu, cuda, cuda:N or mps)")
    if not _available(kind, int(number or 0)):
        raise VeloxSegError("REQUEST", reason=f"the device {wanted} is not available on this computer")
    return _describe(torch.device(wanted))


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


def is_memory_error(error: BaseException) -> bool:
    """Whether an exception means that memory ran out: torch, SimpleITK and numpy each say it in their own
    way."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in message for phrase in MEMORY_PHRASES)
