"""The typology angle of skin whose color is known."""

import numpy as np
import pytest

from training import skin_tone

LESION = np.zeros((60, 80), bool)
LESION[25:35, 35:45] = True


def photo(skin: tuple[int, int, int]) -> np.ndarray:
    pixels = np.full((60, 80, 3), skin, np.uint8)
    pixels[LESION] = (70, 40, 30)
    return pixels


@pytest.mark.parametrize(
    "skin,angle,name",
    [
        # from sRGB by the CIE's equations, D50
        ((225, 180, 140), 44.7, "light"),
        ((240, 215, 195), 70.7, "very light"),
        ((120, 80, 60), -31.9, "dark"),
        ((190, 145, 105), 26.2, "tan"),
    ],
)
def test_known_colors(skin, angle, name):
    found = skin_tone.typology_angle(photo(skin), LESION)
    assert found == pytest.approx(angle, abs=1.5)  # the library's Lab has whole numbers
    assert skin_tone.class_of(found) == name


def test_the_dark_edge_of_the_lens_and_the_lesion_are_no_skin():
    pixels = photo((190, 145, 105))
    alone = skin_tone.typology_angle(pixels, LESION)
    pixels[:, :38] = 5
    assert skin_tone.typology_angle(pixels, LESION) == pytest.approx(alone)
    pixels[:] = 5
    assert skin_tone.class_of(skin_tone.typology_angle(pixels, LESION)) == skin_tone.UNKNOWN
    assert skin_tone.class_of(skin_tone.typology_angle(photo((190, 145, 105)), np.zeros_like(LESION))) == skin_tone.UNKNOWN
