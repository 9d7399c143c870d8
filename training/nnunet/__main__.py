"""VeloxSeg under nnU-Net in one command: fingerprint, plan, preprocess, train and predict the validation cases.

    python -m training.nnunet 501 --device cpu

The same command goes on with a training that was interrupted. nnU-Net's own environment variables say where things lie.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

import torch
import tyro

from training import command
from veloxseg.contract.errors import VeloxSegError

VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def train(
    dataset: tyro.conf.Positional[int],
    configuration: Literal["2d", "3d_fullres", "3d_lowres"] = "3d_fullres",
    fold: int = 0,
    device: Literal["cpu", "cuda", "mps"] = "cuda",
    epochs: int = 300,
    iterations: int = 250,
    memory_gib: float = 8.0,
    processes: int = 2,
) -> Path:
    """Trains and returns the folder of the fold, in which `validation` holds the predictions.

    Args:
        dataset: number of a data set in nnUNet_raw (see training/nnunet/raw.py).
        configuration: of nnU-Net.
        fold: of splits_final.json.
        device: that computes.
        epochs: of the training.
        iterations: steps of an epoch; a fifth of them validate.
        memory_gib: that the plan may use.
        processes: that preprocess.

    Raises:
        VeloxSegError: DATASET, for what nnU-Net couldn't use.
    """
    folders = {name: os.environ.get(name) for name in VARIABLES}
    unset = [name for name, value in folders.items() if not value]
    if unset:
        raise _refused("nnU-Net", f"the environment variable {unset[0]} is not set", "set it to a folder")
    if not (found := sorted(Path(folders["nnUNet_raw"]).glob(f"Dataset{dataset:03d}_*"))):
        raise _refused(folders["nnUNet_raw"], f"it has no data set {dataset}",
                       "make it with: python -m training.nnunet.raw")  # fmt: skip
    try:
        import nnunetv2  # noqa: F401
    except ImportError as error:
        raise _refused("nnU-Net", "nnunetv2 is not installed", "install it: pip install nnunetv2==2.8.1") from error
    from training.nnunet.steps import prepare, run

    prepare(dataset, found[0].name, configuration, memory_gib, processes)
    return run(found[0].name, configuration, fold, torch.device(device), epochs, iterations)


def _refused(path: object, reason: str, remedy: str) -> VeloxSegError:
    return VeloxSegError("DATASET", path=path, reason=reason, remedy=remedy)


if __name__ == "__main__":
    os.environ.setdefault("nnUNet_compile", "f")  # a minute of compiling for a network this small
    sys.exit(command.run(train))
