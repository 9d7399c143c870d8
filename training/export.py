"""Make a model package of a finished run; `train.py` does it at its end.

    python training/export.py --run runs/mine --output VeloxSegSlicer/Resources/Models

The card is that of the dataset (or of --card) with the fitted intensities, the network's arguments, the training facts and the
scores of `evaluate.py`. The package holds the averaged weights in half precision and an example with its expected result.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import datetime
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from PIL import Image
from torch import nn

import veloxseg
from training import checkpoints, command, heads, networks, records
from training.datasets.cards import identifier, with_static_part
from training.settings import CONFIGS, OWN_DATA, plain
from veloxseg import diffusion, files, phantoms
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images
from veloxseg.networks import load_weights
from veloxseg.networks.nca import NCA
from veloxseg.packages import cards, package_writer, packages
from veloxseg.packages.package_convert import EXAMPLE_COARSER, EXAMPLE_SEED, drawn_inputs, rounded

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class TrainedModel:
    """A run as the pipeline takes it: `card` and `network`; weights are rounded as they are shipped."""

    card: Card
    name: str
    state: dict[str, torch.Tensor]

    def network(self, device: torch.device | str = "cpu") -> nn.Module:
        if self.name in networks.OF_THE_ENGINE:
            network = packages.build_network(self.card)
            load_weights(network, self.state)
        else:
            network = networks.build(self.name, networks.BaselineConfig(**self.card.arguments))
            network.load_state_dict(self.state)
        return network.eval().to(device)


def load_run(run: Path, card: Path | None = None) -> TrainedModel:
    """The best averaged weights of a run with its card, still without scores. Raises CHECKPOINT for a folder without them.

    card: static part of a card, to be used instead of the dataset's own.
    """
    best = checkpoints.read(run / "best.pt", "start train.py again, which makes it from last.pt")
    settings, data = best["settings"], records.read(run / "data.json")
    content = data["card"]
    if card:
        content = with_static_part(Card.of(content), card).content
    content |= architecture(settings) | named(settings["name"], settings["version"])
    if settings["network"] == "nca" and data["card"]["roles"][0]["kind"] != "photo":
        # it takes any size, so that a card may name one that holds a whole case
        content["window"] = {"size": data["patch_size"], **content["window"]}
    content["training"] |= {
        "command": command_line(settings),
        "network": settings["network"],
        "seed": settings["seed"],
        "steps": best["step"],
        "cpu_minutes": round(best["cpu_minutes"], 2),
        "git_revision": revision(),
        "date": datetime.date.today().isoformat(),
    }
    if settings["init"]:
        content["training"]["begun_with"] = Path(settings["init"]).name
    state = {k: v.half().float() if v.is_floating_point() else v for k, v in best["network"].items()}
    return TrainedModel(Card.of(content), settings["network"], state)


def named(name: str | None, version: str | None) -> dict:
    """The fields of a card that a run's name and version decide. Raises DATASET for a version that packages can't have."""
    if version is not None and not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version):
        raise VeloxSegError(
            "DATASET",
            path=f"The version {version!r}",
            reason="it is not three numbers with dots between them",
            remedy="choose a --version such as 1.2.0",
        )
    found = {} if name is None else {"id": identifier(name), "title": name}
    return found if version is None else found | {"version": version}


def can_be_packaged(model: TrainedModel) -> bool:
    """Whether packages can hold the model: VeloxSeg or the cellular automaton."""
    return model.name in networks.OF_THE_ENGINE


def architecture(settings: dict) -> dict:
    """What the card says about the network, and for a cellular automaton how its ensemble is drawn."""
    if settings["network"] == "veloxseg":
        return {"architecture": {"name": "VeloxSeg", "arguments": settings["veloxseg"]}}
    if settings["network"] != "nca":
        return {"architecture": {"name": settings["network"], "arguments": settings["baseline"]}}
    network = NCA(**settings["nca"])
    # windows of a volume are many, so that each gets fewer members
    chosen = diffusion.Sampling.preset("normal" if network.config.spatial_dim == 2 else "draft", network)
    return {"architecture": {"name": "NCA", "arguments": settings["nca"]},
            "sampling": {name: getattr(chosen, name) for name in ("members", "calls", "method", "fusion")}}  # fmt: skip


def command_line(settings: dict) -> str:
    """The shortest command that gives these settings (those of `settings.plain`), without the run folder and where things lie."""
    tasks = [
        task
        for task, (_, default) in CONFIGS.items()
        if task not in OWN_DATA and settings["data"].keys() <= asdict(default.data).keys()
    ]
    return min((options_of(settings, task) for task in tasks), key=len)


def options_of(settings: dict, task: str) -> str:
    """The command for a task of `CONFIGS` with every option that differs from its defaults."""
    default = flat(plain(CONFIGS[task][1]))
    ignored = {"steps", "validate_every"} if settings.get("epochs") else set()
    ignored |= {"run", "card", "init", "max_minutes", "score", "data.folder", "veloxseg.in_ch", "veloxseg.n_classes",
                "nca.n_classes"}  # fmt: skip
    words = ["python training/train.py", task]
    for name, value in flat(settings).items():
        if name in ignored or name.startswith("baseline.") or value == default.get(name):
            continue
        section, _, last = name.rpartition(".")
        option = f"--{section + '.' if section else ''}{'no-' if value is False else ''}{last}".replace("_", "-")
        words.append(option if isinstance(value, bool) else f"{option} {' '.join(map(str, np.ravel(value)))}")
    return " ".join(words)


def flat(settings: dict) -> dict:
    """Nested settings as one dictionary with dotted names, those of the command line."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, list) and value and isinstance(value[0], list):
            value = {str(number): entry for number, entry in enumerate(value)}
        inner = flat(value) if isinstance(value, dict) else None
        found |= {name: value} if inner is None else {f"{name}.{key}": entry for key, entry in inner.items()}
    return found


def revision() -> str:
    """Commit of the sources, with a plus sign when training code or engine were changed since."""
    commit = _git("rev-parse", "--short", "HEAD").stdout.strip()
    changed = _git("diff", "--quiet", "HEAD", "--", "training", "VeloxSegSlicer/veloxseg").returncode
    return commit + "+" * changed if commit else "unknown"


def _git(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def example_inputs(card: Card, data: dict) -> dict[str, sitk.Image]:
    """A coarse case for the package's self-test: Colin27, a phantom, or a drawn solid as large as the network's window: never an
    image of a patient."""
    spacing = [EXAMPLE_COARSER * step for step in card.spacing_mm]
    if data["folder"] is None:
        return {data["card"]["roles"][0]["name"]: sitk.Cast(sitk.Round(coarse(heads.load("both").t1, spacing)), sitk.sitkUInt8)}
    if not data["synthetic"]:
        return drawn_inputs(card)
    folder = Path(data["folder"]) / "cases" / data["split"]["test"][0]
    inputs = {}
    for role in card.roles:
        image = images.read(folder / f"{role.name}.nii.gz", role.name)
        darkest = float(sitk.GetArrayViewFromImage(image).min())
        inputs[role.name] = rounded(coarse(image, spacing, darkest))
    return inputs


def coarse(image: sitk.Image, spacing: list[float], background: float = 0.0) -> sitk.Image:
    return images.resample(image, images.working_grid(images.grid_of(image), spacing), "linear", background)


def volume_example(model: TrainedModel, data: dict, folder: Path) -> package_writer.Example:
    """The inputs, which are also written into `folder`, with the mask that the model gives them."""
    inputs = example_inputs(model.card, data)
    paths = {role: folder / f"{role}.nii.gz" for role in inputs}
    for role, image in inputs.items():
        images.write(image, paths[role], compress=True)
    outcome = veloxseg.segment(model, paths, device="cpu", outputs=["mask"])
    return package_writer.Example(inputs, images.image_of(outcome.mask, outcome.grid))


def photo_example(model: TrainedModel, folder: Path) -> package_writer.Example:
    """The same of a photo: a phantom, never a photo of a patient."""
    pixels, path = phantoms.generate_case("dermoscopy", EXAMPLE_SEED).rgb, folder / "Photo.png"
    Image.fromarray(pixels).save(path)
    outcome = veloxseg.segment(model, {"Photo": path}, device="cpu", outputs=["mask"])
    return package_writer.Example({"Photo": pixels}, outcome.mask[..., 0].T > 0)


def license_text(card: Card) -> bytes:
    """This project's license where the card names it, else the card's words: nobody's weights get a license by accident."""
    return (ROOT / "LICENSE").read_bytes() if card.license == "Apache-2.0" else f"{card.license}\n".encode()


def export(run: Path, card: Path | None = None, output: Path | None = None) -> Path:
    """Writes the package of a run and returns its folder; its zip, which the panel imports, comes to `package` in the run folder.

    Args:
        run: folder of a run of VeloxSeg or NCA with best.pt, and the evaluation of evaluate.py where there is one.
        card: static part of the card, instead of the dataset's own.
        output: folder of packages; `package` in the run folder when not given.
    """
    model, data = load_run(run, card), records.read(run / "data.json")
    if not can_be_packaged(model):
        raise VeloxSegError(
            "CHECKPOINT",
            path=run,
            reason=f"packages can't hold the network {model.name}",
            remedy="export a run of --network veloxseg or nca",
        )
    scores = run / "evaluation" / "scores.json"
    content = {**model.card.content, "scores": records.read(scores) if scores.exists() else []}
    warning = cards.warning(content["scores"])
    if warning:
        content["limits"] = [warning.text, *content["limits"]]
    folder = run / "example"
    target = (output or run / "package") / model.card.id
    archive = run / "package" / f"{model.card.package_name}.zip"
    for needed in (folder, target.parent, archive.parent):
        with files.typed_output_errors(needed):
            needed.mkdir(parents=True, exist_ok=True)
    example = photo_example(model, folder) if model.card.takes_photo else volume_example(model, data, folder)
    package_writer.write(target, model.state, content, example, {"LICENSE": license_text(model.card)})
    print(f"{target}: example Dice {packages.verify(target):.4f}")
    package_writer.pack(target, archive)
    if warning:
        print(warning.text, file=sys.stderr)
    print(f"{archive}: to be imported in the panel (Manage...) or with: veloxseg models import")
    return target


if __name__ == "__main__":
    command.run(export)
