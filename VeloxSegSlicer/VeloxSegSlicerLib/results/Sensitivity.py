"""The kept probability of a result: other thresholds at once, without a new run."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..common import Components, ResultAttributes, SegmentVoxels
from ..common.Models import ModelCard
from . import SegmentStyle

LOWEST = 0.05
STEP = 0.05
SEVERAL_LABELS = "severalLabels"
VOTES = "votes"


class Sensitivity:
    """Probability of one label, 8 bits, cut to where it is at least 5 %; it lives as long as the scene and is not saved."""

    def __init__(self, probability: np.ndarray, mask: np.ndarray, ijkToRas: np.ndarray, card: ModelCard) -> None:
        """
        :param probability: uint8 (k, j, i), 0-255 is 0-1.
        :param mask: bool (k, j, i), the engine's own result.
        :param ijkToRas: their common grid.
        :param card: the card of the model, whose threshold the mask was made with.
        """
        box = Components.boxOf((probability >= round(255 * LOWEST)) | mask)
        self.card = card
        self._probability, self._mask = probability[box].copy(), mask[box].copy()
        self._ijkToRas = Components.movedTo(ijkToRas, [part.start for part in box])

    @property
    def highest(self) -> float:
        """The largest probability."""
        return float(self._probability.max(initial=0)) / 255

    def mask(self, threshold: float) -> np.ndarray:
        """The voxels (k, j, i) at or above a threshold (0-1); at the card's own the engine's result, to the voxel."""
        if abs(threshold - self.card.threshold) < 1e-6:
            return self._mask
        return self._probability >= round(255 * threshold)

    def apply(self, segmentationNode, threshold: float) -> None:
        """Give a result the voxels of another threshold. Segments that a person added stay."""
        label = self.card.labels[0]
        mine = [
            segmentId
            for segmentId in SegmentVoxels.segmentIds(segmentationNode)
            if SegmentVoxels.labelOf(segmentationNode, segmentId) == label.value
        ]
        for segmentId in mine[1:]:
            segmentationNode.GetSegmentation().RemoveSegment(segmentId)
        segmentId = mine[0] if mine else self._addSegment(segmentationNode)
        SegmentVoxels.setVoxels(segmentationNode, segmentId, self.mask(threshold), self._ijkToRas)
        ResultAttributes.setFact(segmentationNode, "CurrentThreshold", round(threshold, 4))

    def meanIn(self, voxels: Components.Voxels) -> float:
        """Mean probability (0-1) inside some voxels."""
        return Components.meanOn(voxels, self._probability, self._ijkToRas) / 255

    def _addSegment(self, segmentationNode) -> str:
        segmentId = SegmentVoxels.addSegment(segmentationNode)
        SegmentStyle.apply(segmentationNode.GetSegmentation().GetSegment(segmentId), self.card.labels[0], self.card)
        return segmentId


def sensitivityOf(loaded) -> Sensitivity | None:
    """The kept probability of a `Results.Loaded`; None where no threshold decides, see `whyNot`."""
    if loaded.probability is None or whyNot(loaded.facts.card):
        return None
    mask = slicer.util.arrayFromVolume(loaded.mask) > 0
    return Sensitivity(loaded.probability, mask, loaded.ijkToRas, loaded.facts.card)


def whyNot(card: ModelCard) -> str:
    """Why a model's result has no threshold to change (one of the codes above), "" when it has one."""
    if len(card.labels) > 1:
        return SEVERAL_LABELS
    return VOTES if (card.sampling or {}).get("fusion", "mean") != "mean" else ""


def whyNotText(code: str) -> str:
    """A code of `whyNot` as a sentence."""
    return {
        SEVERAL_LABELS: _("This model chooses the most probable of several labels; there is no threshold to change."),
        VOTES: _("The runs of this model vote on each pixel; there is no threshold to change."),
        "": _("Sensitivity can be changed while the probability is in memory: after a run, until the scene is closed."),
    }[code]


def lowered(highest: float) -> float:
    """The next threshold in steps of 0.05 at which something would be found; 0 when there is none."""
    threshold = np.floor(highest / STEP + 1e-9) * STEP
    return float(round(threshold, 2)) if threshold >= LOWEST - 1e-9 else 0.0
