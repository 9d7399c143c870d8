"""Files of datasets and runs that are damaged, missing, foreign or half-written: one sentence with the path."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tiny
from spheres import PET_CT, Threshold
from training import cases, compare, evaluate, report, scored_cases, train
from veloxseg.contract.errors import VeloxSegError

TRAINING = Path(train.__file__).parent

DAMAGE = {
    "nothing": b"",
    "half": b'{"card": {"roles": [{"na',
    "text": b"hello",
    "binary": b"\xff\xfe\x00\x01",
    "null": b"null",
    "list": b"[1, 2]",
    "number": b"3",
    "empty object": b"{}",
    "deep": b"[" * 100_000,
    "wrong types": b'{"card": 1, "groups": 2, "split": 3, "folder": 4, "synthetic": "yes", "patch_size": "no", "patient": 5}',
}


def refused(action, path: Path) -> str:
    with pytest.raises(VeloxSegError) as caught:
        action()
    assert str(path) in caught.value.text and len(caught.value.text) < 700
    return caught.value.text


@pytest.mark.parametrize("kind", [*DAMAGE, "missing", "a folder"])
@pytest.mark.parametrize("name", ["dataset.json", "cases/case1/case.json"])
def test_files_of_a_dataset(tmp_path, name, kind):
    tiny.write_dataset(tmp_path)
    path = tmp_path / name
    path.unlink()
    if kind == "a folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(DAMAGE[kind])
    if kind == "missing" and path.name == "case.json":
        assert "case1" not in sum(cases.Cases(cases.CasesSettings(tmp_path, folds=3), 1).split.values(), [])
    else:
        assert "prepare.py" in refused(lambda: cases.Cases(cases.CasesSettings(tmp_path, folds=3), 1), path)


def no_reference(card):
    for role in card["roles"]:
        role["reference"] = False


WRONG = {
    "card: roles": lambda d: no_reference(d["card"]),
    "card: spacing_mm": lambda d: d["card"].update(spacing_mm=[2, 2]),
    "card: labels": lambda d: d["card"].update(labels=[]),
    "card: labels: values must differ": lambda d: d["card"]["labels"].append(d["card"]["labels"][0]),
    "card: roles.0.intensity": lambda d: d["card"]["roles"][0].update(intensity={"kind": "magic"}),
    "card: 'training'": lambda d: d["card"].pop("training"),
    "groups: PET, CT": lambda d: d.update(groups=[["PET"], ["CT"]]),
    "groups: CT": lambda d: d.update(groups=[["CT"]]),
    "split: the case case1": lambda d: d.update(split={"validation": ["case1"], "test": ["case1"]}),
    "split.test": lambda d: d.update(split={"validation": ["case1"], "test": [3]}),
    "no validation case": lambda d: d.update(split={"validation": [], "test": ["case1"]}),
    "no train case": lambda d: d.update(split={"validation": [f"case{n}" for n in range(5)], "test": ["case5"]}),
    "patch_size": lambda d: d.update(patch_size=[0, 32, 32]),
}


@pytest.mark.parametrize("words", WRONG)
def test_contents_that_would_fail_later(tmp_path, words):
    tiny.write_dataset(tmp_path)
    content = json.loads((tmp_path / "dataset.json").read_text())
    WRONG[words](content)
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    text = refused(lambda: cases.Cases(cases.CasesSettings(tmp_path, folds=3), 1), tmp_path)
    assert words in text


def test_images_that_are_missing_damaged_or_of_another_size_are_named(tmp_path):
    tiny.write_dataset(tmp_path)
    path = tmp_path / "cases" / "case0" / "PET.nii.gz"
    good = path.read_bytes()

    def every_fold():
        for fold in range(3):
            cases.Cases(cases.CasesSettings(tmp_path, folds=3, fold=fold), 1)

    path.unlink()
    refused(every_fold, path)
    path.write_bytes(good[: len(good) // 2])
    refused(every_fold, path)
    path.write_bytes(good)
    label = tmp_path / "cases" / "case0" / "label.nii.gz"
    label.write_bytes(b"no image")
    refused(every_fold, label)


@pytest.mark.parametrize("kind", [*DAMAGE, "missing"])
@pytest.mark.parametrize("name", ["data.json", "config.json", "evaluation/scores.json", "evaluation/cases.csv", "metrics.jsonl"])
def test_files_of_a_run(evaluated_run, tmp_path, name, kind):
    run = tmp_path / "run"
    shutil.copytree(evaluated_run, run)
    (run / "config.json").write_text(json.dumps({"network": "veloxseg", "data": {}}))
    row = {"step": 1, "loss": 0.5, "learning_rate": 1e-3, "validation": 0.5, "cpu_minutes": 1.0}
    (run / "metrics.jsonl").write_text(json.dumps(row))
    path = run / name
    path.unlink()
    if kind != "missing":
        path.write_bytes(DAMAGE[kind])
    if name.startswith("evaluation") and kind == "missing":
        report.draw(run)  # of a run that was never evaluated
    else:
        refused(lambda: report.draw(run), path)
    if name == "data.json":
        refused(lambda: scored_cases.cases_of_run(run, "test"), path)
    if name.startswith("evaluation"):
        refused(lambda: compare.main(run / "evaluation", run / "evaluation"), path)


def test_table_of_cases_with_other_columns_or_types(evaluated_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(evaluated_run, run)
    path = run / "evaluation" / "cases.csv"
    good = path.read_text()
    number = good.splitlines()[1].split(",")[3]
    header = good.splitlines()[0]
    for text in (good.replace("dice", "score"), good.replace("network", "other"), good.replace(number, "x"), header):
        path.write_text(text)
        refused(lambda: compare.main(run / "evaluation", evaluated_run / "evaluation"), path)


def test_evaluation_into_a_file(petct_run, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(VeloxSegError) as caught:
        evaluate.evaluate(Threshold(PET_CT, 5.0), scored_cases.cases_of_run(petct_run, "test"), tmp_path / "out", "cpu")
    assert caught.value.code == "OUTPUT_UNWRITABLE"


def test_card_that_does_not_fit_is_refused_before_the_training(tmp_path):
    tiny.write_dataset(tmp_path / "data")
    no_card = tmp_path / "data" / "dataset.json"
    for card, words in ((TRAINING / "cards" / "brats.json", "its roles aren't CT, PET"), (no_card, "card")):
        with pytest.raises(VeloxSegError, match=words):
            train.train(tiny.settings(tmp_path / "data", tmp_path / "run", card=card))
    assert not (tmp_path / "run" / "last.pt").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "script, options",
    [
        ("export.py", ["--run", "RUN"]),
        ("report.py", ["--run", "RUN"]),
        ("evaluate.py", ["--run", "RUN"]),
        ("evaluate_heads.py", ["--run", "RUN"]),
        ("evaluate_structures.py", ["--run", "RUN"]),
        ("compare.py", ["RUN/evaluation", "RUN/evaluation"]),
        ("questions.py", ["steps", "--run", "RUN"]),
        ("train.py", ["cases", "--data.folder", "RUN", "--run", "RUN"]),
    ],
)
def test_every_command_ends_in_one_sentence(tmp_path, script, options):
    """A folder that holds nothing but files of other kinds."""
    for name in ("best.pt", "last.pt", "data.json", "config.json", "dataset.json", "metrics.jsonl"):
        (tmp_path / name).write_text("[]")
    words = [option.replace("RUN", str(tmp_path)) for option in options]
    done = subprocess.run([sys.executable, TRAINING / script, *words], capture_output=True, text=True, timeout=600,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert str(tmp_path) in done.stderr


def test_whole_files_pass(tmp_path):
    tiny.write_dataset(tmp_path)
    assert np.any(cases.Cases(cases.CasesSettings(tmp_path, folds=3), 1).patch(0, np.random.default_rng(0))[1] >= 0)
