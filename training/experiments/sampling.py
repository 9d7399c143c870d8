"""Questions about one trained cellular automaton: steps, ensemble size, uncertainty, which lesions, and the naive sampler."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from training import export, scores
from training.confidence import paired
from training.evaluate_photos import STRATA
from training.experiments import tables, unseen
from training.scored_cases import cases_of_run
from veloxseg import diffusion
from veloxseg.contract.errors import VeloxSegError
from veloxseg.diffusion.ensemble import ENOUGH_CALLS
from veloxseg.imaging import photos
from veloxseg.inference import photo_pipeline
from veloxseg.networks.nca import NCA

DDIM_CALLS = (1, 2, 4, 8, 16, 50, 250)
DDPM_CALLS = (16, 50, 250)
SIZES = (1, 2, 3, 4, 6, 8, 10, 15, 20)
SEED = 1234
"""The one that packages are verified with."""
COVERAGES = (0.9, 0.8, 0.5)


def automaton(run: Path) -> tuple[NCA, int]:
    """The network of a run on photos, as it would be shipped, and its working size. Raises CHECKPOINT for others."""
    model = export.load_run(run)
    if not model.card.has_ensemble:
        raise VeloxSegError(
            "CHECKPOINT", path=run, reason="it holds no cellular automaton", remedy="choose a run of --network nca"
        )
    return model.network(), model.card.working_size


def steps(run: Path, most: int | None, fewest: bool) -> str:
    """Dice of one member against the calls of the network, on the first `most` test photos; `fewest`: DDIM up to 8 only."""
    network, size = automaton(run)
    chosen = unseen.of_run(run, size, most)
    enough = ENOUGH_CALLS[network.config.prediction]
    ways = [("ddim", enough), *(("ddim", calls) for calls in DDIM_CALLS if calls != enough and not (fewest and calls > 8))]
    if not fewest:
        ways += [*(("dpm++", calls) for calls in DDIM_CALLS[1:4]), *(("ddpm", calls) for calls in DDPM_CALLS)]
    rows = []
    for method, calls in ways:
        sampling = diffusion.Sampling(1, calls, method, seed=SEED)
        rows.append(tables.Row(f"{method.upper()}, {calls}", _alone(network, chosen, sampling)))
    return f"{tables.against_first(rows)}\n\nn = {len(chosen)} test photos, one member, seed {SEED}"


def _alone(network: NCA, chosen: list[unseen.UnseenPhoto], sampling: diffusion.Sampling) -> np.ndarray:
    return np.array([photo.dice(unseen.members(network, photo.image, sampling).mean(0)) for photo in chosen])


def ensemble(run: Path, most: int | None) -> str:
    """Dice, agreement of uncertainty and error, and risk against coverage, for 1 to 20 members of the same draw."""
    network, size = automaton(run)
    chosen = unseen.of_run(run, size, most)
    sampling = diffusion.Sampling(max(SIZES), ENOUGH_CALLS[network.config.prediction], seed=SEED)
    drawn = [unseen.members(network, photo.image, sampling) for photo in chosen]
    lines = []
    for count in SIZES:
        dice = np.array([photo.dice(some[:count].mean(0)) for photo, some in zip(chosen, drawn)])
        line = [str(count), tables.mean(dice)]
        if count > 1:
            unsure = np.array([uncertainty(some[:count]) for some in drawn])
            line += [f"{stats.spearmanr(unsure, dice).statistic:.2f}",
                     *(f"{kept(dice, unsure, part):.3f}" for part in COVERAGES)]  # fmt: skip
        lines.append(line + ["-"] * (3 + len(COVERAGES) - len(line)))
    header = ["members", "Dice [95 %]", "rank correlation of uncertainty and Dice",
              *(f"Dice of the surest {part:.0%}" for part in COVERAGES)]  # fmt: skip
    note = (f"n = {len(chosen)} test photos, {sampling.calls} calls per member, seed {SEED}; uncertainty: mean variance of the "
            "members divided by the mean probability")  # fmt: skip
    return f"{tables.markdown(header, lines)}\n\n{note}"


def uncertainty(some: np.ndarray) -> float:
    """Mean variance over the mean probability of members (members, y, x): how much they disagree for the size they find."""
    return float(some.var(axis=0).mean() / max(some.mean(), 1e-6))


def kept(dice: np.ndarray, unsure: np.ndarray, part: float) -> float:
    """Mean Dice of that part of the photos about which the ensemble is surest (coverage); 1 minus it is the risk."""
    order = np.argsort(unsure, kind="stable")
    return float(dice[order[: max(1, round(part * len(dice)))]].mean())


def strata(runs: list[Path]) -> str:
    """Dice of finished runs by the lesion's area, and by its contrast in thirds (phantoms); from their evaluations."""
    tables_of = [scores.read_cases(run / "evaluation" / "cases.csv") for run in runs]
    dice = [table[table.method == scores.NETWORK].set_index("case").dice.sort_index() for table in tables_of]
    first = tables_of[0][tables_of[0].method == scores.NETWORK].set_index("case").sort_index()
    area = first.reference_percent.to_numpy()
    groups = {f"area {low} to {high} %": (area >= low) & (area < high) for low, high in zip(STRATA, STRATA[1:])}
    cases = cases_of_run(runs[0], "test")
    contrast = np.array([unseen.contrast(cases, case) or np.nan for case in first.index])
    if not np.isnan(contrast).any():
        ends = np.quantile(contrast, (0, 1 / 3, 2 / 3, 1))
        for low, high in zip(ends, ends[1:]):
            groups[f"contrast {low:.2f} to {high:.2f}"] = (contrast >= low) & ((contrast < high) | (high == ends[-1]))
    lines = [["all", str(len(first)), *(tables.mean(one.to_numpy()) for one in dice)]]
    for name, inside in groups.items():
        if inside.any():
            lines.append([name, str(int(inside.sum())), *(tables.mean(one.to_numpy()[inside]) for one in dice)])
    return tables.markdown(["lesions", "n", *(run.name for run in runs)], lines)


def naive(run: Path, most: int, members: int) -> str:
    """Few calls with firing cells alone against every step of the diffusion with every cell computed, on the same weights.

    All draw `members` members on the first `most` test photos; times are of the processor. The dense way is ours, with its two
    convolutions in one, which is faster than the published style.
    """
    network, size = automaton(run)
    chosen = unseen.of_run(run, size, most)
    few, every = ENOUGH_CALLS[network.config.prediction], network.config.diffusion_steps
    ways = {f"naive: DDPM, {every} calls, all cells": (diffusion.Sampling(members, every, "ddpm", seed=SEED), False)}
    for calls in sorted({1, few}):
        ways[f"DDIM, {calls} calls, firing cells"] = (diffusion.Sampling(members, calls, seed=SEED), True)
    rows, seconds = [], []
    for name, (sampling, sparse) in ways.items():
        network.sparse = sparse
        begun = time.process_time()
        rows.append(tables.Row(name, _alone(network, chosen, sampling)))
        seconds.append((time.process_time() - begun) / len(chosen))
    slow = seconds[0]
    rows = [replace(row, more={"processor s per photo": f"{value:.3f}", "times less": f"{slow / value:.0f}"})
            for row, value in zip(rows, seconds)]  # fmt: skip
    tests = ", ".join(f"{row.name}: p = {paired(rows[0].dice, row.dice, tables.SEED).p:.3f}" for row in rows[1:])
    return (f"{tables.against_first(rows)}\n\nn = {len(chosen)} test photos at {size} px, {members} members, one thread; "
            f"paired Wilcoxon tests of Dice against the naive sampler, {tests}")  # fmt: skip


def larger(run: Path, sides: tuple[int, ...], most: int) -> str:
    """Large photos: the network at its training size with the map resampled, at twice that, and at the photo's own size.

    The rows of the true mask say how much the way through a small square costs by itself.
    """
    network, trained = automaton(run)
    sampling = diffusion.Sampling(1, ENOUGH_CALLS[network.config.prediction], seed=SEED)
    rows = []
    for side, group in _scaled(run, sides, most):
        for size in dict.fromkeys((trained, 2 * trained, side)):
            begun, dice, best = time.process_time(), [], []
            for pixels, truth in group:
                image, placement = photo_pipeline.prepare(pixels, size)
                photo = unseen.UnseenPhoto("", pixels, image, placement, truth)
                dice.append(photo.dice(unseen.members(network, image, sampling).mean(0)))
                best.append(photo.dice(photos.mask_to_working(truth, placement)))
            seconds = (time.process_time() - begun) / len(group)
            more = {"processor s": f"{seconds:.2f}", "Dice of the true mask through that square": f"{np.mean(best):.3f}"}
            rows.append(tables.Row(f"{side} px photo, network at {size} px", np.array(dice), more))
    return f"{tables.against_first(rows)}\n\nn = {most} test photos of 256 px, enlarged; one member, seed {SEED}"


def _scaled(run: Path, sides: tuple[int, ...], most: int) -> Iterator[tuple[int, list[tuple[np.ndarray, np.ndarray]]]]:
    """The test photos and their masks with their longer side enlarged to each of `sides`."""
    small = unseen.of_run(run, 64, most)
    for side in sides:
        group = []
        for photo in small:
            pixels, placement = photos.to_working(photo.pixels, side)
            group.append((pixels, photos.mask_to_working(photo.truth, placement)))
        yield side, group
