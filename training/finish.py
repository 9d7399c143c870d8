"""What follows a training: evaluation, model package, report sheet. And the data of the smoke test."""

from __future__ import annotations

from pathlib import Path

from training import evaluate, evaluate_heads, evaluate_structures, export, prepare, records, report, report_photos, scored_cases
from training.datasets.phantom import Phantom

CARDS = Path(__file__).parent / "cards"
SMOKE = {"smoke": ("petct", CARDS / "smoke.json"), "skin-smoke": ("dermoscopy", CARDS / "skin-lesion-nca-demo.json")}
"""Kind of phantom and card of the configurations that make their own data."""


def finish(run: Path, card: Path | None = None, score: str = "test") -> None:
    """Scores a finished run on its test or validation cases, writes its package (not of a baseline) and report.png.

    card: static part of the model card, to be used instead of the dataset's own.
    """
    on_cases = records.read(run / "data.json")["folder"] is not None
    model = export.load_run(run, card)
    if on_cases:
        evaluate.evaluate(model, scored_cases.cases_of_run(run, score), run / "evaluation")
        print((run / "evaluation" / "summary.txt").read_text(encoding="utf-8"))
    elif model.card.task_id == "brain-structures":
        evaluate_structures.main(run)
    else:
        evaluate_heads.main(run)
    if export.can_be_packaged(model):
        export.export(run, card)
    (report_photos if model.card.takes_photo else report).draw(run)


def smoke_dataset(name: str, folder: Path) -> None:
    """Ten phantoms (synthetic) for the configuration `name`."""
    kind, card = SMOKE[name]
    seeds = {"train": (1, 7), "validation": (50, 52), "test": (60, 62)}
    prepare.prepare(Phantom(output=folder, kind=kind, card=card, workers=2, **seeds))
