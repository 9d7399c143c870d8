"""Volumes from files by Slicer's own reader, and into files for the engine."""

from pathlib import Path

import slicer
import vtk

from . import Computer
from .Errors import VeloxSegError
from .Log import logger

# What VTK's NRRD writer can store; the others are cast in a copy.
STORABLE = ("unsigned char", "short", "unsigned short", "int", "unsigned int", "float", "double")
SMALL = {"signed char": vtk.VTK_SHORT, "char": vtk.VTK_SHORT, "bit": vtk.VTK_UNSIGNED_CHAR}
LARGEST_INT = 2**31 - 1
GIGABYTE = 1e9


def load(path: str, name: str, **properties: object):
    """Load a volume into the scene without showing it.

    :param properties: further ones of slicer.util.loadVolume.
    :return: the volume node; None when Slicer cannot read the file.
    """
    try:
        return slicer.util.loadVolume(str(path), {"name": name, "show": False, **properties})
    except RuntimeError as error:
        logger.warning("A volume could not be read: %s", error)
        return None


def write(volumeNode, path: Path, role: str) -> None:
    """Write a volume as NRRD, uncompressed; the node stays as it is.

    :param role: what the image is called in a message.
    :raises VeloxSegError: DISK_FULL, or EXPORT_FAILED for every other reason.
    """
    # A storage node of its own: slicer.util.saveNode would leave one on the person's image.
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetUseCompression(False)
    storage.SetFileName(str(path))
    storable = _storable(volumeNode)
    if storage.WriteData(storable) and path.is_file():
        return
    image = storable.GetImageData()
    needed = image.GetNumberOfPoints() * image.GetNumberOfScalarComponents() * image.GetScalarSize()
    free = Computer.freeDisk(path.parent) if path.parent.is_dir() else needed
    if free < needed:
        raise VeloxSegError("DISK_FULL", free=free / GIGABYTE, needed=needed / GIGABYTE)
    raise VeloxSegError("EXPORT_FAILED", role=role)


def _storable(volumeNode):
    """The volume, or a copy outside the scene with values of a type that can be stored."""
    image = volumeNode.GetImageData()
    found = image.GetScalarTypeAsString()
    if found in STORABLE:
        return volumeNode
    cast = vtk.vtkImageCast()
    cast.SetInputData(image)
    isInt = max(abs(value) for value in image.GetScalarRange()) <= LARGEST_INT
    cast.SetOutputScalarType(SMALL.get(found, vtk.VTK_INT if isInt else vtk.VTK_DOUBLE))
    cast.Update()
    copy = type(volumeNode)()
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    copy.SetIJKToRASMatrix(matrix)
    copy.SetAndObserveImageData(cast.GetOutput())
    return copy
