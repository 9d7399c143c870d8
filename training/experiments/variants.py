"""Questions that take trainings: the same recipe with one thing changed, several seeds, the same test photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from training import checkpoints, export, run_log, train
from training.experiments import tables, unseen
from training.photos import PhotosSettings
from training.settings import SKIN_NCA
from veloxseg.networks.nca import PRESETS, NCAConfig

Question = Literal["loss", "attention", "prediction", "downsampling", "variant"]


@dataclass(frozen=True)
class Scale:
    """How large the networks are, and how long they train."""

    preset: str
    attention_preset: str
    """Attention squeezes 16 channels to one, which the smallest networks can't do without."""
    size: int
    steps: int
    seeds: tuple[int, ...]
    members: int
    checkpointing: bool = False
    """Recompute steps for the gradient, see train.py."""


SCALES = {
    "quick": Scale("small", "compact", 48, 300, (1, 2), 4),
    "full": Scale("multi", "multi", 256, 100_000, (1, 2, 3), 10, checkpointing=True),
}


@dataclass(frozen=True)
class Variant:
    nca: NCAConfig
    readout_weight: float = 1.0


def loss(base: NCAConfig) -> dict[str, Variant]:
    """L_n alone and with the mask in the image channels."""
    return {f"weight of L_RGB {weight:g}": Variant(base, weight) for weight in (1.0, 0.0, 0.1, 10.0)}


def attention(base: NCAConfig) -> dict[str, Variant]:
    """The paper's CBAM variant has twice the hidden units of its basic one: here width and attention are told apart."""
    one = replace(base, levels=1, kernels=(3,))
    return {"one level": Variant(one), "one level, half the hidden units": Variant(replace(one, hidden=base.hidden // 2)),
            "one level, CBAM": Variant(replace(one, cbam=True))}  # fmt: skip


def prediction(base: NCAConfig) -> dict[str, Variant]:
    """Velocity, noise, and no diffusion at all."""
    names = {"v": "diffusion, v", "noise": "diffusion, noise", "direct": "direct (no diffusion)"}
    return {text: Variant(replace(base, prediction=name)) for name, text in names.items()}


def downsampling(base: NCAConfig) -> dict[str, Variant]:
    """Pixels per cell of the coarse level, and three levels."""
    three = replace(base, levels=3, factor=2, kernels=(3,) * 3)
    two = {f"factor {factor}": Variant(replace(base, factor=factor)) for factor in (4, 2, 8)}
    return two | {"3 levels, factor 2": Variant(three)}


def variant(base: NCAConfig) -> dict[str, Variant]:
    """The four of the paper, predicting noise as there; basic has half the hidden units."""
    noise = replace(base, prediction="noise")
    one = replace(noise, levels=1, kernels=(3,))
    return {"basic": Variant(replace(one, hidden=base.hidden // 2)), "CBAM": Variant(replace(one, cbam=True)),
            "Multi": Variant(noise), "MultiCBAM": Variant(replace(noise, cbam=True))}  # fmt: skip


QUESTIONS: dict[Question, Callable[[NCAConfig], dict[str, Variant]]] = {
    "loss": loss, "attention": attention, "prediction": prediction, "downsampling": downsampling,
    "variant": variant,
}  # fmt: skip


ATTENTIVE = ("attention", "variant")
"""Questions about attention."""


def answer(question: Question, scale: Scale, seeds: tuple[int, ...] | None, data: Path, runs: Path, cpu_bfloat16: bool) -> str:
    """Trains what is not trained yet, one run after the other, and returns the table. Raises what `train.train` raises."""
    base = NCAConfig(**PRESETS[scale.attention_preset if question in ATTENTIVE else scale.preset] | {"prediction": "v"})
    seeds = seeds or scale.seeds
    rows, spreads = [], []
    for name, variant in QUESTIONS[question](base).items():
        trained = [_trained(variant, seed, scale, data, runs, cpu_bfloat16) for seed in seeds]
        chosen = unseen.of_run(trained[0], scale.size)
        models = [export.load_run(run) for run in trained]
        dice = np.array([unseen.scored(model, chosen, scale.members) for model in models])
        means = dice.mean(axis=1)
        spreads.append(float(np.ptp(means)))
        more = {"parameters": f"{sum(p.numel() for p in models[0].network().parameters()):,}",
                "CPU minutes": f"{np.mean([_minutes(run) for run in trained]):.1f}",
                "each seed": ", ".join(f"{value:.3f}" for value in means)}  # fmt: skip
        rows.append(tables.Row(name, dice.mean(axis=0), more))
    spread = max(spreads) if len(seeds) > 1 else None
    apart = "unknown" if spread is None else f"{spread:.3f}"
    note = (f"n = {len(chosen)} test photos, {scale.members} members, {scale.size} px, {scale.steps} steps, "
            f"seeds {', '.join(map(str, seeds))}; Dice is the mean over the seeds; largest difference of two seeds of one row: "
            f"{apart}")  # fmt: skip
    return f"{tables.against_first(rows, spread)}\n\n{note}"


def _trained(variant: Variant, seed: int, scale: Scale, data: Path, runs: Path, cpu_bfloat16: bool) -> Path:
    """The run of a variant, named by what it changes, so that questions share what they have in common."""
    settings = replace(
        SKIN_NCA, data=PhotosSettings(data, size=scale.size), nca=variant.nca,
        readout_weight=variant.readout_weight, steps=scale.steps, seed=seed, validate_every=scale.steps,
        cpu_bfloat16=cpu_bfloat16, checkpointing=scale.checkpointing,
    )  # fmt: skip
    c = variant.nca
    name = (f"{scale.size}px-{scale.steps}-C{c.channels}-H{c.hidden}-L{c.levels}-f{c.factor}-{c.prediction}"
            f"{'-cbam' * c.cbam}-w{variant.readout_weight:g}-seed{seed}")  # fmt: skip
    settings = replace(settings, run=runs / name)
    if not _finished(settings.run, scale.steps):
        train.train(settings)
    return settings.run


def _finished(run: Path, steps: int) -> bool:
    return checkpoints.is_whole(run / "best.pt") and run_log.read(run)[-1]["step"] == steps


def _minutes(run: Path) -> float:
    return run_log.read(run)[-1]["cpu_minutes"]
