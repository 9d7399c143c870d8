"""The questions about NCA diffusion: their tables, and every command on a tiny run."""

from pathlib import Path

import numpy as np
import pytest

from training import prepare, questions, train
from training.datasets.phantom import Phantom
from training.experiments import sampling, tables, variants
from veloxseg.contract.errors import VeloxSegError
from veloxseg.networks.nca import PRESETS, NCAConfig

CARD = Path(train.__file__).parent / "cards" / "skin-lesion-nca-demo.json"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps on four phantoms, by the command that trains the rows of a question."""
    folder = tmp_path_factory.mktemp("questions")
    seeds = {"train": (1, 5), "validation": (50, 51), "test": (60, 63)}
    assert prepare.prepare(Phantom(output=folder / "data", kind="dermoscopy", card=CARD, **seeds)) == []
    scale = variants.Scale("small", "small", 32, 2, (1, 2), 1)
    table = variants.answer("prediction", scale, None, folder / "data", folder / "runs", False)
    assert table.count("\n| ") == 4 and "n = 3 test photos" in table and "seeds 1, 2" in table
    before = {path: path.stat().st_mtime for path in folder.glob("runs/*/best.pt")}
    assert len(before) == 6
    variants.answer("prediction", scale, (1,), folder / "data", folder / "runs", False)
    assert {path: path.stat().st_mtime for path in before} == before, "finished runs are not trained again"
    return next(folder.glob("runs/*-v-*-seed1"))


def test_answers_about_one_run(run, monkeypatch):
    monkeypatch.setattr(sampling, "DDPM_CALLS", (3,))
    monkeypatch.setattr(sampling, "SIZES", (1, 3))
    assert "DDIM, 8" in questions.steps(run, 2, fewest=True) and "DDPM" not in questions.steps(run, 1, fewest=True)
    assert questions.ensemble(run).count("\n| ") == 3
    assert questions.larger(run, (48,), 1).count("48 px photo, network at") == 3


def test_only_automata_are_asked(run, tmp_path):
    with pytest.raises(VeloxSegError, match="doesn't exist"):
        questions.steps(tmp_path)


def test_attention_is_told_apart_from_width():
    rows = list(variants.attention(NCAConfig(**PRESETS["multi"])).values())
    assert [row.nca.hidden for row in rows] == [512, 256, 512] and [row.nca.cbam for row in rows] == [False, False, True]


def test_the_four_published_variants_at_full_scale():
    scale = variants.SCALES["full"]
    rows = list(variants.variant(NCAConfig(**PRESETS[scale.attention_preset])).values())
    assert [row.nca for row in rows] == [NCAConfig(**PRESETS[name]) for name in ("basic", "cbam", "multi", "multi_cbam")]
    assert {row.nca.prediction for row in rows} == {"noise"} and (scale.size, scale.steps) == (256, 100_000)


class TestTables:
    rows = (tables.Row("a", np.array([0.5, 0.6, 0.7, 0.8])), tables.Row("b", np.array([0.6, 0.7, 0.8, 0.9])))

    @pytest.mark.parametrize(("spread", "verdict"), [(0.0, "better"), (0.2, "noise"), (None, "better, unless by the seed")])
    def test_verdict(self, spread, verdict):
        last = tables.against_first(self.rows, spread).splitlines()[-1]
        assert last.startswith("| b | 0.750") and last.endswith(f"+0.100 [+0.100, +0.100] | {verdict} |")

    def test_what_goes_up_and_down_is_noise(self):
        mixed = tables.Row("c", np.array([0.6, 0.5, 0.8, 0.7]))
        assert tables.against_first([self.rows[0], mixed]).endswith("| noise |")


def test_the_surest_photos_are_kept():
    dice, unsure = np.array([0.1, 0.9, 0.8, 0.2]), np.array([5.0, 1.0, 2.0, 4.0])
    assert sampling.kept(dice, unsure, 0.5) == pytest.approx(0.85) and sampling.kept(dice, unsure, 1.0) == pytest.approx(0.5)
    same, apart = np.full((4, 2, 2), 0.5), np.arange(16).reshape(4, 2, 2) / 16
    assert sampling.uncertainty(same) == 0 < sampling.uncertainty(apart)
