"""Checks 13 to 19 and 22 of docs/acceptance.md: what is in the scene after a run."""

import csv

import numpy as np
import pytest
import slicer
import VeloxSegSlicerFixtures as fixtures
import vtk

import acceptance_cases as cases
from VeloxSegSlicerLib.common import ResultAttributes
from VeloxSegSlicerLib.common.Models import Catalogue


def content(segmentation, volume) -> list[bytes]:
    ids = segmentation.GetSegmentation().GetSegmentIDs()
    return [slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name, volume).tobytes() for name in ids]


def tag(segment, name: str) -> str:
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


@pytest.mark.acceptance(13)
def test_secondRunLeavesTheFirst(petct, measured):
    fixtures.segment(petct)
    first, volume = petct.ui.resultSelector.currentNode(), petct.panel.images["PET"]
    before = content(first, volume)
    fixtures.segment(petct)
    second = petct.ui.resultSelector.currentNode()
    measured("second run: the first result is equal byte by byte")
    assert second is not first
    assert content(first, volume) == before


@pytest.mark.acceptance(14)
def test_dressOfEveryShippedModel(widget, measured):
    """Each shipped card: its images under a study, a run that finds every label, all of it as the card says."""
    catalogue = Catalogue(fixtures.modelFolder())
    assert catalogue.cards and catalogue.errors == []
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    for card in catalogue.cards:
        study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), f"Study of {card.id}")
        images = {role.name: imageFor(role) for role in card.roles}
        for image in images.values():
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(image), study)
        result = cases.runLogic("succeed", card, images)
        node = result.segmentation
        assert node is not None, (card.id, result.error)
        segments = [node.GetSegmentation().GetNthSegment(n) for n in range(node.GetSegmentation().GetNumberOfSegments())]
        assert [segment.GetName() for segment in segments] == [label.name for label in card.labels]
        assert [segment.GetTerminology() for segment in segments] == [label.terminology_entry for label in card.labels]
        for segment, label in zip(segments, card.labels, strict=True):
            np.testing.assert_allclose(segment.GetColor(), np.array(label.color) / 255, atol=1e-6)
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
        assert images[card.reference.name].GetName() in node.GetName() and card.title in node.GetName()
    labels = sum(len(card.labels) for card in catalogue.cards)
    measured(f"{labels} segments of {len(catalogue.cards)} shipped models as in their cards, beside the reference")


def imageFor(role):
    if role.kind == "photo":
        return fixtures.colorPicture(f"a {role.title}")
    ramp = np.broadcast_to(np.linspace(0, 100, 40)[:, None, None], (40, 8, 8))
    unit = " SUVbw" if role.modality == "PT" else ""
    return cases.volume(f"a {role.title}{unit}", ramp, np.diag([-2.0, -2.0, 2.0, 1.0]))


@pytest.mark.acceptance(15)
def test_dicomTags(petct, measured):
    fixtures.segment(petct)
    segmentation = petct.ui.resultSelector.currentNode().GetSegmentation()
    segments = [segmentation.GetNthSegment(n) for n in range(segmentation.GetNumberOfSegments())]
    tags = {(tag(segment, "DICOM.SegmentAlgorithmType"), tag(segment, "DICOM.SegmentAlgorithmName")) for segment in segments}
    measured(f"{', '.join('; '.join(pair) for pair in tags)}")
    assert tags == {("AUTOMATIC", "[demo] Test PET/CT lesions 1.2.0")}


@pytest.mark.acceptance(17)
def test_emptyResult(petct, measured):
    fixtures.segment(petct, "empty")
    text, button = petct.ui.noticeLabel.text, petct.ui.noticeFirstButton
    measured(f'"{text.split(".  ")[0]}" [{button.text}]')
    assert "above the threshold 0.50. The highest score was 0.34" in text
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    before = slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS()).copy()
    button.click()
    assert not np.allclose(slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS()), before)


@pytest.mark.acceptance(19)
def test_provenanceIsSaved(petct, tmp_path, measured):
    fixtures.segment(petct)
    node = petct.ui.resultSelector.currentNode()
    facts = attributes(node)
    assert len(facts) > 12
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(path)
    loaded = slicer.util.getFirstNodeByClassByName("vtkMRMLSegmentationNode", node.GetName())
    measured(f"{len(facts)} attributes equal after saving and loading an .mrb")
    assert attributes(loaded) == facts


def attributes(node) -> dict[str, str]:
    return {name: node.GetAttribute(name) for name in ResultAttributes.names(node)}


@pytest.mark.acceptance(22)
def test_demoMark(petct, tmp_path, measured):
    fixtures.segment(petct)
    node = petct.ui.resultSelector.currentNode()
    petct.panel.results.lesions.saveCsv(tmp_path / "measures.csv")
    with open(tmp_path / "measures.csv", encoding="utf-8", newline="") as stream:
        marks = {row["level"] for row in csv.DictReader(stream)}
    measured(f'panel "{petct.ui.demoLabel.text}", node "{node.GetName()}", CSV column level "{"".join(marks)}"')
    assert not petct.ui.demoLabel.isHidden() and "Demo weights" in petct.ui.demoLabel.text
    assert node.GetName().startswith("[demo] ")
    assert marks == {"demo"}
