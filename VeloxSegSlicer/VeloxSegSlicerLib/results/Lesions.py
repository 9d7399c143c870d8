"""The lesions of a result: measured when they are new or have changed, with the marks that a person gave them.

They live in one attribute of the segmentation node, so they are saved with the scene.
"""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import slicer

from veloxseg.contract import measures

from ..common import Components, Geometry, ResultAttributes, SegmentVoxels, Shapes
from ..common.Components import Voxels

LIST = "Lesions"
FINGERPRINT = "LesionsFingerprint"
SUV_KEYS = ("suv_max", "suv_mean", "suv_peak", "tlg")
ENGINE_KEYS = ("voxels", "volume_ml", "diameter_mm", "score", "agreement", *SUV_KEYS)

# What a list must look like that comes with a scene.
_LIST = Shapes.listOf(
    Shapes.record(
        {
            "label": Shapes.whole(0, 255),
            "positionRas": Shapes.listOf(Shapes.number(-1e6, 1e6), 3),
            "values": Shapes.record(
                {"voxels": Shapes.whole(0), "volume_ml": Shapes.number(0), "diameter_mm": Shapes.number(0)},
                {key: Shapes.number() for key in ENGINE_KEYS[3:]},
            ),
            "name": Shapes.text,
            "isIncluded": Shapes.flag,
            "isReviewed": Shapes.flag,
        }
    )
)


@dataclass(frozen=True)
class Lesion:
    """One connected piece of a label: where it is, what was measured, and what a person said about it.

    `values` has the keys of ENGINE_KEYS that could be measured. `name` is empty until a person gives one.
    """

    label: int
    positionRas: tuple[float, float, float]
    values: dict
    name: str = ""
    isIncluded: bool = True
    isReviewed: bool = False

    @property
    def volumeMl(self) -> float:
        """Its volume in milliliters."""
        return self.values["volume_ml"]


@dataclass(frozen=True)
class Piece:
    """One connected piece of a segment as voxels."""

    segmentId: str
    label: int
    voxels: Voxels


def fromReport(report: dict) -> list[Lesion]:
    """The lesions as the engine measured them, largest first."""
    return [
        Lesion(
            label=entry["label"],
            positionRas=tuple(Geometry.rasFromLps(entry["centroid_lps"]).tolist()),
            values={key: entry[key] for key in ENGINE_KEYS if entry.get(key) is not None},
        )
        for entry in report.get("lesions", [])
    ]


def withAgreement(segmentationNode, lesions: list[Lesion]) -> list[Lesion]:
    """Add how far the runs agree inside each lesion, where there is an uncertainty volume."""
    uncertainty = uncertaintyOf(segmentationNode)
    found = pieces(segmentationNode) if uncertainty is not None else []
    for lesion in lesions if found else ():
        lesion.values["agreement"] = 1.0 - Components.meanOn(pieceOf(lesion, found).voxels, *uncertainty)
    return lesions


def store(segmentationNode, lesions: list[Lesion]) -> None:
    """Remember a list as that of the voxels as they are now."""
    content = json.dumps([dataclasses.asdict(lesion) for lesion in lesions])
    ResultAttributes.setFact(segmentationNode, LIST, content)
    ResultAttributes.setFact(segmentationNode, FINGERPRINT, SegmentVoxels.fingerprint(segmentationNode))


def mark(segmentationNode, number: int, **changes: object) -> None:
    """Change name, isIncluded or isReviewed of one lesion of the list."""
    lesions = _stored(segmentationNode)
    lesions[number] = dataclasses.replace(lesions[number], **changes)
    store(segmentationNode, lesions)


def lesionsOf(segmentationNode, sensitivity=None) -> list[Lesion]:
    """The lesions of a result, largest first; measured anew when its voxels have changed.

    :param sensitivity: the kept probability of the result, for scores of changed lesions; None when there is none.
    """
    former = _stored(segmentationNode)
    isKept = not _LIST(ResultAttributes.content(segmentationNode, LIST, _LIST, None))
    if isKept and SegmentVoxels.fingerprint(segmentationNode) == ResultAttributes.fact(segmentationNode, FINGERPRINT):
        return former
    lesions = [_measure(segmentationNode, piece, sensitivity) for piece in pieces(segmentationNode)]
    lesions = _withMarks(sorted(lesions, key=lambda lesion: -lesion.volumeMl), former)
    store(segmentationNode, lesions)
    return lesions


def pieces(segmentationNode) -> list[Piece]:
    """All connected pieces of all segments."""
    return [
        Piece(segmentId, SegmentVoxels.labelOf(segmentationNode, segmentId), voxels)
        for segmentId in SegmentVoxels.segmentIds(segmentationNode)
        for voxels in Components.pieces(SegmentVoxels.voxelsOf(segmentationNode, segmentId))
    ]


def pieceOf(lesion: Lesion, found: list[Piece]) -> Piece | None:
    """The piece among `found` that a lesion was measured on."""
    same = [piece for piece in found if piece.label == lesion.label]
    return min(same, key=lambda piece: _distance(piece.voxels.centerRas, lesion.positionRas), default=None)


def title(segmentationNode, lesions: list[Lesion], number: int) -> str:
    """The name a person gave, else the label's name and a number among its lesions."""
    lesion = lesions[number]
    if lesion.name:
        return lesion.name
    among = sum(other.label == lesion.label for other in lesions[: number + 1])
    names = ResultAttributes.labelNames(segmentationNode)
    return f"{names.get(str(lesion.label), 'Lesion')} {among}"


def emissionOf(segmentationNode) -> tuple[np.ndarray, np.ndarray] | None:
    """The PET image of a result in SUV: voxels (k, j, i) and matrix to RAS; None without one in the scene."""
    node = segmentationNode.GetNodeReference(ResultAttributes.EMISSION)
    return _arrayOf(node) if node is not None and node.GetImageData() is not None else None


def uncertaintyOf(segmentationNode) -> tuple[np.ndarray, np.ndarray] | None:
    """The uncertainty of a result (0-1): voxels (k, j, i) and matrix to RAS; None without one in the scene."""
    node = segmentationNode.GetNodeReference(ResultAttributes.UNCERTAINTY)
    return _arrayOf(node) if node is not None and node.GetImageData() is not None else None


def _arrayOf(volumeNode) -> tuple[np.ndarray, np.ndarray]:
    return slicer.util.arrayFromVolume(volumeNode), Geometry.worldGrid(volumeNode).ijkToRas


def _stored(segmentationNode) -> list[Lesion]:
    entries = ResultAttributes.content(segmentationNode, LIST, _LIST, [])
    return [
        Lesion(
            entry["label"],
            tuple(entry["positionRas"]),
            entry["values"],
            entry["name"],
            entry["isIncluded"],
            entry["isReviewed"],
        )
        for entry in entries
    ]


def _measure(segmentationNode, piece: Piece, sensitivity) -> Lesion:
    voxels = piece.voxels
    values = {"voxels": voxels.count, "volume_ml": voxels.volumeMl, "diameter_mm": measures.diameter_mm(voxels.structure)}
    emission = emissionOf(segmentationNode)
    if emission is not None:
        values |= measures.suv(voxels.structure, emission[0].T, emission[1])
    uncertainty = uncertaintyOf(segmentationNode)
    if uncertainty is not None:
        values["agreement"] = 1.0 - Components.meanOn(voxels, *uncertainty)
    if sensitivity is not None:
        values["score"] = sensitivity.meanIn(voxels)
    return Lesion(piece.label, tuple(voxels.centerRas.tolist()), values)


def _withMarks(lesions: list[Lesion], former: list[Lesion]) -> list[Lesion]:
    """Hand the marks of former lesions to those in their places: nearest center, within half of the larger one's diameter."""
    free, marked = list(former), []
    for lesion in lesions:
        near = [old for old in free if old.label == lesion.label and _isNear(old, lesion)]
        old = min(near, key=lambda other: _distance(other.positionRas, lesion.positionRas), default=None)
        if old is not None:
            free.remove(old)
            lesion = dataclasses.replace(lesion, name=old.name, isIncluded=old.isIncluded, isReviewed=old.isReviewed)
            if "score" not in lesion.values and old.values["voxels"] == lesion.values["voxels"] and "score" in old.values:
                lesion.values["score"] = old.values["score"]
        marked.append(lesion)
    return marked


def _isNear(first: Lesion, second: Lesion) -> bool:
    reach = max(first.values["diameter_mm"], second.values["diameter_mm"]) / 2
    return _distance(first.positionRas, second.positionRas) <= reach


def _distance(first, second) -> float:
    return float(np.linalg.norm(np.asarray(first) - np.asarray(second)))
