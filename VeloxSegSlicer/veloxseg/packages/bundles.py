"""The files of a package that are derived from its card: MONAI's metadata and inference settings, and the
card as text.

Our own code reads only the card. `configs/inference.json` lets MONAI's tools run the package; its steps are those of
`bundle_steps`, so that there is one preprocessing and one mask. Packages for photos have none: none of
MONAI's inferers is an ensemble of diffusions.
"""

import json
from pathlib import Path

import numpy as np
import torch

from veloxseg.contract import names
from veloxseg.contract.card import Card
from veloxseg.packages import cards
from veloxseg.packages.cards import CARD

METADATA, INFERENCE = "configs/metadata.json", "configs/inference.json"
EVALUATED = ("$", "@", "%", "__")
METADATA_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
MONAI_VERSION = "1.6.1"
NEEDED_BY_MONAI = {"pytorch-ignite": "0.5.5", "fire": "0.7.1", "nibabel": "5.4.2"}


def texts(card: Card) -> dict[str, str]:
    """Relative path -> text of every derived file."""
    derived = {METADATA: _json(metadata(card)), "docs/README.md": readme(card)}
    return derived if card.takes_photo else {**derived, INFERENCE: _json(inference(card))}


def foreign(folder: Path, card: Card) -> str:
    """Why MONAI's tools, which evaluate texts, would read something else than what this engine writes; "" when they would not."""
    derived = texts(card)
    for path in sorted((folder / CARD).parent.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == INFERENCE and name in derived and path.read_bytes() != derived[name].encode():
            return f"{name} is not the one that belongs to its card"
        if name not in {CARD, *derived} and not path.is_dir():
            return f"{names.shown(name)} is no file of a package"
    if _evaluated(metadata(card)) or ((folder / METADATA).is_file() and _evaluated(cards.read_json(folder, METADATA))):
        return f"{METADATA} has a text that would be evaluated"
    return ""


def _evaluated(content: object) -> bool:
    """Whether MONAI would take a text for code or a reference."""
    if isinstance(content, dict):
        return any(_evaluated(part) for pair in content.items() for part in pair)
    if isinstance(content, list):
        return any(map(_evaluated, content))
    return isinstance(content, str) and content.lstrip().startswith(EVALUATED)


def metadata(card: Card) -> dict:
    """MONAI's `configs/metadata.json` (schema 20240725)."""
    photo = card.takes_photo
    return {
        "schema": METADATA_SCHEMA,
        "version": card.version,
        "changelog": {card.version: "this version"},
        "monai_version": MONAI_VERSION,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {
            "veloxseg": card.content["engine_version"].removeprefix(">="),
            **({} if photo else NEEDED_BY_MONAI),
        },
        "name": card.title,
        "task": card.task_title,
        "description": card.summary,
        "authors": "VeloxSegSlicer contributors",
        "copyright": f"See LICENSE ({card.license})",
        "data_source": card.content["training"]["data"],
        "data_type": "png" if photo else "nibabel",
        "intended_use": card.content["intended_use"],
        "references": card.content["citation"],
        "network_data_format": _photo_data_format(card) if photo else _volume_data_format(card),
    }


def _volume_data_format(card: Card) -> dict:
    size = card.window.size
    modality = "+".join(role.modality for role in card.roles)
    channels = [role.title for role in card.roles]
    classes = ["background", *(label.name for label in card.labels)]
    return {
        "inputs": {"image": _data_format({"format": "magnitude", "modality": modality}, channels, size, [], True)},
        "outputs": {"pred": _data_format({"format": "segmentation"}, classes, size, [0, 1], True)},
    }


def _photo_data_format(card: Card) -> dict:
    """The whole photo in its square, and the probability of the label there."""
    size = [card.working_size] * 2
    image = {"format": "magnitude", "modality": card.roles[0].modality}
    return {
        "inputs": {"image": _data_format(image, ["Red", "Green", "Blue"], size, [-1, 1], False)},
        "outputs": {"pred": _data_format({"format": "segmentation"}, [card.labels[0].name], size, [0, 1], False)},
    }


def _data_format(kind: dict, channels: list[str], size: list[int], value_range: list[int], is_patch: bool) -> dict:
    return {
        "type": "image",
        **kind,
        "num_channels": len(channels),
        "spatial_shape": size,
        "dtype": "float32",
        "value_range": value_range,
        "is_patch_data": is_patch,
        "channel_def": {str(number): name for number, name in enumerate(channels)},
    }


def inference(card: Card) -> dict:
    """`configs/inference.json` for MONAI's bundle tools. A case is the list of its images in role order."""
    steps = "veloxseg.bundle_steps."
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/example'",
        # not in the package, whose manifest would no longer hold
        "output_dir": "eval",
        "datalist": [{"image": [f"$@dataset_dir + '/{role.name}.nii.gz'" for role in card.roles]}],
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {"_target_": steps + "network", "package": "@bundle_root"},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": steps + "Prepare", "package": "@bundle_root"}],
        },
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": {
            "_target_": steps + "Windows",
            "package": "@bundle_root",
            "overlap": card.window.overlap,
            "device": "cpu",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": steps + "Mask", "package": "@bundle_root"},
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_postfix": "seg",
                    "output_ext": ".nii.gz",
                    "output_dtype": "uint8",
                    "resample": False,
                    "separate_folder": False,
                },
            ],
        },
        "handlers": [],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
    }


def readme(card: Card) -> str:
    """The card for people, as Markdown."""
    demo = ["**Demonstration only:** these weights were not trained on patient images.", ""] if card.level == "demo" else []
    lines = [
        f"# {card.title} {card.version}",
        "",
        *demo,
        card.summary,
        "",
        "## Inputs",
        "",
        "| Role | Modality | Unit | |",
        "|---|---|---|---|",
        *(f"| {role.title} | {role.modality} | {role.unit or '-'} | {role.description} |" for role in card.roles),
        "",
        _working_line(card),
        "",
        "## Labels",
        "",
        "| Value | Name |",
        "|---|---|",
        *(f"| {label.value} | {label.name} |" for label in card.labels),
        "",
        "## Scores",
        "",
        *_score_lines(card.content["scores"]),
        "",
        "## Training",
        "",
        *(f"- {key.replace('_', ' ')}: {value}" for key, value in card.content["training"].items()),
        "",
        "## Use",
        "",
        f"Intended: {card.content['intended_use']}",
        "",
        f"Not for: {card.content['not_for']}",
        "",
        *(f"- {limit}" for limit in card.content["limits"]),
        "",
        "## Licence and citation",
        "",
        f"{card.license}",
        "",
        *(f"- {entry}" for entry in card.content["citation"]),
        "",
    ]
    return "\n".join(lines)


def _working_line(card: Card) -> str:
    if not card.takes_photo:
        line = f"The network works on a grid of {_by(card.spacing_mm)} mm with windows of {_by(card.window.size)} voxels."
    else:
        line = f"The network sees the whole photo in a square of {card.working_size} pixels."
    if not card.has_ensemble:
        return line
    sampling = card.sampling
    return (
        f"{line} The mask is joined from an ensemble of {sampling['members']} members ({sampling['fusion']}), "
        f"each of {sampling['calls']} call(s) of the network ({sampling['method']})."
    )


def _score_lines(scores: list[dict]) -> list[str]:
    if not scores:
        return ["None measured."]
    return [
        "| Score | Value | 95 % interval | Baseline | n | Data |",
        "|---|---|---|---|---|---|",
        *(_score_line(score) for score in scores),
    ]


def _score_line(score: dict) -> str:
    interval, baseline = score.get("interval_95"), score.get("baseline")
    between = f"{interval[0]:.3f}-{interval[1]:.3f}" if interval else "-"
    beside = f"{baseline['name']}: {baseline['value']:.3f}" if baseline else "-"
    data = score["data"] + (" (synthetic)" if score["synthetic"] else "")
    return f"| {score['name']} | {score['value']:.3f} | {between} | {beside} | {score['n']} | {data} |"


def _by(numbers: list) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
