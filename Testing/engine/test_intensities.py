"""Intensity kinds of the card."""

import numpy as np
import pytest

from veloxseg.contract.foreground import foreground_threshold
from veloxseg.imaging import intensities


def head(rng=None, skull=False, size=60):
    axes = np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    image = np.where(radius < 0.6, 100 + 30 * axes[0], 0.0)
    image[radius < 0.2] = 30
    if skull:
        image[(radius > 0.75) & (radius < 0.85)] = 120
    if rng is not None:
        image = np.abs(image + rng.normal(0, 2, image.shape))
    return image


def zscore(array):
    return intensities.apply({"kind": "zscore_foreground"}, array)


class TestZscoreForeground:
    def test_statistics_over_the_foreground(self):
        image = head()
        result = zscore(image)
        inside = result[image > 0]
        assert result.dtype == np.float32
        assert abs(inside.mean()) < 1e-5 and abs(inside.std() - 1) < 1e-5

    def test_air_is_one_value_below_everything(self):
        result = zscore(head(np.random.default_rng(0)))
        corner = result[:5, :5, :5]
        assert corner.min() == corner.max() == result.min()

    def test_padding_and_cropping_air_change_nothing(self):
        image = head()
        padded = zscore(np.pad(image, ((20, 0), (5, 40), (0, 0))))[20:, 5:65]
        np.testing.assert_array_equal(padded, zscore(image))

    def test_noisy_air_changes_little(self):
        image = head(np.random.default_rng(0))
        padded = zscore(np.pad(image, 30))[30:-30, 30:-30, 30:-30]
        foreground = image > 20
        assert np.abs(padded - zscore(image))[foreground].max() < 0.02

    def test_scale_and_offset_change_nothing(self):
        image = head(np.random.default_rng(0))
        np.testing.assert_allclose(zscore(image * 7.5 - 1000), zscore(image), atol=1e-4)

    def test_a_bright_spot_does_not_decide(self):
        image = head()
        spot = image.copy()
        spot[30, 30, 30] = 1e5
        assert foreground_threshold(spot)[1] == pytest.approx(foreground_threshold(image)[1], rel=0.01)

    def test_skull_moves_the_brain_by_less_than_a_deviation(self):
        brain = head() > 50
        difference = zscore(head(skull=True))[brain] - zscore(head())[brain]
        assert np.abs(difference.mean()) < 1

    def test_integers_are_not_truncated(self):
        image = head().astype(np.int16)
        assert len(np.unique(zscore(image))) == len(np.unique(image[image > 0])) + 1

    def test_nothing_but_one_value(self):
        assert not zscore(np.full((4, 4, 4), 3.0)).any()


def test_clip_zscore():
    spec = {"kind": "clip_zscore", "low": -100, "high": 200, "mean": 50, "std": 25}
    result = intensities.apply(spec, np.array([-1000, -100, 50, 75, 3000], np.int16))
    assert result.tolist() == [-6, -6, 0, 1, 6]
    assert result.dtype == np.float32


def test_scale_clips_in_the_unit_of_the_image():
    result = intensities.apply({"kind": "scale", "divide_by": 10, "clip": [0, 30]}, np.array([-1.0, 5.0, 50.0]))
    assert result.tolist() == [0, 0.5, 3]


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "zscore_foreground"},
        {"kind": "scale", "divide_by": 10, "clip": [0, 30]},
        {"kind": "clip_zscore", "low": -5, "high": 90, "mean": 50, "std": 25},
    ],
)
def test_space_outside_looks_like_air_to_the_network(spec):
    image = head()
    padded = np.pad(image, 3, constant_values=intensities.background(spec, image))
    result = intensities.apply(spec, padded)
    assert result[0, 0, 0] == pytest.approx(intensities.padding_value(spec, intensities.apply(spec, image)), abs=1e-6)


def test_scatter_in_the_air_of_a_pet_counts_as_empty():
    pet = {"kind": "scale", "divide_by": 5, "clip": [0, 30]}
    tolerance = intensities.empty_tolerance(pet)
    scatter, lung = intensities.apply(pet, np.array([0.08, 0.4]))
    assert scatter - intensities.padding_value(pet, np.zeros(1)) < tolerance < lung
    assert intensities.empty_tolerance({"kind": "zscore_foreground"}) == 0


def test_unknown_kind():
    with pytest.raises(KeyError):
        intensities.apply({"kind": "nothing"}, np.zeros(3))
