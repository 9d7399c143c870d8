"""The sheet of a run: what it picks, where it looks, and that it comes out with and without an evaluation."""

import itertools
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from spheres import SIZE, SPACING
from training import report


@pytest.fixture
def finished_run(evaluated_run, tmp_path):
    """A copy of the evaluated run with the files of a training."""
    run = tmp_path / "spheres"
    shutil.copytree(evaluated_run, run)
    rows = [{"step": n, "loss": 3 / n, "cross_entropy": 1 / n, "dice_loss": 2 / n, "reconstruction": 0.0, "sdkt": 0.0,
             "learning_rate": 1e-3 / n, "seconds": float(n), "cpu_minutes": n / 60} for n in range(1, 41)]  # fmt: skip
    for row in rows[9::10]:
        row |= {"validation": row["step"] / 50, "cases": {"01": row["step"] / 50, "02": float("nan")}}
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run / "config.json").write_text(json.dumps({"network": "veloxseg", "card": None}))
    return run


def test_a_sheet_with_and_without_evaluation(finished_run):
    whole = imread(report.draw(finished_run))
    assert (whole[..., :3].min(), whole.shape[1]) == (pytest.approx(0, abs=0.2), 1650)
    magenta = (whole[..., 0] > 0.8) & (whole[..., 1] < 0.2) & (whole[..., 2] > 0.3)
    assert magenta[whole.shape[0] // 2 :].sum() > 500  # contours of the network in the gallery
    shutil.rmtree(finished_run / "evaluation")
    assert imread(report.draw(finished_run)).shape[0] < whole.shape[0] / 2


def test_two_cases_fill_the_sheet():
    """No line of pictures without one, labels of the axis that don't touch, and no point behind the legend."""
    cases = pd.DataFrame({"case": ["a", "b"], "method": "network", "region": "Lesion", "reference_ml": [26.0, 33.0],
                          "dice": [0.5, 1.0]})  # fmt: skip
    assert list(report.gallery_lines(*report.worst_and_best(cases))) == ["Test cases, worst first"]
    for sizes in ([26.0, 33.0], [0.2, 900.0]):
        figure = Figure(figsize=(5, 3))
        axes = figure.add_subplot()
        report.draw_cases(axes, cases.assign(reference_ml=sizes))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        labels = [text for text in axes.get_xticklabels(which="both") if text.get_text()]
        low, high = axes.get_xlim()
        boxes = sorted((text.get_window_extent() for text in labels if low <= text.get_position()[0] <= high), key=lambda b: b.x0)
        assert len(boxes) >= 2 and all(first.x1 < second.x0 for first, second in itertools.pairwise(boxes))
        legend = axes.get_legend().get_window_extent()
        assert not any(legend.contains(*axes.transData.transform(point)) for point in zip(sizes, cases.dice))


def test_best_validation_stands_beside_the_legend():
    figure = Figure(figsize=(6, 3.5))
    axes = figure.add_subplot()
    for best in (1.0, 0.02):
        axes.clear()
        report.draw_validation(axes, pd.DataFrame({"step": [10, 20], "validation": [0.0, best]}))
        FigureCanvasAgg(figure).draw()
        assert not axes.get_legend().get_window_extent().contains(*axes.transData.transform((20, best)))


def test_worst_and_best_do_not_overlap():
    cases = pd.DataFrame({"case": list("abcde"), "method": "network", "region": "Lesion", "reference_ml": [1, 1, 0, 1, 1],
                          "dice": [0.9, 0.2, float("nan"), 0.5, 0.7]})  # fmt: skip
    worst, best = report.worst_and_best(cases)
    assert (list(worst.index), list(best.index)) == (["b", "d", "e"], ["a"])


def test_the_view_goes_through_the_largest_lesion():
    reference = np.zeros(SIZE, np.uint8)
    reference[2:4, 2:4, 2:4] = 1
    reference[10:16, 8:13, 12:15] = 1
    reference[10:12, 8:10, 11] = 1
    case = report.Case(reference * 1.0, reference, reference * 0, SPACING, "PT")
    assert case.center() in {(x, y, z) for x in (10, 11) for y in (8, 9) for z in (12, 13, 14)}
    x, y = case.field((12, 10, 13))
    assert (x.start, y.start) == (0, 0)
    empty = report.Case(reference * 1.0, reference * 0, reference * 0, SPACING, "PT")
    assert empty.center() == (12, 12, 10)
