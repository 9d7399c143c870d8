"""Batches: which files are a case, one broken case among ten, going on after an interruption, tables, and the command."""

import csv
import io
import json
import os
import shutil

import pytest
import SimpleITK as sitk

from engine_cases import blob_image, card, inputs_hash, label, role, thresholding, tiny_package, write_image
from photo_cases import disk, photo_card, photo_package, save, skin
from veloxseg.commands import cli, cli_batch
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images
from veloxseg.inference import dispatch
from veloxseg.inference.progress import Listener
from veloxseg.packages import packages
from veloxseg.service import batch, batch_cases, batch_files

SIZE = (24, 20, 22)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return tiny_package(tmp_path_factory.mktemp("packages") / "tiny-test", lesions=True)


@pytest.fixture
def stand_in(monkeypatch):
    """What the network finds does not matter for most of this; the tiny one takes a second a case."""
    found = thresholding([-4.0, 0.0])
    monkeypatch.setattr(packages.ModelPackage, "network", lambda self, device: (self.check_weights(), found)[1])


@pytest.fixture(scope="module")
def ten_cases(tmp_path_factory):
    """Ten folders with a T1 image each; the fourth one is cut off in its voxels."""
    root = tmp_path_factory.mktemp("ten")
    for number in range(10):
        (root / f"case{number}").mkdir()
        write_image(blob_image(SIZE, seed=number), root / f"case{number}" / "Doe_Jane_t1.nrrd")
    broken = root / "case3" / "Doe_Jane_t1.nrrd"
    broken.write_bytes(broken.read_bytes()[:2000])
    return root


@pytest.fixture
def few(ten_cases, tmp_path, stand_in):
    """A copy of three sound cases."""
    for name in ("case0", "case1", "case2"):
        shutil.copytree(ten_cases / name, tmp_path / "in" / name)
    return tmp_path / "in"


def settings_file(folder, package, images_folder, **changes):
    content = {
        "schema_version": 1,
        "model": str(package),
        "source": {"kind": "folders", "path": str(images_folder)},
        "output": str(folder / "out"),
        "device": "cpu",
    }
    (folder / "settings.json").write_text(json.dumps(content | changes))
    return folder / "settings.json"


class Diary(batch.BatchListener):
    def __init__(self):
        self.entries = []

    def case(self, number, total, name, state, text, seconds_left):
        self.entries.append((number, total, name, state, text, seconds_left))

    def names(self, state):
        return [entry[2] for entry in self.entries if entry[3] == state]


def run(settings, shard=(1, 1)):
    plan, diary = batch.read(settings), Diary()
    tally = batch.run(plan, batch.cases_of(plan, shard), diary)
    return tally, diary


def table(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def refusal(call, *arguments):
    with pytest.raises(VeloxSegError) as caught:
        call(*arguments)
    return caught.value


def test_ten_cases_one_broken(package, ten_cases, tmp_path, stand_in):
    """Acceptance check 20: nine are done, one is listed, and going on skips the nine."""
    before = inputs_hash(ten_cases)
    settings = settings_file(tmp_path, package, ten_cases)
    output = tmp_path / "out"
    tally, diary = run(settings)
    assert tally.counts == {"done": 9, "failed": 1} and tally.text() == "9 done, 1 failed, 0 skipped"
    assert diary.names("failed") == ["case3"]
    assert [row["case"] for row in table(output / "summary.csv") if row["state"] == "done"] == [
        f"case{number}" for number in range(10) if number != 3
    ]
    (failure,) = table(output / "failures.csv")
    assert failure["case"] == "case3" and "T1 image cannot be read" in failure["text"]
    assert sorted(os.listdir(output / "case3")) == ["failure.json"]
    assert sorted(os.listdir(output / "case0")) == ["measures.csv", "run.json", "segmentation.seg.nrrd"]

    times = {path: path.stat().st_mtime_ns for path in output.glob("*/run.json")}
    again, diary = run(settings)
    assert again.counts == {"skipped": 9, "failed": 1} and len(diary.names("skipped")) == 9
    assert {path: path.stat().st_mtime_ns for path in output.glob("*/run.json")} == times
    assert inputs_hash(ten_cases) == before


def test_files_of_a_case(package, few, tmp_path):
    run(settings_file(tmp_path, package, few, outputs=["probability"]))
    folder = tmp_path / "out" / "case1"
    mask, image = sitk.ReadImage(str(folder / "segmentation.seg.nrrd")), sitk.ReadImage(str(few / "case1" / "Doe_Jane_t1.nrrd"))
    assert images.same_grid(images.grid_of(mask), images.grid_of(image))
    assert mask.GetMetaData("Segment0_Name") == "Thing" and mask.GetMetaData("Segment0_LabelValue") == "1"
    assert mask.GetMetaData("Segment0_Color").startswith("0.784314 0.313725")
    assert "[demo] tiny test 1.0.0" in mask.GetMetaData("Segment0_Tags").lower()
    assert sitk.ReadImage(str(folder / "probability.nrrd")).GetPixelID() == sitk.sitkUInt8
    record = json.loads((folder / "run.json").read_text())
    assert record["case"] == "case1" and record["results"]["model"]["id"] == "tiny-test"
    rows = table(folder / "measures.csv")
    (segment,) = [row for row in rows if row["kind"] == "segment"]
    volume = record["results"]["segments"][0]["volume_ml"]
    assert segment["level"] == "demo" and float(segment["volume_ml"]) == pytest.approx(volume, abs=1e-4) and volume > 1
    listed = record["results"]["lesions"]
    assert len(rows) == 1 + len(listed)
    summary = table(tmp_path / "out" / "summary.csv")[1]
    assert int(summary["lesions"]) == len(listed)
    assert float(summary["Thing volume_ml"]) == pytest.approx(float(segment["volume_ml"]), abs=1e-4)
    assert len([row for row in table(tmp_path / "out" / "lesions.csv") if row["case"] == "case1"]) == len(listed)


def test_names_of_files_are_never_written(package, few, tmp_path):
    """They may be those of patients; the folder of the images appears in the settings alone."""
    (few / "case2" / "Doe_Jane_t1.nrrd").write_bytes(b"nothing")
    run(settings_file(tmp_path, package, few))
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or b"Doe" not in path.read_bytes(), path


def test_same_result_as_one_run(package, ten_cases, tmp_path):
    """With the real network."""
    shutil.copytree(ten_cases / "case0", tmp_path / "in" / "case0")
    run(settings_file(tmp_path, package, tmp_path / "in"))
    image = tmp_path / "in" / "case0" / "Doe_Jane_t1.nrrd"
    assert cli.main(["segment", "--model", str(package), "--input", f"T1={image}", "--output", str(tmp_path / "one")]) == 0
    one = sitk.ReadImage(str(tmp_path / "one" / "mask.nrrd"))
    assert sitk.Hash(one) == sitk.Hash(sitk.ReadImage(str(tmp_path / "out" / "case0" / "segmentation.seg.nrrd")))


def test_nifti(package, few, tmp_path):
    run(settings_file(tmp_path, package, few, format="nii.gz"))
    mask = sitk.ReadImage(str(tmp_path / "out" / "case0" / "segmentation.nii.gz"))
    assert mask.GetSize() == SIZE and mask.GetPixelID() == sitk.sitkUInt8


class TestGoingOn:
    @pytest.fixture
    def settings(self, package, few, tmp_path):
        settings = settings_file(tmp_path, package, few)
        run(settings)
        return settings

    def test_changed_image(self, settings, few, tmp_path):
        write_image(blob_image(SIZE, seed=99), few / "case1" / "Doe_Jane_t1.nrrd")
        tally, diary = run(settings)
        assert diary.names("done") == ["case1"] and tally.counts["skipped"] == 2
        assert ("images changed" in text for *_, state, text, _ in diary.entries if state == "running")

    def test_touched_image_is_the_same(self, settings, few):
        os.utime(few / "case1" / "Doe_Jane_t1.nrrd", (1, 1))
        assert run(settings)[0].counts == {"skipped": 3}

    def test_images_that_changed_places(self, settings, few):
        """Equal sizes and times do not make two images the same."""
        first, second = few / "case0" / "Doe_Jane_t1.nrrd", few / "case1" / "Doe_Jane_t1.nrrd"
        for path in (first, second):
            os.utime(path, (1, 1))
        first.rename(few / "x"), second.rename(first), (few / "x").rename(second)
        assert sorted(run(settings)[1].names("done")) == ["case0", "case1"]

    def test_changed_settings(self, package, settings, few, tmp_path):
        settings_file(tmp_path, package, few, overlap=0.5)
        tally, diary = run(settings)
        assert tally.counts == {"done": 3}
        assert {entry[4] for entry in diary.entries if entry[3] == "running"} == {batch.CHANGED["settings"]}

    def test_device_does_not_count(self, package, settings, few, tmp_path):
        settings_file(tmp_path, package, few, device="auto")
        assert run(settings)[0].counts == {"skipped": 3}

    def test_other_weights(self, settings, tmp_path):
        record = json.loads((tmp_path / "out" / "case0" / "run.json").read_text())
        record["results"]["model"]["weights_sha256"] = "f" * 64
        (tmp_path / "out" / "case0" / "run.json").write_text(json.dumps(record))
        assert run(settings)[1].names("done") == ["case0"]

    @pytest.mark.parametrize("content", ["", "{}", "[1]", '{"schema_version": 1, "results": {"model": {}}}'])
    def test_damaged_record(self, settings, tmp_path, content):
        (tmp_path / "out" / "case0" / "run.json").write_text(content)
        assert run(settings)[1].names("done") == ["case0"]

    @pytest.mark.parametrize("part, content", [("inputs", {"T1": "elsewhere"}), ("settings", None), ("results", {"segments": 3})])
    def test_record_with_a_damaged_part(self, settings, tmp_path, part, content):
        path = tmp_path / "out" / "case0" / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {part: content}))
        assert run(settings)[1].names("done") == ["case0"]

    def test_a_failure_keeps_the_older_result(self, settings, few, tmp_path):
        (few / "case0" / "Doe_Jane_t1.nrrd").write_bytes(b"nothing")
        assert run(settings)[0].counts == {"failed": 1, "skipped": 2}
        folder = tmp_path / "out" / "case0"
        assert sorted(os.listdir(folder)) == ["failure.json", "measures.csv", "run.json", "segmentation.seg.nrrd"]
        assert table(tmp_path / "out" / "summary.csv")[0]["state"] == "failed"
        write_image(blob_image(SIZE, seed=0), few / "case0" / "Doe_Jane_t1.nrrd")
        run(settings)
        assert not (folder / "failure.json").exists() and table(tmp_path / "out" / "failures.csv") == []

    def test_pause(self, settings, few, tmp_path, capsys):
        shutil.copytree(few / "case0", few / "case9")
        (tmp_path / "out" / "pause").touch()
        tally, _ = run(settings)
        assert tally.left == 4 and "4 not begun" in tally.text()
        assert cli.main(["batch", str(settings)]) == 0
        assert f"Delete {tmp_path / 'out' / 'pause'}" in capsys.readouterr().out
        (tmp_path / "out" / "pause").unlink()
        assert run(settings)[1].names("done") == ["case9"]

    def test_cancel_leaves_nothing_half(self, package, few, tmp_path):
        class Stop(Diary):
            def pipeline(self):

                class Ending(Listener):
                    def cancelled(inner):
                        return len(self.names("done")) == 1

                return Ending()

        plan = batch.read(settings_file(tmp_path / "in" / "..", package, few, output=str(tmp_path / "new")))
        assert refusal(batch.run, plan, batch.cases_of(plan), Stop()).code == "CANCELLED"
        assert sorted(os.listdir(tmp_path / "new")) == ["case0", *TABLES]
        assert [row["case"] for row in table(tmp_path / "new" / "summary.csv")] == ["case0"]


TABLES = ["failures.csv", "lesions.csv", "settings.json", "summary.csv"]


def test_shards_share_the_work(package, few, tmp_path):
    settings = settings_file(tmp_path, package, few)
    assert run(settings, (1, 2))[1].names("done") == ["case0", "case2"]
    assert run(settings, (2, 2))[1].names("done") == ["case1"]
    assert [row["state"] for row in table(tmp_path / "out" / "summary.csv")] == ["done"] * 3


def test_defect_of_one_case(package, few, tmp_path, monkeypatch):
    original = dispatch.segment

    def sometimes(the_package, paths, *rest, **more):
        if "case1" in str(paths["T1"]):
            raise KeyError("inner")
        return original(the_package, paths, *rest, **more)

    monkeypatch.setattr(dispatch, "segment", sometimes)
    tally, diary = run(settings_file(tmp_path, package, few))
    assert tally.counts == {"done": 2, "failed": 1} and diary.names("failed") == ["case1"]
    assert table(tmp_path / "out" / "failures.csv")[0]["code"] == "UNEXPECTED"


def test_foreign_folder_is_never_replaced(package, few, tmp_path):
    own = tmp_path / "out" / "case1"
    own.mkdir(parents=True)
    (own / "thesis.txt").write_text("mine")
    tally, _ = run(settings_file(tmp_path, package, few))
    assert tally.counts == {"done": 2, "failed": 1} and os.listdir(own) == ["thesis.txt"]
    assert "other" in table(tmp_path / "out" / "failures.csv")[0]["text"]


def test_damaged_model_ends_the_batch(package, few, tmp_path):
    damaged = shutil.copytree(package, tmp_path / "damaged")
    with open(damaged / packages.WEIGHTS, "ab") as file:
        file.write(b"x")
    plan = batch.read(settings_file(tmp_path, damaged, few))
    assert refusal(batch.run, plan, batch.cases_of(plan)).code == "MODEL_CORRUPT"


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"overlap": 2}, "overlap"),
        ({"format": "dcm"}, "format"),
        ({"more": 1}, "more"),
        ({"mm_per_px": 0.1}, "no setting mm_per_px"),
        ({"members": 3}, "no setting members"),
        ({"source": {"kind": "folders", "path": "in", "patterns": {"CT": "*"}}}, "no image CT"),
        ({"source": {"kind": "names", "path": "in", "patterns": {"T1": "*.nrrd"}}}, "has no {case}"),
        ({"source": {"kind": "folders", "path": "nowhere"}}, "no such folder"),
        ({"source": {"kind": "list", "path": "nowhere.csv"}}, "no such file"),
        ({"output": "in/out"}, "lies in the folder of the images"),
        ({"output": "in"}, "lies in the folder of the images"),
    ],
)
def test_settings_are_refused(package, few, tmp_path, changes, words):
    def read(path):
        return batch.cases_of(batch.read(path))

    assert words in refusal(read, settings_file(tmp_path, package, few, **changes)).text


class TestDiscovery:
    """Names and headers only; the card has CT and PET with short patterns."""

    petct = Card.of(
        card([role("CT", "CT") | {"patterns": ["ct"]}, role("PET", "PT", reference=False) | {"patterns": ["pet", "suv"]}])
    )

    def touch(self, folder, *names):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"")

    def found(self, folder, kind="folders", **patterns):
        source = {"kind": kind, "path": str(folder), "patterns": patterns}
        return {
            case.name: {role: path.name for role, path in case.files.items()} | ({"!": case.problem} if case.problem else {})
            for case in batch_cases.discover(source, self.petct)
        }

    def test_folders_by_words(self, tmp_path):
        self.touch(tmp_path, "a/PETCT_ct.nii.gz", "a/PETCT_pet.nii.gz", "b/sub/CT.nrrd", "b/SUV bw.mha")
        self.touch(tmp_path, "b/notes.txt", ".hidden/ct.nrrd")
        assert self.found(tmp_path) == {
            "a": {"CT": "PETCT_ct.nii.gz", "PET": "PETCT_pet.nii.gz"},
            "b": {"CT": "CT.nrrd", "PET": "SUV bw.mha"},
        }

    def test_incomplete(self, tmp_path):
        self.touch(tmp_path, "a/ct.nii", "b/ct.nii", "b/ct-2.nii", "b/pet.nii", "c/ct pet.nii")
        problems = {name: entry["!"] for name, entry in self.found(tmp_path).items()}
        assert problems["a"].startswith("No file for PET")
        assert problems["b"].startswith("2 files could be CT")
        assert problems["c"].startswith("The same file would be CT and PET")

    def test_folders_by_pattern(self, tmp_path):
        self.touch(tmp_path, "a/x_0000.nii.gz", "a/x_0001.nii.gz", "a/deep/y_0000.nii.gz")
        assert self.found(tmp_path, CT="*_0000.*", PET="*_0001.nii.gz") == {"a": {"CT": "x_0000.nii.gz", "PET": "x_0001.nii.gz"}}

    def test_names(self, tmp_path):
        self.touch(tmp_path, "p.1_CT.nii.gz", "p.1_PET.nii", "p2_ct.nrrd", "p2_pet.nrrd", "p3_CT.mha")
        found = self.found(tmp_path, "names")
        assert found["p.1"] == {"CT": "p.1_CT.nii.gz", "PET": "p.1_PET.nii"} and "PET" in found["p2"]
        assert found["p3"]["!"].startswith("No file for PET")

    def test_names_of_bids(self, tmp_path):
        self.touch(tmp_path, "sub-1/ct/sub-1_ct.nii.gz", "sub-1/pet/sub-1_pet.nii.gz", "sub-1/pet/sub-2_pet.nii.gz")
        found = self.found(tmp_path, "names", CT="{case}/ct/{case}_ct.*", PET="{case}/pet/{case}_pet.*")
        assert found == {"sub-1": {"CT": "sub-1_ct.nii.gz", "PET": "sub-1_pet.nii.gz"}}

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_list(self, tmp_path, delimiter):
        self.touch(tmp_path, "data/1.nrrd", "data/2.nrrd")
        pets = {"a": "data/2.nrrd", "b": "", "c": "data/3.nrrd", "../d": "data/2.nrrd", "A": "data/2.nrrd"}
        rows = [["Case", "PET", "CT", "note"], *([name, pet, "data/1.nrrd", "x"] for name, pet in pets.items())]
        text = "\ufeff" + "\n".join(delimiter.join(row) for row in rows)
        (tmp_path / "cases.csv").write_text(text, encoding="utf-8")
        problems = {name: entry.get("!", "") for name, entry in self.found(tmp_path / "cases.csv", "list").items()}
        assert problems["b"].startswith("No file for PET") and problems["c"].startswith("The PET file does not exist")
        assert problems["../d"].startswith("The name of the case cannot")
        assert "twice" in problems["a"] and "twice" in problems["A"]

    def test_list_without_a_column(self, tmp_path):
        (tmp_path / "cases.csv").write_text("case,CT\na,b")
        assert "no column PET" in refusal(self.found, tmp_path / "cases.csv", "list").text

    def test_nothing(self, tmp_path):
        assert "no cases" in refusal(self.found, tmp_path).text


def test_bad_name_writes_nothing_outside(package, few, tmp_path):
    (tmp_path / "cases.csv").write_text("case,T1\n../evil,in/case0/Doe_Jane_t1.nrrd\ngood,in/case1/Doe_Jane_t1.nrrd\n")
    tally, _ = run(settings_file(tmp_path, package, few, source={"kind": "list", "path": "cases.csv"}))
    assert tally.counts == {"done": 1, "failed": 1} and not (tmp_path / "evil").exists()
    assert [row["case"] for row in table(tmp_path / "out" / "failures.csv")] == ["../evil"]


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "a.hdr", "a.img", "a.nii", "a.mha"])
def test_preview_of_every_format(package, few, tmp_path, name):
    sitk.WriteImage(sitk.ReadImage(str(few / "case0" / "Doe_Jane_t1.nrrd")), str(tmp_path / name))
    (tmp_path / "cases.csv").write_text(f"case,T1\none,{name}\ntwo,in\n")
    (tmp_path / "in").mkdir(exist_ok=True)
    plan = batch.read(settings_file(tmp_path, package, few, source={"kind": "list", "path": "cases.csv"}))
    one, two = batch.preview(plan, batch.cases_of(plan, (1, 1)))["cases"]
    assert one["state"] == "ready" and list(one["size"]) == [24, 20, 22]
    assert two["state"] == "incomplete" and "is a folder" in two["text"]


def test_photos(tmp_path):
    model = photo_package(tmp_path / "tiny-photo")
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.png", "c.tif"):
        save(skin(disk(70, 90, 20)), tmp_path / "in" / name)
    source = {"kind": "names", "path": "in"}
    settings = settings_file(tmp_path, model, tmp_path / "in", source=source, members=2, outputs=["uncertainty"])
    tally, _ = run(settings)
    assert tally.counts == {"done": 3}
    assert sorted(os.listdir(tmp_path / "out" / "a")) == ["measures.csv", "run.json", "segmentation.seg.nrrd", "uncertainty.nrrd"]
    row = table(tmp_path / "out" / "summary.csv")[0]
    assert row["level"] == "demo" and int(row["Lesion area_px"]) >= 0 and row["agreement"]


class TestCommand:
    def test_run_preview_and_exit_codes(self, package, ten_cases, few, tmp_path, capsys):
        settings = settings_file(tmp_path, package, few)
        shutil.copytree(ten_cases / "case3", few / "case3")
        (few / "empty").mkdir()
        assert cli.main(["batch", str(settings), "--preview"]) == 0
        printed = capsys.readouterr().out
        assert "4 ready, 1 incomplete" in printed and "24 x 20 x 22" in printed and not (tmp_path / "out").exists()
        assert cli.main(["batch", str(settings)]) == 8
        assert "3 done, 2 failed, 0 skipped" in capsys.readouterr().out
        assert cli.main(["batch", str(settings), "--preview"]) == 0
        printed = capsys.readouterr().out
        assert "3 finished" in printed and "Failed before" in printed
        shutil.rmtree(few / "case3"), shutil.rmtree(few / "empty")
        assert cli.main(["batch", str(settings)]) == 0

    def test_notes_are_told_and_listed(self, package, few, tmp_path, capsys):
        image = sitk.ReadImage(str(few / "case1" / "Doe_Jane_t1.nrrd"))[:, :, 8:15]
        sitk.WriteImage(image, str(few / "case1" / "Doe_Jane_t1.nrrd"))
        assert cli.main(["batch", str(settings_file(tmp_path, package, few))]) == 0
        assert "case1: Note: T1 has only 7 slice(s)" in capsys.readouterr().err
        rows = table(tmp_path / "out" / "summary.csv")
        assert ["GRID_SLICES" in row["notes"] for row in rows] == [False, True, False]

    @pytest.mark.parametrize("shard", ["0/2", "3/2", "x", "1/0"])
    def test_bad_shard(self, package, few, tmp_path, shard):
        assert cli.main(["batch", str(settings_file(tmp_path, package, few)), "--shard", shard]) == 2

    def test_unreadable_header(self, package, few, tmp_path, capsys):
        (few / "case1" / "Doe_Jane_t1.nrrd").write_bytes(b"nothing")
        assert cli.main(["batch", str(settings_file(tmp_path, package, few)), "--preview"]) == 0
        assert "2 ready, 1 unreadable" in capsys.readouterr().out

    def test_no_settings(self, tmp_path, capsys):
        assert cli.main(["batch", str(tmp_path / "none.json")]) == 2
        assert "cannot be read as JSON" in capsys.readouterr().err

    def test_events(self, package, few, tmp_path, monkeypatch):
        stream = io.StringIO()
        monkeypatch.setattr(cli_batch.runner, "private_stdout", lambda: stream)
        monkeypatch.setattr(cli_batch.runner.Owner, "start", lambda self: None)
        assert cli.main(["batch", str(settings_file(tmp_path, package, few)), "--events"]) == 0
        events = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert [event["event"] for event in events[:2]] == ["hello", "case"] and events[-1]["event"] == "result"
        assert events[-1]["counts"] == {"done": 3, "failed": 0, "skipped": 0, "left": 0}
        ended = [event for event in events if event["event"] == "case" and event["state"] == "done"]
        assert [(event["number"], event["total"]) for event in ended] == [(1, 3), (2, 3), (3, 3)]
        assert ended[0]["seconds_left"] > 0 and ended[2]["seconds_left"] == 0
        starts = [event for event in events if event["event"] == "progress" and event["done"] == 0]
        assert len(starts) == 3


def test_segmentation_names_every_label():
    image = blob_image(SIZE) > 50
    batch_files.describe_segments(image, Card.of(card(labels=[label(1, "One"), label(7, "Seven")])))
    assert image.GetMetaData("Segment1_Name") == "Seven" and image.GetMetaData("Segment1_LabelValue") == "7"


@pytest.mark.parametrize("name", ["a.png", "a.nrrd"])
def test_a_file_that_vanished_after_it_was_listed(tmp_path, name):
    """Neither a volume nor a photo is called damaged then."""
    case = batch_cases.Case("a", {"Photo": tmp_path / name})
    the_card = Card.of(photo_card())
    assert "not there any more" in batch_cases.inspect(case, the_card).problem
    with pytest.raises(VeloxSegError) as caught:
        batch_files.fingerprint(tmp_path / name, "Photo")
    assert "not there any more" in caught.value.text
