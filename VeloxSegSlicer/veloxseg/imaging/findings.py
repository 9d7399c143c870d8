"""Tables from a mask: segments, lesions, the highest probability. What a number means is said in `contract.measures`.

Masks and probabilities are (x, y, z) arrays on a `Grid`; positions are LPS millimeters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from veloxseg.contract import measures
from veloxseg.contract.card import Label
from veloxseg.imaging.images import Grid, grid_of


@dataclass(frozen=True)
class Component:
    """One connected component: label value, and bool `mask` (x, y, z) of its box, which begins at the index `first`."""

    label: int
    mask: np.ndarray
    first: np.ndarray

    def on(self, grid: Grid) -> measures.Structure:
        """The component at its place on the grid that it was found on, LPS."""
        return measures.Structure(self.mask, measures.moved(grid.to_world, self.first))


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


def lesions(mask: np.ndarray, probability: np.ndarray, grid: Grid, pet: sitk.Image | None = None) -> list[dict]:
    """Every connected component (26 neighbors) of every label, largest first.

    `score` is the mean probability. With a PET image (in SUV) the SUV numbers are taken from its own,
    untouched voxels.
    """
    components = sorted(connected_components(mask), key=lambda found: -np.count_nonzero(found.mask))
    measured = [_shape(component, probability, grid) for component in components]
    if pet is not None:
        values, pet_to_world = sitk.GetArrayViewFromImage(pet).transpose(2, 1, 0), grid_of(pet).to_world
        for entry, component in zip(measured, components, strict=True):
            entry.update(measures.suv(component.on(grid), values, pet_to_world))
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
            yield Component(int(value), array[box] == number, low)


def _shape(component: Component, probability: np.ndarray, grid: Grid) -> dict:
    structure = component.on(grid)
    count = int(np.count_nonzero(component.mask))
    box = tuple(slice(a, a + n) for a, n in zip(component.first, component.mask.shape, strict=True))
    return {
        "label": component.label,
        "voxels": count,
        "volume_ml": count * grid.voxel_ml,
        "diameter_mm": measures.diameter_mm(structure),
        "centroid_lps": structure.center.tolist(),
        "score": float(probability[box][component.mask].mean(dtype=np.float64)),
    }


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
