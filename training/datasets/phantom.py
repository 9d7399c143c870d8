"""Synthetic cases of veloxseg.phantoms, with a fixed split by seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import SimpleITK as sitk

from training.datasets import cards
from training.datasets.base import LABEL, Case, DataSet, Loaded, LoadedPhoto, Options
from veloxseg import phantoms
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError


@dataclass(frozen=True)
class PhantomCase(Case):
    """A case that is generated when it is loaded."""

    kind: str = ""
    seed: int = 0

    def load(self, card: Card) -> Loaded | LoadedPhoto:
        case = phantoms.generate_case(self.kind, self.seed)
        if card.takes_photo:
            return LoadedPhoto(case.rgb, case.lesion, case.parameters)
        files = phantoms.PHANTOMS[self.kind].files
        volumes: dict[str, sitk.Image] = {Path(name).stem: getattr(case, attribute) for name, attribute in files.items()}
        label = volumes.pop(LABEL)
        return Loaded({role.name: volumes[role.name] for role in card.roles}, label, case.parameters)


@dataclass(frozen=True, kw_only=True)
class Phantom(Options):
    """Synthetic cases by kind and seed; nothing here is a patient."""

    kind: Literal[tuple(phantoms.PHANTOMS)]
    """Which phantom."""
    card: Path
    """Static model card whose roles are the phantom's images, for example training/cards/petct-lesions-demo.json."""
    train: tuple[int, int]
    """First and one past the last seed of the training cases."""
    validation: tuple[int, int]
    """First and one past the last seed of the cases that choose the best weights."""
    test: tuple[int, int]
    """First and one past the last seed of the cases that are scored."""

    def listing(self) -> DataSet:
        """Raises DATASET_FILE for a card that wants other images and DATASET_SPLIT for seeds in two parts."""
        card = cards.load(self.card)
        files = phantoms.PHANTOMS[self.kind].files
        images = {"Photo"} if "photo.png" in files else {Path(name).stem for name in files}
        for role in card.roles:
            if role.name not in images:
                raise VeloxSegError(
                    "DATASET_FILE", path=self.card, reason=f"the phantom {self.kind} has no image for its role {role.name}"
                )
        parts = {part: range(*getattr(self, part)) for part in ("train", "validation", "test")}
        seeds = [seed for part in parts.values() for seed in part]
        if len(set(seeds)) < len(seeds):
            raise VeloxSegError("DATASET_SPLIT", found=f"the seed {max(seeds, key=seeds.count)}")
        values = {label.value: label.value for label in card.labels}
        cases = [PhantomCase(self.name(s), self.name(s), {}, Path(self.name(s)), self.kind, s) for s in sorted(seeds)]
        split = {part: [self.name(seed) for seed in parts[part]] for part in ("validation", "test")}
        return DataSet(card, cards.groups(card), values, cases, synthetic=True, split=split)

    def name(self, seed: int) -> str:
        """Case id of a seed; also its patient."""
        return f"{self.kind}-{seed}"
