"""VeloxSeg Segmentation: introduces the module to Slicer. The work is done in VeloxSegSlicerLib."""

import sys
from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from VeloxSegSlicerLib.common.Models import Catalogue, importedModelsFolder
from VeloxSegSlicerLib.common.Parameters import VeloxSegParameters, mend
from VeloxSegSlicerLib.engine import PendingStep
from VeloxSegSlicerLib.panel.Widget import Panel
from VeloxSegSlicerLib.results import StatisticsPlugin
from VeloxSegSlicerLib.run import Console, Samples
from VeloxSegSlicerLib.run.Segmenter import Segmenter
from VeloxSegSlicerLib.widgets import PlainText

MODULE_FOLDER = Path(__file__).resolve().parent


class VeloxSegSlicer(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("VeloxSeg Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SubjectHierarchy", "Volumes"]
        parent.contributors = ["VeloxSegSlicer contributors"]
        parent.helpText = _(
            "Segments medical images with small, fast networks on this computer: choose a task, check the"
            " images and press Segment. Results are named, measured segments that tell how they were made."
            ' See the <a href="https://github.com/VeloxSeg/SlicerVeloxSegSlicer#readme">documentation</a>.'
        )
        parent.acknowledgementText = _(
            "Implements the network of the paper on VeloxSeg independently from its description. For research"
            " only: not for clinical use; a qualified person must check every result."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)
        slicer.app.connect("startupCompleted()", StatisticsPlugin.register)
        slicer.app.connect("startupCompleted()", PendingStep.showModuleIfDue)


def registerSampleData() -> None:
    """Add the module's samples to Slicer's Sample Data module."""
    Samples.register(MODULE_FOLDER, MODULE_FOLDER / "Resources" / "Icons")


class VeloxSegSlicerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Slicer's hooks; the panel itself is VeloxSegSlicerLib.panel.Widget.Panel."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None
        self._uiWidget = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None

    def setup(self) -> None:
        """Build the panel. Nothing is installed, downloaded or probed on the graphics card here."""
        ScriptedLoadableModuleWidget.setup(self)
        self._uiWidget = PlainText.load(self.resourcePath("UI/VeloxSegSlicer.ui"))
        self.layout.addWidget(self._uiWidget)
        self.ui = slicer.util.childWidgetVariables(self._uiWidget)
        self._uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = VeloxSegSlicerLogic()
        self.panel = Panel(self.ui, self.logic.catalogue, self.logic.segmenter)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        # Before the selectors hear of it.
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved, priority=1.0)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when Slicer quits and before a reload: end processes and let go of the scene."""
        if self.panel is not None:
            # The old panel would otherwise go on following the parameter node of the new one.
            self.setParameterNode(None)
        # Before the panel goes: an event of the scene would find none.
        self.removeObservers()
        if self.panel is not None:
            self.panel.cleanup()
            self.panel = None
            self._uiWidget.setMRMLScene(None)

    def enter(self) -> None:
        """Called each time the person opens this module."""
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self) -> None:
        """Called each time the person opens another module; a run goes on."""
        if self.panel is not None:
            self.panel.exit()

    def onReload(self) -> None:
        """Developer's reload: the packages below the module must be read again as well."""
        for name in [name for name in sys.modules if name.split(".")[0] in ("VeloxSegSlicerLib", "veloxseg")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event) -> None:
        """The parameter node goes away with the scene, and a run with it."""
        self.panel.sceneWillClose()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event) -> None:
        """A new scene starts."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneStartImport(self, caller, event) -> None:
        """Half a scene is there: selectors that do not know a node yet must not clear the choice."""
        self.setParameterNode(None)

    def onSceneEndImport(self, caller, event) -> None:
        """A scene was loaded; it may bring other choices. Some selectors hear of the end after us."""
        qt.QTimer.singleShot(0, self._showLoadedScene)

    def _showLoadedScene(self) -> None:
        if self.panel is not None and self.parent.isEntered:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAdded(self, caller, event, node) -> None:
        """New images may belong to a role that is still empty."""
        if node is not None and node.IsA("vtkMRMLVolumeNode"):
            self.panel.imageAdded()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller, event, node) -> None:
        """What was chosen and is deleted must not be replaced by its neighbor."""
        if node is not None and not caller.IsClosing():
            self.panel.nodeWillBeRemoved(node)

    def initializeParameterNode(self) -> None:
        """Make sure that the parameter node exists and is shown."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: VeloxSegParameters | None) -> None:
        """Show another parameter node, or none."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
        if self.panel is not None:
            self.panel.setParameters(parameterNode)

    def onApplyButton(self) -> None:
        """Start or cancel a run, as the one large button does."""
        self.panel.run.startOrCancel()

    def _checkCanApply(self, caller=None, event=None) -> None:
        self.panel.update()


class VeloxSegSlicerLogic(ScriptedLoadableModuleLogic):
    """Everything that works without a window."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.catalogue = Catalogue(MODULE_FOLDER / "Resources" / "Models", importedModelsFolder())
        self.segmenter = Segmenter(MODULE_FOLDER)

    def segment(self, images, model: str | None = None):
        """For Slicer's console: `slicer.util.getModuleLogic("VeloxSegSlicer").segment({"CT": ct, "PET": pet})`.

        :return: the segmentation node; see `Console.segment`.
        """
        return Console.segment(self.catalogue, self.segmenter, images, model)

    def getParameterNode(self) -> VeloxSegParameters:
        """The choices that are saved with the scene."""
        node = super().getParameterNode()
        mend(node)
        return VeloxSegParameters(node)


class VeloxSegSlicerTest(ScriptedLoadableModuleTest):
    """A first look; the tests proper are in Testing/Python."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def test_modelCardsAreReadable(self) -> None:
        """Every shipped model can be read."""
        self.assertEqual(VeloxSegSlicerLogic().catalogue.errors, [])

    def test_panelOpens(self) -> None:
        """The panel can be built, with or without torch."""
        widget = slicer.util.getModuleWidget("VeloxSegSlicer")
        self.assertIsNotNone(widget.panel)
