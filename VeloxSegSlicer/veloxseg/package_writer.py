"""Writing, zipping and importing model packages."""

import contextlib
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from PIL import Image
from safetensors.torch import save_file

from veloxseg import bundles, files, images
from veloxseg.errors import VeloxSegError
from veloxseg.networks import load_weights
from veloxseg.packages import (
    CARD,
    EXPECTED,
    MANIFEST,
    WEIGHTS,
    ModelPackage,
    build_network,
    check_card,
    check_manifest,
    dry_run,
    is_unsafe_name,
    read,
)

LARGEST_PACKAGE_BYTES = 2 << 30
MOST_FILES = 1000
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
ZIP_READING_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


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
    card: dict,
    example: Example,
    extra_files: Mapping[str, bytes],
) -> Path:
    """Write a package as a folder, or as a zip when the destination ends in `.zip`; an older one is replaced.

    state_dict: weights, with or without the training-only branches, which are left out. card: content of
    configs/velox.json; `weights_sha256` is filled in. extra_files: relative path -> content, `LICENSE` at
    least. Raises MODEL_SCHEMA for an invalid card, ValueError for weights that do not fit, DISK_FULL,
    OUTPUT_UNWRITABLE.
    """
    destination = Path(destination)
    if "LICENSE" not in extra_files:
        raise ValueError("a package needs a LICENSE file in extra_files")
    if destination.suffix != ".zip":
        with _replacing_folder(destination) as folder:
            _fill(folder, state_dict, card, example, extra_files)
        return destination
    with _replacing_folder(destination.with_suffix("")) as folder:
        _fill(folder, state_dict, card, example, extra_files)
        pack(folder, destination)
        shutil.rmtree(folder)
    return destination


def _fill(
    folder: Path,
    state_dict: Mapping[str, torch.Tensor],
    card: dict,
    example: Example,
    extra_files: Mapping[str, bytes],
) -> None:
    for name in ("configs", "models", "docs", "example"):
        (folder / name).mkdir()
    card = {**card, "weights_sha256": _write_weights(folder / WEIGHTS, state_dict, card)}
    check_card(card, card["id"])
    files.write_json(folder / CARD, card)
    for name, text in bundles.texts(card).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        files.write_text(folder / name, text)
    _write_example(folder, example)
    for name, content in extra_files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    write_manifest(folder)


def _write_weights(path: Path, state_dict: Mapping[str, torch.Tensor], card: dict) -> str:
    network = build_network(card)
    load_weights(network, state_dict)
    # half precision and no derived buffers: packages are kept in git and downloaded
    save_file({key: value.detach().half().contiguous() for key, value in network.named_parameters()}, path)
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


def import_zip(archive: Path, models_folder: Path) -> ModelPackage:
    """Unpack, verify and dry-run a package, then put it at `models_folder/<id>`, replacing an older one.

    Refused: names that leave the folder, links, encrypted or doubled entries, more than 2 GiB or 1000 files.
    On any failure nothing is left and an older package stays. Raises MODEL_MISSING, MODEL_CORRUPT, the other
    MODEL_* codes, OUTPUT_UNWRITABLE, DISK_FULL.
    """
    archive, models_folder = Path(archive), Path(models_folder)
    if not archive.is_file():
        raise VeloxSegError("MODEL_MISSING", path=archive)
    unpacked = files.partial_name(models_folder / "package")
    try:
        with files.typed_output_errors(models_folder):
            models_folder.mkdir(parents=True, exist_ok=True)
            unpacked.mkdir()
            _unpack(archive, unpacked)
        package = read(_package_root(unpacked, archive))
        check_manifest(package)
        dry_run(package)
        target = models_folder / package.card["id"]
        with _replacing_folder(target) as folder:
            folder.rmdir()
            package.folder.rename(folder)
        return ModelPackage(target, package.card)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as source:
            entries = [entry for entry in source.infolist() if not entry.is_dir()]
            _check_entries(entries, archive.name)
            for entry in entries:
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with source.open(entry) as packed, open(target, "xb") as file:
                    shutil.copyfileobj(packed, file)
    except ZIP_READING_ERRORS as error:
        raise VeloxSegError(
            "MODEL_CORRUPT", model=archive.name, reason="it is no intact zip file", detail=str(error)
        ) from error


def _check_entries(entries: list[zipfile.ZipInfo], name: str) -> None:
    # zipfile never gives out more bytes than an entry declares, so the declared sizes are a safe bound.
    problems = {
        "it has a file name that leaves the package": any(
            is_unsafe_name(entry.filename) for entry in entries
        ),
        "it has a link": any(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries),
        "it is encrypted": any(entry.flag_bits & 1 for entry in entries),
        "it has two files of one name": len({entry.filename.lower() for entry in entries}) < len(entries),
        "it is too large when unpacked": len(entries) > MOST_FILES
        or sum(entry.file_size for entry in entries) > LARGEST_PACKAGE_BYTES,
    }
    for problem, found in problems.items():
        if found:
            raise VeloxSegError("MODEL_CORRUPT", model=name, reason=problem)


def _package_root(folder: Path, archive: Path) -> Path:
    """The unpacked package: the folder itself or the one folder in it."""
    if (folder / CARD).is_file():
        return folder
    inner = [path.parent.parent for path in folder.glob(f"*/{CARD}")]
    if len(inner) != 1:
        raise VeloxSegError("MODEL_CORRUPT", model=archive.name, reason=f"{CARD} is missing")
    return inner[0]


@contextlib.contextmanager
def _replacing_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder to fill; on success it takes the place of `target`, on failure the old one stays.

    If the block removes the folder, `target` stays as it is.
    """
    partial, old = files.partial_name(target), files.partial_name(target)
    try:
        with files.typed_output_errors(target):
            partial.mkdir(parents=True)
            yield partial
            if not partial.exists():
                return
            if target.exists():
                os.replace(target, old)
            try:
                os.replace(partial, target)
            except OSError:
                if old.exists():
                    os.replace(old, target)
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
