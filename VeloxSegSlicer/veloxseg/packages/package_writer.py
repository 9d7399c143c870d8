"""Writing and zipping model packages. The way back is `package_import`."""

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from PIL import Image
from safetensors.torch import save_file

from veloxseg import files
from veloxseg.contract.card import Card
from veloxseg.imaging import images
from veloxseg.networks import load_weights
from veloxseg.packages import bundles
from veloxseg.packages.cards import CARD, checked
from veloxseg.packages.packages import EXPECTED, MANIFEST, WEIGHTS, build_network

ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Example:
    """One small case: an image per role, the mask the package shall give, and the least mean Dice with it.

    Volumes and their mask are images; a photo is uint8 (y, x, 3) and its mask bool (y, x).
    """

    inputs: Mapping[str, sitk.Image | np.ndarray]
    mask: sitk.Image | np.ndarray
    dice_min: float = 0.99


def write(
    destination: Path,
    state_dict: Mapping[str, torch.Tensor],
    content: dict[str, Any],
    example: Example,
    extra_files: Mapping[str, bytes],
) -> Path:
    """Write a package as a folder, or as a zip when the destination ends in `.zip`; an older one is replaced.

    state_dict: weights, with or without the training-only branches, which are left out. content: of
    configs/velox.json; `weights_sha256` is filled in. extra_files: relative path -> content, `LICENSE` at
    least. Raises MODEL_SCHEMA for an invalid card, ValueError for weights that do not fit, DISK_FULL,
    OUTPUT_UNWRITABLE.
    """
    destination = Path(destination)
    if "LICENSE" not in extra_files:
        raise ValueError("a package needs a LICENSE file in extra_files")
    if destination.suffix != ".zip":
        with files.replacing_folder(destination) as folder:
            _fill(folder, state_dict, content, example, extra_files)
        return destination
    with files.replacing_folder(destination.with_suffix("")) as folder:
        _fill(folder, state_dict, content, example, extra_files)
        pack(folder, destination)
        shutil.rmtree(folder)
    return destination


def _fill(
    folder: Path,
    state_dict: Mapping[str, torch.Tensor],
    content: dict[str, Any],
    example: Example,
    extra_files: Mapping[str, bytes],
) -> None:
    for name in ("configs", "models", "docs", "example"):
        (folder / name).mkdir()
    weights_sha256 = _write_weights(folder / WEIGHTS, state_dict, Card.of(content))
    card = checked({**content, "weights_sha256": weights_sha256}, content["id"])
    files.write_json(folder / CARD, card.content)
    for name, text in bundles.texts(card).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        files.write_text(folder / name, text)
    _write_example(folder, example)
    for name, data in extra_files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    write_manifest(folder)


def _write_weights(path: Path, state_dict: Mapping[str, torch.Tensor], card: Card) -> str:
    network = build_network(card)
    load_weights(network, state_dict)
    # half precision and no derived buffers: packages are kept in git and downloaded
    state = {key: value.detach().half().contiguous() for key, value in network.named_parameters()}
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise ValueError("the weights have numbers that are not finite in half precision")
    save_file(state, path)
    return files.sha256(path)


def _write_example(folder: Path, example: Example) -> None:
    if isinstance(example.mask, np.ndarray):
        inputs, mask = _write_photo_example(folder / "example", example)
    else:
        inputs, mask = {role: f"{role}.nii.gz" for role in example.inputs}, "mask.nii.gz"
        for role, image in example.inputs.items():
            images.write(image, folder / "example" / inputs[role], compress=True)
        images.write(example.mask, folder / "example" / mask, compress=True)
    files.write_json(folder / EXPECTED, {"inputs": inputs, "mask": mask, "dice_min": example.dice_min})


def _write_photo_example(folder: Path, example: Example) -> tuple[dict[str, str], str]:
    ((role, photo),) = example.inputs.items()
    for name, pixels in (("photo.png", photo), ("mask.png", example.mask.astype(np.uint8) * 255)):
        with files.replacing(folder / name) as temporary:
            Image.fromarray(pixels).save(temporary, optimize=True)
    return {role: "photo.png"}, "mask.png"


def write_manifest(folder: Path) -> None:
    """List every file of the package with its SHA-256."""
    listed = {
        path.relative_to(folder).as_posix(): files.sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }
    files.write_json(folder / MANIFEST, {"files": listed})


def pack(folder: Path, archive: Path) -> None:
    """Zip a package folder; the same folder always gives the same bytes. Raises DISK_FULL,
    OUTPUT_UNWRITABLE."""
    with (
        files.replacing(archive) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            target.writestr(entry, path.read_bytes())
