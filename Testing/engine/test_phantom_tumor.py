"""The brain tumor generator: same seed same bytes, label from the density alone, volumes and places as stored."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

sitk = pytest.importorskip("SimpleITK")
pytest.importorskip("scipy")
pytest.importorskip("nilearn")

from scipy import ndimage  # noqa: E402

from veloxseg import phantoms  # noqa: E402
from veloxseg.contract.errors import VeloxSegError  # noqa: E402
from veloxseg.phantoms import mni, tumor  # noqa: E402

ONE_NECROTIC = replace(
    tumor.TumorParameters(),
    tumor_count_chance=(0.0, 1.0, 0.0),
    kind_chance=(("necrotic", 1.0),),
    core_share=(0.4, 0.5),
    necrotic_share=(0.4, 0.5),
    volume_ml=(30.0, 40.0),
)


def array(image):
    return sitk.GetArrayFromImage(image)


@pytest.fixture(scope="module")
def drawn():
    """A case, and the share of white matter that was where its edema is: what the finished case does not tell."""
    seen = []
    add = tumor._add_tumor

    def spy(drawn, points, gray, fluid):
        share, label = add(drawn, points, gray, fluid)
        seen.append(float((1 - gray - fluid)[label == tumor.LABELS["edema"]].mean()))
        return share, label

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tumor, "_add_tumor", spy)
        return tumor.generate(5, ONE_NECROTIC), seen


@pytest.fixture(scope="module")
def case(drawn):
    return drawn[0]


def test_same_seed_same_bytes_also_with_other_noise_ranges_for_the_label(case):
    again = tumor.generate(5, ONE_NECROTIC)
    assert all(array(getattr(case, n)).tobytes() == array(getattr(again, n)).tobytes() for n in (*tumor.SEQUENCES, "label"))
    assert case.parameters == again.parameters
    noisy = tumor.generate(5, replace(ONE_NECROTIC, snr=(3.0, 4.0), bias=(0.5, 0.6), thickness_mm=(5.0, 8.0)))
    assert array(case.label).tobytes() == array(noisy.label).tobytes()
    assert array(case.flair).tobytes() != array(noisy.flair).tobytes()


def test_grids_types_and_background(case):
    for name in tumor.SEQUENCES:
        image = getattr(case, name)
        assert image.GetSize() == case.label.GetSize() == tumor.SIZE
        assert image.GetSpacing() == case.label.GetSpacing() == tumor.SPACING
        assert image.GetOrigin() == case.label.GetOrigin()
        assert image.GetDirection() == case.label.GetDirection() == tuple(np.eye(3).ravel())
        values = array(image)
        assert values.dtype == np.float32 and np.isfinite(values).all() and values.min() == 0
        assert 0.10 < np.mean(values > 0) < 0.35
        assert (values[array(case.label) > 0] > 0).mean() > 0.95
    assert array(case.label).dtype == np.uint8
    json.dumps(case.parameters, allow_nan=False)


def test_label_is_nested_from_edema_to_necrosis(case):
    label = array(case.label)
    assert set(np.unique(label)) == {0, 1, 2, 3}
    around = ndimage.binary_dilation(label == 1) & (label != 1)
    assert np.mean(label[around] == 3) > 0.8
    core = np.isin(label, (1, 3))
    around = ndimage.binary_dilation(core, iterations=2) & ~core
    assert np.mean(label[around] == 2) > 0.5


def test_stored_volumes_are_those_of_the_label(case):
    label, ml = array(case.label), case.parameters["volume_ml"]
    assert (label > 0).sum() * 0.008 == pytest.approx(ml["whole tumor"], rel=0.03)
    for name, code in tumor.LABELS.items():
        if code:
            assert (label == code).sum() * 0.008 == pytest.approx(ml[name], rel=0.06, abs=0.3)


def test_edema_lies_mostly_in_white_matter(drawn):
    _case, white = drawn
    assert len(white) == 1 and white[0] > 0.6


def test_rim_takes_up_contrast_and_a_head_without_tumor_has_an_empty_label(case):
    label, before, after = array(case.label), array(case.t1), array(case.t1ce)
    gain = after / np.maximum(before, 1e-3)
    assert np.median(gain[label == 3]) > 1.2 * np.median(gain[(label == 0) & (before > 0)])
    healthy = tumor.generate(5, replace(ONE_NECROTIC, tumor_count_chance=(1.0,)))
    assert not array(healthy.label).any()
    assert healthy.parameters["tumors"] == [] and healthy.parameters["volume_ml"]["whole tumor"] == 0


def test_missing_nilearn_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(VeloxSegError, match="pip install nilearn"):
        mni.load_maps.__wrapped__()


def test_kind_is_registered():
    files = phantoms.PHANTOMS["brain-tumor-mri"].files
    assert list(files) == ["FLAIR.nrrd", "T1.nrrd", "T1ce.nrrd", "T2.nrrd", "label.nrrd"]
    assert set(files.values()) <= set(tumor.TumorCase.__dataclass_fields__)
