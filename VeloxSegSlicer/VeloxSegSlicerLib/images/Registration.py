"""Opens the module that can align two images, with its fields filled in. Nothing is registered without a further click."""

import slicer

from ..common import CoreModules, Names

BRAINSFIT = "BRAINSFit"
TRANSFORMS = "Transforms"


def open(moving, fixed) -> bool:
    """Open General Registration for two volumes, or Transforms where this Slicer does not have it.

    :return: whether it was General Registration.
    """
    module = getattr(slicer.modules, BRAINSFIT.lower(), None)
    if module is None:
        CoreModules.show(TRANSFORMS)
        return False
    node = slicer.cli.createNode(module, _fields(moving, fixed))
    node.AddObserver(slicer.vtkMRMLCommandLineModuleNode.StatusModifiedEvent, _Follower(node, moving.GetID()))
    CoreModules.show(BRAINSFIT)
    module.widgetRepresentation().setCurrentCommandLineModuleNode(node)
    return True


def _fields(moving, fixed) -> dict:
    transform = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLLinearTransformNode", f"{Names.nameOf(moving)} to {Names.nameOf(fixed)}"
    )
    return {
        "fixedVolume": fixed.GetID(),
        "movingVolume": moving.GetID(),
        "linearTransform": transform.GetID(),
        "initializeTransformMode": "useGeometryAlign",
        "useRigid": True,
    }


class _Follower:
    """Puts the moving image under the transform once the module has found it."""

    def __init__(self, node, movingId: str) -> None:
        self._node, self._movingId = node, movingId

    def __call__(self, _caller, _event) -> None:
        if self._node.GetStatusString() != "Completed":
            return
        moving = slicer.mrmlScene.GetNodeByID(self._movingId)
        transformId = self._node.GetParameterAsString("linearTransform")
        if moving is not None and slicer.mrmlScene.GetNodeByID(transformId) is not None:
            moving.SetAndObserveTransformNodeID(transformId)
