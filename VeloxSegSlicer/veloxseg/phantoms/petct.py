"""Synthetic FDG PET/CT of a torso with lesions.

    python -m veloxseg.phantoms.petct thresholds --seeds 20     fixed-threshold baselines, printed as a table

A case is a pure function of (VERSION, parameters, seed): geometry in mm first, then physics, then voxels. The label
comes from the lesion objects, never from an image. Uptake without a label (brain, heart, kidneys, ureters, bladder,
bowel, brown fat, inflammation) makes a fixed SUV threshold fail on purpose. Everything here is synthetic: scores on
these cases say nothing about patients.

Sources, as plain values: HU of tissues at 120 kV and SUVbw of FDG after about 60 min are the ranges common in
textbooks and in reviews of normal FDG uptake; scanner resolution 4.5-7 mm FWHM, noise in the liver 6-16 %.
"""

import argparse
from dataclasses import asdict, dataclass, field

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .anatomy import CODE, TISSUES, Canvas, draw_body, paint_body
from .fields import FWHM_TO_SIGMA, PhantomGrid, block_mean, centered_grid, grid_noise, rotation, stretch
from .lesions import HARMONICS, PhantomLesion

VERSION = "2"

# tissue: (HU mean, HU texture, SUV median, SUV log-deviation between people, SUV texture within the organ)
MATERIALS = {
    "air": (-1000, 0, 0.0, 0.0, 0.0),
    "skin": (10, 10, 0.5, 0.2, 0.1),
    "fat": (-102, 7, 0.25, 0.2, 0.1),
    "muscle": (52, 9, 0.70, 0.2, 0.12),
    "visceral_fat": (-98, 9, 0.35, 0.2, 0.12),
    "lung": (-830, 28, 0.45, 0.2, 0.15),
    "lung_vessel": (25, 10, 1.3, 0.2, 0.05),
    "airway": (-990, 0, 0.1, 0.0, 0.0),
    "blood": (44, 5, 1.6, 0.18, 0.04),
    "myocardium": (50, 6, 3.2, 0.0, 0.15),
    "liver": (60, 6, 2.2, 0.18, 0.06),
    "spleen": (52, 5, 1.8, 0.18, 0.06),
    "kidney": (36, 6, 4.2, 0.0, 0.12),
    "renal_pelvis": (10, 5, 12.0, 0.5, 0.1),
    "ureter": (14, 5, 8.0, 0.5, 0.7),
    "bladder": (6, 4, 25.0, 0.0, 0.02),
    "stomach": (42, 8, 2.2, 0.3, 0.2),
    "stomach_content": (25, 14, 1.2, 0.2, 0.1),
    "bowel": (40, 10, 1.9, 0.25, 0.55),
    "bowel_content": (28, 18, 1.4, 0.25, 0.55),
    "gas": (-900, 30, 0.3, 0.0, 0.0),
    "pancreas": (40, 10, 1.5, 0.2, 0.08),
    "gallbladder": (8, 3, 0.6, 0.2, 0.05),
    "marrow": (190, 38, 1.5, 0.25, 0.10),
    "cortical": (560, 110, 0.8, 0.2, 0.10),
    "disc": (85, 10, 0.7, 0.2, 0.05),
    "canal": (18, 6, 0.9, 0.2, 0.05),
    "brain": (36, 5, 8.5, 0.0, 0.18),
    "gland": (62, 10, 1.7, 0.25, 0.08),
    "pelvic_organ": (44, 7, 1.7, 0.2, 0.1),
    "cartilage": (105, 30, 0.8, 0.2, 0.05),
    "couch": (-80, 30, 0.0, 0.0, 0.0),
    "tonsil": (48, 8, 3.5, 0.3, 0.1),
    "heart_wall": (50, 6, 1.8, 0.0, 0.1),
}

# site: (weight, host tissues, largest diameter mm, HU of a CT correlate (low, high), chance of a correlate)
SITES = {
    "lung": (3.0, ("lung",), 45, (0, 55), 0.92),
    "liver": (2.5, ("liver",), 60, (20, 42), 0.65),
    "bone": (3.0, ("marrow",), 40, None, 0.55),
    "node": (4.0, ("visceral_fat",), 45, (35, 60), 0.75),
    "soft tissue": (1.2, ("muscle", "fat"), 32, (25, 45), 0.55),
    "spleen": (0.4, ("spleen",), 35, (25, 40), 0.6),
    "bowel": (0.6, ("bowel",), 35, (35, 55), 0.6),
    "gland": (0.3, ("gland", "pancreas"), 30, (30, 45), 0.6),
}
BROWN_FAT_SITES = ((42, -8, 196), (62, 12, 192), (84, 34, 186), (24, 44, 120), (26, 48, 70), (30, 10, 230))
INFLAMMATION_SITES = {  # typical places of benign uptake
    "shoulder joint": ((138, 12, 176), (22, 20, 8)),
    "hip joint": ((96, 4, -350), (24, 24, 7)),
    "facet joint": ((17, 52, -170), (7, 9, 12)),
    "hilar node": ((38, 6, 84), (7, 6, 9)),
    "stomach wall": ((60, -52, -70), (30, 8, 22)),
    "scar": ((30, -92, -150), (5, 7, 55)),
    "trochanter": ((134, 30, -392), (8, 16, 20)),
    "pleura": ((96, 58, 20), (8, 26, 34)),
}


@dataclass(frozen=True)
class PetCtParameters:
    """Ranges a case is drawn from; pairs are (low, high). Lengths in mm, angles in degrees."""

    version: str = VERSION
    pet_size: tuple = (96, 96, 120)
    pet_spacing: tuple = (4.07, 4.07, 3.0)
    ct_size: tuple = (200, 200, 126)
    ct_spacing: tuple = (2.0, 2.0, 3.0)
    field_center_z: tuple = (-290.0, 150.0)
    table_offset: tuple = ((-12.0, 12.0), (-25.0, 5.0), (-900.0, -400.0))
    no_lesion_chance: float = 0.20
    lesion_count: tuple = (1, 15)
    lesion_count_decay: float = 0.18
    diameter_median: float = 28.0
    diameter_log_deviation: float = 0.45
    diameter_limits: tuple = (8.0, 60.0)
    contrast_median: float = 5.5
    contrast_log_deviation: float = 0.55
    contrast_limits: tuple = (2.0, 15.0)
    contrast_floor_suv: float = 1.8
    harmonic_amplitude: tuple = (0.05, 0.16)
    cold_core_chance: float = 0.20
    cold_core_from_mm: float = 20.0
    brown_fat_chance: float = 0.15
    inflammation_count: tuple = (0, 4)
    psf_fwhm: tuple = (4.5, 7.0)
    post_filter_fwhm: tuple = (4.0, 6.0)
    liver_noise: tuple = (0.06, 0.16)
    ct_noise_hu: tuple = (8.0, 20.0)
    shift: tuple = (0.0, 4.0)
    tilt: tuple = (0.0, 2.0)
    breathing_blur: tuple = (2.0, 6.0)
    breathing_mismatch: tuple = (-4.0, 10.0)
    bladder_filling_ct: tuple = (0.85, 1.05)


# Neck to thigh in one field, for looking at; slower.
WHOLE_TORSO = PetCtParameters(
    pet_size=(96, 96, 276),
    ct_size=(200, 200, 280),
    field_center_z=(-60.0, -60.0),
)


@dataclass(frozen=True)
class PetCtCase:
    """Images of one case. ct: HU int16; pet: SUVbw float32; label: uint8 on the PET grid; label_ct: on the CT grid."""

    ct: sitk.Image
    pet: sitk.Image
    label: sitk.Image
    label_ct: sitk.Image
    lesions: tuple = field(repr=False)
    parameters: dict = field(repr=False)


@dataclass(frozen=True)
class Pose:
    """Takes positions of one scan to the reference patient: rotation about a pivot, shift, breathing."""

    offset: tuple
    turn: tuple = (0.0, 0.0, 0.0)
    shift: tuple = (0.0, 0.0, 0.0)
    pivot: tuple = (0.0, 0.0, 0.0)
    breath: float = 0.0

    def reference(self, world):
        """Reference positions (..., 3) of world positions (..., 3), in mm."""
        points = world - np.asarray(self.offset) - np.asarray(self.pivot)
        points = points @ rotation(self.turn).T + np.asarray(self.pivot) + np.asarray(self.shift)
        points[..., 2] += self.breath * diaphragm_weight(points)
        return points


def diaphragm_weight(points):
    """How much a reference position (..., 3) follows breathing: 1 at the front of the diaphragm, 0 far from it."""
    z, y = points[..., 2], points[..., 1]
    return np.exp(-(((z + 25) / 75) ** 2)) / (1 + np.exp((y - 52) / 9))


def _uniform(rng, limits):
    return float(rng.uniform(*limits))


def _clipped_log_normal(rng, median, deviation, limits):
    return float(np.clip(median * np.exp(deviation * rng.standard_normal()), *limits))


def _body_positions(grid: PhantomGrid, pose, body):
    """Standard-body positions as three float32 (k, j, i) arrays of all voxels of a grid."""
    counts = [max(2, int(np.ceil((n - 1) * s / 11.0)) + 1) for n, s in zip(grid.size, grid.spacing, strict=True)]
    axes = [np.linspace(0, n - 1, c) for n, c in zip(grid.size, counts, strict=True)]
    k, j, i = np.meshgrid(*axes[::-1], indexing="ij")
    points = pose.reference(grid.world(np.stack([i, j, k], axis=-1)))
    x, y, z = np.moveaxis(points, -1, 0)
    warp = body.fields["warp"]
    amplitude = (4.5, 4.5, 5.5)
    moved = [c + a * warp(x, y, z, n) for n, (c, a) in enumerate(zip((x, y, z), amplitude, strict=True))]
    return [stretch(c / s, grid.shape) for c, s in zip(moved, body.scale, strict=True)]


def _tissue_map(grid, pose, body, bladder_scale=1.0):
    canvas = Canvas(*_body_positions(grid, pose, body))
    paint_body(canvas, body, bladder_scale)
    return canvas.tissue


def _draw_uptake(rng):
    """SUV of every tissue of one person."""
    suv = {name: row[2] * float(np.exp(row[3] * rng.standard_normal())) for name, row in MATERIALS.items()}
    suv["brain"] = _uniform(rng, (6, 12))
    suv["myocardium"] = float(np.exp(rng.uniform(np.log(1.0), np.log(10.0))))
    suv["heart_wall"] = 0.25 * suv["myocardium"] + 0.75 * suv["blood"]
    suv["kidney"] = _uniform(rng, (3, 6))
    suv["bladder"] = float(np.exp(rng.uniform(np.log(10.0), np.log(60.0))))
    bowel = float(np.exp(rng.uniform(np.log(1.0), np.log(3.0))))
    suv["bowel"], suv["bowel_content"] = bowel, 0.8 * bowel
    suv["lung_vessel"] = 0.8 * suv["blood"]
    return suv


def _draw_lesions(rng, parameters, tissue, grid, pose, suv):
    """Lesions whose centers lie in their host tissue and which do not touch each other.

    `tissue` (k, j, i) on `grid`; centers are world positions of the PET.
    """
    if rng.random() < parameters.no_lesion_chance:
        return []
    low, high = parameters.lesion_count
    weights = np.exp(-parameters.lesion_count_decay * np.arange(high - low + 1))
    count = low + int(rng.choice(high - low + 1, p=weights / weights.sum()))
    names = list(SITES)
    hosts = {}
    for name in names:
        table = np.zeros(len(TISSUES), bool)
        table[[CODE[t] for t in SITES[name][1]]] = True
        hosts[name] = np.flatnonzero(table[tissue[:, ::2, ::2]])
    present = [n for n in names if hosts[n].size > 200]
    weights = np.array([SITES[n][0] for n in present])
    lesions = []
    for _attempt in range(40 * count):
        if len(lesions) == count or not present:
            break
        site = present[int(rng.choice(len(present), p=weights / weights.sum()))]
        _weight, _hosts, largest, hu_range, correlate = SITES[site]
        flat = hosts[site][int(rng.integers(hosts[site].size))]
        k, j, i = np.unravel_index(flat, tissue[:, ::2, ::2].shape)
        index = np.array([2 * i, 2 * j, k], float)
        center = grid.world(index + rng.uniform(-0.5, 0.5, 3))
        diameter = _clipped_log_normal(
            rng, parameters.diameter_median, parameters.diameter_log_deviation, parameters.diameter_limits
        )
        diameter = min(diameter, float(largest))
        amplitude = _uniform(rng, parameters.harmonic_amplitude)
        harmonics = rng.standard_normal(len(HARMONICS)) * amplitude
        contrast = _clipped_log_normal(
            rng, parameters.contrast_median, parameters.contrast_log_deviation, parameters.contrast_limits
        )
        host_suv = suv[TISSUES[tissue[k, 2 * j, 2 * i]]]
        lesion_suv = contrast * max(host_suv, parameters.contrast_floor_suv)
        core, core_suv = 0.0, 0.0
        cold = rng.random() < parameters.cold_core_chance
        core_size, core_ratio = _uniform(rng, (0.45, 0.7)), _uniform(rng, (0.1, 0.4))
        if cold and diameter >= parameters.cold_core_from_mm:
            core, core_suv = core_size, core_ratio * lesion_suv
        hu = None
        seen, sclerotic, hu_place = rng.random() < correlate, rng.random() < 0.5, rng.random()
        if seen:
            span = hu_range or ((550, 850) if sclerotic else (30, 80))
            hu = float(span[0] + hu_place * (span[1] - span[0]))
        lesion = PhantomLesion(
            tuple(float(c) for c in center),
            diameter,
            tuple(float(h) for h in harmonics),
            site,
            min(float(lesion_suv), 30.0),
            contrast,
            core,
            float(core_suv),
            hu,
        )
        if _fits(lesion, lesions, tissue, grid):
            lesions.append(lesion)
    return lesions


def _fits(lesion, others, tissue, grid):
    """A lesion keeps 5 mm from others, and 80 % of the way to its border stays inside the body and the field."""
    for other in others:
        gap = np.linalg.norm(np.subtract(lesion.center_mm, other.center_mm))
        if gap < lesion.reach_mm + other.reach_mm + 5:
            return False
    steps = np.concatenate([np.eye(3), -np.eye(3)]) * 0.8 * lesion.reach_mm
    index = np.rint(grid.index(np.asarray(lesion.center_mm) + steps)).astype(int)
    if (index < 0).any() or (index >= np.asarray(grid.size)).any():
        return False
    codes = tissue[index[:, 2], index[:, 1], index[:, 0]]
    return not np.isin(codes, [CODE["air"], CODE["couch"], CODE["skin"], CODE["airway"], CODE["bladder"]]).any()


def coverage(lesion, grid, factors, to_pet_world=None):
    """Box (slices k, j, i) of grid voxels near a lesion and the lesion depth on the grid refined by `factors`.

    `factors` are (i, j, k) supersampling numbers; `to_pet_world` takes grid positions to the world of the PET.
    """
    fine = grid.refined(factors)
    center = np.asarray(lesion.center_mm)
    margin = lesion.reach_mm + (20.0 if to_pet_world else 1.0)
    corners = grid.index(center + margin * np.array([[-1, -1, -1], [1, 1, 1]]))
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, grid.size)
    if (low >= high).any():
        return None, None
    ranges = [np.arange(a * f, b * f) for a, b, f in zip(low, high, factors, strict=True)]
    k, j, i = np.meshgrid(*ranges[::-1], indexing="ij")
    points = fine.world(np.stack([i, j, k], axis=-1))
    if to_pet_world:
        points = to_pet_world(points)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
    return box, lesion.depth(points)


def label_array(lesions, grid, to_pet_world=None):
    """uint8 (k, j, i): 1 where at least half of the 2 x 2 x 2 sub-voxels of a voxel lie in a lesion."""
    share = np.zeros(grid.shape, np.float32)
    for lesion in lesions:
        box, depth = coverage(lesion, grid, (2, 2, 2), to_pet_world)
        if box is not None:
            share[box] += block_mean((depth <= 1).astype(np.float32), (2, 2, 2))
    return (share >= 0.5).astype(np.uint8)


def _draw_distractors(rng, parameters, body):
    """Uptake without a label, as soft ellipsoids in the standard body: name, center, half axes, turn, SUV."""
    blobs = []
    if rng.random() < parameters.brown_fat_chance:
        level = _uniform(rng, (2.5, 9.0))
        for center in BROWN_FAT_SITES:
            for side in (1, -1):
                spread = rng.uniform(0.5, 1.3, 4)
                position = (side * center[0], center[1], center[2]) + rng.uniform(-4, 4, 3)
                blobs.append(("brown fat", position, spread[:3] * (13, 9, 8), (0, 0, side * 30), level * spread[3]))
    low, high = parameters.inflammation_count
    names = list(INFLAMMATION_SITES)
    for pick in rng.permutation(len(names))[: int(rng.integers(low, high + 1))]:
        center, half = INFLAMMATION_SITES[names[pick]]
        level = _uniform(rng, (2.0, 6.5))
        both = names[pick] == "hilar node" or rng.random() < 0.3
        first = 1 if rng.random() < 0.5 else -1
        for side in (first, -first) if both else (first,):
            position = (side * center[0], center[1], center[2]) + rng.uniform(-5, 5, 3)
            turn = rng.uniform(-15, 15, 3)
            blobs.append((names[pick], position, half * rng.uniform(0.8, 1.25, 3), turn, level))
    return [
        (n, tuple(map(float, np.multiply(c, body.scale))), tuple(map(float, h)), tuple(map(float, t)), float(s))
        for n, c, h, t, s in blobs
    ]


def _add_distractor(activity, grid, pose, blob):
    """Blend a soft ellipsoid (reference position in mm) into the activity (k, j, i)."""
    _name, center, half, turn, level = blob
    turned = rotation(turn)
    reach = 1.7 * np.sqrt(((turned * np.asarray(half)) ** 2).sum(axis=1))
    world = np.asarray(center) + np.asarray(pose.offset)
    low = np.maximum(np.floor(grid.index(world - reach)).astype(int), 0)
    high = np.minimum(np.ceil(grid.index(world + reach)).astype(int) + 1, grid.size)
    if (low >= high).any():
        return
    k, j, i = np.meshgrid(*[np.arange(a, b) for a, b in zip(low[::-1], high[::-1], strict=True)], indexing="ij")
    offset = grid.world(np.stack([i, j, k], axis=-1)) - world
    radius = ((offset @ turned / np.asarray(half)) ** 2).sum(axis=-1)
    share = np.exp(-0.9 * radius).astype(np.float32)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
    view = activity[box]
    inside = view > 0.02  # nothing outside the body
    activity[box] = np.where(inside, view + share * np.maximum(level - view, 0), view)


def _activity(rng, parameters, tissue, grid, suv, lesions, blobs, pose, blur):
    """True SUV (k, j, i) on the refined PET grid before the scanner sees it."""
    table = np.array([suv[name] for name in TISSUES], np.float32)
    texture = np.array([MATERIALS[name][4] for name in TISSUES], np.float32)
    patches = grid_noise(rng, grid.shape, [32.0 / s for s in grid.spacing[::-1]])
    activity = table[tissue] * np.exp(texture[tissue] * patches)
    for blob in blobs:
        _add_distractor(activity, grid, pose, blob)
    for lesion in lesions:
        box, depth = coverage(lesion, grid, (1, 1, 2))
        if box is None:
            continue
        share = block_mean((depth <= 1).astype(np.float32), (2, 1, 1))
        core = block_mean((depth <= lesion.core_fraction).astype(np.float32), (2, 1, 1))
        uptake = lesion.suv + (lesion.core_suv - lesion.suv) * core / np.maximum(share, 1e-6)
        patch = 1 + 0.12 * patches[box]
        activity[box] = activity[box] * (1 - share) + share * uptake * patch
    counts = [max(2, n // 8) for n in grid.size]
    axes = [np.linspace(0, n - 1, c) for n, c in zip(grid.size, counts, strict=True)]
    k, j, i = np.meshgrid(*axes[::-1], indexing="ij")
    weight = stretch(diaphragm_weight(pose.reference(grid.world(np.stack([i, j, k], axis=-1)))), grid.shape)
    rows = np.flatnonzero(weight.max(axis=(1, 2)) > 0.02)
    if rows.size:
        span = slice(int(rows[0]), int(rows[-1]) + 1)
        smeared = ndimage.gaussian_filter1d(activity[span], blur / grid.spacing[2], axis=0, truncate=2.5)
        activity[span] += weight[span] * (smeared - activity[span])
    return activity


def _scan_pet(rng, parameters, activity, fine, grid, attenuation, liver_suv):
    """Scanner: blur before voxelising, attenuation-weighted Poisson counts, post-filter. Returns SUV (k, j, i)."""
    fwhm = _uniform(rng, parameters.psf_fwhm)
    blurred = ndimage.gaussian_filter(activity, [fwhm * FWHM_TO_SIGMA / s for s in fine.spacing[::-1]], truncate=3)
    mean = block_mean(blurred, (1, 2, 2))
    # Every line through a voxel loses exp(-integral of mu); two crossing lines stand for all of them.
    step_x, step_y = grid.spacing[0], grid.spacing[1]
    across, along = attenuation.sum(axis=2) * step_x, attenuation.sum(axis=1) * step_y
    loss = 0.5 * (np.exp(across)[:, :, None] + np.exp(along)[:, None, :])
    loss = ndimage.gaussian_filter(loss.astype(np.float32), (1, 3, 3))
    inside = attenuation > 0.003
    loss /= np.mean(loss[inside]) if inside.any() else 1.0
    filter_fwhm = _uniform(rng, parameters.post_filter_fwhm)
    sigma = [filter_fwhm * FWHM_TO_SIGMA / s for s in grid.spacing[::-1]]
    delta = np.zeros((15, 15, 15))
    delta[7, 7, 7] = 1
    kept = float((ndimage.gaussian_filter(delta, sigma) ** 2).sum())
    noise = _uniform(rng, parameters.liver_noise)
    background = 0.25  # scattered and random events that were subtracted but leave their noise
    counts_per_suv = kept * (liver_suv + background) / (noise * liver_suv) ** 2
    expected = counts_per_suv * (mean + background) / loss
    measured = rng.poisson(expected).astype(np.float32) * loss / counts_per_suv - background
    smooth = ndimage.gaussian_filter(measured, sigma, truncate=3)
    drawn = {"psf_fwhm_mm": fwhm, "post_filter_fwhm_mm": filter_fwhm, "liver_noise": noise}
    return np.maximum(smooth, 0).astype(np.float32), drawn


def _scan_ct(rng, parameters, tissue, grid, lesions, to_pet_world):
    """HU int16 (k, j, i): tissue values, texture, CT correlates of lesions, small blur, correlated noise."""
    means = np.array([MATERIALS[name][0] for name in TISSUES], np.float32)
    texture = np.array([MATERIALS[name][1] for name in TISSUES], np.float32)
    grain = grid_noise(rng, grid.shape, [7.0 / s for s in grid.spacing[::-1]])
    hu = means[tissue] + texture[tissue] * grain
    for lesion in lesions:
        if lesion.hu is None:
            continue
        box, depth = coverage(lesion, grid, (1, 1, 1), to_pet_world)
        if box is None:
            continue
        share = np.clip((1.06 - depth) / 0.12, 0, 1).astype(np.float32)
        core = np.where(depth < lesion.core_fraction, -18.0, 0.0)
        hu[box] = hu[box] * (1 - share) + share * (lesion.hu + core + 8 * grain[box])
    hu = ndimage.gaussian_filter(hu, (0.35, 0.55, 0.55), truncate=3)
    noise = _uniform(rng, parameters.ct_noise_hu)
    white = rng.standard_normal(grid.shape, dtype=np.float32)
    hu += ndimage.gaussian_filter(white, (0, 0.6, 0.6), truncate=3) * np.float32(noise * 2.0)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), {"ct_noise_hu": noise}


def _draw_direction(rng, length):
    vector = rng.standard_normal(3)
    return tuple(float(v) for v in vector / np.linalg.norm(vector) * length)


def generate(seed: int, parameters: PetCtParameters = PetCtParameters()) -> PetCtCase:
    """Make one case. The same version, parameters and seed always give the same voxels."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(7)]
    body_rng, uptake_rng, pose_rng, lesion_rng, blob_rng, pet_rng, ct_rng = streams
    body = draw_body(body_rng)
    suv = _draw_uptake(uptake_rng)
    offset = tuple(_uniform(pose_rng, limits) for limits in parameters.table_offset)
    middle = np.array([0.0, 15.0, _uniform(pose_rng, parameters.field_center_z)])
    pet_pose = Pose(offset)
    ct_pose = Pose(
        offset,
        turn=_draw_direction(pose_rng, _uniform(pose_rng, parameters.tilt)),
        shift=_draw_direction(pose_rng, _uniform(pose_rng, parameters.shift)),
        pivot=tuple(middle),
        breath=_uniform(pose_rng, parameters.breathing_mismatch),
    )
    blur = _uniform(pose_rng, parameters.breathing_blur)
    filling = _uniform(pose_rng, parameters.bladder_filling_ct)
    ct_middle = middle + pose_rng.uniform(-2, 2, 3)
    grid = centered_grid(parameters.pet_size, parameters.pet_spacing, middle + offset)
    ct_grid = centered_grid(parameters.ct_size, parameters.ct_spacing, ct_middle + offset)

    fine = grid.refined((2, 2, 1))
    tissue = _tissue_map(fine, pet_pose, body)
    lesions = _draw_lesions(lesion_rng, parameters, tissue, fine, pet_pose, suv)
    blobs = _draw_distractors(blob_rng, parameters, body)
    activity = _activity(pet_rng, parameters, tissue, fine, suv, lesions, blobs, pet_pose, blur)
    means = np.array([MATERIALS[name][0] for name in TISSUES], np.float32)
    # Linear attenuation at 511 keV: 0.0096 / mm for water, bone saturates.
    mu = np.clip((means[tissue[:, ::2, ::2]] + 1000) * 9.6e-6, 0, 0.0135)
    pet, pet_drawn = _scan_pet(pet_rng, parameters, activity, fine, grid, mu, suv["liver"])

    def to_pet_world(points):
        return ct_pose.reference(points) + np.asarray(offset)

    ct_tissue = _tissue_map(ct_grid, ct_pose, body, filling)
    ct, ct_drawn = _scan_ct(ct_rng, parameters, ct_tissue, ct_grid, lesions, to_pet_world)
    drawn = {
        "generator": "petct",
        "version": VERSION,
        "seed": int(seed),
        "synthetic": True,
        "lesions": [
            {
                "site": n.site,
                "center_mm_lps": list(n.center_mm),
                "diameter_mm": n.diameter_mm,
                "volume_ml": n.volume_ml,
                "suv": n.suv,
                "contrast": n.contrast,
                "core_fraction": n.core_fraction,
                "core_suv": n.core_suv,
                "ct_correlate_hu": n.hu,
            }
            for n in lesions
        ],
        "distractors": [
            {
                "name": n,
                "center_mm_lps": [float(a + b) for a, b in zip(c, offset, strict=True)],
                "half_axes_mm": list(h),
                "suv": s,
            }
            for n, c, h, _t, s in blobs
        ],
        "organ_suv": suv,
        "body": {"scale": list(body.scale), "fat_mm": body.fat_mm, "field_center_mm": [float(v) for v in middle]},
        "misalignment": {
            "turn_deg": list(ct_pose.turn),
            "shift_mm": list(ct_pose.shift),
            "breathing_mm": ct_pose.breath,
            "bladder_filling": filling,
        },
        "breathing_blur_mm": blur,
        **pet_drawn,
        **ct_drawn,
        "parameters": asdict(parameters),
    }
    return PetCtCase(
        ct=ct_grid.to_image(ct),
        pet=grid.to_image(pet),
        label=grid.to_image(label_array(lesions, grid)),
        label_ct=ct_grid.to_image(label_array(lesions, ct_grid, to_pet_world)),
        lesions=tuple(lesions),
        parameters=drawn,
    )


def dice(mask, truth):
    """Dice overlap of two boolean arrays; 1 when both are empty."""
    total = int(mask.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2.0 * int((mask & truth).sum()) / total


def threshold_scores(case):
    """Dice of fixed-threshold segmentations of the whole PET against the label, by name of the rule."""
    pet = sitk.GetArrayViewFromImage(case.pet)
    truth = sitk.GetArrayViewFromImage(case.label) > 0
    rules = {f"SUV > {t:g}": t for t in (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)}
    rules["41 % of max"] = 0.41 * float(pet.max())
    return {name: dice(pet > level, truth) for name, level in rules.items()}


def threshold_table(seeds, parameters: PetCtParameters = PetCtParameters()):
    """Rows (rule, mean Dice over cases with lesions, mean Dice over all cases) and the two numbers of cases."""
    ill, everyone = [], []
    for seed in seeds:
        case = generate(seed, parameters)
        scores = threshold_scores(case)
        everyone.append(scores)
        if case.lesions:
            ill.append(scores)
    rows = [
        (rule, float(np.mean([s[rule] for s in ill])) if ill else float("nan"), float(np.mean([s[rule] for s in everyone])))
        for rule in everyone[0]
    ]
    return rows, len(ill), len(everyone)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    thresholds = commands.add_parser("thresholds", help="Dice of fixed SUV thresholds on held-out synthetic cases")
    thresholds.add_argument("--seeds", type=int, default=20, help="number of cases (default 20)")
    thresholds.add_argument("--first", type=int, default=900000, help="first seed (default 900000)")
    chosen = parser.parse_args(arguments)
    rows, ill, count = threshold_table(range(chosen.first, chosen.first + chosen.seeds))
    print(f"synthetic petct version {VERSION}, seeds {chosen.first}..{chosen.first + chosen.seeds - 1}")
    print(f"{'rule':14s} {'Dice, with lesions':>20s} {'Dice, all cases':>16s}")
    print(f"{'number':14s} {ill:20d} {count:16d}")
    for rule, with_lesions, overall in rows:
        print(f"{rule:14s} {with_lesions:20.3f} {overall:16.3f}")
    best = max(rows, key=lambda row: row[1])
    print(f"best fixed threshold: {best[0]}, mean Dice {best[1]:.3f} (frozen limit 0.45)")


if __name__ == "__main__":
    main()
