"""Which cases are scored: the test or validation cases of a run or of a prepared dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training import records
from training.cases import read_description
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError

SEED = 2026
By = tuple[Path, str]
"""A list of cases (CSV or JSON with a column id) and the name of a column."""


@dataclass(frozen=True)
class Cases:
    """Cases of a prepared dataset: its card, folder, the ids to score, and how to name them in a score."""

    card: Card
    folder: Path
    ids: list[str]
    which: str
    synthetic: bool

    @property
    def name(self) -> str:
        return f"{self.card.content['training']['data']}; {self.which} cases of {self.folder.name}"

    def path(self, case: str, file: str) -> Path:
        return self.folder / "cases" / case / file


def cases_of_run(run: Path, which: str) -> Cases:
    """The test or validation cases of a run, from its data.json. Raises DATASET for a run on no prepared dataset."""
    data = records.read(run / "data.json")
    if data["folder"] is None:
        raise problem(run, "it was not trained on a prepared dataset", "brain regions have training/evaluate_heads.py")
    return Cases(Card.of(data["card"]), Path(data["folder"]), data["split"][which], which, data["synthetic"])


def cases_of_dataset(folder: Path, which: str) -> Cases:
    """The test or validation cases of a dataset with a fixed split; all cases of one without."""
    description = read_description(folder)
    split = description["split"]
    if split is None:
        ids, which = sorted(path.parent.name for path in folder.glob("cases/*/case.json")), "all"
    else:
        ids = split[which]
    return Cases(Card.of(description["card"]), folder, ids, which, description["synthetic"])


def problem(path: Path, reason: str, remedy: str) -> VeloxSegError:
    return VeloxSegError("DATASET", path=path, reason=reason, remedy=remedy)
