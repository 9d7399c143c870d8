"""Training: checkpoints, the JSON files and images of a prepared folder."""

import contextlib
import io
import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import torch

import tiny
from training import cases, checkpoints, records
from training.cases import CasesSettings

from . import damage
from .verdicts import LOST, Kept, Verdict, judge
from .workshop import Workshop

EXITS = (2, 3, 4)
CASE_COUNT = 3


@cache
def _dataset(root: Path) -> Path:
    shutil.rmtree(root / "dataset", ignore_errors=True)
    folder = tiny.write_dataset(root / "dataset", CASE_COUNT)
    _opened(folder)  # fills the cache, so that each fault costs little
    return folder


def _opened(folder: Path) -> cases.Cases:
    with contextlib.redirect_stderr(io.StringIO()):
        return cases.Cases(CasesSettings(folder, folds=3), 4)


@cache
def _right(folder: Path) -> tuple[dict[str, list[str]], dict[str, list]]:
    opened = _opened(folder)
    return opened.split, _stored(opened)


def _stored(opened: cases.Cases) -> dict[str, list]:
    known = [*opened.split["train"], *opened.split["validation"]]
    return {case: [np.array(array) for array in opened.store.load(case)[:2]] for case in known}


def _copy(workshop: Workshop) -> Path:
    return Path(shutil.copytree(_dataset(workshop.root), workshop.place / "dataset"))


def _checked(workshop: Workshop, folder: Path, may_move: bool = False) -> Verdict:
    """Training opens the folder with the very voxels that it had, or refuses; nothing of the folder suffers.

    may_move: a case may be of another patient now and in another part of the split, to which intensities are fitted.
    """
    kept, (split, right) = Kept(folder / "cases"), _right(_dataset(workshop.root))

    def difference(opened: cases.Cases) -> str:
        if opened.split != split:
            return "" if may_move else "another split"
        for case, arrays in _stored(opened).items():
            if case in right and not all(map(np.array_equal, arrays, right[case])):
                return f"{case} has other voxels"
        return ""

    # beside the cases a folder holds a cache, which may come and go
    verdict = judge(lambda: _opened(folder), difference, EXITS, None)
    return Verdict(LOST, kept.lost()) if kept.lost() else verdict


def checkpoint(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """The newest, or the one before with a sentence; never numbers that nobody wrote."""
    last, previous = workshop.place / "last.pt", workshop.place / "previous.pt"
    for step, path in ((2, previous), (4, last)):
        checkpoints.save(path, {"step": step, "network": {"w": torch.arange(200) * step}})
    damaged = [last] if rng.random() < 0.7 else [last, previous]
    for path in damaged:
        path.unlink() if rng.random() < 0.1 else path.write_bytes(damage.data(path.read_bytes(), rng))
    notes: list[str] = []

    def do() -> dict | None:
        content, told = checkpoints.read_newest(last, previous)
        notes.extend([told] if told else [])
        return content

    def difference(content: dict | None) -> str:
        if content is None:
            return "" if not last.exists() and not previous.exists() else "begins anew without a word"
        is_whole = torch.equal(content["network"]["w"], torch.arange(200) * content["step"])
        if not is_whole:
            notes.clear()
            return "numbers that nobody wrote"
        return "" if content["step"] == 4 else "an older step without a word"

    return judge(do, difference, EXITS, workshop.kept(), notes)


def dataset_json(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Patch sizes and cards may be others; what is read must be what is written there."""
    folder = _copy(workshop)
    path = folder / "dataset.json"
    text = damage.text_of_json(json.loads(path.read_text()), rng)
    path.write_bytes(text)

    def difference(content: dict) -> str:
        return "" if content == json.loads(text) else "another description"

    return judge(lambda: records.read(path), difference, EXITS, workshop.kept())


def dataset_in_use(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """As `dataset_json`, and then all the way into training's own reader."""
    folder = _copy(workshop)
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    part = str(rng.choice(["groups", "patch_size", "split", "synthetic"]))
    path.write_text(json.dumps(content | {part: damage.HOSTILE[int(rng.integers(len(damage.HOSTILE)))]}))
    return _checked(workshop, folder)


def case_json(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    folder = _copy(workshop)
    path = folder / "cases" / f"case{rng.integers(CASE_COUNT)}" / "case.json"
    path.write_bytes(damage.text_of_json(json.loads(path.read_text()), rng))
    return _checked(workshop, folder, may_move=True)


def image_of_a_case(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Damaged after it was prepared once: the stored copy must not stand in for it. Test cases are read later."""
    folder = _copy(workshop)
    name = str(rng.choice(["CT", "PET", "label"]))
    path = folder / "cases" / f"case{rng.integers(CASE_COUNT)}" / f"{name}.nii.gz"
    path.unlink() if rng.random() < 0.1 else path.write_bytes(damage.data(path.read_bytes(), rng))
    return _checked(workshop, folder)


def cache_of_a_case(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """What training keeps beside a case is damaged or gone: made again."""
    folder = _copy(workshop)
    paths = sorted(path for path in folder.glob("cache/*/*") if path.name != ".lock")
    path = paths[int(rng.integers(len(paths)))]
    path.unlink() if rng.random() < 0.3 else path.write_bytes(damage.cut(path.read_bytes(), rng))
    return _checked(workshop, folder)


KINDS = {
    "training: checkpoint": checkpoint,
    "training: dataset.json": dataset_json,
    "training: dataset in use": dataset_in_use,
    "training: case.json": case_json,
    "training: image": image_of_a_case,
    "training: stored copy": cache_of_a_case,
}
