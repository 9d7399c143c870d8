"""What the slice views show: the images of a result in the right layers, and the way back."""

import slicer

from .Models import ModelCard

FOREGROUND_OPACITY = 0.5
COMPUTED_TOMOGRAPHY = ("CT",)
EMISSION_TOMOGRAPHY = ("PT", "PET")


class Layers:
    """Sets the slice layers for a result and remembers what a person had chosen before."""

    def __init__(self) -> None:
        self._former: list[tuple] = []
        self._formerColors: dict[str, str] = {}

    @property
    def canRestore(self) -> bool:
        """Whether there is something to go back to."""
        return bool(self._former)

    def show(self, card: ModelCard, images: dict) -> None:
        """Show the images of a result: PET in heat colors over CT, otherwise the reference alone.

        :param images: role name -> volume node, without those that were deleted meanwhile.
        """
        computed = _imageOf(card, images, COMPUTED_TOMOGRAPHY)
        emission = _imageOf(card, images, EMISSION_TOMOGRAPHY)
        self._remember()
        if computed is not None and emission is not None:
            self._useHeatColors(emission)
            slicer.util.setSliceViewerLayers(
                background=computed, foreground=emission, foregroundOpacity=FOREGROUND_OPACITY, fit=True
            )
        elif images.get(card.reference.name) is not None:
            slicer.util.setSliceViewerLayers(
                background=images[card.reference.name], foreground=None, fit=True
            )

    def restore(self) -> None:
        """Go back to the layers from before the first result. Nodes that are gone are skipped."""
        for compositeId, background, foreground, label, foregroundOpacity in self._former:
            composite = slicer.mrmlScene.GetNodeByID(compositeId)
            if composite is not None:
                composite.SetBackgroundVolumeID(background)
                composite.SetForegroundVolumeID(foreground)
                composite.SetLabelVolumeID(label)
                composite.SetForegroundOpacity(foregroundOpacity)
        for displayId, colorId in self._formerColors.items():
            display = slicer.mrmlScene.GetNodeByID(displayId)
            if display is not None:
                display.SetAndObserveColorNodeID(colorId)
        self.forget()

    def forget(self) -> None:
        """Drop what was remembered, for a closed scene."""
        self._former, self._formerColors = [], {}

    def _remember(self) -> None:
        # Only the first time: a second result must not overwrite the person's own layers with ours.
        if self._former:
            return
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            self._former.append(
                (
                    composite.GetID(),
                    composite.GetBackgroundVolumeID(),
                    composite.GetForegroundVolumeID(),
                    composite.GetLabelVolumeID(),
                    composite.GetForegroundOpacity(),
                )
            )

    def _useHeatColors(self, volumeNode) -> None:
        if volumeNode.GetDisplayNode() is None:
            volumeNode.CreateDefaultDisplayNodes()
        display = volumeNode.GetDisplayNode()
        heat = slicer.mrmlScene.GetFirstNodeByName("PET-Heat")
        if heat is not None and display.GetColorNodeID() != heat.GetID():
            self._formerColors.setdefault(display.GetID(), display.GetColorNodeID())
            display.SetAndObserveColorNodeID(heat.GetID())


def jumpTo(positionRas) -> None:
    """Center all slice views on a position in RAS mm."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(
        slicer.mrmlScene, *(float(value) for value in positionRas), slicer.vtkMRMLSliceNode.CenteredJumpSlice
    )


def _imageOf(card: ModelCard, images: dict, modalities: tuple[str, ...]):
    role = next((role for role in card.roles if role.modality.upper() in modalities), None)
    return images.get(role.name) if role else None
