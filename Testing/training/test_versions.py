"""Training with packages that are too old: one sentence, and nothing begun."""

import sys
from importlib import metadata

import pytest

from training import prepare, train


@pytest.mark.parametrize("name", ["torch", "monai"])
@pytest.mark.parametrize(
    ("door", "words"),
    [
        (train, "cases --data.folder data --run out"),
        (prepare, "phantom --kind petct --output out --card c --train 1 2 --validation 3 4 --test 5 6"),
    ],
)
def test_too_old(monkeypatch, tmp_path, name, door, words):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda asked: "1.0" if asked == name else real(asked))
    monkeypatch.setattr(sys, "argv", ["program", *words.split()])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=f"Too old for this VeloxSeg: {name} 1.0; update with: pip install"):
        door.main()
    assert list(tmp_path.iterdir()) == []
