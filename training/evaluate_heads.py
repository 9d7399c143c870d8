"""Score the brain regions on a hemisphere that training has never seen and on the MNI152 template.

    python training/evaluate_heads.py --run runs/brain-regions

Colin27's right hemisphere joined to its mirror image, in place and moved at random, with and without skull, beside the score of
simply copying the left labels; and the MNI152 template against the same atlas. Writes RUN/evaluation/scores.json.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from tqdm import tqdm

import veloxseg
from training import command, heads
from training.export import load_run
from training.metrics import dice
from training.scores import line, score
from veloxseg import files
from veloxseg.imaging import images
from veloxseg.inference.case import Package


@dataclass(frozen=True)
class Move:
    """Ranges of the random placement of a held-out head, uniform."""

    rotation_degrees: float = 15.0
    shift_mm: float = 10.0
    scale: float = 0.1
    elastic_mm: float = 3.0


def segment(model: Package, t1: sitk.Image) -> np.ndarray:
    """Mask (x, y, z) through the same pipeline as the panel."""
    return veloxseg.segment(model, {"T1": t1}, device="cpu", outputs=["mask"]).mask


def group_dice(mask: np.ndarray, truth: np.ndarray) -> list[float]:
    return [dice(mask == g, truth == g) for g in range(1, len(heads.GROUPS) + 1)]


def random_move(rng: np.random.Generator, like: sitk.Image, move: Move) -> sitk.Transform:
    """Rotation, isotropic scale and shift about the middle of the head, then a coarse elastic displacement."""
    size = np.array(like.GetSize())
    center = like.TransformContinuousIndexToPhysicalPoint(((size - 1) / 2).tolist())
    placed = sitk.Similarity3DTransform()
    placed.SetCenter(center)
    euler = sitk.Euler3DTransform(center, *np.deg2rad(rng.uniform(-1, 1, 3) * move.rotation_degrees).tolist())
    placed.SetMatrix((np.array(euler.GetMatrix()) * rng.uniform(1 - move.scale, 1 + move.scale)).tolist())
    placed.SetTranslation((rng.uniform(-1, 1, 3) * move.shift_mm).tolist())
    elastic = sitk.BSplineTransformInitializer(like, [5, 5, 5])
    elastic.SetParameters(rng.normal(0, move.elastic_mm, len(elastic.GetParameters())).tolist())
    # a B-spline is slow to evaluate at every voxel and smooth enough for a 4 mm grid
    coarse = images.working_grid(images.grid_of(like), (4.0, 4.0, 4.0))
    both = sitk.CompositeTransform([placed, elastic])
    return sitk.DisplacementFieldTransform(
        sitk.TransformToDisplacementField(both, sitk.sitkVectorFloat64, coarse.size, coarse.origin, coarse.spacing)
    )


def moved(image: sitk.Image, transform: sitk.Transform, nearest: bool = False) -> sitk.Image:
    return sitk.Resample(image, image, transform, sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear, 0)


def evaluate_heads(model: Package, cases: int, seed: int, move: Move) -> list[dict]:
    test, train = heads.load("right"), heads.load("left")
    copied = images.array_of(train.groups)
    data = "Colin27 right hemisphere and its mirror image (real T1, one person), AAL groups; never seen in training"
    scores = []
    for skull, image in (("with skull", test.t1), ("without skull", test.brain)):
        truth = images.array_of(test.groups)
        found = group_dice(segment(model, image), truth)
        scores.append(entry(f"Dice in place, {skull}", data, [found], [group_dice(copied, truth)], seed))
        rows, copies = [], []
        for number in tqdm(range(cases), desc=skull):
            transform = random_move(np.random.default_rng((seed, number)), image, move)
            truth_moved = images.array_of(moved(test.groups, transform, nearest=True))
            rows.append(group_dice(segment(model, moved(image, transform)), truth_moved))
            copies.append(group_dice(copied, truth_moved))
        scores.append(entry(f"Dice moved at random, {skull}", data, rows, copies, seed))
    return [*scores, *evaluate_mni152(model, seed)]


def evaluate_mni152(model: Package, seed: int) -> list[dict]:
    from nilearn import datasets

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mni152.nii.gz"
        datasets.load_mni152_template(resolution=1).to_filename(path)
        image = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkFloat32)
    atlas = images.array_of(images.resample(heads.load("both").groups, images.grid_of(image), "nearest", 0))
    data = "MNI152 template (real, average of 152 people, stripped) against AAL, which was drawn on Colin27"
    return [entry("Dice on MNI152", data, [group_dice(segment(model, image), atlas)], None, seed)]


def entry(name: str, data: str, rows: list[list[float]], copies: list[list[float]] | None, seed: int) -> dict:
    per_label = {group: round(float(v), 4) for group, v in zip(heads.GROUPS, np.mean(rows, axis=0), strict=True)}
    baseline = None
    if copies is not None:
        baseline = {"name": "copied labels of the other hemisphere", "value": round(float(np.mean(copies)), 4)}
    return score(name, data, np.mean(rows, axis=1).tolist(), seed, False, baseline=baseline, per_label=per_label)


def main(run: Path, cases: int = 30, seed: int = 2026, move: Move = Move()) -> None:
    """Held-out hemisphere and MNI152.

    Args:
        run: folder of a run with best.pt.
        cases: number of randomly moved heads.
        seed: of the moves and of the bootstrap.
        move: ranges of the moves.
    """
    scores = evaluate_heads(load_run(run), cases, seed, move)
    for found in scores:
        print(line(found))
        for group, value in found["per_label"].items():
            print(f"    {group}: {value:.3f}")
    with files.typed_output_errors(run):
        (run / "evaluation").mkdir(exist_ok=True)
    files.write_json(run / "evaluation" / "scores.json", scores)


if __name__ == "__main__":
    command.run(main)
