"""A small scripted module for the tests of the test host: pick a volume, segment it in another process, show it.

It is written as a module for Slicer and knows nothing of the host.
"""

import enum
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import qt
import slicer
import vtk
from slicer import vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    Minimum,
    WithinRange,
    parameterNodeWrapper,
    parameterPack,
)
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Toy(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Toy")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.contributors = ["Somebody (Somewhere)"]
        parent.helpText = _("Segments what is brighter than a threshold.") + self.getDefaultModuleDocumentationLink()
        parent.acknowledgementText = _("None.")
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataCategory("Toy", _("Toy"))
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Toy", sampleName="ToyBox", nodeNames="ToyBox", customDownloader=makeSample
    )


def makeSample(source):
    voxels = np.zeros((20, 24, 28), np.int16)
    voxels[5:15, 6:18, 7:21] = 100
    return [slicer.util.addVolumeFromArray(voxels, name=source.nodeNames)]


class Speed(enum.Enum):
    Fast = "f"
    Slow = "s"


@parameterPack
class Corner:
    x: float
    y: Annotated[float, Default(2.5)]


@parameterPack
class Box:
    corner: Corner
    enabled: bool = True


@parameterNodeWrapper
class ToyParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    extraVolume: vtkMRMLScalarVolumeNode | vtkMRMLLabelMapVolumeNode | None
    outputSegmentation: vtkMRMLSegmentationNode | None
    threshold: Annotated[float, WithinRange(-100, 500)] = 50.0
    smoothing: Annotated[int, Minimum(0), Default(3)]
    invert: bool
    comment: str = "none"
    flavor: Annotated[str, Choice(["plain", "spicy"]), Default("plain")]
    speed: Speed = Speed.Slow
    folder: Path = Path("somewhere")
    box: Box


class ToyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.parameters = None
        self.guiTag = None
        self.history = []

    def setup(self):
        super().setup()
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/Toy.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = ToyLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked()", self.onApply)
        self.ui.cancelButton.connect("clicked(bool)", self.onCancel)
        self.initializeParameterNode()

    def cleanup(self):
        self.history.append("cleanup")
        self.logic.cancel()
        self.setParameterNode(None)  # the dead panel must not go on following the parameter node
        self.removeObservers()

    def enter(self):
        self.history.append("enter")
        self.initializeParameterNode()

    def exit(self):
        self.history.append("exit")
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())
        if self.parameters.inputVolume is None:
            self.parameters.inputVolume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")

    def setParameterNode(self, parameters):
        if self.parameters is not None:
            self.parameters.disconnectGui(self.guiTag)
            self.removeObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self.updateState)
        self.parameters = parameters
        if parameters is not None:
            self.guiTag = parameters.connectGui(self.ui)
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self.updateState)
            self.updateState()

    def updateState(self, caller=None, event=None):
        self.ui.applyButton.enabled = self.parameters.inputVolume is not None and not self.logic.isRunning()
        self.ui.cancelButton.enabled = self.logic.isRunning()

    def onApply(self):
        self.ui.statusLabel.text = _("Running")
        self.logic.start(self.parameters.inputVolume, self.parameters.threshold, self.onProgress, self.onFinished)
        self.updateState()

    def onCancel(self):
        self.logic.cancel()

    def onProgress(self, percent):
        self.ui.progressBar.value = percent

    def onFinished(self, segmentation, text):
        self.ui.statusLabel.text = text
        self.ui.segmentsTable.setSegmentationNode(segmentation)
        self.ui.show3DButton.setSegmentationNode(segmentation)
        if self.parameters is not None:
            self.parameters.outputSegmentation = segmentation
            self.updateState()


WORKER = """
import json, sys, time, numpy as np
folder, threshold, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
image = np.load(folder + "/image.npy")
if threshold < 0:
    sys.exit(3)
for step in range(5):
    print(json.dumps({"progress": 20 * (step + 1)}), flush=True)
    time.sleep(seconds / 5)
np.save(folder + "/mask.npy", (image > threshold).astype("uint8"))
"""


class ToyLogic(ScriptedLoadableModuleLogic):
    def __init__(self):
        super().__init__()
        self.process = None
        self.seconds = 0.1

    def getParameterNode(self):
        return ToyParameterNode(super().getParameterNode())

    def isRunning(self):
        return self.process is not None

    def start(self, volume, threshold, onProgress, onFinished):
        self.folder = slicer.util.tempDirectory()
        self.volumeID = volume.GetID()
        self.onProgress, self.onFinished = onProgress, onFinished
        self.buffer = ""
        np.save(os.path.join(self.folder, "image.npy"), slicer.util.arrayFromVolume(volume))
        self.process = qt.QProcess()
        self.process.connect("readyReadStandardOutput()", self.readOutput)
        self.process.connect("finished(int,QProcess::ExitStatus)", self.processFinished)
        interpreter = shutil.which("PythonSlicer") or sys.executable
        self.process.start(interpreter, ["-c", WORKER, self.folder, str(threshold), str(self.seconds)])

    def readOutput(self):
        self.buffer += self.process.readAllStandardOutput().data().decode()
        *lines, self.buffer = self.buffer.split("\n")
        for line in lines:
            self.onProgress(json.loads(line)["progress"])

    def processFinished(self, exitCode, exitStatus):
        self.process = None
        volume = slicer.mrmlScene.GetNodeByID(self.volumeID)
        segmentation = None
        if exitStatus != qt.QProcess.NormalExit:
            text = _("Stopped")
        elif exitCode != 0:
            text = _("Failed with exit code {code}").format(code=exitCode)
        else:
            text = _("Done")
            segmentation = self.importMask(volume)
        shutil.rmtree(self.folder)
        self.onFinished(segmentation, text)

    def importMask(self, volume):
        mask = np.load(os.path.join(self.folder, "mask.npy"))
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Toy result")
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentID = segmentation.GetSegmentation().AddEmptySegment("bright", "Bright", (0.9, 0.2, 0.1))
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segmentID, volume)
        return segmentation

    def cancel(self):
        if self.process is not None:
            self.process.kill()
            self.process.waitForFinished(2000)


class ToyTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_ThresholdIsRemembered(self):
        parameters = ToyLogic().getParameterNode()
        parameters.threshold = 12.0
        self.assertEqual(ToyLogic().getParameterNode().threshold, 12.0)

    def test_ThresholdHasARange(self):
        parameters = ToyLogic().getParameterNode()
        with self.assertRaises(ValueError):
            parameters.threshold = 1000.0
