"""What a kill, a full disk or a damaged file leaves of a run: nothing wrong, nothing lost, and a sentence."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tiny
from training import checkpoints, export, run_log, train
from veloxseg.contract.errors import VeloxSegError

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def killed(folder, tmp_path_factory):
    """A run of eight steps that ended after the sixth: checkpoints at 2, 4 and 6, a validation at 4."""
    run = tmp_path_factory.mktemp("runs") / "killed"
    real = train.log

    def log(run, row, board):
        real(run, row, board)
        if row["step"] == 7:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train, "log", log)
        go_on(folder, run)
    return run


@pytest.fixture
def run(killed, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(killed, tmp_path / "run")


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """The same at one go."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    go_on(folder, run)
    return run


def go_on(folder, run, **changes):
    train.train(tiny.settings(folder, run, **{"steps": 8, **changes}))


def refused(action) -> VeloxSegError:
    with pytest.raises(VeloxSegError) as caught:
        action()
    return caught.value


def flip(path: Path, place: float) -> None:
    """Turns a bit over at a part of the file's length."""
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 4
    path.write_bytes(data)


def content(path: Path) -> list:
    """Every number of a checkpoint except the times."""
    saved = checkpoints.read(path)
    return [saved["step"], saved["best"], *saved["network"].values(), *saved["average"].values(),
            *(value for state in saved["optimizer"]["state"].values() for value in state.values())]  # fmt: skip


def same(first: Path, second: Path) -> bool:
    pairs = zip(content(first), content(second), strict=True)
    return all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in pairs)


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / run_log.NAME).read_text().splitlines()]


# ------------------------------------------------------------------------------------------------------------- files


def test_checkpoint_is_a_file_of_torch(tmp_path):
    checkpoints.save(tmp_path / "a.pt", {"step": 3, "network": {"w": torch.arange(5)}})
    assert torch.equal(torch.load(tmp_path / "a.pt", weights_only=True)["network"]["w"], torch.arange(5))
    assert checkpoints.read(tmp_path / "a.pt")["step"] == 3


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "a.pt"
    checkpoints.save(path, {"step": 3, "network": {"w": torch.arange(50)}})
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ (1 << place % 8)]) + good[place + 1 :])
        assert not checkpoints.is_whole(path), place
    for cut in (0, 1, 40, 65, 66, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:cut])
        assert not checkpoints.is_whole(path), cut
    path.write_bytes(good + b"\0")
    assert not checkpoints.is_whole(path)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
def test_damaged_newest_checkpoint_gives_way_to_the_one_before(folder, run, whole, capsys, place):
    flip(run / "last.pt", place)
    go_on(folder, run)
    told = capsys.readouterr().err
    assert "last.pt is damaged; previous.pt is whole, and the run goes on from its step 4." in told
    assert same(run / "last.pt", whole / "last.pt") and steps(run) == list(range(1, 9))
    assert checkpoints.read(run / "previous.pt")["step"] == 6


def test_damaged_checkpoint_never_takes_the_place_of_a_good_one(folder, run):
    flip(run / "last.pt", 0.5)
    checkpoints.save(run / "last.pt", {"step": 1}, run / "previous.pt")
    assert checkpoints.read(run / "previous.pt")["step"] == 4


def test_missing_newest_checkpoint_gives_way_to_the_one_before(folder, run, whole, capsys):
    (run / "last.pt").unlink()
    go_on(folder, run)
    assert "last.pt is missing; previous.pt is whole" in capsys.readouterr().err
    assert same(run / "last.pt", whole / "last.pt") and steps(run) == list(range(1, 9))


FOREIGN = {
    "nothing": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no checkpoint"),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "weights alone": lambda path: torch.save({"w": torch.zeros(3)}, path),
    "changed by hand": lambda path: torch.save({**torch.load(path, weights_only=True), "step": 1}, path),
    "a pickle": lambda path: path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR."),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_checkpoints_without_another_are_refused_and_kept(folder, run, kind):
    (run / "previous.pt").unlink()
    FOREIGN[kind](run / "last.pt")
    before = (run / "last.pt").read_bytes()
    error = refused(lambda: go_on(folder, run))
    assert error.code == "CHECKPOINT" and str(run / "last.pt") in error.text and "delete it to start again" in error.text
    assert (run / "last.pt").read_bytes() == before


def test_folder_in_place_of_a_checkpoint(folder, run):
    (run / "last.pt").unlink()
    (run / "last.pt").mkdir()
    assert "can't be read" in refused(lambda: go_on(folder, run)).text


@pytest.mark.parametrize("damage", [lambda path: flip(path, 0.4), Path.unlink, lambda path: path.write_text("no")])
def test_damaged_best_weights_are_replaced_with_a_sentence(folder, run, whole, capsys, damage):
    damage(run / "best.pt")
    if (run / "best.pt").exists():
        assert "start train.py again" in refused(lambda: export.load_run(run)).text
    go_on(folder, run, steps=6)
    assert "best.pt is damaged or missing; the averaged weights of step 6 take its place." in capsys.readouterr().err
    average = checkpoints.read(run / "last.pt")["average"]
    best = checkpoints.read(run / "best.pt")["network"]
    assert all(torch.equal(best[name], average[f"module.{name}"]) for name in best)
    go_on(folder, run)
    assert checkpoints.read(run / "best.pt")["step"] == 8, "a validation chooses again"


def test_fewer_steps_than_done_are_refused(folder, run):
    error = refused(lambda: go_on(folder, run, steps=4))
    assert error.code == "CHECKPOINT" and "step 6 of 4" in error.text and "--steps" in error.text


def test_lower_learning_rate_counts_from_the_checkpoint_on(folder, run):
    go_on(folder, run, learning_rate=1e-5)
    rates = [json.loads(line)["learning_rate"] for line in (run / run_log.NAME).read_text().splitlines()]
    assert rates[5] > 1e-4 and max(rates[6:]) < 1e-5


# --------------------------------------------------------------------------------------------------------------- log


def test_log_has_every_step_once_after_a_kill(folder, run, whole):
    """Killed after step 5, in the middle of a line, with the checkpoint of step 4."""
    os.replace(run / "previous.pt", run / "last.pt")
    path = run / run_log.NAME
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], lines[5][:20]]))
    (run / ".partial-0123456789ab-last.pt").write_bytes(b"half")
    go_on(folder, run)
    assert steps(run) == list(range(1, 9)) and same(run / "last.pt", whole / "last.pt")
    assert not list(run.glob(".partial*"))


def test_log_of_a_run_that_had_no_checkpoint_yet_begins_anew(folder, run):
    for path in run.glob("*.pt"):
        path.unlink()
    go_on(folder, run, steps=3)
    assert steps(run) == [1, 2, 3]


def test_foreign_lines_are_no_rows(tmp_path):
    (tmp_path / run_log.NAME).write_bytes(b'{"step": 1, "loss": 0.5}\n[1]\n\xff\n{"step": "2"}\nnull\n'
                                           b'{"step": 2, "loss": 0.25}\n{"ste')  # fmt: skip
    assert [row["step"] for row in run_log.read(tmp_path)] == [1, 2]
    (tmp_path / run_log.NAME).write_text("\n")
    assert "no finished step" in refused(lambda: run_log.read(tmp_path)).text


# --------------------------------------------------------------------------------------------------------- full disk

LIMITED = """
import pathlib, sys
import tiny, train
folder, run = map(pathlib.Path, sys.argv[1:])
try:
    train.train(tiny.settings(folder, run, steps=8, checkpoint_every=1))
except train.VeloxSegError as error:
    sys.exit(error.text)
"""


def test_writer_that_only_says_that_something_failed(folder, run, monkeypatch):
    """As torch with a full disk: a RuntimeError without a number. It must not write to the disk at all."""
    before = (run / "last.pt").read_bytes()
    real = torch.save

    def to_memory_only(saved, target):
        if not hasattr(target, "getvalue"):
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
        real(saved, target)

    monkeypatch.setattr(torch, "save", to_memory_only)
    go_on(folder, run)
    assert (run / "previous.pt").read_bytes() == before


def test_full_disk_at_a_checkpoint_is_a_sentence_and_nothing_is_lost(folder, run, whole):
    """Files may not grow beyond half a checkpoint, so that the system itself ends the writing."""
    before = {path.name: path.read_bytes() for path in run.glob("*.pt")}
    most = (run / "last.pt").stat().st_size // 2
    path = os.pathsep.join([str(HERE), str(Path(train.__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), str(run)], capture_output=True, text=True, timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith(f"The results cannot be written to {run / 'last.pt'} (File too large)")
    assert {path.name: path.read_bytes() for path in run.glob("*.pt")} == before
    assert not list(run.glob(".partial*"))
    go_on(folder, run)
    assert steps(run) == list(range(1, 9)) and same(run / "last.pt", whole / "last.pt")


def test_run_folder_that_is_a_file(folder, tmp_path):
    (tmp_path / "run").write_text("")
    error = refused(lambda: train.train(tiny.settings(folder, tmp_path / "run")))
    assert error.code == "OUTPUT_UNWRITABLE"
