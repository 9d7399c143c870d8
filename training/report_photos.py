"""Pictures of scored photos: the sheet of a run, RUN/report.png, with curves and scores; and the ten worst with both contours."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec

from training import records, report, run_log, scores
from training.photos import MASK, PHOTO, read_mask
from veloxseg import files
from veloxseg.imaging import photos

PHOTOS_OF_A_KIND = 6
WORST = 10
SHARES = (1, 3, 12, 50)
"""Ticks in percent of a photo: the limits of `evaluate_photos.STRATA` and what lies beyond."""


def draw(run: Path) -> Path:
    """Draws the sheet of an evaluated run and returns its path."""
    config, data = (records.read(run / name) for name in ("config.json", "data.json"))
    rows = pd.DataFrame(run_log.read(run))
    found = records.read(run / "evaluation" / "scores.json")
    table = scores.read_cases(run / "evaluation" / "cases.csv")
    lines = gallery_lines(table[table.method == scores.NETWORK])
    heights = (1.0, 0.85, 1.0 * len(lines))
    with matplotlib.rc_context(report.STYLE):
        height = report.HEADLINE_INCHES + report.FOOT_INCHES + report.ROW_INCHES * sum(heights)
        figure = Figure(figsize=(report.WIDTH_INCHES, height))
        grid = GridSpec(3, 1, figure, height_ratios=heights, left=0.035, right=0.97, bottom=report.FOOT_INCHES / height,
                        top=1 - report.HEADLINE_INCHES / height, hspace=0.3)  # fmt: skip
        curves = GridSpecFromSubplotSpec(1, 3, grid[0], wspace=0.18, width_ratios=(1.2, 0.8, 1.2))
        for part, one in zip(curves, (report.draw_losses, report.draw_learning_rate, report.draw_validation)):
            one(figure.add_subplot(part), rows)
        middle = GridSpecFromSubplotSpec(1, 2, grid[1], wspace=0.06, width_ratios=(2.1, 1))
        report.draw_scores(figure.add_subplot(middle[0]), found)
        draw_dice(figure.add_subplot(middle[1]), table)
        draw_gallery(figure, grid[2], data, run / "evaluation" / "masks", lines)
        report.headline(figure, run, config, data, rows)
        path = run / "report.png"
        with files.replacing(path) as temporary:
            figure.savefig(temporary, dpi=110, facecolor="white")
    return path


def draw_dice(axes: Axes, table: pd.DataFrame) -> None:
    """Dice of every photo over the lesion's share of it."""
    axes.set(title="Dice of each test photo", xlabel="lesion, % of the photo", xscale="log")
    report.leave_room_for_legend(axes)
    axes.set_xticks(SHARES, map(str, SHARES))
    axes.set_xticks((), minor=True)
    for (method, rows), color in zip(table[table.reference_percent > 0].groupby("method", sort=False), report.METHOD_COLORS):
        axes.scatter(rows.reference_percent, rows.dice, s=20, marker="o" if method == scores.NETWORK else "x", color=color,
                     alpha=0.8, label=method)  # fmt: skip
    axes.legend(fontsize=8, loc="upper right")


def gallery_lines(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Kind and photos of every line that has some."""
    ranked = table.sort_values("dice", kind="stable")
    worst = ranked[:PHOTOS_OF_A_KIND]
    best = ranked[len(worst) :][::-1][:PHOTOS_OF_A_KIND]
    return [(kind, photos_of_line) for kind, photos_of_line in (("worst", worst), ("best", best)) if len(photos_of_line)]


def draw_gallery(figure: Figure, part, data: dict, masks: Path, lines: list[tuple[str, pd.DataFrame]]) -> None:
    """A line of the worst and a line of the best photos."""
    grid = GridSpecFromSubplotSpec(len(lines), PHOTOS_OF_A_KIND, part, wspace=0.04, hspace=0.2)
    for line, (kind, photos_of_line) in enumerate(lines):
        for column, row in enumerate(photos_of_line.itertuples()):
            axes = figure.add_subplot(grid[line, column])
            axes.set_title(f"{kind}: {row.case}   Dice {row.dice:.3f}", fontsize=8)
            folder = Path(data["folder"]) / "cases" / row.case
            show(axes, photos.read(folder / PHOTO), read_mask(folder / MASK), read_mask(masks / f"{row.case}.png"))


def draw_worst(table: pd.DataFrame, dataset: Path, masks: Path, path: Path) -> None:
    """The photos with the lowest Dice of a table with one row per photo, each with both contours, as a PNG."""
    worst = table.sort_values("dice", kind="stable")[:WORST]
    figure = Figure(figsize=(15, 6.6), layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0.04, 1, 0.96))
    for place, row in enumerate(worst.itertuples(), start=1):
        axes = figure.add_subplot(2, WORST // 2, place)
        axes.set_title(f"{row.case}   Dice {row.dice:.3f}", fontsize=9)
        folder = dataset / "cases" / row.case
        show(axes, photos.read(folder / PHOTO), read_mask(folder / MASK), read_mask(masks / f"{row.case}.png"))
    for x, text, color in ((0.45, "reference", report.REFERENCE), (0.55, "network", report.PREDICTION)):
        figure.text(x, 0.005, text, color=color, ha="center", fontsize=10)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, facecolor="white")


def show(axes: Axes, pixels: np.ndarray, reference: np.ndarray, prediction: np.ndarray) -> None:
    """A photo uint8 (y, x, 3) with the borders of two masks (y, x)."""
    axes.set_axis_off()
    axes.imshow(pixels)
    for mask, color in ((reference, report.REFERENCE), (prediction, report.PREDICTION)):
        if mask.any():
            # padded, so that a mask at the edge of the photo has a closed line
            places = (np.arange(-1, n + 1) for n in mask.shape[::-1])
            axes.contour(*places, np.pad(mask, 1).astype(float), levels=[0.5], colors=color, linewidths=1.2)
