"""What was seen in a real Slicer, one test for each fact: the test host must behave like it, and the module must cope."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

import slicerhost
from VeloxSegSlicerLib.common import CoreModules, ResultAttributes, SegmentVoxels
from VeloxSegSlicerLib.results import Highlight

PYTHON_TESTS = Path(__file__).resolve().parents[1] / "Python"

EMPTY_LAYOUT = """<ui version="4.0"><class>Top</class><widget class="QWidget" name="Top">
 <layout class="QVBoxLayout" name="outerLayout">
  <item><layout class="QGridLayout" name="emptyLayout"/></item>
  <item><widget class="QFrame" name="frame"><layout class="QGridLayout" name="innerLayout"/></widget></item>
 </layout></widget></ui>"""


def loadUi(text: str):
    buffer = qt.QBuffer()
    buffer.setData(text.encode())
    buffer.open(qt.QIODevice.ReadOnly)
    return qt.QUiLoader().load(buffer)


# PythonQt


def layoutsWithout(widgets: int) -> list:
    """Layouts of each kind with so many widgets in them; the widgets that own them go along, to be kept."""
    owners = [qt.QWidget() for _ in range(4)]
    layouts = [kind(owner) for kind, owner in zip((qt.QVBoxLayout, qt.QHBoxLayout, qt.QGridLayout, qt.QFormLayout), owners)]
    for layout in layouts * widgets:
        layout.addWidget(qt.QLabel("text"))
    return list(zip(layouts, owners))


def test_emptyLayoutsAreFalse():
    assert [bool(layout) for layout, _owner in layoutsWithout(0)] == [False] * 4
    assert [bool(layout) for layout, _owner in layoutsWithout(1)] == [True] * 4


def test_emptyNullAndInvalidObjectsAreFalse():
    menu, table = qt.QMenu(), qt.QTableWidget(1, 1)
    for empty in (menu, qt.QTextDocument(), qt.QIcon(), qt.QPixmap(), qt.QColor(), qt.QModelIndex(), qt.QKeySequence(),
                  qt.QUrl(), qt.QSize(0, 5), qt.QPoint(0, 0)):  # fmt: skip
        assert not empty, empty
    menu.addAction("action")
    pixmap = qt.QPixmap(4, 4)
    for filled in (menu, qt.QTextDocument("text"), qt.QIcon(pixmap), pixmap, qt.QColor(1, 2, 3), table.model().index(0, 0),
                   qt.QKeySequence("F1"), qt.QUrl("file:///a"), qt.QSize(5, 5), qt.QPoint(0, 1)):  # fmt: skip
        assert filled, filled


def test_objectsThatCannotBeEmptyAreTrue():
    for made in (qt.QLabel(), qt.QProcess(), qt.QTimer(), qt.QTableWidget(), qt.QTableWidgetItem(), qt.QFont()):
        assert made, made


def test_emptyLayoutsAreNotFoundByName():
    """slicer.util.findChildren passes over what is false, and so over everything below it."""
    top = loadUi(EMPTY_LAYOUT)
    ui = slicer.util.childWidgetVariables(top)
    assert hasattr(ui, "frame") and hasattr(ui, "outerLayout")
    assert not hasattr(ui, "emptyLayout") and not hasattr(ui, "innerLayout")
    assert ui.frame.layout() is not None and not ui.frame.layout()


def test_propertiesHideMethods():
    """Also virtual getters, and where a subclass overrides them."""
    table = qt.QTableWidget()
    for widget in (qt.QWidget(), qt.QLabel("text"), qt.QScrollBar(), table.horizontalScrollBar()):
        assert widget.sizeHint.height() is not None and widget.minimumSizeHint.width() is not None
        with pytest.raises(TypeError, match="not callable"):
            widget.sizeHint()
    layout = qt.QVBoxLayout()
    layout.setSpacing(7)
    assert layout.spacing == 7
    bar = qt.QProgressBar()
    bar.value = 30
    assert bar.text == "30%"
    for call in (lambda: layout.spacing(), lambda: bar.text()):
        with pytest.raises(TypeError, match="not callable"):
            call()


def test_timerHasNoPropertySingleShot():
    """PythonQt leaves it out, because the static function of this name is wanted."""
    timer = qt.QTimer()
    with pytest.raises(AttributeError):
        timer.singleShot = True
    timer.setSingleShot(True)
    assert timer.isSingleShot()


@pytest.mark.parametrize("value", [None, "", []])
def test_boolPropertiesTakeNothingForFalse(value):
    label = qt.QLabel()
    label.enabled = value
    assert label.enabled is False


def test_keywordsAndUnknownAttributesAreErrors():
    label = qt.QLabel()
    with pytest.raises(AttributeError):
        label.colour = "red"
    with pytest.raises(AttributeError, match="overwritten"):
        label.setText = "red"


def test_plainTooltipsComeBackAsRichText():
    label = qt.QLabel()
    label.toolTip = "a < b"
    assert label.toolTip == "<p>a &lt; b</p>"
    label.setToolTip("<b>bold</b>")
    assert label.toolTip == "<b>bold</b>"
    label.toolTip = ""
    assert label.toolTip == ""
    loaded = loadUi(
        '<ui version="4.0"><class>T</class><widget class="QLabel" name="T">'
        '<property name="toolTip"><string>text</string></property></widget></ui>'
    )
    assert loaded.toolTip == "<p>text</p>"


# Node selectors


def newSelector(noneEnabled: bool = True):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = noneEnabled
    selector.setMRMLScene(slicer.mrmlScene)
    return selector


def newVolumes(*names: str) -> list:
    return [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in names]


@pytest.mark.parametrize("noneEnabled", [True, False])
@pytest.mark.parametrize("chosen, neighbor", [("B", "C"), ("C", "B")])
def test_selectorGoesToTheNextNode(noneEnabled, chosen, neighbor):
    """Its node was removed: the row below is chosen, or the last one, and announced like a choice by hand."""
    selector = newSelector(noneEnabled)
    newVolumes("A", "B", "C")
    node = slicer.util.getNode(chosen)
    selector.setCurrentNode(node)
    heard = []

    def hear(new) -> None:
        if new is not None:
            heard.append((new.GetName(), node.GetScene() is not None))

    selector.connect("currentNodeChanged(vtkMRMLNode*)", hear)
    slicer.mrmlScene.RemoveNode(node)
    assert selector.currentNode().GetName() == neighbor
    assert heard == [(neighbor, True)]  # while the node is still in the scene


def test_selectorOfTheOnlyNode():
    selector = newSelector()
    (only,) = newVolumes("A")
    selector.setCurrentNode(only)
    heard = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    selector.connect("currentNodeChanged(bool)", heard.append)
    slicer.mrmlScene.RemoveNode(only)
    assert selector.currentNode() is None and selector.currentNodeID == "" and heard == [None, False]


@pytest.mark.parametrize("change", [lambda node: node.SetHideFromEditors(True), lambda node: node.RemoveAttribute("listed")])
def test_selectorGoesToTheNextNodeWhenItsOwnIsNotListedAnyMore(change):
    selector = newSelector()
    selector.addAttribute("vtkMRMLScalarVolumeNode", "listed")
    nodes = newVolumes("A", "B", "C")
    for node in nodes:
        node.SetAttribute("listed", "yes")
    selector.setCurrentNode(nodes[0])
    change(nodes[0])
    assert selector.currentNode() is nodes[1]


def test_selectorAnnouncesTheSameNodeAgain():
    """When a row above goes, its own row has another number."""
    selector = newSelector()
    first, second = newVolumes("A", "B")
    selector.setCurrentNode(second)
    heard = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    slicer.mrmlScene.RemoveNode(first)
    assert selector.currentNode() is second and heard == [second]


def test_selectorAnnouncesARenamedNode():
    """It follows the text of its combo box, and that is the name of the node."""
    selector = newSelector()
    (node,) = newVolumes("A")
    selector.setCurrentNode(node)
    heard = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    node.SetName("B")
    node.SetAttribute("other", "change")
    assert heard == [node]


@pytest.fixture
def chosen(petct):
    """A panel with a result that is also the output, a region and a reference for comparison; each kind has neighbors."""
    for name in ("1: PET", "9: PET late", "0: CT"):
        fixtures.sphereVolume(name, size=(24, 24, 20), spacing=(4, 4, 4))
    fixtures.segment(petct)
    fixtures.segment(petct)
    fixtures.segment(petct)
    results = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    petct.ui.outputSelector.setCurrentNode(results[1])
    petct.ui.resultSelector.setCurrentNode(results[1])
    petct.ui.referenceSelector.setCurrentNode(results[1])
    regions = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name) for name in ("A", "B", "C")]
    petct.ui.regionSelector.setCurrentNode(regions[1])
    return petct


def test_deletedOutputAndResultBecomeNone(chosen):
    """The next run must not overwrite another segmentation."""
    slicer.mrmlScene.RemoveNode(chosen.ui.outputSelector.currentNode())
    for selector in (chosen.ui.outputSelector, chosen.ui.resultSelector, chosen.ui.referenceSelector):
        assert selector.currentNode() is None, selector.name
    assert chosen.panel.parameters.output is None and chosen.panel.parameters.result is None
    others = [SegmentVoxels.fingerprint(node) for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
    fixtures.segment(chosen)
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert [SegmentVoxels.fingerprint(node) for node in nodes[: len(others)]] == others and len(nodes) > len(others)


def test_deletedRegionBecomesNone(chosen):
    slicer.mrmlScene.RemoveNode(chosen.panel.parameters.region)
    assert chosen.panel.parameters.region is None and chosen.ui.regionSelector.currentNode() is None
    assert chosen.panel.choices.inputOptions.region is None


@pytest.mark.parametrize("role", ["CT", "PET"])
def test_deletedImageBecomesNone(chosen, role):
    slicer.mrmlScene.RemoveNode(chosen.panel.images[role])
    assert chosen.panel.images[role] is None and chosen.panel.rows.selector(role).currentNode() is None


@pytest.mark.parametrize("name", ["outputSelector", "resultSelector", "referenceSelector", "regionSelector"])
def test_hiddenNodeBecomesNone(chosen, name):
    """Another extension hides a node from editors."""
    selector = getattr(chosen.ui, name)
    node = selector.currentNode()
    node.SetHideFromEditors(True)
    assert selector.currentNode() is None
    node.SetHideFromEditors(False)
    assert selector.currentNode() is None


@pytest.mark.parametrize("role", ["CT", "PET"])
def test_hiddenImageBecomesNone(chosen, role):
    node = chosen.panel.images[role]
    node.SetHideFromEditors(True)
    assert chosen.panel.images[role] is None and chosen.panel.rows.selector(role).currentNode() is None


def test_resultThatIsNoneAnyMore(chosen):
    node = chosen.panel.parameters.result
    node.RemoveAttribute(ResultAttributes.LISTED)
    assert chosen.panel.parameters.result is None and chosen.panel.parameters.output is node


def test_hiddenOutputAfterAReload(chosen, keptPackages):
    slicer.util.reloadScriptedModule("VeloxSegSlicer")
    widget = slicer.modules.VeloxSegSlicerWidget
    widget.panel.parameters.output.SetHideFromEditors(True)
    assert widget.panel.parameters.output is None


def test_imageAboveIsDeleted(chosen):
    """The row of the chosen image moves up; nobody has chosen it by hand."""
    volumes = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]
    chosen.panel.choices.chooseImage("PET", volumes[-1], byHand=False)
    chosen.panel.update()
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("1: PET"))
    assert chosen.panel.images["PET"] is volumes[-1]
    assert not chosen.panel.choices.isByHand("PET")


def test_deletedWhileAnotherModuleIsOpen(chosen):
    slicer.modules.veloxsegslicer.widgetRepresentation().exit()
    slicer.mrmlScene.RemoveNode(chosen.panel.parameters.output)
    slicer.modules.veloxsegslicer.widgetRepresentation().enter()
    assert chosen.panel.parameters.output is None


# Slicer as ctest runs it


PLAIN_TESTS = """
VeloxSegSlicerWidgetTest or (VeloxSegSlicerSamplesTest and not photo) or test_photo or test_previousAndNext
or test_layersAndTheWayBack or test_singleReferenceIsBackground or test_panelOffersTheLicense
"""


def test_withoutMainWindowTorchAndSampleData():
    """Slicer's ctest gives no main window; there is no layout manager then, and there are no slice nodes."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-k", " ".join(PLAIN_TESTS.split())]
    done = subprocess.run(
        [*command, PYTHON_TESTS], capture_output=True, text=True, env=os.environ | {"SLICERHOST_BARE": "1"}, timeout=600
    )
    assert done.returncode == 0, done.stdout[-8000:]
    assert "without a main window" in done.stdout and "no Sample Data module" in done.stdout


def test_editWithoutMainWindow(petct, monkeypatch):
    """A double click in the table of the result; the Segment Editor has no widget before it was opened once."""
    fixtures.segment(petct)
    result, editor, opened = petct.panel.parameters.result, mock.Mock(), []

    def open_():
        opened.append(True)
        monkeypatch.setattr(slicer.modules, "SegmentEditorWidget", mock.Mock(editor=editor), raising=False)

    monkeypatch.setattr(slicer.modules, "segmenteditor", mock.Mock(widgetRepresentation=open_), raising=False)
    monkeypatch.setattr(CoreModules, "has", lambda name: True)
    petct.ui.segmentsTable.cellDoubleClicked.emit(0, 0)
    assert opened and slicer.util.mainWindow() is None
    editor.setSegmentationNode.assert_called_once_with(result)


def test_bareSlicer():
    code = (
        "import slicerhost; slicerhost.start(); import slicer, importlib.util;"
        "assert slicer.app.layoutManager() is None;"
        "assert not slicer.util.getNodesByClass('vtkMRMLSliceNode');"
        "assert importlib.util.find_spec('torch') is None;"
        "assert not hasattr(slicer.modules, 'sampledata')"
    )
    folder = Path(__file__).resolve().parent
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=os.environ | {"SLICERHOST_BARE": "1"}, check=True)


# Segmentations


@pytest.mark.parametrize("isHiddenFirst", [False, True])
def test_segmentOfAHiddenSegmentation(isHiddenFirst, noErrorInCallbacks):
    """Slicer makes no item in the tree for a node that was hidden before it was added, and misses it for each segment."""
    node = slicer.vtkMRMLSegmentationNode()
    node.SetHideFromEditors(isHiddenFirst)
    slicer.mrmlScene.AddNode(node)
    node.SetHideFromEditors(True)
    node.GetSegmentation().AddEmptySegment("a", "A")
    assert len(noErrorInCallbacks) == int(isHiddenFirst)
    noErrorInCallbacks.clear()


def test_outlineOfALesionHasItsPlaceInTheTree(petct):
    fixtures.segment(petct)
    outline = slicer.mrmlScene.GetFirstNodeByName(Highlight.NAME)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemByDataNode(outline) and outline.GetHideFromEditors() and not outline.GetSaveWithScene()


# 3D


def test_show3DNeedsASegment():
    button, node = slicer.qMRMLSegmentationShow3DButton(), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    button.setSegmentationNode(node)
    assert not button.enabled
    node.GetSegmentation().AddEmptySegment("a", "A")
    assert button.enabled
    node.GetSegmentation().RemoveAllSegments()
    assert not button.enabled


def test_show3DIsCenteredOnce(petct):
    """Slicer's camera looks at the origin; a result far from it would not be seen."""
    for name in ("3: CT Thorax", "5: PET SUVbw"):
        node = slicer.util.getNode(name)
        node.SetOrigin(*(value + shift for value, shift in zip(node.GetOrigin(), (900.0, -700.0, 1500.0))))
    fixtures.segment(petct)
    before = slicerhost.threeDViewPixels().astype(int)
    petct.ui.show3DButton.click()
    shown = slicerhost.threeDViewPixels().astype(int)
    assert (abs(shown - before).sum(axis=-1) > 60).mean() > 0.01
    camera = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCameraNode")
    camera.SetPosition(0.0, 0.0, 5000.0)
    petct.ui.show3DButton.click()
    petct.ui.show3DButton.click()
    assert camera.GetPosition() == (0.0, 0.0, 5000.0)
