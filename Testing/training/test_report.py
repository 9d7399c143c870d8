"""The sheet of a run: what it picks, where it looks, and that it comes out with and without an evaluation."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

import report
from spheres import SIZE, SPACING


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
    (run / "config.json").write_text(json.dumps({"network": "veloxseg"}))
    return run


def test_a_sheet_with_and_without_evaluation(finished_run):
    whole = imread(report.draw(finished_run))
    assert (whole[..., :3].min(), whole.shape[1]) == (pytest.approx(0, abs=0.2), 1650)
    magenta = (whole[..., 0] > 0.8) & (whole[..., 1] < 0.2) & (whole[..., 2] > 0.3)
    assert magenta[whole.shape[0] // 2 :].sum() > 500  # contours of the network in the gallery
    shutil.rmtree(finished_run / "evaluation")
    assert imread(report.draw(finished_run)).shape[0] < whole.shape[0] / 2


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
