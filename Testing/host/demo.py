"""The main job, as a person does it: open the panel, load a sample, press Segment, look at the result.

    make demo        writes demo/ (real MNI152 head) and demo/petct/, head-neck/, brain-tumor/, skin/ (synthetic phantoms)

Every step goes through the buttons of the unmodified module in the test host; numbers are printed as they are measured.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from PIL import Image

import slicerhost

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 280
PANEL_SIZE = (440, 960)
VIEWS_WIDTH = 1000
GAP = 8
BACKGROUND = (40, 40, 40)


@dataclass(frozen=True)
class Task:
    """What to choose in the panel, where its pictures go, and the phantom that its sample is; None for the real head."""

    taskId: str
    folder: str
    phantom: str | None
    model: str | None = None
    """Id of the model; the first of the task when not given."""


TASKS = (
    Task("brain-regions", ".", None),
    Task("petct-lesions", "petct", "petct"),
    Task("head-neck-tumors", "head-neck", "head-neck-petct"),
    Task("brain-tumor", "brain-tumor", "brain-tumor-mri"),
    Task("skin-lesion-photo", "skin", "dermoscopy", "skin-lesion-nca-demo"),
)


class DemoError(Exception):
    """A step did not do what it should."""


def main(output: Path = ROOT / "demo") -> int:
    """Open the panel, load a sample, segment, save pictures, segmentation and table.

    Args:
        output: folder for what is saved.
    """
    tell(f"Five tasks, about a minute on two cores and nothing to download; pictures go to {output}.\nOpening the panel ...")
    slicerhost.loadModule(ROOT / "VeloxSegSlicer" / "VeloxSegSlicer.py")
    import slicer

    started = time.monotonic()
    outer = slicerhost.showModule("VeloxSegSlicer")
    outer.resize(*PANEL_SIZE)
    panel = slicer.modules.VeloxSegSlicerWidget.panel
    print(f"Panel opened in {time.monotonic() - started:.2f} s: {panel.ui.setupCollapsibleButton.text}")
    try:
        for task in TASKS:
            demonstrate(task, output / task.folder, outer, panel)
            slicer.mrmlScene.Clear()
    except DemoError as error:
        print(f"Demo failed: {error}", file=sys.stderr)
        return 1
    finally:
        slicerhost.unloadModules()
    return 0


def demonstrate(task: Task, folder: Path, outer, panel) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    choose(panel.ui.taskComboBox, task.taskId)
    if task.model:
        choose(panel.ui.modelComboBox, panel.catalogue.card(task.model).key)
    tell(f"\n{panel.card.marked_title} {panel.card.version}\n  loading a sample ...")
    seconds = press(panel.ui.sampleButton, lambda: all(panel.images.values()), panel)
    names = ", ".join(f"{role} = {node.GetName()}" for role, node in panel.images.items())
    tell(f"  sample loaded in {seconds:.1f} s: {names}\n  segmenting ...")

    seconds = press(panel.ui.segmentButton, lambda: not panel.segmenter.isBusy, panel)
    print(f"  click to result {seconds:.1f} s: {panel.ui.noticeLabel.text}")
    node = panel.ui.resultSelector.currentNode()
    if node is None:
        raise DemoError(f"no result: {panel.ui.logTextEdit.plainText}")
    tell("  drawing ...")
    save(folder, outer, panel, node)
    report(task, panel, node)
    print(f"  files: {folder}")


def tell(text: str) -> None:
    """Before a wait: at once also where what is printed goes into a file."""
    print(text, flush=True)


def choose(combo, value: str) -> None:
    combo.setCurrentIndex(combo.findData(value))
    combo.activated.emit(combo.currentIndex)


def press(button, isDone, panel) -> float:
    """Clicks, waits until it is done, and returns the seconds."""
    if not button.enabled:
        raise DemoError(f"'{button.text}' is disabled: {button.toolTip}")
    started = time.monotonic()
    button.click()
    if not slicerhost.waitFor(isDone, TIMEOUT_SECONDS):
        raise DemoError(f"nothing after {TIMEOUT_SECONDS} s: {panel.ui.stageLabel.text}")
    return time.monotonic() - started


def save(folder: Path, outer, panel, node) -> None:
    """Panel, views, all of them in one picture, segmentation and table as files; of an ensemble also its uncertainty."""
    import slicer

    isPhoto = panel.card.roles[0].kind == "photo"
    views = ("Red",) if isPhoto else ("Red", "Green", "Yellow")
    slicer.app.processEvents()
    # a panel that is on no screen lays itself out when it is drawn, and knows its height only then
    for _ in range(2):
        outer.resize(PANEL_SIZE[0], max(PANEL_SIZE[1], outer.heightForWidth(PANEL_SIZE[0])))
        slicerhost.grabWidget(outer, folder / "panel.png")
    slicerhost.grabSliceViews(folder / "slices.png", views, annotate=not isPhoto)
    pictures = ["slices.png"]
    if isPhoto:
        panel.ui.overlayCheckBox.click()
        slicerhost.grabSliceViews(folder / "uncertainty.png", views, annotate=False)
        panel.ui.overlayCheckBox.click()
        pictures.append("uncertainty.png")
    else:
        panel.ui.show3DButton.click()
        slicerhost.grab3DView(folder / "three-d.png", size=(VIEWS_WIDTH, VIEWS_WIDTH * 3 // 4))
        pictures.append("three-d.png")
    overview(folder, pictures)
    if not slicer.util.saveNode(node, str(folder / "segmentation.seg.nrrd"), {}):
        raise DemoError("the segmentation could not be saved")
    panel.results.lesions.saveCsv(folder / "measures.csv")


def overview(folder: Path, pictures: list[str]) -> None:
    """The panel with the pictures of the views beside it, one below the other."""
    panel, *views = [Image.open(folder / name).convert("RGB") for name in ("panel.png", *pictures)]
    views = [view.resize((VIEWS_WIDTH, round(view.height * VIEWS_WIDTH / view.width))) for view in views]
    if all(view.width / view.height < 1.5 for view in views):
        views = [view.resize((VIEWS_WIDTH // 2, round(view.height / 2))) for view in views]
    height = max(panel.height, sum(view.height for view in views) + GAP * (len(views) - 1))
    whole = Image.new("RGB", (panel.width + GAP + max(view.width for view in views), height), BACKGROUND)
    whole.paste(panel, (0, 0))
    top = 0
    for view in views:
        whole.paste(view, (panel.width + GAP, top))
        top += view.height + GAP
    # No palette: a legend must have the colors of its picture.
    whole.save(folder / "overview.png", optimize=True)


def report(task: Task, panel, node) -> None:
    from VeloxSegSlicerLib.common import ResultAttributes
    from VeloxSegSlicerLib.results import Statistics

    print(f"  device: {ResultAttributes.fact(node, 'Device')}")
    stages = json.loads(ResultAttributes.fact(node, "StageSeconds"))
    print("  stages: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in stages.items()))
    isPhoto = ResultAttributes.fact(node, "Kind") == ResultAttributes.PHOTO
    for entry in Statistics.measure(node):
        print(f"    {entry.name:<22} " + (f"{entry.voxels:9} px" if isPhoto else f"{entry.volumeMl:9.1f} ml"))
    if isPhoto:
        print(f"  {panel.ui.agreementLabel.text}")
    tell("  comparing with the truth ...")
    print(f"  {truthLine(task, node)}")


def truthLine(task: Task, node) -> str:
    """Mean Dice over the labels with what is known of the sample, or why there is none."""
    import numpy as np

    truth, source = phantomTruth(task.phantom) if task.phantom else atlasTruth(node)
    if truth is None:
        return source
    found = labels(node, truth.shape)
    values = [value for value in np.unique(truth) if value]
    dices = [2 * np.sum((found == v) & (truth == v)) / (np.sum(found == v) + np.sum(truth == v)) for v in values]
    return f"Dice {np.mean(dices):.3f} ({source})"


def labels(node, shape):
    """Label array (k, j, i) of a result on its reference image's grid."""
    import numpy as np
    import slicer

    array = np.zeros(shape, np.uint8)
    segmentation = node.GetSegmentation()
    reference = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    for segmentId in segmentation.GetSegmentIDs():
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, reference)
        array[mask > 0] = segmentation.GetSegment(segmentId).GetLabelValue()
    return array


def phantomTruth(kind):
    import numpy as np
    import SimpleITK as sitk

    from veloxseg import phantoms
    from VeloxSegSlicerLib.run import Samples

    phantom = next(phantom for phantom in Samples.PHANTOMS if phantom.kind == kind)
    case = phantoms.generate_case(kind, phantom.seed)
    truth = sitk.GetArrayFromImage(case.mask if phantom.isPhoto else case.label)
    if phantom.isPhoto:
        truth = (truth[None] > 0).astype(np.uint8)  # a picture is one slice for Slicer
    return truth, "synthetic phantom, truth known exactly"


def atlasTruth(node):
    """AAL on the sample's grid; it was drawn on another head in the same space, so 1.0 can't be reached."""
    import numpy as np
    import SimpleITK as sitk
    import slicer

    from training import heads

    if not (heads.TEMPLATES / "aal.nii.gz").exists():
        return None, "Dice not computed: the AAL atlas is absent (Debian package mricron-data)"
    volume = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    shape = slicer.util.arrayFromVolume(volume).shape
    grid = sitk.Image([int(n) for n in shape[::-1]], sitk.sitkUInt8)
    vtkMatrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    volume.GetIJKToRASMatrix(vtkMatrix)
    ijkToLps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ slicer.util.arrayFromVTKMatrix(vtkMatrix)
    spacing = np.linalg.norm(ijkToLps[:3, :3], axis=0)
    grid.SetSpacing(spacing.tolist())
    grid.SetOrigin(ijkToLps[:3, 3].tolist())
    grid.SetDirection((ijkToLps[:3, :3] / spacing).ravel().tolist())
    atlas = sitk.Resample(heads.load("both").groups, grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    return sitk.GetArrayFromImage(atlas), "AAL atlas in MNI space, drawn on another head"


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT)]
    sys.exit(tyro.cli(main))
