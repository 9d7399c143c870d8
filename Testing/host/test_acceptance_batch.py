"""Checks 20, 22 and 23 of docs/acceptance.md for batches: the Batch section, the real engine and a tiny network."""

import csv

import ctk
import pytest
import qt
import SimpleITK as sitk
import slicer
import VeloxSegSlicerFixtures as fixtures

import slicerhost
from engine_cases import blob_image, label, tiny_package, write_image

SIZE = (24, 20, 22)
LABELS = [label(1, "First", (230, 90, 60)), label(4, "Fourth", (60, 120, 220))]
BROKEN = "case3"


@pytest.fixture(scope="module")
def folder(module, tmp_path_factory):
    """Ten cases of which one is cut off."""
    folder = tmp_path_factory.mktemp("batch")
    for name in (f"case{number}" for number in range(10)):
        (folder / "in" / name).mkdir(parents=True)
        write_image(blob_image(SIZE), folder / "in" / name / "head.nrrd")
    broken = folder / "in" / BROKEN / "head.nrrd"
    broken.write_bytes(broken.read_bytes()[:2000])
    tiny_package(folder / "models" / "tiny", labels=LABELS)
    return folder


@pytest.fixture(scope="module")
def view(folder):
    from VeloxSegSlicerLib.common.Models import readCard
    from VeloxSegSlicerLib.run.BatchView import BatchView
    from VeloxSegSlicerLib.run.Segmenter import RunSettings

    qt.QSettings().remove("VeloxSegSlicer/Batch")
    section = ctk.ctkCollapsibleButton()
    section.setLayout(qt.QVBoxLayout())
    section.collapsed = True
    loaded = []
    view = BatchView(section, fixtures.modulePath(), lambda: RunSettings(device="cpu"), print, lambda *case: loaded.append(case))
    view.loaded, view.section = loaded, section
    view.show(readCard(folder / "models" / "tiny"))
    view.ui.sourcePathEdit.currentPath = str(folder / "in")
    view.ui.outputPathEdit.currentPath = str(folder / "out")
    yield view
    view.abandon()
    assert fixtures.jobFolders() == []


@pytest.fixture(scope="module")
def done(view):
    """The view after its batch; which windows were open meanwhile."""
    view.preview()
    assert slicerhost.waitFor(lambda: not view.batch.isBusy, timeout=120)
    assert view.ui.countsLabel.text == "10 ready"
    known, opened = set(qt.QApplication.topLevelWidgets()), set()

    def isDone():
        opened.update(window for window in qt.QApplication.topLevelWidgets() if window not in known and not window.isHidden())
        return not view.isBusy

    view.ui.startBatchButton.click()
    assert slicerhost.waitFor(isDone, timeout=300)
    view.opened, view.firstText = opened, view.ui.batchStatusLabel.text
    return view


def rows(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.acceptance(20)
def test_tenCasesOneBroken(done, folder, measured):
    listed = rows(folder / "out" / "failures.csv")
    done.ui.startBatchButton.click()
    assert slicerhost.waitFor(lambda: not done.isBusy, timeout=300)
    resumed = done.ui.batchStatusLabel.text
    measured(f"{done.firstText} Resumed: {resumed}")
    assert done.firstText == "9 done, 1 failed, 0 skipped."
    assert [row["case"] for row in listed] == [BROKEN] and "cannot be read" in listed[0]["text"]
    assert resumed == "0 done, 1 failed, 9 skipped."
    assert len([row for row in rows(folder / "out" / "summary.csv") if row["state"] == "done"]) == 9


@pytest.mark.acceptance(23)
def test_noWindowDuringABatch(done, measured):
    measured(f"{len(done.opened)} windows in a batch of ten cases with a failure")
    assert not done.opened


@pytest.mark.acceptance(22)
def test_demoMarkOfABatch(done, folder, measured):
    marks = {row["level"] for row in rows(folder / "out" / "case0" / "measures.csv")}
    summary = {row["level"] for row in rows(folder / "out" / "summary.csv") if row["state"] == "done"}
    measured(f'batch: measures.csv and summary.csv column level "{"".join(marks | summary)}"')
    assert marks == summary == {"demo"}


def test_slicerReadsTheSegmentation(done, folder):
    """Names, colors and terminology come from the header of seg.nrrd, as the panel writes them."""
    node = slicer.util.loadSegmentation(str(folder / "out" / "case0" / "segmentation.seg.nrrd"), {})
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
    expected = {entry.name: entry for entry in done._card.labels}
    assert {segment.GetName() for segment in segments} == {"First", "Fourth"}
    for segment in segments:
        entry = expected[segment.GetName()]
        assert segment.GetLabelValue() == entry.value
        assert [round(part * 255) for part in segment.GetColor()] == list(entry.color)
        assert segment.GetTerminology() == entry.terminology_entry


def test_loadedCaseIsTheFile(done, folder):
    done.loadCase(0)
    ((card, images, result),) = done.loaded
    assert images["T1"].GetName() == "case0 T1" and result.GetName().startswith("[demo] ")
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out" / "case0" / "segmentation.seg.nrrd")))
    byName = {entry.name: entry.value for entry in card.labels}
    for segmentId in result.GetSegmentation().GetSegmentIDs():
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(result, segmentId, images["T1"])
        value = byName[result.GetSegmentation().GetSegment(segmentId).GetName()]
        assert int(mask.sum()) == int((values == value).sum()) > 0


def test_nextPreviewKnowsWhatIsFinished(done):
    done.preview()
    assert slicerhost.waitFor(lambda: not done.batch.isBusy, timeout=120)
    assert done.ui.countsLabel.text == "1 ready, 9 finished"
