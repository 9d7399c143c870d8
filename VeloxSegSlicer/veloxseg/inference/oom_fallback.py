"""What is tried, one after the other, when memory runs out.

An attempt is a device and a way to use it. The first one is the fastest; each further one needs less memory and says so in a
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
class Attempt:
    """`device` is the one that computes. With `spare` windows are collected in main memory, see `OneWindow`."""

    device: devices.Device
    spare: bool = False
    half: bool = False
    code: str = ""
    """Of the note, "" for the first attempt."""
    short: str = ""
    """Name of the device whose memory was short."""

    @property
    def collecting_device(self) -> torch.device:
        """Where windows are cut out and added up."""
        return torch.device("cpu") if self.spare else self.device.torch_device

    def network(self, network: Network) -> Network:
        """The network as this attempt uses it."""
        return OneWindow(network, self.device.torch_device, self.half) if self.spare else network


def attempts(device: devices.Device, wanted: str, windows: bool = True) -> list[Attempt]:
    """The attempts for a device that `devices.choose(wanted)` gave; a device that a person chose is never replaced.

    windows: whether the network works on windows, so that there is something to save.
    """
    planned = [Attempt(device)]
    if device.is_cpu:
        return planned
    if windows:
        planned.append(Attempt(device, True, False, "RETRY_ONE_WINDOW", device.name))
        if device.torch_device.type != "mps":
            planned.append(Attempt(device, True, True, "RETRY_HALF", device.name))
    if wanted == "auto":
        planned.append(Attempt(devices.choose("cpu"), code="RETRY_CPU", short=device.name))
    return planned


def first_that_fits(planned: list[Attempt], compute: Callable[[Attempt], Found], hear: errors.Hear) -> tuple[Found, Attempt]:
    """What `compute` gives in the first attempt whose memory is enough, and that attempt.

    hear: gets the note of every attempt that has one, before it is tried. The last attempt's failure is raised as it is.
    """
    *others, last = planned
    for attempt in others:
        try:
            return _try(attempt, compute, hear), attempt
        except (MemoryError, RuntimeError) as error:
            if not errors.is_memory_error(error):
                raise
        # Outside of the handler: the failure holds on to what its frames had allocated.
        devices.free_unused()
    return _try(last, compute, hear), last


def _try(attempt: Attempt, compute: Callable[[Attempt], Found], hear: errors.Hear) -> Found:
    if attempt.code:
        hear(errors.note(attempt.code, device=attempt.short))
    return compute(attempt)


def promising(planned: list[Attempt], bytes_on_device: int) -> list[Attempt]:
    """The attempts without those that surely fail: the free memory of the device does not even hold what it shall collect."""
    first = planned[0].device
    free = devices.free_bytes(first.torch_device)
    if first.is_cpu or free is None or bytes_on_device < free or len(planned) < 2:
        return planned
    return planned[1:]
