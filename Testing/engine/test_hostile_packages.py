"""Packages that are meant to harm, or were damaged in unusual ways: refused with a sentence, before anything is computed."""

import copy
import json
import os
import random
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from damaged_packages import archive_of, zipped
from engine_cases import blob_image, card, tiny_package, write_image
from photo_cases import photo_card
from veloxseg import files
from veloxseg.commands import cli
from veloxseg.contract import errors, limits
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.packages import bundles, cards, package_import, package_writer, packages
from veloxseg.service import children

LIB = Path(cards.__file__).parents[2] / "VeloxSegSlicerLib"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return tiny_package(tmp_path_factory.mktemp("packages") / "tiny-test")


@pytest.fixture
def package(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "tiny-test"))


def refusal(function, *arguments):
    with pytest.raises(VeloxSegError) as caught:
        function(*arguments)
    text = caught.value.text
    assert "\n" not in text and text.endswith(".") and text.isprintable() and len(text) < 700
    return caught.value


def with_arguments(**changes):
    plain = card()["architecture"]["arguments"]
    return {"architecture": {"name": "VeloxSeg", "arguments": {**plain, **changes}}}


def with_intensity(**changes):
    roles = card()["roles"]
    return {"roles": [{**roles[0], "intensity": {"kind": "clip_zscore", "low": 0, "high": 1, "mean": 0, "std": 1, **changes}}]}


SCORE = {"name": "Dice", "data": "d", "n": 1, "value": 0.5, "synthetic": True}
CARDS = {
    "depths": with_arguments(depths=[1, 1, 1, 10**5]),
    "conv_depths": with_arguments(conv_depths=[10**5] * 4),
    "base_ch": with_arguments(base_ch=10**6),
    "attn_base_ch": with_arguments(attn_base_ch=10**6),
    "kernel_sizes": with_arguments(kernel_sizes=[10**4 + 1]),
    "many kernels": with_arguments(kernel_sizes=[3] * 10**4),
    "min_dim_head": with_arguments(min_dim_head=[10**9] * 4),
    "num_heads": with_arguments(num_heads=[10**9] * 4),
    "expansion": with_arguments(conv_expansion_factor=[10**6] * 4),
    "n_classes": with_arguments(n_classes=10**6),
    "in_ch": with_arguments(in_ch=[10**6]),
    "input_size": with_arguments(input_size=[10**6] * 3),
    "window": with_arguments(input_size=[512] * 3),
    "patch_size": with_arguments(patch_size=10**4),
    "dropout": with_arguments(attn_drop=-1),
    "integer": with_arguments(patch_size=4.0),
    "boolean": with_arguments(base_ch=True),
    "spatial_dim": with_arguments(spatial_dim=True),
    "spacing small": {"spacing_mm": [1e-9] * 3},
    "spacing large": {"spacing_mm": [1e30] * 3},
    "scores": {"scores": [SCORE] * 100_000},
    "score": {"scores": [{**SCORE, "name": "a\nb"}]},
    "limits": {"limits": ["x"] * 10_000},
    "id": {"id": "tiny\n"},
    "id in two lines": {"id": "tiny\ntest"},
    "version": {"version": "1.0." + "9" * 5000},
    "version line": {"version": "1.0.0\n"},
    "engine": {"engine_version": ">=" + "9" * 5000},
    "hash": {"weights_sha256": "0" * 64 + "\n"},
    "title": {"title": "Two\nlines"},
    "escape": {"title": "\x1b[2J"},
    "long title": {"title": "x" * 10**5},
    "empty range": with_intensity(low=1, high=1),
    "overflow": with_intensity(std=1e-300),
    "far": with_intensity(mean=1e300),
    "schema": {"schema_version": 10**20},
    "schema kind": {"schema_version": True},
}


class TestCards:
    @pytest.mark.parametrize("changes", CARDS.values(), ids=CARDS)
    def test_refused_by_the_card_alone(self, changes):
        assert refusal(cards.check_card, card(**changes), "test").code in ("MODEL_SCHEMA", "MODEL_NEWER")

    @pytest.mark.parametrize(
        "name, value",
        [
            ("steps", 10**9),
            ("levels", 10**6),
            ("channels", 10**6),
            ("hidden", 10**9),
            ("diffusion_steps", 10**12),
            ("kernels", [10**5 + 1]),
        ],
    )
    def test_automata(self, name, value):
        content = copy.deepcopy(photo_card())
        content["architecture"]["arguments"][name] = value
        assert refusal(cards.check_card, content, "test").code == "MODEL_SCHEMA"

    @pytest.mark.parametrize(
        "text",
        [
            b"[" * 10**6,
            b'{"a":' * 10**5,
            b"{}" + b" " * (2 << 20),
            b"\xff\xfe",
            b'{"id": "\\ud800"}',
            b'{"version": ' + b"1" * 5000 + b"}",
            b"[" + b"{}," * 60_000 + b"{}]",
            b'{"threshold": NaN}',
            b'{"id": "a", "id": "b"}',
        ],
    )
    def test_texts(self, package, text):
        (package / cards.CARD).write_bytes(text)
        assert refusal(packages.read, package).code in ("MODEL_CORRUPT", "MODEL_SCHEMA")
        assert cards.find(str(package)) == package

    def test_one_bad_package_does_not_hide_the_others(self, package, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("VELOXSEG_MODELS", str(tmp_path))
        (shutil.copytree(package, tmp_path / "bad") / cards.CARD).write_text('{"version": "' + "9" * 5000 + '"}')
        assert cli.main(["models"]) == 0 and "tiny-test" in capsys.readouterr().out
        assert cards.find("tiny-test") == package

    def test_every_shipped_card_is_within_the_limits(self):
        for folder in cards.shipped():
            cards.read(folder)
            assert bundles.foreign(folder, cards.read(folder)) == "", folder.name


class TestWeights:
    def changed(self, package, change):
        """The package with other weights that card and manifest agree with."""
        path = package / packages.WEIGHTS
        state = load_file(path)
        change(state)
        save_file(state, path)
        content = json.loads((package / cards.CARD).read_text())
        files.write_json(package / cards.CARD, {**content, "weights_sha256": files.sha256(path)})
        package_writer.write_manifest(package)
        return packages.read(package)

    @pytest.mark.parametrize(
        "change",
        [
            lambda tensor: tensor.bool(),
            lambda tensor: tensor.to(torch.complex64),
            lambda tensor: tensor.long(),
            lambda tensor: tensor * torch.nan,
            lambda tensor: tensor + torch.inf,
            lambda tensor: tensor.double() + 1e300,
            lambda tensor: tensor[:0],
        ],
        ids=["bool", "complex", "whole", "nan", "inf", "beyond", "empty"],
    )
    def test_numbers(self, package, change):
        def one(state):
            name = next(iter(state))
            state[name] = change(state[name]).contiguous()

        assert refusal(self.changed(package, one).network).code == "MODEL_CORRUPT"

    def test_writer_refuses_them(self, package, tmp_path):
        state = {name: tensor * torch.nan for name, tensor in load_file(package / packages.WEIGHTS).items()}
        with pytest.raises(ValueError, match="not finite"):
            package_writer._write_weights(tmp_path / "w.safetensors", state, Card.of(card()))

    def test_read_once(self, package, monkeypatch):
        """A file that changes between check and use would run unchecked weights."""
        read, reads = Path.read_bytes, []
        monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path.name) or read(path))
        monkeypatch.setattr(packages.files, "sha256", lambda path: pytest.fail("hashed by another reading"))
        packages.read(package).network()
        assert reads.count("model.safetensors") == 1

    def test_architecture_far_larger_than_the_file(self, package, monkeypatch):
        """Refused before memory is taken: a network is built on the device `meta` only."""
        content = json.loads((package / cards.CARD).read_text())
        content["architecture"]["arguments"] |= {"base_ch": 128, "attn_base_ch": 128, "min_dim_group": [128, 256, 512, 1024]}
        files.write_json(package / cards.CARD, content)
        devices, build = [], packages.build_network
        monkeypatch.setattr(
            packages, "build_network", lambda the_card: devices.append(torch.get_default_device().type) or build(the_card)
        )
        assert refusal(packages.read(package).network).code == "MODEL_CORRUPT"
        assert devices == ["meta"]


class TestExample:
    @pytest.mark.parametrize("least", ["NaN", "-1", "0", "true", '"0.9"', "null", "1e400", "2", "[1]"])
    def test_least_dice(self, package, least):
        path = package / packages.EXPECTED
        path.write_text(path.read_text().replace("0.99", least))
        package_writer.write_manifest(package)
        assert refusal(packages.verify, package).code == "MODEL_CORRUPT"


class TestOtherTools:
    """MONAI's command evaluates texts of `configs`."""

    @pytest.mark.parametrize("name", ["configs/train.json", "configs/logging.txt", "configs/more/inference.json"])
    def test_foreign_file(self, package, name):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text("{}")
        package_writer.write_manifest(package)
        assert name in refusal(packages.verify, package).text

    def test_foreign_inference(self, package):
        path = package / bundles.INFERENCE
        path.write_text(path.read_text().replace("$import torch", "$import os"))
        package_writer.write_manifest(package)
        assert bundles.INFERENCE in refusal(packages.verify, package).text

    @pytest.mark.parametrize("text", ["$__import__('os').abort()", "@network", "%x", " $1"])
    def test_metadata(self, package, text):
        content = json.loads((package / bundles.METADATA).read_text())
        files.write_json(package / bundles.METADATA, {**content, "changelog": {"1.0.0": [text]}})
        package_writer.write_manifest(package)
        assert "evaluated" in refusal(packages.verify, package).text

    def test_text_of_the_card(self, package):
        content = json.loads((package / cards.CARD).read_text())
        files.write_json(package / cards.CARD, {**content, "summary": "$1"})
        package_writer.write_manifest(package)
        assert "evaluated" in refusal(packages.verify, package).text


class TestZips:
    @pytest.fixture
    def models(self, tmp_path):
        return tmp_path / "models"

    def refused(self, source, models):
        error = refusal(package_import.import_package, source, models)
        assert not models.exists() or os.listdir(models) == []
        return error

    @pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
    def test_damaged_compression(self, models, tmp_path, method):
        path = tmp_path / "p.zip"
        with zipfile.ZipFile(path, "w", method) as target:
            target.writestr("configs/velox.json", os.urandom(3000).hex())
        data = bytearray(path.read_bytes())
        generator = random.Random(method)
        for _ in range(20):
            data[generator.randrange(60, 1500)] ^= 0xFF
        path.write_bytes(data)
        assert self.refused(path, models).code == "MODEL_FILE"

    @pytest.mark.parametrize(
        "name",
        [
            "CON.json",
            "docs/nul.txt",
            "docs/x./a.txt",
            "x" * 200 + ".txt",
            "a/b/c/d/e/f/g/h/i/j.txt",
            "docs/\n.txt",
            "docs/\x1b.txt",
            "a?.txt",
            "a:b.txt",
        ],
    )
    def test_names(self, models, tmp_path, name):
        assert self.refused(archive_of(tmp_path / "p.zip", [(name, "x")]), models).code == "MODEL_UNSAFE"

    @pytest.mark.parametrize(
        "pair", [("LICENSE", "LICENSE/a.txt"), ("é.txt", "e\u0301.txt"), ("A.txt", "a.TXT"), ("ß.txt", "SS.txt")]
    )
    def test_two_of_one_name(self, models, tmp_path, pair):
        assert self.refused(archive_of(tmp_path / "p.zip", [(name, "x") for name in pair]), models).code == "MODEL_UNSAFE"

    def test_fuzzed_bytes(self, package, models, tmp_path, monkeypatch):
        """Any damage of a zip is found; a package that still passes is the one that was packed."""
        monkeypatch.setattr(packages, "dry_run", lambda _package: 1.0)
        plain = zipped(package, tmp_path / "p.zip").read_bytes()
        generator = random.Random(15)
        for _ in range(60):
            data = bytearray(plain)
            for _ in range(generator.randint(1, 4)):
                data[
                    generator.choice([generator.randrange(len(data)), generator.randrange(200), -generator.randrange(1, 900)])
                ] = generator.randrange(256)
            (tmp_path / "p.zip").write_bytes(data)
            try:
                package_import.import_package(tmp_path / "p.zip", models)
                assert packages.check_manifest(packages.read(models / "tiny-test-1.0.0")) is None
                shutil.rmtree(models)
            except VeloxSegError as error:
                assert error.code.startswith("MODEL_") and "\n" not in error.text
                assert not models.exists() or os.listdir(models) == []

    def test_fuzzed_cards(self, package):
        """A value of any kind in any place: refused or understood, never an unexpected failure."""
        generator = random.Random(16)
        plain = json.loads((package / cards.CARD).read_text())
        strange = [None, True, -1, 0, 10**12, 1e300, "", "x\ny", "x" * 9000, [], {}, [[1]], {"a": {}}, 0.5, [1] * 300]
        for _ in range(400):
            content = json.loads(json.dumps(plain))
            place = content
            while True:
                key = generator.choice(list(place) if isinstance(place, dict) else range(len(place)))
                below = place[key]
                if not isinstance(below, dict | list) or not below or generator.random() < 0.3:
                    break
                place = below
            place[key] = generator.choice(strange)
            try:
                cards.check_card(content, "fuzz")
            except VeloxSegError as error:
                assert error.code in ("MODEL_SCHEMA", "MODEL_NEWER") and error.text.isprintable()


class TestKilledImport:
    """Whenever a process dies while it replaces a package, one of both is there afterwards, and nothing half."""

    CODE = (
        "import os, sys; from pathlib import Path; from veloxseg import files\n"
        "left, replace = int(sys.argv[2]), os.replace\n"
        "def dying(*names):\n"
        "    global left\n"
        "    left -= 1\n"
        "    os._exit(9) if left == 0 else replace(*names)\n"
        "os.replace = dying\n"
        "with files.replacing_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'configs').mkdir(); (folder / 'configs' / 'velox.json').write_text('new')\n"
    )

    @pytest.mark.parametrize("moment, there", [(1, "old"), (2, "old"), (3, "new")])
    @pytest.mark.parametrize("replaces", [True, False])
    def test_one_of_both(self, tmp_path, moment, there, replaces):
        target = tmp_path / "tiny-1.0.0"
        if replaces:
            (target / "configs").mkdir(parents=True)
            (target / cards.CARD).write_text("old")
        command = children.command("-c", self.CODE, str(target), str(moment))
        subprocess.run(command, env=children.environment(), check=False)
        found = cards.imported(tmp_path)
        if replaces:
            assert [(folder / cards.CARD).read_text() for folder in found] == [there]
        else:
            assert len(found) == (moment > 1)
        assert [path.name for path in tmp_path.iterdir()] == [folder.name for folder in found]

    def test_what_is_being_written_is_not_listed(self, tmp_path, original):
        shutil.copytree(original, files.partial_name(tmp_path / "tiny-test"))
        assert cards.imported(tmp_path) == [] and len(os.listdir(tmp_path)) == 1


class TestLicense:
    @pytest.fixture
    def restricted(self, tmp_path):
        return tiny_package(tmp_path / "restricted", license="CC-BY-NC-4.0")

    def test_segment(self, restricted, tmp_path, capsys):
        image = write_image(blob_image(), tmp_path / "t1.nrrd")
        command = ["segment", "--model", str(restricted), "--input", f"T1={image}", "--output", str(tmp_path / "out")]
        assert cli.main(command) == errors.EXIT_MODEL
        told = capsys.readouterr().err
        assert "CC-BY-NC-4.0" in told and "--accept-license" in told and str(restricted / "LICENSE")[-60:] in told
        assert not (tmp_path / "out").exists()
        assert cli.main([*command, "--accept-license"]) == 0

    def test_batch(self, restricted, tmp_path, capsys):
        (tmp_path / "images").mkdir()
        write_image(blob_image(), tmp_path / "images" / "t1.nrrd")
        settings = {"schema_version": 1, "model": str(restricted), "source": {"kind": "names", "path": "images"}, "output": "out"}
        (tmp_path / "settings.json").write_text(json.dumps(settings | {"device": "cpu"}))
        command = ["batch", str(tmp_path / "settings.json")]
        assert cli.main([*command, "--preview"]) == 0
        assert cli.main(command) == errors.EXIT_MODEL and not (tmp_path / "out").exists()
        assert cli.main([*command, "--accept-license"]) == 0

    def test_permissive_ones_need_no_word_of_consent(self):
        for license_name in limits.PERMISSIVE:
            cards.check_license(Card.of(card(license=license_name)), Path("none"), False)
        for license_name in ("unknown", "apache-2.0", "CC-BY-NC-4.0", "Proprietary"):
            assert refusal(cards.check_license, Card.of(card(license=license_name)), Path("none"), False).code == "MODEL_LICENSE"
