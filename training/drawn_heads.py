"""MR images of heads drawn from label maps with contrasts at random, so that a network learns structures and not one contrast.

A label map becomes tissues (each has one brightness) and structures (what is looked for). Maps are (x, y, z) with LPS axes and
1 mm voxels; patches may have larger ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import find_objects, gaussian_filter

from training.brain_labels import NAMES, TABLE, mirrored, structures_of, tissue_table
from training.head_augmentation import SpatialRanges, bias_field, cut_side, random_points, rician_noise
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images, intensities

CONTRASTS = ("T1", "T2", "FLAIR")
N_TISSUES = len(TABLE["tissues"])
IN_BRAIN = np.array([False, *(tissue["brain"] for tissue in TABLE["tissues"])])
FLUID_AROUND = 1 + [tissue["name"] for tissue in TABLE["tissues"]].index("fluid around the brain")
CENTERS = 300
"""Places kept of every structure."""
OVERVIEW_MM = 4
"""Voxel edge of the whole head that a patch is normalized by."""
INSIDE_VOXEL = np.array([(-1, -1, -1), (1, 1, -1), (1, -1, 1), (-1, 1, 1)]) / 4
"""Points of a voxel whose mean is its brightness, in voxels from its middle."""


@dataclass(frozen=True)
class Ranges:
    """What is drawn; shares are of patches, widths are uniform unless said otherwise."""

    spatial: SpatialRanges = field(default_factory=lambda: SpatialRanges(rotation_degrees=20, shift_mm=15, elastic_mm=4))
    known: float = 0.8
    """Share whose brain looks roughly like a T1, T2 or FLAIR image; all others have a brightness at random for every tissue."""
    known_shares: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Of T1, T2 and FLAIR among these."""
    stripped: float = 0.5
    cut: float = 0.2
    """Share with a side of the field of view missing."""
    thick: float = 0.2
    """Share blurred along one axis as if its slices were 3 to 6 mm thick."""
    bias: float = 0.3
    noise: float = 0.06
    anywhere: float = 0.15
    """Share centered anywhere in the head; all others on a structure, each equally often."""


@dataclass(frozen=True)
class HeadMap:
    """One label map, cut to the head with a voxel of air around it."""

    tissues: np.ndarray
    """uint8 (x, y, z): 0 air, else a number of `TABLE["tissues"]` plus 1."""
    structures: np.ndarray
    """uint8 (x, y, z): 0 or a number of `NAMES` plus 1."""
    centers: list[np.ndarray]
    """Voxels (n, 3) anywhere in the head, then of each structure that there is."""
    overview: np.ndarray
    """`tissues` of every fourth voxel, (n,)."""


def read(path: Path) -> HeadMap:
    """A FreeSurfer label map with 1 mm voxels. Raises what reading a volume raises, and DATASET_FILE for other labels."""
    image = sitk.DICOMOrient(images.read_volume(path, "label"), "LPS")
    return head_map(images.array_of(image), path)


def head_map(labels: np.ndarray, path: Path) -> HeadMap:
    """The same of labels (x, y, z); `path` names them in errors."""
    structures = structures_of(labels, "freesurfer", path)
    tissues = tissue_table().astype(np.uint8)[labels]
    if not structures.any():
        raise VeloxSegError("DATASET_FILE", path=path, reason="it has no structure of the brain")
    box = find_objects((tissues > 0).astype(np.uint8))[0]
    tissues, structures = (np.pad(array[box], 1) for array in (tissues, structures))
    centers = [_some(part) for part in (tissues > 0, *(structures == n for n in range(1, len(NAMES) + 1))) if part.any()]
    steps = (slice(None, None, OVERVIEW_MM),) * 3
    return HeadMap(tissues, structures, centers, tissues[steps].ravel())


def _some(part: np.ndarray) -> np.ndarray:
    """Evenly chosen voxels (n, 3) of a part (x, y, z)."""
    places = np.flatnonzero(part)
    chosen = places[np.linspace(0, len(places) - 1, min(CENTERS, len(places))).astype(int)]
    return np.stack(np.unravel_index(chosen, part.shape), axis=1)


def draw(head: HeadMap, ranges: Ranges, size: tuple[int, ...], spacing: np.ndarray, rng: np.random.Generator):
    """A patch of an image of that head: image (x, y, z) float32 normalized as at inference, structures (x, y, z) uint8."""
    anywhere = rng.random() < ranges.anywhere
    places = head.centers[0 if anywhere else rng.integers(1, len(head.centers))]
    points = random_points(rng, ranges.spatial, size, spacing, places[rng.integers(len(places))])
    within = _voxels(points, head.tissues.shape)
    label, tissues = head.structures[within], head.tissues[within]
    means, deviations = _brightness(ranges, rng)
    image = _partial_volume(head.tissues, points, spacing, means)
    image += deviations[tissues] * rng.standard_normal(size, dtype=np.float32)
    image = gaussian_filter(np.maximum(image, 0), _blur(ranges, spacing, rng))
    image *= bias_field(rng, size, rng.uniform(0, ranges.bias))
    noise = rng.uniform(0, ranges.noise)
    image = rician_noise(rng, image, noise)
    overview = means[head.overview] + deviations[head.overview] * rng.standard_normal(len(head.overview), dtype=np.float32)
    overview = rician_noise(rng, np.maximum(overview, 0), noise)
    if rng.random() < ranges.stripped:
        keep_fluid = rng.random() < 0.5
        kept = _kept(tissues, keep_fluid, rng)
        image, label = image * kept, label * kept
        overview *= IN_BRAIN[head.overview] | (keep_fluid & (head.overview == FLUID_AROUND))
    if rng.random() < ranges.cut:
        cut_side(rng, image, label)
    image = intensities.zscore_foreground(image, whole=overview)
    if rng.random() < 0.5:
        image, label = image[::-1], mirrored().astype(np.uint8)[label[::-1]]
    return np.ascontiguousarray(image), label


def _voxels(points: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Indices of the nearest voxels; outside those of the border, which is air."""
    nearest = np.rint(points).astype(np.int32)
    return tuple(np.clip(along, 0, n - 1) for along, n in zip(nearest, shape))


def _partial_volume(tissues: np.ndarray, points: np.ndarray, spacing: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Mean brightness over some points of every voxel, float32."""
    shifts = (INSIDE_VOXEL * spacing).astype(np.float32).reshape(-1, 3, 1, 1, 1)
    return np.mean([means[tissues[_voxels(points + shift, tissues.shape)]] for shift in shifts], axis=0, dtype=np.float32)


def _brightness(ranges: Ranges, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of air and every tissue, float32 (N_TISSUES + 1,), in a unit where 1 is bright."""
    means = rng.uniform(0.05, 1.0, N_TISSUES + 1)
    if rng.random() < ranges.known:
        contrast = CONTRASTS[rng.choice(len(CONTRASTS), p=ranges.known_shares)]
        given = np.array([np.nan, *(tissue.get(contrast, np.nan) for tissue in TABLE["tissues"])])
        jittered = np.maximum(given, 0.02) ** np.exp(rng.normal(0, 0.3)) + rng.normal(0, rng.uniform(0, 0.08), len(given))
        means = np.where(np.isnan(given), means, jittered)
    means[0] = rng.uniform(0, 0.05)
    deviations = rng.uniform(0.01, 0.06, N_TISSUES + 1)
    deviations[0] = 0.01
    return np.maximum(means, 0.01).astype(np.float32), deviations.astype(np.float32)


def _kept(tissues: np.ndarray, keep_fluid: bool, rng: np.random.Generator) -> np.ndarray:
    """What skull stripping leaves: the brain, with the fluid around it or with a border that is generous or greedy."""
    brain = IN_BRAIN[tissues]
    if keep_fluid:
        return brain | (tissues == FLUID_AROUND)
    return gaussian_filter(brain.astype(np.float32), 1.5) > rng.uniform(0.15, 0.6)


def _blur(ranges: Ranges, spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Standard deviations in voxels: of a scan about as fine as the patch, at times with thick slices."""
    sigma = rng.uniform(0.2, 0.6, 3)
    if rng.random() < ranges.thick:
        axis = rng.integers(3)
        sigma[axis] = rng.uniform(3, 6) / 2.355 / spacing[axis]
    return sigma
