"""The canvas of a dermoscopy phantom and the healthy skin on it: pigments, texture and the color that they give.

Lengths are in units: 1/256 of the photo's shorter side, so that a case looks the same at every size. Arrays are (y, x).

Color is a mix in log space: each pigment takes light away in proportion to its amount and to its absorption per camera
band (red, green, blue). Melanin absorbs as wavelength^-3.33 (S. L. Jacques, Skin optics, 1998), here at 610, 540 and
460 nm; oxygenated blood has its broad band in the green and nearly lets red pass.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft

MELANIN = (0.39, 0.59, 1.0)
HEMOGLOBIN = (0.12, 1.0, 0.75)
BARE = (0.97, 0.88, 0.80)  # skin without either pigment
FITZPATRICK = {"I": 0.05, "II": 0.12, "III": 0.22, "IV": 0.38, "V": 0.65, "VI": 1.05}  # melanin of the six skin types
UNITS = 256
SUPERSAMPLING = 2


@dataclass(frozen=True)
class SkinCanvas:
    """A supersampled sheet. `shape`: fine rows and columns; `fine`: fine pixels per unit; `x` (1, n) and `y` (m, 1): units
    from the middle of the photo."""

    shape: tuple
    fine: float
    x: np.ndarray
    y: np.ndarray

    def box(self, x, y, reach):
        """Slices (y, x) of the part of the sheet within `reach` units of a point; they may be empty."""
        spans = []
        for middle, count in ((y, self.shape[0]), (x, self.shape[1])):
            place = middle * self.fine + count / 2
            low, high = np.floor(place - reach * self.fine), np.ceil(place + reach * self.fine)
            spans.append(slice(int(np.clip(low, 0, count)), int(np.clip(high, 0, count))))
        return tuple(spans)

    def pixel(self, points):
        """Fine pixel positions (column, row) of points (n, 2) given as (x, y) in units."""
        return np.asarray(points) * self.fine + np.array(self.shape[::-1]) / 2 - 0.5


def canvas_of(size):
    """Canvas of a photo of `size` (columns, rows) in pixels."""
    columns, rows = (n * SUPERSAMPLING for n in size)
    fine = SUPERSAMPLING * min(size) / UNITS
    axes = [((np.arange(n, dtype=np.float32) + 0.5) - n / 2) / np.float32(fine) for n in (columns, rows)]
    return SkinCanvas((rows, columns), fine, axes[0][None, :], axes[1][:, None])


def number(rng, low, high):
    """A uniform draw as a plain float, so that it can be stored as JSON."""
    return float(rng.uniform(low, high))


def clouds(rng, canvas, longest, slope):
    """Random field (y, x), mean 0 and deviation 1: amplitude falls as frequency^-slope below `longest` units."""
    rows, columns = (fft.next_fast_len(n, real=True) for n in canvas.shape)
    across = fft.rfftfreq(columns).astype(np.float32)[None, :] * np.float32(canvas.fine * longest)
    down = fft.fftfreq(rows).astype(np.float32)[:, None] * np.float32(canvas.fine * longest)
    amplitude = (1 + across**2 + down**2) ** np.float32(-slope / 2)
    noise = rng.standard_normal((*amplitude.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = fft.irfft2(noise * amplitude, (rows, columns))[: canvas.shape[0], : canvas.shape[1]]
    return (field - field.mean()) / field.std()


def bump(canvas, x, y, radius, softness):
    """(box, height 0-1) of a round spot at (x, y) whose edge is `softness` units wide."""
    box = canvas.box(x, y, radius + 3 * softness)
    distance = np.hypot(canvas.x[:, box[1]] - np.float32(x), canvas.y[box[0]] - np.float32(y))
    return box, rising((radius - distance) / softness)


def rising(depth):
    """0 far outside (-1), 1/2 at the edge (0), 1 inside (+1)."""
    return 1 / (1 + np.exp(np.clip(np.float32(-4.4) * depth, -30, 30)))


def draw_skin(rng, parameters):
    """Values of one person's skin."""
    names = list(FITZPATRICK)
    name = names[int(rng.choice(len(names), p=parameters.skin_type_chance))]
    freckled = rng.random() < parameters.freckle_chance
    return {
        "type": name,
        "melanin": FITZPATRICK[name] * number(rng, *parameters.skin_spread),
        "hemoglobin": number(rng, *parameters.skin_hemoglobin),
        "mottling": number(rng, *parameters.skin_mottling),
        "flush": number(rng, *parameters.skin_flush),
        "furrows": number(rng, *parameters.skin_furrows),
        "freckles": int(rng.integers(5, 40)) if freckled else 0,
    }


def paint_skin(rng, canvas, skin):
    """Melanin, hemoglobin and brightness of healthy skin, each (y, x)."""
    broad = clouds(rng, canvas, 70, 1.7)
    melanin = skin["melanin"] * np.exp(skin["mottling"] * broad) + np.float32(0.02)
    hemoglobin = skin["hemoglobin"] * np.exp(skin["flush"] * clouds(rng, canvas, 40, 1.5))
    # furrows run where a field of their width changes its sign
    grain = clouds(rng, canvas, 6, 3.0)
    brightness = 1 - skin["furrows"] * np.exp(-((grain / np.float32(0.25)) ** 2)) + np.float32(0.012) * grain
    half = np.array(canvas.shape[::-1]) / 2 / canvas.fine
    for _number in range(skin["freckles"]):
        x, y = rng.uniform(-half, half)
        radius = rng.uniform(1.0, 4.0)
        box, height = bump(canvas, x, y, radius, 0.8 * radius)
        melanin[box] += rng.uniform(0.03, 0.16) * height
    return melanin, hemoglobin, brightness


def color_of(melanin, hemoglobin, brightness):
    """Reflectance (3, y, x), red, green, blue from 0 to 1."""
    planes = [
        np.float32(bare) * brightness * np.exp(np.float32(-m) * melanin - np.float32(h) * hemoglobin)
        for bare, m, h in zip(BARE, MELANIN, HEMOGLOBIN, strict=True)
    ]
    return np.stack(planes)
