"""Train VeloxSeg, a cellular automaton (NCA) or a baseline: data, model, loop.

    python training/train.py cases --data.folder data/mine --run runs/mine
    python training/train.py brain-regions --run runs/brain
    python training/train.py brain-structures --run runs/structures
    python training/train.py skin-nca --data.folder data/skin --data.size 128 --run runs/skin
    python training/train.py --smoke

A run folder holds config.json (every setting), data.json (split, fitted intensities), metrics.jsonl, last.pt (resumes exactly),
previous.pt (the one before, should last.pt be damaged) and best.pt (averaged weights of the best validation); at the end the
evaluation, report.png and the model package follow.
Starting again in the same folder resumes: patch number n depends on the seed and n only, dropout on the seed and the step.
Several GPUs or machines: torchrun --nproc-per-node 4 -- training/train.py ...; the batch size counts per process.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import contextlib
import functools
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.distributed as dist
import tyro
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from training import checkpoints, initial, networks, objectives, published, run_log, schedule, versions
from training.brain_regions import BrainRegions, BrainRegionsSettings
from training.brain_structures import BrainStructures, BrainStructuresSettings
from training.cases import Cases, CasesSettings
from training.datasets.cards import with_static_part
from training.hardware import choose_device, half_precision, half_type, one_thread
from training.lock import only_one
from training.photos import Photos, PhotosSettings
from training.settings import CONFIGS, OWN_DATA, Settings, plain
from veloxseg import files
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.networks import fast
from veloxseg.service import children

ESTIMATED_AFTER = 20
"""Steps after which the length of a run is told."""

TASKS = {BrainRegionsSettings: BrainRegions, BrainStructuresSettings: BrainStructures, CasesSettings: Cases,
         PhotosSettings: Photos}  # fmt: skip

# -------------------------------------------------------------------------------------------------------------- data


@dataclass
class Patches(Dataset):
    """Numbered patches of a task, each a pure function of the seed and its number."""

    task: BrainRegions | BrainStructures | Cases | Photos
    seed: int

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return self.task.patch(number, np.random.default_rng((self.seed, number)))


@dataclass(frozen=True)
class Batches:
    """Patch numbers of every step from `first` on: the processes of a step share out consecutive numbers."""

    first: int
    steps: int
    size: int
    rank: int
    world: int

    def __len__(self) -> int:
        return self.steps - self.first

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first, self.steps):
            start = (step * self.world + self.rank) * self.size
            yield list(range(start, start + self.size))


# ------------------------------------------------------------------------------------------------------------- model


@dataclass
class State:
    """What a checkpoint holds. `best` is the validation of best.pt, negative before there was one."""

    PARTS: ClassVar = ("network", "average", "optimizer", "scaler")
    objective: objectives.Objective
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LambdaLR
    scaler: torch.amp.GradScaler
    step: int = 0
    best: float = -1.0
    cpu_minutes: float = 0.0

    @property
    def network(self) -> nn.Module:
        return self.objective.network

    def content(self, settings: Settings) -> dict:
        parts = {name: getattr(self, name).state_dict() for name in self.PARTS}
        return parts | {"step": self.step, "best": self.best, "cpu_minutes": self.cpu_minutes, "settings": plain(settings)}

    def averaged(self, settings: Settings) -> dict:
        """What best.pt holds."""
        return {
            "network": self.average.module.state_dict(),
            "step": self.step,
            "validation": self.best,
            "cpu_minutes": self.cpu_minutes,
            "settings": plain(settings),
        }

    def restore(self, saved: dict, path: Path, settings: Settings) -> None:
        """Goes on from the content of the checkpoint `path`. Raises CHECKPOINT when it belongs to another run."""
        for name, what in (("network", "another network"), (settings.part, "another network"), ("data", "other data")):
            before, asked = saved["settings"].get(name), plain(settings)[name]
            if isinstance(before, dict):  # fields that are newer than the checkpoint say nothing about it
                asked = {key: asked.get(key) for key in before}
            if before != asked:
                raise VeloxSegError(
                    "CHECKPOINT",
                    path=path,
                    reason=f"it belongs to {what} than the settings ask for",
                    remedy="choose another --run folder, or the settings in its config.json",
                )
        if saved["step"] > settings.steps:
            raise VeloxSegError(
                "CHECKPOINT",
                path=path,
                reason=f"it is at step {saved['step']} of {settings.steps} already",
                remedy="ask for more --steps, or choose another --run folder",
            )
        try:
            for name in self.PARTS:
                if saved[name]:  # empty: no scaler where it was computed
                    getattr(self, name).load_state_dict(saved[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise VeloxSegError(
                "CHECKPOINT",
                path=path,
                reason="it is of another version of train.py",
                detail=str(error),
                remedy="choose another --run folder",
            ) from error
        self.step, self.best, self.cpu_minutes = saved["step"], saved["best"], saved["cpu_minutes"]
        # the rate follows from settings and step, so that a lower one than before can be asked for
        self.scheduler.last_epoch = self.step
        for group, rate, factor in zip(self.optimizer.param_groups, self.scheduler.base_lrs, self.scheduler.lr_lambdas):
            group["lr"] = rate * factor(self.step)


def build(settings: Settings, device: torch.device) -> State:
    torch.manual_seed(settings.seed)
    network = networks.build(settings.network, settings.architecture).to(device)
    if settings.network == "nca" and network.config.prediction == "logits":
        objective = objectives.Classes(network)
    elif settings.network == "nca":
        objective = objectives.Diffusion(network, settings.readout_weight)
        network.checkpointing = settings.checkpointing
    else:
        objective = objectives.Segmentation(network, settings.reconstruction_weight, settings.sdkt_weight)
    if objective.form is network and settings.batch_size > 1:
        # faster on a CPU; at batch 1 torch's CPU instance norm has wrong gradients in this layout
        flat = settings.architecture.spatial_dim == 2
        network.to(memory_format=torch.channels_last if flat else torch.channels_last_3d)
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=device.type in ("cpu", "cuda")
    )
    factor = schedule.of_run(settings.schedule, settings.steps, round(settings.warmup * settings.steps))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    average = AveragedModel(network, multi_avg_fn=functools.partial(moving_average, decay=settings.ema_decay))
    scaled = settings.amp and device.type == "cuda" and half_type(device) is torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=scaled)
    return State(objective, average, optimizer, scheduler, scaler)


def moving_average(averages: list[torch.Tensor], current: list[torch.Tensor], count: torch.Tensor, decay: float) -> None:
    """Exponential moving average whose memory grows with the run, so that the random start is soon forgotten."""
    keep = min((1 + count.item()) / (10 + count.item()), decay)
    torch._foreach_lerp_(averages, current, 1 - keep)


# -------------------------------------------------------------------------------------------------------------- loop


def train(settings: Settings) -> None:
    """Trains to the last step, or for `max_minutes`.

    Raises BUSY, DIVERGED when the loss stops being a number, and what data and checkpoint raise.
    """
    children.protect()
    with only_one(settings.run) if int(os.environ.get("RANK", 0)) == 0 else contextlib.nullcontext():
        _train(settings)


def _train(settings: Settings) -> None:
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = choose_device(settings.device)
    torch.set_num_threads(settings.threads)
    settings = published.with_steps(settings, world)
    task = TASKS[type(settings.data)](settings.data, settings.steps * settings.batch_size * world)
    if settings.card:
        with_static_part(Card.of(task.describe()["card"]), settings.card)  # refused now and not after the training
    published.check(settings, task)
    settings = replace(settings, **{settings.part: task.adapt(settings.architecture)})
    state = build(settings, device)
    out_of_time = stopwatch(settings.max_minutes, world)
    last, previous, best = (settings.run / name for name in ("last.pt", "previous.pt", "best.pt"))
    saved, notice = checkpoints.read_newest(last, previous)
    if saved:
        state.restore(saved, last, settings)
    elif settings.init and (left := initial.load(state.network, settings.init)) and rank == 0:
        print(f"Begun anew, because {settings.init} has nothing of their shape: {', '.join(left)}.", file=sys.stderr)
    if rank == 0:
        for text in (*(note.text for note in task.notes), *filter(None, [notice])):
            print(text, file=sys.stderr)
        if state.best >= 0 and not checkpoints.is_whole(best):
            print(f"{best} is damaged or missing; the averaged weights of step {state.step} take its place.", file=sys.stderr)
            state.best = -1.0
            checkpoints.save(best, state.averaged(settings))
        run_log.cut(settings.run, state.step)
        files.write_json(settings.run / "config.json", plain(settings))
        files.write_json(settings.run / "data.json", task.describe())

    objective = DistributedDataParallel(state.objective) if world > 1 else state.objective
    batches = Batches(state.step, settings.steps, settings.batch_size, rank, world)
    loader = DataLoader(
        Patches(task, settings.seed),
        batch_sampler=batches,
        num_workers=settings.workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=one_thread if settings.workers else None,
    )
    board = tensorboard(settings.run, state.step) if rank == 0 else None
    progress = tqdm(loader, initial=state.step, total=settings.steps, desc=settings.run.name, mininterval=5, disable=rank > 0)
    spent, started = state.cpu_minutes - time.process_time() / 60, time.perf_counter()
    waited, ready = 0.0, started

    for image, label in progress:
        waited += time.perf_counter() - ready
        image, label = image.to(device, non_blocking=True), label.to(device, non_blocking=True)
        torch.manual_seed(settings.seed + state.step * world + rank)  # dropout of a resumed run is that of a whole one
        objective.train()
        with half_precision(settings, device):
            terms = objective(image, label)
        # the only time in a step that a GPU is waited for
        loss, *parts = torch.stack([terms.total, *terms.parts.values()]).tolist()
        if not math.isfinite(loss):
            raise VeloxSegError("DIVERGED", value=loss, step=state.step, path=last)
        state.optimizer.zero_grad()
        state.scaler.scale(terms.total).backward()
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.network.parameters(), settings.gradient_clip, foreach=device.type != "mps")
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.scheduler.step()
        state.average.update_parameters(state.network)
        state.step += 1
        state.cpu_minutes = spent + time.process_time() / 60

        row = {
            "step": state.step,
            "loss": loss,
            **dict(zip(terms.parts, parts)),
            "learning_rate": state.scheduler.get_last_lr()[0],
            "seconds": round(time.perf_counter() - started, 1),
            "waited_for_data": round(waited, 1),
            "cpu_minutes": round(state.cpu_minutes, 3),
        }
        progress.set_postfix(loss=f"{row['loss']:.3f}")
        ended = state.step == settings.steps or out_of_time()
        if rank == 0 and state.step - batches.first == ESTIMATED_AFTER:
            print(f"\n{duration(settings, state.step, row['seconds'] / ESTIMATED_AFTER)}", file=sys.stderr)
        if state.step % settings.validate_every == 0 or ended:
            row["cases"] = validate(task, fast.convert(state.average.module.eval(), relative=True), device, rank, world)
            defined = [value for value in row["cases"].values() if value == value]
            row["validation"] = float(np.mean(defined)) if defined else 0.0
        if rank == 0:
            if row.get("validation", -2.0) >= state.best:
                state.best = row["validation"]
                checkpoints.save(best, state.averaged(settings))
            log(settings.run, row, board)
            if state.step % settings.checkpoint_every == 0 or ended:
                checkpoints.save(last, state.content(settings), previous)
        if ended:
            break
        ready = time.perf_counter()


def stopwatch(minutes: float | None, world: int) -> Callable[[], bool]:
    """Whether so many minutes have passed since now, the same answer in all processes."""
    end = time.monotonic() + 60 * (minutes or math.inf)

    def passed() -> bool:
        over = time.monotonic() > end
        if minutes is None or world == 1:
            return over
        anywhere = torch.tensor(float(over), device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(anywhere, dist.ReduceOp.MAX)
        return bool(anywhere.item())

    return passed


def duration(settings: Settings, step: int, seconds: float) -> str:
    """How long the steps after `step` will take, for a person; validations come on top."""
    minutes = (settings.steps - step) * seconds / 60
    limit = settings.max_minutes
    early = f"; it ends after {limit:g} minutes, and the same command goes on" if limit and limit < minutes else ""
    return f"{settings.steps - step} more steps of {seconds:.2f} s: about {max(1, round(minutes))} minutes{early}."


def validate(task, network: nn.Module, device: torch.device, rank: int, world: int) -> dict[str, float]:
    """Dice of every validation case as at inference; the processes share out the cases."""
    cases = task.split["validation"]
    scores = task.validate(network, cases[rank::world], device)
    if world == 1:
        return scores
    parts = [None] * world
    dist.all_gather_object(parts, scores)
    return {case: value for part in parts for case, value in part.items()}


def tensorboard(run: Path, step: int):
    """A writer that goes on after `step`, when TensorBoard is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("TensorBoard is not installed; the curves are in metrics.jsonl and, at the end, in report.png.", file=sys.stderr)
        return None
    return SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)


def log(run: Path, row: dict, board=None) -> None:
    run_log.append(run, row)
    if board:
        with files.typed_output_errors(run):
            for name, value in row.items():
                if isinstance(value, float):
                    board.add_scalar(name, value, row["step"])


def main() -> None:
    # plots and tables: not for the processes that load patches
    from training.export import named
    from training.finish import finish, smoke_dataset

    arguments = ["smoke" if argument == "--smoke" else argument for argument in sys.argv[1:]]
    settings = tyro.extras.overridable_config_cli(CONFIGS, args=arguments, description=__doc__)
    try:
        versions.check()
        named(settings.name, settings.version)
        if arguments[0] in OWN_DATA:
            smoke_dataset(arguments[0], settings.data.folder)
        train(settings)
        if int(os.environ.get("RANK", 0)) == 0:
            finish(settings.run, settings.card, settings.score)
    except VeloxSegError as error:
        sys.exit(error.text)
    except KeyboardInterrupt:
        sys.exit("Stopped; the same command goes on from the last checkpoint.")


if __name__ == "__main__":
    main()
