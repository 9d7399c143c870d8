"""Numbers from a mask: volumes, lesions, SUV.

Masks and probabilities are (x, y, z) arrays on a `Grid`; positions are LPS millimeters.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import SimpleITK as sitk

from veloxseg.contract import limits
from veloxseg.contract.card import Label
from veloxseg.imaging.images import Grid, array_of, grid_of, image_of, resample, same_grid

LARGEST_PROJECTION = 1 << 20  # values at once


@dataclass(frozen=True)
class Component:
    """One connected component: label value and voxel indices (n, 3) on the reference grid."""

    label: int
    voxels: np.ndarray


def segments(mask: np.ndarray, grid: Grid, labels: Sequence[Label]) -> list[dict]:
    """Voxels and millilitres of every label of the card, also of the empty ones."""
    counts = np.bincount(mask.ravel(), minlength=256)
    return [
        {
            "value": label.value,
            "name": label.name,
            "voxels": int(counts[label.value]),
            "volume_ml": float(counts[label.value] * grid.voxel_ml),
        }
        for label in labels
    ]


def highest_probability(probability: np.ndarray, grid: Grid) -> dict:
    """The largest probability of any label and where it lies."""
    index = np.unravel_index(int(np.argmax(probability)), probability.shape)
    return {"value": float(probability[index]), "position_lps": grid.world(np.asarray(index)).tolist()}


def lesions(
    mask: np.ndarray, probability: np.ndarray, grid: Grid, pet: sitk.Image | None = None
) -> list[dict]:
    """Every connected component (26 neighbors) of every label, largest first.

    `score` is the mean probability. With a PET image (in SUV) the SUV numbers are taken from its own,
    untouched voxels.
    """
    components = sorted(connected_components(mask), key=lambda found: -len(found.voxels))
    measured = [_shape(component, probability, grid) for component in components]
    if pet is not None:
        for entry, component in zip(measured, components, strict=True):
            entry.update(suv_numbers(component, grid, pet))
    return measured


def connected_components(mask: np.ndarray) -> Iterator[Component]:
    """Components of every label value above 0."""
    for value in np.unique(mask[mask > 0]):
        numbered = sitk.ConnectedComponent(sitk.GetImageFromArray((mask == value).astype(np.uint8)), True)
        shapes = sitk.LabelShapeStatisticsImageFilter()
        shapes.ComputePerimeterOff()
        shapes.Execute(numbered)
        array = sitk.GetArrayViewFromImage(numbered)
        for number in shapes.GetLabels():
            # The mask went in as if its axes were (k, j, i), so SimpleITK reports boxes with the axes
            # reversed.
            low, size = np.reshape(shapes.GetBoundingBox(number), (2, 3))[:, ::-1]
            box = tuple(slice(first, first + length) for first, length in zip(low, size, strict=True))
            yield Component(int(value), np.argwhere(array[box] == number) + low)


def _shape(component: Component, probability: np.ndarray, grid: Grid) -> dict:
    count = len(component.voxels)
    return {
        "label": component.label,
        "voxels": count,
        "volume_ml": count * grid.voxel_ml,
        "diameter_mm": longest_diameter(component.voxels, grid),
        "centroid_lps": grid.world(component.voxels.mean(axis=0)).tolist(),
        "score": float(probability[tuple(component.voxels.T)].mean(dtype=np.float64)),
    }


def longest_diameter(voxels: np.ndarray, grid: Grid) -> float:
    """Greatest distance in mm between two voxel centers plus one voxel width (cube root of its volume).

    Only the extreme voxels in 500 evenly spread directions are compared: exact to a few thousandths for any
    shape.
    """
    points = grid.world(voxels)
    found = set()
    together = max(LARGEST_PROJECTION // len(points), 1)
    for first in range(0, limits.DIAMETER_DIRECTIONS, together):
        along = points @ _directions()[first : first + together].T
        found.update(along.argmin(axis=0), along.argmax(axis=0))
    extremes = sorted(found)
    distances = np.linalg.norm(points[extremes, None] - points[None, extremes], axis=-1)
    return float(distances.max() + (grid.voxel_ml * 1000.0) ** (1 / 3))


@cache
def _directions() -> np.ndarray:
    """Unit vectors spread over half a sphere on a golden spiral."""
    steps = np.arange(limits.DIAMETER_DIRECTIONS)
    height = (steps + 0.5) / limits.DIAMETER_DIRECTIONS
    angle = steps * math.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


def suv_numbers(component: Component, grid: Grid, pet: sitk.Image) -> dict:
    """SUVmax, SUVmean, SUVpeak and total lesion glycolysis (SUVmean x ml) on the voxels of the PET image.

    SUVpeak is the highest mean over a 1 ml sphere centered on a voxel of the lesion (PERCIST).
    """
    pet_grid = grid_of(pet)
    values = sitk.GetArrayViewFromImage(pet).transpose(2, 1, 0)
    voxels = _voxels_on(component.voxels, grid, pet_grid)
    inside = values[tuple(voxels.T)].astype(np.float64)
    return {
        "suv_max": float(inside.max()),
        "suv_mean": float(inside.mean()),
        "suv_peak": _suv_peak(values, voxels, pet_grid),
        "tlg": float(inside.sum() * pet_grid.voxel_ml),
    }


def _voxels_on(voxels: np.ndarray, grid: Grid, pet_grid: Grid) -> np.ndarray:
    """Indices (n, 3) of the PET voxels whose centers lie in the component; at least the one nearest to its
    centroid."""
    if same_grid(grid, pet_grid):
        return voxels
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    part = np.zeros(high - low + 1, dtype=np.uint8)
    part[tuple((voxels - low).T)] = 1
    part_grid = Grid(part.shape, grid.spacing, tuple(grid.world(low)), grid.direction)
    corners = pet_grid.index(part_grid.corners())
    last = np.asarray(pet_grid.size) - 1
    first = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, last)
    size = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, last) - first + 1
    box = Grid(tuple(size.tolist()), pet_grid.spacing, tuple(pet_grid.world(first)), pet_grid.direction)
    found = np.argwhere(array_of(resample(image_of(part, part_grid), box, "nearest"))) + first
    if len(found):
        return found
    nearest = np.rint(pet_grid.index(grid.world(voxels.mean(axis=0)))).astype(int)
    return np.clip(nearest, 0, last)[None]


def _suv_peak(values: np.ndarray, voxels: np.ndarray, grid: Grid) -> float:
    sums, counts = np.zeros(len(voxels)), np.zeros(len(voxels))
    for offset in _sphere_offsets(grid):
        neighbors = voxels + offset
        present = np.all((neighbors >= 0) & (neighbors < values.shape), axis=1)
        sums[present] += values[tuple(neighbors[present].T)]
        counts[present] += 1
    return float((sums / counts).max())


def _sphere_offsets(grid: Grid) -> np.ndarray:
    """Voxel steps (n, 3) whose centers lie in a 1 ml sphere around a voxel center."""
    radius = (limits.PEAK_SPHERE_ML * 1000.0 * 3 / (4 * math.pi)) ** (1 / 3)
    reach = [int(radius / spacing) for spacing in grid.spacing]
    steps = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1).reshape(
        -1, 3
    )
    return steps[np.linalg.norm(steps @ grid.index_to_world.T, axis=1) <= radius]


def dice(mask: np.ndarray, truth: np.ndarray, value: int) -> float | None:
    """Volumetric Dice 2 |A and B| / (|A| + |B|) of one label value; None when it is in neither."""
    first, second = mask == value, truth == value
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else None


def mean_dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """Mean Dice over the label values above 0 that either array has; 1 when both are empty."""
    values = np.union1d(np.unique(mask), np.unique(truth))
    scores = [dice(mask, truth, int(value)) for value in values if value > 0]
    return float(np.mean(scores)) if scores else 1.0
