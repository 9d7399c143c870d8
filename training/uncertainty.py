"""Which uncertainty tells a person where a model fails on photos? Four kinds side by side, on photos with a known lesion.

    python training/uncertainty.py --ensemble MODELS/skin-lesion-nca-demo --single MODELS/skin-lesion-veloxseg \
        --data data/skin-isic2017 --cases validation --output runs/uncertainty

The disagreement of an ensemble's members and the entropy of their mean; the disagreement of eight turns and mirror images of the
photo and the entropy of one answer: each is summed over the network's grid and divided by the area found, and stands beside the
Dice of the mask that it belongs to.
Writes table.csv (one row per photo and kind), summary.txt and risk-coverage.png.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import stats
from tqdm import tqdm

from training import command
from training.confidence import DRAWS
from training.metrics import dice
from training.photos import MASK, PHOTO, read_mask
from training.scored_cases import SEED, Cases, cases_of_dataset
from veloxseg import files
from veloxseg.imaging import photos
from veloxseg.inference import members, photo_pipeline
from veloxseg.inference.case import Package
from veloxseg.packages import packages

BINS = 15
"""Of probabilities, equally wide, for the calibration error."""
COVERAGES = (0.5, 0.8, 0.9)


class Judged(NamedTuple):
    """An answer (y, x) on the network's grid: probability, mask, and how unsure each pixel is."""

    probability: np.ndarray
    mask: np.ndarray
    unsure: np.ndarray


def by_members(model: Package, image: torch.Tensor) -> Judged:
    """The variance of an ensemble's members; `image` (3, y, x)."""
    sampling = members.sampling_of(model.card, photo_pipeline.Settings())
    found = photo_pipeline.answer(model.card, model.network(torch.device("cpu")), image, sampling, "cpu")
    return Judged(found.probability, found.support >= found.cut, found.variance)


def by_mean(model: Package, image: torch.Tensor) -> Judged:
    """The entropy of the mean of an ensemble's members in bits."""
    judged = by_members(model, image)
    return judged._replace(unsure=entropy(judged.probability))


def by_turns(model: Package, image: torch.Tensor) -> Judged:
    """The variance over quarter turns and mirror images."""
    views = np.stack([view_of(model, image, turns, mirrored) for turns, mirrored in photo_pipeline.VIEWS])
    mean = views.mean(axis=0)
    return Judged(mean, mean >= model.card.threshold, views.var(axis=0))


def by_entropy(model: Package, image: torch.Tensor) -> Judged:
    """The entropy of a single answer in bits."""
    probability = view_of(model, image, 0, False)
    return Judged(probability, probability >= model.card.threshold, entropy(probability))


def entropy(probability: np.ndarray) -> np.ndarray:
    """Of yes and no, in bits; of the shape of `probability`."""
    return stats.entropy([probability, 1 - probability], base=2)


def view_of(model: Package, image: torch.Tensor, turns: int, mirrored: bool) -> np.ndarray:
    """Probability (y, x) of a turned image, turned back."""
    turned = torch.rot90(image.flip(-1) if mirrored else image, turns, (-2, -1)).contiguous()
    plain = replace(model.card, takes_turns=False)
    found = np.rot90(photo_pipeline.answer(plain, model.network(torch.device("cpu")), turned, None, "cpu").probability, -turns)
    return found[:, ::-1] if mirrored else found


def judge(kind: str, judged: Judged, truth: np.ndarray, case: str) -> dict:
    """One row: Dice, how unsure per found pixel, and the sums for the calibration error."""
    bins = np.minimum((judged.probability * BINS).astype(int), BINS - 1).ravel()
    row = {
        "case": case,
        "kind": kind,
        "dice": dice(judged.mask, truth),
        "unsure": float(judged.unsure.sum() / max(judged.mask.sum(), 1)),
    }
    for name, values in (("count", np.ones(bins.shape)), ("told", judged.probability.ravel()), ("true", truth.ravel())):
        row |= {f"{name}_{number}": value for number, value in enumerate(np.bincount(bins, values, BINS))}
    return row


def correlation(table: pd.DataFrame) -> tuple[float, list[float]]:
    """Spearman's rank correlation of certainty with Dice over photos, and its 95 % bootstrap interval."""
    pair = (-table.unsure.to_numpy(), table.dice.to_numpy())
    found = stats.bootstrap(pair, lambda a, b: stats.spearmanr(a, b).statistic, paired=True, vectorized=False,
                            n_resamples=DRAWS // 10, method="percentile", rng=SEED)  # fmt: skip
    return float(stats.spearmanr(*pair).statistic), [float(end) for end in found.confidence_interval]


def risks(table: pd.DataFrame) -> np.ndarray:
    """Mean 1 - Dice of the k most certain photos, for k = 1 to all."""
    ordered = table.sort_values("unsure", kind="stable")
    return np.cumsum(1 - ordered.dice.to_numpy()) / np.arange(1, len(ordered) + 1)


def calibration_error(table: pd.DataFrame) -> float:
    """Expected calibration error over all pixels (Guo et al. 2017, equation 3)."""
    count, told, true = (table[[f"{name}_{number}" for number in range(BINS)]].to_numpy().sum(axis=0)
                         for name in ("count", "told", "true"))  # fmt: skip
    return float(np.abs(told - true).sum() / count.sum())


def summary(table: pd.DataFrame, name: str) -> str:
    lines = [name, "", "| uncertainty | Dice | rank correlation with Dice | risk over all coverages | " +
             " | ".join(f"Dice of the {share:.0%} most certain" for share in COVERAGES) + " | calibration error | n |",
             "|" + "---|" * (6 + len(COVERAGES))]  # fmt: skip
    for kind, rows in table.groupby("kind", sort=False):
        value, (low, high) = correlation(rows)
        risk = risks(rows)
        kept = " | ".join(f"{1 - risk[round(share * len(rows)) - 1]:.3f}" for share in COVERAGES)
        lines.append(f"| {kind} | {rows.dice.mean():.3f} | {value:.3f} [{low:.3f}, {high:.3f}] | {risk.mean():.3f} | {kept} | "
                     f"{calibration_error(rows):.4f} | {len(rows)} |")  # fmt: skip
    return "\n".join(lines)


def draw(table: pd.DataFrame, path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for kind, rows in table.groupby("kind", sort=False):
        risk = risks(rows)
        axes.plot(np.arange(1, len(risk) + 1) / len(risk), risk, label=kind)
    axes.set(xlabel="Share of the photos that are kept, the most certain first", ylabel="Mean of 1 - Dice", ylim=(0, None))
    axes.legend()
    with files.typed_output_errors(path):
        figure.savefig(path, dpi=150)
    plt.close(figure)


def compare(ensemble: Package, single: Package, cases: Cases) -> pd.DataFrame:
    """One row per photo and kind of uncertainty."""
    kinds = {
        "ensemble's variance": (by_members, ensemble),
        "entropy of the ensemble's mean": (by_mean, ensemble),
        "variance of turns": (by_turns, single),
        "entropy of one answer": (by_entropy, single),
    }
    rows = []
    for case in tqdm(cases.ids, desc=f"{cases.which} photos"):
        pixels, mask = photo_pipeline.read(cases.path(case, PHOTO)).pixels, read_mask(cases.path(case, MASK))
        shown = np.repeat((mask * np.uint8(255))[..., None], 3, axis=2)
        for kind, (judged_by, model) in kinds.items():
            size = model.card.working_size
            image, _placement = photo_pipeline.prepare(pixels, size)
            truth = photos.to_working(shown, size)[0][..., 0] >= 128
            rows.append(judge(kind, judged_by(model, image), truth, case))
    return pd.DataFrame(rows)


def main(
    ensemble: Path,
    single: Path,
    data: Path,
    output: Path = Path("runs/uncertainty"),
    cases: Literal["test", "validation"] = "validation",
) -> None:
    """Compares four kinds of uncertainty, two of each model.

    Args:
        ensemble: package of a model that draws an ensemble.
        single: package of one that answers in one call.
        data: prepared dataset of photos.
        output: folder of the results.
        cases: which side of the split.
    """
    chosen = cases_of_dataset(data, cases)
    table = compare(packages.read(ensemble), packages.read(single), chosen)
    with files.typed_output_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    files.write_text(output / "table.csv", table.iloc[:, :4].to_csv(index=False))
    files.write_text(output / "summary.txt", (text := summary(table, chosen.name)) + "\n")
    draw(table, output / "risk-coverage.png")
    print(text)


if __name__ == "__main__":
    command.run(main)
