"""The text behind Copy report: enough to help, nothing about the patient."""

import platform
from collections.abc import Iterator

import slicer
import vtk

from veloxseg.contract import redaction

from ..common import Geometry, Names
from ..common.Models import ModelCard
from ..engine import Setup

LOG_LINES = 200


def text(engine: Setup.EngineState, card: ModelCard | None, images: dict, device: str, stage: str, log: str) -> str:
    """Versions, model, image sizes, stage and the end of the log, without names, identifiers and paths.

    :param images: role name -> volume node or None; only sizes and spacings are used.
    """
    lines = [
        f"Slicer {slicer.app.majorVersion}.{slicer.app.minorVersion} revision {slicer.app.revision}",
        f"Python {platform.python_version()}, {platform.system()} {platform.release()} {platform.machine()}",
        f"AI engine {engine.status}, torch {engine.torchVersion or '-'}, device {device or '-'}",
        f"Model {card.id} {card.version} {card.weights_sha256[:12]}" if card else "Model -",
    ]
    lines += [
        f"Image {role}: {Geometry.worldGrid(node).description()}"
        for role, node in images.items()
        if node and node.GetImageData() is not None
    ]
    lines += [f"Stage: {stage or '-'}", "Log:", *log.splitlines()[-LOG_LINES:]]
    return redaction.redacted("\n".join(lines), {*_namesInScene(), *(Names.nameOf(node) for node in images.values() if node)})


def _namesInScene() -> Iterator[str]:
    """Of everything that a person sees: images, results, patients and studies."""
    for node in slicer.util.getNodesByClass("vtkMRMLDisplayableNode"):
        if not node.GetHideFromEditors():
            yield Names.nameOf(node)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is not None:
        items = vtk.vtkIdList()
        hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
        yield from (hierarchy.GetItemName(items.GetId(index)) for index in range(items.GetNumberOfIds()))
