"""A volume segmented by both families in the panel, with the shipped models and the real engine."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Python"))

import VeloxSegSlicerFixtures as fixtures

MODELS = Path(__file__).resolve().parents[2] / "VeloxSegSlicer" / "Resources" / "Models"


@pytest.fixture
def widget(module):
    widget = fixtures.openPanel(MODELS)
    widget.logic.segmenter.command = None
    fixtures.chooseTask(widget, "hippocampus-mri")
    yield widget
    widget.panel.cleanup()
    slicer.modules.veloxsegslicer.widgetRepresentation().exit()
    slicer.util.reloadScriptedModule("VeloxSegSlicer")


def test_oneVolumeByBothFamilies(widget):
    assert widget.ui.modelComboBox.count == 2
    slicer.util.loadVolume(str(MODELS / "hippocampus-mri-nca" / "example" / "MR.nii.gz"), {"name": "MR"})
    found = {}
    for model in ("hippocampus-mri", "hippocampus-mri-nca"):
        widget.panel.chooseModel(widget.panel.catalogue.card(model))
        assert fixtures.waitFor(lambda: widget.ui.segmentButton.enabled), widget.ui.stageLabel.text
        assert widget.ui.uncertaintyCheckBox.enabled == (model == "hippocampus-mri-nca")
        before = set(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))
        widget.ui.segmentButton.click()
        assert fixtures.waitFor(lambda: not widget.logic.segmenter.isBusy, 240)
        assert "Done" in widget.ui.noticeLabel.text, widget.ui.logTextEdit.plainText
        (found[model],) = set(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) - before
    automaton = found["hippocampus-mri-nca"]
    assert json.loads(automaton.GetAttribute("VeloxSeg.Sampling"))["members"] == 4
    assert 0 < float(automaton.GetAttribute("VeloxSeg.Agreement")) <= 1
    expected = slicer.util.loadVolume(str(MODELS / "hippocampus-mri-nca" / "example" / "mask.nii.gz"))
    marked = sum(
        np.count_nonzero(slicer.util.arrayFromSegmentBinaryLabelmap(automaton, automaton.GetSegmentation().GetNthSegmentID(n)))
        for n in range(2)
    )
    assert marked == np.count_nonzero(slicer.util.arrayFromVolume(expected))
