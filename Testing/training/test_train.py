"""The training loop on a tiny network: resume, several processes, divergence, damaged files, baselines, export."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from training import bench_step, checkpoints, export, hardware, initial, networks, train
from training.losses import VeloxSegLoss
from training.settings import CONFIGS, plain
from veloxseg.commands import cli_models
from veloxseg.contract.errors import VeloxSegError
from veloxseg.networks.checkpoint import TRAINING_ONLY
from veloxseg.packages import packages

TRAINING = Path(train.__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """A finished run of twelve steps."""
    run = tmp_path_factory.mktemp("runs") / "finished"
    train.train(tiny.settings(folder, run, steps=12, validate_every=6))
    return run


def weights(run, name="last.pt"):
    return torch.load(run / name, weights_only=True)["network"]


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def same(first, second) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


def refused(settings) -> VeloxSegError:
    with pytest.raises(VeloxSegError) as caught:
        train.train(settings)
    return caught.value


def test_resumed_run_has_the_weights_of_an_uninterrupted_one(folder, tmp_path, monkeypatch):
    """With dropout, which draws random numbers in every step."""
    veloxseg = replace(tiny.NETWORK, conv_drop=0.2)
    train.train(tiny.settings(folder, tmp_path / "whole", veloxseg=veloxseg))

    class Stopped(Exception):
        pass

    real_log = train.log

    def stop_after_three(path, row, board):
        real_log(path, row, board)
        if row["step"] == 3:
            raise Stopped

    monkeypatch.setattr(train, "log", stop_after_three)
    with pytest.raises(Stopped):
        train.train(tiny.settings(folder, tmp_path / "halves", veloxseg=veloxseg))
    monkeypatch.setattr(train, "log", real_log)
    train.train(tiny.settings(folder, tmp_path / "halves", veloxseg=veloxseg))

    assert same(weights(tmp_path / "whole"), weights(tmp_path / "halves"))
    assert [row["step"] for row in rows(tmp_path / "halves")] == [1, 2, 3, 4]
    assert rows(tmp_path / "halves")[-1]["loss"] == rows(tmp_path / "whole")[-1]["loss"]


def test_training_lowers_the_loss_and_keeps_averaged_weights(finished):
    found = rows(finished)
    assert np.mean([r["loss"] for r in found[-3:]]) < np.mean([r["loss"] for r in found[:3]])
    assert [r["step"] for r in found if "validation" in r] == [6, 12]
    best = torch.load(finished / "best.pt", weights_only=True)
    assert best["validation"] == max(r.get("validation", -1) for r in found)
    assert best["settings"] == json.loads((finished / "config.json").read_text())
    assert found[-1]["cpu_minutes"] > found[0]["cpu_minutes"] > 0
    assert 0 < found[-1]["waited_for_data"] < found[-1]["seconds"]


def test_run_stores_its_split_and_fitted_intensities(finished):
    data = json.loads((finished / "data.json").read_text())
    assert {side: len(cases) for side, cases in data["split"].items()} == {"train": 2, "validation": 2, "test": 2}
    assert set(data["card"]["roles"][0]["intensity"]) == {"kind", "low", "high", "mean", "std"}


def test_the_whole_recipe_has_all_its_terms(finished):
    last = rows(finished)[-1]
    assert last["reconstruction"] > 0 and last["sdkt"] > 0
    assert last["loss"] > last["cross_entropy"] + 0.5 * last["reconstruction"]


def test_diverging_run_stops_with_a_sentence_and_keeps_the_last_checkpoint(folder, tmp_path):
    train.train(tiny.settings(folder, tmp_path, steps=2))
    before = (tmp_path / "last.pt").read_bytes()
    error = refused(tiny.settings(folder, tmp_path, steps=6, reconstruction_weight=float("nan")))
    assert error.code == "DIVERGED" and "lower --learning-rate" in error.text and "last.pt" in error.text
    assert (tmp_path / "last.pt").read_bytes() == before


def test_checkpoint_of_another_network_is_refused_and_kept(folder, tmp_path):
    train.train(tiny.settings(folder, tmp_path, steps=2))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    error = refused(tiny.settings(folder, tmp_path, network="unet"))
    assert error.code == "CHECKPOINT" and "another network" in error.text and "--run" in error.text
    error = refused(tiny.settings(folder, tmp_path, veloxseg=replace(tiny.NETWORK, base_ch=16)))
    assert error.code == "CHECKPOINT"
    other = tiny.settings(folder, tmp_path)
    error = refused(replace(other, data=replace(other.data, fold=1)))
    assert error.code == "CHECKPOINT" and "other data" in error.text
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_second_process_in_a_run_folder_is_refused(folder, tmp_path):
    with train.only_one(tmp_path):
        error = refused(tiny.settings(folder, tmp_path))
    assert error.code == "BUSY" and str(tmp_path) in error.text
    assert list(tmp_path.iterdir()) == []


def test_patches_depend_on_seed_and_number_only(folder):
    task = train.Cases(tiny.settings(folder, folder).data, 10)
    first, again, other = train.Patches(task, 1)[3], train.Patches(task, 1)[3], train.Patches(task, 2)[3]
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_processes_share_out_the_patches_of_a_step():
    alone = list(train.Batches(first=1, steps=3, size=4, rank=0, world=1))
    shared = [list(train.Batches(1, 3, 2, rank, 2)) for rank in range(2)]
    assert alone == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert [a + b for a, b in zip(*shared)] == alone


@pytest.mark.parametrize("name", networks.BASELINES)
def test_baselines_train_with_the_same_loss(name):
    size = (64, 64, 64) if name == "swinunetr" else (32, 32, 32)
    network = networks.build(name, replace(tiny.NETWORK, n_classes=3, input_size=size))
    x = torch.randn(1, 2, *size)
    terms = VeloxSegLoss()(network.train()(x), x, torch.randint(0, 3, (1, 1, *size)))
    terms.total.backward()
    assert terms.reconstruction == 0 and all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    with torch.no_grad():
        assert network.eval()(x).shape == (1, 3, *size)


def test_baseline_trains_and_says_that_it_makes_no_package(folder, tmp_path):
    train.train(tiny.settings(folder, tmp_path, network="unet", steps=2))
    assert export.load_run(tmp_path).network()(torch.zeros(1, 2, 32, 32, 32)).shape == (1, 2, 32, 32, 32)
    with pytest.raises(VeloxSegError, match="can't hold the network unet"):
        export.export(tmp_path)
    assert not (tmp_path / "package").exists()


def test_exported_package_passes_its_own_checks(finished):
    target = export.export(finished)
    assert packages.verify(target) > 0.99
    card = packages.read(target).card
    assert zipfile.is_zipfile(target.parent / f"{card.package_name}.zip")
    assert card.content["training"]["steps"] in (6, 12) and card.content["training"]["cpu_minutes"] > 0
    assert card.arguments["in_ch"] == [1, 1]


@pytest.mark.parametrize(
    "value, words", [(0.05, "THIS MODEL IS POOR: Dice 0.05 (SUV 4: 0.40), n = 2"), (None, "NEVER SCORED"), (0.7, "")]
)
def test_poor_model_is_packaged_with_a_loud_word(finished, capsys, value, words):
    entry = {"name": "Dice", "data": "balls", "n": 2, "value": value, "synthetic": True, "seed": 1, "interval_95": None,
             "baseline": {"name": "SUV 4", "value": 0.4}}  # fmt: skip
    (finished / "evaluation").mkdir(exist_ok=True)
    (finished / "evaluation" / "scores.json").write_text(json.dumps([entry] if value is not None else []))
    target = export.export(finished)
    (finished / "evaluation" / "scores.json").unlink()
    text = cli_models._verify(str(target), None, lambda *_: None)[0]
    limits = packages.read(target).card.content["limits"]
    if words:
        assert words in capsys.readouterr().err and words in limits[0] and words in text
    else:
        assert "THIS MODEL" not in capsys.readouterr().err + limits[0] + text


def test_package_of_real_data_holds_no_image_of_it(folder, tmp_path):
    """The example is drawn unless the data is synthetic."""
    run = tmp_path / "run"
    train.train(tiny.settings(folder, run, steps=2))
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({**data, "synthetic": False, "folder": "/nowhere"}))
    target = export.export(run)
    assert packages.verify(target) > 0.99


def test_run_without_weights_says_so(tmp_path):
    with pytest.raises(VeloxSegError, match="train first"):
        export.load_run(tmp_path)


def test_card_of_another_task_is_refused(finished):
    with pytest.raises(VeloxSegError, match="its roles aren't CT, PET"):
        export.load_run(finished, TRAINING / "cards" / "brain-regions-t1.json")


# ------------------------------------------------------------------------------------------- command, several processes


def command(script: str, folder, run, *more: str) -> list[str]:
    return [script, "smoke", "--run", str(run), "--data.folder", str(folder), "--data.folds", "3", "--workers", "0",
            "--device", "cpu", "--checkpoint-every", "2", *more]  # fmt: skip


def launched(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(Path(__file__).parent), str(TRAINING.parent)])
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **environment}
    return subprocess.run([sys.executable, *arguments], env=variables, capture_output=True, text=True, timeout=600)


def torchrun(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    options = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
    return launched(*options, *arguments, **environment)


@pytest.mark.slow
def test_two_processes_one_killed_give_the_weights_of_one_process(folder, tmp_path):
    """Without dropout two processes of one patch each are one process of two patches, also when one is killed and torchrun
    started again."""
    script, killed = str(Path(__file__).parent / "train_only.py"), tmp_path / "killed"
    settings = ("--steps", "4", "--learning-rate", "1e-3", "--warmup", "0", "--veloxseg.attn-drop", "0",
                "--veloxseg.proj-drop", "0")  # fmt: skip
    two = command(script, folder, tmp_path / "two", *settings, "--batch-size", "1")
    assert torchrun(*two, KILL_ONCE=str(killed)).returncode != 0
    assert killed.exists()
    done = torchrun(*two, KILL_ONCE=str(killed))
    assert done.returncode == 0, done.stderr[-3000:]
    steps = [row["step"] for row in rows(tmp_path / "two")]
    assert steps == [1, 2, 3, 4]
    done = launched(*command(script, folder, tmp_path / "one", *settings, "--batch-size", "2"))
    assert done.returncode == 0, done.stderr[-3000:]
    # a parameter with a clear gradient: rounding noise of dead ones becomes whole steps in Adam
    two, one = (weights(tmp_path / name)["decoder.out_conv1.0.weight"] for name in ("two", "one"))
    first = train.build(tiny.settings(folder, tmp_path), torch.device("cpu")).network.state_dict()["decoder.out_conv1.0.weight"]
    assert (one - first).abs().median() > 1e-3
    assert (one - two).abs().median() < 1e-5


@pytest.mark.slow
def test_smoke_ends_with_a_package_that_the_module_accepts(tmp_path):
    places = ("--run", str(tmp_path / "run"), "--data.folder", str(tmp_path / "data"))
    done = launched(str(TRAINING / "train.py"), "--smoke", *places)
    assert done.returncode == 0, done.stderr[-3000:]
    assert packages.verify(tmp_path / "run" / "package" / "smoke") > 0.99
    assert (tmp_path / "run" / "report.png").stat().st_size > 10_000
    card = packages.read(tmp_path / "run" / "package" / "smoke").card
    scores = card.content["scores"]
    assert scores and all(score["synthetic"] for score in scores)


def test_command_in_the_card_gives_the_settings_again(folder, tmp_path):
    """What differs from the defaults, and nothing about where things lie."""
    settings = tiny.settings(folder, tmp_path, steps=7, learning_rate=3e-4, amp=False)
    words = export.command_line(plain(settings)).split()
    again = train.tyro.extras.overridable_config_cli(CONFIGS, args=[*words[2:], "--run", str(tmp_path)])
    assert words[:3] == ["python", "training/train.py", "cases"] and "--no-amp" in words
    assert replace(again, data=settings.data) == settings


def test_bench_of_a_step(folder, tmp_path):
    report = bench_step.Bench(rounds=1).report(tiny.settings(folder, tmp_path))
    assert report.comparisons[0].ratio == 1 and report.comparisons[2].name == "train.py" and report.comparisons[2].median_s > 0


def test_a_run_ends_in_time_and_goes_on(folder, tmp_path, monkeypatch):
    """With validation, best weights and a checkpoint at the step where time was up, as after the last step."""
    told = iter([False, False, False, True])
    monkeypatch.setattr(train, "stopwatch", lambda minutes, world: lambda: next(told))
    train.train(tiny.settings(folder, tmp_path, steps=12, validate_every=100, checkpoint_every=100, max_minutes=1.0))
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4] and "validation" in rows(tmp_path)[-1]
    assert checkpoints.read(tmp_path / "last.pt")["step"] == checkpoints.read(tmp_path / "best.pt")["step"] == 4
    monkeypatch.undo()
    train.train(tiny.settings(folder, tmp_path, steps=6, validate_every=100))
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_stopwatch_and_duration():
    assert not train.stopwatch(None, 1)() and not train.stopwatch(5.0, 1)() and train.stopwatch(1e-9, 1)()
    settings = tiny.settings(Path("data"), Path("run"), steps=3500)
    assert train.duration(settings, 20, 0.84) == "3480 more steps of 0.84 s: about 49 minutes."
    limited = replace(settings, max_minutes=30)
    assert train.duration(limited, 20, 0.84).endswith("about 49 minutes; it ends after 30 minutes, and the same command goes on.")


def test_fine_tuning_begins_with_the_weights_of_a_run_or_package(folder, finished, tmp_path, capsys):
    given = checkpoints.read(finished / "best.pt")["network"]
    network = train.build(tiny.settings(folder, tmp_path), torch.device("cpu")).network
    assert initial.load(network, finished / "best.pt") == []
    assert same(given, network.state_dict())
    package = export.export(finished, output=tmp_path / "packages")
    left = initial.load(network, package)
    assert all(key.startswith(TRAINING_ONLY) for key in left[:-1])
    assert all((network.state_dict()[k] - v.half().float()).abs().max() == 0 for k, v in given.items() if k not in left
               and v.is_floating_point() and not k.startswith(TRAINING_ONLY))  # fmt: skip
    run = tmp_path / "tuned"
    train.train(tiny.settings(folder, run, steps=1, learning_rate=0.0, weight_decay=0.0, init=finished / "best.pt"))
    assert same(given, weights(run)) and "Begun anew" not in capsys.readouterr().err


def test_weights_of_another_shape_are_named(folder, finished, tmp_path, capsys):
    three = replace(tiny.NETWORK, n_classes=3)
    network = networks.build("veloxseg", three)
    left = initial.load(network, finished / "best.pt")
    assert "decoder.out_conv1.0.weight (16, 8, 3, 3, 3) instead of (24, 8, 3, 3, 3)" in left
    wider = networks.build("unet", networks.BaselineConfig("unet", (32, 32, 64), (1, 1)))
    with pytest.raises(VeloxSegError, match="no parameter of it has the shape that this network needs"):
        initial.load(wider, finished / "best.pt")
    with pytest.raises(VeloxSegError, match="doesn't exist"):
        initial.load(network, tmp_path / "nothing.pt")


def test_name_and_version_of_a_model(finished, tmp_path):
    named = export.named("My CT lesions (2)", "1.2.0")
    assert named == {"id": "my-ct-lesions-2", "title": "My CT lesions (2)", "version": "1.2.0"}
    assert export.named(None, None) == {}
    with pytest.raises(VeloxSegError, match="choose a --version such as 1.2.0"):
        export.named(None, "2")
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    best = checkpoints.read(run / "best.pt")
    best["settings"] |= {"name": "Mine", "version": "3.0.1"}
    checkpoints.save(run / "best.pt", best)
    card = export.load_run(run).card
    assert (card.id, card.title, card.version) == ("mine", "Mine", "3.0.1")


def test_cards_that_compute_in_bfloat16_need_no_scaler(monkeypatch):
    for wide, kind in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, wide=wide: wide)
        assert hardware.half_type(torch.device("cuda")) is kind


def test_help_explains_every_option():
    done = launched(str(TRAINING / "train.py"), "cases", "--help")
    assert done.returncode == 0
    for option in ("--network", "--data.folder", "--learning-rate", "--amp", "--seed", "--veloxseg.patch-size"):
        assert option in done.stdout


def test_problems_of_the_command_are_one_sentence(tmp_path):
    done = launched(str(TRAINING / "train.py"), "cases", "--data.folder", str(tmp_path), "--run", str(tmp_path / "run"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "prepare.py" in done.stderr and not (tmp_path / "run").exists()
