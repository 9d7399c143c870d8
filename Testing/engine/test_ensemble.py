"""Ensembles: members that depend on the seed and their number only, and what is made of them."""

from itertools import combinations

import pytest
import torch

from veloxseg.contract.errors import VeloxSegError
from veloxseg.diffusion import Sampling, ensemble, segment
from veloxseg.networks.nca import NCA


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(**changes) -> NCA:
    torch.manual_seed(1)
    network = NCA(**{"channels": 16, "hidden": 12, "levels": 2, "steps": 3, "in_ch": 1} | changes)
    for rule in network.rules:
        torch.nn.init.normal_(rule.fc1.weight, std=0.2)
    return network


def picture(*size: int) -> torch.Tensor:
    return torch.rand(1, *(size or (9, 10)), generator=torch.Generator().manual_seed(2))


def stand_in(monkeypatch, members: torch.Tensor) -> None:
    """Members with given probabilities (n, *spatial)."""
    monkeypatch.setattr(ensemble, "draw_member", lambda network, image, sampling, member, after_call: members[member])


@pytest.mark.parametrize("prediction", ["noise", "v", "direct"])
@pytest.mark.parametrize("mask_range", [(-1, 1), (0, 1)])
def test_what_comes_out(prediction, mask_range):
    network, sampling = build(prediction=prediction, mask_range=mask_range), Sampling(members=4, calls=2)
    result = segment(network, picture(), sampling)
    members = torch.stack([ensemble.draw_member(network, picture()[None], sampling, n).detach() for n in range(4)])
    assert members.min() >= 0 and members.max() <= 1 and members.std(0).max() > 0.01
    assert torch.allclose(result.probability, members.mean(0), atol=1e-6)
    assert torch.allclose(result.variance, members.var(0, unbiased=False), atol=1e-6)
    assert torch.equal(result.mask, result.probability > 0.5) and result.mask.shape == (9, 10)


def test_members_depend_on_seed_and_number_only():
    network = build()
    few, many = (segment(network, picture(), Sampling(members=n, method="ddpm")) for n in (1, 3))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = segment(network, picture(), Sampling(members=3, method="ddpm"))
    assert all(torch.equal(a, b) for a, b in zip(many[:3], again[:3], strict=True))
    # Neither does an ensemble touch the random numbers of others.
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(few.probability, ensemble.draw_member(network, picture()[None], Sampling(method="ddpm"), 0).detach())
    other = segment(network, picture(), Sampling(members=3, method="ddpm", seed=1))
    assert not torch.equal(many.probability, other.probability)


def test_threads_draw_the_same_ensemble():
    network, sampling = build(), Sampling(members=5, method="ddpm")
    alone = segment(network, picture(40, 40), sampling)
    torch.set_num_threads(3)
    calls = []
    shared = segment(network, picture(40, 40), sampling, progress=lambda done, total: calls.append((done, total)))
    assert all(torch.equal(a, b) for a, b in zip(alone[:3], shared[:3], strict=True)) and alone.agreement == shared.agreement
    assert calls == [(done, 10) for done in range(11)] and torch.get_num_threads() == 3


def test_threads_are_cancelled_together():
    torch.set_num_threads(2)
    calls = []
    with pytest.raises(VeloxSegError) as caught:
        segment(build(), picture(), Sampling(members=50), lambda done, total: calls.append(done), lambda: len(calls) > 6)
    assert caught.value.code == "CANCELLED" and calls == list(range(7)) and torch.get_num_threads() == 2


def test_generators_differ():
    numbers = {
        float(torch.rand(1, generator=ensemble.member_generator(seed, member, call)))
        for seed in (0, 1, 2**40)
        for member in range(3)
        for call in range(3)
    }
    assert len(numbers) == 27
    assert ensemble.member_generator(0, 0, 0).device.type == "cpu"
    # The stream is a promise: packages store the masks of their examples.
    assert ensemble.member_generator(0, 1, 2).initial_seed() == 16681889381969129775


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_members():
    network = build()
    here = segment(network, picture(40, 40), Sampling(members=2))
    there = segment(network.cuda(), picture(40, 40), Sampling(members=2))
    assert (here.probability - there.probability).abs().max() < 1e-3


def test_agreement_is_the_pooled_dice_of_pairs(monkeypatch):
    members = torch.rand(5, 8, 8) ** 2
    stand_in(monkeypatch, members)
    result = segment(build(), picture(8, 8), Sampling(members=5))
    cut = (members > 0.5).double()
    overlap = sum(float((a * b).sum()) for a, b in combinations(cut, 2))
    sizes = sum(float((a.sum() + b.sum()) / 2) for a, b in combinations(cut, 2))
    assert result.agreement == pytest.approx(overlap / sizes)
    assert result.agreement == pytest.approx(1 - float(cut.var(0).sum()) / float(cut.mean(0).sum()))


@pytest.mark.parametrize("value, expected", [(0.0, 1.0), (1.0, 1.0)])
def test_agreement_at_the_extremes(monkeypatch, value, expected):
    stand_in(monkeypatch, torch.full((3, 4, 4), value))
    assert segment(build(), picture(4, 4), Sampling(members=3)).agreement == expected
    assert segment(build(), picture(4, 4), Sampling(members=1)).agreement is None
    stand_in(monkeypatch, torch.eye(3).reshape(3, 3, 1))
    assert segment(build(), picture(3, 1), Sampling(members=3)).agreement == 0


def test_fusions(monkeypatch):
    # One pixel each: all, two weakly, two strongly, one, none.
    members = torch.tensor([[0.9, 0.6, 1.0, 1.0, 0.0], [0.9, 0.6, 1.0, 0.0, 0.0], [0.9, 0.0, 0.0, 0.0, 0.0]])[:, None]
    stand_in(monkeypatch, members)
    masks = {
        fusion: segment(build(), picture(1, 5), Sampling(members=3, fusion=fusion)).mask[0].tolist()
        for fusion in ("mean", "majority")
    }
    assert masks["mean"] == [True, False, True, False, False]
    assert masks["majority"] == [True, True, True, False, False]
    assert not segment(build(), picture(1, 5), Sampling(members=3, threshold=0.95, fusion="majority")).mask[0, 0]


def test_half_of_the_votes_is_no_majority(monkeypatch):
    stand_in(monkeypatch, torch.tensor([1.0, 0.0]).reshape(2, 1, 1))
    assert not segment(build(), picture(1, 1), Sampling(members=2, fusion="majority")).mask.any()


def test_staple_trusts_the_better_members(monkeypatch):
    """Two good members against three that are mostly noise: the majority follows the noise, STAPLE doesn't."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.zeros(40, 40, dtype=torch.bool)
    truth[10:30, 8:28] = True
    wrong = [torch.rand(40, 40, generator=generator) < rate for rate in (0.02, 0.02, 0.45, 0.45, 0.45)]
    stand_in(monkeypatch, torch.stack([truth ^ flips for flips in wrong]).float())
    masks = {
        fusion: segment(build(), picture(40, 40), Sampling(members=5, fusion=fusion)).mask for fusion in ("majority", "staple")
    }
    errors = {fusion: int((mask ^ truth).sum()) for fusion, mask in masks.items()}
    assert errors["staple"] < 100 < errors["majority"]


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("members", [1, 3])
def test_staple_with_one_class_only(monkeypatch, value, members):
    stand_in(monkeypatch, torch.full((members, 4, 4), value))
    assert (segment(build(), picture(4, 4), Sampling(members=members, fusion="staple")).mask == bool(value)).all()


@pytest.mark.parametrize("prediction, total", [("v", 6), ("direct", 3)])
def test_progress_and_cancel(prediction, total):
    network, heard = build(prediction=prediction), []
    segment(network, picture(), Sampling(members=3, calls=2), lambda *numbers: heard.append(numbers))
    assert heard == [(done, total) for done in range(total + 1)]
    for last in range(total):
        heard.clear()
        with pytest.raises(VeloxSegError) as problem:
            segment(
                network,
                picture(),
                Sampling(members=3, calls=2),
                lambda *numbers: heard.append(numbers),
                lambda last=last: len(heard) > last,
            )
        assert problem.value.code == "CANCELLED" and len(heard) == last + 1
    with pytest.raises(VeloxSegError):
        segment(network, picture(), Sampling(), cancelled=lambda: True)


def test_no_number_is_an_error():
    network = build()
    torch.nn.init.constant_(network.rules[1].fc1.weight, float("nan"))
    with pytest.raises(VeloxSegError) as problem:
        segment(network, picture(), Sampling(members=1))
    assert problem.value.code == "NUMERIC"


def test_a_volume_in_tiles_is_the_whole_volume():
    network = build(spatial_dim=3, factor=2, perception="depthwise", in_ch=2)
    volume = torch.rand(2, 12, 9, 10, generator=torch.Generator().manual_seed(2))
    whole, tiled = (segment(network, volume, Sampling(members=2, tile=tile)) for tile in (None, 4))
    assert (whole.probability - tiled.probability).abs().max() < 1e-4 and whole.mask.shape == (12, 9, 10)


def test_presets():
    v, noise, direct = (build(prediction=prediction) for prediction in ("v", "noise", "direct"))
    assert Sampling.preset("draft", v) == Sampling(members=4, calls=2)
    assert Sampling.preset("normal", noise) == Sampling(members=10, calls=4)
    assert Sampling.preset("normal", direct) == Sampling(members=10, calls=1)
    assert Sampling.preset("paper", noise) == Sampling(members=10, calls=1000, method="ddpm")


@pytest.mark.parametrize(
    "change",
    [{"members": 0}, {"calls": 0}, {"method": "euler"}, {"fusion": "squared"}, {"threshold": 1}, {"seed": -1}, {"tile": 0}],
)
def test_bad_settings_get_a_sentence(change):
    with pytest.raises(ValueError, match=next(iter(change))) as problem:
        Sampling(**change)
    assert "\n" not in str(problem.value)
