"""Checks 1 to 7 of docs/acceptance.md: what is told before a run."""

import pytest
import slicer
import VeloxSegSlicerFixtures as fixtures
from VeloxSegSlicerFixtures import chooseTask

import acceptance_cases as cases
from acceptance import amount, ownTime
from VeloxSegSlicerLib import Setup


@pytest.fixture
def withoutTorch(monkeypatch, tmp_path):
    """Setup looks into a Python without torch."""
    real = Setup.probe
    monkeypatch.setattr(Setup, "probe", lambda: real(cases.torchFrom(tmp_path)))


def fastest(action) -> float:
    """Seconds of an action and the events after it: the least of three, because other programs run here, too."""
    seconds = []
    for _time in range(3):
        slicer.app.processEvents()
        started = ownTime()
        action()
        slicer.app.processEvents()
        seconds.append(ownTime() - started)
    return min(seconds)


@pytest.mark.acceptance(1)
def test_opensWithoutTorch(module, withoutTorch, measured):
    representation = slicer.modules.veloxsegslicer.widgetRepresentation()

    def open():
        slicer.util.reloadScriptedModule("VeloxSegSlicer")
        representation.enter()

    seconds = fastest(open)
    ui = slicer.modules.VeloxSegSlicerWidget.ui
    words = [label.text for label in (ui.engineStepWordLabel, ui.modelStepWordLabel, ui.imagesStepWordLabel)]
    texts = [label.text for label in (ui.engineStepLabel, ui.modelStepLabel, ui.imagesStepLabel)]
    measured(f"{amount(seconds, 's')}; lines: {', '.join(words)}")
    representation.exit()
    assert words[0] == "To do" and "not installed" in texts[0]
    assert all(words) and all(texts)
    assert seconds < 1.0


@pytest.mark.acceptance(3)
def test_emptyTorchPackage(widget, tmp_path, measured):
    """What an interrupted install leaves: a folder called torch with nothing in it."""
    (tmp_path / "site" / "torch").mkdir(parents=True)
    widget.panel.engine = Setup.probe(cases.torchFrom(tmp_path / "site"))
    widget.panel.update()
    button = widget.ui.noticeFirstButton
    measured(f'"{widget.ui.noticeLabel.text}" [{button.text}]')
    assert widget.panel.engine.status == Setup.DAMAGED
    assert button.text == "Repair" and not button.isHidden()
    assert not widget.ui.segmentButton.enabled


@pytest.mark.acceptance(4)
def test_gridMismatchIsTold(widget, measured):
    chooseTask(widget, "petct-lesions")
    widget.panel.selector("PET").setCurrentNode(fixtures.sphereVolume("pet", size=(100, 100, 100), spacing=(4, 4, 4)))
    image = fixtures.sphereVolume("ct", size=(128, 128, 100), spacing=(1.5, 1.5, 2))

    def choose():
        widget.panel.selector("CT").setCurrentNode(None)
        widget.panel.selector("CT").setCurrentNode(image)

    seconds = fastest(choose)
    row = widget.panel._rows._rows["CT"]
    measured(f'"{row._word.text}" with numbers after {amount(seconds, "s")}')
    assert row._word.text == "Will be resampled"
    assert "1.50 x 1.50 x 2.00 mm" in row._word.toolTip and "100 % overlap" in row._word.toolTip
    assert seconds < 0.2


@pytest.mark.acceptance(5)
def test_overlayOnAnyGrid(widget, tmp_path, measured):
    """The whole way: export, the engine's working grid and back, import; the network is a threshold."""
    fixtures.writeCards(tmp_path / "threshold", cases.brainCard())
    fixtures.useModels(widget, tmp_path / "threshold")
    scores = {}
    for name, options in cases.GRIDS.items():
        image, truth = cases.ball("T1", **options)
        widget.panel.selector("T1").setCurrentNode(image)
        segmentation = cases.runThreshold(widget)
        scores[name] = cases.dice(cases.found(segmentation, image), truth)
    worst = min(scores, key=scores.get)
    measured(f"lowest Dice {scores[worst]:.3f} ({worst}) of {len(scores)} grids, synthetic sphere")
    assert scores[worst] > 0.99


@pytest.mark.acceptance(7)
def test_colorPictureForAVolumeModel(widget, measured):
    widget.panel.selector("T1").setCurrentNode(fixtures.colorPicture("IMG_2041"))
    measured(f'color: "{widget.ui.noticeLabel.text}"')
    assert "'IMG_2041' is a color" in widget.ui.noticeLabel.text
    assert not widget.ui.segmentButton.enabled


@pytest.mark.acceptance(7)
def test_grayVolumeForAPhotoModel(widget, tmp_path, measured):
    fixtures.writeCards(tmp_path / "photo", fixtures.photoCard())
    fixtures.useModels(widget, tmp_path / "photo")
    widget.panel.selector("Photo").setCurrentNode(fixtures.sphereVolume("CT Thorax", size=(20, 20, 30)))
    measured(f'gray: "{widget.ui.noticeLabel.text}"')
    assert "reads color photos; 'CT Thorax' is a gray volume with 30 slices" in widget.ui.noticeLabel.text
    assert not widget.ui.segmentButton.enabled
