"""The main job from end to end, with the shipped models and the real engine: what `make demo` does, checked."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FILES = ("panel.png", "slices.png", "overview.png", "segmentation.seg.nrrd", "measures.csv")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Output folder and what the demo printed."""
    folder = tmp_path_factory.mktemp("demo")
    script = Path(__file__).with_name("demo.py")
    done = subprocess.run([sys.executable, script, "--output", folder], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return folder, done.stdout


@pytest.mark.slow
def test_every_task_leaves_its_files(demo):
    folder, _ = demo
    for part in (folder, folder / "petct", folder / "head-neck", folder / "brain-tumor", folder / "skin"):
        own = "uncertainty.png" if part.name == "skin" else "three-d.png"
        assert all((part / name).stat().st_size > 500 for name in (*FILES, own))


@pytest.mark.slow
def test_overlay_is_seen_in_every_slice_view_of_the_head(demo):
    """Colored pixels (the image itself is gray) in each third of the picture."""
    folder, _ = demo
    pixels = np.asarray(Image.open(folder / "slices.png").convert("RGB")).astype(int)[30:]
    colored = pixels.max(axis=2) - pixels.min(axis=2) > 40
    assert all(third.mean() > 0.05 for third in np.array_split(colored, 3, axis=1))


@pytest.mark.slow
def test_printed_report_tells_device_stages_and_scores(demo):
    _, printed = demo
    assert len(re.findall(r"device: \S+", printed)) == 5
    assert len(re.findall(r"stages: reading [\d.]+ s, .*computing [\d.]+ s", printed)) == 5
    assert len(re.findall(r"Dice [\d.]+ \(synthetic phantom", printed)) == 4
    atlas = re.search(r"Dice ([\d.]+) \(AAL", printed)
    assert "AAL atlas is absent" in printed or float(atlas[1]) > 0.75


@pytest.mark.slow
def test_table_has_every_segment_in_ml_and_says_demo(demo):
    folder, _ = demo
    lines = (folder / "measures.csv").read_text().splitlines()
    header, rows = lines[0].split(","), [line.split(",") for line in lines[1:]]
    kinds = [row[header.index("kind")] for row in rows]
    assert kinds == ["segment"] * 8 + ["total"]
    *volumes, total = [float(row[header.index("volume_ml")]) for row in rows]
    assert min(volumes) > 10 and total == pytest.approx(sum(volumes), rel=1e-6)
    assert {row[header.index("level")] for row in rows} == {"demo"}


@pytest.mark.slow
def test_overview_has_the_colors_of_its_parts(demo):
    """A palette of 256 colors would give two regions of the legend the same one."""
    folder, _ = demo
    for part in (folder, folder / "petct", folder / "head-neck", folder / "brain-tumor", folder / "skin"):
        panel = np.asarray(Image.open(part / "panel.png").convert("RGB"))
        overview = np.asarray(Image.open(part / "overview.png").convert("RGB"))
        assert np.array_equal(overview[: panel.shape[0], : panel.shape[1]], panel)


@pytest.mark.slow
def test_no_long_wait_without_a_word(demo):
    _, printed = demo
    assert printed.index("about a minute") < printed.index("Panel opened")
    for words in ("loading a sample", "segmenting", "drawing", "comparing with the truth"):
        assert printed.count(f"  {words} ...\n") == 5
