"""The files of a package that are derived from its card: MONAI's metadata and inference settings, and the
card as text.

Our own code reads only the card. `configs/inference.json` and `scripts/` let MONAI's tools run the package;
they call the same engine functions, so that there is one preprocessing.
"""

import json

import numpy as np
import torch

METADATA_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
MONAI_VERSION = "1.4.0"

NETWORK_SCRIPT = '''"""For MONAI's tools: the package's network."""

from pathlib import Path

from veloxseg.packages import read


def network():
    """The network with its weights, in eval mode."""
    return read(Path(__file__).resolve().parent.parent).network()
'''

TRANSFORM_SCRIPT = '''"""For MONAI's tools: the package's intensities on images that are already on the
working grid."""

from pathlib import Path

import torch

from veloxseg import intensities
from veloxseg.packages import read


def normalise(image):
    """Image (C, x, y, z) in image units, channels in role order -> network input of the same shape."""
    roles = read(Path(__file__).resolve().parent.parent).card["roles"]
    channels = [intensities.apply(role["intensity"], image[c].numpy()) for c, role in enumerate(roles)]
    return torch.stack([torch.from_numpy(channel) for channel in channels])
'''


def texts(card: dict) -> dict[str, str]:
    """Relative path -> text of every derived file."""
    return {
        "configs/metadata.json": _json(metadata(card)),
        "configs/inference.json": _json(inference(card)),
        "scripts/__init__.py": "",
        "scripts/net.py": NETWORK_SCRIPT,
        "scripts/transforms.py": TRANSFORM_SCRIPT,
        "docs/README.md": readme(card),
    }


def metadata(card: dict) -> dict:
    """MONAI's `configs/metadata.json` (schema 20240725)."""
    size = card["architecture"]["arguments"]["input_size"]
    classes = ["background", *(label["name"] for label in card["labels"])]
    return {
        "schema": METADATA_SCHEMA,
        "version": card["version"],
        "changelog": {card["version"]: "this version"},
        "monai_version": MONAI_VERSION,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"veloxseg": card["engine_version"].removeprefix(">=")},
        "name": card["title"],
        "task": card["task"]["title"],
        "description": card["summary"],
        "authors": "VeloxSegSlicer contributors",
        "copyright": f"See LICENSE ({card['license']})",
        "data_source": card["training"]["data"],
        "data_type": "nibabel",
        "intended_use": card["intended_use"],
        "references": card["citation"],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": "+".join(role["modality"] for role in card["roles"]),
                    "num_channels": len(card["roles"]),
                    "spatial_shape": size,
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {str(number): role["title"] for number, role in enumerate(card["roles"])},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": len(classes),
                    "spatial_shape": size,
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": True,
                    "channel_def": {str(number): name for number, name in enumerate(classes)},
                }
            },
        },
    }


def inference(card: dict) -> dict:
    """`configs/inference.json` for MONAI's bundle tools: one image per case, roles as channels on one
    grid."""
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/example'",
        "output_dir": "$@bundle_root + '/eval'",
        "datalist": [{"image": [f"$@dataset_dir + '/{role['name']}.nii.gz'" for role in card["roles"]]}],
        "device": "$__import__('torch').device('cuda' if __import__('torch').cuda.is_available() else 'cpu')",
        "network_def": "$from scripts.net import network",
        "network": "$@network_def().to(@device)",
        "normalise": "$from scripts.transforms import normalise",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "LPS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": card["spacing_mm"], "mode": "bilinear"},
                {"_target_": "Lambdad", "keys": "image", "func": "@normalise"},
                {
                    "_target_": "CropForegroundd",
                    "keys": "image",
                    "source_key": "image",
                    "select_fn": "$lambda image: image > image.amin(dim=(1, 2, 3), keepdim=True)",
                    "allow_smaller": True,
                },
                {"_target_": "EnsureTyped", "keys": "image"},
            ],
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
            "_target_": "SlidingWindowInferer",
            "roi_size": card["architecture"]["arguments"]["input_size"],
            "sw_batch_size": 1,
            "overlap": card["window"]["overlap"],
            "mode": card["window"]["blend"],
            "device": "cpu",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "GaussianSmoothd",
                    "keys": "pred",
                    "sigma": [card["smoothing_mm"] / step for step in card["spacing_mm"]],
                },
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                    "to_tensor": True,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
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


def readme(card: dict) -> str:
    """The card for people, as Markdown."""
    demo = (
        ["**Demonstration only:** these weights were not trained on patient images.", ""]
        if card["demo"]
        else []
    )
    lines = [
        f"# {card['title']} {card['version']}",
        "",
        *demo,
        card["summary"],
        "",
        "## Inputs",
        "",
        "| Role | Modality | Unit | |",
        "|---|---|---|---|",
        *(
            f"| {role['title']} | {role['modality']} | {role['unit'] or '-'} | {role['description']} |"
            for role in card["roles"]
        ),
        "",
        f"The network works on a grid of {_by(card['spacing_mm'])} mm with windows of "
        f"{_by(card['architecture']['arguments']['input_size'])} voxels.",
        "",
        "## Labels",
        "",
        "| Value | Name |",
        "|---|---|",
        *(f"| {label['value']} | {label['name']} |" for label in card["labels"]),
        "",
        "## Scores",
        "",
        *_score_lines(card["scores"]),
        "",
        "## Training",
        "",
        *(f"- {key.replace('_', ' ')}: {value}" for key, value in card["training"].items()),
        "",
        "## Use",
        "",
        f"Intended: {card['intended_use']}",
        "",
        f"Not for: {card['not_for']}",
        "",
        *(f"- {limit}" for limit in card["limits"]),
        "",
        "## Licence and citation",
        "",
        f"{card['license']}",
        "",
        *(f"- {entry}" for entry in card["citation"]),
        "",
    ]
    return "\n".join(lines)


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
