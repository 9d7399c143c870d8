"""The mirror image as a second opinion."""

import numpy as np
import pytest
import torch

from engine_cases import blob_image, card, stand_in, thresholding, write_image
from photo_cases import photo_card
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.inference import devices, dispatch, mirrors, opinions, pipeline
from veloxseg.inference.progress import Listener, Run

CPU = devices.choose("cpu")


def segment(network, path, run=None, **changes):
    package = stand_in(card(**changes), network)
    return pipeline.segment(package, {"T1": path}, pipeline.Settings("cpu", mirrors=True), CPU, run)


@pytest.fixture
def path(tmp_path):
    return write_image(blob_image((20, 24, 18)), tmp_path / "t1.nrrd")


def plain(path):
    return pipeline.segment(stand_in(card(), thresholding([-1.0, 1.0])), {"T1": path}, pipeline.Settings("cpu"), CPU)


def prefers_the_left(x):
    """Believes only in what lies in the upper half of axis x of its window, where x grows to the left."""
    logits = thresholding([-1.0, 1.0])(x)
    logits[:, 1, : x.shape[2] // 2] = -1e3
    return logits


def test_a_network_without_a_side_agrees_with_itself(path):
    usual, outcome = plain(path), segment(thresholding([-1.0, 1.0]), path)
    assert usual.agreement is None and usual.uncertainty is None
    assert np.array_equal(outcome.mask, usual.mask)
    assert outcome.agreement == 1.0 and outcome.uncertainty.max() == 0.0
    assert outcome.windows == 2 * usual.windows


def test_a_network_with_a_side_is_found_out(path):
    """One pass sees the left half of the head, the other the right half; where only one sees it, they differ most."""
    outcome = segment(prefers_the_left, path)
    assert outcome.agreement == 0.0
    assert outcome.uncertainty.shape == outcome.mask.shape
    assert outcome.uncertainty.max() == pytest.approx(0.25, abs=1e-3)
    # Half a pass is certain there: of the probabilities p and 0 the variance is (p / 2)^2.
    assert np.array_equal(outcome.uncertainty >= 0.25**2, plain(path).mask > 0)


def test_answers_lie_the_right_way_round():
    windows = torch.randn(2, 1, 4, 3, 3)
    seen = []

    def network(x):
        seen.append(x)
        return 2 * x

    assert torch.equal(mirrors.Mirrored(network, [0])(windows), 2 * windows)
    assert torch.equal(seen[0][:, :, 0], windows[:, :, -1])


def test_both_passes_are_one_progress(path):
    class Heard(Listener):
        steps = []

        def progress(self, done, total):
            self.steps.append((done, total))

    heard = Heard()
    segment(thresholding([-1.0, 1.0]), path, Run(heard))
    total = heard.steps[0][1]
    assert [done for done, _ in heard.steps] == sorted(done for done, _ in heard.steps)
    assert heard.steps[-1] == (total, total) and {of for _, of in heard.steps} == {total}


def test_several_labels():
    """Agreement counts voxels with the same label; variance is that of the class that differs most."""
    first = torch.tensor([[0.1, 0.1, 0.9], [0.8, 0.1, 0.1], [0.1, 0.8, 0.0]]).reshape(3, 3, 1, 1)
    second = torch.tensor([[0.1, 0.1, 0.9], [0.8, 0.7, 0.1], [0.1, 0.2, 0.0]]).reshape(3, 3, 1, 1)
    answers = iter((first.clone(), second.clone()))
    found = opinions.opinions(lambda network, run: next(answers), [None, None], None, Run())
    assert found.agreement == pytest.approx(2 * 1 / (2 + 2))
    assert found.variance.flatten().tolist() == pytest.approx([0, 0.09, 0])
    assert found.classes[:, 1].flatten().tolist() == pytest.approx([0.1, 0.4, 0.5])


def test_photos_have_no_such_setting(path):
    from veloxseg.inference import photo_pipeline

    model = stand_in(photo_card(), None)
    with pytest.raises(VeloxSegError, match="mirrors"):
        dispatch.segment(model, {"Photo": path}, photo_pipeline.Settings(mirrors=True), CPU)


def sided(name, modifier=None):
    return {"value": 1, "name": name, "color": [1, 2, 3], "terminology": {"type": ["SCT", "1", "x"], "type_modifier": modifier}}


LEFT, RIGHT = ["SCT", "7771000", "Left"], ["SCT", "24028007", "Right"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([sided("Left caudate"), sided("Tumor"), sided("Right caudate")], [0, 3, 2, 1]),
        ([sided("caudate_left"), sided("caudate_right"), sided("Left putamen")], [0, 2, 1, 3]),
        ([sided("Caudate", LEFT), sided("Caudate", RIGHT), sided("Left lung", LEFT)], [0, 2, 1, 3]),
        ([sided("Copyright"), sided("Cleft")], [0, 1, 2]),
        ([sided("Left caudate"), sided("Right putamen")], [0, 1, 2]),
    ],
)
def test_left_and_right_change_places_in_the_mirror(labels, expected):
    assert Card.of(card(labels=labels)).mirrored_classes == expected


@pytest.mark.parametrize("relative", [False, True])
def test_a_network_that_tells_left_from_right_agrees_with_itself(relative):
    """Its classes are background, left, right, by the sign of the image, which is of the other sign in the mirror."""

    def network(windows):
        side = torch.linspace(-1, 1, windows.shape[2]).reshape(1, 1, -1, 1, 1).expand_as(windows)
        return torch.cat([side, -side] if relative else [torch.zeros_like(side), side, -side], dim=1)

    network.relative = relative
    windows = torch.zeros(1, 1, 6, 2, 2)
    assert torch.allclose(mirrors.Mirrored(network, [0, 2, 1])(windows), network(windows))
    assert not torch.allclose(mirrors.Mirrored(network, [0, 1, 2])(windows), network(windows))
