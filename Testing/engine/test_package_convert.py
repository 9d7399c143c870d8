"""Somebody's checkpoint and a card become a package; what is no weights is refused with one sentence, and nothing is left."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engine_cases import card, tiny_arguments
from photo_cases import photo_card
from veloxseg.commands import cli
from veloxseg.contract.errors import VeloxSegError
from veloxseg.networks import VeloxSeg
from veloxseg.packages import package_convert, package_import, packages

PREFIXES = ("", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return VeloxSeg(**tiny_arguments()).eval()


@pytest.fixture
def card_file(tmp_path) -> Path:
    content = card()
    content.pop("weights_sha256", None)
    (tmp_path / "card.json").write_text(json.dumps(content))
    return tmp_path / "card.json"


def published(network, prefix="module.", **changes) -> dict:
    """What the published training saves, with the profiler's leftovers among the weights."""
    state = {prefix + key: value for key, value in network.state_dict().items()}
    leftovers = {"module.encoder.total_ops": torch.zeros(1, dtype=torch.float64), "module.total_params": torch.zeros(1)}
    return {"model": state | leftovers, "optimizer": {"state": {}}, "epoch": 299, "best_val_dice": 0.7, **changes}


def saved(tmp_path, content) -> Path:
    torch.save(content, tmp_path / "best.pth")
    return tmp_path / "best.pth"


def refused(tmp_path, content, card_file) -> str:
    path = content if isinstance(content, Path) else saved(tmp_path, content)
    before = set(tmp_path.iterdir())
    with pytest.raises(VeloxSegError) as caught:
        package_convert.convert(path, card_file, tmp_path / "out.zip")
    assert caught.value.code == "CONVERT" and set(tmp_path.iterdir()) == before
    assert caught.value.text.startswith(str(path)) or str(card_file) in caught.value.text
    return caught.value.text


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_and_leftovers(network, tmp_path, prefix):
    state = package_convert._read_weights(saved(tmp_path, published(network, prefix)))
    assert state.keys() == network.state_dict().keys()


def test_the_package_can_be_imported_and_computes_what_the_weights_do(network, tmp_path, card_file):
    found = package_convert.convert(saved(tmp_path, published(network)), card_file, tmp_path / "out.zip")
    package = package_import.import_package(found, tmp_path / "models")
    assert packages.verify(package.folder) == 1.0
    loaded, rounded = package.network(), VeloxSeg(**tiny_arguments()).eval()
    rounded.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in network.state_dict().items()})
    image = torch.randn(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        plain = rounded(image)
        assert torch.allclose(loaded(image), plain[:, 1:] - plain[:, :1], atol=1e-4)
    assert package.card.content["limits"][0].startswith("THIS MODEL WAS NEVER SCORED")
    example = sorted(path.name for path in (package.folder / "example").iterdir())
    assert example == ["T1.nii.gz", "expected.json", "mask.nii.gz"]


def test_photos_have_a_phantom_as_example(tmp_path):
    content = photo_card()
    (tmp_path / "card.json").write_text(json.dumps(content))
    state = packages.build_network(package_convert.Card.of(content)).state_dict()
    found = package_convert.convert(saved(tmp_path, state), tmp_path / "card.json", tmp_path / "out.zip")
    assert package_import.import_package(found, tmp_path / "models").card.takes_photo


def test_numbers_of_numpy_beside_the_weights(network, tmp_path, card_file):
    text = refused(tmp_path, published(network, best_val_dice=np.float64(0.7)), card_file)
    assert "numbers of numpy" in text and "torch.save(model.state_dict()" in text


class Intruder:
    """Unpickling this would run code of our choice."""

    def __reduce__(self):
        return (pytest.fail, ("a checkpoint ran code",))


def test_nothing_in_a_checkpoint_is_executed(network, tmp_path, card_file):
    assert "more than weights" in refused(tmp_path, published(network, extra=Intruder()), card_file)


BROKEN = {
    "not a number": (lambda s: s | {FIRST: s[FIRST] * float("nan")}, "not finite"),
    "too large for half precision": (lambda s: s | {FIRST: s[FIRST] * 0 + 1e6}, "half precision"),
    "a parameter is missing": (lambda s: {k: v for k, v in s.items() if k != FIRST}, "missing"),
    "another shape": (lambda s: s | {FIRST: torch.zeros(3)}, "has shape"),
    "a stranger": (lambda s: s | {"stranger": torch.zeros(3)}, "unknown"),
    "nothing": (lambda s: {}, "no state dict"),
    "one name twice": (lambda s: s | {f"module.{FIRST}": s[FIRST]}, "two parameters of one name"),
    "a list": (lambda s: [1, 2], "no state dict"),
}
FIRST = "encoder.attn2conv_1.0.weight"


@pytest.mark.parametrize("name", BROKEN)
def test_weights_that_make_no_model(network, tmp_path, card_file, name):
    change, words = BROKEN[name]
    assert words in refused(tmp_path, change(network.state_dict()), card_file)


def test_files_that_are_no_checkpoint(network, tmp_path, card_file):
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.pth").write_bytes(b"")
    whole = saved(tmp_path, network.state_dict()).read_bytes()
    (tmp_path / "half.pth").write_bytes(whole[: len(whole) // 2])
    for name in ("text.pth", "empty.pth", "half.pth"):
        refused(tmp_path, tmp_path / name, card_file)
    assert "doesn't exist" in refused(tmp_path, tmp_path / "gone.pth", card_file)
    assert "can't be read" in refused(tmp_path, tmp_path, card_file)


@pytest.mark.parametrize("text", ["{", "[1]", "nonsense", '{"a": NaN}'])
def test_cards_that_are_none(network, tmp_path, card_file, text):
    card_file.write_text(text)
    assert "card" in refused(tmp_path, network.state_dict(), card_file)
    card_file.unlink()
    assert "doesn't exist" in refused(tmp_path, network.state_dict(), card_file)


def test_a_card_without_a_field_is_named(network, tmp_path, card_file):
    content = json.loads(card_file.read_text())
    content.pop("labels")
    card_file.write_text(json.dumps(content))
    with pytest.raises(VeloxSegError, match="labels") as caught:
        package_convert.convert(saved(tmp_path, network.state_dict()), card_file, tmp_path / "out.zip")
    assert caught.value.code == "MODEL_SCHEMA"


def test_command(network, tmp_path, card_file, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, network.state_dict())
    assert cli.main(["models", "convert", str(path), "--card", str(card_file)]) == 0
    assert "tiny-test-1.0.0.zip: to be imported with" in capsys.readouterr().out
    assert package_import.import_package(tmp_path / "tiny-test-1.0.0.zip", tmp_path / "models").card.id == "tiny-test"
    assert cli.main(["models", "convert", str(path)]) == 2
    assert "--card" in capsys.readouterr().err
