"""Small cases that several engine tests share: a card, a thresholding stand-in network, a tiny package,
images."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import SimpleITK as sitk
import torch

from veloxseg.contract.card import Card
from veloxseg.imaging import images
from veloxseg.inference import devices
from veloxseg.networks import VeloxSeg
from veloxseg.packages import package_writer

PARITY = Path(__file__).resolve().parent.parent / "Data" / "veloxseg_parity"
WINDOW = (32, 32, 32)


def label(value, name="Thing", color=(200, 80, 80)):
    return {
        "value": value,
        "name": name,
        "color": list(color),
        "terminology": {
            "category": ["SCT", "123037004", "Anatomical Structure"],
            "type": ["SCT", "85756007", "Tissue"],
            "type_modifier": None,
            "region": None,
        },
    }


def role(name="T1", modality="MR", reference=True, intensity=None):
    return {
        "name": name,
        "title": name,
        "modality": modality,
        "kind": "scalar",
        "unit": None,
        "reference": reference,
        "description": "",
        "patterns": [],
        "intensity": intensity or {"kind": "zscore_foreground"},
    }


def tiny_arguments(n_classes=2, channels=1):
    """Arguments of a VeloxSeg of half a million parameters for windows of 32^3."""
    config = json.loads((PARITY / "tiny.json").read_text())["config"]
    return {**config, "n_classes": n_classes, "in_ch": [1] * channels}


def card(roles=None, labels=None, spacing=(2.0, 2.0, 2.0), **changes):
    roles, labels = roles or [role()], labels or [label(1)]
    return {
        "schema_version": 1,
        "id": "tiny-test",
        "title": "Tiny test",
        "version": "1.0.0",
        "task": {"id": "test", "title": "Test"},
        "summary": "For tests.",
        "level": "demo",
        "engine_version": ">=0.1",
        "architecture": {"name": "VeloxSeg", "arguments": tiny_arguments(len(labels) + 1, len(roles))},
        "roles": roles,
        "spacing_mm": list(spacing),
        "window": {"overlap": 0.25, "blend": "gaussian"},
        "smoothing_mm": 0.0,
        "lesions": False,
        "threshold": 0.5,
        "labels": labels,
        "training": {"data": "none", "data_license": "none", "command": "none", "seed": 1},
        "scores": [],
        "intended_use": "tests",
        "not_for": "anything else",
        "limits": [],
        "license": "Apache-2.0",
        "citation": [],
        "weights_sha256": "0" * 64,
        **changes,
    }


def thresholding(levels, sharpness=40.0):
    """Stand-in network: class k where channel 0 lies nearest to levels[k]; sharp but differentiable at the
    border."""

    def network(x):
        distances = torch.stack([(x[:, 0] - level).abs() for level in levels], dim=1)
        return -sharpness * distances

    return network


def stand_in(the_card, network):
    return SimpleNamespace(card=Card.of(the_card), network=lambda device: network)


class FakeCard(devices.Device):
    """A graphics card that computes on the CPU."""

    is_cpu = False


class ShortOfMemory:
    """A network that runs out of memory the first times, whoever calls it."""

    failures = 0

    def __init__(self, network):
        self.relative = getattr(network, "relative", False)
        self._network = network

    def __call__(self, windows):
        if ShortOfMemory.failures:
            ShortOfMemory.failures -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return self._network(windows)


def blob_image(size=(40, 44, 36), spacing=(2.0, 2.0, 2.0), seed=0):
    """A head-like ellipsoid with noise in air, as float32."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.7
    array = (inside * (100 + 20 * axes[0]) + rng.normal(0, 2, size)).astype(np.float32)
    origin = tuple(-(n - 1) / 2 * s for n, s in zip(size, spacing, strict=True))
    return images.image_of(array, images.Grid(size, spacing, origin))


def write_image(image, path):
    sitk.WriteImage(image, str(path))
    return path


def tiny_package(folder, **changes):
    """A real package with a randomly initialized tiny VeloxSeg whose example is its own answer."""
    the_card = card(**changes)
    torch.manual_seed(0)
    network = VeloxSeg(**{**the_card["architecture"]["arguments"], "teachers": False, "deep_supervision": False})
    network.half().float()  # packages hold half precision
    example = {entry["name"]: blob_image((24, 20, 22), seed=number) for number, entry in enumerate(the_card["roles"])}
    mask = own_answer(the_card, network.eval(), example)
    package_writer.write(
        folder,
        network.state_dict(),
        the_card,
        package_writer.Example(example, mask),
        {"LICENSE": b"Apache-2.0\n"},
    )
    return folder


def own_answer(the_card, network, volumes):
    from veloxseg.inference import pipeline

    own = Card.of(the_card)
    prepared = pipeline.prepare(own, volumes)
    classes = pipeline.probabilities(own, network, prepared, "cpu", own.window)
    grid = images.grid_of(volumes[own.reference.name])
    mask, _ = pipeline.mask_on(own, classes, prepared.grid, grid)
    return images.image_of(mask, grid)


def inputs_hash(folder):
    """SHA-256 of every file of a folder, to prove that nothing was touched."""
    from veloxseg import files

    return {path.name: files.sha256(path) for path in sorted(Path(folder).rglob("*")) if path.is_file()}
