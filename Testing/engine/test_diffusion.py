"""Schedule, samplers and loss, against oracles and formulas that are known in closed form."""

from math import sqrt
from types import SimpleNamespace

import pytest
import torch

from veloxseg.diffusion import Schedule, sample, samplers, training_loss
from veloxseg.networks.nca import NCA, NCAOutput

METHODS = ["ddim", "ddpm", "dpm++"]
RANGE = (-1.0, 1.0)


@pytest.fixture(autouse=True)
def one_thread_and_seed():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def a_mask() -> torch.Tensor:
    return (torch.rand(1, 1, 6, 7) < 0.4).double() * 2 - 1


def oracle(schedule: Schedule, mask: torch.Tensor, prediction: str):
    """A network that knows the mask: whatever it is shown, it returns the true noise, or the true velocity."""

    def predict(noisy, t, generator):
        alpha_bar = float(schedule.alpha_bar[t])
        noise = (noisy - sqrt(alpha_bar) * mask) / sqrt(1 - alpha_bar)
        return noise if prediction == "noise" else sqrt(alpha_bar) * noise - sqrt(1 - alpha_bar) * mask

    return predict


@pytest.mark.parametrize("steps, signal", [(1000, 0.0064), (100, 0.0045)])
def test_schedule(steps, signal):
    schedule = Schedule(steps)
    betas = 1 - schedule.alpha_bar / torch.cat([torch.ones(1, dtype=torch.float64), schedule.alpha_bar[:-1]])
    assert betas[0] == pytest.approx(0.1 / steps) and betas[-1] == pytest.approx(20 / steps)
    assert torch.allclose(betas.diff(), betas.diff().mean())
    assert float(schedule.alpha_bar[-1].sqrt()) == pytest.approx(signal, abs=5e-5)


def test_grid():
    schedule = Schedule(1000)
    assert schedule.grid(1) == [999] and schedule.grid(4) == [999, 749, 499, 249]
    assert schedule.grid(1000) == list(range(999, -1, -1))
    for calls in (2, 3, 7, 250, 999):
        grid = schedule.grid(calls)
        assert len(grid) == calls and grid[0] == 999 and all(a > b for a, b in zip(grid, grid[1:]))
    for calls in (0, 1001):
        with pytest.raises(ValueError, match="calls"):
            schedule.grid(calls)


def test_noisy_mask_and_velocity_of_a_batch():
    schedule = Schedule(1000)
    mask, noise, t = torch.ones(2, 1, 3, 3), torch.randn(2, 1, 3, 3), torch.tensor([0, 999])
    noisy, velocity = schedule.noisy(mask, noise, t), schedule.velocity(mask, noise, t)
    for i in range(2):
        alpha_bar = float(schedule.alpha_bar[t[i]])
        assert torch.allclose(noisy[i], sqrt(alpha_bar) * mask[i] + sqrt(1 - alpha_bar) * noise[i])
        assert torch.allclose(velocity[i], sqrt(alpha_bar) * noise[i] - sqrt(1 - alpha_bar) * mask[i])
    # At the end nothing but noise is left, and the velocity is the mask turned over.
    assert (noisy[1] - noise[1]).abs().max() < 0.01 and (velocity[1] + mask[1]).abs().max() < 0.02


@pytest.mark.parametrize("prediction", ["noise", "v"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("calls", [1, 2, 4, 50])
def test_oracle_reaches_the_mask(method, prediction, calls):
    schedule, mask = Schedule(1000), a_mask()
    start = torch.randn(mask.shape, dtype=torch.float64)
    found = sample(oracle(schedule, mask, prediction), start, schedule, schedule.grid(calls), prediction, RANGE, method)
    assert (found - mask).abs().max() < 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_oracle_with_a_mask_of_0_and_1_in_half_the_digits(method):
    schedule, mask = Schedule(100), (a_mask().float() + 1) / 2
    predict = oracle(schedule, mask, "noise")
    found = sample(predict, torch.randn_like(mask), schedule, schedule.grid(10), "noise", (0.0, 1.0), method)
    assert (found - mask).abs().max() < 1e-4 and found.min() >= 0 and found.max() <= 1


@pytest.mark.parametrize("prediction", ["noise", "v"])
def test_noise_is_recomputed_from_the_clipped_mask(prediction):
    schedule = Schedule(1000)
    noisy, output = torch.randn(1, 1, 5, 5).double(), 3 * torch.randn(1, 1, 5, 5).double()
    for t in (0, 500, 999):
        mask, noise = schedule.estimate(output, noisy, t, prediction, RANGE)
        alpha_bar = float(schedule.alpha_bar[t])
        assert mask.abs().max() <= 1
        assert torch.allclose(sqrt(alpha_bar) * mask + sqrt(1 - alpha_bar) * noise, noisy)


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_network_stays_within_bounds(method):
    schedule = Schedule(1000)
    predict = lambda noisy, t, generator: 5 * torch.randn_like(noisy)  # noqa: E731
    found = sample(predict, torch.randn(1, 1, 8, 8), schedule, schedule.grid(20), "noise", RANGE, method)
    assert found.abs().max() <= 1


def test_ddpm_on_the_full_grid_has_the_textbook_posterior(monkeypatch):
    """Ho et al. 2020, equations 6 and 7, at every step of a chain of 100."""
    schedule, mask = Schedule(100), a_mask()
    draws, shown = [], []

    def draw(shape, generator, like):
        draws.append(torch.randn_like(like))
        return draws[-1]

    monkeypatch.setattr(samplers, "gaussian", draw)
    predict = oracle(schedule, mask, "noise")

    def listen(noisy, t, generator):
        shown.append(noisy)
        return predict(noisy, t, generator)

    sample(listen, torch.randn_like(mask), schedule, schedule.grid(100), "noise", RANGE, "ddpm")
    alpha_bars = schedule.alpha_bar.tolist()
    for noisy, after, draw, t in zip(shown, shown[1:], draws, range(99, 0, -1)):
        now, later = alpha_bars[t], alpha_bars[t - 1]
        alpha = now / later
        mean = sqrt(later) * (1 - alpha) / (1 - now) * mask + sqrt(alpha) * (1 - later) / (1 - now) * noisy
        variance = (1 - later) / (1 - now) * (1 - alpha)
        assert torch.allclose(after, mean + sqrt(variance) * draw)


def test_dpm_solver_is_of_second_order():
    """Masks that are normally distributed have a known flow from noise to mask: twice the calls must leave about a quarter
    of the error, and half of it with DDIM."""
    schedule, deviation = Schedule(1000), 0.5
    start = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(1, 1, 3, 3)

    def predict(noisy, t, generator):
        alpha_bar = float(schedule.alpha_bar[t])
        return sqrt(1 - alpha_bar) * noisy / (alpha_bar * deviation**2 + 1 - alpha_bar)

    def error(method: str, calls: int) -> float:
        # From the middle to a third of the way: away from both ends, where steps of the logarithmic ratio are uneven.
        times = [int(600 - 300 * i / calls) for i in range(calls + 1)]
        ends = []

        def listen(noisy, t, generator):
            ends.append(noisy)
            return predict(noisy, t, generator)

        sample(listen, start, schedule, times, "noise", (-50.0, 50.0), method)
        spread = [sqrt(a * deviation**2 + 1 - a) for a in (float(schedule.alpha_bar[t]) for t in (times[0], times[-1]))]
        return float((ends[-1] - start * spread[1] / spread[0]).abs().max())

    assert 1.7 < error("ddim", 10) / error("ddim", 20) < 2.4
    assert 3.2 < error("dpm++", 10) / error("dpm++", 20) < 5
    assert error("dpm++", 10) < error("ddim", 10) / 5


def test_added_noise_comes_from_the_generator_of_the_call():
    schedule = Schedule(1000)
    predict = lambda noisy, t, generator: noisy * 0.5  # noqa: E731
    start = torch.randn(1, 1, 4, 4)

    def draw(base: int) -> torch.Tensor:
        at = lambda call: torch.Generator().manual_seed(base + call)  # noqa: E731
        return sample(predict, start, schedule, schedule.grid(5), "v", RANGE, "ddpm", at)

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


def test_bad_arguments():
    schedule = Schedule(1000)
    with pytest.raises(ValueError, match="sampler"):
        sample(None, torch.zeros(1), schedule, [999], "v", RANGE, "euler")
    for times in ([], [3, 3], [1, 2]):
        with pytest.raises(ValueError, match="fall"):
            sample(None, torch.zeros(1), schedule, times, "v")


class Knowing(torch.nn.Module):
    """Stands for a network: answers with the truth for a known mask, or with tensors of another shape."""

    def __init__(self, prediction: str, mask: torch.Tensor, schedule: Schedule, low: float = -1.0) -> None:
        super().__init__()
        self.config = SimpleNamespace(prediction=prediction, mask_range=(low, 1.0), in_ch=3, diffusion_steps=schedule.steps)
        self.clean, self.schedule, self.squeeze = low + (1 - low) * mask, schedule, False
        self.times = []

    def forward(self, image, noisy=None, t=None, generator=None):
        output = self.clean
        if noisy is not None:
            self.times += t.tolist()
            signal, spread = self.schedule.parts(t, noisy)
            noise = (noisy - signal * self.clean) / spread
            output = noise if self.config.prediction == "noise" else signal * noise - spread * self.clean
        readout = self.clean.repeat(1, 3, 1, 1)
        return NCAOutput(output[:, 0] if self.squeeze else output, readout + 0.5)


@pytest.mark.parametrize("low", [-1.0, 0.0])
@pytest.mark.parametrize("prediction", ["noise", "v", "direct"])
def test_loss_of_a_perfect_network(prediction, low):
    schedule, mask, image = Schedule(100), (torch.rand(4, 1, 5, 5) < 0.5).double(), torch.rand(4, 3, 5, 5).double()
    network = Knowing(prediction, mask, schedule, low)
    terms = training_loss(network, network.config, image, mask, readout_weight=10.0)
    assert terms.prediction < 1e-20
    assert terms.readout == pytest.approx(0.25) and terms.total == pytest.approx(2.5)
    assert training_loss(network, network.config, image, mask.bool(), 0.0).total < 1e-20


def test_loss_draws_every_time_and_one_per_image():
    schedule, mask = Schedule(30), torch.zeros(4, 1, 2, 2)
    network = Knowing("v", mask, schedule)
    for _ in range(100):
        training_loss(network, network.config, torch.zeros(4, 3, 2, 2), mask)
    assert set(network.times) == set(range(30)) and len(network.times) == 400


def test_loss_refuses_shapes_that_would_broadcast():
    schedule, mask, image = Schedule(100), torch.zeros(3, 1, 3, 3), torch.zeros(3, 3, 3, 3)
    network = Knowing("v", mask, schedule)
    for wrong in (mask[:, 0], mask[:1], mask.repeat(1, 3, 1, 1)):
        with pytest.raises(ValueError, match="fit"):
            training_loss(network, network.config, image, wrong)
    network.squeeze = True
    with pytest.raises(ValueError, match="equal"):
        training_loss(network, network.config, image, mask)


@pytest.mark.parametrize("prediction", ["noise", "v", "direct"])
def test_loss_is_reproducible_and_reaches_every_weight(prediction):
    network = NCA(channels=16, hidden=8, levels=2, factor=2, steps=2, prediction=prediction)
    for rule in network.rules:
        torch.nn.init.normal_(rule.fc1.weight, std=0.1)
    image, mask = torch.rand(2, 3, 8, 8), (torch.rand(2, 1, 8, 8) < 0.5).float()
    losses = [
        training_loss(network, network.config, image, mask, generator=torch.Generator().manual_seed(5)).total for _ in range(2)
    ]
    assert torch.equal(*losses)
    losses[0].backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("prediction", ["v", "direct"])
def test_one_image_can_be_learned(prediction):
    """A disk in noise, drawn in two calls of one member after a short training."""
    network = NCA(channels=16, hidden=32, levels=2, steps=5, prediction=prediction)
    schedule = Schedule(1000)
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    mask = ((y - 10) ** 2 + (x - 13) ** 2 < 36).float()[None, None]
    image = 0.6 * (mask * 2 - 1) * torch.tensor([1.0, -1.0, 0.5]).reshape(1, 3, 1, 1) + 0.3 * torch.randn(1, 3, 24, 24)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=0)
    for _ in range(60):
        optimizer.zero_grad()
        training_loss(network, network.config, image.expand(4, -1, -1, -1), mask.expand(4, -1, -1, -1)).total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        if prediction == "direct":
            found = network(image).prediction
        else:
            predict = lambda noisy, t, generator: network(image, noisy, torch.tensor([t])).prediction  # noqa: E731
            found = sample(predict, torch.randn_like(mask), schedule, schedule.grid(2), "v")
    found = (found > 0).float()
    dice = float(2 * (found * mask).sum() / (found.sum() + mask.sum()))
    print(prediction, dice)
    assert dice > 0.95
