"""What the module's tests share: cards, images, a fake runner, waiting. Only Slicer's API is used."""

import json
import os
import time
from pathlib import Path
from unittest import mock

import numpy as np
import qt
import slicer
import vtk

from VeloxSegSlicerLib.common.Models import Catalogue, readCard
from VeloxSegSlicerLib.engine import Setup
from VeloxSegSlicerLib.run.Segmenter import RunListener, Segmenter

FAKE_RUNNER = Path(__file__).resolve().parent / "VeloxSegSlicerFakeRunner.py"
ANATOMY = ["SCT", "123037004", "Anatomical Structure"]
ALTERED = ["SCT", "49755003", "Morphologically Altered Structure"]
TIMEOUT_SECONDS = 30.0
OBLIQUE = [[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]
FLIPPED = [[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]


def brainCard() -> dict:
    """A card with one T1 role and two labels."""
    return {
        "schema_version": 1,
        "id": "test-brain",
        "title": "Test brain regions",
        "version": "1.2.0",
        "task": {"id": "brain-regions", "title": "Brain regions MRI"},
        "summary": "Lobes of the brain on T1 MRI.\nFor tests.",
        "level": "research",
        "engine_version": ">=0.1",
        "architecture": {"name": "VeloxSeg", "arguments": {"input_size": [32, 32, 32]}},
        "roles": [role("T1", "MR", ["t1", "mprage"], reference=True)],
        "spacing_mm": [2.0, 2.0, 2.0],
        "window": {"overlap": 0.5, "blend": "gaussian"},
        "lesions": False,
        "threshold": 0.5,
        "labels": [
            label(1, "Frontal lobe", [230, 90, 60], ANATOMY, ["SCT", "83251001", "Frontal lobe"]),
            label(4, "Insula", [60, 120, 220], ANATOMY, ["SCT", "36169008", "Insula"]),
        ],
        "training": {
            "data": "none",
            "data_license": "none",
            "command": "",
            "seed": 1,
            "steps": 1,
            "git_revision": "",
            "date": "",
        },
        "scores": [],
        "intended_use": "Tests.",
        "not_for": "Patients.",
        "limits": ["Finds nothing."],
        "license": "Apache-2.0",
        "citation": [],
        "weights_sha256": "0123456789abcdef" * 4,
    }


def petctCard() -> dict:
    """A demo card with CT and PET; PET is the reference."""
    return brainCard() | {
        "id": "test-petct",
        "title": "Test PET/CT lesions",
        "level": "demo",
        "lesions": True,
        "task": {"id": "petct-lesions", "title": "PET/CT lesions"},
        "summary": "Lesions with uptake.",
        "roles": [role("CT", "CT", ["ct"]), role("PET", "PT", ["pet", "suv"], reference=True, unit="SUVbw")],
        "labels": [label(1, "Lesion", [230, 90, 60], ALTERED, ["SCT", "108369006", "Neoplasm"])],
    }


def photoCard() -> dict:
    """A card that wants a color photo and draws an ensemble."""
    return brainCard() | {
        "id": "test-photo",
        "title": "Test photo",
        "task": {"id": "photo", "title": "Skin lesion photo"},
        "roles": [role("Photo", "XC", ["img"], reference=True) | {"kind": "photo"}],
        "labels": [label(1, "Skin lesion", [230, 90, 60], ALTERED, ["SCT", "4147007", "Mass"])],
        "window": None,
        "sampling": {"members": 10, "calls": 2, "method": "ddim", "fusion": "mean"},
    }


def tumorCard() -> dict:
    """A card with the three parts of a brain tumor."""
    parts = (("Necrotic core", "6574001"), ("Edema", "79654002"), ("Enhancing tumor", "86049000"))
    return brainCard() | {
        "id": "test-tumor",
        "title": "Test tumor",
        "task": {"id": "brain-tumor", "title": "Brain tumor MRI"},
        "labels": [
            label(value, name, [50 * value, 90, 60], ALTERED, ["SCT", code, name])
            for value, (name, code) in enumerate(parts, start=1)
        ],
    }


def role(name: str, modality: str, patterns: list[str], reference: bool = False, unit: str | None = None) -> dict:
    return {
        "name": name,
        "title": name,
        "modality": modality,
        "kind": "scalar",
        "unit": unit,
        "reference": reference,
        "description": f"The {name} series.",
        "patterns": patterns,
        "intensity": {"kind": "zscore_foreground"},
    }


def label(value: int, name: str, color: list[int], category: list[str], kind: list[str]) -> dict:
    return {
        "value": value,
        "name": name,
        "color": color,
        "terminology": {"category": category, "type": kind, "type_modifier": None, "region": None},
    }


def writeCards(folder, *contents: dict) -> None:
    """Write one package folder per card; only the card is in it."""
    for content in contents:
        configs = Path(folder) / content["id"] / "configs"
        configs.mkdir(parents=True)
        (configs / "velox.json").write_text(json.dumps(content), encoding="utf-8")


def loadCard(folder, content: dict):
    """Write one card and read it as the module does."""
    writeCards(folder, content)
    return readCard(Path(folder) / content["id"])


def sphereVolume(
    name: str,
    size=(24, 26, 28),
    spacing=(2.0, 2.0, 2.0),
    axes=None,
    center=(0.0, 0.0, 0.0),
    radius=15.0,
    low=0.0,
    high=100.0,
):
    """A volume with a bright sphere around `center` (RAS mm) on a faint ramp, in the middle of its grid.

    :param size: voxels (i, j, k).
    :param axes: 3x3 directions in RAS as columns; None is Slicer's usual LPS order.
    """
    directions = np.array(axes) if axes is not None else np.diag([-1.0, -1.0, 1.0])
    ijkToRas = np.eye(4)
    ijkToRas[:3, :3] = directions * np.array(spacing)
    ijkToRas[:3, 3] = np.array(center) - ijkToRas[:3, :3] @ (np.array(size) - 1) / 2
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    world = indices @ ijkToRas[:3, :3].T + ijkToRas[:3, 3]
    distance = np.linalg.norm(world - np.array(center), axis=-1)
    values = np.where(distance < radius, high - distance / radius * (high - low) * 0.3, low + indices[..., 0] * 0.01)
    array = values.transpose(2, 1, 0).astype(np.float32)
    return slicer.util.addVolumeFromArray(array, ijkToRAS=ijkToRas, name=name)


def ballsVolume(name: str, balls, size=(60, 50, 40), spacing=(2.0, 2.0, 2.0), low=1.0):
    """A volume with several balls on a flat background.

    :param balls: (center in RAS mm, radius in mm, value) of each.
    """
    ijkToRas = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    ijkToRas[:3, 3] = -ijkToRas[:3, :3] @ (np.array(size) - 1) / 2
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    world = indices @ ijkToRas[:3, :3].T + ijkToRas[:3, 3]
    values = np.full(size, low)
    for center, radius, value in balls:
        values[np.linalg.norm(world - np.array(center), axis=-1) < radius] = value
    return slicer.util.addVolumeFromArray(values.transpose(2, 1, 0).astype(np.float32), ijkToRAS=ijkToRas, name=name)


def softDisk(name: str, size=(90, 70), radius=20, disk=(255, 230, 210), ground=(10, 5, 0)):
    """A color photo of a disk whose edge is soft over some pixels."""
    y, x = np.mgrid[: size[1], : size[0]]
    distance = np.hypot(x - size[0] / 2, y - size[1] / 2)
    share = np.clip((radius + 6 - distance) / 12, 0, 1)[None, ..., None]
    array = (share * np.array(disk) + (1 - share) * np.array(ground)).astype(np.uint8)
    return slicer.util.addVolumeFromArray(array, name=name, nodeClassName="vtkMRMLVectorVolumeNode")


def colorPicture(name: str):
    """An RGB picture of one slice."""
    array = np.random.default_rng(1).integers(0, 255, (1, 70, 90, 3), dtype=np.uint8)
    return slicer.util.addVolumeFromArray(array, name=name, nodeClassName="vtkMRMLVectorVolumeNode")


def moved(volumeNode, matrix: np.ndarray):
    """Put a volume under a linear transform."""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volumeNode.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def bent(volumeNode):
    """Put a volume under a transform that is not linear."""
    spline = vtk.vtkThinPlateSplineTransform()
    points = vtk.vtkPoints()
    shifted = vtk.vtkPoints()
    for point in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (50, 50, 50)):
        points.InsertNextPoint(point)
        shifted.InsertNextPoint([value + (5 if sum(point) > 100 else 0) for value in point])
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(shifted)
    spline.SetBasisToR()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetAndObserveTransformToParent(spline)
    volumeNode.SetAndObserveTransformNodeID(transform.GetID())


def modelFolder() -> Path:
    """The models that ship with the module."""
    return Path(slicer.util.modulePath("VeloxSegSlicer")).parent / "Resources" / "Models"


def fakeCommand(scenario: str) -> list[str]:
    """The fake runner, started with the interpreter that the module finds."""
    return [Setup.pythonProgram(), str(FAKE_RUNNER), scenario]


def modulePath() -> Path:
    """The folder of the module, which holds the engine package."""
    return Path(slicer.util.modulePath("VeloxSegSlicer")).parent


def fakeSegmenter(scenario: str) -> Segmenter:
    """A segmenter that starts the fake runner."""
    segmenter = Segmenter(modulePath())
    segmenter.command = fakeCommand(scenario)
    return segmenter


class Recorder(RunListener):
    """Remembers what a job told."""

    def __init__(self) -> None:
        self.result = None
        self.percents: list[int] = []
        self.stages: list[str] = []
        self.log: list[str] = []
        self.device = ""

    def onStage(self, text, progress) -> None:
        self.stages.append(text)

    def onProgress(self, progress) -> None:
        self.percents.append(progress.percent)

    def onHello(self, hello) -> None:
        self.device = hello["device"]

    def onLog(self, line) -> None:
        self.log.append(line)

    def onFinished(self, result) -> None:
        self.result = result


def waitFor(condition, seconds: float = TIMEOUT_SECONDS) -> bool:
    """Let events run until the condition holds; False after the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        slicer.app.processEvents()
        time.sleep(0.005)
    return True


def openPanel(modelFolder):
    """The module's widget with the cards of a folder, entered; its segmenter plays "succeed"."""
    qt.QSettings().remove("VeloxSegSlicer/LastTask")
    slicer.modules.veloxsegslicer.widgetRepresentation().enter()
    widget = slicer.util.getModuleWidget("VeloxSegSlicer")
    useModels(widget, modelFolder)
    widget.logic.segmenter.command = fakeCommand("succeed")
    return widget


def useModels(widget, modelFolder) -> None:
    """Let a panel show the models of another folder, with torch taken for installed."""
    catalogue = Catalogue(Path(modelFolder))
    widget.logic.catalogue = catalogue
    widget.panel.catalogue = widget.panel.manager.catalogue = widget.panel.choices.catalogue = catalogue
    widget.panel._shownCardKey = None
    widget.panel.engine = Setup.EngineState(Setup.READY, torchVersion="0.0")
    widget.initializeParameterNode()


def chooseTask(widget, taskId: str) -> None:
    """Choose a task as a person does."""
    combo = widget.ui.taskComboBox
    combo.setCurrentIndex(combo.findData(taskId))
    combo.activated.emit(combo.currentIndex)


def segment(widget, scenario: str = "succeed") -> None:
    """Press Segment, with the fake runner, and wait for the end."""
    widget.logic.segmenter.command = fakeCommand(scenario)
    widget.ui.segmentButton.click()
    assert waitFor(lambda: not widget.logic.segmenter.isBusy)


def toolTipOf(widget) -> str:
    """What a person reads in a tooltip: Slicer turns plain text into a paragraph of rich text."""
    document = qt.QTextDocument()
    document.setHtml(widget.toolTip)
    return document.toPlainText()


def readyEngine(test) -> None:
    """For the time of a test the engine counts as installed, also where Slicer's own Python has no torch."""
    patch = mock.patch.object(Setup, "probe", return_value=Setup.EngineState(Setup.READY, torchVersion="0.0"))
    patch.start()
    test.addCleanup(patch.stop)


def ownSliceView(test) -> None:
    """For the time of a test there is a slice view: without a main window Slicer has none."""
    scene = slicer.mrmlScene
    if scene.GetNodeByID("vtkMRMLSliceNodeRed") is not None:
        return
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetMRMLScene(scene)
    nodes = [logic.AddSliceNode("Red"), logic.GetSliceCompositeNode()]
    test.addCleanup(lambda: [scene.RemoveNode(node) for node in nodes])
    test.addCleanup(logic.SetMRMLScene, None)


def jobFolders() -> list[Path]:
    """Job, sample and batch folders of this Slicer on disk; another one of the same user may be at work beside it."""
    return sorted(Path(str(slicer.app.temporaryPath)).glob(f"VeloxSeg*-{os.getpid()}-*"))


def checksum(volumeNode) -> tuple:
    """Everything about a volume that a run must not change."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return (
        volumeNode.GetName(),
        slicer.util.arrayFromVolume(volumeNode).tobytes(),
        slicer.util.arrayFromVTKMatrix(matrix).tobytes(),
        volumeNode.GetTransformNodeID(),
        volumeNode.GetStorageNodeID(),
    )
