"""What the slice views show: the images of a result in the right layers, and the way back."""

import slicer

from ..common.Models import ModelCard

FOREGROUND_OPACITY = 0.5
COMPUTED_TOMOGRAPHY = ("CT",)
EMISSION_TOMOGRAPHY = ("PT", "PET")


class Layers:
    """Sets the slice layers for a result and remembers what a person had chosen before."""

    def __init__(self) -> None:
        self._former: list[tuple] = []
        self._formerColors: dict[str, str] = {}
        self._formerLayout: int | None = None
        self._covered: dict[str, tuple] = {}

    @property
    def canRestore(self) -> bool:
        """Whether there is something to go back to."""
        return bool(self._former)

    def show(self, card: ModelCard, images: dict) -> None:
        """Show the images of a result: PET in heat colors over CT, otherwise the reference alone; a photo in one view.

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
            slicer.util.setSliceViewerLayers(background=images[card.reference.name], foreground=None, fit=True)
        if card.takes_photo:
            self._showOneSliceView()

    def cover(self, volumeNode, opacity: float) -> None:
        """Put a volume in front of the images, and remember what was in front."""
        if not self._covered:
            for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
                former = (composite.GetForegroundVolumeID(), composite.GetForegroundOpacity())
                self._covered[composite.GetID()] = former
        slicer.util.setSliceViewerLayers(foreground=volumeNode, foregroundOpacity=opacity)

    def setCoverOpacity(self, opacity: float) -> None:
        """How much the volume in front covers the image (0-1)."""
        slicer.util.setSliceViewerLayers(foregroundOpacity=opacity)

    def uncover(self) -> None:
        """Bring back what was in front before `cover`."""
        for compositeId, (foreground, opacity) in self._covered.items():
            composite = slicer.mrmlScene.GetNodeByID(compositeId)
            if composite is not None:
                composite.SetForegroundVolumeID(foreground)
                composite.SetForegroundOpacity(opacity)
        self._covered = {}

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
        if self._formerLayout is not None:
            slicer.app.layoutManager().setLayout(self._formerLayout)
        self.forget()

    def forget(self) -> None:
        """Drop what was remembered, for a closed scene."""
        self._former, self._formerColors, self._formerLayout, self._covered = [], {}, None, {}

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

    def _showOneSliceView(self) -> None:
        """A photo has one slice: two of three views would show a line."""
        manager = slicer.app.layoutManager()
        if manager is not None:
            if self._formerLayout is None:
                self._formerLayout = manager.layout
            manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
            slicer.util.resetSliceViews()

    def _useHeatColors(self, volumeNode) -> None:
        if volumeNode.GetDisplayNode() is None:
            volumeNode.CreateDefaultDisplayNodes()
        display = volumeNode.GetDisplayNode()
        heat = slicer.mrmlScene.GetFirstNodeByName("PET-Heat")
        if heat is not None and display.GetColorNodeID() != heat.GetID():
            self._formerColors.setdefault(display.GetID(), display.GetColorNodeID())
            display.SetAndObserveColorNodeID(heat.GetID())


def center3D() -> None:
    """Move the cameras of the 3D views so that everything in them is seen; there are none without a main window."""
    manager = slicer.app.layoutManager()
    if manager is not None:
        manager.resetThreeDViews()


def jumpTo(positionRas) -> None:
    """Center all slice views on a position in RAS mm."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(
        slicer.mrmlScene, *(float(value) for value in positionRas), slicer.vtkMRMLSliceNode.CenteredJumpSlice
    )


def _imageOf(card: ModelCard, images: dict, modalities: tuple[str, ...]):
    role = next((role for role in card.roles if role.modality.upper() in modalities), None)
    return images.get(role.name) if role else None
