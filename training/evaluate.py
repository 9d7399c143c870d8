"""Score a run on data that training has never seen, print a table and write scores.json into the run.

    python training/evaluate.py brain-regions --run runs/brain-regions
    python training/evaluate.py petct-lesions --run runs/petct-lesions

brain-regions: Colin27's right hemisphere joined to its mirror image, in place and moved at random, with and without skull,
beside the score of simply copying the left labels; and the MNI152 template against the same atlas. petct-lesions: phantoms
(synthetic).
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import tyro
from tqdm import tqdm

import heads
from export import ROOT, TrainedModel, load_run
from metrics import dice, lesion_metrics
from veloxseg import devices, images, pipeline
from veloxseg.phantoms import petct

BOOTSTRAP_DRAWS = 10000
THRESHOLDS = (2.5, 3.0, 4.0, 5.0, 6.0, 8.0)


@dataclass(frozen=True)
class Move:
    """Ranges of the random placement of a held-out head, uniform."""

    rotation_degrees: float = 15.0
    shift_mm: float = 10.0
    scale: float = 0.1
    elastic_mm: float = 3.0


def segment(model: TrainedModel, inputs: dict[str, sitk.Image]) -> np.ndarray:
    """Mask (x, y, z) through the same pipeline as the panel, files included."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {role: Path(folder) / f"{role}.nrrd" for role in inputs}
        for role, image in inputs.items():
            images.write(image, paths[role])
        return pipeline.segment(model, paths, pipeline.Settings(device="cpu"), devices.choose("cpu"), measure=False).mask


def interval(values: list[float], seed: int) -> list[float]:
    """95 % bootstrap interval of the mean over cases (percentiles)."""
    draws = np.random.default_rng(seed).choice(np.asarray(values), (BOOTSTRAP_DRAWS, len(values))).mean(1)
    return [round(float(v), 4) for v in np.percentile(draws, (2.5, 97.5))]


def score(name: str, data: str, values: list[float], seed: int, synthetic: bool, **more) -> dict:
    """One entry of the card's scores; `values` is one number per case."""
    return {"name": name, "data": data, "n": len(values), "seed": seed, "value": round(float(np.mean(values)), 4),
            "interval_95": interval(values, seed) if len(values) > 1 else None, "synthetic": synthetic, **more}


# ---------------------------------------------------------------------------------------------------- brain regions


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


def evaluate_heads(model: TrainedModel, cases: int, seed: int, move: Move) -> list[dict]:
    test, train = heads.load("right"), heads.load("left")
    copied = images.array_of(train.groups)
    data = "Colin27 right hemisphere and its mirror image (real T1, one person), AAL groups; never seen in training"
    scores = []
    for skull, image in (("with skull", test.t1), ("without skull", test.brain)):
        truth = images.array_of(test.groups)
        found = group_dice(segment(model, {"T1": image}), truth)
        scores.append(entry(f"Dice in place, {skull}", data, [found], [group_dice(copied, truth)], seed))
        rows, copies = [], []
        for number in tqdm(range(cases), desc=skull):
            transform = random_move(np.random.default_rng((seed, number)), image, move)
            truth_moved = images.array_of(moved(test.groups, transform, nearest=True))
            rows.append(group_dice(segment(model, {"T1": moved(image, transform)}), truth_moved))
            copies.append(group_dice(copied, truth_moved))
        scores.append(entry(f"Dice moved at random, {skull}", data, rows, copies, seed))
    return [*scores, *evaluate_mni152(model, seed)]


def evaluate_mni152(model: TrainedModel, seed: int) -> list[dict]:
    from nilearn import datasets

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mni152.nii.gz"
        datasets.load_mni152_template(resolution=1).to_filename(path)
        image = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkFloat32)
    atlas = images.array_of(images.resample(heads.load("both").groups, images.grid_of(image), "nearest", 0))
    data = "MNI152 template (real, average of 152 people, stripped) against AAL, which was drawn on Colin27"
    return [entry("Dice on MNI152", data, [group_dice(segment(model, {"T1": image}), atlas)], None, seed)]


def entry(name: str, data: str, rows: list[list[float]], copies: list[list[float]] | None, seed: int) -> dict:
    per_label = {group: round(float(v), 4) for group, v in zip(heads.GROUPS, np.mean(rows, axis=0), strict=True)}
    baseline = None
    if copies is not None:
        baseline = {"name": "copied labels of the other hemisphere", "value": round(float(np.mean(copies)), 4)}
    return score(name, data, np.mean(rows, axis=1).tolist(), seed, False, baseline=baseline, per_label=per_label)


# ---------------------------------------------------------------------------------------------------------- PET/CT


def evaluate_phantoms(model: TrainedModel, cases: int, seed: int) -> list[dict]:
    data = f"phantoms of veloxseg.phantoms.petct version {petct.VERSION}, seeds {seed} to {seed + cases - 1}"
    dices, f1, empty, false_ml = [], [], [], []
    thresholded = {t: [] for t in THRESHOLDS}
    for number in tqdm(range(cases), desc="phantoms"):
        case = petct.generate(seed + number)
        truth, pet = images.array_of(case.label) > 0, images.array_of(case.pet)
        found = segment(model, {"CT": case.ct, "PET": case.pet}) > 0
        if not truth.any():
            empty.append(float(found.sum() * np.prod(case.pet.GetSpacing()) / 1000))
            continue
        dices.append(dice(found, truth))
        lesions = lesion_metrics(found, truth, case.pet.GetSpacing())
        f1.append(lesions["lesion_f1"])
        false_ml.append(lesions["false_positive_ml"])
        for threshold in THRESHOLDS:
            thresholded[threshold].append(dice(pet >= threshold, truth))
    best = max(THRESHOLDS, key=lambda t: np.mean(thresholded[t]))
    baseline = {"name": f"best fixed threshold, SUV {best:g}", "value": round(float(np.mean(thresholded[best])), 4)}
    scores = [score("Dice, cases with lesions", data, dices, seed, True, baseline=baseline, per_label=None),
              score("Lesion-wise F1, cases with lesions", data, f1, seed, True, baseline=None, per_label=None),
              score("False positive volume in ml, cases with lesions", data, false_ml, seed, True, baseline=None,
                    per_label=None)]
    if empty:
        scores.append(score("False positive volume in ml, cases without lesions", data, empty, seed, True, baseline=None,
                            per_label=None))
    return scores


# ------------------------------------------------------------------------------------------------------------- out


def show(scores: list[dict]) -> None:
    for s in scores:
        between = f" [{s['interval_95'][0]:.3f}, {s['interval_95'][1]:.3f}]" if s["interval_95"] else ""
        beside = f"; {s['baseline']['name']}: {s['baseline']['value']:.3f}" if s.get("baseline") else ""
        print(f"{s['name']}{' (synthetic)' if s['synthetic'] else ''}: {s['value']:.3f}{between}, n = {s['n']}{beside}")
        for group, value in (s.get("per_label") or {}).items():
            print(f"    {group}: {value:.3f}")


def brain_regions(run: Path, cases: int = 30, seed: int = 2026, move: Move = Move()) -> None:
    """Held-out hemisphere and MNI152.

    Args:
        run: folder of a run with best.pt.
        cases: number of randomly moved heads.
        seed: of the moves and of the bootstrap.
        move: ranges of the moves.
    """
    model = load_run(run, ROOT / "training" / "cards" / "brain-regions-t1.json")
    finish(run, evaluate_heads(model, cases, seed, move))


def petct_lesions(run: Path, cases: int = 30, seed: int = 30000) -> None:
    """Held-out phantoms, synthetic.

    Args:
        run: folder of a run with best.pt.
        cases: number of phantoms.
        seed: of the first phantom.
    """
    finish(run, evaluate_phantoms(load_run(run, ROOT / "training" / "cards" / "petct-lesions-demo.json"), cases, seed))


def finish(run: Path, scores: list[dict]) -> None:
    show(scores)
    (run / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"brain-regions": brain_regions, "petct-lesions": petct_lesions})
