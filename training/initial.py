"""Weights that a run begins with: those of a model package, or of another run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from training import checkpoints
from veloxseg.contract.errors import VeloxSegError
from veloxseg.networks.checkpoint import POSITION_INDEX
from veloxseg.packages import packages

MOST_NAMED = 8


def load(network: nn.Module, source: Path) -> list[str]:
    """Takes every parameter of `source` that `network` has in the same shape, and names what begins anew, with both shapes.

    source: folder of a package, or a checkpoint. Raises CHECKPOINT when nothing fits, and what reading raises.
    """
    given, own = read(source), network.state_dict()
    fitting = {key: value for key, value in given.items() if key in own and own[key].shape == value.shape}
    if not any(value.is_floating_point() for value in fitting.values()):
        raise VeloxSegError(
            "CHECKPOINT",
            path=source,
            reason="no parameter of it has the shape that this network needs",
            remedy="choose weights of the same network",
        )
    with torch.no_grad():
        for key, value in fitting.items():
            own[key].copy_(value)
    return named(own, given)


def read(source: Path) -> Mapping[str, Tensor]:
    """The parameters of a package or a checkpoint by name. Raises CHECKPOINT or the MODEL_* codes."""
    if source.is_dir():
        package = packages.read(source)
        package.network()  # refuses weights that aren't those of its card
        return load_file(package.folder / packages.WEIGHTS)
    return checkpoints.read(source, "choose another checkpoint, or a package")["network"]


def named(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """What of a network's parameters isn't given in its shape; the first ones, and how many more."""
    left = []
    for key, value in own.items():
        if key.endswith(POSITION_INDEX):  # follows from the windows
            continue
        if key not in given:
            left.append(key)
        elif given[key].shape != value.shape:
            left.append(f"{key} {tuple(given[key].shape)} instead of {tuple(value.shape)}")
    return left if len(left) <= MOST_NAMED else [*left[:MOST_NAMED], f"and {len(left) - MOST_NAMED} more"]
