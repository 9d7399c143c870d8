"""One test for each thing that the host promises to do as Slicer does, with the toy module as the user."""

import enum
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Annotated

import ctk
import numpy as np
import pytest
import qt
import slicer
import vtk
from slicer.parameterNodeWrapper import Choice, Decimals, Default, WithinRange, parameterNodeWrapper

import slicerhost

TOY_FILE = Path(__file__).resolve().parent / "toy" / "Toy.py"


@pytest.fixture(scope="module")
def toyModule():
    return slicerhost.loadModule(TOY_FILE)


@pytest.fixture
def toy(toyModule):
    """The toy's Python widget, entered."""
    panel = slicerhost.showModule("Toy")
    yield panel.self()
    slicerhost.showModule(None)


def addVolume(name="Volume", nodeClass="vtkMRMLScalarVolumeNode"):
    """A gray block with a bright box in the patient's left, anterior, superior part."""
    voxels = np.zeros((30, 32, 34), np.int16)
    voxels[3:27, 3:29, 3:31] = 40
    voxels[18:26, 4:12, 20:30] = 200
    leftPosteriorSuperior = np.diag([-2.0, -2.0, 3.0, 1.0])
    leftPosteriorSuperior[:3, 3] = [33.0, 31.0, -43.0]
    return slicer.util.addVolumeFromArray(voxels, leftPosteriorSuperior, name, nodeClass)


def loadUiText(text):
    ui = qt.QUiLoader()
    buffer = qt.QBuffer()
    buffer.setData(text.encode())
    buffer.open(qt.QIODevice.ReadOnly)
    return ui.load(buffer)


def uiFile(widgets, connections=""):
    return (
        f'<ui version="4.0"><class>Top</class><widget class="qMRMLWidget" name="Top">'
        f'<layout class="QVBoxLayout">{widgets}</layout></widget><connections>{connections}</connections></ui>'
    )


# Life cycle ---------------------------------------------------------------------------------------


class TestLifeCycle:
    def test_moduleObjectDescribesTheModule(self, toyModule):
        assert slicer.modules.toy is toyModule
        assert slicer.modules.ToyInstance.parent is toyModule
        assert slicer.moduleNames.Toy == "Toy"
        assert slicer.util.getModule("Toy") is toyModule
        assert (toyModule.name, toyModule.title) == ("Toy", "Toy")
        assert toyModule.categories == ("Segmentation",)  # string lists are tuples
        assert toyModule.path == str(TOY_FILE)
        assert slicer.selfTests["Toy"] == slicer.modules.ToyInstance.runTest

    def test_startupCompletedIsHeardOnce(self, toyModule):
        import SampleData

        sources = SampleData.SampleDataLogic.sampleDataSourcesByCategory("Toy")
        assert [source.sampleName for source in sources] == ["ToyBox"]
        node = SampleData.SampleDataLogic().downloadSample("ToyBox")
        assert node.GetName() == "ToyBox"
        calls = []
        slicer.app.connect("startupCompleted()", lambda: calls.append(1))
        slicer.app._finishStartup()
        slicer.app._finishStartup()
        assert calls == [1]

    def test_widgetIsMadeAtFirstUse(self, tmp_path):
        (tmp_path / "Lazy.py").write_text(
            "import slicer\n"
            "from slicer.ScriptedLoadableModule import *\n"
            "class Lazy(ScriptedLoadableModule):\n"
            "    pass\n"
            "class LazyWidget(ScriptedLoadableModuleWidget):\n"
            "    def setup(self):\n"
            "        self.layoutAtSetup = self.parent.layout()\n"
            "        self.knownAtSetup = slicer.modules.LazyWidget is self\n"
        )
        module = slicerhost.loadModule(tmp_path / "Lazy.py")
        assert not hasattr(slicer.modules, "LazyWidget")
        widget = module.widgetRepresentation().self()
        assert module.widgetRepresentation() is module.widgetRepresentation()
        assert slicer.util.getModuleWidget("Lazy") is widget
        assert widget.layoutAtSetup.className() == "QVBoxLayout"
        assert widget.knownAtSetup

    def test_moduleWithoutWidgetHasNoRepresentation(self, tmp_path):
        (tmp_path / "Bare.py").write_text(
            "from slicer.ScriptedLoadableModule import *\nclass Bare(ScriptedLoadableModule):\n    pass\n"
        )
        assert slicerhost.loadModule(tmp_path / "Bare.py").widgetRepresentation() is None

    def test_enterAndExitFollowTheUser(self, toyModule):
        widget = slicerhost.showModule("Toy").self()
        widget.history.clear()
        slicerhost.showModule(None)
        assert not widget.parent.isEntered
        slicerhost.showModule("Toy")
        assert widget.parent.isEntered
        slicerhost.showModule(None)
        assert widget.history == ["exit", "enter", "exit"]

    def test_reloadKeepsTheParentAndCleansTheOldWidget(self, toy):
        oldModule = sys.modules["Toy"]
        slicer.util.reloadScriptedModule("Toy")
        new = slicer.modules.ToyWidget
        assert new is not toy and new.parent is toy.parent
        assert toy.history[-1] == "cleanup"
        assert sys.modules["Toy"] is not oldModule
        assert type(new) is sys.modules["Toy"].ToyWidget
        assert new.parent.layout().count() == 1
        new.parameters.threshold = 77.0
        assert new.ui.thresholdSlider.value == 77.0
        assert toy.ui.thresholdSlider.value != 77.0  # the dead panel does not follow the new one

    def test_unloadingCallsCleanupOnce(self, toy):
        toy.history.clear()
        for _ in range(2):
            slicer.app.moduleManager().moduleAboutToBeUnloaded.emit("Toy")
        assert toy.history == ["cleanup"]
        slicer.util.reloadScriptedModule("Toy")  # a live panel for the other tests

    def test_resourcePathNeedsTheRegisteredName(self, toy):
        assert Path(toy.resourcePath("UI/Toy.ui")).is_file()

        class StrangeWidget(slicer.ScriptedLoadableModule.ScriptedLoadableModuleWidget):
            pass

        with pytest.raises(AttributeError):
            StrangeWidget(qt.QWidget()).resourcePath("UI/Toy.ui")

    def test_widgetWithoutParentMakesItsOwn(self):
        class FreeWidget(slicer.ScriptedLoadableModule.ScriptedLoadableModuleWidget):
            pass

        widget = FreeWidget()
        assert widget.parent.className() == "qMRMLWidget"
        assert widget.parent.mrmlScene() is slicer.mrmlScene

    def test_developerSectionOnlyInDeveloperMode(self):
        class DevelopedWidget(slicer.ScriptedLoadableModule.ScriptedLoadableModuleWidget):
            pass

        qt.QSettings().setValue("Developer/DeveloperMode", "true")
        try:
            developed = DevelopedWidget()
        finally:
            qt.QSettings().setValue("Developer/DeveloperMode", "false")
        assert developed.reloadButton.text == "Reload"
        assert not hasattr(DevelopedWidget(), "reloadButton")


# Scripted tests -----------------------------------------------------------------------------------


class TestScriptedTests:
    def test_unittestRunsTheModulesTests(self, toyModule):
        suite = unittest.TestLoader().loadTestsFromName("Toy.ToyTest")
        result = unittest.TestResult()
        suite.run(result)
        assert result.testsRun == 2 and result.wasSuccessful(), result.errors

    def test_reloadAndTestButtonRunsThemToo(self, toy):
        toy.onReloadAndTest()

    def test_runTestCallsEveryNameWithTestInIt(self):
        called = []

        class SomeTest(slicer.ScriptedLoadableModule.ScriptedLoadableModuleTest):
            def test_a(self):
                called.append("test_a")

            def _check_test_b(self):
                called.append("_check_test_b")

        SomeTest().runTest()
        assert set(called) == {"test_a", "_check_test_b"}

    def test_setUpDoesNotClearTheScene(self):
        """A module's test class has to do it itself."""
        volume = addVolume()
        slicer.ScriptedLoadableModule.ScriptedLoadableModuleTest().setUp()
        assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode") is volume

    def test_failureInATestIsAnError(self, toyModule):
        class SomeTest(slicer.ScriptedLoadableModule.ScriptedLoadableModuleTest):
            def test_a(self):
                self.fail()

        with pytest.raises(AssertionError):
            SomeTest().runTest()


# Scene wiring and node selectors ------------------------------------------------------------------


class TestSceneWiring:
    def test_sceneComesOnlyThroughTheUiConnections(self, toy):
        assert toy.ui.inputSelector.mrmlScene() is slicer.mrmlScene
        text = (TOY_FILE.parent / "Resources/UI/Toy.ui").read_text()
        start = text.index("<connection>")
        end = text.index("</connection>") + len("</connection>")
        widget = loadUiText(text[:start] + text[end:])
        widget.setMRMLScene(slicer.mrmlScene)
        ui = slicer.util.childWidgetVariables(widget)
        assert ui.inputSelector.mrmlScene() is None and not ui.inputSelector.enabled
        assert ui.extraSelector.mrmlScene() is slicer.mrmlScene and ui.extraSelector.enabled

    def test_unknownWidgetClassIsAnError(self):
        with pytest.raises(RuntimeError, match="qMRMLMagicWidget"):
            loadUiText(uiFile('<item><widget class="qMRMLMagicWidget" name="x"/></item>'))

    def test_unknownPropertyIsAnError(self):
        with pytest.raises(RuntimeError, match="colour"):
            loadUiText(
                uiFile(
                    '<item><widget class="QLabel" name="x"><property name="colour"><string>red</string>'
                    "</property></widget></item>"
                )
            )

    @pytest.mark.parametrize("signal, slot", [("clicked(bool)", "setHiden(bool)"), ("clickd(bool)", "setHidden(bool)")])
    def test_wrongConnectionIsAnError(self, signal, slot):
        connection = (
            f"<connection><sender>button</sender><signal>{signal}</signal><receiver>label</receiver>"
            f"<slot>{slot}</slot></connection>"
        )
        widgets = '<item><widget class="QPushButton" name="button"/></item><item><widget class="QLabel" name="label"/></item>'
        with pytest.raises((AttributeError, ValueError)):
            loadUiText(uiFile(widgets, connection))

    def test_plainQtConnectionsWork(self):
        connection = (
            "<connection><sender>box</sender><signal>toggled(bool)</signal><receiver>label</receiver>"
            "<slot>setEnabled(bool)</slot></connection>"
        )
        top = loadUiText(
            uiFile(
                '<item><widget class="QCheckBox" name="box"/></item><item><widget class="QLabel" name="label"/></item>',
                connection,
            )
        )
        ui = slicer.util.childWidgetVariables(top)
        ui.box.checked = True
        ui.box.checked = False
        assert not ui.label.enabled


class TestNodeComboBox:
    @pytest.fixture
    def selector(self):
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        return selector

    def test_disabledWithoutSceneAndRemembersTheNode(self, selector):
        volume = addVolume()
        assert not selector.enabled
        selector.setCurrentNodeID(volume.GetID())
        assert selector.currentNode() is None
        selector.setMRMLScene(slicer.mrmlScene)
        assert selector.enabled
        assert selector.currentNode() is volume

    @pytest.mark.parametrize("noneEnabled", [True, False])
    def test_neverSelectsByItself(self, selector, noneEnabled):
        selector.noneEnabled = noneEnabled
        selector.setMRMLScene(slicer.mrmlScene)
        addVolume()
        assert selector.nodeCount() == 1
        assert selector.currentNode() is None

    def test_childTypesAndHiddenNodes(self, selector):
        selector.setMRMLScene(slicer.mrmlScene)
        addVolume(nodeClass="vtkMRMLLabelMapVolumeNode")
        addVolume("Hidden").SetHideFromEditors(True)
        assert selector.showChildNodeTypes and selector.nodeCount() == 1
        selector.showChildNodeTypes = False
        assert selector.nodeCount() == 0
        selector.showHidden = True
        assert selector.nodeFromIndex(0).GetName() == "Hidden"

    def test_attributesFilter(self, selector):
        selector.setMRMLScene(slicer.mrmlScene)
        volume = addVolume()
        addVolume("Other")
        selector.addAttribute("vtkMRMLScalarVolumeNode", "role", "PET")
        assert selector.nodeCount() == 0
        volume.SetAttribute("role", "PET")
        assert selector.nodeFromIndex(0) is volume and selector.nodeCount() == 1

    def test_rename(self, selector):
        selector.setMRMLScene(slicer.mrmlScene)
        volume = addVolume()
        selector.setCurrentNode(volume)
        volume.SetName("Better")
        assert selector.findChild(qt.QComboBox).currentText == "Better" and selector.currentNode() is volume

    def test_addNodeSelectsIt(self, selector):
        selector.setMRMLScene(slicer.mrmlScene)
        selector.baseName = "Fresh"
        node = selector.addNode()
        assert node.GetName() == "Fresh" and selector.currentNode() is node

    def test_sceneClose(self, selector):
        selector.setMRMLScene(slicer.mrmlScene)
        selector.setCurrentNode(addVolume())
        slicer.mrmlScene.Clear()
        assert selector.currentNode() is None and selector.nodeCount() == 0


# Parameter node -----------------------------------------------------------------------------------


class Color(enum.Enum):
    Red = 1
    Green = 2


def makeParameterNode(wrapperClass):
    return wrapperClass(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


class TestParameterNode:
    def test_storedAsText(self, toy):
        parameters, node = toy.parameters, toy.parameters.parameterNode
        parameters.threshold = 42
        parameters.invert = True
        parameters.folder = Path("other")
        volume = addVolume()
        parameters.extraVolume = volume
        assert node.GetParameter("threshold") == "42"
        assert node.GetParameter("invert") == "True"
        assert node.GetParameter("speed") == "Slow"
        assert node.GetParameter("folder") == "other"
        assert node.GetParameter("box.corner.y") == "2.5"
        assert node.HasParameter("inputVolume") and node.GetParameter("inputVolume") == ""
        assert node.GetNodeReferenceID("extraVolume.0") == volume.GetID()  # first type of the union
        assert node.GetAttribute("ModuleName") == "Toy"

    def test_defaultsAreWrittenAtConstruction(self, toy):
        node = toy.parameters.parameterNode
        assert [node.GetParameter(name) for name in ("threshold", "smoothing", "flavor")] == [
            "50.0",
            "3",
            "plain",
        ]
        assert toy.parameters.default("threshold").value == 50.0
        assert toy.parameters.extraVolume is None

    def test_panelFollowsTheNode(self, toy):
        toy.parameters.threshold = 120.0
        toy.parameters.speed = sys.modules["Toy"].Speed.Fast
        toy.parameters.box.corner.x = 7.0
        assert toy.ui.thresholdSlider.value == 120.0
        assert toy.ui.speedBox.currentText == "Fast"
        assert toy.ui.cornerBox.value == 7.0

    def test_nodeFollowsThePanel(self, toy):
        volume = addVolume()
        toy.ui.inputSelector.setCurrentNode(volume)
        toy.ui.thresholdSlider.value = 33.5
        toy.ui.smoothingBox.value = 8
        toy.ui.invertBox.checked = True
        toy.ui.commentEdit.text = "hello"
        toy.ui.flavorBox.currentIndex = 1
        toy.ui.folderEdit.currentPath = "elsewhere"
        toy.ui.cornerBox.value = 1.25
        parameters = toy.parameters
        assert parameters.inputVolume is volume
        assert (parameters.threshold, parameters.smoothing, parameters.invert) == (33.5, 8, True)
        assert (parameters.comment, parameters.flavor, parameters.folder) == (
            "hello",
            "spicy",
            Path("elsewhere"),
        )
        assert parameters.box.corner.x == 1.25

    def test_annotationsConfigureTheWidgets(self, toy):
        assert (toy.ui.thresholdSlider.minimum, toy.ui.thresholdSlider.maximum) == (-100.0, 500.0)
        assert (toy.ui.smoothingBox.minimum, toy.ui.smoothingBox.maximum) == (0, 2**31 - 1)
        assert toy.ui.inputSelector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
        assert toy.ui.extraSelector.nodeTypes == ("vtkMRMLScalarVolumeNode", "vtkMRMLLabelMapVolumeNode")
        assert toy.ui.outputSelector.nodeTypes == ("vtkMRMLSegmentationNode",)

    @pytest.mark.parametrize(
        "name, value, error",
        [
            ("threshold", 501.0, ValueError),
            ("threshold", "1", TypeError),
            ("smoothing", -1, ValueError),
            ("smoothing", 1.5, TypeError),
            ("flavor", "sweet", ValueError),
            ("comment", None, ValueError),
            ("invert", 1, TypeError),
            ("speed", "Slow", TypeError),
            ("folder", "text", TypeError),
        ],
    )
    def test_wrongValuesRaise(self, toy, name, value, error):
        before = getattr(toy.parameters, name)
        with pytest.raises(error):
            setattr(toy.parameters, name, value)
        assert getattr(toy.parameters, name) == before

    def test_wrongNodeTypeRaises(self, toy):
        with pytest.raises(TypeError):
            toy.parameters.inputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        with pytest.raises(TypeError):
            toy.parameters.extraVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")

    def test_unionOfNodesNeedsNone(self):
        @parameterNodeWrapper
        class Wrapper:
            volume: slicer.vtkMRMLScalarVolumeNode | slicer.vtkMRMLVectorVolumeNode

        with pytest.raises(TypeError):
            makeParameterNode(Wrapper)

    def test_optionalValues(self):
        @parameterNodeWrapper
        class Wrapper:
            number: int | None
            text: str | None = "a"

        parameters = makeParameterNode(Wrapper)
        assert parameters.number is None and parameters.text == "a"
        parameters.number = 4
        assert parameters.number == 4 and parameters.parameterNode.GetParameter("number.0") == "4"
        parameters.number = None
        assert parameters.number is None and not parameters.parameterNode.HasParameter("number.0")

    def test_packs(self, toy):
        box = toy.parameters.box
        assert (box.enabled, box.corner.x, box.corner.y) == (True, 0, 2.5)
        assert toy.parameters.getValue("box.corner.y") == 2.5
        toy.parameters.setValue("box.corner.y", 9.0)
        assert toy.parameters.box.corner.y == 9.0
        toyPython = sys.modules["Toy"]
        toy.parameters.box = toyPython.Box(corner=toyPython.Corner(1.0, 2.0), enabled=False)
        assert toy.parameters.box.corner.x == 1.0 and not toy.parameters.box.enabled
        assert toy.parameters.dataType("box.corner.x") is float
        with pytest.raises(ValueError):
            toy.parameters.getValue("box.edge")

    def test_oneEventForAPack(self, toy):
        events = []
        tag = toy.parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: events.append(event))
        toyPython = sys.modules["Toy"]
        toy.parameters.box = toyPython.Box(corner=toyPython.Corner(1.0, 2.0))
        toy.parameters.RemoveObserver(tag)
        assert len(events) == 1

    def test_sliderNeedsARange(self):
        @parameterNodeWrapper
        class Wrapper:
            free: float
            bound: Annotated[float, WithinRange(0, 1), Decimals(3)]

        parameters = makeParameterNode(Wrapper)
        slider = ctk.ctkSliderWidget()
        with pytest.raises(RuntimeError):
            parameters.connectParametersToGui({"free": slider})
        parameters.connectParametersToGui({"bound": slider, "free": ctk.ctkDoubleSpinBox()})
        assert slider.decimals == 3

    def test_exactWidgetClass(self):
        class MyCheckBox(qt.QCheckBox):
            pass

        @parameterNodeWrapper
        class Wrapper:
            flag: bool

        with pytest.raises(RuntimeError):
            makeParameterNode(Wrapper).connectParametersToGui({"flag": MyCheckBox()})

    def test_comboBoxNeedsChoiceOrEnumeration(self):
        @parameterNodeWrapper
        class Wrapper:
            text: str
            chosen: Annotated[int, Choice([1, 2]), Default(2)]
            color: Color

        parameters = makeParameterNode(Wrapper)
        with pytest.raises(RuntimeError):
            parameters.connectParametersToGui({"text": qt.QComboBox()})
        box = qt.QComboBox()
        parameters.connectParametersToGui({"chosen": box})
        assert box.currentText == "2"

    def test_enumerationOfARenamedMember(self):
        @parameterNodeWrapper
        class Wrapper:
            color: Color

        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        node.SetParameter("color", "Blue")
        with pytest.raises(ValueError):
            Wrapper(node)

    def test_unknownParameterNameInTheUi(self, toy):
        box = qt.QCheckBox()
        box.setProperty("SlicerParameterName", "mispelt")
        parent = qt.QWidget()
        box.setParent(parent)
        with pytest.raises(ValueError, match="mispelt"):
            toy.parameters.connectGui(parent)

    def test_unknownTypeIsAnError(self):
        with pytest.raises(TypeError):

            @parameterNodeWrapper
            class Wrapper:
                numbers: list[int]

    def test_disconnectGui(self, toy):
        slicerhost.showModule(None)
        parameters = toy.logic.getParameterNode()
        toy.ui.thresholdSlider.value = 11.0
        assert parameters.threshold == 50.0
        parameters.threshold = 12.0
        assert toy.ui.thresholdSlider.value == 11.0

    def test_singletonSurvivesClosingTheScene(self, toy):
        toy.parameters.threshold = 99.0
        first = toy.parameters
        slicer.mrmlScene.Clear()
        assert toy.parameters is not None and toy.parameters is not first
        assert toy.parameters.threshold == 50.0
        assert toy.logic.getParameterNode().parameterNode is toy.parameters.parameterNode

    def test_notRemadeWhenNotEntered(self, toy):
        slicerhost.showModule(None)
        slicer.mrmlScene.Clear()
        assert toy.parameters is None

    def test_savedAndReadBack(self, toy, tmp_path):
        toy.parameters.inputVolume = addVolume("Saved")
        toy.parameters.threshold = 61.0
        assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
        slicer.mrmlScene.Clear()
        slicer.util.loadScene(str(tmp_path / "scene.mrb"))
        assert toy.logic.getParameterNode().threshold == 61.0
        assert toy.logic.getParameterNode().inputVolume.GetName() == "Saved"


# PythonQt's surface -------------------------------------------------------------------------------


class TestPythonQt:
    def test_propertiesAreAttributes(self):
        box = qt.QSpinBox()
        box.value = 5
        assert box.value == 5
        box.setValue(6)
        assert box.value == 6
        with pytest.raises(TypeError):
            box.value()
        label = qt.QLabel()
        with pytest.raises(AttributeError):
            label.hasScaledContent = True
        with pytest.raises(AttributeError):
            assert label.hasScaledContent

    def test_readOnlyAndWrongValues(self):
        combo = qt.QComboBox()
        with pytest.raises(AttributeError):
            combo.count = 3
        with pytest.raises(AttributeError):
            combo.enabled = object()

    def test_nameAndChildren(self):
        parent = qt.QWidget()
        parent.name = "outer"
        child = qt.QLabel("text", parent)
        child.objectName = "inner"
        assert parent.objectName == "outer" and parent.inner is child
        assert child.className() == "QLabel"

    def test_stringListsAreTuples(self):
        widget = slicer.qMRMLNodeComboBox()
        widget.nodeTypes = ["vtkMRMLModelNode"]
        assert widget.nodeTypes == ("vtkMRMLModelNode",)
        dialog = qt.QFileDialog()
        dialog.setProperty("supportedSchemes", ["file"])
        assert dialog.supportedSchemes == ("file",)

    def test_connectBySignature(self):
        button = qt.QPushButton()
        button.checkable = True
        heard = []
        button.connect("clicked(bool)", heard.append)
        button.connect("clicked()", lambda: heard.append("no argument"))
        button.click()
        assert heard == [True, "no argument"]

    def test_slotsGetWhatTheyDeclare(self):
        box = qt.QSpinBox()
        heard = []
        box.valueChanged.connect(lambda: heard.append("none"))
        box.valueChanged.connect(lambda value: heard.append(value))
        box.valueChanged.connect(lambda *values: heard.append(values))
        box.value = 3
        assert heard == ["none", 3, (3,)]

    def test_lambdaDefaultIsOverwrittenAsInPythonQt(self):
        button = qt.QPushButton()
        heard = []
        button.connect("clicked(bool)", lambda value="mine": heard.append(value))
        button.click()
        assert heard == [False]

    def test_disconnect(self):
        button = qt.QPushButton()
        heard = []

        def listen():
            heard.append(1)

        button.connect("clicked()", listen)
        assert button.disconnect("clicked()", listen)
        assert not button.disconnect("clicked()", listen)
        button.clicked.connect(listen)
        button.clicked.disconnect(listen)
        button.click()
        assert heard == []

    def test_unknownSignalIsAnError(self):
        with pytest.raises(ValueError):
            qt.QPushButton().connect("klicked()", print)
        with pytest.raises(AttributeError):
            assert qt.QPushButton().klicked
        with pytest.raises(TypeError):
            qt.QPushButton().clicked[bool]

    def test_errorInASlotIsReportedAndDoesNotStop(self, noErrorInCallbacks):
        button = qt.QPushButton()
        heard = []

        def broken():
            raise KeyError("broken")

        button.clicked.connect(broken)
        button.clicked.connect(lambda: heard.append(1))
        button.click()
        assert heard == [1]
        assert [error[0] for error in noErrorInCallbacks] == [KeyError]
        noErrorInCallbacks.clear()

    def test_errorInAnObserverIsReported(self, noErrorInCallbacks):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")

        def broken(caller, event):
            raise KeyError("broken")

        node.AddObserver(vtk.vtkCommand.ModifiedEvent, broken)
        node.SetAttribute("a", "b")
        assert [error[0] for error in noErrorInCallbacks] == [KeyError]
        noErrorInCallbacks.clear()

    def test_modalDialogsAreRefused(self):
        with pytest.raises(RuntimeError, match="slicer.util"):
            qt.QMessageBox.question(None, "title", "text")
        with pytest.raises(RuntimeError):
            qt.QFileDialog.getOpenFileName(None, "title")

    def test_ownClassesMayHaveAttributes(self):
        class Own(qt.QWidget):
            pass

        own = Own()
        own.anything = 3
        assert own.anything == 3

    def test_settingsAreIsolated(self, tmp_path):
        settings = qt.QSettings()
        settings.setValue("Toy/key", "value")
        assert qt.QSettings().value("Toy/key") == "value"
        assert slicer.util.settingsValue("Toy/key", "other") == "value"
        assert slicer.app.temporaryPath in settings.fileName()

    def test_timer(self, waitFor):
        heard = []
        timer = qt.QTimer()
        timer.setSingleShot(True)
        timer.interval = 1
        timer.connect("timeout()", lambda: heard.append("timer"))
        timer.start()
        qt.QTimer.singleShot(0, lambda: heard.append("shot"))
        waitFor(lambda: len(heard) == 2)
        assert set(heard) == {"timer", "shot"}


class TestProcess:
    def run(self, code, waitFor, prepare=lambda process: None):
        """Runs Python code in a process; returns the process and what its finished signal said."""
        process = qt.QProcess()
        ending = []
        process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ending.append((code, status)))
        prepare(process)
        process.start(sys.executable, ["-c", code])
        waitFor(lambda: ending)
        return process, ending[0]

    def test_outputArrivesWhileItRuns(self, waitFor):
        lines = []

        def prepare(process):
            process.connect(
                "readyReadStandardOutput()",
                lambda: lines.append(process.readAllStandardOutput().data().decode()),
            )

        code = "import sys, time; print('one', flush=True); time.sleep(0.2); print('two'); print('bad', file=sys.stderr)"
        process, ending = self.run(code, waitFor, prepare)
        assert "".join(lines).split() == ["one", "two"] and len(lines) == 2
        assert process.readAllStandardError().data() == b"bad\n"
        assert ending == (0, qt.QProcess.NormalExit)

    def test_exitCode(self, waitFor):
        process, ending = self.run("raise SystemExit(5)", waitFor)
        assert ending == (5, qt.QProcess.NormalExit)
        assert process.exitCode() == 5 and process.state() == qt.QProcess.NotRunning

    def test_crash(self, waitFor):
        _, (code, status) = self.run("import os; os.abort()", waitFor)
        assert status == qt.QProcess.CrashExit

    @pytest.mark.parametrize("stop", ["kill", "terminate"])
    def test_stop(self, waitFor, stop):
        def prepare(process):
            process.connect("started()", lambda: getattr(process, stop)())

        _, (code, status) = self.run("import time; time.sleep(60)", waitFor, prepare)
        assert status == qt.QProcess.CrashExit

    def test_failedToStart(self, waitFor):
        process = qt.QProcess()
        errors = []
        process.connect("errorOccurred(QProcess::ProcessError)", errors.append)
        process.start("no-such-program-anywhere", [])
        waitFor(lambda: errors)
        assert errors == [qt.QProcess.FailedToStart]

    def test_closingStandardInput(self, waitFor):
        def prepare(process):
            process.connect("started()", process.closeWriteChannel)

        _, ending = self.run("import sys; sys.stdin.read(); raise SystemExit(6)", waitFor, prepare)
        assert ending == (6, qt.QProcess.NormalExit)

    def test_environment(self, waitFor):
        def prepare(process):
            environment = qt.QProcessEnvironment.systemEnvironment()
            environment.insert("TOY_NUMBER", "17")
            process.setProcessEnvironment(environment)

        _, ending = self.run("import os; raise SystemExit(int(os.environ['TOY_NUMBER']))", waitFor, prepare)
        assert ending == (17, qt.QProcess.NormalExit)


# Widgets ------------------------------------------------------------------------------------------


class TestWidgets:
    def test_sliderLimitsItsValue(self):
        slider = ctk.ctkSliderWidget()
        heard = []
        slider.connect("valueChanged(double)", heard.append)
        slider.maximum = 10.0
        slider.value = 20.0
        slider.setValue(3.0)
        slider.maximum = 2.0
        assert heard == [10.0, 3.0, 2.0] and slider.value == 2.0

    def test_collapsibleButtonHidesItsContents(self, toy):
        toy.parent.show()
        slicer.app.processEvents()
        assert toy.ui.advancedButton.collapsed and not toy.ui.thresholdSlider.visible
        toy.ui.advancedButton.collapsed = False
        assert toy.ui.thresholdSlider.visible
        toy.ui.invertBox.visible = False
        toy.ui.advancedButton.collapsed = True
        toy.ui.advancedButton.checked = True
        assert not toy.ui.advancedButton.collapsed
        assert toy.ui.thresholdSlider.visible and not toy.ui.invertBox.visible
        toy.parent.hide()
        toy.ui.invertBox.visible = True
        toy.ui.advancedButton.collapsed = True

    def test_enumerationsOfAUiFile(self, toy):
        assert toy.ui.folderEdit.filters == ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Readable

    def test_segmentsTable(self):
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        segmentation.CreateDefaultDisplayNodes()
        table = slicer.qMRMLSegmentsTableView()
        table.setSegmentationNode(segmentation)
        segmentation.GetSegmentation().AddEmptySegment("a", "A")
        segmentation.GetSegmentation().AddEmptySegment("b", "B")
        assert table.displayedSegmentIDs() == ("a", "b") and table.segmentCount == 2
        heard = []
        table.connect(
            "selectionChanged(QItemSelection,QItemSelection)",
            lambda: heard.append(table.selectedSegmentIDs()),
        )
        table.setSelectedSegmentIDs(["b"])
        assert heard == [("b",)]
        segmentation.GetSegmentation().RemoveSegment("b")
        assert table.displayedSegmentIDs() == ("a",)
        with pytest.raises(AttributeError):
            assert table.rowCount  # it is not a QTableWidget

    def test_everyWidgetThatPanelsUse(self):
        for name in (
            "QWidget",
            "QLabel",
            "QPushButton",
            "QToolButton",
            "QComboBox",
            "QCheckBox",
            "QRadioButton",
            "QSpinBox",
            "QDoubleSpinBox",
            "QProgressBar",
            "QTableWidget",
            "QPlainTextEdit",
            "QTextEdit",
            "QLineEdit",
            "QTabWidget",
            "QGroupBox",
            "QFrame",
            "QSlider",
            "QTextBrowser",
            "QTreeWidget",
            "ctkCollapsibleButton",
            "ctkCollapsibleGroupBox",
            "ctkSliderWidget",
            "ctkPathLineEdit",
            "ctkDoubleSpinBox",
            "ctkComboBox",
            "ctkCheckBox",
            "ctkPushButton",
            "ctkFittedTextBrowser",
            "qMRMLWidget",
            "qSlicerWidget",
            "qMRMLNodeComboBox",
            "qMRMLSegmentsTableView",
            "qMRMLSegmentationShow3DButton",
        ):
            top = loadUiText(uiFile(f'<item><widget class="{name}" name="it"/></item>'))
            assert slicer.util.childWidgetVariables(top).it.className() == name


# Application --------------------------------------------------------------------------------------


class TestApplication:
    def test_testingMode(self):
        assert slicer.app.testingEnabled()
        # Their descriptions promise True for the first two, but they compare True with the number of a button.
        assert slicer.util.confirmOkCancelDisplay("?") is False
        assert slicer.util.confirmYesNoDisplay("?") is False
        assert slicer.util.confirmRetryCloseDisplay("?") is False
        slicer.util.errorDisplay("logged, not shown")
        with pytest.raises(ValueError), slicer.util.tryWithErrorDisplay("Failed"):
            raise ValueError

    def test_noMainWindow(self):
        assert slicer.util.mainWindow() is None

    def test_namespace(self):
        for name in ("getNode", "arrayFromVolume", "loadUI", "os", "VTKObservationMixin", "NodeModify"):
            assert not hasattr(slicer, name), name
        assert slicer.util.getNode and slicer.vtkMRMLScene
        with pytest.raises(AttributeError):
            assert slicer.qMRMLSomething
        with pytest.raises(AttributeError):
            slicer.app.someFunction()
        with pytest.raises(AttributeError):
            slicer.app.layoutManager().someFunction()
        with pytest.raises(AttributeError):
            assert slicer.modules.someModule

    def test_topLevelAliases(self):
        import vtkITK
        import vtkITKPython
        import vtkSegmentationCore
        import vtkSegmentationCorePython

        assert vtkITK is vtkITKPython and vtkITK.vtkITKLabelShapeStatistics
        assert vtkSegmentationCore is vtkSegmentationCorePython and vtkSegmentationCore.vtkSegmentation

    def test_startIsIdempotent(self):
        app = slicer.app
        slicerhost.start()
        assert slicer.app is app

    def test_nothingOfSlicerIsImportedBeforeStart(self):
        code = "import slicerhost, sys; assert not {'slicer', 'qt', 'ctk', 'PySide6'} & set(sys.modules)"
        subprocess.run([sys.executable, "-c", code], cwd=TOY_FILE.parents[1], check=True)

    def test_versionAndPaths(self):
        assert (slicer.app.majorVersion, slicer.app.minorVersion) == (5, 12)
        assert slicer.app.applicationName == "Slicer"
        assert Path(slicer.util.tempDirectory()).is_dir()
        assert not slicer.app.extensionsManagerModel().isExtensionInstalled("PyTorch")

    def test_translations(self):
        from slicer.i18n import tr, translate

        assert tr("text") == "text" and translate("context", "text") == "text"
        with pytest.raises(TypeError):
            tr(3)


# Data ---------------------------------------------------------------------------------------------


class TestData:
    @pytest.mark.parametrize("ending", [".nrrd", ".nii.gz", ".mha"])
    def test_volumeFiles(self, tmp_path, ending):
        volume = addVolume()
        path = str(tmp_path / ("image" + ending))
        assert slicer.util.saveNode(volume, path, properties={})
        loaded = slicer.util.loadVolume(path, properties={"name": "Again"})
        assert loaded.GetName() == "Again"
        assert np.array_equal(slicer.util.arrayFromVolume(loaded), slicer.util.arrayFromVolume(volume))
        matrices = []
        for node in (volume, loaded):
            matrix = vtk.vtkMatrix4x4()
            node.GetIJKToRASMatrix(matrix)
            matrices.append(slicer.util.arrayFromVTKMatrix(matrix))
        assert np.allclose(*matrices)

    def test_exportLeavesTheSceneAlone(self, tmp_path):
        volume = addVolume()
        assert slicer.util.exportNode(volume, str(tmp_path / "image.nrrd"), properties={"useCompression": 0})
        assert (tmp_path / "image.nrrd").is_file() and volume.GetStorageNode() is None

    def test_segmentationFile(self, tmp_path):
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        volume = addVolume()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentation.GetSegmentation().AddEmptySegment("lesion", "Lesion")
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            (slicer.util.arrayFromVolume(volume) > 100).astype(np.uint8), segmentation, "lesion", volume
        )
        assert slicer.util.saveNode(segmentation, str(tmp_path / "s.seg.nrrd"), properties={})
        loaded = slicer.util.loadSegmentation(str(tmp_path / "s.seg.nrrd"), properties={})
        assert loaded.GetSegmentation().GetSegment("lesion").GetName() == "Lesion"
        assert slicer.util.arrayFromSegmentBinaryLabelmap(loaded, "lesion", volume).sum() == 640

    def test_picture(self, tmp_path):
        from PIL import Image

        pixels = np.zeros((6, 8, 3), np.uint8)
        pixels[0, :, 0] = 255
        Image.fromarray(pixels).save(tmp_path / "photo.png")
        node = slicer.util.loadVolume(str(tmp_path / "photo.png"), properties={})
        assert node.GetClassName() == "vtkMRMLVectorVolumeNode"
        assert np.array_equal(slicer.util.arrayFromVolume(node)[0], pixels)

    def test_missingFileIsAnError(self, tmp_path):
        with pytest.raises(RuntimeError, match="not found"):
            slicer.util.loadVolume(str(tmp_path / "nothing.nrrd"), properties={})

    def test_subjectHierarchyItems(self):
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        volume = addVolume()
        item = hierarchy.GetItemByDataNode(volume)
        assert item and hierarchy.GetItemName(item) == "Volume"
        folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Folder")
        hierarchy.SetItemParent(item, folder)
        assert hierarchy.GetItemParent(item) == folder
        slicer.mrmlScene.RemoveNode(volume)
        assert not hierarchy.GetItemByDataNode(volume)

    def test_sceneFile(self, tmp_path):
        addVolume("Kept")
        assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
        slicer.mrmlScene.Clear()
        slicer.util.loadScene(str(tmp_path / "scene.mrb"))
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        assert hierarchy.GetItemByDataNode(slicer.util.getNode("Kept"))
        assert slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode() is not None


# Views --------------------------------------------------------------------------------------------


class TestViews:
    @pytest.mark.parametrize(
        "view, letters",
        [("Red", ["R", "L", "A", "P"]), ("Green", ["R", "L", "S", "I"]), ("Yellow", ["A", "P", "S", "I"])],
    )
    def test_orientation(self, view, letters):
        """The bright box lies left, anterior and superior in the patient."""
        volume = addVolume()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        widget = slicer.app.layoutManager().sliceWidget(view)
        widget.mrmlSliceNode().JumpSliceByCentering(-16.0, 15.0, 23.0)
        widget.fitSliceToBackground()
        widget.mrmlSliceNode().JumpSliceByOffsetting(-16.0, 15.0, 23.0)
        rows, columns = np.nonzero(slicerhost.sliceViewPixels(view)[..., 0] > 200)
        height, width, _ = slicerhost.sliceViewPixels(view).shape
        isRight, isTop = columns.mean() > width / 2, rows.mean() < height / 2
        assert isTop and isRight == (view != "Yellow")
        assert widget._view.edgeLetters() == letters

    def test_segmentationIsDrawn(self, tmp_path):
        volume = addVolume()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        slices = {name: slicerhost.sliceViewPixels(name) for name in slicer.app.layoutManager().sliceViewNames()}
        space = slicerhost.threeDViewPixels()
        mask = (slicer.util.arrayFromVolume(volume) >= 0).astype(np.uint8)
        mask[:, :, :10] = 0
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentation.GetSegmentation().AddEmptySegment("all", "All", (0.0, 1.0, 0.0))
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "all", volume)
        for name, before in slices.items():
            after = slicerhost.sliceViewPixels(name)
            greener = (after[..., 1].astype(int) - before[..., 1]) > 50
            assert greener.mean() > 0.1, name
        button = slicer.qMRMLSegmentationShow3DButton()
        button.setSegmentationNode(segmentation)
        button.click()
        slicer.app.layoutManager().resetThreeDViews()
        after = slicerhost.threeDViewPixels().astype(int)
        assert ((after[..., 1] - after[..., 0] > 60) & (space[..., 1].astype(int) - space[..., 0] < 60)).mean() > 0.02
        button.click()
        assert not segmentation.GetSegmentation().ContainsRepresentation("Closed surface")

    def test_pictures(self, tmp_path, toy):
        from PIL import Image

        slicer.util.setSliceViewerLayers(background=addVolume(), fit=True)
        slicerhost.grabSliceViews(tmp_path / "slices.png", size=(400, 400))
        slicerhost.grab3DView(tmp_path / "threeD.png", size=(400, 400))
        slicerhost.grabWidget(toy.parent, tmp_path / "panel.png")
        assert Image.open(tmp_path / "slices.png").size == (1208, 422)
        assert Image.open(tmp_path / "threeD.png").size == (400, 400)
        assert np.asarray(Image.open(tmp_path / "panel.png")).std() > 1

    def test_layers(self):
        first, second = addVolume("A"), addVolume("B")
        slicer.util.setSliceViewerLayers(background=first, foreground=second, foregroundOpacity=0.5)
        composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
        assert composite.GetBackgroundVolumeID() == first.GetID()
        assert composite.GetForegroundVolumeID() == second.GetID()
        assert slicer.app.layoutManager().threeDViewCount == 1

    def test_viewsSurviveClosingTheScene(self):
        slicer.util.setSliceViewerLayers(background=addVolume(), fit=True)
        assert slicerhost.sliceViewPixels("Red").max() > 30
        slicer.mrmlScene.Clear()
        assert slicerhost.sliceViewPixels("Red")[..., 0].std() == 0
        slicer.util.setSliceViewerLayers(background=addVolume(), fit=True)
        assert slicerhost.sliceViewPixels("Red").max() > 30


# The toy as a user uses it ------------------------------------------------------------------------


class TestToy:
    def test_segments(self, toy, waitFor):
        toy.ui.inputSelector.setCurrentNode(addVolume())
        assert toy.ui.applyButton.enabled
        toy.ui.applyButton.click()
        assert not toy.ui.applyButton.enabled and toy.ui.cancelButton.enabled
        waitFor(lambda: not toy.logic.isRunning())
        assert toy.ui.statusLabel.text == "Done" and toy.ui.progressBar.value == 100
        segmentation = toy.parameters.outputSegmentation
        assert toy.ui.outputSelector.currentNode() is segmentation
        assert toy.ui.segmentsTable.displayedSegmentIDs() == ("bright",)
        assert slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "bright").sum() == 640

    def test_cancel(self, toy, waitFor):
        toy.logic.seconds = 60
        toy.ui.inputSelector.setCurrentNode(addVolume())
        toy.ui.applyButton.click()
        waitFor(lambda: toy.ui.progressBar.value == 20)
        toy.ui.cancelButton.click()
        waitFor(lambda: not toy.logic.isRunning())
        toy.logic.seconds = 0.1
        assert toy.ui.statusLabel.text == "Stopped"
        assert not Path(toy.logic.folder).exists()

    def test_failure(self, toy, waitFor):
        toy.ui.inputSelector.setCurrentNode(addVolume())
        toy.parameters.threshold = -1.0
        toy.ui.applyButton.click()
        waitFor(lambda: not toy.logic.isRunning())
        assert toy.ui.statusLabel.text == "Failed with exit code 3"
