"""Small examples that work offline: the MNI brain when nilearn is there, else phantoms of the engine."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from ..common import Temporary, VolumeFile
from ..common.Errors import VeloxSegError
from ..common.Log import logger
from ..common.Models import ModelCard
from ..engine import Child
from ..engine.Process import Process
from ..engine.Run import DONE, EngineRun, ProcessOutcome, Timeouts
from ..images import Suv
from ..widgets import PlainText

CATEGORY = "VeloxSeg"
# A chest with six lesions, unseen in training, picked because it shows the module well.
PHANTOM_SEED = 27
# A nevus under hairs and bubbles, far from the seeds of training.
PHOTO_SEED = 900002
# The phantom command sends no events; only its end counts.
PHANTOM_TIMEOUT_MS = 120000
NILEARN_T1 = "mni_icbm152_t1_tal_nlin_sym_*_converted.nii.gz"
SLICER_BRAIN = "MRHead"


@dataclass(frozen=True)
class SamplePhantom:
    """A kind of phantom of the engine for a task; role -> node name of what is loaded from its output folder.

    Files are named like the roles, in small letters where they are photos.
    """

    kind: str
    task: str
    nodeNames: dict[str, str]
    needsMaps: bool = False
    seed: int = PHANTOM_SEED
    isPhoto: bool = False

    def file(self, folder: Path, role: str) -> Path | None:
        """The image of a role in the output folder, None when it is not there."""
        name = f"{role.lower()}.png" if self.isPhoto else f"{role}.nrrd"
        return next(iter(folder.rglob(name)), None)


PETCT = SamplePhantom("petct", "petct-lesions", {"CT": "CT phantom", "PET": "PET SUVbw phantom"})
HEAD_NECK = SamplePhantom("head-neck-petct", "head-neck-tumors", {"CT": "CT neck phantom", "PET": "PET SUVbw neck phantom"})
TUMOR = SamplePhantom(
    "brain-tumor-mri",
    "brain-tumor",
    {name: f"{name} tumor phantom" for name in ("FLAIR", "T1", "T1ce", "T2")},
    needsMaps=True,
)
BRAIN = SamplePhantom("brain-t1", "brain-regions", {"T1": "T1 brain phantom"})
SKIN = SamplePhantom("dermoscopy", "skin-lesion-photo", {"Photo": "Skin photo phantom"}, seed=PHOTO_SEED, isPhoto=True)
PHANTOMS = (PETCT, BRAIN, HEAD_NECK, TUMOR, SKIN)
# The usual range for reading; by default the bladder would decide and everything else would be dark.
SUV_SHOWN = (0.0, 10.0)


def phantomFor(card: ModelCard) -> SamplePhantom | None:
    """The phantom of a card's task, else the first one that has an image for each of its roles, or None."""
    names = {role.name for role in card.roles}
    fitting = [phantom for phantom in PHANTOMS if names <= set(phantom.nodeNames)]
    return next((phantom for phantom in fitting if phantom.task == card.task_id), next(iter(fitting), None))


def nilearnBrain() -> Path | None:
    """The MNI152 T1 file of nilearn, found without importing it; None when it is not there."""
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted((Path(spec.origin).parent / "datasets" / "data").glob(NILEARN_T1))), None)


def hasSlicerBrain() -> bool:
    """Whether this Slicer offers its own MRHead sample, which is downloaded."""
    return hasattr(slicer.modules, "sampledata")


def loadSlicerBrain():
    """Download and load Slicer's MRHead.

    :raises VeloxSegError: SAMPLE_FAILED.
    """
    import SampleData

    try:
        nodes = SampleData.SampleDataLogic().downloadSamples(SLICER_BRAIN)
    except RuntimeError as error:
        raise VeloxSegError("SAMPLE_FAILED") from error
    # Without a network the list is empty.
    if not nodes or nodes[0] is None:
        raise VeloxSegError("SAMPLE_FAILED")
    return nodes[0]


class SampleMaker:
    """Loads the sample of a model. A phantom is computed in a process, so Slicer stays responsive."""

    def __init__(self, modulePath: Path, onLog: Callable, onFinished: Callable) -> None:
        """
        :param modulePath: folder that holds the engine package.
        :param onLog: called with lines of the process.
        :param onFinished: called with (nodes, error); one of them is None.
        """
        self._modulePath = Path(modulePath)
        self._onLog, self._onFinished = onLog, onFinished
        self._run: EngineRun | None = None
        self._phantom: SamplePhantom | None = None
        self._folder: Path | None = None
        self.command: list[str] | None = None

    @property
    def isBusy(self) -> bool:
        """Whether a sample is being made."""
        return self._run is not None and self._run.isActive

    def start(self, card: ModelCard) -> None:
        """Load the sample for a card; the end arrives at onFinished, at once for files that are there.

        :raises VeloxSegError: SAMPLE_FAILED when there is no sample for this card.
        """
        brain = nilearnBrain() if phantomFor(card) is BRAIN else None
        if brain is not None:
            self._finish([_load(brain, _("MNI152 T1"))], None)
            return
        self.startPhantom(phantomFor(card))

    def startPhantom(self, phantom: SamplePhantom | None) -> None:
        """Compute a phantom and load its images; nothing while another one is being computed.

        :raises VeloxSegError: SAMPLE_FAILED, SAMPLE_NILEARN.
        """
        if self.isBusy:
            return
        if phantom is None:
            raise VeloxSegError("SAMPLE_FAILED")
        if phantom.needsMaps and importlib.util.find_spec("nilearn") is None:
            raise VeloxSegError("SAMPLE_NILEARN")
        self._phantom = phantom
        self._folder = Temporary.newFolder(Temporary.SAMPLE)
        program = self.command or Child.command("veloxseg")
        arguments = ["phantom", phantom.kind, "--seed", phantom.seed, "--count", 1, "--output", self._folder]
        self._run = EngineRun(
            Process([*program, *arguments], self._modulePath),
            Timeouts(start=PHANTOM_TIMEOUT_MS),
            lambda event: None,
            self._onLog,
            self._onProcessEnd,
            needsResult=False,
        )
        self._run.start()

    def abandon(self) -> None:
        """End the process and remove its files."""
        if self._run is not None:
            self._run.abort()
        self._removeFolder()

    def _onProcessEnd(self, outcome: ProcessOutcome) -> None:
        nodes, error = None, outcome.error
        try:
            if outcome.kind == DONE:
                nodes = self._loadPhantom()
        except VeloxSegError as failure:
            error = failure
        finally:
            self._removeFolder()
        self._finish(nodes, error)

    def _loadPhantom(self) -> list:
        files = {role: self._phantom.file(self._folder, role) for role in self._phantom.nodeNames}
        if None in files.values():
            raise VeloxSegError("SAMPLE_FAILED")
        nodes = [_load(path, self._phantom.nodeNames[role]) for role, path in files.items()]
        for role, node in zip(files, nodes, strict=True):
            if role == "PET":
                Suv.mark(node)
                _showRange(node, SUV_SHOWN)
        return nodes

    def _removeFolder(self) -> None:
        if self._folder is not None:
            Temporary.remove(self._folder)

    def _finish(self, nodes: list | None, error: VeloxSegError | None) -> None:
        if nodes:
            slicer.util.setSliceViewerLayers(background=nodes[0], foreground=None, fit=True)
        self._onFinished(nodes, error)


def register(modulePath: Path, iconFolder: Path) -> None:
    """Offer the phantoms in the Sample Data module; they are computed on click, nothing is downloaded.

    Some Slicers are built without that module.
    """
    try:
        import SampleData
    except ImportError:
        return

    SampleData.SampleDataLogic.registerCustomSampleDataCategory(CATEGORY, title=_("VeloxSeg Segmentation"))
    names = (
        "VeloxSegPetCtPhantom",
        "VeloxSegBrainPhantom",
        "VeloxSegHeadNeckPhantom",
        "VeloxSegTumorPhantom",
        "VeloxSegSkinPhantom",
    )
    for phantom, name in zip(PHANTOMS, names, strict=True):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=name,
            uris=[],
            fileNames=[],
            nodeNames=[],
            loadFiles=[],
            checksums=[],
            loadFileTypes=[],
            thumbnailFileName=str(Path(iconFolder) / f"{name}.png"),
            customDownloader=_Downloader(modulePath, phantom),
        )


class _Downloader:
    """What Sample Data calls on click. Equal for the same phantom, so that registering twice adds nothing."""

    def __init__(self, modulePath: Path, phantom: SamplePhantom) -> None:
        self._maker = SampleMaker(modulePath, logger.info, self._onFinished)
        self._phantom = phantom

    def __call__(self, source=None) -> None:
        try:
            self._maker.startPhantom(self._phantom)
        except VeloxSegError as error:
            self._onFinished(None, error)

    def __repr__(self) -> str:
        return f"VeloxSeg phantom {self._phantom.kind}"

    def __eq__(self, other: object) -> bool:
        return repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def _onFinished(self, nodes: list | None, error: VeloxSegError | None) -> None:
        if error is not None:
            slicer.util.errorDisplay(PlainText.toolTip(error.text))


def _load(path: Path, name: str):
    node = VolumeFile.load(path, name)
    if node is None:
        raise VeloxSegError("SAMPLE_FAILED")
    return node


def _showRange(volumeNode, limits: tuple[float, float]) -> None:
    display = volumeNode.GetDisplayNode()
    if display is not None:
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(*limits)
