"""The head-and-neck PET/CT generator: same seed same bytes, labels from objects, plausible values, honest difficulty."""

import json
from dataclasses import replace

import numpy as np
import pytest

sitk = pytest.importorskip("SimpleITK")
pytest.importorskip("scipy")

from veloxseg import phantoms  # noqa: E402
from veloxseg.phantoms import headneck  # noqa: E402

ILL = replace(headneck.HeadNeckParameters(), primary_chance=1.0, node_count_weights=(0, 0, 0.5, 0.5))
NOISY = replace(ILL, liver_noise=(0.4, 0.5), psf_fwhm=(9.0, 10.0), ct_noise_hu=(60.0, 70.0))


def array(image):
    return sitk.GetArrayFromImage(image)


@pytest.fixture(scope="module")
def case():
    return headneck.generate(11, ILL)


@pytest.fixture(scope="module")
def noisy():
    return headneck.generate(11, NOISY)


def on_ct(case):
    return array(sitk.Resample(case.pet, case.ct, sitk.Transform(), sitk.sitkLinear, 0.0))


def test_same_seed_same_bytes_and_other_seed_other_bytes(case):
    again, other = headneck.generate(11, ILL), headneck.generate(12, ILL)
    for name in ("ct", "pet", "label"):
        assert array(getattr(case, name)).tobytes() == array(getattr(again, name)).tobytes()
        assert array(getattr(case, name)).tobytes() != array(getattr(other, name)).tobytes()
    assert case.parameters == again.parameters


def test_types_and_grids(case):
    assert array(case.ct).dtype == np.int16
    assert array(case.pet).dtype == np.float32
    assert array(case.label).dtype == np.uint8
    assert case.ct.GetSpacing() == case.label.GetSpacing() == (2.0, 2.0, 3.0)
    assert case.pet.GetSpacing() == pytest.approx((4.07, 4.07, 3.0))
    assert case.ct.GetOrigin() == case.label.GetOrigin()
    assert case.ct.GetSize() == case.label.GetSize() == (128, 128, 64)
    assert case.ct.GetDirection() == case.pet.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    for low, high in zip(case.pet.GetOrigin(), case.ct.GetOrigin(), strict=True):
        assert low < high, "the PET covers the CT"


def test_label_values_and_volumes_are_those_of_the_objects(case):
    label = array(case.label)
    assert set(np.unique(label)) == {0, 1, 2}
    text = json.loads(json.dumps(case.parameters))
    assert text["synthetic"] is True and text["version"] == headneck.VERSION
    assert len(text["primary_tumors"]) == 1 and len(text["lymph_nodes"]) >= 1
    for value, name in ((1, "primary_tumors"), (2, "lymph_nodes")):
        expected = sum(n["volume_ml"] for n in text[name])
        assert (label == value).sum() * 0.012 == pytest.approx(expected, rel=0.08)
    from scipy import ndimage

    assert ndimage.label(label == 1)[1] == 1


def test_label_does_not_depend_on_noise(case, noisy):
    assert array(case.label).tobytes() == array(noisy.label).tobytes()
    assert array(case.pet).tobytes() != array(noisy.pet).tobytes()
    assert array(case.ct).tobytes() != array(noisy.ct).tobytes()


def test_values_are_plausible(case):
    ct, pet, label = array(case.ct), on_ct(case), array(case.label)
    assert ct.min() < -950 and ct.max() > 1000
    assert np.isfinite(pet).all() and pet.min() >= 0
    assert np.median(pet[-1][pet[-1] > 1]) > 3, "the brain is bright at the upper edge"
    soft = (ct > 30) & (ct < 90) & (label == 0)
    soft[48:] = False
    assert 0.3 < np.median(pet[soft]) < 2.0
    fat = (ct > -130) & (ct < -80)
    assert 0.1 < np.median(pet[fat]) < 1.2
    for lesions, value in ((case.primaries, 1), (case.nodes, 2)):
        assert 0 < np.median(ct[label == value]) < 120
        assert pet[label == value].max() < 1.6 * max(n.suv for n in lesions)


def test_limits_of_the_drawn_values():
    drawn = [headneck.generate(seed) for seed in (3, 4)]
    for case in drawn:
        for lesion in case.primaries:
            assert 10 <= lesion.diameter_mm <= 45 and 4 <= lesion.suv <= 20
        for lesion in case.nodes:
            assert 8 <= lesion.diameter_mm <= 40 and 2.5 <= lesion.suv <= 15
        assert max(headneck.threshold_scores(case).values()) < 0.9
        assert len(case.primaries) <= 1 and len(case.primaries) + len(case.nodes) >= 1


def test_the_kind_is_registered():
    kind = phantoms.PHANTOMS["head-neck-petct"]
    assert kind.module == "headneck" and list(kind.files) == ["CT.nrrd", "PET.nrrd", "label.nrrd"]


@pytest.mark.slow
def test_best_fixed_threshold_is_at_most_045():
    rows, count = headneck.threshold_table(range(900000, 900010))
    assert count == 10
    assert max(score for rule, score in rows if "no brain" not in rule) <= 0.45
