"""slicer.app.coreIOManager(): the file types that the tests need, on Slicer's own storage nodes."""

import os

import numpy as np
import slicer
import vtk
from PIL import Image
from PySide6 import QtCore

from . import pythonqt

# Longest ending first: ".seg.nrrd" is not a volume.
_FILE_TYPES = (
    (".seg.nrrd", "SegmentationFile"),
    (".seg.nhdr", "SegmentationFile"),
    (".nii.gz", "VolumeFile"),
    (".nrrd", "VolumeFile"),
    (".nhdr", "VolumeFile"),
    (".nii", "VolumeFile"),
    (".mha", "VolumeFile"),
    (".mhd", "VolumeFile"),
    (".dcm", "VolumeFile"),
    (".png", "VolumeFile"),
    (".jpg", "VolumeFile"),
    (".jpeg", "VolumeFile"),
    (".bmp", "VolumeFile"),
    (".mrb", "SceneFile"),
    (".mrml", "SceneFile"),
    (".h5", "TransformFile"),
    (".tfm", "TransformFile"),
    (".mrk.json", "MarkupsFile"),
    (".csv", "TableFile"),
    (".tsv", "TableFile"),
    (".vtk", "ModelFile"),
    (".stl", "ModelFile"),
)
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
_STORAGE = {  # file type -> (node class, storage class)
    "SegmentationFile": ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode"),
    "TransformFile": ("vtkMRMLTransformNode", "vtkMRMLTransformStorageNode"),
    "TableFile": ("vtkMRMLTableNode", "vtkMRMLTableStorageNode"),
    "ModelFile": ("vtkMRMLModelNode", "vtkMRMLModelStorageNode"),
}
_WRITERS = (
    ("vtkMRMLSegmentationNode", "SegmentationFile"),
    ("vtkMRMLVolumeNode", "VolumeFile"),
    ("vtkMRMLTransformNode", "TransformFile"),
    ("vtkMRMLTableNode", "TableFile"),
    ("vtkMRMLModelNode", "ModelFile"),
    ("vtkMRMLMarkupsNode", "MarkupsFile"),
)


class qSlicerIOManager(QtCore.QObject):
    # Reading

    def fileType(self, fileName):
        name = str(fileName).lower()
        return next((fileType for ending, fileType in _FILE_TYPES if name.endswith(ending)), "NoFile")

    def extractKnownExtension(self, fileName, node=None):
        name = str(fileName).lower()
        return next((ending for ending, _ in _FILE_TYPES if name.endswith(ending)), os.path.splitext(name)[1])

    def loadNodes(self, fileType, properties, loadedNodes=None, userMessages=None):
        path = str(properties["fileName"])
        if not os.path.isfile(path):
            if userMessages is not None:
                userMessages.AddMessage(vtk.vtkCommand.ErrorEvent, f"File not found: {path}")
            return False
        if fileType == "SceneFile":
            return self._loadScene(path, properties)
        baseName = os.path.basename(path)[: -len(self.extractKnownExtension(path)) or None]
        name = properties.get("name") or slicer.mrmlScene.GenerateUniqueName(baseName)
        if fileType == "VolumeFile":
            node = self._loadVolume(path, name, properties)
        elif fileType in _STORAGE:
            node = self._loadByStorage(path, name, *_STORAGE[fileType])
        else:
            raise ValueError(f"The test host cannot read files of type {fileType}")
        if node is not None and loadedNodes is not None:
            loadedNodes.AddItem(node)
        return node is not None

    def _loadScene(self, path, properties):
        scene = slicer.mrmlScene
        if properties.get("clear", False):
            scene.Clear(False)
        if path.endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, False))
        scene.SetURL(path)
        return bool(scene.Import())

    def _loadVolume(self, path, name, properties):
        if path.lower().endswith(_PICTURES):
            # The wheel has no PNG and JPEG readers. As in Slicer the first row is the most superior and anterior one.
            picture = Image.open(path)
            if picture.mode not in ("L", "RGB", "RGBA"):
                picture = picture.convert("RGB")
            pixels = np.asarray(picture)[None]
            nodeClass = "vtkMRMLScalarVolumeNode" if picture.mode == "L" else "vtkMRMLVectorVolumeNode"
            node = slicer.util.addVolumeFromArray(pixels, np.diag([-1.0, -1.0, 1.0, 1.0]), name, nodeClass)
        else:
            labelMapOption = 1
            options = labelMapOption if properties.get("labelmap") else 0
            node = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, options)
        if node is not None and properties.get("show", True):
            slicer.util.setSliceViewerLayers(background=node, fit=True)
        return node

    def _loadByStorage(self, path, name, nodeClass, storageClass):
        scene = slicer.mrmlScene
        node = scene.AddNewNodeByClass(nodeClass, name)
        storage = scene.AddNewNodeByClass(storageClass)
        storage.SetFileName(path)
        node.SetAndObserveStorageNodeID(storage.GetID())
        if not storage.ReadData(node):
            scene.RemoveNode(storage)
            scene.RemoveNode(node)
            return None
        if node.IsA("vtkMRMLDisplayableNode"):
            node.CreateDefaultDisplayNodes()
        return node

    # Writing

    def fileWriterFileType(self, node):
        return next((fileType for nodeClass, fileType in _WRITERS if node.IsA(nodeClass)), "NoFile")

    def fileWriterExtensions(self, node):
        storage = node.CreateDefaultStorageNode()
        storage.SetScene(slicer.mrmlScene)  # the scene knows the formats
        formats = storage.GetSupportedWriteFileTypes()
        return tuple(formats.GetValue(index) for index in range(formats.GetNumberOfValues()))

    def saveNodes(self, fileType, properties, userMessages=None):
        path = str(properties["fileName"])
        scene = slicer.mrmlScene
        if fileType == "SceneFile":
            scene.SetRootDirectory(os.path.dirname(path))
            if path.endswith(".mrb"):
                return bool(scene.WriteToMRB(path))
            scene.SetURL(path)
            return bool(scene.Commit())
        node = scene.GetNodeByID(properties["nodeID"])
        if node is None:
            return False
        if node.GetStorageNode() is None and not node.AddDefaultStorageNode(path):
            return False
        return self._write(node, node.GetStorageNode(), path, properties)

    def exportNodes(self, nodeIDs, fileNames, properties, hardenTransforms, userMessages=None):
        """As saveNodes, but on a temporary storage node, so that the scene keeps its file names."""
        written = []
        for nodeID, path in zip(nodeIDs, fileNames, strict=True):
            node = slicer.mrmlScene.GetNodeByID(nodeID)
            if hardenTransforms and node.GetParentTransformNode():
                raise NotImplementedError("The test host does not export nodes under a transform in world coordinates")
            storage = node.CreateDefaultStorageNode()
            written.append(self._write(node, storage, str(path), properties))
        return all(written)

    def _write(self, node, storage, path, properties):
        storage.SetFileName(path)
        if "useCompression" in properties:
            storage.SetUseCompression(int(properties["useCompression"]))
        return bool(storage.WriteData(node))

    def registeredFileReaderCount(self, fileType):
        return sum(known == fileType for _, known in _FILE_TYPES)


pythonqt.markAsCppClass(qSlicerIOManager)
