"""Task `cases`: any prepared dataset (see prepare.py). Split, intensities, normalized arrays, patches, validation.

Arrays have the axes (x, y, z) of the working grid; images have one channel per role in the card's order in front.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from training import case_cache, planning, records
from training.augmentation import AUGMENTATIONS, MARGIN, beyond_plane, cut_field, read_region
from training.metrics import dice
from training.networks import BaselineConfig
from veloxseg import diffusion, files
from veloxseg.contract.card import Card
from veloxseg.contract.errors import Note, VeloxSegError, note
from veloxseg.contract.windows_plan import WindowPlan
from veloxseg.diffusion.ensemble import ENOUGH_CALLS
from veloxseg.imaging import images, intensities
from veloxseg.inference import windows
from veloxseg.networks import VeloxSegConfig
from veloxseg.networks.nca import NCA, NCAConfig

Network = VeloxSegConfig | NCAConfig | BaselineConfig
"""Settings of a network."""
LABEL = "label.nii.gz"
MOST_CENTERS = 5000
"""Voxels kept per label and case as possible patch centers."""
CONSEQUENCES = {"train": "nothing can learn it", "validation": "the best weights are not chosen by it",
                "test": "it is not scored"}  # fmt: skip
VALIDATION_OVERLAP = 0.25


@dataclass(frozen=True)
class CasesSettings:
    """Which prepared dataset, how it is split, and how patches are taken from it."""

    folder: Path = Path("data/prepared")
    """Folder that prepare.py wrote."""
    folds: int = 5
    """Equal parts of the patients; ignored when the dataset has a fixed split."""
    fold: int = 0
    """The part that is kept for testing; the next one validates."""
    split_seed: int = 2026
    patch_size: tuple[int, int, int] | None = None
    """Voxels; the dataset's suggestion when not given."""
    label_centered: float = 0.5
    """Share of patches centered on a labeled voxel, every label equally often."""
    augmentation: Literal["strong", "published"] = "strong"
    drop_modality: float = 0.1
    """Share of patches in which one image is missing (strong augmentation, two images or more)."""
    cut: float = 0.0
    """Share of patches whose case ends early on random sides, for cases that were cut out around what is looked for."""
    joined: float = 0.0
    """Share of patches that show another training case beyond a random plane, for the same reason."""


# ------------------------------------------------------------------------------------------------------------- split


def split(patients: dict[str, str], folds: int, fold: int, seed: int) -> dict[str, list[str]]:
    """Case ids for train, validation and test; `patients` names the patient of every case.

    All cases of a patient go to one side. Raises DATASET when there are fewer patients than folds.
    """
    names = sorted(set(patients.values()))
    if not 3 <= folds <= len(names) or not 0 <= fold < folds:
        raise VeloxSegError(
            "DATASET",
            path="the split",
            reason=f"{len(names)} patients can't be cut into {folds} folds with fold {fold} as test",
            remedy="choose --data.folds between 3 and the number of patients, and --data.fold below it",
        )
    shuffled = np.random.default_rng(seed).permutation(names)
    parts = [set(part) for part in np.array_split(shuffled, folds)]
    held_out = {"test": parts[fold], "validation": parts[(fold + 1) % folds]}
    sides = {side: sorted(c for c, p in patients.items() if p in part) for side, part in held_out.items()}
    used = {*sides["test"], *sides["validation"]}
    return {"train": sorted(set(patients) - used), **sides}


def fixed_split(ids: list[str], given: dict[str, list[str]]) -> dict[str, list[str]]:
    """The dataset's own validation and test cases; everything else trains."""
    missing = sorted({*given["validation"], *given["test"]} - set(ids))
    if missing:
        raise VeloxSegError("DATASET", path="the split", reason=f"case {missing[0]} is missing", remedy="run prepare.py again")
    parts = {part: given[part] for part in ("validation", "test")}
    return {"train": sorted(set(ids) - {*given["validation"], *given["test"]}), **parts}


# ------------------------------------------------------------------------------------------------------- intensities


def fit_intensity(spec: dict, values: np.ndarray) -> dict:
    """`clip_zscore` with the numbers of the published recipe: 0.5 and 99.5 percentile, then mean and deviation of what is left.

    values: image values over the labeled voxels of the training cases (specification section 7).
    """
    low, high = (float(v) for v in np.percentile(values, (0.5, 99.5)))
    clipped = np.clip(values.astype(np.float64), low, high)
    numbers = {"low": low, "high": high, "mean": clipped.mean(), "std": max(clipped.std(), 1e-8)}
    return {**spec, **{name: round(float(value), 4) for name, value in numbers.items()}}


def needs_fit(spec: dict) -> bool:
    return spec["kind"] == "clip_zscore" and "low" not in spec


# -------------------------------------------------------------------------------------------------------------- task


class Cases:
    """Random patches of the training cases: image (C, x, y, z) float32 as at inference, label (1, x, y, z) int64."""

    def __init__(self, settings: CasesSettings, total: int) -> None:
        """`total` patches will be asked for. Raises DATASET for a folder that can't be trained on."""
        self.settings, self.total = settings, total
        description = read_description(settings.folder)
        content, self.groups = description["card"], description["groups"]
        self.synthetic = description["synthetic"]
        self.size = settings.patch_size or tuple(description["patch_size"])
        self.split = split_of(description, settings)
        self.card = self._fitted(content)
        self.values = [label.value for label in self.card.labels]
        self.store = Store(settings.folder, self.card)
        for case in tqdm([*self.split["train"], *self.split["validation"]], desc="reading cases", leave=False):
            self.store.ensure(case)
        self.notes = self._absent_labels()
        self.augment = AUGMENTATIONS[settings.augmentation](
            self.size, self.store.empty(self.split["train"]), settings.drop_modality, self.card.mirrored_classes
        )

    def _fitted(self, content: dict) -> Card:
        """The card with the intensities that are measured on the training cases."""
        for role in content["roles"]:
            if needs_fit(role["intensity"]):
                values = [labeled_values(self.settings.folder, case, role["name"]) for case in self.split["train"]]
                values = np.concatenate(values)
                if not len(values):
                    raise unlabeled(self.settings.folder)
                role["intensity"] = fit_intensity(role["intensity"], values)
        return Card.of(content)

    def _absent_labels(self) -> list[Note]:
        """Raises DATASET when no training case has any label."""
        names = {label.value: label.name for label in self.card.labels}
        present = {part: [{self.values[number - 1] for number in np.unique(self.store.load(case)[2][:, 3])} for case in cases]
                   for part, cases in self.split.items() if part != "test"}  # fmt: skip
        if not any(present["train"]):
            raise unlabeled(self.settings.folder)
        folders = [self.settings.folder / "cases" / case for case in self.split["test"]]
        present["test"] = [set(np.unique(read_label(folder)).tolist()) for folder in folders]
        return absent_labels(present, names)

    def adapt(self, network: Network) -> Network:
        """The network's settings with the channels, classes and patch size of the data. Raises DATASET where they don't fit."""
        channels, classes = planning.branches(self.groups), len(self.values) + 1
        try:
            if isinstance(network, NCAConfig):
                return replace(network, spatial_dim=3, in_ch=sum(channels), n_classes=classes)
            return planning.fitted(network, self.size, channels, classes)
        except ValueError as error:
            raise VeloxSegError(
                "DATASET",
                path=self.settings.folder,
                reason=f"no network fits: {error}",
                remedy="choose another --data.patch-size or other settings of the network",
            ) from error

    def describe(self) -> dict:
        """data.json of a run: what evaluation and export need to know about the data."""
        folder = str(self.settings.folder.resolve())
        return {
            "card": self.card.content,
            "groups": self.groups,
            "split": self.split,
            "folder": folder,
            "synthetic": self.synthetic,
            "patch_size": list(self.size),
        }

    def patch(self, _index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One random patch; a pure function of the generator's state."""
        image, label = self._region(rng)
        if rng.random() < self.settings.joined:
            beyond = beyond_plane(label.shape[1:], rng)
            for array, other in zip((image, label), self._region(rng), strict=True):
                np.copyto(array, other, where=beyond)
        self.augment.set_random_state(int(rng.integers(2**31)))
        data = self.augment({"image": torch.from_numpy(image), "label": torch.from_numpy(label)})
        return data["image"].numpy(), data["label"].numpy().astype(np.int64)

    def _region(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Image and label, float32 (C, x, y, z), of a place in a training case, with room for turning it."""
        case = self.split["train"][rng.integers(len(self.split["train"]))]
        image, label, centers = self.store.load(case)
        size = [round(n * MARGIN) for n in self.size]
        center, field = self._center(rng, centers, label.shape[1:]), None
        if rng.random() < self.settings.cut:
            field = cut_field(label.shape[1:], rng)
        return tuple(
            read_region(array, center, size, outside, field).astype(np.float32)
            for array, outside in ((image, self.store.empty([case])), (label, [0]))
        )

    def _center(self, rng, centers: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        if len(centers) and rng.random() < self.settings.label_centered:
            label = rng.choice(np.unique(centers[:, 3]))
            of_label = centers[centers[:, 3] == label]
            return of_label[rng.integers(len(of_label)), :3]
        return np.array([rng.integers(n) for n in shape])

    def validate(self, network: torch.nn.Module, cases: list[str], device: torch.device) -> dict[str, float]:
        """Mean Dice over the labels of each of `cases` by sliding window, of a cellular automaton by a single member; NaN for a
        case that has no label and gets none."""
        if isinstance(network, NCA):
            network = diffusion.Member(network, diffusion.Sampling(1, ENOUGH_CALLS[network.config.prediction]), 0)
        return {case: self._validate(network, case, device) for case in cases}

    def _validate(self, network, case: str, device: torch.device) -> float:
        image, label, _ = self.store.load(case)
        plan, empty = WindowPlan(self.size, VALIDATION_OVERLAP), list(map(windows.Empty, self.store.empty([case])))
        volume = torch.from_numpy(image.astype(np.float32))
        logits = windows.sliding_window(network, volume, plan, empty, len(self.values) + 1, device)
        found = logits.argmax(0).numpy()
        scores = [dice(found == k, label[0] == k) for k in range(1, len(self.values) + 1)]
        return float(np.nanmean(scores)) if not np.isnan(scores).all() else float("nan")


class Store:
    """Normalized cases as float16 .npy files beside the dataset, memory-mapped: workers share the pages, any size fits."""

    def __init__(self, folder: Path, card: Card) -> None:
        self.folder, self.card = folder, card
        parts = card.spacing_mm, card.content["labels"], [role.intensity for role in card.roles]
        key = json.dumps(parts, sort_keys=True)
        self.cache = folder / "cache" / hashlib.sha256(key.encode()).hexdigest()[:12]

    def ensure(self, case: str) -> None:
        """Normalizes a case that isn't stored yet, or whose files have changed since."""
        names = [*(f"{role.name}.nii.gz" for role in self.card.roles), LABEL]
        sources = [self.folder / "cases" / case / name for name in names]
        case_cache.ensure(self.cache, case, sources, lambda: (self.load(case), self.empty([case])), lambda: self._make(case))

    def _make(self, case: str) -> None:
        image, label, empty = self._normalized(case)
        case_cache.save_array(self.cache / f"{case}-image.npy", image.astype(np.float16))
        case_cache.save_array(self.cache / f"{case}-label.npy", label)
        with files.replacing(self.cache / f"{case}.npz") as path:
            np.savez(path, centers=label_centers(label[0]), empty=np.array(empty))

    def _normalized(self, case: str) -> tuple[np.ndarray, np.ndarray, list[float]]:
        folder = self.folder / "cases" / case
        channels, empty = [], []
        for role in self.card.roles:
            path = folder / f"{role.name}.nii.gz"
            array = images.array_of(images.read(path, f"{role.name} ({path})"))
            channels.append(intensities.apply(role.intensity, array))
            empty.append(intensities.padding_value(role.intensity, channels[-1]))
        values = read_label(folder)
        known = [0, *(label.value for label in self.card.labels)]
        unknown = sorted(set(np.unique(values).tolist()) - set(known))
        if unknown:
            raise VeloxSegError(
                "DATASET",
                path=folder / LABEL,
                reason=f"it has the value {unknown[0]:g}, which is no label",
                remedy=f"use {', '.join(str(v) for v in known)}",
            )
        if any(channel.shape != values.shape for channel in channels):
            raise different_sizes(folder)
        classes = np.zeros(256, dtype=np.uint8)
        classes[known] = range(len(known))
        return np.stack(channels), classes[values.astype(np.uint8)][None], empty

    def load(self, case: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image (C, x, y, z) float16, classes (1, x, y, z) uint8, both memory-mapped; labeled voxels and class, (n, 4)."""
        with np.load(self.cache / f"{case}.npz", allow_pickle=False) as stored:
            centers = stored["centers"]
        return (
            np.load(self.cache / f"{case}-image.npy", mmap_mode="r"),
            np.load(self.cache / f"{case}-label.npy", mmap_mode="r"),
            centers,
        )

    def empty(self, cases: list[str]) -> list[float]:
        """Network input value of empty space per channel, averaged over cases."""
        values = []
        for case in cases:
            with np.load(self.cache / f"{case}.npz", allow_pickle=False) as stored:
                values.append(stored["empty"])
        return np.mean(values, axis=0).tolist()


def label_centers(label: np.ndarray) -> np.ndarray:
    """Voxels (x, y, z) and class of at most `MOST_CENTERS` voxels of every class of (x, y, z), int32 (n, 4)."""
    rng = np.random.default_rng(0)
    found = [np.zeros((0, 4), dtype=np.int32)]
    for number in np.unique(label[label > 0]):
        voxels = np.argwhere(label == number)
        voxels = voxels[rng.permutation(len(voxels))[:MOST_CENTERS]]
        found.append(np.c_[voxels, np.full(len(voxels), number)].astype(np.int32))
    return np.concatenate(found)


def split_of(description: dict, settings) -> dict[str, list[str]]:
    """Case ids for train, validation and test of a prepared dataset: its own split, or one by patient as the settings say.

    settings: `folder`, `folds`, `fold` and `split_seed`. Raises DATASET for a folder without cases and a split that can't be.
    """
    folder = settings.folder
    patients = {path.parent.name: records.read(path)["patient"] for path in sorted(folder.glob("cases/*/case.json"))}
    if not patients:
        raise VeloxSegError("DATASET", path=folder, reason="it holds no case", remedy="run prepare.py again")
    given = description["split"]
    sides = fixed_split(list(patients), given) if given else split(patients, settings.folds, settings.fold, settings.split_seed)
    for side, cases in sides.items():
        if not cases:
            raise VeloxSegError("DATASET", path=folder, reason=f"its split has no {side} case", remedy="correct its dataset.json")
    return sides


def read_description(folder: Path) -> dict:
    """dataset.json of a prepared dataset. Raises DATASET when there is none or it can't be used."""
    return records.read(folder / "dataset.json")


def labeled_values(folder: Path, case: str, role: str) -> np.ndarray:
    """Values of an image over all labeled voxels of a case. Raises DATASET and the INPUT_* codes."""
    folder = folder / "cases" / case
    path = folder / f"{role}.nii.gz"
    image, label = images.array_of(images.read(path, f"{role} ({path})")), read_label(folder)
    if image.shape != label.shape:
        raise different_sizes(folder)
    return image[label > 0]


def read_label(folder: Path) -> np.ndarray:
    """The label (x, y, z) of a case's folder. Raises the INPUT_* codes."""
    return images.array_of(images.read_volume(folder / LABEL, f"label ({folder / LABEL})"))


def different_sizes(folder: Path) -> VeloxSegError:
    return VeloxSegError("DATASET", path=folder, reason="its images and label differ in size", remedy="prepare it again")


def unlabeled(folder: Path) -> VeloxSegError:
    return VeloxSegError("DATASET", path=folder, reason="no training case has a label", remedy="check the label files")


def absent_labels(present: dict[str, list[set[int]]], names: dict[int, str]) -> list[Note]:
    """What no training can learn, no validation can choose by or no test can score.

    present: part of the split -> the label values of each of its cases. names: value -> name.
    """
    found = []
    for part, cases in present.items():
        lacking = [name for value, name in names.items() if not any(value in case for case in cases)]
        if lacking:
            found.append(note("LABEL_ABSENT", labels=", ".join(lacking), part=part, consequence=CONSEQUENCES[part]))
    return found
