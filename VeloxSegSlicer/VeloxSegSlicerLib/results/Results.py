"""From a result folder to a segmentation node: checked first, then named, colored, placed and signed."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer

from veloxseg.contract.card import LEVELS, mark

from ..common import Geometry, Names, ResultAttributes, Shapes
from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard
from ..images import Suv
from . import BackupNode, Composites, Lesions, ReportCheck, Rollback, SegmentStyle, Sensitivity, Uncertainty

HASH_CHARACTERS = 12
FILL_OPACITY = 0.4
PHOTO_OUTLINE_WIDTH = 3
"""In pixels of the screen; a thinner line is lost on skin."""
EMISSION_MODALITY = "PT"
ANATOMY = "123037004"
"""Category of the terminology (SCT): a part of every body and no finding."""
REPORT_FILE = "results.json"
_FILES = Shapes.mapOf(Shapes.record({"path": Shapes.text, "sha256": Shapes.text}))


@dataclass(frozen=True)
class Input:
    """What is remembered of an input node, so that it may disappear during the run."""

    role: str
    nodeId: str
    name: str


@dataclass(frozen=True)
class RunFacts:
    """What a result must know of its run: card, inputs, and the grid sent to the engine.

    `accepted` holds the warnings that the person overrode, as pairs (error code, role name). `outputId` is the segmentation
    to fill; None makes a new one.
    """

    card: ModelCard
    inputs: tuple[Input, ...]
    grid: Geometry.WorldGrid
    quality: str
    accepted: frozenset = frozenset()
    outputId: str | None = None

    @property
    def referenceInput(self) -> Input:
        """The input that defines the grid."""
        return next(entry for entry in self.inputs if entry.role == self.card.reference.name)


@dataclass(frozen=True)
class Loaded:
    """A result folder, read and checked, but not yet in the scene.

    `mask` is a label map node outside the scene, `counts` the voxels of every label value that it has. The maps are uint8
    (k, j, i) on its grid: `probability` of any label where 0-255 is 0-1, `uncertainty` where 255 is the largest possible
    variance of the runs; None where the engine wrote none.
    """

    report: dict
    facts: RunFacts
    mask: object
    counts: dict[int, int]
    probability: np.ndarray | None
    uncertainty: np.ndarray | None

    @property
    def isEmpty(self) -> bool:
        """Whether no voxel has a label."""
        return not self.counts

    @property
    def ijkToRas(self) -> np.ndarray:
        """(4, 4) matrix of the grid."""
        return Geometry.worldGrid(self.mask).ijkToRas


def readReport(folder: Path, files: object, card: ModelCard) -> dict:
    """Read results.json of a result folder, check the announced checksums and the whole report.

    :param files: the `files` of the result event: name -> {path, sha256}, all of them in the folder.
    :raises VeloxSegError: RESULT_MISSING or RESULT_DAMAGED.
    """
    if _FILES(files):
        raise VeloxSegError("RESULT_DAMAGED", problem="its list of files is not as agreed")
    try:
        for entry in files.values():
            # Only the name counts: nothing outside of the folder belongs to a result.
            content = (folder / Path(entry["path"]).name).read_bytes()
            if hashlib.sha256(content).hexdigest() != entry["sha256"]:
                raise VeloxSegError("RESULT_MISSING")
        return checkedReport((folder / REPORT_FILE).read_bytes(), card)
    except OSError as error:
        raise VeloxSegError("RESULT_MISSING") from error


def checkedReport(text: bytes, card: ModelCard) -> dict:
    """The content of a results.json.

    :raises VeloxSegError: RESULT_DAMAGED.
    """
    try:
        report = Shapes.load(text)
    except ValueError as error:
        raise VeloxSegError("RESULT_DAMAGED", problem="it is no JSON") from error
    ReportCheck.check(report, card)
    return report


def load(folder: Path, report: dict, facts: RunFacts) -> Loaded:
    """Read mask and maps of a result folder and check them; the scene stays as it is.

    :raises VeloxSegError: RESULT_MISSING, RESULT_GRID or RESULT_LABELS.
    """
    mask = _readVolume(folder / "mask.nrrd", slicer.vtkMRMLLabelMapVolumeNode())
    if not Geometry.isSameGrid(Geometry.worldGrid(mask), facts.grid):
        raise VeloxSegError("RESULT_GRID")
    counts = _countsOf(slicer.util.arrayFromVolume(mask))
    if not counts.keys() <= {label.value for label in facts.card.labels}:
        raise VeloxSegError("RESULT_LABELS")
    return Loaded(
        report, facts, mask, counts, _readMap(folder / "probability.nrrd", mask), _readMap(folder / "uncertainty.nrrd", mask)
    )


def place(loaded: Loaded):
    """Put a result into the scene: a new segmentation, or the chosen one with its former content kept beside it.

    All of it or, after an exception, nothing.

    :return: the vtkMRMLSegmentationNode.
    """
    facts = loaded.facts
    chosen = slicer.mrmlScene.GetNodeByID(facts.outputId) if facts.outputId else None
    older = BackupNode.backupOf(chosen) if chosen is not None else None
    with Rollback.onFailure(chosen):
        segmentation = _place(loaded, chosen)
    BackupNode.giveUp(older)
    return segmentation


def _place(loaded: Loaded, segmentation):
    facts = loaded.facts
    if segmentation is None:
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", _newName(facts))
        segmentation.CreateDefaultDisplayNodes()
        display = segmentation.GetDisplayNode()
        display.SetOpacity2DFill(FILL_OPACITY)
        if kindOf(facts.card) == ResultAttributes.PHOTO:
            # The first look at a skin lesion is its border, and the skin inside of it.
            display.SetVisibility2DFill(False)
            display.SetSliceIntersectionThickness(PHOTO_OUTLINE_WIDTH)
    else:
        BackupNode.keep(segmentation)
        segmentation.GetSegmentation().RemoveAllSegments()
        segmentation.SetName(_marked(Names.nameOf(segmentation), facts.card))
    _fill(segmentation, loaded.mask, facts.card)
    _setReference(segmentation, loaded.mask, facts)
    _sign(segmentation, loaded.report, facts)
    if loaded.uncertainty is not None:
        Uncertainty.addVolume(segmentation, loaded.uncertainty, loaded.ijkToRas)
    if facts.card.lists_lesions:
        Lesions.store(segmentation, Lesions.withAgreement(segmentation, Lesions.fromReport(loaded.report)))
    return segmentation


def _readVolume(path: Path, volume):
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    # The default would turn a left-handed grid over, and the mask would no longer match the image.
    storage.ForceRightHandedIJKCoordinateSystemOff()
    storage.SetFileName(str(path))
    if not path.is_file() or not storage.ReadData(volume) or volume.GetImageData() is None:
        raise VeloxSegError("RESULT_MISSING")
    return volume


def _readMap(path: Path, mask) -> np.ndarray | None:
    """The voxels of a map beside the mask; None when the engine wrote none."""
    if not path.is_file():
        return None
    volume = _readVolume(path, slicer.vtkMRMLScalarVolumeNode())
    if not Geometry.isSameGrid(Geometry.worldGrid(volume), Geometry.worldGrid(mask)):
        raise VeloxSegError("RESULT_GRID")
    return slicer.util.arrayFromVolume(volume).copy()


def _marked(name: str, card: ModelCard) -> str:
    """A name with the mark of the card's level, in place of another one."""
    for level in LEVELS:
        name = name.removeprefix(mark(level))
    return mark(card.level) + name


def _newName(facts: RunFacts) -> str:
    """The name "[<level>] <reference> - <model title>", and a number on repeats."""
    base = _marked(f"{facts.referenceInput.name} - {facts.card.title}", facts.card)
    taken = {Names.nameOf(node) for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")}
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base} {number}"
    return name


def _fill(segmentationNode, mask, card: ModelCard) -> None:
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    image = logic.CreateOrientedImageDataFromVolumeNode(mask)
    image.UnRegister(None)
    # Every segment looks through the whole image: with 256 voxels a side Slicer would stand still for seconds.
    box = _boxOf(slicer.util.arrayFromVolume(mask))
    image.Crop([edge for part in reversed(box) for edge in (part.start, part.stop - 1)])
    logic.ImportLabelmapToSegmentationNode(image, segmentationNode)
    labels = {label.value: label for label in card.labels}
    segmentation = segmentationNode.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        SegmentStyle.apply(segment, labels[segment.GetLabelValue()], card)


def _boxOf(voxels: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest box (k, j, i) with all labels, the first voxel when there is none."""
    box = []
    for axis in range(3):
        filled = np.flatnonzero(voxels.any(axis=tuple({0, 1, 2} - {axis})))
        box.append(slice(filled[0], filled[-1] + 1) if len(filled) else slice(0, 1))
    return tuple(box)


def _countsOf(voxels: np.ndarray) -> dict[int, int]:
    """Label value -> voxels. Looks into the box alone: sorting 256 voxels a side would hold the panel up."""
    values, counts = np.unique(voxels[_boxOf(voxels)], return_counts=True)
    return {value: count for value, count in zip(values.tolist(), counts.tolist(), strict=True) if value}


def _setReference(segmentationNode, mask, facts: RunFacts) -> None:
    """Grid from the mask, which is in world coordinates; link and place in the tree from the reference."""
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(mask)
    role = segmentationNode.GetReferenceImageGeometryReferenceRole()
    reference = slicer.mrmlScene.GetNodeByID(facts.referenceInput.nodeId)
    segmentationNode.SetNodeReferenceID(role, reference.GetID() if reference else None)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if reference is None or hierarchy is None:
        return
    item, referenceItem = (
        hierarchy.GetItemByDataNode(segmentationNode),
        hierarchy.GetItemByDataNode(reference),
    )
    if item and referenceItem:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(referenceItem))


def _sign(segmentationNode, report: dict, facts: RunFacts) -> None:
    """Provenance as node attributes, which are saved with the scene."""
    card, versions = facts.card, report.get("versions", {})
    values = {
        "ModelId": card.id,
        "ModelTitle": card.title,
        "ModelVersion": card.version,
        "WeightsSha256": card.weights_sha256[:HASH_CHARACTERS],
        "Level": card.level,
        "EngineVersion": versions.get("engine", ""),
        "TorchVersion": versions.get("torch", ""),
        "Versions": json.dumps(versions),
        "Device": report.get("device", ""),
        "Seed": report.get("seed", ""),
        "Quality": facts.quality,
        "Overlap": report.get("overlap", ""),
        "Windows": report.get("windows", ""),
        "Sampling": json.dumps(report.get("sampling")),
        "Notes": json.dumps(report.get("notes", [])),
        "Accepted": json.dumps(sorted(facts.accepted)),
        "Reference": facts.referenceInput.name,
        "InputNames": json.dumps({entry.role: entry.name for entry in facts.inputs}),
        "InputIds": json.dumps({entry.role: entry.nodeId for entry in facts.inputs}),
        "Created": report.get("created", ""),
        "StageSeconds": json.dumps(report.get("seconds", {})),
        "HighestProbability": report.get("highest_probability", {}).get("value", ""),
        "Agreement": report.get("agreement") if report.get("agreement") is not None else "",
        "Threshold": card.threshold,
        "CurrentThreshold": card.threshold,
        "NoThreshold": Sensitivity.whyNot(card),
        "MmPerPx": report.get("mm_per_px") or "",
        "Kind": kindOf(card),
        "HasEmission": "yes" if any(role.modality == EMISSION_MODALITY for role in card.roles) else "no",
        "LabelNames": json.dumps({label.value: label.name for label in card.labels}),
        "Composites": json.dumps(Composites.compositesOf(card)),
        "PhotoPixels": int(np.prod(facts.grid.size)) if kindOf(card) == ResultAttributes.PHOTO else "",
    }
    for name, value in values.items():
        ResultAttributes.setFact(segmentationNode, name, value)
    segmentationNode.SetAttribute(ResultAttributes.LISTED, "yes")
    segmentationNode.SetNodeReferenceID(ResultAttributes.EMISSION, _emissionId(report, facts))


def _emissionId(report: dict, facts: RunFacts) -> str | None:
    """The id of the PET image when its values are SUV: then it can be measured again after a change."""
    role = next((role.name for role in facts.card.roles if role.modality == EMISSION_MODALITY), None)
    node = next((slicer.mrmlScene.GetNodeByID(entry.nodeId) for entry in facts.inputs if entry.role == role), None)
    lesions = report.get("lesions", [])
    isOther = node is None or node.GetImageData() is None or Suv.kindOf(node) in (Suv.ACTIVITY, Suv.OTHER) or Suv.isTooHigh(node)
    return None if isOther or (lesions and "suv_max" not in lesions[0]) else node.GetID()


def kindOf(card: ModelCard) -> str:
    """What the table of such a model's result lists: one of the kinds of ResultAttributes."""
    if card.takes_photo:
        return ResultAttributes.PHOTO
    if card.lists_lesions:
        return ResultAttributes.LESIONS
    isAnatomy = all(label.terminology["category"][1] == ANATOMY for label in card.labels)
    return ResultAttributes.REGIONS if isAnatomy else ResultAttributes.SEGMENTS
