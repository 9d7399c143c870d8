"""What is tried, one after the other, when memory runs out.

A rung is a device and a way to use it. The first one is the fastest; each further one needs less memory and says so in a
note, because it takes longer or computes with other numbers.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from veloxseg.contract import errors
from veloxseg.inference import devices

Network = Callable[[torch.Tensor], torch.Tensor]
Found = TypeVar("Found")


class OneWindow:
    """A network on a device for windows in main memory: one at a time goes there, and its logits come back at once.

    So the device holds the network and one window, whatever the size of the image.
    """

    def __init__(self, network: Network, device: torch.device, half: bool = False) -> None:
        """half: compute in half precision."""
        self.relative = getattr(network, "relative", False)
        self._network, self._device, self._half = network, device, half
        self._lock = threading.Lock()

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        kind = self._device.type
        number = torch.bfloat16 if kind == "cpu" else torch.float16
        with self._lock, torch.autocast(kind, dtype=number, enabled=self._half):
            answers = [self._network(window[None].to(self._device)).float().cpu() for window in windows]
        return torch.cat(answers)


@dataclass(frozen=True)
class Rung:
    """`device` is the one that computes. With `spare` windows are collected in main memory, see `OneWindow`."""

    device: devices.Device
    spare: bool = False
    half: bool = False
    code: str = ""
    """Of the note, "" for the first rung."""
    short: str = ""
    """Name of the device whose memory was short."""

    @property
    def collecting_device(self) -> torch.device:
        """Where windows are cut out and added up."""
        return torch.device("cpu") if self.spare else self.device.torch_device

    def network(self, network: Network) -> Network:
        """The network as this rung uses it."""
        return OneWindow(network, self.device.torch_device, self.half) if self.spare else network


def rungs(device: devices.Device, wanted: str, windows: bool = True) -> list[Rung]:
    """The rungs for a device that `devices.choose(wanted)` gave; a device that a person chose is never replaced.

    windows: whether the network works on windows, so that there is something to save.
    """
    ladder = [Rung(device)]
    if device.is_cpu:
        return ladder
    if windows:
        ladder.append(Rung(device, True, False, "RETRY_ONE_WINDOW", device.name))
        if device.torch_device.type != "mps":
            ladder.append(Rung(device, True, True, "RETRY_HALF", device.name))
    if wanted == "auto":
        ladder.append(Rung(devices.choose("cpu"), code="RETRY_CPU", short=device.name))
    return ladder


def climb(ladder: list[Rung], compute: Callable[[Rung], Found], hear: errors.Hear) -> tuple[Found, Rung]:
    """What `compute` gives on the first rung whose memory is enough, and that rung.

    hear: gets the note of every rung that has one, before it is tried. The last rung's failure is raised as it is.
    """
    *others, last = ladder
    for rung in others:
        try:
            return _try(rung, compute, hear), rung
        except (MemoryError, RuntimeError) as error:
            if not errors.is_memory_error(error):
                raise
        # Outside of the handler: the failure holds on to what its frames had allocated.
        devices.free_unused()
    return _try(last, compute, hear), last


def _try(rung: Rung, compute: Callable[[Rung], Found], hear: errors.Hear) -> Found:
    if rung.code:
        hear(errors.note(rung.code, device=rung.short))
    return compute(rung)


def start(ladder: list[Rung], bytes_on_device: int) -> list[Rung]:
    """The ladder without rungs that surely fail: the free memory of the device does not even hold what it shall collect."""
    first = ladder[0].device
    free = devices.free_bytes(first.torch_device)
    if first.is_cpu or free is None or bytes_on_device < free or len(ladder) < 2:
        return ladder
    return ladder[1:]
