"""Batches: settings, lists of cases, damaged cases among sound ones, damaged results of an earlier run."""

import csv
import io
import json
import shutil

import numpy as np
import SimpleITK as sitk

from veloxseg.contract import names
from veloxseg.imaging import images
from veloxseg.service import batch, batch_cases

from . import damage
from .verdicts import Kept, Verdict, judge
from .workshop import Workshop

EXITS = (2, 3, 4)
CASES = ("first", "second")


def _settings(workshop: Workshop, **changes) -> dict:
    return {"schema_version": 1, "model": str(workshop.package), "source": {"kind": "folders", "path": "cases"}, "output": "out",
            "device": "cpu", "overlap": 0.25, "seed": 1, "format": "seg.nrrd", "outputs": [], "accept": []} | changes  # fmt: skip


def _cases(workshop: Workshop) -> None:
    for name in CASES:
        (workshop.place / "cases" / name).mkdir(parents=True)
        sitk.WriteImage(workshop.image, str(workshop.place / "cases" / name / "t1.nrrd"))


def _run(workshop: Workshop, settings: dict | bytes) -> tuple[batch.Batch, batch.Tally]:
    path = workshop.place / "settings.json"
    path.write_bytes(settings if isinstance(settings, bytes) else json.dumps(settings).encode("utf-8", "surrogatepass"))
    plan = batch.read(path)
    return plan, batch.run(plan, batch.cases_of(plan))


def _done(workshop: Workshop, ran: tuple[batch.Batch, batch.Tally], wanted: set[str]) -> str:
    """What is wrong with the results: every wanted case has the right mask, every table is whole and holds no formula."""
    plan, tally = ran
    for name in wanted:
        path = next(plan.output.glob(f"{names_glob(name)}/segmentation.*"), None)
        if path is None:
            return f"no result of {name}: {tally.failures.get(name)}"
        image = sitk.ReadImage(str(path))
        if not np.array_equal(images.array_of(image), workshop.answer.mask):
            return f"another mask of {name}"
    for name, failure in tally.failures.items():
        if failure.code == "UNEXPECTED":
            return f"{name}: {failure.text} {failure.detail}"
    tables = (plan.output / name for name in ("summary.csv", "lesions.csv", "failures.csv"))
    return next(filter(None, map(_table_problem, tables)), "")


def names_glob(name: str) -> str:
    """The name as a pattern of `glob` for itself alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _table_problem(path) -> str:
    for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))):
        if any(cell[:1] in "=+@\t\r" or (cell[:1] == "-" and not cell[1:2].isdigit()) for cell in row if cell):
            return f"a formula in {path.name}"
    return ""


def settings(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    _cases(workshop)
    text = damage.text_of_json(_settings(workshop), rng)
    kept = Kept(workshop.place / "cases", workshop.place / "earlier")
    return judge(lambda: _run(workshop, text), lambda ran: _done(workshop, ran, set(CASES)), EXITS, kept)


def damaged_case(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """The other case must not suffer."""
    _cases(workshop)
    path = workshop.place / "cases" / "first" / "t1.nrrd"
    content = path.read_bytes()
    header = len(content) - 2 * workshop.image.GetNumberOfPixels()
    ways = (
        lambda: path.write_bytes(damage.cut(content, rng)),
        lambda: path.write_bytes(damage.data(content[:header], rng)),
        path.unlink,
        lambda: (path.unlink(), path.mkdir()),
        lambda: path.with_name("t1 (2).nrrd").write_bytes(content),
        lambda: (path.unlink(), path.symlink_to(path)),
        lambda: path.rename(path.with_name("t1.NRRD")),
    )
    ways[int(rng.integers(len(ways)))]()
    kept = Kept(workshop.place / "cases", workshop.place / "earlier")
    return judge(lambda: _run(workshop, _settings(workshop)), lambda ran: _done(workshop, ran, {"second"}), EXITS, kept)


def _finished(workshop: Workshop) -> None:
    """The output of an earlier run over sound cases."""
    output, known = workshop.place / "out", workshop.root / "finished"
    if not known.exists():
        _run(workshop, _settings(workshop))
        shutil.copytree(output, known)
        shutil.rmtree(output)
    shutil.copytree(known, output)


def vanished_image(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """The image of a finished case is destroyed: its result stays, and so does everything of the other case."""
    _cases(workshop)
    _finished(workshop)
    path = workshop.place / "cases" / "first" / "t1.nrrd"
    content = path.read_bytes()
    ways = (
        path.unlink,
        lambda: path.write_bytes(damage.cut(content, rng)),
        lambda: path.write_bytes(rng.bytes(400)),
        lambda: (path.unlink(), path.mkdir()),
    )
    ways[int(rng.integers(len(ways)))]()
    kept = Kept(*(workshop.place / name for name in ("cases", "earlier", "out/first", "out/second")))
    return judge(lambda: _run(workshop, _settings(workshop)), lambda ran: _done(workshop, ran, set(CASES)), EXITS, kept)


def damaged_result(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Something has damaged the records of an earlier run: computed again or kept, never a failed batch."""
    _cases(workshop)
    _finished(workshop)
    output = workshop.place / "out"
    paths = [output / "first" / "run.json", output / "second" / "measures.csv", output / "summary.csv", output / "settings.json"]
    path = paths[int(rng.integers(len(paths)))]
    if path.name == "run.json" and rng.random() < 0.7:
        path.write_bytes(damage.text_of_json(json.loads(path.read_text()), rng))
    else:
        path.write_bytes(damage.data(path.read_bytes(), rng))
    kept = Kept(workshop.place / "cases", workshop.place / "earlier")
    return judge(lambda: _run(workshop, _settings(workshop)), lambda ran: _done(workshop, ran, set(CASES)), EXITS, kept)


def case_list(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """A list in any encoding and shape: each case that is ready has a file of the list, and a name that can be one."""
    _cases(workshop)
    rows = [["case", "T1"], *[[name, f"cases/{name}/t1.nrrd"] for name in CASES]]
    odd = ("=cmd|' /C calc'!A0", "../up", "a/b", "CON", "", "a\nb", "ä ö", "x" * 300, "pause", "first", "FIRST", "-1+1",
           "\t=1", ".", "-")  # fmt: skip
    if rng.random() < 0.6:
        rows[int(rng.integers(1, 3))][int(rng.integers(2))] = odd[int(rng.integers(len(odd)))]
    text = io.StringIO()
    csv.writer(text, delimiter=str(rng.choice([",", ";", "\t"]))).writerows(rows)
    content = text.getvalue().encode(str(rng.choice(["utf-8", "utf-8-sig", "utf-16", "latin-1"])))
    if rng.random() < 0.4:
        content = damage.data(content, rng)
    (workshop.place / "list.csv").write_bytes(content)
    kept = Kept(workshop.place / "cases", workshop.place / "earlier")
    source = {"kind": "list", "path": "list.csv"}
    given = {workshop.place / "cases" / name / "t1.nrrd" for name in CASES}

    def difference(ran: tuple[batch.Batch, batch.Tally]) -> str:
        plan, tally = ran
        ready = [case for case in batch.cases_of(plan) if case.state == batch_cases.READY]
        foreign = [case.name for case in ready if case.name not in tally.failures and not set(case.files.values()) <= given]
        unusable = [case.name for case in ready if not names.fits_every_system(case.name)]
        if foreign or unusable:
            return f"{foreign or unusable} was computed"
        return _done(workshop, ran, {case.name for case in ready if case.name not in tally.failures})

    return judge(lambda: _run(workshop, _settings(workshop, source=source)), difference, EXITS, kept)


KINDS = {"batch: settings": settings, "batch: a damaged case": damaged_case, "batch: a vanished image": vanished_image,
         "batch: damaged records": damaged_result,
         "batch: list of cases": case_list}  # fmt: skip
