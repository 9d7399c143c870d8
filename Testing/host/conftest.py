"""Tests of the host itself, and tests that need the host (screenshots, real clicks)."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Python"))

from hostfixtures import *  # noqa: F403
from hostfixtures import slicer


@pytest.fixture
def widget(module, tmp_path):
    """The module's widget, entered, with the cards of two test models; nothing may be left behind."""
    import VeloxSegSlicerFixtures as fixtures

    fixtures.writeCards(tmp_path / "models", fixtures.brainCard(), fixtures.petctCard())
    widget = fixtures.openPanel(tmp_path / "models")
    yield widget
    current = slicer.modules.VeloxSegSlicerWidget
    current.panel.sceneWillClose()
    current.panel.batch.abandon()
    slicer.modules.veloxsegslicer.widgetRepresentation().exit()
    assert fixtures.jobFolders() == []


@pytest.fixture
def petct(widget):
    """The widget with the PET/CT task chosen and two images assigned."""
    import VeloxSegSlicerFixtures as fixtures

    fixtures.chooseTask(widget, "petct-lesions")
    fixtures.sphereVolume("3: CT Thorax", size=(48, 48, 40))
    fixtures.sphereVolume("5: PET SUVbw", size=(24, 24, 20), spacing=(4, 4, 4))
    fixtures.waitFor(lambda: widget.ui.segmentButton.enabled)
    return widget
