"""One sheet of a run, RUN/report.png: curves, scores, and the worst and best cases with both contours.

    python training/report.py --run runs/petct

Works from files alone: config.json, data.json and metrics.jsonl of the run, its evaluation folder where there is one, and the
images of the prepared dataset.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec
from matplotlib.ticker import MaxNLocator
from scipy import ndimage

from training import command, records, run_log, scores
from training.cases import LABEL
from veloxseg import files
from veloxseg.contract.card import Card
from veloxseg.imaging import images

REFERENCE, PREDICTION = "#00a05a", "#e6007e"
INK, FAINT, WARNING = "#222222", "#b8b8b8", "#c04000"
LOSSES = {"loss": (INK, "total"), "cross_entropy": ("#0072b2", "cross entropy"), "dice_loss": ("#e69f00", "Dice loss"),
          "reconstruction": ("#56b4e9", "reconstruction"), "sdkt": ("#cc79a7", "SDKT"),
          "prediction": ("#0072b2", "noise, velocity or mask"), "readout": ("#e69f00", "mask in the image channels")}  # fmt: skip
METHOD_COLORS = (INK, "#e69f00", "#56b4e9")
GRAY_LEVELS = {"PT": (10.0, 0.0), "CT": (-160.0, 240.0)}
"""Black and white of an image in its unit: a PET is read in inverted gray. Others are shown between percentiles."""
CASES_OF_A_KIND = 3
LEGEND_TOP = 1.4
WIDTH_INCHES, ROW_INCHES, HEADLINE_INCHES, FOOT_INCHES = 15, 3.5, 1.4, 0.55
LEAST_FIELD_MM, FIELD_MARGIN_MM = 140.0, 40.0
STYLE = {"font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.titlesize": 10, "axes.titleweight": "bold",
         "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
         "grid.color": "#eeeeee", "axes.edgecolor": "#888888", "axes.axisbelow": True, "legend.frameon": False}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What is drawn of one case: image in its own unit and label maps, (x, y, z) on a grid along the LPS axes, spacing in mm."""

    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray
    spacing: tuple[float, float, float]
    modality: str

    def center(self) -> tuple[int, int, int]:
        """A voxel of the largest component of the reference, or of the prediction where the reference is empty."""
        mask = self.reference if self.reference.any() else self.prediction
        labels, count = ndimage.label(mask)
        if not count:
            return tuple(n // 2 for n in mask.shape)
        largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
        return tuple(int(np.argmax(largest.sum(axis=other))) for other in ((1, 2), (0, 2), (0, 1)))

    def field(self, center: tuple[int, int, int]) -> tuple[slice, slice]:
        """The part of the axial slice worth a look: what is marked around the center, with a margin."""
        found = np.argwhere((self.reference > 0)[..., center[2]] | (self.prediction > 0)[..., center[2]])
        parts = []
        for axis in (0, 1):
            ends = found[:, axis] if len(found) else np.array([center[axis]])
            reach = max(LEAST_FIELD_MM / 2, np.abs(ends - center[axis]).max() * self.spacing[axis] + FIELD_MARGIN_MM)
            steps = math.ceil(reach / self.spacing[axis])
            parts.append(slice(max(0, center[axis] - steps), center[axis] + steps + 1))
        return tuple(parts)


def read_case(data: dict, masks: Path, case: str) -> Case:
    """A case of the prepared dataset named in data.json, with the mask that the evaluation kept."""
    folder = Path(data["folder"]) / "cases" / case
    role = Card.of(data["card"]).reference
    image = images.read_volume(folder / f"{role.name}.nii.gz", role.name)
    label, mask = images.read_volume(folder / LABEL, "label"), images.read_volume(masks / f"{case}.nii.gz", "mask")
    return Case(*(images.array_of(volume) for volume in (image, label, mask)), image.GetSpacing(), role.modality)


# ------------------------------------------------------------------------------------------------------------ curves


def draw_losses(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set(title="Loss", xlabel="step", yscale="log")
    for column, (color, name) in LOSSES.items():
        if column in rows and (rows[column] > 0).any():
            smooth = rows[column].rolling(max(1, len(rows) // 40), min_periods=1, center=True).mean()
            axes.plot(rows.step, rows[column], color=color, alpha=0.15, linewidth=0.6)
            axes.plot(rows.step, smooth, color=color, linewidth=2 if column == "loss" else 1.2, label=name)
    axes.legend(fontsize=8, ncols=2)


def draw_learning_rate(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set(title="Learning rate", xlabel="step")
    axes.plot(rows.step, rows.learning_rate, color=INK, linewidth=1.5)
    axes.yaxis.set_major_formatter("{x:.0e}")
    axes.set_ylim(bottom=0)


def draw_validation(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set(title="Validation Dice", xlabel="step")
    rows = rows.dropna(subset="validation") if "validation" in rows else rows[:0]
    leave_room_for_legend(axes)
    if rows.empty:
        return
    if "cases" in rows:
        each = pd.DataFrame(rows.cases.tolist(), index=rows.step, dtype=float)
        axes.plot(each, color=FAINT, linewidth=0.8)
        axes.plot([], color=FAINT, linewidth=0.8, label=f"each case (n = {each.shape[1]})")
    axes.plot(rows.step, rows.validation, color=INK, linewidth=2, marker="o", markersize=4, label="mean")
    best = rows.loc[rows.validation.idxmax()]
    axes.plot(best.step, best.validation, "o", color=PREDICTION, label=f"best, {best.validation:.3f} at step {best.step:.0f}")
    axes.legend(fontsize=8, loc="upper right")


def leave_room_for_legend(axes: Axes) -> None:
    """For values from 0 to 1: what lies above 1 belongs to the legend, so that it hides no point."""
    axes.set_ylim(-0.03, LEGEND_TOP)
    axes.set_yticks(np.linspace(0, 1, 6))


def scale_by_size(axes: Axes, sizes: pd.Series) -> None:
    """Sizes over several decades on a logarithmic axis, others on a plain one, in either case with labels that don't touch."""
    if sizes.max() >= 10 * sizes.min():
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter("")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:g}")


# ------------------------------------------------------------------------------------------------------------ scores


def draw_scores(axes: Axes, found: list[dict]) -> None:
    """The score entries as a table; axes without frame."""
    axes.set_axis_off()
    axes.set(title="Scores", xlim=(0, 1), ylim=(0, 1))
    columns = {"": (0.0, "left"), "mean": (0.50, "right"), "95 % interval": (0.685, "right"), "n": (0.735, "right"),
               "beside it": (0.765, "left")}  # fmt: skip
    step = 1 / max(9, len(found) + 2)
    for name, (x, side) in columns.items():
        axes.text(x, 1 - step / 2, name, ha=side, va="center", color="#777777", fontsize=8)
    for number, entry in enumerate(found, start=1):
        interval, baseline = entry["interval_95"], entry.get("baseline")
        texts = (entry["name"], f"{entry['value']:.3f}", f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "",
                 str(entry["n"]), f"{baseline['value']:.3f}  {baseline['name']}" if baseline else "")  # fmt: skip
        y = 1 - (number + 0.5) * step
        axes.axhline(y + step / 2, color="#dddddd", linewidth=0.7)
        for text, (column, (x, side)) in zip(texts, columns.items(), strict=True):
            axes.text(x, y, text, ha=side, va="center", fontsize=8.5, fontweight="bold" if column == "mean" else None)


def draw_cases(axes: Axes, cases: pd.DataFrame) -> None:
    """Dice of every case over its reference volume."""
    present = cases[cases.reference_ml > 0]
    axes.set(title="Dice of each test case", xlabel="reference, ml")
    leave_room_for_legend(axes)
    if len(present):
        scale_by_size(axes, present.reference_ml)
    for (method, rows), color in zip(present.groupby("method", sort=False), METHOD_COLORS, strict=False):
        own = method == scores.NETWORK
        rows = scores.labels_apart(rows) if own else rows
        size, dice = rows.groupby("case").reference_ml.max(), scores.per_case(rows, "dice")
        axes.scatter(size[dice.index], dice, s=26 if own else 14, color=color, alpha=0.8, label=method, zorder=3 if own else 2,
                     marker="o" if own else "x", linewidths=0 if own else 1)  # fmt: skip
    axes.legend(fontsize=8, loc="upper right")


# ------------------------------------------------------------------------------------------------------------- cases


def worst_and_best(cases: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Dice of the network by case, worst first and best first; no case is in both."""
    network = scores.labels_apart(cases[(cases.method == scores.NETWORK) & (cases.reference_ml > 0)])
    ranked = scores.per_case(network, "dice").sort_values(kind="stable")
    worst = ranked[:CASES_OF_A_KIND]
    return worst, ranked[len(worst) :][::-1][:CASES_OF_A_KIND]


def draw_case(axial: Axes, coronal: Axes, case: Case, name: str, dice: float) -> None:
    """Axial slice through the largest lesion, as seen from the feet, and a coronal view: slice, or projection of a PET."""
    low, high = GRAY_LEVELS.get(case.modality) or np.percentile(case.image, (1, 99.5))
    center = case.center()
    field = case.field(center)
    axial.set_title(f"{name}   Dice {dice:.3f}", fontsize=9)
    show(axial, *(volume[..., center[2]][field] for volume in (case.image, case.reference, case.prediction)),
         (case.spacing[0], case.spacing[1]), (low, high), "upper")  # fmt: skip
    volumes = case.image, case.reference, case.prediction
    flat = [volume.max(axis=1) if case.modality == "PT" else volume[:, center[1]] for volume in volumes]
    show(coronal, *flat, (case.spacing[0], case.spacing[2]), (low, high), "lower")


def show(axes: Axes, image: np.ndarray, reference: np.ndarray, prediction: np.ndarray, spacing: tuple[float, float],
         levels: tuple[float, float], origin: str) -> None:  # fmt: skip
    """A slice (horizontal, vertical) in gray with the border of every label; `levels` are black and white."""
    axes.set_axis_off()
    width, height = image.shape[0] * spacing[0], image.shape[1] * spacing[1]
    extent = (0, width, height, 0) if origin == "upper" else (0, width, 0, height)
    low, high = min(levels), max(levels)
    axes.imshow(image.T, cmap="gray" if levels[0] < levels[1] else "gray_r", vmin=low, vmax=high, origin=origin, extent=extent,
                interpolation="bilinear")  # fmt: skip
    for mask, color, line in ((reference, REFERENCE, 1.4), (prediction, PREDICTION, 1.1)):
        for value in np.unique(mask[mask > 0]):
            # padded, so that a label at the border of the picture has a closed line
            inside = np.pad(mask == value, 1).astype(float).T
            x, y = ((np.arange(-1, n + 1) + 0.5) * edge for n, edge in zip(mask.shape, spacing, strict=True))
            axes.contour(x, y, inside, levels=[0.5], colors=color, linewidths=line)
    axes.set(xlim=extent[:2], ylim=extent[2:])


# ------------------------------------------------------------------------------------------------------------- sheet


def headline(figure: Figure, run: Path, config: dict, data: dict, rows: pd.DataFrame) -> None:
    inch = 1 / figure.get_figheight()
    figure.text(0.03, 1 - 0.25 * inch, run.resolve().name, fontsize=18, fontweight="bold", va="top")
    cases = ", ".join(f"{len(ids)} {side}" for side, ids in data["split"].items())
    last = rows.iloc[-1]
    spent = f"{last.step:.0f} steps" + (f", {last.cpu_minutes:.0f} min of CPU time" if "cpu_minutes" in rows else "")
    facts = config["network"], data["card"]["training"]["data"], f"cases: {cases}", spent
    figure.text(0.03, 1 - 0.65 * inch, "   ·   ".join(facts), fontsize=10, va="top", color="#555555")
    if data["synthetic"]:
        figure.text(0.97, 1 - 0.3 * inch, "synthetic", fontsize=13, fontweight="bold", va="top", ha="right", color="white",
                    bbox={"facecolor": WARNING, "edgecolor": "none", "boxstyle": "round,pad=0.4"})  # fmt: skip


def draw(run: Path) -> Path:
    """Draws the sheet of a run and returns its path."""
    config, data = (records.read(run / name) for name in ("config.json", "data.json"))
    rows = pd.DataFrame(run_log.read(run))
    evaluation = run / "evaluation"
    found = records.read(evaluation / "scores.json") if (evaluation / "scores.json").exists() else []
    cases = scores.read_cases(evaluation / "cases.csv") if (evaluation / "cases.csv").exists() else None

    lines = gallery_lines(*worst_and_best(cases)) if cases is not None else {}
    heights = [1.0] + [0.85] * bool(found) + [1.1 * len(lines)] * bool(lines)
    with matplotlib.rc_context(STYLE):
        height = HEADLINE_INCHES + FOOT_INCHES + ROW_INCHES * sum(heights)
        figure = Figure(figsize=(WIDTH_INCHES, height))
        grid = GridSpec(len(heights), 1, figure, height_ratios=heights, left=0.035, right=0.97, bottom=FOOT_INCHES / height,
                        top=1 - HEADLINE_INCHES / height, hspace=0.3)  # fmt: skip
        curves = GridSpecFromSubplotSpec(1, 3, grid[0], wspace=0.18, width_ratios=(1.2, 0.8, 1.2))
        for part, one in zip(curves, (draw_losses, draw_learning_rate, draw_validation), strict=True):
            one(figure.add_subplot(part), rows)
        if found:
            middle = GridSpecFromSubplotSpec(1, 2, grid[1], wspace=0.06, width_ratios=(2.1, 1))
            draw_scores(figure.add_subplot(middle[0]), found)
            if cases is not None:
                draw_cases(figure.add_subplot(middle[1]), cases)
        if lines:
            draw_gallery(figure, grid[len(heights) - 1], data, evaluation / "masks", lines)
        headline(figure, run, config, data, rows)
        path = run / "report.png"
        with files.replacing(path) as temporary:
            figure.savefig(temporary, dpi=110, facecolor="white")
    return path


def gallery_lines(worst: pd.Series, best: pd.Series) -> dict[str, pd.Series]:
    """Title -> cases of every line of pictures that has some."""
    titles = ("Worst", "Best") if len(best) else ("Test cases, worst first", "")
    return {title: ranked for title, ranked in zip(titles, (worst, best), strict=True) if len(ranked)}


def draw_gallery(figure: Figure, part, data: dict, masks: Path, lines: dict[str, pd.Series]) -> None:
    """Lines of cases, each with an axial and a coronal picture."""
    for line, (title, ranked) in zip(GridSpecFromSubplotSpec(len(lines), 1, part, hspace=0.22), lines.items(), strict=True):
        pictures = GridSpecFromSubplotSpec(1, 2 * CASES_OF_A_KIND, line, wspace=0.03)
        frame = figure.add_subplot(line)
        frame.set_axis_off()
        frame.set_title(title, pad=34)
        views = "axial slice through the largest lesion, coronal slice (PET: projection)"
        for x, text, color in ((0, "reference", REFERENCE), (0.06, "network", PREDICTION), (0.115, views, "#777777")):
            frame.annotate(text, (x, 1), (0, 20), "axes fraction", textcoords="offset points", color=color)
        for number, (case, dice) in enumerate(ranked.items()):
            axial, coronal = (figure.add_subplot(pictures[2 * number + k]) for k in (0, 1))
            draw_case(axial, coronal, read_case(data, masks, case), case, dice)


def main(run: Path) -> None:
    """Draws RUN/report.png.

    Args:
        run: folder of a run, evaluated or not.
    """
    print(draw(run))


if __name__ == "__main__":
    command.run(main)
