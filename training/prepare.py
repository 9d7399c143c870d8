"""Prepare a data set for training: one folder of images anybody can open, whatever the data came as.

    python training/prepare.py autopet --source /data/FDG-PET-CT-Lesions --output prepared/autopet --workers 4
    python training/prepare.py --help

Every image is brought onto the working grid of its case's reference image by position, in physical units, and cut to the
foreground; photos keep their pixels; nothing is normalized. What is wrong with the list of files stops the run before anything
is written. What is wrong with a case's content is named at the end, and the other cases stay. Starting again goes on with the
missing cases; to prepare a case anew, delete its folder. `prepare.json` says how the cases were made; `dataset.json` is written
last.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import tyro
from tqdm import tqdm

from training import planning, records, versions
from training.datasets import cards, conversion
from training.datasets.autopet import AutoPet
from training.datasets.base import DataSet, Options
from training.datasets.brats import Brats
from training.datasets.hecktor import Hecktor
from training.datasets.isic import Isic
from training.datasets.listed import Listed
from training.datasets.msd import MsdBrainTumor
from training.datasets.nnunet import NnUnet
from training.datasets.phantom import Phantom
from training.lock import only_one, remove_partial
from veloxseg import files
from veloxseg.contract import csv_text, plausibility
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.service import children

CASES, HOW, DATASET, REPORT = "cases", "prepare.json", "dataset.json", "report.csv"
UNKNOWN_SIZE = (512, 512, 512)
"""Voxels per axis of a case while none is prepared."""
# These concern every further case as well.
FATAL = {"DISK_FULL", "OUTPUT_UNWRITABLE", "MEMORY_CPU", "SUV_PYDICOM"}
LAYOUTS = {
    "autopet": AutoPet,
    "hecktor": Hecktor,
    "brats": Brats,
    "msd-brain-tumor": MsdBrainTumor,
    "nnunet": NnUnet,
    "isic": Isic,
    "list": Listed,
    "phantom": Phantom,
}


def prepare(options: Options) -> list[conversion.Result]:
    """Prepare what `options` lists; returns the cases that could not be prepared.

    Raises VeloxSegError, or an ExceptionGroup of them, for problems of the listing before anything is written, and
    SystemExit with a sentence when going on with further cases makes no sense; finished cases stay.
    """
    data = options.listing()
    check_spacing(data.card)
    with only_one(options.output):
        return _prepare(options, data)


def _prepare(options: Options, data: DataSet) -> list[conversion.Result]:
    folder = options.output / CASES
    how = decisive(options, data)
    check_output(options.output, how, data)
    with files.typed_output_errors(options.output):
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial(folder)
    write_if_changed(options.output / HOW, as_json(how))
    todo = [
        conversion.Job(case, data.card, data.label_values, options.register, folder)
        for case in data.cases
        if not conversion.is_finished(folder, case.id)
    ]
    failed = []
    for result in tqdm(results(todo, options.workers), total=len(todo), desc="cases", disable=not todo):
        if result.code in FATAL:
            raise SystemExit(result.text)
        if result.code:
            failed.append(result)
    failed.sort(key=lambda result: result.case)
    write_if_changed(options.output / REPORT, report(folder, data, failed))
    write_dataset(options.output, data)
    return failed


def decisive(options: Options, data: DataSet) -> dict:
    """What all cases of a folder must have in common; wording and colors of a card may change."""
    roles = [{"name": role.name, "modality": role.modality, "reference": role.is_reference} for role in data.card.roles]
    return {
        "layout": type(options).__name__,
        "registration": options.register,
        "roles": roles,
        "spacing_mm": data.card.content["spacing_mm"],
        "labels": [label.value for label in data.card.labels],
        "label_values": [list(pair) for pair in data.label_values.items()],
    }


def check_spacing(card: Card) -> None:
    """Raises REQUEST for a working grid that no image has."""
    finest, coarsest = plausibility.SPACING_MM
    for step in card.spacing_mm or ():
        if not finest <= step <= coarsest:
            raise VeloxSegError("REQUEST", reason=f"--spacing-mm has {step:g}, and it goes from {finest:g} to {coarsest:g} mm")


def check_output(output: Path, how: dict, data: DataSet) -> None:
    """Raises DATASET_CHANGED, DATASET_STRAY or DATASET for an output folder that holds something else."""
    if (output / DATASET).is_file():
        records.read(output / DATASET)
    if (output / HOW).is_file():
        before = records.read(output / HOW)
        for setting, value in how.items():
            if before.get(setting) != value:
                raise VeloxSegError("DATASET_CHANGED", path=output, setting=setting)
    known = {case.id for case in data.cases}
    for path in sorted((output / CASES).glob("*/" + conversion.FACTS)):
        if path.parent.name not in known:
            raise VeloxSegError("DATASET_STRAY", path=output, case=path.parent.name)


def results(jobs: list[conversion.Job], workers: int) -> Iterator[conversion.Result]:
    """Results as they come. Raises MEMORY_CPU when the system ended a process."""
    if workers <= 1 or len(jobs) <= 1:
        yield from map(conversion.convert, jobs)
        return
    context = children.spawn_context()
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=one_thread) as pool:
        try:
            for future in as_completed([pool.submit(conversion.convert, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as error:
            raise VeloxSegError("MEMORY_CPU", detail=str(error)) from error
        finally:
            pool.shutdown(cancel_futures=True)


def one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def report(folder: Path, data: DataSet, failed: Iterable[conversion.Result]) -> str:
    """Table with one row per case: size, volumes of the labels (or shares of a photo), motions, notes on the files, or what is
    wrong."""
    problems = {result.case: result.text for result in failed}
    rows = []
    for case in data.cases:
        row = {"id": case.id, "patient": case.patient}
        if conversion.is_finished(folder, case.id):
            facts = records.read(folder / case.id / conversion.FACTS)
            row |= {f"size_{axis}": n for axis, n in zip("xyz", facts.get("size", ()))}
            for name, volumes in facts.get("label_ml", {}).items():
                row |= {f"{name} source ml": volumes["source"], f"{name} prepared ml": volumes["prepared"]}
            row |= {f"{name} share": share for name, share in facts.get("label_share", {}).items()}
            for role, motion in (facts.get("moved") or {}).items():
                row |= {f"{role} {key}": value for key, value in motion.items()}
            row["notes"] = " ".join(facts.get("notes", ()))
        rows.append(row | {"problem": problems.get(case.id, "")})
    columns = list(dict.fromkeys(itertools.chain(*rows)))
    for last in ("notes", "problem"):
        if last in columns:
            columns.append(columns.pop(columns.index(last)))
    return csv_text.table(rows, columns)


def write_dataset(output: Path, data: DataSet) -> None:
    """dataset.json of the cases that are there; a card that somebody has edited since stays as it is."""
    path = output / DATASET
    finished = [case.id for case in data.cases if conversion.is_finished(output / CASES, case.id)]
    facts = (output / CASES / case / conversion.FACTS for case in finished)
    sizes = [json.loads(text.read_text(encoding="utf-8"))["size"] for text in facts]
    content = {
        "card": data.card.content,
        "groups": data.groups,
        "patch_size": suggested_patch(data, sizes),
        "synthetic": data.synthetic,
        "split": None,
    }
    if path.is_file():
        content = records.read(path)
    if data.split is not None:
        content["split"] = {part: [case for case in cases if case in finished] for part, cases in data.split.items()}
    write_if_changed(path, as_json(content))


def suggested_patch(data: DataSet, sizes: list[list[int]]) -> tuple[int, ...]:
    """The patch for cases of these sizes (voxels per axis), planned from their median; that of photos is their square."""
    if square := cards.square(data.card):
        return square
    middle = tuple(np.median(sizes or [UNKNOWN_SIZE], axis=0).tolist())
    channels, classes = planning.branches(data.groups), len(data.card.labels) + 1
    fingerprint = planning.Fingerprint(middle, data.card.spacing_mm, channels, classes)
    return planning.plan(fingerprint).network.input_size


def as_json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write_if_changed(path: Path, text: str) -> None:
    """A second run leaves no trace in the times of files."""
    if not path.is_file() or path.read_bytes() != text.encode():
        files.write_text(path, text)


def main() -> None:
    options = tyro.extras.subcommand_cli_from_dict(LAYOUTS, description=__doc__)
    try:
        versions.check()
        failed = prepare(options)
    except* VeloxSegError as group:
        sys.exit("\n".join(error.text for error in group.exceptions))
    for result in failed:
        print(f"{result.case}: {result.text}", file=sys.stderr)
    if failed:
        sys.exit(f"{len(failed)} case(s) could not be prepared; the others are in {options.output}.")


if __name__ == "__main__":
    main()
