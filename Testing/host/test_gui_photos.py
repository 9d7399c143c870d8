"""A photo from its file to the overlay, with the shipped model and the real engine: upright, and mask on lesion."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
from PIL import Image

import acceptance_cases as cases

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Python"))

import VeloxSegSlicerFixtures as fixtures
from VeloxSegSlicerFixtures import chooseTask

MODELS = Path(__file__).resolve().parents[2] / "VeloxSegSlicer" / "Resources" / "Models"
MODEL = "skin-lesion-veloxseg-demo"
ROWS = slice(30, 230)


@pytest.fixture
def widget(module):
    widget = fixtures.openPanel(MODELS)
    widget.logic.segmenter.command = None
    chooseTask(widget, "skin-lesion-photo")
    widget.panel.chooseModel(widget.panel.catalogue.card(MODEL))
    yield widget
    widget.panel.cleanup()
    slicer.modules.veloxsegslicer.widgetRepresentation().exit()
    slicer.util.reloadScriptedModule("VeloxSegSlicer")


def phantom():
    """Photo (y, x, 3) and mask (y, x) of the sample, wider than high."""
    from veloxseg import phantoms
    from VeloxSegSlicerLib.run import Samples

    case = phantoms.generate_case("dermoscopy", Samples.PHOTO_SEED)
    return case.rgb[ROWS], case.lesion[ROWS]


def test_transparentPhotoWithAScale(widget, tmp_path):
    photo, truth = phantom()
    opaque = np.full((*photo.shape[:2], 1), 255, np.uint8)
    Image.fromarray(np.concatenate([photo, opaque], axis=2)).save(tmp_path / "lesion.png")
    volume = slicer.util.loadVolume(str(tmp_path / "lesion.png"), {})
    widget.panel.chooseImage("Photo", volume)
    assert widget.ui.noticeLabel.text == "The transparency channel is ignored."
    widget.ui.scaleSpinBox.value = 0.05
    widget.ui.segmentButton.click()
    assert fixtures.waitFor(lambda: not widget.logic.segmenter.isBusy, 240)
    segmentation = widget.ui.resultSelector.currentNode()
    assert segmentation is not None, widget.ui.logTextEdit.plainText
    found = cases.found(segmentation, volume)[0]
    scores = [cases.dice(found, other) for other in (truth, truth[::-1], truth[:, ::-1], truth[::-1, ::-1])]
    assert scores[0] > 0.8 and scores[0] > max(scores[1:]) + 0.1, scores
    display = segmentation.GetDisplayNode()
    assert not display.GetVisibility2DFill() and display.GetVisibility2DOutline() and not widget.ui.fillCheckBox.checked
    assert display.GetSliceIntersectionThickness() > 1 and not widget.ui.show3DButton.visible
    widget.ui.fillCheckBox.click()
    assert display.GetVisibility2DFill()
    facts = json.dumps({name: segmentation.GetAttribute(name) for name in segmentation.GetAttributeNames()})
    assert "0.05" in facts
