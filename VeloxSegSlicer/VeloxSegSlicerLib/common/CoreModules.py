"""Hands a result over to modules of Slicer's core, where they are present."""

import slicer

EDITOR = "SegmentEditor"
DICOM = "DICOM"


def has(moduleName: str) -> bool:
    """Whether a module is there."""
    return moduleName in slicer.app.moduleManager().modulesNames()


def show(moduleName: str) -> None:
    """Switch to another module; without a main window there is nothing to switch."""
    if slicer.util.mainWindow() is not None:
        slicer.util.selectModule(moduleName)


def edit(segmentationNode, segmentId: str = "") -> None:
    """Open the Segment Editor with a result and its reference image."""
    # It has no widget before it was opened once.
    getattr(slicer.modules, EDITOR.lower()).widgetRepresentation()
    show(EDITOR)
    editor = getattr(slicer.modules, f"{EDITOR}Widget").editor
    editor.setSegmentationNode(segmentationNode)
    image = segmentationNode.GetNodeReference(segmentationNode.GetReferenceImageGeometryReferenceRole())
    if image is not None:
        editor.setSourceVolumeNode(image)
    if segmentId:
        editor.setCurrentSegmentID(segmentId)


def exportDicom(segmentationNode) -> None:
    """Open Slicer's DICOM export with a result chosen."""
    # The dialog lists the exporters of the DICOM module, which must have been opened once.
    getattr(slicer.modules, DICOM.lower()).widgetRepresentation()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    dialog = slicer.qSlicerDICOMExportDialog(None)
    dialog.setMRMLScene(slicer.mrmlScene)
    dialog.execDialog(hierarchy.GetItemByDataNode(segmentationNode))
