"""Every control of the panel when what it acts on is gone: deleted nodes, a closed scene. Nothing happens, and nothing breaks."""

import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import qt
import slicer
import VeloxSegSlicerFixtures as fixtures

# They lead out of the panel or start a process.
ELSEWHERE = ("sampleButton", "slicerSampleButton", "checkButton", "installButton", "manageButton", "openOutputButton",
             "editButton", "exportDicomButton", "segmentButton", "startBatchButton", "retryFailuresButton")  # fmt: skip


class VeloxSegSlicerVanishedNodesTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="VeloxModels"))
        self.addCleanup(shutil.rmtree, self.folder)
        fixtures.writeCards(self.folder, fixtures.brainCard(), fixtures.petctCard())
        self.widget = fixtures.openPanel(self.folder)
        self.panel, self.ui = self.widget.panel, self.widget.ui
        self.addCleanup(self.leave)
        for name in ("getSaveFileName", "getOpenFileName", "getExistingDirectory"):
            patcher = mock.patch.object(qt.QFileDialog, name, return_value="")
            patcher.start()
            self.addCleanup(patcher.stop)
        fixtures.chooseTask(self.widget, "petct-lesions")
        self.images = fixtures.sphereVolume("CT Thorax"), fixtures.sphereVolume("PET SUVbw")
        self.panel.assign()
        self.panel.update()
        fixtures.segment(self.widget)
        self.result = self.panel.parameters.result
        self.reference = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "by hand")
        self.reference.GetSegmentation().AddEmptySegment("a", "Lesion")
        self.ui.referenceSelector.setCurrentNode(self.reference)

    def leave(self):
        self.panel.sceneWillClose()
        slicer.modules.veloxsegslicer.widgetRepresentation().exit()

    def use(self, widget, kind):
        if kind == "QTableWidget" and widget.rowCount:
            widget.setCurrentCell(0, 0)
            widget.cellDoubleClicked.emit(0, 0)
        elif kind == "QListWidget" and widget.count:
            widget.setCurrentRow(0)
        elif kind.endswith(("Button", "Box")):
            widget.click()

    def test_nothingHasAName(self):
        """Other programs leave names empty, or nodes without any."""
        for name in ("", None):
            for node in (*self.images, self.result, self.reference):
                node.SetName(name)
            for segmentId in self.result.GetSegmentation().GetSegmentIDs():
                self.result.GetSegmentation().GetSegment(segmentId).SetName(name)
            self.ui.outputSelector.setCurrentNode(None)
            self.panel.assign()
            self.panel.update()
            self.panel.copyReport()
            fixtures.segment(self.widget)
            self.assertIsNotNone(self.panel.parameters.result)
            self.useEverything()

    def useEverything(self):
        root = self.ui.noticeFrame.parent()
        for section in slicer.util.findChildren(root, className="ctkCollapsibleButton"):
            section.collapsed = False
        for tab in range(self.ui.resultTabs.count):
            self.ui.resultTabs.setCurrentIndex(tab)
            for kind in ("QPushButton", "QToolButton", "QCheckBox", "QTableWidget", "QListWidget"):
                for widget in slicer.util.findChildren(root, className=kind):
                    if widget.isVisibleTo(root) and widget.enabled and widget.objectName not in ELSEWHERE:
                        self.use(widget, kind)
        for action in (self.panel.results.previousLesion, self.panel.results.nextLesion, self.panel.results.toggleOverlay,
                       self.panel.copyReport, self.panel.run.startByKey, self.panel.run.cancelByKey,
                       self.panel.update):  # fmt: skip
            action()
        for index in range(self.ui.taskComboBox.count):
            self.ui.taskComboBox.activated.emit(index)
        slicer.app.processEvents()
        fixtures.waitFor(lambda: not self.widget.logic.segmenter.isBusy)

    def test_resultDeleted(self):
        slicer.mrmlScene.RemoveNode(self.result)
        self.useEverything()

    def test_imagesDeleted(self):
        for node in self.images:
            slicer.mrmlScene.RemoveNode(node)
        self.useEverything()

    def test_referenceDeleted(self):
        slicer.mrmlScene.RemoveNode(self.reference)
        self.useEverything()

    def test_segmentsAndDisplayDeleted(self):
        self.result.GetSegmentation().RemoveAllSegments()
        self.result.RemoveAllDisplayNodeIDs()
        self.useEverything()

    def test_sceneClosed(self):
        slicer.mrmlScene.Clear(False)
        self.useEverything()

    def test_noScene(self):
        """Between the start and the end of closing there are no choices at all."""
        self.widget.setParameterNode(None)
        self.useEverything()

    def test_damagedParametersOfAScene(self):
        node = self.panel.parameters.parameterNode
        damages = ("", "none", "-1", "1e999", "nan", "[]", "1.5", "9" * 400, "TRUE")
        for name in ("quality", "uncertainty", "overlapPercent", "members", "seed", "keepFiles", "smallestLesionMl",
                     "separateSegments", "mmPerPixel", "task", "model"):  # fmt: skip
            for damage in damages:
                with self.subTest(f"{name}={damage}"):
                    self.widget.setParameterNode(None)
                    node.SetParameter(name, damage)
                    self.widget.initializeParameterNode()
                    self.panel.update()
                    self.assertIsNotNone(self.panel.card)

    def test_closedWhileABatchIsBusy(self):
        with mock.patch.object(type(self.panel.batch), "isBusy", True):
            slicer.mrmlScene.Clear(False)
            self.widget.setParameterNode(None)
            self.panel.update()
