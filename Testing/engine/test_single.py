"""One object per image, and photos that are seen from all sides."""

import numpy as np
import pytest
import torch
from torch import nn

from engine_cases import card, label, tiny_package
from photo_cases import veloxseg_card
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images
from veloxseg.inference import devices, photo_pipeline, pipeline, single
from veloxseg.packages import cards, packages


def balls(*places, size=(30, 26, 22)):
    index = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1)
    return sum(np.exp(-((np.linalg.norm(index - np.array(place), axis=-1) / radius) ** 2)) for place, radius in places)


def test_what_lies_beside_the_largest_part_stays_away_at_every_threshold():
    large, small = balls(((9, 9, 9), 6)), balls(((24, 20, 16), 3))
    probability = np.clip(large + small, 0, 1)
    beside = single.beside_largest(probability >= 0.5)
    kept = np.where(beside, 0, probability)
    for threshold in (0.3, 0.5, 0.7):
        assert np.array_equal(kept >= threshold, large >= threshold)


@pytest.mark.parametrize("shape", [(8, 9), (5, 6, 7)])
def test_one_part_or_none_changes_nothing(shape):
    mask = np.zeros(shape, bool)
    assert not single.beside_largest(mask).any()
    mask[1, 1], mask[2, 2] = True, True
    assert not single.beside_largest(mask).any(), "parts that touch at a corner are one"


def test_the_largest_part_of_a_photo_is_kept():
    mask = np.zeros((40, 60), bool)
    mask[5:9, 5:9], mask[20:35, 30:50] = True, True
    beside = single.beside_largest(mask)
    assert (mask & ~beside).sum() == 15 * 20 and beside[5:9, 5:9].all()


class Bright(nn.Module):
    """Marks bright pixels, and more surely the farther right they are: an answer that depends on how a photo lies."""

    def forward(self, image):
        slope = torch.linspace(-1, 1, image.shape[-1])
        logits = 4 * image.mean(dim=1, keepdim=True) + slope
        return torch.cat([torch.zeros_like(logits), logits], dim=1)


def test_views_are_averaged_where_the_card_says_so():
    image = torch.rand(3, 16, 16) * 2 - 1
    plain, turned = (photo_pipeline.answer(Card.of(veloxseg_card(turns=turns)), Bright(), image, None, "cpu").probability
                     for turns in (False, True))  # fmt: skip
    assert not np.allclose(plain, turned)
    for view in photo_pipeline.VIEWS:
        moved = photo_pipeline._turned(image, view)
        assert torch.equal(photo_pipeline._turned_back(moved, view), image)
        again = photo_pipeline.answer(Card.of(veloxseg_card(turns=True)), Bright(), moved, None, "cpu").probability
        np.testing.assert_allclose(photo_pipeline._turned_back(torch.from_numpy(again), view), turned, atol=1e-6)


def test_a_volume_keeps_its_largest_part(tmp_path):
    """The tiny network marks what is bright; the smaller of two balls goes, in the mask and in the probability."""
    grid = images.Grid((30, 26, 22), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    image = images.image_of((100 * balls(((9, 9, 9), 6), ((24, 20, 16), 3))).astype(np.float32), grid)
    images.write(image, tmp_path / "a.nii.gz", compress=True)
    folder = tiny_package(tmp_path / "tiny")
    content = packages.read(folder).card.content

    class Sure(nn.Module):
        def forward(self, x):
            found = (x.mean(dim=1, keepdim=True) - 0.5) * 20
            return torch.cat([torch.zeros_like(found), found], dim=1)

    class Package:
        def __init__(self, changes):
            self.card = Card.of(content | changes)

        def network(self, device):
            return Sure().eval()

    role = content["roles"][0]["name"]
    many, one = (pipeline.segment(Package(changes), {role: tmp_path / "a.nii.gz"}, pipeline.Settings(device="cpu"),
                                  devices.choose("cpu")) for changes in ({}, {"single": True}))  # fmt: skip
    assert many.mask[24, 20, 16] and not one.mask[24, 20, 16] and one.probability[24, 20, 16] == 0
    assert one.mask[9, 9, 9] and one.mask.sum() < many.mask.sum()


@pytest.mark.parametrize(
    "content, field",
    [
        (card(labels=[label(1, "One"), label(2, "Two")]) | {"single": True}, "single: it is for one label"),
        (card() | {"turns": True}, "turns: it is for photos"),
        (card() | {"single": "yes"}, "single"),
    ],
)
def test_cards_that_ask_for_what_cannot_be(content, field):
    with pytest.raises(VeloxSegError, match=field):
        cards.check_card(content, "x")
