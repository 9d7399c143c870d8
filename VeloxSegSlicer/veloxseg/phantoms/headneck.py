"""Synthetic FDG PET/CT of a head and neck with a primary tumor (label 1) and metastatic lymph nodes (label 2).

    python -m veloxseg.phantoms.headneck thresholds --seeds 20     fixed-threshold baselines, printed as a table

A case is a pure function of (VERSION, parameters, seed): geometry in mm first, then physics, then voxels. The label
comes from the lesion objects, never from an image, and lies on the CT grid. Uptake without a label (brain, tonsils,
salivary glands, larynx, reactive nodes, brown fat, muscles) makes a fixed SUV threshold fail on purpose. Everything
here is synthetic: scores on these cases say nothing about patients.

The two labels follow the task of the HECKTOR 2022 challenge (primary tumor and nodes of oropharyngeal cancer). HU and
SUVbw are ranges common in textbooks and in reviews of normal FDG uptake; PET physics as in petct.py.
"""

import argparse
from dataclasses import asdict, dataclass, field

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .fields import block_mean, centered_grid, grid_noise, rotation, stretch
from .headneck_anatomy import CODE, MATERIALS, TISSUES, HeadCanvas, draw_body, paint_body
from .lesions import HARMONICS, PhantomLesion
from .petct import Pose, _add_distractor, _clipped_log_normal, _draw_direction, _scan_pet, _uniform, coverage, dice

VERSION = "1"
LABELS = {"primary tumor": 1, "lymph nodes": 2}

# site: (weight, center in the standard body on the left, spread in mm)
PRIMARY_SITES = {
    "tonsil": (0.42, (16, -12, 14), (2, 3, 5)),
    "tongue base": (0.30, (9, -20, -1), (4, 4, 5)),
    "soft palate": (0.10, (7, -18, 33), (3, 4, 2)),
    "hypopharynx": (0.10, (14, -8, -24), (2, 3, 5)),
    "pharyngeal wall": (0.08, (7, 3, 8), (3, 1, 10)),
}
NODE_SITES = {
    "level II": (0.46, (38, 2, 0), (4, 7, 8)),
    "level III": (0.26, (36, -4, -30), (4, 5, 8)),
    "level IV": (0.14, (32, -6, -66), (5, 5, 8)),
    "level V": (0.14, (49, 24, -34), (4, 6, 16)),
}
BROWN_FAT_SITES = ((46, 8, -88), (64, 10, -98), (36, -12, -82), (56, 26, -76))
MUSCLE_SITES = {
    "sternomastoid": ((42, -8, -26), (8, 10, 34)),
    "scalene": ((34, 22, -58), (8, 8, 26)),
    "pterygoid": ((35, -20, 26), (7, 12, 18)),
    "masseter": ((54, -30, 20), (7, 15, 22)),
    "nape": ((22, 44, -20), (14, 10, 34)),
}
# name: (chance, center, half axes, SUV range); benign uptake on one side.
INFLAMMATION_SITES = {
    "dental": (0.35, (34, -48, 8), (6, 7, 6), (2.0, 5.0)),
    "tongue tip": (0.20, (4, -64, 4), (9, 10, 8), (2.0, 5.0)),
    "vocal cord": (0.25, (6, -25, -38), (4, 9, 4), (2.5, 5.0)),
    "thyroid": (0.10, (16, -19, -62), (7, 8, 12), (2.5, 6.0)),
    "facet joint": (0.20, (17, 28, -20), (5, 6, 6), (2.0, 4.5)),
    "sinus": (0.15, (27, -58, 48), (10, 12, 4), (1.8, 4.5)),
}


@dataclass(frozen=True)
class HeadNeckParameters:
    """Ranges a case is drawn from; pairs are (low, high). Lengths in mm, angles in degrees."""

    version: str = VERSION
    pet_size: tuple = (66, 66, 68)
    pet_spacing: tuple = (4.07, 4.07, 3.0)
    ct_size: tuple = (128, 128, 64)
    ct_spacing: tuple = (2.0, 2.0, 3.0)
    field_center_z: tuple = (-14.0, 2.0)
    table_offset: tuple = ((-12.0, 12.0), (-25.0, 5.0), (-900.0, -400.0))
    primary_chance: float = 0.90
    primary_diameter: tuple = (24.0, 0.35, 10.0, 45.0)  # median, log-deviation, limits
    primary_suv: tuple = (7.0, 0.45, 4.0, 20.0)
    node_count_weights: tuple = (0.20, 0.30, 0.20, 0.15, 0.10, 0.05)
    node_diameter: tuple = (16.0, 0.38, 8.0, 40.0)
    node_suv: tuple = (4.6, 0.48, 2.5, 15.0)
    same_side_chance: float = 0.80
    primary_core_chance: float = 0.15
    node_core_chance: float = 0.25
    cold_core_from_mm: float = 15.0
    harmonic_amplitude: tuple = (0.06, 0.17)
    mass_effect: tuple = (0.15, 0.35)
    reactive_count: tuple = (2, 9)
    reactive_diameter: tuple = (5.0, 10.0)
    reactive_suv: tuple = (1.5, 2.5)
    tonsil_suv: tuple = (3.0, 7.5)  # true uptake; blur leaves a measured 2-5
    brown_fat_chance: float = 0.08
    muscle_uptake_chance: float = 0.08
    contrast_agent_chance: float = 0.30
    metal_chance: float = 0.20
    psf_fwhm: tuple = (4.5, 7.0)
    post_filter_fwhm: tuple = (4.0, 6.0)
    liver_noise: tuple = (0.06, 0.16)
    ct_noise_hu: tuple = (8.0, 20.0)
    shift: tuple = (0.0, 3.0)
    tilt: tuple = (0.0, 2.0)


@dataclass(frozen=True)
class HeadNeckCase:
    """Images of one case. ct: HU int16; pet: SUVbw float32 on its own grid; label: uint8 on the CT grid, see LABELS."""

    ct: sitk.Image
    pet: sitk.Image
    label: sitk.Image
    primaries: tuple = field(repr=False)
    nodes: tuple = field(repr=False)
    parameters: dict = field(repr=False)


class _Map:
    """Standard-body positions of all voxels of a grid, for painting and for finding the voxel of a position."""

    def __init__(self, grid, pose, body):
        counts = [max(2, int(np.ceil((n - 1) * s / 11.0)) + 1) for n, s in zip(grid.size, grid.spacing, strict=True)]
        axes = [np.linspace(0, n - 1, c) for n, c in zip(grid.size, counts, strict=True)]
        k, j, i = np.meshgrid(*axes[::-1], indexing="ij")
        points = pose.reference(grid.world(np.stack([i, j, k], axis=-1))) @ rotation(body.turn).T
        x, y, z = np.moveaxis(points, -1, 0)
        warp = body.fields["warp"]
        moved = [c + a * warp(x, y, z, n) for n, (c, a) in enumerate(zip((x, y, z), (3.5, 3.5, 4.0), strict=True))]
        # The neck bends below the skull base.
        bow = np.clip((50 - z) / 100, 0, 2) ** 2
        moved = [moved[0] + body.bend[0] * bow, moved[1] + body.bend[1] * bow, moved[2]]
        self.grid = grid
        self.positions = [stretch(c / s, grid.shape) for c, s in zip(moved, body.scale, strict=True)]

    def world(self, position):
        """World position (mm) of the voxel whose standard-body position is nearest."""
        squared = sum((c - np.float32(p)) ** 2 for c, p in zip(self.positions, position, strict=True))
        k, j, i = np.unravel_index(int(squared.argmin()), squared.shape)
        return self.grid.world((i, j, k))

    def push(self, lesions, strength, to_pet_world):
        """Mass effect: tissue around a lesion comes from nearer to its center, fading over 10 mm."""
        for lesion in lesions:
            box, depth = coverage(lesion, self.grid, (1, 1, 1), to_pet_world)
            if box is None:
                continue
            k, j, i = np.meshgrid(*[np.arange(b.start, b.stop) for b in box], indexing="ij")
            offset = to_pet_world(self.grid.world(np.stack([i, j, k], axis=-1))) - np.asarray(lesion.center_mm)
            distance = np.maximum(np.sqrt((offset**2).sum(axis=-1)), 1e-3)
            outside = np.maximum(distance - distance / np.maximum(depth, 1e-3), 0)
            pull = np.minimum(0.5 * strength * lesion.diameter_mm, 0.6 * distance) * np.exp(-((outside / 10) ** 2))
            for axis, c in enumerate(self.positions):
                c[box] -= (offset[..., axis] / distance * pull).astype(np.float32)

    def tissue(self, body):
        """Tissue codes (k, j, i)."""
        canvas = HeadCanvas(*self.positions)
        paint_body(canvas, body)
        return canvas.tissue


def _draw_uptake(rng, parameters):
    """SUV of every tissue of one person."""
    suv = {name: row[3] * float(np.exp(row[4] * rng.standard_normal())) for name, row in MATERIALS.items()}
    suv["brain"] = _uniform(rng, (6, 12))
    suv["white_matter"] = _uniform(rng, (0.35, 0.5)) * suv["brain"]
    suv["tonsil"] = _uniform(rng, parameters.tonsil_suv)
    suv["lymphoid"] = min(suv["lymphoid"], 0.9 * suv["tonsil"])
    return suv


def _lesion(rng, parameters, site, center, diameter, suv, core_chance, hu):
    amplitude = _uniform(rng, parameters.harmonic_amplitude)
    harmonics = tuple(float(h) for h in rng.standard_normal(len(HARMONICS)) * amplitude)
    cold, core, ratio = rng.random() < core_chance, _uniform(rng, (0.5, 0.75)), _uniform(rng, (0.1, 0.35))
    if not cold or diameter < parameters.cold_core_from_mm:
        core, ratio = 0.0, 0.0
    # `contrast` is measured against muscle, the tissue around most of them.
    contrast = suv / MATERIALS["muscle"][3]
    place = tuple(float(c) for c in center)
    return PhantomLesion(place, float(diameter), harmonics, site, float(suv), contrast, core, ratio * suv, hu)


def _clear(lesion, others, tissue, grid):
    """Whether a lesion keeps 1.5 mm from others and hardly covers bone, brain or air outside the body."""
    for other in others:
        line = np.subtract(other.center_mm, lesion.center_mm)
        gap = float(np.linalg.norm(line))
        step = np.linspace(0, 1, 30)[:, None] * line
        # Along the line between the centers no point may lie within both, each swollen by 1.5 mm.
        grown = [n.depth(np.asarray(lesion.center_mm) + step) / (1 + 1.5 / (0.5 * n.diameter_mm)) for n in (lesion, other)]
        if (np.maximum(*grown) <= 1).any() or gap < 0.4 * (lesion.diameter_mm + other.diameter_mm):
            return False
    box, depth = coverage(lesion, grid, (1, 1, 1))
    if box is None:
        return False
    inside = depth <= 1
    if box[0].start == 0 or box[0].stop == grid.size[2]:
        return False
    codes = tissue[box][inside]
    hard = np.isin(codes, [CODE[n] for n in ("cortical", "marrow", "tooth", "filling", "brain", "cord", "fluid", "disc")])
    outside = np.isin(codes, [CODE[n] for n in ("air", "skin", "lung", "couch")])
    return hard.mean() <= 0.12 and outside.mean() <= 0.01 and np.mean(codes == CODE["airway"]) <= 0.40


def _place(rng, parameters, sites, side, size, suv, core_chance, hu, placed, tissue, positions):
    """One lesion at a drawn site; it shrinks, and after many failures gives up (None)."""
    names = list(sites)
    weights = np.array([sites[n][0] for n in names])
    site = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    diameter = size
    for _attempt in range(25):
        _weight, center, spread = sites[site]
        target = np.multiply(center, (side, 1, 1)) + rng.standard_normal(3) * spread
        lesion = _lesion(rng, parameters, site, positions.world(target), diameter, suv, core_chance, hu)
        if _clear(lesion, placed, tissue, positions.grid):
            return lesion
        diameter = min(diameter, max(0.95 * diameter, 8.0))
    return None


def _draw_lesions(rng, parameters, tissue, positions):
    """Primary tumors (at most one), metastatic nodes and reactive nodes without a label, none touching another."""
    side = 1 if rng.random() < 0.5 else -1
    placed, primaries, nodes, reactive = [], [], [], []
    with_primary = rng.random() < parameters.primary_chance
    count = int(rng.choice(len(parameters.node_count_weights), p=parameters.node_count_weights))
    if with_primary:
        size = _clipped_log_normal(rng, *parameters.primary_diameter[:2], parameters.primary_diameter[2:])
        suv = _clipped_log_normal(rng, *parameters.primary_suv[:2], parameters.primary_suv[2:])
        found = None
        while found is None:
            found = _place(
                rng,
                parameters,
                PRIMARY_SITES,
                side,
                size,
                suv,
                parameters.primary_core_chance,
                _uniform(rng, (58, 74)),
                placed,
                tissue,
                positions,
            )
            size = max(0.8 * size, parameters.primary_diameter[2])
        primaries.append(found)
        placed.append(found)
    for _node in range(count if with_primary else max(count, 1)):
        where = side if rng.random() < parameters.same_side_chance else -side
        size = _clipped_log_normal(rng, *parameters.node_diameter[:2], parameters.node_diameter[2:])
        suv = _clipped_log_normal(rng, *parameters.node_suv[:2], parameters.node_suv[2:])
        found = _place(
            rng,
            parameters,
            NODE_SITES,
            where,
            size,
            suv,
            parameters.node_core_chance,
            _uniform(rng, (50, 70)),
            placed,
            tissue,
            positions,
        )
        if found is not None:
            nodes.append(found)
            placed.append(found)
    low, high = parameters.reactive_count
    for _node in range(int(rng.integers(low, high + 1))):
        where = 1 if rng.random() < 0.5 else -1
        found = _place(
            rng,
            parameters,
            NODE_SITES,
            where,
            _uniform(rng, parameters.reactive_diameter),
            _uniform(rng, parameters.reactive_suv),
            0.0,
            _uniform(rng, (40, 60)),
            placed,
            tissue,
            positions,
        )
        if found is not None:
            reactive.append(found)
            placed.append(found)
    return primaries, nodes, reactive


def _draw_distractors(rng, parameters, positions, offset):
    """Uptake without a label, as soft ellipsoids: name, center relative to the table offset, half axes, turn, SUV."""
    blobs = []

    def add(name, center, half, level):
        place = positions.world(np.asarray(center) + rng.uniform(-2, 2, 3)) - np.asarray(offset)
        half = tuple(float(h) for h in np.multiply(half, rng.uniform(0.8, 1.2, 3)))
        blobs.append((name, tuple(float(v) for v in place), half, tuple(float(t) for t in rng.uniform(-15, 15, 3)), float(level)))

    if rng.random() < parameters.brown_fat_chance:
        level = _uniform(rng, (2.5, 9.0))
        for x, y, z in BROWN_FAT_SITES:
            for side in (1, -1):
                add("brown fat", (side * x, y, z), (10, 8, 7), level * rng.uniform(0.5, 1.1))
    if rng.random() < parameters.muscle_uptake_chance:
        name = list(MUSCLE_SITES)[int(rng.integers(len(MUSCLE_SITES)))]
        (x, y, z), half = MUSCLE_SITES[name]
        level, both = _uniform(rng, (2.0, 5.5)), rng.random() < 0.6
        first = 1 if rng.random() < 0.5 else -1
        for side in (first, -first) if both else (first,):
            add(name, (side * x, y, z), half, level * rng.uniform(0.8, 1.1))
    for name, (chance, (x, y, z), half, levels) in INFLAMMATION_SITES.items():
        happens, side, level = rng.random() < chance, rng.choice((1, -1)), _uniform(rng, levels)
        if happens:
            add(name, (side * x, y, z), half, level)
    return blobs


def _activity(rng, tissue, grid, suv, lesions, blobs, pose):
    """True SUV (k, j, i) on the refined PET grid before the scanner sees it."""
    table = np.array([suv[name] for name in TISSUES], np.float32)
    texture = np.array([MATERIALS[name][5] for name in TISSUES], np.float32)
    patches = grid_noise(rng, grid.shape, [20.0 / s for s in grid.spacing[::-1]])
    activity = table[tissue] * np.exp(texture[tissue] * patches)
    for blob in blobs:
        _add_distractor(activity, grid, pose, blob)
    grain = grid_noise(rng, grid.shape, [8.0 / s for s in grid.spacing[::-1]])
    for lesion in lesions:
        box, depth = coverage(lesion, grid, (1, 1, 2))
        if box is None:
            continue
        share = block_mean((depth <= 1).astype(np.float32), (2, 1, 1))
        core = block_mean((depth <= lesion.core_fraction).astype(np.float32), (2, 1, 1))
        uptake = lesion.suv + (lesion.core_suv - lesion.suv) * core / np.maximum(share, 1e-6)
        activity[box] = activity[box] * (1 - share) + share * uptake * (1 + 0.12 * grain[box])
    return activity


def _streaks(rng, hu, tissue, spacing):
    """Add the star of bright and dark streaks that metal leaves in its slices, in place; HU (k, j, i)."""
    metal = tissue == CODE["filling"]
    angles = np.linspace(-np.pi, np.pi, 73)
    strength = _uniform(rng, (250, 700))
    for k in np.flatnonzero(metal.any(axis=(1, 2))):
        groups, count = ndimage.label(metal[k])
        for j0, i0 in ndimage.center_of_mass(metal[k], groups, range(1, count + 1)):
            wave = rng.standard_normal(len(angles))
            wave[-1] = wave[0]
            y, x = np.ogrid[: hu.shape[1], : hu.shape[2]]
            dy, dx = (y - j0) * spacing[1], (x - i0) * spacing[0]
            radius = np.sqrt(dx * dx + dy * dy)
            hu[k] += strength * np.interp(np.arctan2(dy, dx), angles, wave) * np.exp(-radius / 30) * (1 - np.exp(-radius / 5))


def _scan_ct(rng, parameters, tissue, grid, lesions, agent, to_pet_world):
    """HU int16 (k, j, i): tissue values, texture, contrast agent (0..1), lesions, metal, small blur, noise."""
    means = np.array([row[0] + agent * row[2] for row in MATERIALS.values()], np.float32)
    texture = np.array([row[1] for row in MATERIALS.values()], np.float32)
    grain = grid_noise(rng, grid.shape, [5.0 / s for s in grid.spacing[::-1]])
    hu = means[tissue] + texture[tissue] * grain
    for lesion in lesions:
        box, depth = coverage(lesion, grid, (2, 2, 1), to_pet_world)
        if box is None:
            continue
        share = block_mean((depth <= 1).astype(np.float32), (1, 2, 2))
        core = block_mean((depth <= lesion.core_fraction).astype(np.float32), (1, 2, 2))
        level = lesion.hu + 22 * agent - core * (lesion.hu - 18 + 20 * agent)
        hu[box] = hu[box] * (1 - share) + share * (level + 8 * grain[box])
    _streaks(rng, hu, tissue, grid.spacing)
    hu = ndimage.gaussian_filter(hu, (0.35, 0.55, 0.55), truncate=3)
    noise = _uniform(rng, parameters.ct_noise_hu)
    white = rng.standard_normal(grid.shape, dtype=np.float32)
    hu += ndimage.gaussian_filter(white, (0, 0.6, 0.6), truncate=3) * np.float32(noise * 2.0)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), {"ct_noise_hu": noise}


def label_array(primaries, nodes, grid, to_pet_world):
    """uint8 (k, j, i), see LABELS: where at least half of the 3 x 3 x 3 sub-voxels of a voxel lie in one object."""
    label = np.zeros(grid.shape, np.uint8)
    for value, lesions in ((2, nodes), (1, primaries)):
        for lesion in lesions:
            box, depth = coverage(lesion, grid, (3, 3, 3), to_pet_world)
            if box is not None:
                label[box][block_mean((depth <= 1).astype(np.float32), (3, 3, 3)) >= 0.5] = value
    return label


def _described(lesion):
    return {
        "site": lesion.site,
        "center_mm_lps": list(lesion.center_mm),
        "diameter_mm": lesion.diameter_mm,
        "volume_ml": lesion.volume_ml,
        "suv": lesion.suv,
        "core_fraction": lesion.core_fraction,
        "core_suv": lesion.core_suv,
        "ct_hu": lesion.hu,
        "harmonics": list(lesion.harmonics),
    }


def generate(seed: int, parameters: HeadNeckParameters = HeadNeckParameters()) -> HeadNeckCase:
    """Make one case. The same version, parameters and seed always give the same voxels."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(7)]
    body_rng, uptake_rng, pose_rng, lesion_rng, blob_rng, pet_rng, ct_rng = streams
    body = draw_body(body_rng, parameters.metal_chance)
    suv = _draw_uptake(uptake_rng, parameters)
    offset = tuple(_uniform(pose_rng, limits) for limits in parameters.table_offset)
    middle = np.array([0.0, -2.0, _uniform(pose_rng, parameters.field_center_z)])
    pet_pose = Pose(offset)
    ct_pose = Pose(
        offset,
        turn=_draw_direction(pose_rng, _uniform(pose_rng, parameters.tilt)),
        shift=_draw_direction(pose_rng, _uniform(pose_rng, parameters.shift)),
        pivot=tuple(middle),
    )
    agent = _uniform(pose_rng, (0.6, 1.2)) * float(pose_rng.random() < parameters.contrast_agent_chance)
    strength = _uniform(pose_rng, parameters.mass_effect)
    grid = centered_grid(parameters.pet_size, parameters.pet_spacing, middle + offset)
    ct_grid = centered_grid(parameters.ct_size, parameters.ct_spacing, middle + offset)

    def to_pet_world(points):
        return ct_pose.reference(points) + np.asarray(offset)

    fine = grid.refined((2, 2, 1))
    positions = _Map(fine, pet_pose, body)
    primaries, nodes, reactive = _draw_lesions(lesion_rng, parameters, positions.tissue(body), positions)
    blobs = _draw_distractors(blob_rng, parameters, positions, offset)
    lesions = primaries + nodes + reactive
    positions.push(lesions, strength, lambda points: points)
    tissue = positions.tissue(body)
    activity = _activity(pet_rng, tissue, fine, suv, lesions, blobs, pet_pose)
    means = np.array([row[0] for row in MATERIALS.values()], np.float32)
    # Linear attenuation at 511 keV: 0.0096 / mm for water, bone saturates.
    mu = np.clip((means[tissue[:, ::2, ::2]] + 1000) * 9.6e-6, 0, 0.0135)
    pet, pet_drawn = _scan_pet(pet_rng, parameters, activity, fine, grid, mu, 2.2)

    ct_positions = _Map(ct_grid, ct_pose, body)
    ct_positions.push(lesions, strength, to_pet_world)
    ct, ct_drawn = _scan_ct(ct_rng, parameters, ct_positions.tissue(body), ct_grid, lesions, agent, to_pet_world)
    drawn = {
        "generator": "head-neck-petct",
        "version": VERSION,
        "seed": int(seed),
        "synthetic": True,
        "labels": LABELS,
        "primary_tumors": [_described(n) for n in primaries],
        "lymph_nodes": [_described(n) for n in nodes],
        "reactive_nodes": [_described(n) for n in reactive],
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
        "body": {
            "scale": list(body.scale),
            "bend_mm": list(body.bend),
            "turn_deg": list(body.turn),
            "fat_mm": body.fat_mm,
            "teeth": len(body.teeth),
            "metal_teeth": len(body.fillings),
            "mouth_gap_mm": body.mouth_gap,
            "field_center_mm": [float(v) for v in middle],
        },
        "contrast_agent": agent,
        "mass_effect": strength,
        "misalignment": {"turn_deg": list(ct_pose.turn), "shift_mm": list(ct_pose.shift)},
        **pet_drawn,
        **ct_drawn,
        "parameters": asdict(parameters),
    }
    label = label_array(primaries, nodes, ct_grid, to_pet_world)
    return HeadNeckCase(ct_grid.to_image(ct), grid.to_image(pet), ct_grid.to_image(label), tuple(primaries), tuple(nodes), drawn)


def threshold_scores(case):
    """Dice of fixed-threshold segmentations of the PET, on the CT grid, against both labels as one; by name of the rule.

    "no brain" drops what is connected to the upper border of the field, which takes the brain away.
    """
    pet = sitk.GetArrayFromImage(sitk.Resample(case.pet, case.ct, sitk.Transform(), sitk.sitkLinear, 0.0))
    truth = sitk.GetArrayViewFromImage(case.label) > 0
    scores = {}
    for rule, level in {
        **{f"SUV > {t:g}": t for t in (2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)},
        "41 % of max": 0.41 * float(pet.max()),
    }.items():
        mask = pet > level
        scores[rule] = dice(mask, truth)
        pieces, _count = ndimage.label(mask)
        top = np.unique(pieces[-1])
        scores[f"{rule}, no brain"] = dice(mask & ~np.isin(pieces, top[top > 0]), truth)
    return scores


def threshold_table(seeds, parameters: HeadNeckParameters = HeadNeckParameters()):
    """Rows (rule, mean Dice over the cases) and the number of cases."""
    scores = [threshold_scores(generate(seed, parameters)) for seed in seeds]
    return [(rule, float(np.mean([s[rule] for s in scores]))) for rule in scores[0]], len(scores)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    thresholds = commands.add_parser("thresholds", help="Dice of fixed SUV thresholds on held-out synthetic cases")
    thresholds.add_argument("--seeds", type=int, default=20, help="number of cases (default 20)")
    thresholds.add_argument("--first", type=int, default=900000, help="first seed (default 900000)")
    chosen = parser.parse_args(arguments)
    rows, count = threshold_table(range(chosen.first, chosen.first + chosen.seeds))
    print(f"synthetic head-neck-petct version {VERSION}, seeds {chosen.first}..{chosen.first + chosen.seeds - 1}, {count} cases")
    print(f"{'rule':24s} {'Dice':>8s}")
    for rule, score in rows:
        print(f"{rule:24s} {score:8.3f}")
    best = max(rows, key=lambda row: row[1])
    print(f"best fixed threshold: {best[0]}, mean Dice {best[1]:.3f}")


if __name__ == "__main__":
    main()
