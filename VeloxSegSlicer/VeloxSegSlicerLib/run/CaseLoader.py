"""A finished case of a batch into the scene: its images, and its result like that of a run in the panel."""

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from ..common import Geometry, Names, Shapes, Temporary, VolumeFile
from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard
from ..results import ReportCheck, Results

RUN_FILE = "run.json"
# File of a case -> file of a result folder.
FILES = {"segmentation": "mask.nrrd", "probability": "probability.nrrd", "uncertainty": "uncertainty.nrrd"}


def loadImages(caseName: str, files: dict) -> dict:
    """Load the images of a case.

    :param files: role name -> path.
    :return: role name -> volume node.
    :raises VeloxSegError: IMAGE_MISSING, IMAGE_UNREADABLE.
    """
    return {role: _loadImage(path, f"{caseName} {role}") for role, path in files.items()}


def load(caseFolder: Path, images: dict, card: ModelCard) -> tuple[Results.Loaded, object]:
    """Load the result of a case.

    :param images: role name -> volume node.
    :return: the result, and its segmentation node, which is None when nothing was found.
    :raises VeloxSegError: RESULT_MISSING, RESULT_DAMAGED, RESULT_LABELS, EXPORT_FAILED or DISK_FULL.
    """
    report = _readReport(caseFolder, card)
    temporary = Temporary.newFolder(Temporary.BATCH)
    try:
        grid = _asResultFolder(caseFolder, temporary)
        inputs = tuple(Results.Input(role, node.GetID(), Names.nameOf(node)) for role, node in images.items())
        loaded = Results.load(temporary, report, Results.RunFacts(card, inputs, grid, "BATCH"))
    finally:
        Temporary.remove(temporary)
    return loaded, None if loaded.isEmpty else Results.place(loaded)


def _readReport(caseFolder: Path, card: ModelCard) -> dict:
    try:
        content = Shapes.load((caseFolder / RUN_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise VeloxSegError("RESULT_MISSING") from error
    if Shapes.record({"results": Shapes.anything})(content):
        raise VeloxSegError("RESULT_MISSING")
    ReportCheck.check(content["results"], card)
    return content["results"]


def _loadImage(path: str, name: str):
    if not Path(path).is_file():
        raise VeloxSegError("IMAGE_MISSING", image=name)
    node = VolumeFile.load(path, name, singleFile=True)
    if node is None:
        raise VeloxSegError("IMAGE_UNREADABLE", image=name)
    return node


def _asResultFolder(caseFolder: Path, folder: Path) -> Geometry.WorldGrid:
    """Give the files of a case the names and format of a job's result; returns the grid of the mask."""
    grid = None
    for stem, name in FILES.items():
        path = next(iter(caseFolder.glob(f"{stem}.*")), None)
        if path is None:
            continue
        volume = _read(path)
        grid = grid or Geometry.worldGrid(volume)
        VolumeFile.write(volume, folder / name, _("result's"))
    if grid is None:
        raise VeloxSegError("RESULT_MISSING")
    return grid


def _read(path: Path):
    volume = slicer.vtkMRMLScalarVolumeNode()
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    # The default would turn a left-handed grid over, and the mask would no longer match the image.
    storage.ForceRightHandedIJKCoordinateSystemOff()
    storage.SetFileName(str(path))
    if not storage.ReadData(volume) or volume.GetImageData() is None:
        raise VeloxSegError("RESULT_MISSING")
    return volume
