"""How long a step of training takes: the plain form with losses of torch and MONAI against what train.py does.

    python training/bench_step.py --rounds 5
    python training/bench_step.py --rounds 5 --json

A step is the published recipe with its teachers, deep supervision and dropout: both passes, losses, clipping, AdamW and the
averaged weights. The ways take turns; one thread, seconds of the processor.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
import tyro
from monai.losses import DiceLoss
from torch import Tensor, nn

from benchmarks.bench_speed import Report, interleaved, report, torch_threads
from training import train
from training.losses import gram_distance
from training.objectives import Terms
from training.settings import CONFIGS, Settings


class PlainObjective(nn.Module):
    """The published loss as a reader of the paper would write it, around the plain form."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, smooth_nr=1e-5, smooth_dr=1e-5)

    def forward(self, image: Tensor, label: Tensor) -> Terms:
        output = self.network(image)
        supervised = [F.cross_entropy(logits, label[:, 0]) + self.dice(logits, label) for logits in output.seg]
        taught = 0.5 * F.mse_loss(output.reconstruction, image) + 2 * gram_distance(output.gram_seg, output.gram_teachers)
        return Terms(torch.stack(supervised).mean() + taught, {})


@dataclass(frozen=True)
class Bench:
    """Time of a training step."""

    rounds: int = 5
    """How often the ways that are compared take turns."""
    batch_size: int = 2
    threads: int = 1
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print JSON instead of a table."""

    def report(self, settings: Settings = CONFIGS["cases"][1]) -> Report:
        settings = replace(settings, batch_size=self.batch_size)
        channels, size = sum(settings.veloxseg.in_ch), settings.veloxseg.input_size
        image = torch.randn(self.batch_size, channels, *size)
        label = (torch.rand(self.batch_size, 1, *size) > 0.97).long()
        ways = {
            "plain form, losses of torch and MONAI": plain_step(settings, torch.contiguous_format),
            "the same with channels last": plain_step(settings, torch.channels_last_3d),
            "train.py": step(train.build(settings, torch.device("cpu")), settings),
        }
        with torch_threads(self.threads):
            for way in ways.values():
                way(image, label)
            timed = {name: lambda way=way: way(image, label) for name, way in ways.items()}
            comparisons = interleaved(timed, self.threads, self.rounds)
        return report(f"One training step of {tuple(image.shape)}", self.threads, self.rounds, comparisons, [])


def plain_step(settings: Settings, layout: torch.memory_format) -> Callable[[Tensor, Tensor], None]:
    state = train.build(settings, torch.device("cpu"))
    state.objective = PlainObjective(state.network.to(memory_format=layout))
    return step(state, settings)


def step(state: train.State, settings: Settings) -> Callable[[Tensor, Tensor], None]:
    """What train.py does with a batch, without a scheduler."""

    def run(image: Tensor, label: Tensor) -> None:
        state.objective.train()
        terms = state.objective(image, label)
        state.optimizer.zero_grad()
        terms.total.backward()
        nn.utils.clip_grad_norm_(state.network.parameters(), settings.gradient_clip, foreach=True)
        state.optimizer.step()
        state.average.update_parameters(state.network)

    return run


def main() -> None:
    bench = tyro.cli(Bench, description=__doc__)
    found = bench.report()
    print(json.dumps(found.content(), indent=2) if bench.json else found.text())


if __name__ == "__main__":
    main()
