"""Synthetic T1-weighted head: scalp, skull, CSF, folded cortex, white matter, deep nuclei, cerebellum, brain stem.

    case = generate(seed)            case.t1 (int16), case.label (uint8), case.parameters

For offline samples and tests only; it is not a population model. Positions are mm in LPS around the middle of the
brain (x left, y back, z up). Arrays are (k, j, i). Relative T1 signals, skull thickness, cortex thickness (2-4 mm)
and sulcus depth (10-25 mm) are textbook values for an adult at 1.5-3 T.
"""

from dataclasses import asdict, dataclass, field

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .fields import SmoothField, centered_grid, stretch
from .space import Space

VERSION = "1"

LABELS = {
    "background": 0,
    "csf": 1,
    "cortex": 2,
    "white matter": 3,
    "ventricles": 4,
    "deep nuclei": 5,
    "cerebellum": 6,
    "brain stem": 7,
}
# Signal on a scale where white matter is 1.
SIGNAL = {
    "air": 0.01,
    "scalp": 0.55,
    "fat": 1.12,
    "muscle": 0.52,
    "bone": 0.10,
    "diploe": 0.62,
    "csf": 0.20,
    "gray": 0.66,
    "white": 1.00,
    "nuclei": 0.78,
    "pallidum": 0.88,
    "thalamus": 0.82,
    "cerebellar gray": 0.66,
    "cerebellar white": 0.96,
    "stem": 0.92,
    "vitreous": 0.22,
    "vessel": 0.85,
    "mucosa": 0.55,
}
HULL_CENTER, HULL_HALF = (0.0, 0.0, 10.0), (67.0, 84.0, 62.0)
TEMPORAL = ((43, -12, -24), (23, 44, 23), (-10, 0, -6))
FRONT_POLE = ((24, -48, 0), (34, 36, 30), (0, 0, 0))
# One side of the lateral ventricle: center line and radius.
VENTRICLE = (
    (((9, -30, 10), (10, -8, 19), (14, 18, 20), (22, 34, 10)), 6.0),
    (((22, 34, 10), (24, 52, 6)), 4.0),
    (((22, 34, 10), (30, 24, -8), (32, 2, -20)), 3.4),
    (((8, -34, 6), (12, -22, 14)), 5.0),
)
CAUDATE = (((13, -30, 6), (17, -16, 14), (20, 4, 20), (24, 22, 14)), 5.5)
NUCLEI = (  # name, center, half axes, turn, signal
    ("putamen", (27, -8, 2), (6.5, 19, 12), (0, -6, -8), "nuclei"),
    ("pallidum", (19.5, -4, 0), (4.8, 11, 8), (0, -8, -14), "pallidum"),
    ("thalamus", (11, 14, 6), (9, 16, 10), (0, 0, -20), "thalamus"),
)
CEREBELLUM = (((23, 52, -40), (29, 29, 23), (8, 0, 12)), ((0, 50, -36), (13, 27, 23)))
STEM = (
    ((7, 12, 2), (10, 9, 14)),
    (((0, 15, -8), (0, 18, -22)), 14),
    (((0, 18, -22), (0, 26, -50)), 10),
    (((0, 26, -50), (0, 36, -84)), 6.5),
    (((0, 36, -84), (0, 37, -115)), 5),
    ((0, 12, -30), (17, 14, 15)),
)
# The face and what is in it, one side; x is the distance from the midline.
FLESH = (((0, -46, -58), (56, 50, 62)), ((0, -58, -98), (44, 40, 32)))
NOSE = ((0, -100, -44), (11, 14, 20), (-14, 0, 0))
EYE = (32, -82, -30)
ORBIT_FAT = (((31, -68, -30), (18, 25, 17)),)
ORBIT_MUSCLES = (
    (((31, -72, -30), (14, -36, -26)), 2.2),
    (((43, -78, -30), (24, -46, -28)), 2.4),
    (((21, -78, -30), (17, -46, -28)), 2.4),
    (((32, -78, -19), (21, -46, -26)), 2.4),
    (((32, -78, -41), (21, -46, -31)), 2.4),
)
TONGUE = ((0, -56, -94), (22, 32, 18))
AIR = (
    ((27, -62, -58), (13, 16, 15)),
    ((7, -64, -50), (4.5, 28, 16)),
    ((9, -84, -14), (9, 5, 9)),
    ((7, -30, -34), (7, 10, 8)),
    ((0, -24, -66), (9, 7, 22)),
    ((0, -22, -100), (7, 6, 26)),
)


@dataclass(frozen=True)
class BrainParameters:
    """Ranges a head is drawn from; pairs are (low, high), lengths in mm."""

    version: str = VERSION
    size: tuple = (176, 224, 192)
    spacing: tuple = (1.0, 1.0, 1.0)
    center: tuple = (0.0, -6.0, -7.0)
    scale: tuple = (0.95, 1.04)
    warp_mm: float = 2.2
    cortex_mm: tuple = (2.6, 3.2)
    sulcus_depth_mm: tuple = (19.0, 24.0)
    sulcus_width_mm: tuple = (0.6, 1.0)
    ventricle_scale: tuple = (0.8, 1.5)
    bias: tuple = (0.05, 0.30)
    snr: tuple = (18.0, 40.0)
    skull: bool = True


@dataclass(frozen=True)
class BrainCase:
    t1: sitk.Image
    label: sitk.Image
    parameters: dict = field(repr=False)


def _band_noise(rng, extent, step, sigma):
    """Noise with one dominant wavelength (about 7.5 sigma): its zero level winds like the sulci of a cortex."""
    count = int(2 * extent / step) + 1
    white = rng.standard_normal((count,) * 3).astype(np.float32)
    narrow = ndimage.gaussian_filter(white, sigma / step)
    band = narrow - ndimage.gaussian_filter(narrow, 1.1 * sigma / step)
    return band / band.std()


def _head_positions(grid, warp, amplitude, scale):
    """Positions (x, y, z), each float32 (k, j, i), of the standard head for all voxels of a grid."""
    axes = [np.linspace(0, n - 1, max(2, int((n - 1) * s / 6))) for n, s in zip(grid.size, grid.spacing, strict=True)]
    k, j, i = np.meshgrid(*axes[::-1], indexing="ij")
    x, y, z = np.moveaxis(grid.world(np.stack([i, j, k], axis=-1)), -1, 0)
    return [
        stretch((c + amplitude * warp(x, y, z, n)) / s, grid.shape) for n, (c, s) in enumerate(zip((x, y, z), scale, strict=True))
    ]


def _hull(space):
    """True inside the smooth outline of the cerebrum; space.x is the distance from the midline."""
    y, z = space.y, space.z
    # Flat base: the frontal lobe lies on the orbits, the occipital lobe on the tentorium.
    floor = np.where(y < 0, -17.0 + 0.06 * (y + 40), -17.0 + 0.20 * y)
    upper = space.mask([(HULL_CENTER, HULL_HALF), FRONT_POLE]) & (z > floor)
    return upper | space.mask([TEMPORAL])


def _sulci(rng, x, y, z, depth, drawn):
    """True in the clefts between gyri: sheets over the zero level of band noise, down to a varying depth."""
    step = 2.0
    band = _band_noise(rng, 104.0, step, drawn["gyrus_mm"] / 2.7)
    local = [(c - o) / h for c, o, h in zip((x, y, z), HULL_CENTER, HULL_HALF, strict=True)]
    radius = np.sqrt(local[0] ** 2 + local[1] ** 2 + local[2] ** 2) + np.float32(1e-3)
    # Points are moved along the ray towards the surface, so the sheets run inwards, and bend on their way.
    pull = (0.62 + 0.38 * radius) / radius
    low, high = (-100, -120, -100), (100, 120, 100)
    bend = SmoothField(rng, low, high, 17.0, channels=3)
    coarse = [c[::3, ::3, ::3] for c in (x, y, z)]
    moved = [
        c * h * pull + drawn["fold_bend_mm"] * stretch(bend(*coarse, n), x.shape)
        for n, (c, h) in enumerate(zip(local, HULL_HALF, strict=True))
    ]
    places = np.stack([(m + 104.0) / step for m in moved[::-1]])
    value = ndimage.map_coordinates(band, places, order=1, mode="nearest")
    slope = np.sqrt(sum(g**2 for g in np.gradient(value)))
    variety = np.clip(stretch(SmoothField(rng, low, high, 24.0)(*coarse), x.shape), -1.2, 1.5)
    reach = drawn["sulcus_depth_mm"] * (1 + 0.4 * variety)
    # Clefts narrow towards their bottom.
    width = drawn["sulcus_width_mm"] * np.clip(1.3 - 0.7 * depth / np.maximum(reach, 1), 0.3, 1.3)
    return (np.abs(value) < width * np.maximum(slope, 0.03)) & (depth < reach)


def _paint_brain(rng, x, y, z, spacing, drawn):
    """Brain tissue on a cropped grid: signal (float32, nan outside) and label (uint8), both (k, j, i)."""
    side = np.abs(x)
    space = Space(side, y, z)
    hull = _hull(space)
    depth = ndimage.distance_transform_edt(hull, spacing[::-1]).astype(np.float32)
    ring = ((y - 1) / 37) ** 2 + ((z - 6) / 25) ** 2
    callosum = (ring < 1) & (ring > 0.62) & (z > 3) & (side < 22)
    fissure = (np.abs(x - 0.9 * np.sin(y / 14) - 0.5 * np.sin(z / 9)) < 0.8) & (ring > 1)
    slant = z + 7 - 0.26 * (y + 10)
    sylvian = (np.abs(slant - 2.0 * np.sin(y / 9)) < 1.1) & (side > 36) & (np.abs(y + 8) < 36)
    island = (np.abs(side - 37.5 - 1.2 * np.sin((y + z) / 4)) < 1.0) & (np.abs(y + 6) < 24) & (np.abs(slant - 3) < 13)
    # No folds in the middle of the brain, where stem, callosum and nuclei are.
    core = space.mask([((14, 0, 4), (20, 38, 24))])
    clefts = (_sulci(rng, x, y, z, depth, drawn) | fissure | sylvian | island) & ~core
    tissue = hull & ~clefts
    away = ndimage.distance_transform_edt(tissue | core, spacing[::-1]).astype(np.float32)
    gray = np.where(core, 0, np.clip(drawn["cortex_mm"] - away + 0.5, 0, 1))
    signal = np.where(tissue, SIGNAL["white"] + gray * (SIGNAL["gray"] - SIGNAL["white"]), np.nan)
    label = np.where(tissue, np.where(gray > 0.5, LABELS["cortex"], LABELS["white matter"]), 0).astype(np.uint8)

    def put(mask, value, name):
        signal[mask] = SIGNAL[value] if isinstance(value, str) else value
        label[mask] = LABELS[name]

    put(hull & clefts, "csf", "csf")
    put(callosum, "white", "white matter")
    _paint_cerebellum(space, spacing, put)
    put(space.mask([CAUDATE]), "nuclei", "deep nuclei")
    for _name, center, half, turn, value in NUCLEI:
        put(space.mask([(center, half, turn)]), value, "deep nuclei")
    swell = drawn["ventricle_scale"]
    put(space.mask([(line, radius * swell) for line, radius in VENTRICLE]) & (side > 1.0), "csf", "ventricles")
    put(space.mask([((0, 8, 0), (20, 18, 11))]) & (side < 1.6 * swell), "csf", "ventricles")
    return signal, label


def _paint_cerebellum(space, spacing, put):
    side, y, z = space.x, space.y, space.z
    whole = space.mask(CEREBELLUM)
    # Folia: thin sheets around the stalk, whose normal turns with the angle seen from the fourth ventricle.
    box = space.box((0, 15, -75), (60, 95, 0))
    angle = np.arctan2(z[box] + 38, y[box] - 34)
    away = np.sqrt((y[box] - 34) ** 2 + (z[box] + 38) ** 2 + 0.25 * side[box] ** 2)
    wave = np.full(z.shape, 0.0, np.float32)
    wave[box] = np.sin(angle * 15 + 0.9 * np.sin(away / 5) + 0.035 * side[box])
    deep = np.zeros(z.shape, np.float32)
    deep[box] = ndimage.distance_transform_edt(whole[box], spacing[::-1])
    put(whole, "cerebellar gray", "cerebellum")
    branches = whole & (deep > 2.5) & ((wave > 0.62 + 0.25 * np.clip(6 - deep, 0, 6) / 6) | (deep > 15))
    put(branches, "cerebellar white", "cerebellum")
    put(whole & (wave < -0.94) & (deep < 10), 0.42, "cerebellum")
    put(space.mask(STEM) & (z < 6), "stem", "brain stem")
    put(space.mask([((0, 33, -36), (7, 4.5, 13))]), "csf", "ventricles")


def _paint_head(rng, space, x, grid, inside, outside, signal):
    """Everything around the brain. `inside`, `outside`: mm into and away from the skull's inner face, (k, j, i)."""
    side, y, z = space.x, space.y, space.z

    def put(shapes, value, within=None):
        mask = space.mask(shapes)
        signal[mask if within is None else mask & within] = SIGNAL[value]

    flesh = space.mask(FLESH)
    flesh |= ((side / 56) ** 2 + ((y - 22) / 58) ** 2 < 1) & (z < -40)
    nose = space.mask([NOSE])
    low, high = (-140, -150, -170), (140, 150, 140)
    coarse = [c[::4, ::4, ::4] for c in (x, y, z)]
    layers = SmoothField(rng, low, high, 40.0)
    thickness = 13.5 + np.clip(1.2 * stretch(layers(*coarse), x.shape), -2, 2.5) + np.clip((y - 60) / 20, 0, 2)
    head = (outside < thickness) | flesh
    small = ndimage.distance_transform_edt(head[::2, ::2, ::2], [2 * s for s in grid.spacing[::-1]])
    depth = stretch(ndimage.gaussian_filter(small, 0.6), [2 * n for n in small.shape])
    depth = depth[tuple(slice(0, n) for n in head.shape)]
    signal[head | nose] = SIGNAL["mucosa"]
    skin = head & (depth < 2.4)
    signal[skin] = SIGNAL["scalp"]
    marble = stretch(SmoothField(rng, low, high, 13.0)(*coarse), x.shape)
    signal[head & (depth >= 2.4)] = SIGNAL["fat"]
    muscle = head & (depth > 5.2 + np.clip(1.6 * marble, -1.5, 3)) & (np.abs(marble) > 0.07)
    signal[muscle] = SIGNAL["muscle"]
    put(ORBIT_FAT, "fat", head)
    put(ORBIT_MUSCLES, "muscle", head)
    for radius, value in ((12.6, "muscle"), (11.6, "vitreous")):
        put([(EYE, (radius,) * 3)], value)
    put([((32, -91.5, -30), (4.5, 2, 4.5))], "gray")
    put([TONGUE], "gray")
    put([(center, tuple(np.add(half, 1.8))) for center, half in AIR], "mucosa")
    put(AIR, "air")
    put([((0, -64, -50), (1.4, 28, 16))], "mucosa")
    put([((9.5, -64, -50), (2.4, 22, 4)), ((9.5, -64, -58), (2.4, 22, 3.5))], "mucosa")
    put([((0, -62, -74), (26, 34, 3.2))], "bone")
    rim = ~space.mask([((0, -54, -110), (31, 38, 40))]) & (y < -30)
    put([((0, -60, -110), (40, 44, 12))], "bone", rim)
    put([((0, -60, -110), (37, 41, 6))], "diploe", rim)
    put([((0, -92, -86), (24, 9, 5)), ((0, -92, -97), (22, 8, 4))], "bone", ~space.mask([TONGUE]))
    _paint_neck_spine(side, y, z, signal)
    # Skull: two compact tables around the diploe, thin at the temples and over the eyes.
    roof = z > -46 - 0.12 * y
    bone = 6.2 + np.clip(0.8 * stretch(layers(*coarse[::-1]), x.shape), -1.2, 1.2) - 1.5 * (side > 58)
    signal[roof & (outside < bone)] = SIGNAL["bone"]
    signal[roof & (outside > 1.7) & (outside < bone - 1.7) & (z > -18)] = SIGNAL["diploe"]
    signal[inside > 0] = SIGNAL["csf"]
    signal[(side < 3.6) & (inside > 0) & (inside < 4.5) & ((y > 40) | (z > 40))] = SIGNAL["vessel"]


def _paint_neck_spine(side, y, z, signal):
    body = (side / 13) ** 2 + ((y - 20) / 9) ** 2
    level = np.abs((z / 19.0) % 1.0 - 0.5)
    low = z < -74
    signal[low & (body < 1)] = SIGNAL["bone"]
    signal[low & (body < 0.8) & (level < 0.38)] = SIGNAL["diploe"] * 1.05
    signal[low & (body < 0.9) & (level > 0.43)] = SIGNAL["muscle"]
    canal = (side / 10) ** 2 + ((y - 37) / 8.5) ** 2
    signal[low & (canal < 1.5)] = SIGNAL["bone"]
    signal[low & (canal < 1)] = SIGNAL["csf"]
    signal[low & ((side / 6.5) ** 2 + ((y - 37) / 4.8) ** 2 < 1)] = SIGNAL["stem"]


def generate(seed: int, parameters: BrainParameters = BrainParameters()) -> BrainCase:
    """Make one head: T1 signal (int16, white matter near 700) and label map (uint8, see LABELS).

    The same version, parameters and seed always give the same voxels.
    """
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)]
    shape_rng, fold_rng, head_rng, scan_rng = streams
    ranges = {
        name: getattr(parameters, name)
        for name in ("cortex_mm", "sulcus_depth_mm", "sulcus_width_mm", "ventricle_scale", "bias", "snr")
    }
    drawn = {name: float(shape_rng.uniform(*limits)) for name, limits in ranges.items()}
    drawn["fold_bend_mm"] = float(shape_rng.uniform(2.5, 3.5))
    drawn["gyrus_mm"] = float(shape_rng.uniform(9.0, 10.5))
    scale = tuple(float(v) for v in shape_rng.uniform(*parameters.scale, 3))
    grid = centered_grid(parameters.size, parameters.spacing, parameters.center)
    warp = SmoothField(shape_rng, (-130, -150, -150), (130, 150, 150), 48.0, channels=3)
    x, y, z = _head_positions(grid, warp, parameters.warp_mm, scale)

    near = (np.abs(x) < 78) & (np.abs(y) < 94) & (z > -105) & (z < 80)
    box = tuple(
        slice(int(hit[0]), int(hit[-1]) + 1)
        for hit in (np.flatnonzero(near.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3))
    )
    brain_signal, brain_label = _paint_brain(fold_rng, x[box], y[box], z[box], grid.spacing, drawn)
    inside, outside = _skull_distances(grid, box, (brain_label > 0) & (z[box] > -60))
    signal = np.full(grid.shape, SIGNAL["air"], np.float32)
    if parameters.skull:
        _paint_head(head_rng, Space(np.abs(x), y, z), x, grid, inside, outside, signal)
    elif (inside > 0).any():
        signal[inside > 0] = SIGNAL["csf"]
    label = np.zeros(grid.shape, np.uint8)
    label[inside > 0] = LABELS["csf"]
    where = brain_label > 0
    signal[box][where] = brain_signal[where]
    label[box][where] = brain_label[where]
    t1 = _scan(scan_rng, signal, drawn, inside)
    return BrainCase(
        t1=grid.to_image(t1),
        label=grid.to_image(label),
        parameters={
            "generator": "brain-t1",
            "version": VERSION,
            "seed": int(seed),
            "synthetic": True,
            "scale": list(scale),
            **drawn,
            "labels": LABELS,
            "parameters": asdict(parameters),
        },
    )


def _skull_distances(grid, box, brain):
    """mm inside and outside of the inner face of the skull: a wide closing of the brain plus 2.5 mm of CSF."""
    pad = 24
    spacing = [2 * s for s in grid.spacing[::-1]]
    full = np.zeros(grid.shape, bool)
    full[box] = brain
    small = np.pad(full[::2, ::2, ::2], pad)
    near = ndimage.distance_transform_edt(~small, spacing) < 16.0
    inner = ndimage.distance_transform_edt(near, spacing) - 13.5
    inner = ndimage.gaussian_filter(inner, 1.5)
    skull = inner > 0
    outer = ndimage.distance_transform_edt(~skull, spacing)
    outer = ndimage.gaussian_filter(outer, 0.8)
    result = []
    for field_ in (inner, outer):
        inner_part = field_[pad:-pad, pad:-pad, pad:-pad].astype(np.float32)
        wide = stretch(inner_part, [2 * n - 1 for n in inner_part.shape])
        missing = [(0, max(0, n - m)) for n, m in zip(grid.shape, wide.shape, strict=True)]
        result.append(np.pad(wide, missing, mode="edge")[tuple(slice(0, n) for n in grid.shape)])
    return result


def _scan(rng, signal, drawn, inside):
    """Partial volume, tissue texture, receive bias and Rician noise: int16 (k, j, i)."""
    shape = signal.shape
    grain = SmoothField(rng, (0, 0, 0), np.asarray(shape[::-1]) / 3.0, 3.0).values[0]
    signal = signal * (1 + 0.02 * stretch(grain, shape))
    signal = ndimage.gaussian_filter(signal, 0.55)
    smooth = SmoothField(rng, (0, 0, 0), (30, 30, 30), 22.0).values[0]
    bias = stretch(smooth, shape)
    head = inside > 0
    bias -= bias[head].mean()
    bias *= drawn["bias"] / max(float(np.abs(bias[head]).max()), 1e-6)
    signal = signal * (1 + np.clip(bias, -0.5, 0.5))
    deviation = 1.0 / drawn["snr"]
    real = signal + deviation * rng.standard_normal(shape, dtype=np.float32)
    other = deviation * rng.standard_normal(shape, dtype=np.float32)
    return np.rint(700 * np.sqrt(real**2 + other**2)).astype(np.int16)
