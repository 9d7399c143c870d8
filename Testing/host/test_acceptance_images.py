"""Checks 1 to 7 of docs/acceptance.md: what is told before a run."""

import types

import numpy as np
import pytest
import slicer
import VeloxSegSlicerFixtures as fixtures
from VeloxSegSlicerFixtures import chooseTask

import acceptance_cases as cases
from acceptance import amount, ownTime
from VeloxSegSlicerLib.engine import ComputerCheck, PendingStep, Setup
from VeloxSegSlicerLib.widgets import Dialogs


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


@pytest.mark.acceptance(2)
def test_installIsOneDecision(widget, monkeypatch, measured):
    """From the first click over a restart of Slicer to a tested engine; nothing is really installed."""
    opened, done = [], []
    load = Dialogs.load
    monkeypatch.setattr(Dialogs, "load", lambda name: opened.append(name) or load(name))
    for name in ("confirmOkCancelDisplay", "confirmYesNoDisplay", "infoDisplay"):
        monkeypatch.setattr(slicer.util, name, lambda *a, _name=name, **k: opened.append(_name))
    missing, ready = Setup.EngineState(Setup.MISSING, ("torch",)), Setup.EngineState(Setup.READY, torchVersion="2.9")
    monkeypatch.setattr(Setup, "probe", lambda *a: ready if "engine" in done else missing)
    monkeypatch.setattr(Setup, "isHelperInstalled", lambda: "restart" in done)
    monkeypatch.setattr(Setup, "installHelper", lambda: done.append("helper"))
    monkeypatch.setattr(Setup, "install", lambda *a: done.append("engine"))
    monkeypatch.setattr(ComputerCheck.ComputerCheck, "start", lambda check: done.append("check"))
    monkeypatch.setattr(slicer.util, "restart", lambda: done.append("restart"))
    widget.panel.engine = Setup.probe()
    widget.panel.update()
    widget.ui.noticeFirstButton.click()
    slicer.util.childWidgetVariables(widget.panel.installer.dialog).installButton.click()
    assert widget.ui.noticeFirstButton.text == "Restart now"
    widget.ui.noticeFirstButton.click()
    # The next start of Slicer is another process.
    monkeypatch.setattr(PendingStep, "os", types.SimpleNamespace(getpid=lambda: -1))
    slicer.util.reloadScriptedModule("VeloxSegSlicer")
    slicer.modules.veloxsegslicer.widgetRepresentation().enter()
    assert fixtures.waitFor(lambda: "check" in done, 5)
    measured(f"{len(opened)} dialog; then by itself: {', '.join(done)}")
    assert opened == ["InstallDialog.ui"]
    assert done == ["helper", "restart", "engine", "check"]


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
    widget.panel.rows.selector("PET").setCurrentNode(fixtures.sphereVolume("pet", size=(100, 100, 100), spacing=(4, 4, 4)))
    image = fixtures.sphereVolume("ct", size=(128, 128, 100), spacing=(1.5, 1.5, 2))

    def choose():
        widget.panel.rows.selector("CT").setCurrentNode(None)
        widget.panel.rows.selector("CT").setCurrentNode(image)

    seconds = fastest(choose)
    row = widget.panel.rows._rows["CT"]
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
        widget.panel.rows.selector("T1").setCurrentNode(image)
        segmentation = cases.runThreshold(widget)
        scores[name] = cases.dice(cases.found(segmentation, image), truth)
    worst = min(scores, key=scores.get)
    measured(f"lowest Dice {scores[worst]:.3f} ({worst}) of {len(scores)} grids, synthetic sphere")
    assert scores[worst] > 0.99


@pytest.mark.acceptance(6)
def test_activityIsConverted(widget, measured):
    """PET in Bq/ml: a decision is asked for, and the SUV of the copy are those of a hand calculation."""
    chooseTask(widget, "petct-lesions")
    activity = np.random.default_rng(1).uniform(0, 40000, (12, 12, 12))
    matrix = np.diag([-4.0, -4.0, 4.0, 1.0])
    pet = cases.volume("PET", activity, matrix, ("Bq/ml", "UCUM", "Becquerels/milliliter"))
    widget.panel.rows.selector("PET").setCurrentNode(pet)
    widget.panel.rows.selector("CT").setCurrentNode(cases.volume("CT", activity, matrix))
    ui = widget.ui
    assert "activity (Bq/ml), not SUV" in ui.noticeLabel.text and not ui.segmentButton.enabled
    buttons = {button.text: button for button in (ui.noticeFirstButton, ui.noticeSecondButton, ui.noticeThirdButton)}
    next(button for text, button in buttons.items() if "dose" in text).click()
    dialog = widget.panel.inputActions.suvDialog.ui
    dialog.isotopeComboBox.setCurrentIndex(dialog.isotopeComboBox.findText("F-18"))
    dialog.doseSpinBox.value, dialog.minutesSpinBox.value, dialog.weightSpinBox.value = 350.0, 60.0, 70.0
    dialog.convertButton.click()
    copy = widget.panel.images["PET"]
    # 350 MBq of fluorine-18 (half-life 109.77 min) after 60 minutes, 70 kg
    expected = activity * 70000 / (350e6 * 2 ** (-60 / 109.77))
    suv = slicer.util.arrayFromVolume(copy).transpose(2, 1, 0)
    error = np.abs(suv / expected - 1).max()
    measured(f"Bq/ml offers: {', '.join(buttons)}; largest error of SUV {100 * error:.4f} %, largest SUV {suv.max():.2f}")
    assert copy is not pet and error < 0.01
    assert fixtures.waitFor(lambda: ui.segmentButton.enabled, 5), ui.stageLabel.text


@pytest.mark.acceptance(7)
def test_colorPictureForAVolumeModel(widget, measured):
    widget.panel.rows.selector("T1").setCurrentNode(fixtures.colorPicture("IMG_2041"))
    measured(f'color: "{widget.ui.noticeLabel.text}"')
    assert "'IMG_2041' is a color" in widget.ui.noticeLabel.text
    assert not widget.ui.segmentButton.enabled


@pytest.mark.acceptance(7)
def test_grayVolumeForAPhotoModel(widget, tmp_path, measured):
    fixtures.writeCards(tmp_path / "photo", fixtures.photoCard())
    fixtures.useModels(widget, tmp_path / "photo")
    widget.panel.rows.selector("Photo").setCurrentNode(fixtures.sphereVolume("CT Thorax", size=(20, 20, 30)))
    measured(f'gray: "{widget.ui.noticeLabel.text}"')
    assert "reads color photos; 'CT Thorax' is a gray volume with 30 slices" in widget.ui.noticeLabel.text
    assert not widget.ui.segmentButton.enabled
