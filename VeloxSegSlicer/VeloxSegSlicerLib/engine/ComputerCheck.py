"""Check this computer: the engine computes one window in its own process; the panel says in plain words what came out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from ..common import Computer, Shapes
from ..common.Errors import VeloxSegError
from ..common.Log import logger
from . import Child
from .Process import Process
from .Run import DONE, EngineRun, ProcessOutcome, Timeouts

SECONDS_SETTING = "VeloxSegSlicer/CheckSeconds"
DEVICE_SETTING = "VeloxSegSlicer/CheckDevice"
CHECK_MODULE = "veloxseg.service.check"
# The driver that each generation of CUDA asks for at least (release notes of CUDA).
NEEDED_DRIVERS = {"11": "450", "12": "525", "13": "580"}
_SHAPE = Shapes.record(
    {
        "device": Shapes.text,
        "is_cpu": Shapes.flag,
        "seconds": Shapes.number(0),
        "cuda_build": Shapes.orNone(Shapes.text),
        "obstacle": Shapes.orNone(Shapes.text),
        "detail": Shapes.text,
    }
)


@dataclass(frozen=True)
class CheckFinding:
    """What the engine found, see docs/formats.md."""

    device: str
    isCpu: bool
    seconds: float
    cudaBuild: str | None
    obstacle: str | None
    detail: str

    @classmethod
    def of(cls, event: dict) -> "CheckFinding":
        """From the `result` event.

        :raises VeloxSegError: ENGINE_PROTOCOL.
        """
        if _SHAPE(event):
            raise VeloxSegError("ENGINE_PROTOCOL")
        return cls(*(event[name] for name in ("device", "is_cpu", "seconds", "cuda_build", "obstacle", "detail")))


def sentence(finding: CheckFinding) -> str:
    """The verdict in plain words."""
    if finding.isCpu:
        return _("Ready. A test on the CPU took {seconds:.1f} s.").format(seconds=finding.seconds)
    text = _("Ready. A test on the graphics card ({device}) took {seconds:.2f} s.")
    return text.format(device=finding.device, seconds=finding.seconds)


def problemOf(finding: CheckFinding, card: Computer.GraphicsCard | None) -> VeloxSegError | None:
    """What keeps a graphics card of this computer from being used; None without a card or an obstacle.

    :param card: what the driver's own tool tells.
    """
    if finding.obstacle == "driver":
        needed = NEEDED_DRIVERS.get((finding.cudaBuild or "").split(".")[0], "-")
        return VeloxSegError("ENGINE_DRIVER", found=card.driver if card else "-", needed=needed)
    isCardUnused = card is not None and finding.isCpu
    return VeloxSegError("ENGINE_BUILD") if finding.obstacle == "build" or isCardUnused else None


def lastDevice() -> str:
    """The device of the last check, "" before the first one."""
    return slicer.util.settingsValue(DEVICE_SETTING, "")


class ComputerCheck:
    """One check at a time; `command` may be replaced, as tests without torch do."""

    def __init__(self, modulePath: Path, onLog: Callable, onFinished: Callable) -> None:
        """
        :param modulePath: folder that holds the engine package.
        :param onLog: called with lines of the process.
        :param onFinished: called with (finding, error); one of them is None.
        """
        self._modulePath = Path(modulePath)
        self._onLog, self._onFinished = onLog, onFinished
        self._run: EngineRun | None = None
        self.command: list[str] | None = None

    @property
    def isBusy(self) -> bool:
        """Whether a check is running."""
        return self._run is not None and self._run.isActive

    def start(self) -> None:
        """Begin; the end arrives at onFinished."""
        if self.isBusy:
            return
        command = self.command or Child.command(CHECK_MODULE)
        process = Process(command, self._modulePath)
        self._run = EngineRun(process, Timeouts(), lambda event: None, self._onLog, self._onEnd)
        self._run.start()

    def abandon(self) -> None:
        """End a running check and report nothing."""
        if self.isBusy:
            self._run.abort()

    def _onEnd(self, outcome: ProcessOutcome) -> None:
        if outcome.kind != DONE:
            self._onFinished(None, outcome.error)
            return
        try:
            finding = CheckFinding.of(outcome.result)
        except VeloxSegError as error:
            self._onFinished(None, error)
            return
        settings = qt.QSettings()
        settings.setValue(SECONDS_SETTING, finding.seconds)
        settings.setValue(DEVICE_SETTING, finding.device)
        logger.info("check of this computer: %s", finding)
        self._onFinished(finding, None)
