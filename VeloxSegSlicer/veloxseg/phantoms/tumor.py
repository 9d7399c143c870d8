"""Synthetic FLAIR, T1, contrast-enhanced T1 and T2 of skull-stripped heads with growing brain tumors.

    python -m veloxseg.phantoms.tumor thresholds --seeds 20     fixed-threshold baselines, printed as a table

A case is a pure function of (VERSION, parameters, seed): real tissue maps (MNI152) under a smooth random map, a
tumor that grows on them and pushes them away, spin physics, then voxels. The label comes from levels of the cell
density, never from an image; lesions of white matter, choroid plexus and vessels are bright without a label.
Everything here is synthetic: scores on these cases say nothing about patients.

Positions are mm in LPS, arrays (k, j, i). Relaxation times in ms at 3 T are the values common in textbooks and
reviews (Stanisz 2005; Wansapura 1999 for healthy tissue), those of lesions the ranges reported for gliomas.
"""

import argparse
from dataclasses import asdict, dataclass, field

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from . import mni
from .fields import SmoothField, centered_grid, grid_noise, rotation
from .growth import grow, push

VERSION = "1"

LABELS = {"background": 0, "necrotic core": 1, "edema": 2, "enhancing tumor": 3}
SEQUENCES = ("flair", "t1", "t1ce", "t2")

# tissue: (T1 ms, T2 ms, proton density, log-deviation of T1, of T2 between cases, contrast uptake as rate 1 / s)
TISSUES = {
    "white": (850, 78, 0.70, 0.05, 0.05, 0.05),
    "gray": (1350, 98, 0.82, 0.05, 0.06, 0.08),
    "csf": (4200, 1700, 1.00, 0.05, 0.15, 0.0),
    "vessel": (1700, 60, 0.55, 0.15, 0.3, 3.0),
    "plexus": (1700, 170, 0.85, 0.10, 0.15, 2.0),
    "spot": (1350, 140, 0.82, 0.10, 0.15, 0.05),
    "edema": (1550, 142, 0.83, 0.10, 0.16, 0.06),
    "rim": (1550, 122, 0.83, 0.10, 0.14, 1.5),
    "necrosis": (2300, 230, 0.93, 0.16, 0.30, 0.15),
}
NAMES = tuple(TISSUES)
SIZE, SPACING, CENTER = (96, 112, 96), (2.0, 2.0, 2.0), (0.0, 17.0, 5.0)
GROWTH_SPACING, GROWTH_REACH = 3.0, 22  # mm; half the box in voxels


@dataclass(frozen=True)
class TumorParameters:
    """Ranges a case is drawn from; pairs are (low, high). Lengths in mm, angles in degrees, times in ms."""

    version: str = VERSION
    warp_mm: tuple = (3.5, 0.9)
    scale: tuple = (0.92, 1.05)
    turn: float = 6.0
    fold: float = 0.9
    tumor_count_chance: tuple = (0.05, 0.85, 0.10)
    kind_chance: tuple = (("necrotic", 0.60), ("solid", 0.22), ("infiltrating", 0.18))
    volume_ml: tuple = (3.0, 85.0)
    width_mm: tuple = (2.2, 4.5)
    rate_variety: float = 0.35
    visible_level: tuple = (-2.2, -0.8)
    cortex_penalty: tuple = (1.5, 3.5)
    edge_softness: tuple = (0.25, 0.9)
    roughness_mm: tuple = (0.8, 2.2)
    core_share: tuple = (0.12, 0.50)
    patch_share: tuple = (0.02, 0.12)
    patch_chance: float = 0.6
    necrotic_share: tuple = (0.25, 0.80)
    push_strength: tuple = (0.08, 0.55)
    vessels: tuple = (6, 16)
    spots: tuple = (0, 32)
    spot_mm: tuple = (1.5, 5.0)
    flair_timing: tuple = ((8000, 11000), (90, 140), (2300, 2700))  # TR, TE, TI
    t2_timing: tuple = ((4000, 6500), (80, 115))  # TR, TE
    t1_timing: tuple = ((9.0, 24.0), (20.0, 30.0))  # TR, flip angle
    uptake: tuple = (0.45, 1.5)
    texture: tuple = (0.02, 0.06)
    tumor_texture: tuple = (0.06, 0.16)
    thickness_mm: tuple = (1.0, 5.0)
    bias: tuple = (0.05, 0.30)
    snr: tuple = (15.0, 40.0)
    shift: tuple = (0.0, 2.0)
    tilt: tuple = (0.0, 1.0)


@dataclass(frozen=True)
class TumorCase:
    """Images of one case, float32 in arbitrary units and 0 outside the brain, with the uint8 label on one grid."""

    flair: sitk.Image
    t1: sitk.Image
    t1ce: sitk.Image
    t2: sitk.Image
    label: sitk.Image
    parameters: dict = field(repr=False)


def _uniform(rng, limits):
    return float(rng.uniform(*limits))


def _log_uniform(rng, limits):
    return float(np.exp(rng.uniform(*np.log(limits))))


def _lattice(grid, step):
    """World positions (k, j, i, 3) of a lattice with nodes every `step` mm that covers a grid, and its first corner."""
    count = [int(np.ceil(n * s / step)) + 2 for n, s in zip(grid.size, grid.spacing, strict=True)]
    low = np.asarray(grid.origin) - step
    k, j, i = np.meshgrid(*[np.arange(c) for c in count[::-1]], indexing="ij")
    return low + step * np.stack([i, j, k], axis=-1), low


def _interpolate(values, low, step, points):
    """Linear interpolation of lattice values (k, j, i, 3) at points (n, 3) mm; float32 (n, 3)."""
    places = ((points - low) / step).T[::-1]
    return np.stack(
        [ndimage.map_coordinates(values[..., c], places, order=1, mode="nearest", output=np.float32) for c in range(3)], axis=-1
    )


def _grow_tumors(rng, parameters, anatomy):
    """Tumors of one head before they push: list of dicts with drawn values, the density and the growth grid."""
    grid = centered_grid((66, 76, 66), (GROWTH_SPACING,) * 3, CENTER)
    k, j, i = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    atlas, white_map, gray_map, brain_map = mni.load_maps()
    index = np.moveaxis(atlas.index(anatomy.template(grid.world(np.stack([i, j, k], axis=-1)))), -1, 0)[::-1]
    white, gray, brain = (mni.sample(m, index) for m in (white_map, gray_map, brain_map))
    depth = ndimage.distance_transform_edt(brain > 0.5) * GROWTH_SPACING
    chance = np.asarray(parameters.tumor_count_chance)
    count = int(rng.choice(len(chance), p=chance / chance.sum()))
    hosts = np.argwhere((white > 0.75) & (depth > 14))
    tumors = []
    for _ in range(count):
        free = hosts
        for other in tumors:
            free = free[((free - other["seed"]) ** 2).sum(1) * GROWTH_SPACING**2 > 35**2]
        seed = free[int(rng.integers(len(free)))]
        names, weights = zip(*parameters.kind_chance, strict=True)
        kind = names[int(rng.choice(len(names), p=np.asarray(weights) / sum(weights)))]
        drawn = {
            "kind": kind,
            "aimed_volume_ml": _log_uniform(rng, parameters.volume_ml) * (0.35 if tumors else 1.0),
            "width_mm": _uniform(rng, parameters.width_mm),
            "visible_level": _uniform(rng, parameters.visible_level),
            "cortex_penalty": _uniform(rng, parameters.cortex_penalty),
            "edge_softness": _uniform(rng, parameters.edge_softness),
            "roughness_mm": _uniform(rng, parameters.roughness_mm),
            "push_strength": _uniform(rng, parameters.push_strength),
        }
        core_share, necrotic = _uniform(rng, parameters.core_share), _uniform(rng, parameters.necrotic_share)
        patch = _uniform(rng, parameters.patch_share) if rng.random() < parameters.patch_chance else 0.0
        if kind == "infiltrating":
            core_share = patch
            drawn["push_strength"] *= 0.4
        if kind != "necrotic":
            necrotic = 0.0
        low = np.clip(seed - GROWTH_REACH, 0, None)
        box = tuple(slice(a, int(s) + GROWTH_REACH + 1) for a, s in zip(low, seed, strict=True))
        rate = grid_noise(rng, white[box].shape, (14 / GROWTH_SPACING,) * 3)
        rate = np.clip(1 + parameters.rate_variety * rate, 0.3, 2)
        logit = grow(
            white[box],
            gray[box],
            rate,
            seed - low,
            GROWTH_SPACING,
            drawn["width_mm"],
            drawn["aimed_volume_ml"],
            drawn["visible_level"],
        )
        visible = logit - drawn["cortex_penalty"] * gray[box] > drawn["visible_level"]
        visible &= brain[box] > 0.5
        inside = np.sort(logit[visible & (white + gray > 0.5)[box]])[::-1]
        core = int(core_share * inside.size)
        # A few growth voxels are less than the roughness of the border.
        core = core if core >= 8 else 0
        drawn["core_level"] = float(inside[core]) if core else None
        drawn["necrotic_level"] = float(inside[int(necrotic * core)]) if core and necrotic else None
        center = grid.world(seed[::-1])
        if core:
            middle = np.argwhere(logit > drawn["core_level"]).mean(axis=0) + low
            center = grid.world(middle[::-1])
        volume = GROWTH_SPACING**3 * (core if kind != "infiltrating" else 0.3 * inside.size)
        drawn["push_radius_mm"] = float(6 + 1.1 * (0.75 * volume / np.pi) ** (1 / 3))
        drawn["center_mm_lps"] = [float(v) for v in center]
        origin = grid.world(low[::-1])
        roughness = [SmoothField(rng, origin - 10, origin + GROWTH_SPACING * 2 * GROWTH_REACH + 20, 7.0) for _ in range(3)]
        tumors.append({"seed": seed, "logit": logit, "origin": origin, "rough": roughness, "drawn": drawn})
    room = np.clip(depth / 16, 0, 1).astype(np.float32)
    return tumors, grid, room


def _before_push(points, tumors, grid, room):
    """Positions (..., 3) before the tumors pushed the tissue to `points` (..., 3), mm."""
    weight = ndimage.map_coordinates(room, np.moveaxis(grid.index(points), -1, 0)[::-1], order=1, mode="constant")
    shift = np.zeros(points.shape)
    for tumor in tumors:
        drawn = tumor["drawn"]
        shift += push(points, drawn["center_mm_lps"], drawn["push_radius_mm"], drawn["push_strength"], weight)
    return points + shift


def _density(tumor, points):
    """Logit density of one tumor at points (n, 3) mm before the push; very low outside its box."""
    places = ((points - tumor["origin"]) / GROWTH_SPACING).T[::-1]
    return ndimage.map_coordinates(tumor["logit"], places, order=1, mode="constant", cval=-20.0, output=np.float32)


def _add_tumor(tumor, points, gray, fluid):
    """(edema signal share, label) of points (n, 3) mm before the push, with their shares of gray matter and CSF."""
    drawn = tumor["drawn"]
    logit = _density(tumor, points)
    x, y, z = points.T
    rough = drawn["roughness_mm"] / drawn["width_mm"]
    outer, core, inner = (rough * noise(x, y, z) for noise in tumor["rough"])
    excess = logit + outer - drawn["cortex_penalty"] * gray - drawn["visible_level"]
    share = 1 / (1 + np.exp(-np.clip(excess / drawn["edge_softness"], -30, 30)))
    label = np.where((excess > 0) & (fluid < 0.5), LABELS["edema"], 0).astype(np.uint8)
    if drawn["core_level"] is not None:
        label[logit + core > drawn["core_level"]] = LABELS["enhancing tumor"]
        if drawn["necrotic_level"] is not None:
            # A rim stays around the necrosis wherever the two borders come close.
            deep = np.minimum(
                logit + inner, logit + core - 1.2 / drawn["width_mm"] - drawn["core_level"] + drawn["necrotic_level"]
            )
            label[(deep > drawn["necrotic_level"]) & (label == LABELS["enhancing tumor"])] = LABELS["necrotic core"]
    return share.astype(np.float32), label


def _paint(rng, parameters, anatomy, tumors, growth_grid, room, extras, grid):
    """The head at 1 mm, averaged to the voxels of `grid`.

    Returns the flat indices (n,) of voxels with brain, tissue shares (n, len(NAMES)), shares of the labels (n, 4).
    """
    step = 4.0
    nodes, low = _lattice(grid, step)
    before = _before_push(nodes, tumors, growth_grid, room)
    template = anatomy.template(before)
    atlas, white_map, gray_map, brain_map = mni.load_maps()
    k, j, i = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    every = grid.world(np.stack([i.ravel(), j.ravel(), k.ravel()], axis=-1))
    brain = mni.sample(brain_map, atlas.index(_interpolate(template, low, step, every)).T[::-1])
    voxels = np.flatnonzero(ndimage.binary_dilation(brain.reshape(grid.shape) > 0))
    parts = np.stack(np.meshgrid(*[(-0.25, 0.25)] * 3, indexing="ij"), -1).reshape(8, 3) * np.asarray(grid.spacing)
    points = (every[voxels][:, None, :] + parts).reshape(-1, 3).astype(np.float32)
    index = atlas.index(_interpolate(template, low, step, points)).T[::-1]
    white, gray, brain = (mni.sample(m, index) for m in (white_map, gray_map, brain_map))
    extra = ndimage.map_coordinates(extras, index, order=0, mode="constant", prefilter=False)
    # The maps are an average of many people: sharper shares and random folds make one person of it.
    fluid = np.clip(brain - white - gray, 0, 1)
    corners = np.asarray(grid.origin) + np.array([[0.0], [1.0]]) * np.asarray(grid.size) * np.asarray(grid.spacing)
    folds = SmoothField(rng, corners[0] - 4, corners[1] + 4, 5.0)(*points.T)
    fluid = (fluid * np.exp(parameters.fold * folds)) ** 2
    white, gray = white**2, gray**2
    total = np.maximum(white + gray + fluid, 1e-6) / (brain + 1e-9)
    white, gray, fluid = white / total, gray / total, fluid / total

    label = np.zeros(len(points), np.uint8)
    swollen = np.zeros(len(points), np.float32)
    prior = _interpolate(before, low, step, every[voxels])
    for tumor in tumors:
        near = np.repeat(_density(tumor, prior) > tumor["drawn"]["visible_level"] - 4, 8)
        here = _interpolate(before, low, step, points[near])
        share, own = _add_tumor(tumor, here, gray[near], fluid[near])
        own[brain[near] < 0.5] = 0
        swollen[near] = np.maximum(swollen[near], share)
        # Core of either tumor wins over edema of the other.
        old = label[near]
        label[near] = np.where((own == 0) | ((old != 0) & (own == LABELS["edema"])), old, own)
    shares = np.zeros((len(points), len(NAMES)), np.float32)
    column = {name: n for n, name in enumerate(NAMES)}
    shares[:, column["edema"]] = swollen * (white + gray)
    shares[:, column["white"]] = white * (1 - swollen)
    shares[:, column["gray"]] = gray * (1 - swollen)
    shares[:, column["csf"]] = fluid
    for code, name in ((mni.VESSEL, "vessel"), (mni.PLEXUS, "plexus"), (mni.SPOT, "spot")):
        place = extra == code
        shares[place] = 0
        shares[place, column[name]] = brain[place]
    for name, title in (("rim", "enhancing tumor"), ("necrosis", "necrotic core")):
        place = label == LABELS[title]
        shares[place] = 0
        shares[place, column[name]] = brain[place]
    mean = shares.reshape(-1, 8, len(NAMES)).mean(axis=1)
    counts = np.stack([(label == n).reshape(-1, 8).mean(axis=1, dtype=np.float32) for n in range(4)], axis=-1)
    return voxels, mean, counts


def _label_array(grid, voxels, counts):
    """uint8 (k, j, i): voxels at least half filled by tumor get its most frequent part; even splits alternate."""
    filled = 1 - counts[:, 0]
    parity = sum(np.unravel_index(voxels, grid.shape)) % 2
    inside = (filled > 0.5) | ((filled == 0.5) & (parity == 1))
    label = np.zeros(grid.shape, np.uint8)
    label.ravel()[voxels[inside]] = 1 + np.argmax(counts[inside, 1:], axis=1).astype(np.uint8)
    return label


def _draw_signals(rng, parameters):
    """Signal of every pure tissue, (sequence, tissue), of one case, and the drawn relaxation times and timings."""
    rows = np.array([TISSUES[n] for n in NAMES], float)
    normal = np.clip(rng.standard_normal((2, len(NAMES))), -1.6, 1.6)
    # Water content rises in edema and solid tumor together.
    edema, rim = NAMES.index("edema"), NAMES.index("rim")
    normal[:, rim] = 0.7 * normal[:, edema] + 0.7 * normal[:, rim]
    t1, t2 = (rows[:, n] * np.exp(rows[:, 3 + n] * normal[n]) for n in (0, 1))
    density = rows[:, 2] * (1 + 0.02 * rng.standard_normal(len(NAMES)))
    uptake = rows[:, 5] * _uniform(rng, parameters.uptake)
    flair_tr, flair_te, flair_ti = (_uniform(rng, limits) for limits in parameters.flair_timing)
    t2_tr, t2_te = (_uniform(rng, limits) for limits in parameters.t2_timing)
    t1_tr, flip = (_uniform(rng, limits) for limits in parameters.t1_timing)
    enhanced = 1 / (1 / t1 + uptake / 1000)

    def spoiled(times):
        decay, angle = np.exp(-t1_tr / times), np.deg2rad(flip)
        return density * np.sin(angle) * (1 - decay) / (1 - np.cos(angle) * decay)

    signals = np.stack(
        [
            np.abs(density * (1 - 2 * np.exp(-flair_ti / t1) + np.exp(-flair_tr / t1)) * np.exp(-flair_te / t2)),
            spoiled(t1),
            spoiled(enhanced),
            density * (1 - np.exp(-t2_tr / t1)) * np.exp(-t2_te / t2),
        ]
    )
    flow_void = NAMES.index("vessel")
    signals[[0, 3], flow_void] *= 0.3
    drawn = {
        "relaxation": {
            n: {"t1_ms": float(a), "t2_ms": float(b), "t1_enhanced_ms": float(c), "proton_density": float(d)}
            for n, a, b, c, d in zip(NAMES, t1, t2, enhanced, density, strict=True)
        },
        "timing": {
            "flair_tr_te_ti_ms": [flair_tr, flair_te, flair_ti],
            "t2_tr_te_ms": [t2_tr, t2_te],
            "t1_tr_ms_flip_deg": [t1_tr, flip],
        },
    }
    return signals, drawn


def _scan(rng, parameters, image, inside, grid, moved):
    """One sequence of a (k, j, i) signal: slice profile, head movement, coil, noise. Returns image and drawn values."""
    axis, thickness = int(rng.integers(3)), _uniform(rng, parameters.thickness_mm)
    turn, shift = _direction(rng, _uniform(rng, parameters.tilt)), _direction(rng, _uniform(rng, parameters.shift))
    bias, snr, gain = _uniform(rng, parameters.bias), _uniform(rng, parameters.snr), _log_uniform(rng, (200, 1200))
    coil = grid_noise(rng, grid.shape, [70.0 / s for s in grid.spacing[::-1]])
    # The voxels themselves already average over their own length.
    wider = max(thickness**2 - grid.spacing[axis] ** 2, 0) / 12
    if wider:
        image = ndimage.gaussian_filter1d(image, wider**0.5 / grid.spacing[axis], axis=2 - axis)
    if moved:
        matrix = rotation(turn)[::-1, ::-1]
        middle = (np.asarray(grid.shape) - 1) / 2
        offset = middle - matrix @ middle + np.asarray(shift)[::-1] / grid.spacing[0]
        image = ndimage.affine_transform(image, matrix, offset, order=1)
    else:
        turn, shift = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    values = image[inside]
    level = float(values.mean())
    field_values = coil[inside] - coil[inside].mean()
    values = values * np.exp(bias * field_values / np.abs(field_values).max())
    sigma = np.float32(level / snr)
    real, imaginary = rng.standard_normal((2, values.size), dtype=np.float32) * sigma
    result = np.zeros(grid.shape, np.float32)
    result[inside] = np.hypot(values + real, imaginary) * (gain / level)
    drawn = {
        "slice_axis": "xyz"[axis],
        "thickness_mm": thickness,
        "turn_deg": list(turn),
        "shift_mm": list(shift),
        "bias": bias,
        "snr": snr,
        "gain": gain,
    }
    return result, drawn


def _direction(rng, length):
    vector = rng.standard_normal(3)
    return tuple(float(v) for v in vector / np.linalg.norm(vector) * length)


def generate(seed: int, parameters: TumorParameters = TumorParameters()) -> TumorCase:
    """Make one case. The same version, parameters and seed always give the same voxels."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(10)]
    anatomy_rng, tumor_rng, extra_rng, fold_rng, signal_rng, texture_rng = streams[:6]
    grid = centered_grid(SIZE, SPACING, CENTER)
    anatomy = mni.Anatomy(anatomy_rng, parameters.warp_mm, parameters.scale, parameters.turn, CENTER)
    tumors, growth_grid, room = _grow_tumors(tumor_rng, parameters, anatomy)
    vessels = int(extra_rng.integers(parameters.vessels[0], parameters.vessels[1] + 1))
    spots = int(extra_rng.integers(parameters.spots[0], parameters.spots[1] + 1))
    extras = mni.draw_extras(extra_rng, vessels, spots, parameters.spot_mm)
    voxels, shares, counts = _paint(fold_rng, parameters, anatomy, tumors, growth_grid, room, extras, grid)
    signals, drawn = _draw_signals(signal_rng, parameters)

    kept = shares.sum(axis=1) > 0.5
    inside = np.zeros(grid.shape, bool)
    inside.ravel()[voxels[kept]] = True
    label = _label_array(grid, voxels, counts)
    mild, strong = _uniform(texture_rng, parameters.texture), _uniform(texture_rng, parameters.tumor_texture)
    amplitude = np.array([strong if n in ("edema", "rim", "necrosis") else mild for n in NAMES], np.float32)
    images, scans = {}, {}
    for number, name in enumerate(SEQUENCES):
        grain = grid_noise(texture_rng, grid.shape, (3.0, 3.0, 3.0)).ravel()[voxels]
        pure = signals[number].astype(np.float32)
        image = np.zeros(grid.shape, np.float32)
        image.ravel()[voxels] = shares @ pure + grain * (shares @ (pure * amplitude))
        image, scans[name] = _scan(streams[6 + number], parameters, image, inside, grid, moved=name != "t1")
        images[name] = grid.to_image(image)
    voxel_ml = float(np.prod(grid.spacing)) / 1000
    ml = {name: float(counts[:, code].sum() * voxel_ml) for name, code in LABELS.items() if code}
    drawn = {
        "generator": "tumor",
        "version": VERSION,
        "seed": int(seed),
        "synthetic": True,
        "volume_ml": {"whole tumor": sum(ml.values()), **ml},
        "tumors": [t["drawn"] for t in tumors],
        "anatomy": {"scale": list(anatomy.scale), "turn_deg": list(anatomy.turn), "flipped": anatomy.flip},
        "distractors": {"vessels": vessels, "white_matter_lesions": spots},
        "texture": mild,
        "tumor_texture": strong,
        **drawn,
        "scans": scans,
        "parameters": asdict(parameters),
    }
    return TumorCase(label=grid.to_image(label), parameters=drawn, **images)


def dice(mask, truth):
    """Dice overlap of two boolean arrays; 1 when both are empty."""
    total = int(mask.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2.0 * int((mask & truth).sum()) / total


LEVELS = tuple(float(v) for v in np.arange(0.5, 4.01, 0.25))


def threshold_scores(case):
    """Dice of the whole tumor for fixed thresholds of FLAIR, z-scored over the brain, by threshold."""
    flair = sitk.GetArrayViewFromImage(case.flair)
    truth = sitk.GetArrayViewFromImage(case.label) > 0
    brain = flair[flair > 0]
    score = np.where(flair > 0, (flair - brain.mean()) / brain.std(), -9)
    return {level: dice(score > level, truth) for level in LEVELS}


def threshold_table(seeds, parameters: TumorParameters = TumorParameters()):
    """Rows (threshold, mean Dice over cases with a tumor, mean Dice over all cases), and the two numbers of cases."""
    ill, everyone = [], []
    for seed in seeds:
        case = generate(seed, parameters)
        scores = threshold_scores(case)
        everyone.append(scores)
        if case.parameters["tumors"]:
            ill.append(scores)
    rows = [
        (level, float(np.mean([s[level] for s in ill])) if ill else float("nan"), float(np.mean([s[level] for s in everyone])))
        for level in LEVELS
    ]
    return rows, len(ill), len(everyone)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    thresholds = commands.add_parser("thresholds", help="Dice of fixed FLAIR thresholds on held-out synthetic cases")
    thresholds.add_argument("--seeds", type=int, default=20, help="number of cases (default 20)")
    thresholds.add_argument("--first", type=int, default=900000, help="first seed (default 900000)")
    chosen = parser.parse_args(arguments)
    rows, ill, count = threshold_table(range(chosen.first, chosen.first + chosen.seeds))
    print(f"synthetic brain-tumor-mri version {VERSION}, seeds {chosen.first}..{chosen.first + chosen.seeds - 1}")
    print(f"{'rule':14s} {'Dice, with tumor':>20s} {'Dice, all cases':>16s}")
    print(f"{'number':14s} {ill:20d} {count:16d}")
    for level, with_tumor, overall in rows:
        print(f"{f'FLAIR z > {level:g}':14s} {with_tumor:20.3f} {overall:16.3f}")
    best = max(rows, key=lambda row: row[1])
    print(f"best fixed threshold: FLAIR z > {best[0]:g}, mean Dice {best[1]:.3f} (frozen limit 0.45)")


if __name__ == "__main__":
    main()
