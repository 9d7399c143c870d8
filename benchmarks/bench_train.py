"""`veloxseg bench train-step`: both passes of the training network in its plain and its fast form.

The loss is a stand-in, the mean square of every output; the whole step with its real losses and the optimizer is what
training/bench_step.py measures.
"""

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.bench_speed import Report, interleaved, report, torch_threads
from veloxseg.networks import TrainingOutput, VeloxSeg, fast
from veloxseg.networks.published import AUTOPET

BATCH = 2


def train_step(threads: int, rounds: int, arguments: dict = AUTOPET) -> Report:
    """A batch of two windows with teachers, deep supervision and dropout, forward and backward; random weights."""
    torch.manual_seed(0)
    plain, flat = VeloxSeg(**arguments).train(), VeloxSeg(**arguments).train()
    flat = flat.to(memory_format=torch.channels_last_3d)
    image = torch.randn(BATCH, sum(plain.config.in_ch), *plain.config.input_size)
    forms = {
        "plain form": plain,
        "plain form, channels last": flat,
        "fast form": fast.training_form(plain).train(),
    }
    ways = {name: _passes(form, image) for name, form in forms.items()}
    with torch_threads(threads):
        for way in ways.values():
            way()
        comparisons = interleaved(ways, threads, rounds)
    return report(f"Both passes of a batch of {tuple(image.shape)}", threads, rounds, comparisons, [])


def _passes(form: nn.Module, image: torch.Tensor) -> Callable[[], None]:
    def passes() -> None:
        _stand_in(form(image)).backward()

    return passes


def _stand_in(output: TrainingOutput) -> torch.Tensor:
    taught = [] if output.reconstruction is None else [output.reconstruction, output.gram_seg, *output.gram_teachers]
    return sum(tensor.square().mean() for tensor in [*output.seg, *taught])
