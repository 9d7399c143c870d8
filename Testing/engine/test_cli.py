"""The command line: same pipeline and exit codes as the runner, one sentence for every failure."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

import veloxseg
from benchmarks import bench
from engine_cases import blob_image, inputs_hash, tiny_package, write_image
from photo_cases import disk, photo_package, save, skin
from veloxseg.commands import cli
from veloxseg.imaging import images
from veloxseg.networks.published import inference_network

ENGINE = Path(veloxseg.__file__).parent


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return tiny_package(tmp_path_factory.mktemp("packages") / "tiny-test")


@pytest.fixture
def case(tmp_path):
    (tmp_path / "in").mkdir()
    return write_image(blob_image(), tmp_path / "in" / "t1.nii.gz")


class TestSegment:
    def arguments(self, package, case, tmp_path):
        return [
            "segment",
            "--model",
            str(package),
            "--input",
            f"T1={case}",
            "--output",
            str(tmp_path / "out"),
        ]

    def test_table_and_files(self, package, case, tmp_path, capsys):
        before = inputs_hash(case.parent)
        assert cli.main([*self.arguments(package, case, tmp_path), "--probability"]) == 0
        printed = capsys.readouterr().out
        assert "[demo] Tiny test 1.0.0" in printed and "Thing" in printed and "ml" in printed
        assert sorted(os.listdir(tmp_path / "out")) == ["mask.nrrd", "probability.nrrd", "results.json"]
        assert images.same_grid(
            images.grid_of(sitk.ReadImage(str(tmp_path / "out" / "mask.nrrd"))),
            images.grid_of(sitk.ReadImage(str(case))),
        )
        assert inputs_hash(case.parent) == before

    def test_json(self, package, case, tmp_path, capsys):
        assert cli.main([*self.arguments(package, case, tmp_path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "results.json").read_text())

    @pytest.mark.parametrize(
        "changes,exit_code,words",
        [
            (["--model", "nowhere"], 3, "No model"),
            (["--input", "T1=none.nrrd"], 2, "twice"),
            (["--input", "T2=none.nrrd"], 3, "needs the image(s) T1"),
            (["--input", "T1"], 2, "ROLE=PATH"),
            (["--overlap", "2"], 2, "overlap"),
            (["--device", "cuda:99"], 2, "not available"),
        ],
    )
    def test_one_sentence(self, package, case, tmp_path, capsys, changes, exit_code, words):
        assert cli.main([*self.arguments(package, case, tmp_path), *changes]) == exit_code
        printed = capsys.readouterr()
        assert words in printed.err and "Traceback" not in printed.err and not printed.out
        assert os.listdir(tmp_path) == ["in"]

    def test_bad_image(self, package, case, tmp_path, capsys):
        case.write_bytes(b"nothing")
        assert cli.main(self.arguments(package, case, tmp_path)) == 4
        assert "T1 image cannot be read" in capsys.readouterr().err
        assert os.listdir(tmp_path) == ["in"]

    def test_defect(self, package, case, tmp_path, capsys, monkeypatch):
        def broken(*_arguments):
            raise KeyError(f"inner {case}")

        monkeypatch.setattr(cli, "segment", broken)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        assert cli.main(self.arguments(package, case, tmp_path)) == 7
        message = capsys.readouterr().err
        log = Path(message.partition("The log is ")[2].strip().rstrip("."))
        assert "Traceback" not in message and "KeyError" in message and "Traceback" in log.read_text()
        assert "KeyError" in log.read_text() and str(tmp_path) not in log.read_text()
        log.unlink()

    def test_interrupt(self, package, case, tmp_path, capsys, monkeypatch):
        def interrupted(*_arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(cli, "segment", interrupted)
        assert cli.main(self.arguments(package, case, tmp_path)) == 6


@pytest.fixture(scope="module")
def photo_model(tmp_path_factory):
    return photo_package(tmp_path_factory.mktemp("packages") / "tiny-test")


class TestPhoto:
    @pytest.fixture
    def arguments(self, photo_model, tmp_path):
        photo = save(skin(disk(70, 90, 20)), tmp_path / "lesion.jpg")
        return ["segment", "--model", str(photo_model), "--input", f"Photo={photo}", "--output", str(tmp_path / "out")]

    def test_table_and_files(self, arguments, tmp_path, capsys):
        assert cli.main([*arguments, "--members", "2", "--mm-per-px", "0.1"]) == 0
        printed = capsys.readouterr().out
        content = json.loads((tmp_path / "out" / "results.json").read_text())
        (segment,) = content["segments"]
        assert content["sampling"]["members"] == 2 and f"{segment['area_px']}" in printed
        assert f"{segment['area_mm2']:.2f}" in printed and f"{segment['diameter_mm']:.2f}" in printed
        assert f"Agreement of 2 members: {content['agreement']:.3f}" in printed
        assert sorted(os.listdir(tmp_path / "out")) == ["mask.nrrd", "results.json", "uncertainty.nrrd"]

    def test_pixels_alone(self, arguments, capsys):
        assert cli.main([*arguments, "--members", "1"]) == 0
        printed = capsys.readouterr().out
        assert "px" in printed and "mm" not in printed and "Agreement" not in printed

    @pytest.mark.parametrize(
        "changes,exit_code,words",
        [
            (["--members", "0"], 2, "members"),
            (["--mm-per-px", "-1"], 2, "mm_per_px"),
            (["--mm-per-px", "nan"], 2, "mm_per_px"),
            (["--overlap", "0.5"], 2, "no setting overlap"),
        ],
    )
    def test_one_sentence(self, arguments, tmp_path, capsys, changes, exit_code, words):
        assert cli.main([*arguments, *changes]) == exit_code
        printed = capsys.readouterr()
        assert words in printed.err and not printed.out and os.listdir(tmp_path) == ["lesion.jpg"]

    def test_volume_for_a_photo_and_photo_for_a_volume(self, arguments, package, case, capsys):
        volume = [f"Photo={case}" if "=" in entry else entry for entry in arguments]
        assert cli.main(volume) == 4
        assert "a stack of 36 slices" in capsys.readouterr().err
        photo = [entry.replace("Photo=", "T1=") for entry in arguments]
        photo[photo.index("--model") + 1] = str(package)
        assert cli.main(photo) == 4
        assert "one 3D volume" in capsys.readouterr().err


class TestModels:
    def test_list(self, capsys):
        assert cli.main(["models"]) == 0
        assert capsys.readouterr().out.strip()

    def test_verify_and_card(self, package, capsys):
        assert cli.main(["models", "verify", str(package)]) == 0
        assert "intact" in capsys.readouterr().out
        assert cli.main(["models", "card", str(package)]) == 0
        assert json.loads(capsys.readouterr().out)["id"] == "tiny-test"

    def test_damaged(self, tmp_path, capsys):
        folder = tiny_package(tmp_path / "p")
        (folder / "LICENSE").write_text("changed")
        assert cli.main(["models", "verify", str(folder)]) == 3
        assert "LICENSE" in capsys.readouterr().err

    def test_verify_needs_a_package(self):
        assert cli.main(["models", "verify"]) == 2


class TestPhantom:
    def test_unknown(self, tmp_path, capsys):
        assert cli.main(["phantom", "nothing", "--output", str(tmp_path / "out")]) == 2
        assert "petct" in capsys.readouterr().err

    def test_count_makes_one_folder_each(self, tmp_path, monkeypatch):
        from veloxseg import phantoms

        written = []
        monkeypatch.setattr(phantoms, "write_case", lambda kind, seed, folder: written.append((kind, seed, folder.name)))
        assert cli.main(["phantom", "petct", "--seed", "5", "--count", "2", "--output", str(tmp_path)]) == 0
        assert written == [("petct", 5, "petct-5"), ("petct", 6, "petct-6")]


class TestBench:
    def test_published_numbers(self):
        """Parameters and operations of the published configuration, counted honestly and as thop counts."""
        network = inference_network()
        assert bench.parameter_table()[-1] == ("total", 2_288_999, 1_669_185)
        assert bench.flops(network) == 3_503_190_016 or round(bench.flops(network) / 1e9, 6) == 3.503190
        assert bench.thop_parameters(network) == 1_660_144
        counted = bench.thop_operations(network)
        assert counted == {
            "convolutions": 1_669_994_496,
            "transposed convolutions": 99_090_432,
            "softmax": 15_347_178,
            "instance norms": 6_428_160,
        }
        assert round(sum(counted.values()) / 1e9, 6) == 1.790860

    def test_command(self, capsys):
        assert cli.main(["bench", "params"]) == 0
        printed = capsys.readouterr().out
        for number in ("1,669,185", "3.503190", "1,660,144", "1.790860"):
            assert number in printed

    def test_options_are_those_of_the_benchmarks(self, capsys):
        assert cli.main(["bench", "--help"]) == 0
        assert "train-step" in capsys.readouterr().out
        assert cli.main(["bench", "patch", "--threads", "0"]) == 2
        assert "threads and rounds must be at least 1" in capsys.readouterr().err

    def test_an_installation_has_none(self, capsys, monkeypatch, tmp_path):
        monkeypatch.setattr(cli, "BENCHMARKS", tmp_path / "benchmarks")
        assert cli.main(["bench", "params"]) == 2
        told = capsys.readouterr()
        assert told.out == "" and told.err.count("\n") == 1 and "checkout of VeloxSegSlicer" in told.err


@pytest.mark.parametrize("arguments", [["--help"], ["segment", "--help"]])
def test_help_as_a_module_is_quick_to_import(arguments):
    environment = {**os.environ, "PYTHONPATH": str(ENGINE.parent)}
    outcome = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "veloxseg", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "usage: veloxseg" in outcome.stdout
    assert " torch\n" not in outcome.stderr


class TestHelpfulMessages:
    """What a person who knows the models by heart less well needs."""

    def told(self, capsys, code, *arguments):
        assert cli.main(list(map(str, arguments))) == code
        text = capsys.readouterr().err
        assert text.count("\n") == 1 and text.endswith(".\n")
        return text

    def test_near_names(self, capsys, tmp_path):
        text = self.told(capsys, 3, "segment", "--model", "brain-region-t1", "--input", "T1=a.nii", "--output", tmp_path / "x")
        assert "did you mean brain-regions-t1" in text
        assert "did you mean petct-lesions-demo" in self.told(capsys, 3, "models", "card", "petct")
        assert "did you mean" not in self.told(capsys, 3, "models", "card", "q0q0q0q0")

    @pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
    def test_an_overlap_that_is_no_number(self, tmp_path, capsys, value):
        arguments = ["--model", "brain-regions-t1", "--input", "T1=a.nii", "--output", str(tmp_path), f"--overlap={value}"]
        assert "because overlap: " in self.told(capsys, 2, "segment", *arguments)

    def test_missing_inputs_name_the_roles(self, capsys, tmp_path):
        start = ("segment", "--model", "petct-lesions-demo", "--output", tmp_path / "x")
        assert "needs the image(s) CT, PET, but none was given" in self.told(capsys, 3, *start)
        assert "needs the image(s) CT, PET, but T1 was given" in self.told(capsys, 3, *start, "--input", "T1=a.nii")

    def test_folder_for_a_file(self, package, capsys, tmp_path):
        (tmp_path / "dicom").mkdir()
        text = self.told(capsys, 4, "segment", "--model", package, "--input", f"T1={tmp_path}/dicom/", "--output", tmp_path / "x")
        assert "is a folder" in text and not (tmp_path / "x").exists()

    @pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd", "MASK.NII", "result.zip"])
    def test_file_for_a_folder(self, package, case, capsys, tmp_path, name):
        text = self.told(capsys, 2, "segment", "--model", package, "--input", f"T1={case}", "--output", tmp_path / name)
        assert "a folder is needed" in text and not (tmp_path / name).exists()

    def test_models_show_roles_and_keep_their_columns(self, capsys, monkeypatch, package, tmp_path):
        monkeypatch.setenv("VELOXSEG_MODELS", str(tmp_path / "models"))
        folder = Path(shutil.copytree(package, tmp_path / "models" / "long"))
        content = json.loads((folder / "configs" / "velox.json").read_text())
        (folder / "configs" / "velox.json").write_text(json.dumps(content | {"id": "x" * 64, "title": "T" * 100}))
        (tmp_path / "models" / "bad" / "configs").mkdir(parents=True)
        (tmp_path / "models" / "bad" / "configs" / "velox.json").write_text("{")
        assert cli.main(["models"]) == 0
        lines = capsys.readouterr().out.splitlines()
        rows = [line for line in lines if line.endswith(("shipped", "imported"))]
        assert len(rows) == len(lines) - 1
        assert len({line.rindex("  ") for line in rows}) == 1
        assert any(line.startswith("petct-lesions-demo") and " CT PET " in line for line in rows)
        assert all(line[64:66] == "  " for line in rows)

    def test_tables_keep_their_columns(self):
        segments = [{"name": name, "volume_ml": 1.5} for name in ("a", "x" * 31, "x" * 32, "x" * 80)]
        lines = "\n".join(cli._volume_lines({"segments": segments})).splitlines()
        assert {len(line) for line in lines if line.endswith("1.50")} == {44}

    def test_help_says_the_kinds_and_the_completion(self, capsys):
        assert cli.main(["phantom", "--help"]) == 0
        told = capsys.readouterr().out
        assert all(kind in told for kind in ("petct", "dermoscopy", "head-neck"))
        assert cli.main(["--help"]) == 0
        assert "--tyro-print-completion" in capsys.readouterr().out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"veloxseg {veloxseg.__version__}\n"
