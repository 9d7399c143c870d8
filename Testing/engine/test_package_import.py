"""Importing packages: four checks in turn, one sentence for every kind of damage, and nothing left of a failure."""

import json
import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest

from damaged_packages import archive_of, change_card, five, other_answer, with_manifest, zipped
from engine_cases import card, label, tiny_package
from photo_cases import photo_package
from veloxseg.commands import cli, cli_models
from veloxseg.contract.errors import VeloxSegError
from veloxseg.packages import cards, package_import, package_writer, packages

NAME = "tiny-test-1.0.0"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return tiny_package(tmp_path_factory.mktemp("packages") / "tiny-test")


@pytest.fixture
def package(original, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "tiny-test"))


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


def refused(source, models):
    """The failure of an import that must leave nothing behind."""
    with pytest.raises(VeloxSegError) as caught:
        package_import.import_package(source, models)
    assert not models.exists() or os.listdir(models) == []
    return caught.value


class TestGood:
    def test_four_checks_in_turn(self, package, models, tmp_path):
        told = []
        # processor time: what else runs on the machine does not count
        started = time.process_time()
        imported = package_import.import_package(zipped(package, tmp_path / "p.zip"), models, lambda *check: told.append(check))
        assert time.process_time() - started < 15
        names = ("safe", "card", "weights", "test")
        assert told == [(name, state) for name in names for state in ("running", "passed")]
        assert tuple(cli_models.CHECK_TEXTS) == names
        assert imported.folder == models / NAME and os.listdir(models) == [NAME]
        assert packages.verify(imported.folder) == 1.0

    def test_folder(self, package, models):
        before = sorted(path.name for path in package.rglob("*"))
        assert package_import.import_package(package, models).folder == models / NAME
        assert sorted(path.name for path in package.rglob("*")) == before

    def test_folder_inside_the_zip(self, original, models, tmp_path):
        entries = [(f"inner/{path.relative_to(original)}", path.read_bytes()) for path in original.rglob("*") if path.is_file()]
        package_import.import_package(archive_of(tmp_path / "p.zip", entries), models)
        assert os.listdir(models) == [NAME]

    def test_photo(self, models, tmp_path):
        package = photo_package(tmp_path / "tiny-test")
        assert package_import.import_package(package, models).card.working_size == 64

    def test_same_version_is_replaced_and_another_stays(self, package, models, tmp_path):
        archive = zipped(package, tmp_path / "p.zip")
        (models / NAME).mkdir(parents=True)
        (models / NAME / "old").write_text("")
        package_import.import_package(archive, models)
        assert not (models / NAME / "old").exists()
        change_card(package, version="1.1.0")
        package_import.import_package(zipped(package, tmp_path / "p.zip", with_manifest), models)
        assert sorted(os.listdir(models)) == [NAME, "tiny-test-1.1.0"]

    def test_another_model_of_this_name_and_version_stays_unless_asked(self, package, models, tmp_path):
        package_import.import_package(package, models)
        other = tiny_package(tmp_path / "other", labels=[label(1, "One"), label(2, "Two")])
        with pytest.raises(VeloxSegError) as caught:
            package_import.import_package(other, models)
        assert caught.value.code == "MODEL_EXISTS" and NAME in caught.value.text and "--replace" in caught.value.text
        assert os.listdir(models) == [NAME]
        assert len(packages.read(models / NAME).card.labels) == 1
        package_import.import_package(other, models, replace=True)
        assert len(packages.read(models / NAME).card.labels) == 2

    def test_a_shipped_model_is_not_displaced_in_silence(self, models, tmp_path):
        shipped = packages.read(cards.find("petct-sarcoma")).card
        package = tiny_package(tmp_path / "foreign", id=shipped.id, version=shipped.version)
        assert refused(package, models).code == "MODEL_EXISTS" and not os.listdir(models)

    def test_damage_keeps_the_older_package(self, package, models, tmp_path):
        package_import.import_package(package, models)
        (package / "LICENSE").write_text("changed")
        with pytest.raises(VeloxSegError):
            package_import.import_package(package, models)
        assert os.listdir(models) == [NAME] and packages.verify(models / NAME) == 1.0


class TestDamaged:
    def test_five_kinds_give_five_sentences(self, original, models, tmp_path):
        """Each names what is wrong and what to do."""
        sources = five(original, tmp_path)
        errors = {code: refused(source, models) for code, source in sources.items()}
        assert {code: error.code for code, error in errors.items()} == {code: code for code in sources}
        words = {
            "MODEL_FILE": ("half.zip", "no intact zip", "copy or export it again"),
            "MODEL_UNSAFE": ("slip.zip", "../evil", "leaves the package", "ask its author"),
            "MODEL_SCHEMA": ("card", "threshold", "ask its author"),
            "MODEL_CORRUPT": ("Tiny test", "model.safetensors", "install it again"),
            "MODEL_ANSWER": ("Tiny test", "Dice", "export it again"),
        }
        for code, parts in words.items():
            assert all(part in errors[code].text for part in parts), errors[code].text
        assert len({error.text for error in errors.values()}) == 5

    @pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:/evil", "a\\..\\evil"])
    def test_names_that_leave_the_folder(self, models, tmp_path, name):
        error = refused(archive_of(tmp_path / "p.zip", [(zipfile.ZipInfo(name), "x")]), models)
        assert error.code == "MODEL_UNSAFE" and "leaves" in error.text
        assert not list(tmp_path.rglob("evil"))

    def test_entry_that_grows_beyond_reason_is_not_unpacked(self, models, tmp_path):
        archive = tmp_path / "p.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            target.writestr("docs/README.md", bytes(20 << 20))
        error = refused(archive, models)
        assert error.code == "MODEL_UNSAFE" and "would grow" in error.text

    def test_link_in_a_zip(self, models, tmp_path):
        entry = zipfile.ZipInfo("LICENSE")
        entry.external_attr = 0o120777 << 16
        assert "is a link" in refused(archive_of(tmp_path / "p.zip", [(entry, "/etc/passwd")]), models).text

    def test_link_in_a_folder(self, package, models):
        (package / "LICENSE").unlink()
        (package / "LICENSE").symlink_to("/etc/hostname")
        assert "LICENSE is a link" in refused(package, models).text

    @pytest.mark.parametrize("name", ["scripts/run.py", "models/model.pt", "setup.exe", "run", "docs/x.pkl", ".hidden"])
    def test_kind_of_file(self, package, models, name):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text("")
        package_writer.write_manifest(package)
        error = refused(package, models)
        assert error.code == "MODEL_UNSAFE" and name in error.text

    @pytest.mark.parametrize("start", package_import.PROGRAM_STARTS)
    def test_program_under_a_harmless_name(self, package, models, start):
        (package / "docs" / "guide.pdf").write_bytes(start + b"rest")
        package_writer.write_manifest(package)
        assert "docs/guide.pdf is a program" in refused(package, models).text

    def test_size_bomb(self, models, tmp_path, monkeypatch):
        monkeypatch.setattr(package_import, "LARGEST_PACKAGE_BYTES", 1000)
        assert "large" in refused(archive_of(tmp_path / "p.zip", [("a.txt", "0" * 2000)]), models).text

    def test_too_many_files(self, models, tmp_path):
        entries = [(f"f{number}.txt", "") for number in range(package_import.MOST_FILES + 1)]
        assert "large" in refused(archive_of(tmp_path / "p.zip", entries), models).text

    def test_doubled_names(self, models, tmp_path):
        assert "two files" in refused(archive_of(tmp_path / "p.zip", [("A.txt", ""), ("a.txt", "")]), models).text

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"x" * 1000])
    def test_no_zip(self, models, tmp_path, content):
        (tmp_path / "p.zip").write_bytes(content)
        assert refused(tmp_path / "p.zip", models).code == "MODEL_FILE"

    def test_changed_bytes_in_the_zip(self, package, models, tmp_path):
        content = bytearray(zipped(package, tmp_path / "p.zip").read_bytes())
        content[len(content) // 2] ^= 0xFF
        (tmp_path / "p.zip").write_bytes(content)
        assert refused(tmp_path / "p.zip", models).code == "MODEL_FILE"

    def test_no_card(self, models, tmp_path):
        error = refused(archive_of(tmp_path / "p.zip", [("a.txt", "")]), models)
        assert error.code == "MODEL_FILE" and "configs/velox.json" in error.text

    def test_weights_of_another_architecture(self, package, models):
        labels = [label(1), label(2)]
        change_card(package, labels=labels, architecture=card(labels=labels)["architecture"])
        package_writer.write_manifest(package)
        error = refused(package, models)
        assert error.code == "MODEL_CORRUPT" and "do not fit its architecture" in error.text

    def test_expected_mask_with_other_values(self, package, models):
        shutil.copy(package / "example" / "T1.nii.gz", package / "example" / "mask.nii.gz")
        package_writer.write_manifest(package)
        assert "no label" in refused(package, models).text

    def test_newer_than_the_engine(self, package, models):
        change_card(package, engine_version=">=9.0")
        assert refused(package, models).code == "MODEL_NEWER"

    def test_missing(self, models, tmp_path):
        assert refused(tmp_path / "none.zip", models).code == "MODEL_MISSING"


class TestCommand:
    @pytest.fixture(autouse=True)
    def own_folder(self, models, monkeypatch):
        monkeypatch.setenv("VELOXSEG_MODELS", str(models))

    def test_import_list_find_remove(self, package, models, tmp_path, capsys):
        assert cli.main(["models", "import", str(zipped(package, tmp_path / "p.zip"))]) == 0
        printed = capsys.readouterr().out
        assert [line in printed for line in cli_models.CHECK_TEXTS.values()] == [True] * 4
        assert cli.main(["models"]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "tiny-test" in line]
        assert line.endswith("imported") and "[demo] " in line
        assert cards.find("tiny-test") == cards.find(NAME) == models / NAME
        assert cli.main(["models", "remove", "tiny-test"]) == 0
        assert "MB freed" in capsys.readouterr().out and os.listdir(models) == []

    def test_newest_version_is_found(self, package, models):
        for version in ("1.0.0", "1.10.0", "1.9.0"):
            change_card(package, version=version)
            package_writer.write_manifest(package)
            package_import._place(Path(shutil.copytree(package, package.with_name(version))), models)
        assert cards.find("tiny-test").name == "tiny-test-1.10.0"
        assert cards.find("tiny-test-1.9.0").name == "tiny-test-1.9.0"

    def test_damaged_package_is_listed_and_removed(self, package, models, capsys):
        package_import.import_package(package, models)
        (models / NAME / cards.CARD).write_text("{")
        assert cli.main(["models"]) == 0
        assert f"{NAME}: The model {NAME} is damaged" in capsys.readouterr().out
        assert cli.main(["models", "remove", NAME]) == 0 and os.listdir(models) == []

    def test_shipped_models_stay(self, capsys):
        shipped = cards.shipped()[0]
        assert cli.main(["models", "remove", shipped.name]) == 2
        assert "cannot be removed" in capsys.readouterr().err and shipped.is_dir()

    def test_events(self, package, models, monkeypatch, tmp_path):
        import io

        stream = io.StringIO()
        monkeypatch.setattr(cli_models.runner, "private_stdout", lambda: stream)
        other_answer(package)
        package_writer.write_manifest(package)
        assert cli.main(["models", "import", str(package), "--events"]) == 3
        events = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert [event["event"] for event in events] == ["hello", *["check"] * 7, "error"]
        assert (events[-2]["name"], events[-2]["state"]) == ("test", "running")
        assert events[-1]["code"] == "MODEL_ANSWER"
