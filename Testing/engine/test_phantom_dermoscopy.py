"""The dermoscopy generator: same seed same bytes, the mask is the lesion's own, all values kept, honest difficulty."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from veloxseg import phantoms
from veloxseg.phantoms import dermoscopy, nevus, skin

SMALL = replace(dermoscopy.DermoscopyParameters(), size=(96, 80))
EVERYTHING = replace(SMALL, **{name: 1.0 for name in vars(SMALL) if name.endswith("_chance") and name != "skin_type_chance"})
ALONE = replace(
    SMALL,
    **{
        f"{name}_chance": 0.0
        for name in ("second_nevus", "red_patches", "ink", "hairs", "ruler", "bubbles", "glare", "frame", "cut", "freckle")
    },
)


@pytest.fixture(scope="module")
def case():
    return dermoscopy.generate(7, EVERYTHING)


def test_same_seed_same_bytes_and_other_seed_other_bytes(case):
    again, other = dermoscopy.generate(7, EVERYTHING), dermoscopy.generate(8, EVERYTHING)
    assert case.rgb.tobytes() == again.rgb.tobytes() and case.lesion.tobytes() == again.lesion.tobytes()
    assert case.parameters == again.parameters
    assert case.rgb.tobytes() != other.rgb.tobytes()


def test_global_random_state_is_neither_read_nor_changed():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    dermoscopy.generate(1, SMALL)
    assert (np.random.get_state()[1] == before).all()


def test_arrays_and_images_agree(case):
    assert case.rgb.shape == (80, 96, 3) and case.rgb.dtype == np.uint8
    assert case.lesion.shape == (80, 96) and case.lesion.dtype == bool
    assert case.photo.GetSize() == case.mask.GetSize() == (96, 80)
    assert case.photo.GetPixelID() == sitk.sitkVectorUInt8
    assert (sitk.GetArrayFromImage(case.photo) == case.rgb).all()
    assert (sitk.GetArrayFromImage(case.mask) == 255 * case.lesion).all()


def test_mask_does_not_follow_what_the_photo_shows():
    """Another skin, another contrast, things on top and another camera: the same mask."""
    plain = dermoscopy.generate(3, ALONE)
    other = replace(ALONE, skin_type_chance=(0, 0, 0, 0, 0, 1.0), exposure=(0.3, 0.4), noise=(0.05, 0.06), vignette=(0.9, 0.95),
                    contrast=(0.05, 0.06), hairs_chance=1.0, ink_chance=1.0, second_nevus_chance=1.0)  # fmt: skip
    changed = dermoscopy.generate(3, other)
    assert plain.lesion.tobytes() == changed.lesion.tobytes()
    assert plain.rgb.tobytes() != changed.rgb.tobytes()


def test_mask_is_one_piece_of_the_drawn_area():
    for seed in range(6):
        case = dermoscopy.generate(seed, ALONE)
        drawn = case.parameters["lesion"]
        _pieces, count = ndimage.label(case.lesion, np.ones((3, 3)))
        assert count == 1
        assert case.lesion.sum() == drawn["area_px"]
        disk = np.pi * (drawn["radius"] * 80 / skin.UNITS) ** 2
        assert case.lesion.sum() == pytest.approx(disk, rel=0.06, abs=6)
        assert 0.07 <= drawn["radius"] / skin.UNITS <= 0.36


def test_border_of_the_mask_is_half_way_from_lesion_to_skin():
    """Without structures and with a soft border, the added melanin on the contour is half of that deep inside."""
    rng = np.random.default_rng(0)
    canvas = skin.canvas_of((200, 200))
    half = np.array([128.0, 128.0])
    parameters = replace(ALONE, border=(8.0, 8.1), radius=(0.25, 0.25), variegation=(0, 0), center_weight=(0, 0), pale_chance=0,
                         **{f"{n}_chance": 0 for n in ("network", "globules", "veil", "regression", "blotches")})  # fmt: skip
    lesion = nevus.draw_lesion(rng, parameters, half)
    depth = nevus.depth_of(rng, canvas, lesion)
    melanin = np.zeros(canvas.shape, np.float32)
    nevus.paint_lesion(rng, canvas, lesion, depth, melanin, np.zeros(canvas.shape, np.float32))
    assert melanin[np.abs(depth) < 0.1].mean() == pytest.approx(0.5 * lesion["contrast"], rel=0.05)
    assert melanin[depth > 20].mean() == pytest.approx(lesion["contrast"], rel=0.02)
    assert melanin[depth < -25].mean() < 0.02 * lesion["contrast"]


def test_black_frame_takes_its_part_and_never_all():
    framed = replace(EVERYTHING, frame_chance=1.0, cut_chance=1.0)
    for seed in range(8):
        assert dermoscopy.generate(seed, framed).lesion.any()
    drawn = dermoscopy.generate(0, framed).parameters["clutter"]["frame"]
    assert drawn["radius"] > 0


def test_all_drawn_values_are_kept(case):
    text = json.loads(json.dumps(case.parameters, allow_nan=False))
    assert text["synthetic"] is True and text["version"] == dermoscopy.VERSION and text["seed"] == 7
    assert set(text) >= {"lesion", "skin", "clutter", "camera", "parameters"}
    assert all(text["clutter"][name] for name in ("red_patches", "ink", "hairs", "ruler", "bubbles", "glare", "frame"))
    assert all(text["lesion"][name] for name in ("network", "globules", "veil", "regression", "blotches"))
    assert 60 <= text["camera"]["jpeg_quality"] <= 95
    bare = dermoscopy.generate(7, ALONE).parameters
    assert not any(bare["clutter"].values())


@pytest.mark.parametrize("size", [(64, 64), (200, 64), (64, 150)])
def test_any_size(size):
    case = dermoscopy.generate(2, replace(SMALL, size=size))
    assert case.rgb.shape == (size[1], size[0], 3)
    assert case.lesion.any() and not case.lesion.all()


def test_skin_types_get_darker():
    brightness = []
    for number in range(6):
        chance = tuple(float(n == number) for n in range(6))
        same = replace(ALONE, skin_type_chance=chance, skin_spread=(1, 1), vignette=(0, 0), exposure=(1, 1), contrast=(0.1, 0.11))
        brightness.append(dermoscopy.generate(4, same).rgb[..., 1].mean())
    assert brightness == sorted(brightness, reverse=True) and brightness[0] > 1.5 * brightness[-1]


@pytest.mark.slow
def test_no_threshold_rule_is_good():
    rows = dermoscopy.threshold_table(range(900000, 900040))
    assert {"Otsu", "below 110", "below 0.8 of the median"} <= {row[0] for row in rows}
    assert 0.2 < max(row[1] for row in rows) <= 0.55


def test_table_of_thresholds_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(dermoscopy.generate, "__defaults__", (SMALL,))
    monkeypatch.setattr(dermoscopy.threshold_table, "__defaults__", (SMALL,))
    dermoscopy.main(["thresholds", "--seeds", "2"])
    printed = capsys.readouterr().out
    assert "N 2" in printed and "Otsu" in printed and "best threshold" in printed


def test_files_of_a_case_are_png(tmp_path, monkeypatch):
    monkeypatch.setattr(dermoscopy, "SMALL", SMALL, raising=False)
    monkeypatch.setitem(phantoms.PHANTOMS, "small", replace(phantoms.PHANTOMS["dermoscopy"], parameters="SMALL"))
    written = phantoms.write_case("small", 3, tmp_path)
    assert sorted(written) == ["mask.png", "parameters.json", "photo.png"]
    case = dermoscopy.generate(3, SMALL)
    assert (sitk.GetArrayFromImage(sitk.ReadImage(written["photo.png"])) == case.rgb).all()
    assert (sitk.GetArrayFromImage(sitk.ReadImage(written["mask.png"])) == 255 * case.lesion).all()
