"""The panel's parts of masks, (k, j, i) and RAS, against the engine's findings in the same mask, (x, y, z) and LPS."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from veloxseg.contract import measures
from veloxseg.imaging import findings, images

# By path: the package around the file needs 3D Slicer, the file itself does not.
FILE = Path(__file__).resolve().parents[2] / "VeloxSegSlicer" / "VeloxSegSlicerLib" / "common" / "Components.py"
SPEC = importlib.util.spec_from_file_location("Components", FILE)
Components = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(Components)

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def blobs(shape, count=6, seed=3):
    """bool (x, y, z) of balls, some of which touch."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    mask = np.zeros(shape, bool)
    for _ in range(count):
        mask |= np.linalg.norm(grid - rng.uniform(4, np.array(shape) - 4), axis=-1) < rng.uniform(1.5, 5)
    return mask


def to_ras(grid):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = grid.index_to_world, grid.origin
    return LPS_FROM_RAS @ matrix


@pytest.mark.parametrize("pet_spacing", [(2.0, 2.5, 3.0), (4.1, 4.1, 3.3)])
def test_lesions(pet_spacing):
    grid = images.Grid((40, 36, 30), (2.0, 2.5, 3.0), (-30.0, 12.0, 400.0), OBLIQUE)
    shape = tuple(int(math.ceil(n * a / b)) for n, a, b in zip(grid.size, grid.spacing, pet_spacing, strict=True))
    # Moved a little, so that no center lies exactly between two voxels.
    origin = grid.origin if pet_spacing == grid.spacing else (-29.913, 11.829, 400.371)
    pet_grid = images.Grid(shape, pet_spacing, origin, OBLIQUE)
    mask = blobs(grid.size)
    pet = np.random.default_rng(1).gamma(2.0, 2.0, shape).astype(np.float32)
    expected = findings.lesions(mask.astype(np.uint8), np.ones(grid.size, np.float32), grid, images.image_of(pet, pet_grid))
    found = Components.pieces(Components.cut(mask.transpose(2, 1, 0), to_ras(grid)))
    assert len(found) == len(expected) > 2
    for piece, entry in zip(found, expected, strict=True):
        assert piece.count == entry["voxels"]
        assert piece.volumeMl == pytest.approx(entry["volume_ml"])
        assert piece.centerRas * [-1, -1, 1] == pytest.approx(entry["centroid_lps"])
        assert measures.diameter_mm(piece.structure) == pytest.approx(entry["diameter_mm"])
        numbers = measures.suv(piece.structure, pet, to_ras(pet_grid))
        assert numbers == pytest.approx({name: entry[name] for name in numbers})


def test_empty_mask():
    empty = Components.cut(np.zeros((5, 6, 7), bool), np.eye(4))
    assert empty.count == 0
    assert Components.pieces(empty) == []
    assert Components.photo(np.zeros((5, 6), bool), None) == {
        "parts": 0, "area_px": 0, "perimeter_px": 0, "diameter_px": 0,
    }  # fmt: skip


def test_largest_distance_between_positions():
    assert Components.farthestMm([(0, 0, 0), (3, 4, 0), (1, 1, 1)]) == pytest.approx(5)
    assert Components.farthestMm([(1, 2, 3)]) == 0


def test_positions_of_structures():
    """One center, left and right apart, or none: never a place where nothing is."""
    mask = np.zeros((20, 20, 60), bool)
    grid = np.diag([-1.0, -1.0, 1.0, 1.0])
    mask[5:10, 5:10, 5:15] = True
    (center,) = Components.positions(Components.cut(mask, grid))
    assert center == (-9.5, -7.0, 7.0)
    mask[5:10, 5:10, 40:56] = True
    left, right = Components.positions(Components.cut(mask, grid))
    assert (left, right) == ((-47.5, -7.0, 7.0), (-9.5, -7.0, 7.0))
    mask[0, 0, 30] = True
    assert len(Components.positions(Components.cut(mask, grid))) == 2
    third = mask.copy()
    third[14:19, 12:17, 24:34] = True
    assert Components.positions(Components.cut(third, grid)) == ()
    above = np.zeros_like(mask)
    above[0:4, 5:10, 20:25] = above[12:16, 5:10, 20:25] = True
    assert Components.positions(Components.cut(above, grid)) == ()
    arch = np.zeros_like(mask)
    arch[0:15, 5:8, 10:12] = arch[0:15, 5:8, 48:50] = arch[13:15, 5:8, 10:50] = True
    assert Components.positions(Components.cut(arch, grid)) == ()
    assert Components.positions(Components.cut(np.zeros_like(mask), grid)) == ()
