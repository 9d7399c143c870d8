"""Subject hierarchy items for data nodes.

In Slicer they are made by Qt plug-ins, which the wheel lacks: an item appears when a displayable node is added (not
while a scene is read or closed), goes with its node, and is completed after a scene was read. A segment needs the item
of its segmentation: Slicer logs an error where there is none, because the node was hidden before it was added.
"""

import slicer
import vtk

_OTHER_CLASSES = ("vtkMRMLTableNode", "vtkMRMLTextNode")
_OWNERS = (
    ("vtkMRMLSegmentationNode", "Segmentations"),
    ("vtkMRMLLabelMapVolumeNode", "LabelMaps"),
    ("vtkMRMLVolumeNode", "Volumes"),
    ("vtkMRMLMarkupsNode", "Markups"),
    ("vtkMRMLModelNode", "Models"),
    ("vtkMRMLTableNode", "Tables"),
    ("vtkMRMLTextNode", "Texts"),
    ("vtkMRMLTransformNode", "Transforms"),
)


def _belongs(node):
    if node.GetHideFromEditors():
        return False
    return node.IsA("vtkMRMLDisplayableNode") or any(node.IsA(name) for name in _OTHER_CLASSES)


def install(scene):

    def hierarchy():
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)

    def addItem(node):
        if _belongs(node) and not hierarchy().GetItemByDataNode(node):
            item = hierarchy().CreateItem(hierarchy().GetSceneItemID(), node)
            owner = next((owner for nodeClass, owner in _OWNERS if node.IsA(nodeClass)), "")
            hierarchy().SetItemOwnerPluginName(item, owner)

    def onSegmentAdded(segmentation, event):
        if not scene.IsImporting() and not hierarchy().GetItemByDataNode(segmentation):
            raise RuntimeError(f"Failed to access subject hierarchy item for segmentation node {segmentation.GetName()}")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAdded(caller, event, node):
        if node.IsA("vtkMRMLSegmentationNode"):
            node.AddObserver(slicer.vtkSegmentation.SegmentAdded, onSegmentAdded)
        if not (scene.IsImporting() or scene.IsClosing() or scene.IsRestoring()):
            addItem(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(caller, event, node):
        if not (scene.IsImporting() or scene.IsClosing()) and _belongs(node):
            item = hierarchy().GetItemByDataNode(node)
            if item:
                hierarchy().RemoveItem(item, False, False)

    def onEndImport(caller, event):
        for index in range(scene.GetNumberOfNodes()):
            addItem(scene.GetNthNode(index))

    scene.AddObserver(scene.NodeAddedEvent, onNodeAdded)
    scene.AddObserver(scene.NodeAboutToBeRemovedEvent, onNodeAboutToBeRemoved)
    scene.AddObserver(scene.EndImportEvent, onEndImport)
