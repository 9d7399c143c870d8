"""The settings of a training, and the configurations that begin with them: `train.py NAME`, `train.py NAME --help`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Literal

import tyro

from training import networks
from training.brain_regions import BrainRegionsSettings
from training.brain_structures import BrainStructuresSettings
from training.cases import CasesSettings
from training.photos import PhotosSettings
from training.planning import PUBLISHED, fitted
from training.schedule import ScheduleName
from veloxseg.networks import VeloxSegConfig
from veloxseg.networks.nca import PRESETS, NCAConfig


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run; written to config.json."""

    run: Path
    """Folder of the run; resumes when it holds a checkpoint."""
    data: CasesSettings | BrainRegionsSettings | BrainStructuresSettings | PhotosSettings
    veloxseg: VeloxSegConfig
    """Settings of VeloxSeg; patch size, channels and classes are those of the data."""
    nca: NCAConfig = NCAConfig(**PRESETS["compact"])
    """Settings of the cellular automaton."""
    baseline: tyro.conf.Suppress[networks.BaselineConfig] = networks.BaselineConfig()
    """What a MONAI network takes from the data."""
    network: networks.NetworkName = "veloxseg"
    """VeloxSeg, the cellular automaton, or a MONAI network to compare them with."""
    card: Path | None = None
    """Static part of the model card, to be used instead of the dataset's own."""
    name: str | None = None
    """Title of the model, from which its id follows; that of the card when not given."""
    version: str | None = None
    """Version of the model, such as 1.2.0; that of the card when not given."""
    init: Path | None = None
    """Weights to begin with: a model package, or a checkpoint of another run (best.pt)."""
    max_minutes: float | None = None
    """Minutes after which a start ends by itself, with validation, package and report; the same command goes on."""
    steps: int = 3500
    epochs: int | None = None
    """Instead of steps: how often every training volume gives two patches, or every photo one; every fifth is validated."""
    batch_size: int = 2
    """Patches per step and process."""
    learning_rate: float = 5e-4
    schedule: ScheduleName = "corrected"
    """Warm-up and cosine; the same with the published overshoot, by 300 epochs; or none."""
    warmup: float = 1 / 30
    """Share of the steps in which the learning rate rises, in the corrected schedule."""
    weight_decay: float = 0.01
    gradient_clip: float = 5.0
    """Largest gradient norm; larger ones are scaled down."""
    ema_decay: float = 0.999
    """Largest decay of the averaged weights, which are validated and exported; it grows from 0.1 at the start."""
    reconstruction_weight: float = 0.5
    sdkt_weight: float = 2.0
    readout_weight: float = 1.0
    """Weight of the mask in the image channels of the cellular automaton."""
    amp: bool = True
    """Half precision where a CUDA device computes; no effect elsewhere."""
    cpu_bfloat16: bool = False
    """Half precision on the CPU, for processors that have it (AMX, AVX-512 BF16): elsewhere it is slower."""
    checkpointing: bool = False
    """Recompute the steps of the cellular automaton for the gradient: a tenth of the memory."""
    as_published: tyro.conf.Suppress[str] = ""
    """Name of the published configuration that this is; data of another task are refused."""
    score: Literal["test", "validation"] = "test"
    """Cases that a finished training is scored on; with validation the test cases stay for evaluate.py."""
    seed: int = 12345
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    threads: int = 1
    """Of torch on the CPU."""
    workers: int = 1
    """Processes that prepare patches."""
    checkpoint_every: int = 100
    validate_every: int = 500

    @property
    def part(self) -> Literal["veloxseg", "nca", "baseline"]:
        """The field with the settings of the network."""
        return self.network if self.network in networks.OF_THE_ENGINE else "baseline"

    @property
    def architecture(self) -> VeloxSegConfig | NCAConfig | networks.BaselineConfig:
        found = getattr(self, self.part)
        return replace(found, name=self.network) if self.part == "baseline" else found


def plain(settings: Settings) -> dict:
    """The settings as JSON data."""
    return json.loads(json.dumps(asdict(settings), default=str))


CASES = Settings(Path("runs/cases"), CasesSettings(), PUBLISHED)

CASES_NCA = replace(
    CASES,
    run=Path("runs/cases-nca"),
    data=CasesSettings(patch_size=(32, 32, 32)),
    network="nca",
    nca=NCAConfig(**PRESETS["volume"] | {"prediction": "logits"}),
    learning_rate=2e-3,
    weight_decay=0.0,
    gradient_clip=1.0,
)

# no teachers and no deep supervision: with 9 classes they cost more than the rest of a step on a CPU
BRAIN_REGIONS = Settings(
    Path("runs/brain-regions"),
    BrainRegionsSettings(),
    replace(PUBLISHED, in_ch=(1,), attn_drop=0.0, proj_drop=0.0, conv_drop=0.0, teachers=False, deep_supervision=False),
    learning_rate=8e-4,
)

BRAIN_STRUCTURES = replace(
    BRAIN_REGIONS,
    run=Path("runs/brain-structures"),
    data=BrainStructuresSettings(),
    veloxseg=replace(BRAIN_REGIONS.veloxseg, patch_size=2),
    learning_rate=1e-3,
)

SKIN_VELOXSEG = Settings(
    Path("runs/skin"),
    PhotosSettings(),
    VeloxSegConfig(input_size=(256, 256), patch_size=4, in_ch=(3,), spatial_dim=2, depths=(1, 1, 1, 1)),
    steps=3000,
    batch_size=8,
    warmup=1 / 60,
    gradient_clip=1.0,
)

SKIN_NCA = replace(SKIN_VELOXSEG, network="nca", learning_rate=2e-3, weight_decay=0.0)


def as_published(name: str, patch: tuple[int, int, int], in_ch: tuple[int, ...], n_classes: int) -> Settings:
    """The recipe of VeloxSeg (ICLR 2026) for a data set that it was published with.

    As published: network, patch, 300 epochs of two patches per case in batches of four, AdamW (2.5e-4, weight decay 0.01) with
    warm-up and cosine and their overshoot, rotation about one axis, losses, seed; no clipping, averaging or half precision; CT as
    its labeled voxels ask for, PET and MRI z-scored; three fifths of the cases train, a fifth validates, a fifth tests.
    Otherwise, where the published code has a flaw or says nothing: z-scores are those of the foreground, CT limits those of
    training cases alone, the split is drawn by patient, cases are drawn at random and not in turn, volumes are resampled to the
    card's spacing, and validation is by sliding window on whole cases.
    """
    return replace(
        CASES,
        run=Path(f"runs/{name}"),
        data=CasesSettings(Path(f"data/{name}"), patch_size=patch, augmentation="published"),
        veloxseg=fitted(PUBLISHED, patch, in_ch, n_classes),
        epochs=300,
        batch_size=4,
        learning_rate=2.5e-4,
        schedule="published",
        gradient_clip=inf,
        ema_decay=0.0,
        amp=False,
        as_published=name,
    )


def nca_as_published(variant: str) -> Settings:
    """The recipe of MedSegDiffNCA (arXiv 2501.02447) for one of its four variants on photos in the layout of ISIC 2018.

    From the paper: the variant, noise prediction with L_n + L_RGB, 256 px, batches of 8, AdamW. From its authors' public code:
    learning rate 1e-4 without decay, averaging with 0.9999, 1,000 steps of diffusion, no augmentation, recomputed steps; from the
    project that it grew out of: 100,000 iterations. Given nowhere, and chosen here: a constant learning rate, no clipping, full
    precision, no norm and no dropout inside the rule, the split.
    """
    return replace(
        SKIN_NCA,
        run=Path(f"runs/nca-{variant.replace('_', '-')}"),
        data=PhotosSettings(Path("data/isic"), size=256, augmentation="none"),
        nca=NCAConfig(**PRESETS[variant]),
        steps=100_000,
        learning_rate=1e-4,
        schedule="constant",
        gradient_clip=inf,
        ema_decay=0.9999,
        amp=False,
        checkpointing=True,
        checkpoint_every=1000,
        validate_every=5000,
    )


SMOKE = Settings(
    Path("runs/smoke"),
    CasesSettings(Path("runs/smoke/data"), patch_size=(32, 32, 32)),
    VeloxSegConfig(
        input_size=(32, 32, 32),
        patch_size=2,
        in_ch=(1, 1),
        base_ch=8,
        attn_base_ch=4,
        depths=(1, 1, 1, 1),
        min_dim_group=(4, 8, 8, 16),
        min_dim_head=(4, 4, 8, 8),
    ),
    steps=80,
    learning_rate=2e-3,
    checkpoint_every=20,
    validate_every=40,
)

SKIN_SMOKE = replace(
    SKIN_NCA,
    run=Path("runs/skin-smoke"),
    data=PhotosSettings(Path("runs/skin-smoke/data"), size=64),
    nca=NCAConfig(channels=16, hidden=32, levels=2, steps=6),
    steps=40,
    learning_rate=4e-3,
    checkpoint_every=20,
    validate_every=20,
)

CONFIGS = {
    "cases": ("A prepared dataset (see prepare.py): the published network with a shorter recipe of this project", CASES),
    "cases-nca": (
        "The same with a small 3D cellular automaton that predicts the classes directly",
        CASES_NCA,
    ),
    "autopet-published": (
        "AutoPET-II as published (prepare.py autopet --published)",
        as_published("autopet-published", (96, 96, 96), (1, 1), 2),
    ),
    "hecktor-published": (
        "HECKTOR 2022 as published, tumor and nodes as one (prepare.py hecktor --published)",
        as_published("hecktor-published", (128, 128, 64), (1, 1), 2),
    ),
    "brats-published": (
        "BraTS 2021 as published (prepare.py brats)",
        as_published("brats-published", (96, 96, 96), (4,), 4),
    ),
    "msd-published": (
        "Training on MSD Task01 (prepare.py msd-brain-tumor) like BraTS; the paper tests on it",
        as_published("msd-published", (96, 96, 96), (4,), 4),
    ),
    "brain-regions": ("T1 head to 8 groups of AAL regions (Colin27)", BRAIN_REGIONS),
    "brain-structures": ("MR head of any contrast to structures of the brain, on heads drawn from label maps", BRAIN_STRUCTURES),
    "skin-nca": ("Photos of skin lesions by diffusion with a compact cellular automaton", SKIN_NCA),
    "skin-veloxseg": ("The same with VeloxSeg on two axes, or with a baseline", SKIN_VELOXSEG),
    "nca-basic": ("ISIC photos by MedSegDiffNCA as published (prepare.py isic), one level", nca_as_published("basic")),
    "nca-cbam": ("The same with attention and twice the hidden units", nca_as_published("cbam")),
    "nca-multi": ("The same on two levels, without attention", nca_as_published("multi")),
    "nca-multi-cbam": ("The same on two levels, with attention: the paper's best", nca_as_published("multi_cbam")),
    "smoke": (
        "Two minutes on two cores: a tiny network on coarse phantoms (synthetic), to see the whole way work; also --smoke",
        SMOKE,
    ),
    "skin-smoke": ("The same for photos: a tiny cellular automaton on ten phantoms (synthetic)", SKIN_SMOKE),
}
OWN_DATA = ("smoke", "skin-smoke")
"""Those that make their own data."""
