"""A run on a tiny prepared dataset, before and after its evaluation."""

from pathlib import Path

import numpy as np
import pytest

from spheres import PET_CT, SIZE, Threshold, distance, write_case, write_run
from training import evaluate, scored_cases


@pytest.fixture(scope="session")
def petct_run(tmp_path_factory) -> Path:
    """A run with ten test cases: spheres of 12 to 28 mm radius with a blurred border; 00 is empty, 01 too pale to be found."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(1)
    for number in range(10):
        radius = 10 + 2 * number
        r = distance((11 + number % 3, 12, 9))
        height = {0: 0.0, 1: 2.0}.get(number, 9.0)
        pet = 1 + height / (1 + np.exp((r - radius) / 4)) + rng.normal(0, 0.1, SIZE)
        ct = rng.normal(0, 50, SIZE)
        label = (r <= radius) & (number > 0)
        volumes = {"CT": ct.astype(np.float32), "PET": pet.astype(np.float32), "label": label.astype(np.uint8)}
        write_case(folder, f"{number:02}", volumes)
    run = tmp_path_factory.mktemp("runs") / "spheres"
    write_run(run, folder, PET_CT, [f"{number:02}" for number in range(10)])
    return run


@pytest.fixture(scope="session")
def evaluated_run(petct_run) -> Path:
    """The same after an evaluation."""
    evaluate.evaluate(Threshold(PET_CT, 5.0), scored_cases.cases_of_run(petct_run, "test"), petct_run / "evaluation", "cpu")
    return petct_run
