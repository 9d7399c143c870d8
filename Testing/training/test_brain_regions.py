"""The task of the Colin27 head: held-out hemisphere, patches, a short training."""

import numpy as np
import pytest
import SimpleITK as sitk

import tiny
from training import heads, train
from training.brain_regions import BrainRegions, BrainRegionsSettings
from training.settings import Settings
from veloxseg.contract.errors import VeloxSegError

needs_head = pytest.mark.skipif(
    not (heads.TEMPLATES / "aal.nii.gz").exists(), reason="Colin27 and AAL are absent: apt-get install mricron-data"
)
TINY_HEADS = BrainRegionsSettings(size=(32, 32, 32), spacing_mm=6.0)


@needs_head
def test_left_head_holds_no_right_hemisphere(monkeypatch):
    """Changing every voxel of the right hemisphere changes nothing in what training sees."""
    before = BrainRegions(TINY_HEADS, 1).patch(0, np.random.default_rng(5))
    real_read = sitk.ReadImage

    def read_with_noise_on_the_right(path):
        image = sitk.DICOMOrient(real_read(path), "LPS")
        array = sitk.GetArrayFromImage(image)
        array[:, :, :90] = np.random.default_rng(0).integers(1, 100, array[:, :, :90].shape)
        noisy = sitk.GetImageFromArray(array)
        noisy.CopyInformation(image)
        return noisy

    monkeypatch.setattr(heads.sitk, "ReadImage", read_with_noise_on_the_right)
    after = BrainRegions(TINY_HEADS, 1).patch(0, np.random.default_rng(5))
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


@needs_head
def test_left_side_is_the_patients_left():
    """AAL gives odd values to the left, even ones to the right (vermis from 109 on has no side)."""
    aal = sitk.DICOMOrient(sitk.ReadImage(str(heads.TEMPLATES / "aal.nii.gz")), "LPS")
    left = sitk.GetArrayFromImage(heads.symmetric(aal, "left"))
    paired = left[(left > 0) & (left < 109)]
    assert (paired % 2 == 1).mean() > 0.99
    assert np.array_equal(left, left[:, :, ::-1])


@needs_head
def test_patches_depend_on_seed_and_number_only():
    task = BrainRegions(TINY_HEADS, 10)
    first, again, other = train.Patches(task, 1)[3], train.Patches(task, 1)[3], train.Patches(task, 2)[3]
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@needs_head
def test_a_short_training_runs(tmp_path):
    settings = Settings(tmp_path, TINY_HEADS, tiny.NETWORK, steps=2, workers=0, validate_every=2, device="cpu")
    train.train(settings)
    assert (tmp_path / "best.pt").exists()


def test_missing_atlas_says_how_to_get_it(tmp_path):
    with pytest.raises(VeloxSegError, match="apt-get install mricron-data"):
        heads.load("left", tmp_path)
