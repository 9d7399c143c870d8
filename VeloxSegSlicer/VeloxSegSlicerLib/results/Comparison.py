"""Compares a result with another segmentation in a process of its own, so that Slicer stays usable."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..common import Components, Names, SegmentVoxels, Shapes, Temporary, VolumeFile
from ..common.Errors import VeloxSegError
from ..engine import Child
from ..engine.Process import Process
from ..engine.Run import DONE, EngineRun, ProcessOutcome, Timeouts

RESULT_BIT, REFERENCE_BIT = 1, 2
START_TIMEOUT_MS = 120000
_NUMBER = Shapes.orNone(Shapes.number())
NUMBERS = (
    "dice", "volume_ml", "reference_ml", "difference_ml", "difference_percent", "hd95_mm", "mean_surface_mm", "missed", "extra",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Two segments that belong together, by their ids."""

    segmentId: str
    referenceId: str


def pairByName(segmentationNode, referenceNode) -> list[Pair]:
    """Segments of equal names; one segment on each side is a pair whatever the names are. Others have "" as reference."""
    own, others = segmentationNode.GetSegmentation(), referenceNode.GetSegmentation()
    byName = {Names.nameOf(others.GetSegment(segmentId)).strip().lower(): segmentId for segmentId in others.GetSegmentIDs()}
    ids = own.GetSegmentIDs()
    if len(ids) == len(byName) == 1:
        return [Pair(ids[0], next(iter(byName.values())))]
    return [Pair(segmentId, byName.get(Names.nameOf(own.GetSegment(segmentId)).strip().lower(), "")) for segmentId in ids]


class Comparison:
    """One comparison at a time; it is used again and again."""

    def __init__(self, modulePath: Path, onLog: Callable, onFinished: Callable) -> None:
        """
        :param modulePath: folder that holds the engine package.
        :param onLog: called with each line for the log.
        :param onFinished: called with (list of numbers, None) or (None, VeloxSegError).
        """
        self._modulePath, self._onLog, self._onFinished = Path(modulePath), onLog, onFinished
        self._folder: Path | None = None
        self._run: EngineRun | None = None
        self._pairCount = 0

    @property
    def isBusy(self) -> bool:
        """Whether a comparison is running."""
        return self._run is not None and self._run.isActive

    def start(self, segmentationNode, referenceNode, pairs: list[Pair]) -> None:
        """Compare pairs of segments on the grid of the result; the reference is resampled on a copy (nearest neighbor).

        :raises VeloxSegError: EXPORT_FAILED or DISK_FULL.
        """
        self.abandon()
        self._folder = Temporary.newFolder(Temporary.JOB)
        names = [f"pair{number}.nrrd" for number in range(1, len(pairs) + 1)]
        try:
            for name, pair in zip(names, pairs, strict=True):
                _write(segmentationNode, referenceNode, pair, self._folder / name)
        except VeloxSegError:
            self._removeFolder()
            raise
        self._pairCount = len(pairs)
        request = self._folder / "request.json"
        request.write_text(json.dumps({"pairs": names}), encoding="utf-8")
        self._run = EngineRun(
            Process([*Child.command("veloxseg.service.comparison"), str(request)], self._modulePath),
            Timeouts(start=START_TIMEOUT_MS),
            lambda event: None,
            self._onLog,
            self._onEnd,
        )
        self._run.start()

    def abandon(self) -> None:
        """End a running comparison and remove its files; nobody hears of it."""
        if self.isBusy:
            self._run.abort()
        self._removeFolder()

    def _onEnd(self, outcome: ProcessOutcome) -> None:
        numbers, error = None, outcome.error
        if outcome.kind == DONE:
            try:
                numbers = _read(self._folder / "comparison.json", self._pairCount)
            except VeloxSegError as failure:
                error = failure
        self._removeFolder()
        self._onFinished(numbers, error)

    def _removeFolder(self) -> None:
        if self._folder is not None:
            Temporary.remove(self._folder)
            self._folder = None


def _read(path: Path, pairCount: int) -> list[dict]:
    shape = Shapes.record({"pairs": Shapes.listOf(Shapes.record(dict.fromkeys(NUMBERS, _NUMBER)), pairCount)})
    try:
        content = Shapes.load(path.read_bytes())
    except (OSError, ValueError) as error:
        raise VeloxSegError("RESULT_MISSING") from error
    problem = shape(content)
    if problem:
        raise VeloxSegError("RESULT_DAMAGED", problem=problem.lstrip("."))
    return content["pairs"]


def _write(segmentationNode, referenceNode, pair: Pair, path: Path) -> None:
    """Both masks as bits of one image on the grid of the result, cut to what is in them, with a margin of one voxel."""
    result = SegmentVoxels.voxelsOf(segmentationNode, pair.segmentId)
    reference = SegmentVoxels.voxelsOf(referenceNode, pair.referenceId)
    if result.count and reference.count:
        reference = Components.onGrid(reference, result.ijkToRas)
    own, other, ijkToRas = Components.united(result, reference)
    bits = np.pad(own * RESULT_BIT + other * REFERENCE_BIT, 1).astype(np.uint8)
    ijkToRas = Components.movedTo(ijkToRas, (-1, -1, -1))
    volume = slicer.vtkMRMLScalarVolumeNode()
    volume.SetAndObserveImageData(SegmentVoxels.imageData(bits))
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToRas))
    VolumeFile.write(volume, path, _("segment's"))
