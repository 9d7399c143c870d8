"""Images and cards of the acceptance tests whose right answer is known."""

import importlib.machinery
import importlib.util
from pathlib import Path

import numpy as np
import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.engine import Setup
from VeloxSegSlicerLib.run.Segmenter import RunSettings

THRESHOLD_RUNNER = Path(__file__).with_name("threshold_runner.py")
SUV_UNIT = ("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value body weight")
LARGEST = 10.0
"""Images of the stand-in network run from 0 to this value; it cuts at half of it."""
SCALE = {"kind": "scale", "clip": [0, LARGEST], "divide_by": LARGEST}
NETWORK = {"architecture": {"name": "VeloxSeg", "arguments": {"input_size": [32, 32, 32]}}, "smoothing_mm": 0.0}
OBLIQUE = np.array(fixtures.OBLIQUE)
GRIDS = {
    "straight": {},
    "flipped": {"axes": np.array(fixtures.FLIPPED)},
    "left-handed": {"axes": np.diag([1.0, -1.0, 1.0])},
    "oblique": {"axes": OBLIQUE},
    "oblique, flipped, anisotropic": {
        "axes": OBLIQUE @ np.array(fixtures.FLIPPED),
        "spacing": (1.2, 1.5, 2.5),
        "size": (54, 46, 28),
    },
    "far away": {"center": (120.0, -80.0, 900.0)},
}


def thresholdCommand(pause: float = 0.0, shortages: int = 0) -> list[str]:
    """The engine with the stand-in network; see threshold_runner.py."""
    return [Setup.pythonProgram(), str(THRESHOLD_RUNNER), str(pause), str(shortages)]


def runThreshold(widget, pause: float = 0.0, shortages: int = 0):
    """Press Segment with the real engine around the stand-in network; the result's segmentation."""
    widget.logic.segmenter.command = thresholdCommand(pause, shortages)
    widget.ui.segmentButton.click()
    assert fixtures.waitFor(lambda: not widget.logic.segmenter.isBusy, 120)
    assert "Done" in widget.ui.noticeLabel.text, widget.ui.logTextEdit.plainText
    return widget.ui.resultSelector.currentNode()


def runLogic(scenario: str, card, images: dict):
    """A run of the logic alone, with the fake runner; its result."""
    recorder = fixtures.Recorder()
    segmenter = fixtures.fakeSegmenter(scenario)
    try:
        segmenter.start(card, images, RunSettings(), recorder)
        assert fixtures.waitFor(lambda: recorder.result is not None), recorder.log
    finally:
        segmenter.close()
    return recorder.result


def brainCard() -> dict:
    """One T1 image and one label."""
    card = fixtures.brainCard() | NETWORK
    return card | {"roles": [card["roles"][0] | {"intensity": SCALE}], "labels": card["labels"][:1]}


def petctCard() -> dict:
    """CT and PET, lesions listed, SUV measured."""
    card = fixtures.petctCard() | NETWORK
    return card | {"roles": [role | {"intensity": SCALE} for role in card["roles"]]}


def grid(size, spacing, axes=None, center=(0.0, 0.0, 0.0)) -> tuple[np.ndarray, np.ndarray]:
    """Matrix to RAS and the RAS position of every voxel (i, j, k, 3) of a grid around `center`."""
    matrix = np.eye(4)
    matrix[:3, :3] = (np.diag([-1.0, -1.0, 1.0]) if axes is None else axes) * np.array(spacing)
    matrix[:3, 3] = np.array(center) - matrix[:3, :3] @ (np.array(size) - 1) / 2
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    return matrix, indices @ matrix[:3, :3].T + matrix[:3, 3]


def ball(name, radius=24.0, size=(36, 36, 36), spacing=(2.0, 2.0, 2.0), axes=None, center=(0.0, 0.0, 0.0)):
    """A volume whose value falls through half of `LARGEST` exactly on a sphere; and the truth, (k, j, i) booleans."""
    matrix, world = grid(size, spacing, axes, center)
    depth = (radius - np.linalg.norm(world - np.array(center), axis=-1)).transpose(2, 1, 0)
    values = np.clip(LARGEST * (0.5 + depth / 12.0), 0, LARGEST).astype(np.float32)
    return slicer.util.addVolumeFromArray(values, ijkToRAS=matrix, name=name), depth > 0


def volume(name: str, values: np.ndarray, matrix: np.ndarray, unit=None):
    """A volume of (i, j, k) values, with the unit of its voxels when given."""
    array = np.ascontiguousarray(values.transpose(2, 1, 0), dtype=np.float32)
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=matrix, name=name)
    if unit is not None:
        entry = slicer.vtkCodedEntry()
        entry.SetValueSchemeMeaning(*unit)
        node.SetVoxelValueUnits(entry)
    return node


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * float((first & second).sum()) / float(first.sum() + second.sum())


def found(segmentation, reference) -> np.ndarray:
    """All segments of a result together, on the grid of an image, as (k, j, i) booleans."""
    ids = segmentation.GetSegmentation().GetSegmentIDs()
    arrays = [slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name, reference) for name in ids]
    return np.any(np.array(arrays) > 0, axis=0)


def torchFrom(folder: Path):
    """importlib.util.find_spec of a Python whose torch, if any, is in `folder`; everything else is as it is."""

    def findSpec(name: str):
        if name == "torch":
            return importlib.machinery.PathFinder.find_spec(name, [str(folder)])
        return importlib.util.find_spec(name)

    return findSpec
