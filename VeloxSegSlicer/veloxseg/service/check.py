"""A test of this computer in a few seconds: `python -m veloxseg.service.check` computes one window and tells how long it took.

Speaks as the runner does (docs/formats.md, "Events"); its `result` event has the facts of `ComputerFacts`.
"""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING

from veloxseg import __version__
from veloxseg.contract import redaction, requirements
from veloxseg.contract.errors import EXIT_OK, expected
from veloxseg.service.runner import PROTOCOL, Events, send_error
from veloxseg.service.streams import prepare, private_stdout

if TYPE_CHECKING:
    from torch import nn

    from veloxseg.inference.devices import Device

REPEATS = 3
NO_KERNEL = ("no kernel image", "not compiled with", "invalid device function")


@dataclass(frozen=True)
class ComputerFacts:
    """`device` that a run will use and whether it `is_cpu`; `seconds` (median) of one 96 x 96 x 96 window of the network.

    cuda_build: the CUDA version that torch was built for, None without. obstacle: `build` when a graphics card is there that
    this torch has no code for, `driver` when its driver is too old; None when nothing stands in the way. detail: for people.
    """

    device: str
    is_cpu: bool
    seconds: float
    cuda_build: str | None
    obstacle: str | None
    detail: str


def examine() -> ComputerFacts:
    """Compute on the best device of this computer, or on the CPU where that one fails."""
    import torch

    from veloxseg.inference import devices

    device = devices.choose("auto")
    problem = devices.driver_problem()
    obstacle, detail = (None, "") if problem is None else ("driver", problem.text)
    try:
        seconds = time_window(device)
    except RuntimeError as error:
        if device.is_cpu or not any(phrase in str(error) for phrase in NO_KERNEL):
            raise
        obstacle, detail = "build", f"{device.name}: {str(error).splitlines()[0]}"
        device = devices.choose("cpu")
        seconds = time_window(device)
    return ComputerFacts(device.name, device.is_cpu, round(seconds, 4), torch.version.cuda, obstacle, detail)


def time_window(device: Device) -> float:
    """Median seconds of one window after a first one that is not counted."""
    import torch

    image = torch.rand(1, 2, 96, 96, 96, generator=torch.Generator().manual_seed(0)).to(device.torch_device)
    network = _network().to(device.torch_device)
    seconds = []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter()
        with torch.inference_mode():
            # Reading a number waits for the card.
            float(network(image).sum())
        seconds.append(time.perf_counter() - begun)
    return median(seconds[1:])


def _network() -> nn.Module:
    import torch

    from veloxseg.networks import fast
    from veloxseg.networks.published import inference_network

    torch.manual_seed(0)
    return fast.convert(inference_network(), relative=True)


def main() -> int:
    """Entry point; returns the exit code."""
    prepare()
    events = Events(private_stdout())
    try:
        requirements.check_engine()
        import torch

        events.send(
            "hello", engine=__version__, python=platform.python_version(), torch=torch.__version__, device="", protocol=PROTOCOL
        )
        events.send("result", **asdict(examine()))
        return EXIT_OK
    except Exception as error:  # noqa: BLE001 - the panel must hear of every failure
        print(redaction.exception_text(), file=sys.stderr)
        send_error(events, expected(error))
        return expected(error).exit_code


if __name__ == "__main__":
    sys.exit(main())
