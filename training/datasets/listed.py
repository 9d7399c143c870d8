"""A list of cases in a JSON or CSV file, wherever their images lie."""

from __future__ import annotations

import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from training.datasets import cards
from training.datasets.base import LABEL, DataSet, Found, Options, pair
from training.datasets.description import read_rows
from training.datasets.given_split import COLUMN, given_split
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError

OTHER_COLUMNS = ("id", "patient", COLUMN, LABEL)
MR_NAME = re.compile(r"t1|t2|flair|dwi|adc|pd|swi", re.IGNORECASE)
IMAGE_NAME = re.compile(r"[/\\]|\.(nii|nrrd|nhdr|mha|mhd|gz|hdr|img|dcm|dicom)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Listed(Options):
    """A list, JSON or CSV: columns id, patient and split (optional), one for each image, named CT, PET, T1 ..., and label.

    Split is train, validation or test. Images are files (NIfTI, NRRD, MetaImage) or folders with one DICOM series; paths may be
    relative to the list.
    """

    source: Path
    """The list, a .json or .csv file."""
    labels: tuple[str, ...]
    """Names of the label values 1, 2, 3 and so on."""
    spacing_mm: tuple[float, float, float]
    """Voxel size that the network works on, x y z in mm."""
    reference: str | None = None
    """Column of the image whose grid results have; the first one if not given."""
    card: Path | None = None
    """Static model card with the columns as images, instead of one that is made from the list."""

    def listing(self) -> DataSet:
        """Raises DATASET_FILE for a list that cannot be used and DATASET_* as `pair`."""
        rows = read_rows(self.source)
        roles = self._roles(rows)
        if not roles:
            raise VeloxSegError("DATASET_FILE", path=self.source, reason="it has no column with image files, such as CT or T1")
        wrong = [role for role in roles if cards.role_name(role) != role]
        if wrong:
            reason = f"the column {wrong[0]!r} has other characters than letters, digits, dashes and underscores"
            raise VeloxSegError("DATASET_FILE", path=self.source, reason=reason)
        patients = {row["id"]: row.get("patient", row["id"]) for row in rows}
        names = dict(enumerate(self.labels, start=1))
        card = self._card(roles, names)
        expected = dict.fromkeys([*roles, LABEL], f"in the list {self.source.name}")
        cases = pair(self._files(rows, roles), expected, self.source, patients.get)
        split = given_split(self.source, rows, patients)
        return DataSet(card, cards.groups(card), {value: value for value in names}, cases, split=split)

    def _card(self, roles: list[str], names: dict[int, str]) -> Card:
        """Raises DATASET_REFERENCE, or DATASET_FILE for a card of other images or labels."""
        reference = cards.reference(self.reference, roles)
        if self.card is None:
            return cards.made(self.source.stem, roles, reference, names, self.spacing_mm)
        card = cards.load(self.card, reference)
        found = {role.name for role in card.roles}, {label.value for label in card.labels}
        if found != (set(roles), set(names)):
            reason = f"its images or labels are not those of {self.source.name}"
            raise VeloxSegError("DATASET_FILE", path=self.card, reason=reason)
        return Card.of({**card.content, "spacing_mm": [float(step) for step in self.spacing_mm]})

    def _roles(self, rows: list[dict[str, str]]) -> list[str]:
        """The columns with images. Beside such, one like an age, which neither has nor names any, is left out aloud."""
        columns = [key for key in dict.fromkeys(itertools.chain(*rows)) if key not in OTHER_COLUMNS]
        roles = [column for column in columns if self._is_image(column, [row[column] for row in rows if column in row])]
        for column in columns if roles else ():
            if column not in roles:
                print(f"The column {column} of {self.source.name} names no image and is left out.", file=sys.stderr)
        return roles or columns

    def _is_image(self, column: str, cells: list[str]) -> bool:
        named = column.lower() in cards.MODALITY_NAMES or MR_NAME.match(column)
        return bool(named) or any(IMAGE_NAME.search(cell) or (self.source.parent / cell).exists() for cell in cells)

    def _files(self, rows: list[dict[str, str]], roles: list[str]) -> Iterable[Found]:
        """Raises an ExceptionGroup with DATASET_FILE for every file that is not there or stands in the list twice."""
        found = [
            Found(row["id"], part, self.source.parent / row[part]) for row in rows for part in (*roles, LABEL) if part in row
        ]
        times = Counter(file.path.resolve() for file in found)
        problems = [
            VeloxSegError("DATASET_FILE", path=self.source, reason=f"the {file.part} of {file.case} ({file.path}) {what}")
            for file in found
            for what, wrong in (
                ("does not exist", not file.path.exists()),
                ("stands in it more than once", times[file.path.resolve()] > 1),
            )
            if wrong
        ]
        if problems:
            raise ExceptionGroup(f"{self.source} is not usable", problems)
        return found
