"""Train VeloxSeg: settings, data, model, loop.

    python training/train.py brain-regions --run runs/brain
    python training/train.py petct-lesions --run runs/petct

A run folder holds config.json (every setting), metrics.jsonl, last.pt (resumes exactly) and best.pt (averaged weights of
the best validation). Starting again in the same folder resumes; patch number n depends on the seed and n only.
"""

from __future__ import annotations

import functools
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from brain_regions import BrainRegions, BrainRegionsSettings
from losses import VeloxSegLoss
from petct_lesions import PetCtLesions, PetCtLesionsSettings
from schedule import SCHEDULES
from veloxseg.networks import VeloxSeg, VeloxSegConfig

# ---------------------------------------------------------------------------------------------------------- settings


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run; written to config.json."""

    run: Path
    """Folder of the run; resumes when it holds a checkpoint."""
    network: VeloxSegConfig
    data: BrainRegionsSettings | PetCtLesionsSettings
    steps: int = 3500
    batch_size: int = 2
    learning_rate: float = 2.5e-4
    schedule: Literal["corrected", "published"] = "corrected"
    warmup: float = 1 / 30
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = 0.01
    gradient_clip: float = 5.0
    """Largest gradient norm; larger ones are scaled down."""
    ema_decay: float = 0.999
    """Largest decay of the averaged weights, which are validated and exported; it grows from 0.1 at the start."""
    reconstruction_weight: float = 0.5
    sdkt_weight: float = 2.0
    seed: int = 12345
    device: str = "cpu"
    threads: int = 1
    """Of torch on the CPU."""
    workers: int = 1
    """Processes that prepare patches."""
    checkpoint_every: int = 100
    validate_every: int = 500


CONFIGS = {
    # no teachers and no deep supervision: with 9 classes they cost more than the rest of a step on a CPU
    "brain-regions": (
        "T1 head to 8 groups of AAL regions (Colin27)",
        Settings(
            run=Path("runs/brain-regions"),
            network=VeloxSegConfig(
                input_size=(96, 96, 96), patch_size=4, in_ch=(1,), n_classes=9, depths=(1, 1, 1, 1),
                attn_drop=0.0, proj_drop=0.0, teachers=False, deep_supervision=False,
            ),
            data=BrainRegionsSettings(),
            learning_rate=8e-4,
        ),
    ),
    "petct-lesions": (
        "PET/CT to lesions (synthetic phantoms), the published recipe",
        Settings(
            run=Path("runs/petct-lesions"),
            network=VeloxSegConfig(
                input_size=(96, 96, 96), patch_size=4, in_ch=(1, 1), n_classes=2, depths=(1, 1, 1, 1), conv_drop=0.1
            ),
            data=PetCtLesionsSettings(),
            steps=900,
            learning_rate=5e-4,
            validate_every=150,
        ),
    ),
}  # fmt: skip

TASKS = {BrainRegionsSettings: BrainRegions, PetCtLesionsSettings: PetCtLesions}

# -------------------------------------------------------------------------------------------------------------- data


@dataclass
class Patches(Dataset):
    """Patches `first` to `total` of a task, each a pure function of the seed and its number."""

    task: BrainRegions | PetCtLesions
    seed: int
    first: int
    total: int

    def __len__(self) -> int:
        return self.total - self.first

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        index += self.first
        return self.task.patch(index, np.random.default_rng((self.seed, index)))


# ------------------------------------------------------------------------------------------------------------- model


@dataclass
class State:
    """What a checkpoint holds."""

    network: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LambdaLR
    step: int = 0
    best: float = field(default=-1.0)

    def save(self, path: Path, settings: Settings) -> None:
        write_atomically(path, {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "step": self.step,
            "best": self.best,
            "random_state": torch.get_rng_state(),
            "settings": plain(settings),
        })

    def load(self, path: Path) -> None:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        for name in ("network", "average", "optimizer", "scheduler"):
            getattr(self, name).load_state_dict(saved[name])
        self.step, self.best = saved["step"], saved["best"]
        torch.set_rng_state(saved["random_state"])


def build(settings: Settings) -> State:
    network = VeloxSeg(**settings.network.arguments()).to(settings.device)
    if settings.batch_size > 1:
        # faster on a CPU; at batch 1 torch's CPU instance norm has wrong gradients in this layout
        network = network.to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    factor = functools.partial(SCHEDULES[settings.schedule], total=settings.steps, warmup=round(settings.warmup * settings.steps))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    average = AveragedModel(network, avg_fn=functools.partial(moving_average, decay=settings.ema_decay))
    return State(network, average, optimizer, scheduler)


def moving_average(average: torch.Tensor, current: torch.Tensor, count: torch.Tensor, decay: float) -> torch.Tensor:
    """Exponential moving average whose memory grows with the run, so that the random start is soon forgotten."""
    keep = ((1 + count) / (10 + count)).clamp(max=decay).to(average.device)
    return average * keep + current * (1 - keep)


# -------------------------------------------------------------------------------------------------------------- loop


def train(settings: Settings) -> None:
    """Trains to the last step; raises FloatingPointError when the loss stops being a number."""
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    settings.run.mkdir(parents=True, exist_ok=True)
    (settings.run / "config.json").write_text(json.dumps(plain(settings), indent=1) + "\n")
    last, best = settings.run / "last.pt", settings.run / "best.pt"

    state = build(settings)
    if last.exists():
        state.load(last)
    task = TASKS[type(settings.data)](settings.data, settings.steps * settings.batch_size)
    patches = Patches(task, settings.seed, state.step * settings.batch_size, settings.steps * settings.batch_size)
    loader = DataLoader(patches, settings.batch_size, num_workers=settings.workers,
                        worker_init_fn=one_thread if settings.workers else None,
                        generator=torch.Generator())  # its own, so that a resumed run draws the same dropout
    loss_of = VeloxSegLoss(1.0, settings.reconstruction_weight, settings.sdkt_weight)

    progress = tqdm(loader, initial=state.step, total=settings.steps, desc=settings.run.name, mininterval=5)
    started = time.perf_counter()
    for image, label in progress:
        image, label = image.to(settings.device), label.to(settings.device)
        state.network.train()
        terms = loss_of(state.network(image), image, label)
        if not torch.isfinite(terms.total):
            raise FloatingPointError(
                f"the loss is {terms.total.item()} at step {state.step}; {last} is the last good state: "
                "lower --learning-rate and start again"
            )
        state.optimizer.zero_grad()
        terms.total.backward()
        nn.utils.clip_grad_norm_(state.network.parameters(), settings.gradient_clip)
        state.optimizer.step()
        state.scheduler.step()
        state.average.update_parameters(state.network)
        state.step += 1

        row = {"step": state.step, "loss": terms.total.item(), "cross_entropy": terms.cross_entropy[0].item(),
               "dice_loss": terms.dice[0].item(), "reconstruction": terms.reconstruction.item(),
               "sdkt": terms.sdkt.item(), "learning_rate": state.scheduler.get_last_lr()[0],
               "seconds": round(time.perf_counter() - started, 1)}
        progress.set_postfix(loss=f"{row['loss']:.3f}")
        if state.step % settings.validate_every == 0 or state.step == settings.steps:
            row["validation"] = task.validate(state.average.module.eval())
            if row["validation"] >= state.best:
                state.best = row["validation"]
                write_atomically(best, {"network": state.average.module.state_dict(), "step": state.step,
                                        "validation": state.best, "settings": plain(settings)})
        log(settings.run / "metrics.jsonl", row)
        if state.step % settings.checkpoint_every == 0 or state.step == settings.steps:
            state.save(last, settings)


def one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def log(path: Path, row: dict) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def write_atomically(path: Path, content: dict) -> None:
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    os.replace(temporary, path)


def plain(settings: Settings) -> dict:
    """The settings as JSON data."""
    return json.loads(json.dumps(asdict(settings), default=str))


if __name__ == "__main__":
    train(tyro.extras.overridable_config_cli(CONFIGS))
