"""The comparison of uncertainties: what is known of a perfect and of a useless one, and one photo through all kinds."""

import numpy as np
import pandas as pd
import pytest
import torch

from training import uncertainty
from veloxseg.packages import cards, packages
from veloxseg.phantoms import dermoscopy

UNSURE = [0.1, 0.2, 0.3, 0.4, 0.5]


def table(dice: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"dice": dice, "unsure": UNSURE})


def test_certainty_that_falls_with_dice_has_rank_one_and_the_lowest_risk():
    right, wrong = table([0.9, 0.8, 0.7, 0.6, 0.5]), table([0.5, 0.6, 0.7, 0.8, 0.9])
    assert uncertainty.correlation(right)[0] == pytest.approx(1)
    assert uncertainty.correlation(wrong)[0] == pytest.approx(-1)
    assert uncertainty.risks(right).tolist() == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3])
    assert uncertainty.risks(wrong)[-1] == pytest.approx(0.3)


@pytest.mark.parametrize("told,true,error", [(0.7, 0.7, 0.0), (0.9, 0.5, 0.4), (0.2, 0.5, 0.3)])
def test_calibration_error_is_the_gap_between_told_and_true(told, true, error):
    truth = np.zeros(100, bool)
    truth[: round(100 * true)] = True
    judged = uncertainty.Judged(np.full((10, 10), told), np.ones((10, 10), bool), np.zeros((10, 10)))
    row = uncertainty.judge("any", judged, truth.reshape(10, 10), "photo")
    assert uncertainty.calibration_error(pd.DataFrame([row])) == pytest.approx(error)


def test_turned_views_come_back_upright():
    """They fit the view of the photo as it is, and would not if one of them came back turned or mirrored."""
    model = packages.read(cards.SHIPPED / "skin-lesion-veloxseg")
    photo = torch.from_numpy(dermoscopy.generate(3).rgb[:128, :128].astype(np.float32) / 127.5 - 1).permute(2, 0, 1)
    upright = uncertainty.view_of(model, photo, 0, False)
    for turns, mirrored in uncertainty.photo_pipeline.VIEWS[1:]:
        turned = uncertainty.view_of(model, photo, turns, mirrored)
        fits = [np.abs(turned - np.rot90(other, k)).mean() for other in (upright, upright[:, ::-1]) for k in range(4)]
        assert int(np.argmin(fits)) == 0, fits
