"""Checks 13, 16 and 18 of docs/acceptance.md: restoring, the numbers of lesions, the reading of uncertainty. The engine is the
real one, around a threshold (lesions) or a shipped model (photo)."""

import numpy as np
import pytest
import slicer
import VeloxSegSlicerFixtures as fixtures

import acceptance_cases as cases
from VeloxSegSlicerLib.common import ResultAttributes
from VeloxSegSlicerLib.results import Lesions, Uncertainty

EDGE_MM = 6.0
RADII = (24.0, 15.0)
CENTERS = ((-30.0, 0.0, 0.0), (30.0, 5.0, 0.0))
SPACING = (2.0, 2.0, 2.0)
SIZE = (72, 40, 40)


def petOfBalls(name: str):
    """SUV that falls through half of the largest exactly on two spheres, linearly over 12 mm."""
    matrix, world = cases.grid(SIZE, SPACING)
    depths = [radius - np.linalg.norm(world - np.array(center), axis=-1) for radius, center in zip(RADII, CENTERS, strict=True)]
    values = cases.LARGEST * (0.5 + np.max(depths, axis=0) / (2 * EDGE_MM))
    return cases.volume(name, np.clip(values, 0, cases.LARGEST), matrix, cases.SUV_UNIT)


def expected(radius: float) -> dict[str, float]:
    """Volume, mean and TLG of such a ball, by integration over shells."""
    r = (np.arange(200_000) + 0.5) / 200_000 * radius
    shells = 4 * np.pi * r**2 * radius / 200_000 / 1000
    suv = cases.LARGEST * np.clip(0.5 + (radius - r) / (2 * EDGE_MM), 0, 1)
    return {"volume_ml": shells.sum(), "suv_mean": (shells * suv).sum() / shells.sum(), "tlg": (shells * suv).sum()}


@pytest.mark.acceptance(16)
def test_lesionTable(widget, tmp_path, measured):
    fixtures.writeCards(tmp_path / "threshold", cases.petctCard())
    fixtures.useModels(widget, tmp_path / "threshold")
    fixtures.chooseTask(widget, "petct-lesions")
    petOfBalls("CT Thorax").SetVoxelValueUnits(None)
    petOfBalls("PET SUVbw")
    assert fixtures.waitFor(lambda: widget.ui.segmentButton.enabled), widget.ui.stageLabel.text
    node = cases.runThreshold(widget)
    byEngine = Lesions.lesionsOf(node)
    ResultAttributes.setFact(node, Lesions.FINGERPRINT, "")
    byPanel = Lesions.lesionsOf(node)
    errors = {}
    for source, lesions in (("engine", byEngine), ("panel", byPanel)):
        assert len(lesions) == len(RADII)
        for lesion, radius in zip(lesions, RADII, strict=True):
            for key, value in expected(radius).items():
                errors[source, key] = max(errors.get((source, key), 0.0), abs(lesion.values[key] / value - 1))
            assert lesion.values["suv_max"] == pytest.approx(cases.LARGEST, rel=0.01)
            assert lesion.values["suv_peak"] == pytest.approx(cases.LARGEST, rel=0.01)
    texts = [f"{key} {100 * error:.2f} % ({source})" for (source, key), error in errors.items()]
    measured(f"two synthetic spheres of {RADII[0]:.0f} and {RADII[1]:.0f} mm radius, largest error: {', '.join(texts)}")
    for (_source, key), error in errors.items():
        assert error < (0.01 if key == "suv_mean" else 0.02), key


@pytest.mark.acceptance(13)
def test_replacedResultIsRestored(petct, measured):
    fixtures.segment(petct)
    node, volume = petct.ui.resultSelector.currentNode(), petct.panel.images["PET"]
    before = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0), volume)
    petct.ui.outputSelector.setCurrentNode(node)
    array = slicer.util.arrayFromVolume(volume)
    array[:, :, 12:] = array.min()
    slicer.util.arrayFromVolumeModified(volume)
    fixtures.segment(petct)
    assert petct.ui.resultSelector.currentNode() is node
    replaced = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0), volume)
    petct.ui.restorePreviousButton.click()
    restored = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0), volume)
    measured(f"replaced: {(replaced != before).sum()} voxels differ; restored: {(restored != before).sum()} differ")
    petct.ui.outputSelector.setCurrentNode(None)
    assert (replaced != before).any()
    np.testing.assert_array_equal(restored, before)


@pytest.mark.acceptance(18)
def test_uncertainty(widget, measured):
    pytest.importorskip("torch", reason="torch is needed for the shipped photo model")
    fixtures.useModels(widget, fixtures.modelFolder())
    card = next(card for card in widget.panel.catalogue.cards if card.has_ensemble and card.takes_photo)
    fixtures.chooseTask(widget, card.task_id)
    combo = widget.ui.modelComboBox
    combo.setCurrentIndex(combo.findData(card.key))
    combo.activated.emit(combo.currentIndex)
    fixtures.softDisk("IMG_1", size=(120, 90), radius=25, disk=(90, 45, 35), ground=(225, 180, 160))
    assert fixtures.waitFor(lambda: widget.ui.segmentButton.enabled), widget.ui.stageLabel.text
    widget.logic.segmenter.command = None
    maps = []
    for seed in (7, 7, 8):
        widget.ui.seedSpinBox.value = seed
        widget.ui.segmentButton.click()
        assert fixtures.waitFor(lambda: not widget.logic.segmenter.isBusy, 120)
        node = widget.ui.resultSelector.currentNode()
        assert node is not None, widget.ui.logTextEdit.plainText
        maps.append(slicer.util.arrayFromVolume(Uncertainty.volumeOf(node)).copy())
    reading = widget.ui.agreementLabel.text
    measured(f'"{reading}" Largest difference of the maps: same seed {np.abs(maps[0] - maps[1]).max():.3f}, another seed '
             f"{np.abs(maps[0] - maps[2]).max():.3f}")  # fmt: skip
    assert "Agreement between runs" in reading and "Places to review" in reading
    np.testing.assert_array_equal(maps[0], maps[1])
    assert (maps[0] != maps[2]).any()
