"""A tiny prepared dataset of balls in noise (synthetic), and a network that trains on it in seconds."""

import json
from pathlib import Path

import numpy as np

from training import train
from training.cases import CasesSettings
from training.settings import Settings
from veloxseg.imaging import images
from veloxseg.networks import VeloxSegConfig

CARD = Path(train.__file__).parent / "cards" / "smoke.json"
SIZE, SPACING = (40, 36, 32), (8.0, 8.0, 8.0)
NETWORK = VeloxSegConfig(
    input_size=(32, 32, 32), patch_size=2, in_ch=(1, 1), base_ch=8, min_dim_group=(4, 8, 8, 16), attn_base_ch=4,
    depths=(1, 1, 1, 1), min_big_window_sizes=((2, 2, 2),) * 4, min_dim_head=(4, 4, 8, 8),
)  # fmt: skip


def volumes(seed: int) -> dict[str, np.ndarray]:
    """CT, PET and label of one case, (x, y, z): two balls, bright on both images."""
    rng = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), axis=-1)
    label = np.zeros(SIZE, dtype=np.uint8)
    for _ in range(2):
        label[np.linalg.norm(index - rng.uniform(8, 24, 3), axis=-1) < rng.uniform(3, 6)] = 1
    body = np.linalg.norm((index - np.array(SIZE) / 2) / (np.array(SIZE) / 2), axis=-1) < 1
    ct = np.where(body, 20 + 60 * label, -1000) + rng.normal(0, 5, SIZE)
    pet = np.where(body, 1 + 6 * label, 0) + rng.uniform(0, 0.2, SIZE)
    return {"CT": ct.astype(np.float32), "PET": pet.astype(np.float32), "label": label}


def write_case(folder: Path, case: str, content: dict[str, np.ndarray], patient: str | None = None) -> None:
    grid = images.Grid(SIZE, SPACING, (0.0, 0.0, 0.0))
    target = folder / "cases" / case
    target.mkdir(parents=True)
    for name, array in content.items():
        images.write(images.image_of(array, grid), target / f"{name}.nii.gz", compress=True)
    (target / "case.json").write_text(json.dumps({"id": case, "patient": patient or case}))


def write_dataset(folder: Path, cases: int = 6, **changes) -> Path:
    for seed in range(cases):
        write_case(folder, f"case{seed}", volumes(seed))
    content = {"card": json.loads(CARD.read_text()), "groups": [["CT"], ["PET"]], "patch_size": [32, 32, 32],
               "synthetic": True, "split": None, **changes}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def settings(folder: Path, run: Path, **changes) -> Settings:
    values = {"steps": 4, "workers": 0, "checkpoint_every": 2, "validate_every": 4, "learning_rate": 1e-3, "device": "cpu",
              "veloxseg": NETWORK, **changes}  # fmt: skip
    return Settings(run=run, data=CasesSettings(folder, folds=3), **values)
