"""The questions that the paper on NCA diffusion leaves open, each answered by a command that prints a table.

    python training/questions.py train loss --data data/skin
    python training/questions.py steps --run runs/skin-nca

docs/nca-questions.md has the tables that two CPU cores gave. `--scale full` is the same code at the paper's size, for a GPU.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import sys
from pathlib import Path
from typing import Literal

import torch
import tyro

from training import versions
from training.experiments import sampling, variants, volumes
from veloxseg.contract.errors import VeloxSegError


def train(
    question: tyro.conf.Positional[variants.Question],
    data: Path = Path("data/skin"),
    runs: Path = Path("runs/questions"),
    scale: Literal["quick", "full"] = "quick",
    seeds: tuple[int, ...] = (),
    cpu_bfloat16: bool = False,
) -> str:
    """What takes trainings; runs that are finished are not trained again.

    Args:
        question: loss: L_n + weight * L_RGB; attention: CBAM at equal width; prediction: v, noise, or no diffusion at all;
            downsampling: factors 2, 4, 8 and three levels; variant: the four of the paper, with noise prediction.
        data: prepared photos.
        runs: folder of the runs.
        scale: quick: minutes per row on a CPU core; full: the published size.
        seeds: of the trainings of each row; those of the scale when not given.
        cpu_bfloat16: half precision on the CPU, see train.py.
    """
    return variants.answer(question, variants.SCALES[scale], seeds or None, data, runs, cpu_bfloat16)


def steps(run: Path, photos: int | None = 24, fewest: bool = False) -> str:
    """Dice of one member against steps, for DDIM, DPM-Solver++ and DDPM.

    Args:
        run: a run of train.py skin-nca.
        photos: how many test photos; None: all.
        fewest: DDIM with 1 to 8 steps only.
    """
    return sampling.steps(run, photos, fewest)


def ensemble(run: Path, photos: int | None = None) -> str:
    """1 to 20 members: Dice, rank correlation of the uncertainty with Dice, Dice of the surest photos.

    Args:
        run: a run of train.py skin-nca.
        photos: how many test photos; all when not given.
    """
    return sampling.ensemble(run, photos)


def strata(runs: list[Path]) -> str:
    """Dice by area and contrast of the lesion.

    Args:
        runs: finished runs on the same photos.
    """
    return sampling.strata(runs)


def naive(run: Path, photos: int = 4, members: int = 1) -> str:
    """One call and the usual few against every step of the diffusion with every cell computed.

    Args:
        run: a run of train.py skin-nca.
        photos: how many test photos.
        members: of both ensembles.
    """
    return sampling.naive(run, photos, members)


def larger(run: Path, sides: tuple[int, ...] = (256, 512, 1024), photos: int = 4) -> str:
    """Large photos: the network at its training size, or at the size of the photo.

    Args:
        run: a run of train.py skin-nca.
        sides: longer sides of the photos in pixels.
        photos: how many test photos.
    """
    return sampling.larger(run, sides, photos)


def coarse(source: Path, target: Path, spacing_mm: float = 6.0, label: int = 1) -> str:
    """A prepared dataset of volumes with large voxels and one label, to compare 3D networks on a CPU.

    Args:
        source: folder that prepare.py wrote.
        target: folder to write.
        spacing_mm: side of the voxels.
        label: the value that is kept.
    """
    volumes.coarse(source, target, spacing_mm, label)
    return str(target)


def main() -> None:
    torch.set_num_threads(1)
    commands = {answer.__name__: answer for answer in (train, steps, ensemble, strata, naive, larger, coarse)}
    try:
        versions.check()
        print(tyro.extras.subcommand_cli_from_dict(commands, description=__doc__))
    except VeloxSegError as error:
        sys.exit(error.text)


if __name__ == "__main__":
    main()
