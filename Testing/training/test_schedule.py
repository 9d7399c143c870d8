"""The learning-rate schedules (spec section 6)."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parity_rules import load_json
from training.schedule import FLOOR, NOMINAL, SCHEDULES, corrected, of_run, published

PUBLISHED = load_json("losses")["lr_schedule"]["values"]


def test_published_schedule_to_the_last_digit():
    assert [NOMINAL * published(epoch) for epoch in range(300)] == pytest.approx(PUBLISHED, rel=1e-12)


def test_published_overshoots_and_corrected_does_not():
    assert max(published(epoch) for epoch in range(300)) == pytest.approx(1.1)
    assert max(corrected(epoch) for epoch in range(300)) == 1


def test_corrected_equals_published_during_warm_up_and_ends_at_the_same_floor():
    assert [corrected(e) for e in range(10)] == [published(e) for e in range(10)]
    assert corrected(300) == published(300) == FLOOR


lengths = st.integers(1, 5000).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total)))


@settings(max_examples=60, deadline=None)
@given(lengths)
def test_corrected_rises_then_falls_between_floor_and_one(length):
    total, warmup = length
    values = [corrected(step, total, warmup) for step in range(total + 3)]
    assert all(0 < value <= 1 for value in values)
    assert values[:warmup] == sorted(values[:warmup])
    assert values[warmup:] == sorted(values[warmup:], reverse=True)
    assert values[total:] == [FLOOR] * 3


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_drives_a_torch_scheduler_per_step(name):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=NOMINAL)
    factor = partial(SCHEDULES[name], total=50, warmup=5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    seen = []
    for _ in range(52):  # two steps beyond the end must stay at the floor, not rise again
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert seen == pytest.approx([NOMINAL * factor(step) for step in range(52)])
    assert seen[50:] == pytest.approx([6e-6, 6e-6])


def test_a_published_run_overshoots_whatever_its_length():
    """Its rate is that of an epoch, so that the steps of 5 epochs, or of 300 with 7 steps each, have the published values."""
    factor = of_run("published", 2100, 63)
    assert [NOMINAL * factor(7 * epoch + 6) for epoch in range(300)] == pytest.approx(PUBLISHED, rel=1e-12)
    assert max(of_run("published", 3500, 117)(step) for step in range(3500)) == pytest.approx(1.1)
    assert max(of_run("corrected", 3500, 117)(step) for step in range(3500)) == 1
    assert of_run("published", 2100, 63)(2100) == FLOOR and {of_run("constant", 9, 3)(step) for step in range(12)} == {1.0}


def test_warm_up_longer_than_the_run_is_refused():
    with pytest.raises(ValueError, match="warm-up of 11"):
        corrected(0, total=10, warmup=11)
