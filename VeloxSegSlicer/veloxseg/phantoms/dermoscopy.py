"""Synthetic dermoscopy photo of one pigmented lesion with its mask.

    python -m veloxseg.phantoms.dermoscopy thresholds --seeds 40     threshold baselines, printed as a table

A case is a pure function of (VERSION, parameters, seed): pigments on a supersampled sheet first, then what lies over the
skin, then the camera. The mask comes from the lesion's level set, never from the photo; only the black frame takes part of
it away. A second nevus, red patches, hairs, ink and shadows without a label make a threshold fail on purpose. Everything
here is synthetic: scores on these cases say nothing about patients.
"""

import argparse
import io
from dataclasses import asdict, dataclass, field

import numpy as np
import SimpleITK as sitk
from PIL import Image
from scipy import ndimage

from .fields import block_mean
from .nevus import depth_of, draw_lesion, paint_lesion
from .skin import SUPERSAMPLING, UNITS, canvas_of, color_of, draw_skin, number, paint_skin
from .skin_clutter import draw_clutter, paint_over, paint_pigment, view_of

VERSION = "1"
FIXED_LEVELS = (70, 90, 110, 130, 150, 170)
PARTS_OF_MEDIAN = (0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class DermoscopyParameters:
    """Ranges a case is drawn from; pairs are (low, high), chances from 0 to 1.

    `size` is (columns, rows) in pixels, at least 64 each. `radius` is that of the disk of the lesion's area as part of the
    photo's shorter side. Other lengths are units of 1/256 of the shorter side. `contrast` is the lesion's melanin and
    `pale_redness` its blood on top of the skin's: 1 takes away as much light as in skin.MELANIN and skin.HEMOGLOBIN.
    `redness` is blood as part of the contrast.
    """

    version: str = VERSION
    size: tuple = (256, 256)
    skin_type_chance: tuple = (0.22, 0.24, 0.20, 0.14, 0.11, 0.09)
    skin_spread: tuple = (0.75, 1.3)
    skin_hemoglobin: tuple = (0.05, 0.24)
    skin_mottling: tuple = (0.04, 0.16)
    skin_flush: tuple = (0.08, 0.3)
    skin_furrows: tuple = (0.0, 0.07)
    freckle_chance: float = 0.35
    radius: tuple = (0.07, 0.36)
    radius_power: float = 1.3
    elongation: tuple = (1.0, 1.7)
    asymmetry: tuple = (0.03, 0.22)
    roughness: tuple = (0.02, 0.12)
    smoothness: tuple = (2.4, 4.0)
    border: tuple = (1.0, 25.0)
    contrast: tuple = (0.16, 1.4)
    redness: tuple = (0.0, 0.35)
    center_weight: tuple = (-0.5, 0.9)
    variegation: tuple = (0.1, 0.55)
    pale_chance: float = 0.12
    pale_redness: tuple = (0.1, 0.4)
    cut_chance: float = 0.08
    network_chance: float = 0.45
    globules_chance: float = 0.35
    veil_chance: float = 0.15
    regression_chance: float = 0.2
    blotches_chance: float = 0.4
    second_nevus_chance: float = 0.15
    red_patches_chance: float = 0.35
    ink_chance: float = 0.1
    hairs_chance: float = 0.6
    ruler_chance: float = 0.12
    bubbles_chance: float = 0.2
    glare_chance: float = 0.25
    frame_chance: float = 0.3
    vignette: tuple = (0.0, 0.6)
    slope: tuple = (0.0, 0.3)
    exposure: tuple = (0.75, 1.12)
    defocus: tuple = (0.3, 1.5)
    noise: tuple = (0.004, 0.02)
    white_balance: float = 0.045
    jpeg_quality: tuple = (60, 95)


@dataclass(frozen=True)
class DermoscopyCase:
    """rgb: uint8 (y, x, 3); lesion: bool (y, x)."""

    rgb: np.ndarray = field(repr=False)
    lesion: np.ndarray = field(repr=False)
    parameters: dict = field(repr=False)

    @property
    def photo(self):
        """The photo as a 2D SimpleITK image of three uint8 components."""
        return sitk.GetImageFromArray(self.rgb, isVector=True)

    @property
    def mask(self):
        """The lesion as a 2D uint8 SimpleITK image, 255 inside as in the ISIC archive."""
        return sitk.GetImageFromArray(self.lesion.astype(np.uint8) * 255)


def _draw_camera(rng, parameters):
    return {
        "vignette": number(rng, *parameters.vignette),
        "vignette_center": [float(v) for v in rng.uniform(-0.15, 0.15, 2)],
        "slope": number(rng, *parameters.slope),
        "slope_direction": number(rng, 0, 2 * np.pi),
        "exposure": number(rng, *parameters.exposure),
        "defocus": number(rng, *parameters.defocus),
        "white_balance": [float(v) for v in np.exp(parameters.white_balance * rng.standard_normal(3))],
        "noise": float(np.exp(rng.uniform(*np.log(parameters.noise)))),
        "jpeg_quality": int(rng.integers(parameters.jpeg_quality[0], parameters.jpeg_quality[1] + 1)),
    }


def _light(canvas, camera):
    """Illumination (y, x) around 1: falls off towards the corners and along one direction."""
    half = np.array(canvas.shape[::-1]) / 2 / canvas.fine
    x, y = (axis / np.float32(np.hypot(*half)) for axis in (canvas.x, canvas.y))
    off = camera["vignette_center"]
    fall = 1 - np.float32(camera["vignette"]) * ((x - np.float32(off[0])) ** 2 + (y - np.float32(off[1])) ** 2)
    turn = camera["slope_direction"]
    return fall * (1 + np.float32(camera["slope"]) * (np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y))


def _photograph(rng, camera, color, unit_px):
    """uint8 (y, x, 3) from light (3, y, x) in the photo's own pixels: defocus, white balance, noise, JPEG."""
    gains = camera["exposure"] * np.asarray(camera["white_balance"], np.float32)
    seen = ndimage.gaussian_filter(color, (0, *[camera["defocus"] * unit_px] * 2), truncate=3) * gains[:, None, None]
    # shot noise grows with the light, read noise does not
    noise = rng.standard_normal(seen.shape, dtype=np.float32) * np.sqrt(np.maximum(seen, 0) + np.float32(0.15))
    seen += np.float32(camera["noise"]) * noise
    pixels = np.clip(np.rint(seen * 255), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=camera["jpeg_quality"])
    return np.array(Image.open(file))


def generate(seed: int, parameters: DermoscopyParameters = DermoscopyParameters()) -> DermoscopyCase:
    """Make one case. The same version, parameters and seed always give the same pixels."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(7)]
    drawing, shape_rng, skin_rng, pigment_rng, clutter_rng, camera_rng, noise_rng = streams
    canvas = canvas_of(parameters.size)
    half = np.array(parameters.size) / min(parameters.size) * UNITS / 2
    lesion = draw_lesion(drawing, parameters, half)
    skin = draw_skin(skin_rng, parameters)
    clutter = draw_clutter(clutter_rng, parameters, half, lesion)
    camera = _draw_camera(camera_rng, parameters)

    depth = depth_of(shape_rng, canvas, lesion)
    view = view_of(canvas, clutter)
    blocks = (SUPERSAMPLING, SUPERSAMPLING)
    inside = _averaged(((depth >= 0) & (view >= 0.5)).astype(np.float32), blocks) >= 0.5

    melanin, hemoglobin, brightness = paint_skin(skin_rng, canvas, skin)
    paint_pigment(canvas, clutter, melanin, hemoglobin)
    blends = paint_lesion(pigment_rng, canvas, lesion, depth, melanin, hemoglobin)
    color = color_of(melanin, hemoglobin, brightness)
    for over, weight in blends:
        for plane, value in zip(color, over, strict=True):
            plane += weight * (np.float32(value) * brightness - plane)
    paint_over(canvas, clutter, color)
    color *= _light(canvas, camera) * view
    if clutter["frame"]:
        color += np.float32(clutter["frame"]["darkness"]) * (1 - view)
    light = np.stack([_averaged(plane, blocks) for plane in color])
    rgb = _photograph(noise_rng, camera, light, min(parameters.size) / UNITS)
    drawn = {
        "generator": "dermoscopy",
        "version": VERSION,
        "seed": int(seed),
        "synthetic": True,
        "lesion": {**lesion, "area_px": int(inside.sum()), "area_share": float(inside.mean())},
        "skin": skin,
        "clutter": clutter,
        "camera": camera,
        "parameters": asdict(parameters),
    }
    return DermoscopyCase(rgb, inside, drawn)


def _averaged(plane, blocks):
    return block_mean(plane[None], (1, *blocks))[0]


def dice(mask, truth):
    """Dice overlap of two boolean arrays; 1 when both are empty."""
    total = int(mask.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2.0 * int((mask & truth).sum()) / total


def threshold_scores(case):
    """Dice of "darker than a level is lesion" on the smoothed mean of green and blue, by name of the rule."""
    gray = case.rgb[..., 1:].mean(axis=2, dtype=np.float32)
    gray = ndimage.gaussian_filter(gray, 2.0 * min(gray.shape) / UNITS)
    filter_ = sitk.OtsuThresholdImageFilter()
    filter_.Execute(sitk.GetImageFromArray(gray))
    levels = {"Otsu": filter_.GetThreshold()}
    levels |= {f"below {level}": level for level in FIXED_LEVELS}
    levels |= {f"below {part:g} of the median": part * float(np.median(gray)) for part in PARTS_OF_MEDIAN}
    return {name: dice(gray < level, case.lesion) for name, level in levels.items()}


def threshold_table(seeds, parameters: DermoscopyParameters = DermoscopyParameters()):
    """Rows (rule, mean Dice, standard error of the mean) over the cases of `seeds`."""
    scores = [threshold_scores(generate(seed, parameters)) for seed in seeds]
    rows = []
    for rule in scores[0]:
        values = np.array([score[rule] for score in scores])
        rows.append((rule, float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))))
    return rows


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    thresholds = commands.add_parser("thresholds", help="Dice of gray thresholds on held-out synthetic cases")
    thresholds.add_argument("--seeds", type=int, default=40, help="number of cases, at least 2 (default 40)")
    thresholds.add_argument("--first", type=int, default=900000, help="first seed (default 900000)")
    chosen = parser.parse_args(arguments)
    rows = threshold_table(range(chosen.first, chosen.first + chosen.seeds))
    print(f"synthetic dermoscopy version {VERSION}, seeds {chosen.first}..{chosen.first + chosen.seeds - 1}, N {chosen.seeds}")
    print(f"{'rule':24s} {'Dice':>6s} {'error':>6s}")
    for rule, mean, error in rows:
        print(f"{rule:24s} {mean:6.3f} {error:6.3f}")
    best = max(rows, key=lambda row: row[1])
    print(f"best threshold: {best[0]}, mean Dice {best[1]:.3f} (frozen limit 0.55)")


if __name__ == "__main__":
    main()
