"""Model packages: written, verified, damaged, imported."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine_cases import blob_image, card, label, role, tiny_arguments, tiny_package
from photo_cases import (
    NCA_ARGUMENTS,
    SAMPLING,
    VELOXSEG_ARGUMENTS,
    disk,
    photo_card,
    photo_package,
    photo_role,
    save,
    skin,
    veloxseg_card,
)
from veloxseg import files
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.networks import VeloxSeg
from veloxseg.networks.nca import NCA
from veloxseg.packages import bundles, cards, package_import, package_writer, packages


def refusal(call, *arguments):
    with pytest.raises(VeloxSegError) as caught:
        call(*arguments)
    assert caught.value.exit_code in (3, 4)
    return caught.value


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return tiny_package(tmp_path_factory.mktemp("packages") / "tiny-test")


@pytest.fixture
def package(original, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "tiny-test"))


def change_card(folder, **changes):
    path = folder / cards.CARD
    content = json.loads(path.read_text())
    files.write_json(path, {**content, **changes})
    package_writer.write_manifest(folder)


class TestWrite:
    def test_contents(self, original):
        names = {path.relative_to(original).as_posix() for path in original.rglob("*") if path.is_file()}
        assert names == {
            "LICENSE",
            "configs/inference.json",
            "configs/metadata.json",
            "configs/velox.json",
            "docs/README.md",
            "example/T1.nii.gz",
            "example/expected.json",
            "example/mask.nii.gz",
            "manifest.json",
            "models/model.safetensors",
        }

    def test_verifies(self, original):
        assert packages.verify(original) == 1.0

    def test_network_is_the_one_that_was_written(self, original):
        torch.manual_seed(0)
        arguments = {**card()["architecture"]["arguments"], "teachers": False, "deep_supervision": False}
        written = VeloxSeg(**arguments).half().float().eval()
        network = packages.read(original).network()
        image = torch.randn(1, sum(arguments["in_ch"]), *arguments["input_size"])
        with torch.inference_mode():
            logits = written(image)
            expected, found = logits[:, 1:] - logits[:, :1], network(image)
        assert not network.training
        assert torch.allclose(found, expected, atol=1e-4)

    def test_training_only_weights_are_left_out(self, tmp_path):
        the_card = card()
        full = VeloxSeg(**the_card["architecture"]["arguments"])
        mask = blob_image((24, 20, 22)) > 50
        package_writer.write(
            tmp_path / "p",
            full.state_dict(),
            the_card,
            package_writer.Example({"T1": blob_image((24, 20, 22))}, mask, 0.0),
            {"LICENSE": b"x"},
        )
        keys = load_file(tmp_path / "p" / packages.WEIGHTS)
        assert keys and not [key for key in keys if key.startswith(("rc_decoders", "decoder.out_conv2"))]

    def test_same_input_gives_the_same_bytes(self, original, tmp_path):
        again = tiny_package(tmp_path / "tiny-test")
        package_writer.pack(original, tmp_path / "a.zip")
        package_writer.pack(again, tmp_path / "b.zip")
        assert files.sha256(tmp_path / "a.zip") == files.sha256(tmp_path / "b.zip")

    def test_as_zip(self, tmp_path):
        tiny_package(tmp_path / "tiny.zip")
        assert os.listdir(tmp_path) == ["tiny.zip"]
        assert package_import.import_package(tmp_path / "tiny.zip", tmp_path / "models").card.id == "tiny-test"

    def test_invalid_card_leaves_nothing(self, tmp_path):
        with pytest.raises(VeloxSegError):
            tiny_package(tmp_path / "tiny", id="Not an id")
        assert os.listdir(tmp_path) == []

    def test_failed_update_keeps_the_older_package(self, package):
        with pytest.raises(VeloxSegError):
            tiny_package(package, threshold=7)
        assert packages.verify(package) == 1.0
        assert os.listdir(package.parent) == ["tiny-test"]

    def test_readme_says_what_a_person_must_know(self):
        scores = [
            {
                "name": "Dice",
                "data": "phantoms",
                "n": 30,
                "value": 0.8,
                "interval_95": [0.79, 0.81],
                "synthetic": True,
                "baseline": {"name": "copied labels", "value": 0.5},
            }
        ]
        text = bundles.readme(Card.of(card(scores=scores)))
        for words in (
            "Demonstration only",
            "0.800",
            "0.790-0.810",
            "copied labels: 0.500",
            "synthetic",
            "anything else",
        ):
            assert words in text


class TestDamage:
    """Every kind of damage is named, with exit code 3, and never runs."""

    def test_missing(self, tmp_path):
        assert refusal(packages.verify, tmp_path / "none").code == "MODEL_MISSING"

    def test_changed_weights(self, package):
        path = package / packages.WEIGHTS
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        error = refusal(packages.verify, package)
        assert error.code == "MODEL_CORRUPT" and packages.WEIGHTS in error.text
        error = refusal(packages.read(package).network)
        assert error.code == "MODEL_CORRUPT" and packages.WEIGHTS in error.text

    def test_weights_cut_off_with_fitting_hashes(self, package):
        path = package / packages.WEIGHTS
        path.write_bytes(path.read_bytes()[:1000])
        change_card(package, weights_sha256=files.sha256(path))
        assert refusal(packages.verify, package).code == "MODEL_CORRUPT"

    def test_weights_of_another_architecture(self, package):
        change_card(
            package,
            labels=[label(1), label(2)],
            architecture=card(labels=[label(1), label(2)])["architecture"],
        )
        error = refusal(packages.verify, package)
        assert error.code == "MODEL_CORRUPT" and "architecture" in error.text

    @pytest.mark.parametrize("name", ["LICENSE", "models/model.safetensors", "example/T1.nii.gz", "manifest.json"])
    def test_lost_file(self, package, name):
        (package / name).unlink()
        error = refusal(packages.verify, package)
        assert error.code == "MODEL_CORRUPT" and name in error.text

    def test_extra_file(self, package):
        (package / "configs" / "more.py").write_text("")
        assert "configs/more.py" in refusal(packages.verify, package).text

    def test_link(self, package):
        (package / "LICENSE").unlink()
        (package / "LICENSE").symlink_to("/etc/hostname")
        assert "link" in refusal(packages.verify, package).text

    def test_card_is_not_json(self, package):
        (package / cards.CARD).write_text("{")
        assert refusal(packages.read, package).code == "MODEL_CORRUPT"

    @pytest.mark.parametrize(
        "changes,field",
        [
            ({"threshold": 2}, "threshold"),
            ({"roles": []}, "roles"),
            ({"id": "../up"}, "id"),
            ({"more": 1}, "more"),
            ({"level": "clinical"}, "level"),
            ({"labels": [label(1), label(1)]}, "labels"),
            ({"roles": [role("A"), role("B")]}, "reference"),
            ({"roles": [role(intensity={"kind": "magic"})]}, "intensity"),
            (
                {
                    "architecture": {
                        "name": "VeloxSeg",
                        "arguments": {**card()["architecture"]["arguments"], "n_classes": 5},
                    }
                },
                "n_classes",
            ),
        ],
    )
    def test_schema(self, package, changes, field):
        change_card(package, **changes)
        error = refusal(packages.read, package)
        assert error.code == "MODEL_SCHEMA" and field in error.text

    @pytest.mark.parametrize("said, level", [(True, "demo"), (False, "research")])
    def test_cards_of_before_there_were_levels(self, package, said, level):
        path = package / cards.CARD
        content = json.loads(path.read_text())
        assert content["level"] == "demo" and "demo" not in content
        del content["level"]
        files.write_json(path, content)
        assert "level" in refusal(packages.read, package).text
        files.write_json(path, content | {"demo": said})
        package_writer.write_manifest(package)
        read = packages.read(package).card
        assert read.level == read.content["level"] == level and "demo" not in read.content
        assert read.marked_title == f"[{level}] Tiny test"
        assert packages.verify(package) > 0.9

    @pytest.mark.parametrize("changes", [{"input_size": [30, 30, 30]}, {"unknown": 1}])
    def test_arguments_that_make_no_network(self, package, changes):
        arguments = {**card()["architecture"]["arguments"], **changes}
        change_card(package, architecture={"name": "VeloxSeg", "arguments": arguments})
        error = refusal(packages.verify, package)
        assert error.code == "MODEL_SCHEMA" and "architecture.arguments" in error.text

    @pytest.mark.parametrize("changes", [{"schema_version": 2}, {"engine_version": ">=9.0"}])
    def test_newer_than_the_engine(self, package, changes):
        change_card(package, **changes, entirely_new=1)
        error = refusal(packages.read, package)
        assert error.code == "MODEL_NEWER" and "update" in error.text

    def test_example_with_another_answer(self, package):
        mask = blob_image((24, 20, 22)) > 1000
        package_writer._write_example(package, package_writer.Example({"T1": blob_image((24, 20, 22))}, mask))
        package_writer.write_manifest(package)
        assert "Dice" in refusal(packages.verify, package).text

    @pytest.mark.parametrize(
        "expected",
        [
            {},
            [],
            {"inputs": {"T1": "../../outside.nrrd"}, "mask": "mask.nii.gz", "dice_min": 0},
            {"inputs": {"T1": "none.nrrd"}, "mask": "mask.nii.gz", "dice_min": 0},
        ],
    )
    def test_unusable_example(self, package, expected):
        files.write_json(package / packages.EXPECTED, expected)
        package_writer.write_manifest(package)
        assert refusal(packages.verify, package).code == "MODEL_CORRUPT"


def nca(**changes):
    return {"name": "NCA", "arguments": {**NCA_ARGUMENTS, **changes}}


def flat_veloxseg(**changes):
    return {"name": "VeloxSeg", "arguments": {**VELOXSEG_ARGUMENTS, **changes}}


class TestPhotoCard:
    @pytest.mark.parametrize("the_card", [photo_card(), veloxseg_card(), photo_card(architecture=nca(prediction="direct"))])
    def test_valid(self, the_card):
        cards.check_card(the_card, "test")

    @pytest.mark.parametrize(
        "the_card,field",
        [
            (photo_card(working_size=None), "working_size"),
            (photo_card(working_size=8), "working_size"),
            (photo_card(spacing_mm=[2.0, 2.0, 2.0]), "spacing_mm"),
            (photo_card(window={"overlap": 0.5, "blend": "gaussian"}), "window"),
            (photo_card(smoothing_mm=1), "smoothing_mm"),
            (photo_card(lesions=True), "lesions"),
            (photo_card(labels=[label(1), label(2)]), "labels"),
            (photo_card(roles=[photo_role(), role("CT", reference=False)]), "roles"),
            (photo_card(roles=[photo_role(reference=False)]), "reference"),
            (photo_card(roles=[photo_role(intensity={"kind": "zscore_foreground"})]), "intensity"),
            (photo_card(sampling=None), "sampling"),
            (photo_card(sampling={**SAMPLING, "members": 0}), "members"),
            (photo_card(sampling={**SAMPLING, "method": "magic"}), "method"),
            (photo_card(sampling={**SAMPLING, "fusion": "magic"}), "fusion"),
            (photo_card(sampling={**SAMPLING, "calls": 1001}), "calls"),
            (photo_card(sampling={**SAMPLING, "more": 1}), "sampling"),
            (photo_card(architecture=nca(in_ch=1)), "in_ch"),
            (photo_card(architecture=nca(spatial_dim=3)), "spatial_dim"),
            (photo_card(architecture=nca(channels="12")), "channels"),
            (photo_card(architecture={"name": "UNet", "arguments": {}}), "architecture"),
            (veloxseg_card(sampling=SAMPLING), "sampling"),
            (veloxseg_card(working_size=128), "working_size"),
            (veloxseg_card(architecture=flat_veloxseg(spatial_dim=3)), "spatial_dim"),
            (veloxseg_card(architecture=flat_veloxseg(in_ch=[1])), "in_ch"),
            (veloxseg_card(architecture=flat_veloxseg(n_classes=3)), "n_classes"),
            (card(spacing_mm=None), "spacing_mm"),
            (card(window=None), "window"),
            (card(working_size=64), "working_size"),
            (card(sampling=SAMPLING), "sampling"),
            (card([role(intensity={"kind": "rgb"})]), "intensity"),
            (card(architecture=nca()), "window.size"),
            (card(architecture={"name": "VeloxSeg", "arguments": {**tiny_arguments(), "input_size": [32, 32]}}), "input_size"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_disagreements(self, the_card, field):
        error = refusal(cards.check_card, the_card, "test")
        assert error.code == "MODEL_SCHEMA" and field in error.text

    def test_arguments_that_make_no_network(self):
        error = refusal(packages.build_network, Card.of(photo_card(architecture=nca(channels=3))))
        assert error.code == "MODEL_SCHEMA" and "channels" in error.text


@pytest.fixture(scope="module")
def photo_original(tmp_path_factory):
    return photo_package(tmp_path_factory.mktemp("packages") / "tiny-test")


class TestPhotoPackage:
    @pytest.fixture
    def package(self, photo_original, tmp_path):
        """A copy that a test may damage."""
        return Path(shutil.copytree(photo_original, tmp_path / "tiny-test"))

    def test_contents(self, photo_original):
        names = {path.relative_to(photo_original).as_posix() for path in photo_original.rglob("*") if path.is_file()}
        assert names == {
            "LICENSE",
            "configs/metadata.json",
            "configs/velox.json",
            "docs/README.md",
            "example/expected.json",
            "example/mask.png",
            "example/photo.png",
            "manifest.json",
            "models/model.safetensors",
        }

    def test_verifies(self, photo_original):
        assert packages.verify(photo_original) == 1.0
        assert isinstance(packages.read(photo_original).network(), NCA)

    def test_veloxseg_verifies(self, tmp_path):
        assert packages.verify(photo_package(tmp_path / "p", veloxseg_card())) == 1.0

    def test_same_input_gives_the_same_bytes(self, photo_original, tmp_path):
        again = photo_package(tmp_path / "tiny-test")
        assert (again / packages.MANIFEST).read_bytes() == (photo_original / packages.MANIFEST).read_bytes()

    def test_through_a_zip(self, photo_original, tmp_path):
        package_writer.pack(photo_original, tmp_path / "p.zip")
        assert package_import.import_package(tmp_path / "p.zip", tmp_path / "models").card.working_size == 64

    def test_texts(self, photo_original):
        metadata = json.loads((photo_original / "configs" / "metadata.json").read_text())
        image = metadata["network_data_format"]["inputs"]["image"]
        assert image["num_channels"] == 3 and image["spatial_shape"] == [64, 64] and image["modality"] == "XC"
        assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "Lesion"}
        readme = (photo_original / "docs" / "README.md").read_text()
        assert "square of 64 pixels" in readme and "3 members" in readme and " mm " not in readme

    def test_weights_of_a_veloxseg(self, package):
        change_card(package, **{key: veloxseg_card()[key] for key in ("architecture",)}, sampling=SAMPLING)
        assert refusal(packages.verify, package).code == "MODEL_SCHEMA"

    @pytest.mark.parametrize(
        "damage",
        [
            lambda example: save(~disk(70, 90, 20), example / "mask.png"),
            lambda example: save(disk(70, 80, 20), example / "mask.png"),
            lambda example: (example / "mask.png").write_bytes(b"no picture"),
            lambda example: (example / "photo.png").write_bytes(b"no picture"),
            lambda example: save(skin(disk(70, 90, 20))[..., 0], example / "photo.png"),
        ],
        ids=["answer", "size", "mask", "photo", "gray"],
    )
    def test_damaged_example(self, package, damage):
        damage(package / "example")
        package_writer.write_manifest(package)
        error = refusal(packages.verify, package)
        assert error.code in ("MODEL_CORRUPT", "MODEL_ANSWER") and "example" in error.text


def test_find(original, tmp_path, monkeypatch):
    monkeypatch.setenv("VELOXSEG_MODELS", str(tmp_path))
    assert cards.find(original) == original
    assert refusal(cards.find, "no-such-model").code == "MODEL_MISSING"


@pytest.mark.parametrize("folder", cards.shipped(), ids=lambda folder: folder.name)
def test_shipped_packages_are_intact(folder):
    assert packages.verify(folder) >= 0.99
    assert folder.name == packages.read(folder).card.id
