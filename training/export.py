"""Make a model package of a finished run.

    python training/export.py --run runs/brain-regions --card training/cards/brain-regions-t1.json

The static part of the card (names, colours, limits) is a file in training/cards; the network's arguments, the training facts and
the scores (scores.json of evaluate.py) come from the run. The package holds the averaged weights in half precision.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
import torch
import tyro

import brain_regions
import heads
import petct_lesions
from veloxseg import devices, images, package_writer, packages, pipeline
from veloxseg.networks import VeloxSeg, load_weights
from veloxseg.phantoms import petct

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE_SEED = 40000
INTENSITIES = {
    "brain-regions-t1": {"T1": brain_regions.INTENSITY},
    "petct-lesions-demo": {"CT": petct_lesions.CT_INTENSITY, "PET": petct_lesions.PET_INTENSITY},
}


@dataclass(frozen=True)
class TrainedModel:
    """A run as the pipeline takes it: `card` and `network`; weights are rounded as they are shipped."""

    card: dict
    state: dict[str, torch.Tensor]

    def network(self, device: torch.device | str = "cpu") -> VeloxSeg:
        network = packages.build_network(self.card)
        load_weights(network, self.state)
        return network.eval().to(device)


def load_run(run: Path, card: Path) -> TrainedModel:
    """The best averaged weights of a run with its card, still without scores."""
    best = torch.load(run / "best.pt", map_location="cpu", weights_only=True)
    settings = best["settings"]
    content = json.loads(card.read_text())
    content["architecture"]["arguments"] = settings["network"]
    for role in content["roles"]:
        role["intensity"] = INTENSITIES[content["id"]][role["name"]]
    content["training"] |= {
        "command": f"python training/train.py {content['task']['id']} --steps {settings['steps']}",
        "seed": settings["seed"],
        "steps": best["step"],
        "git_revision": revision(),
        "date": datetime.date.today().isoformat(),
    }
    state = {k: v.half().float() if v.is_floating_point() else v for k, v in best["network"].items()}
    return TrainedModel(content, state)


def revision() -> str:
    """Commit of the sources, with a plus sign when training code or engine were changed since."""
    commit = _git("rev-parse", "--short", "HEAD").stdout.strip()
    changed = _git("diff", "--quiet", "HEAD", "--", "training", "VeloxSegSlicer/veloxseg").returncode
    return commit + "+" * changed if commit else "unknown"


def _git(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def example_inputs(identifier: str) -> dict[str, sitk.Image]:
    """A coarse case for the package's self-test: Colin27 on 4 mm, or a phantom on 8 mm (synthetic)."""
    if identifier == "brain-regions-t1":
        return {"T1": sitk.Cast(sitk.Round(coarse(heads.load("both").t1, 4.0)), sitk.sitkUInt8)}
    case = petct.generate(EXAMPLE_SEED)
    return {
        "CT": sitk.Cast(sitk.Round(coarse(case.ct, 8.0, -1000.0)), sitk.sitkInt16),
        "PET": coarse(case.pet, 8.0),
    }


def coarse(image: sitk.Image, spacing_mm: float, background: float = 0.0) -> sitk.Image:
    return images.resample(image, images.working_grid(images.grid_of(image), (spacing_mm,) * 3), "linear", background)


def export(run: Path, card: Path, output: Path = ROOT / "VeloxSegSlicer" / "Resources" / "Models") -> None:
    """Writes the package of a run into `output`/<id>.

    Args:
        run: folder of a finished run with best.pt and the scores.json of evaluate.py.
        card: static part of the card, a file of training/cards.
        output: folder of packages.
    """
    model = load_run(run, card)
    model.card["scores"] = json.loads((run / "scores.json").read_text())
    inputs = example_inputs(model.card["id"])
    folder = run / "example"
    folder.mkdir(exist_ok=True)
    paths = {role: folder / f"{role}.nii.gz" for role in inputs}
    for role, image in inputs.items():
        images.write(image, paths[role], compress=True)
    outcome = pipeline.segment(model, paths, pipeline.Settings(device="cpu"), devices.choose("cpu"))
    example = package_writer.Example(inputs, images.image_of(outcome.mask, outcome.grid))
    target = package_writer.write(
        output / model.card["id"], model.state, model.card, example, {"LICENSE": (ROOT / "LICENSE").read_bytes()}
    )
    print(f"{target}: example Dice {packages.verify(target):.4f}")


if __name__ == "__main__":
    tyro.cli(export)
