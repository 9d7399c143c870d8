"""The four commands of the training chapter, on a folder of NIfTI files, with a tiny network."""

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

import tiny
from training import export
from veloxseg.imaging import images
from veloxseg.packages import packages

TINY_NETWORK = """--steps 4 --validate-every 4 --workers 0 --device cpu --data.folds 3 --data.patch-size 48 48 48
    --veloxseg.patch-size 2 --veloxseg.base-ch 8 --veloxseg.attn-base-ch 4 --veloxseg.min-dim-head 4 4 8 8"""


def commands() -> list[list[str]]:
    block = re.search(r"```\n(.*?)```", (export.ROOT / "training" / "README.md").read_text(), re.DOTALL).group(1)
    return [shlex.split(line) for line in block.strip().splitlines()]


def run(words: list[str], folder: Path) -> str:
    program = {".venv/bin/python": [sys.executable], ".venv/bin/veloxseg": [sys.executable, "-m", "veloxseg"]}[words[0]]
    words = [str(export.ROOT / word) if word.startswith("training/") else word for word in words[1:]]
    done = subprocess.run([*program, *words], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_four_commands_from_nifti_files_to_a_segment(tmp_path):
    grid = images.Grid(tiny.SIZE, tiny.SPACING, (0.0, 0.0, 0.0))
    rows = []
    for seed in range(4):
        for name, array in tiny.volumes(seed).items():
            images.write(images.image_of(array, grid), tmp_path / f"{seed}-{name}.nii.gz", compress=True)
        rows.append({"id": f"case{seed}", **{name: f"{seed}-{name}.nii.gz" for name in ("CT", "PET", "label")}})
    (tmp_path / "0-CT.nii.gz").rename(tmp_path / "ct.nii.gz")
    (tmp_path / "0-PET.nii.gz").rename(tmp_path / "pet.nii.gz")
    rows[0] |= {"CT": "ct.nii.gz", "PET": "pet.nii.gz"}
    with (tmp_path / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)

    prepare, train, verify, segment = commands()
    prepare[prepare.index("--spacing-mm") + 1 : prepare.index("--spacing-mm") + 4] = ["8", "8", "8"]
    run(prepare, tmp_path)
    assert len(list((tmp_path / "data" / "mine" / "cases").iterdir())) == 4
    run([*train, *TINY_NETWORK.split()], tmp_path)
    assert (tmp_path / "runs" / "mine" / "report.png").exists()
    assert (tmp_path / "runs" / "mine" / "evaluation" / "cases.csv").exists()
    assert "intact" in run(verify, tmp_path)
    run(segment, tmp_path)
    mask = sitk.ReadImage(str(tmp_path / "result" / "mask.nrrd"))
    assert images.same_grid(images.grid_of(mask), images.grid_of(sitk.ReadImage(str(tmp_path / "ct.nii.gz"))))
    card = packages.read(next((tmp_path / "runs" / "mine" / "package").glob("*/"))).card
    scores = card.content["scores"]
    assert card.level == "research" and scores and not any(score["synthetic"] for score in scores)
