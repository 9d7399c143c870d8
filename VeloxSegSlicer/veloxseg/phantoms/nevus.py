"""The pigmented lesion of a dermoscopy phantom: its shape as a level set and the pigment structures inside.

Lengths are in units (see skin.py), angles in radians. Structures and their names follow pattern analysis as taught for
dermoscopy: network, globules, blue-white veil, regression, several colors.
"""

import numpy as np
from scipy import ndimage

from .skin import UNITS, bump, clouds, number, rising

HARMONICS = range(2, 8)
VEIL = (0.40, 0.45, 0.55)  # light scattered back by the skin above deep pigment is blue
SCAR = (0.90, 0.80, 0.76)


def draw_lesion(rng, parameters, half):
    """Values of one lesion; `half`: half of the photo's sides (x, y) in units."""
    low, high = parameters.radius
    radius = UNITS * float(low + (high - low) * rng.random() ** parameters.radius_power)
    elongation = number(rng, *parameters.elongation)
    lesion = {
        "radius": radius,
        "elongation": elongation,
        "turn": number(rng, 0, np.pi),
        "center": _center(rng, parameters, half, radius * np.sqrt(elongation)),
        "harmonics": [
            (float(rng.uniform(*parameters.asymmetry) * rng.standard_normal() / n**0.8), number(rng, 0, 2 * np.pi))
            for n in HARMONICS
        ],
        "roughness": number(rng, *parameters.roughness),
        "smoothness": number(rng, *parameters.smoothness),
        "border": min(float(np.exp(rng.uniform(*np.log(parameters.border)))), 0.8 * radius),
        "border_change": (number(rng, 0, 0.8), number(rng, 0, 2 * np.pi)),
        "contrast": float(np.exp(rng.uniform(*np.log(parameters.contrast)))),
        "variegation": number(rng, *parameters.variegation),
        "center_weight": number(rng, *parameters.center_weight),
    }
    lesion["redness"] = number(rng, *parameters.redness) * lesion["contrast"]
    if rng.random() < parameters.pale_chance:  # little pigment, seen by its vessels
        lesion["contrast"] *= 0.3
        lesion["redness"] = number(rng, *parameters.pale_redness)
    for name, structure in _draw_structures(rng).items():
        lesion[name] = structure if rng.random() < getattr(parameters, f"{name}_chance") else None
    return lesion


def _draw_structures(rng):
    """Values of all structures, also of those that the lesion won't have: a changed chance leaves the others as they were."""
    return {
        "network": {"strength": number(rng, 0.25, 0.8), "mesh": number(rng, 4.0, 8.0)},
        "globules": {"number": int(rng.integers(8, 70)), "radius": number(rng, 0.9, 2.6), "strength": number(rng, 0.3, 1.0)},
        "veil": {"place": _inside(rng), "radius": number(rng, 0.25, 0.6), "strength": number(rng, 0.3, 0.75)},
        "regression": {"place": _inside(rng), "radius": number(rng, 0.25, 0.6), "strength": number(rng, 0.5, 0.95)},
        "blotches": [
            {"place": _inside(rng), "radius": number(rng, 0.15, 0.4), "strength": number(rng, 0.4, 1.4)}
            for _ in range(int(rng.integers(1, 4)))
        ],
    }


def _center(rng, parameters, half, reach):
    """Mostly a place where the lesion lies whole in the photo, at times one where the photo's edge cuts it."""
    room = np.maximum(np.asarray(half) - 1.1 * reach, 0)
    place = room * rng.uniform(-1, 1, 2) * 0.8
    axis, side = int(rng.integers(2)), float(rng.choice((-1, 1)))
    if rng.random() < parameters.cut_chance:
        place[axis] = side * (half[axis] - 0.6 * reach)
    return tuple(float(v) for v in place)


def _inside(rng):
    """A point (x, y) of the unit disk, rather towards the rim."""
    angle, distance = rng.uniform(0, 2 * np.pi), 0.75 * np.sqrt(rng.random())
    return float(distance * np.cos(angle)), float(distance * np.sin(angle))


def depth_of(rng, canvas, lesion):
    """Depth (y, x) in units below the lesion's border, positive inside: level set of a radial shape plus a random field.

    The level is chosen so that the area is that of the disk of the lesion's radius (of its visible part where the photo's
    edge cuts it). The inside is one piece without holes.
    """
    radius, (x, y) = np.float32(lesion["radius"]), lesion["center"]
    across, down = canvas.x - np.float32(x), canvas.y - np.float32(y)
    cosine, sine = np.float32(np.cos(lesion["turn"])), np.float32(np.sin(lesion["turn"]))
    stretch = np.float32(np.sqrt(lesion["elongation"]))
    along, beside = (cosine * across + sine * down) / stretch, (cosine * down - sine * across) * stretch
    angle = np.arctan2(beside, along)
    shape = 1 - np.hypot(along, beside) / radius
    for n, (height, phase) in zip(HARMONICS, lesion["harmonics"], strict=True):
        shape += np.float32(height) * np.cos(np.float32(n) * angle + np.float32(phase))
    shape += np.float32(lesion["roughness"]) * clouds(rng, canvas, 0.9 * lesion["radius"], lesion["smoothness"])
    visible = int(np.count_nonzero(across**2 + down**2 < radius**2))
    flat = shape.ravel()
    shape -= np.partition(flat, flat.size - visible)[flat.size - visible]
    pieces, _count = ndimage.label(shape >= 0)
    island = (pieces != np.argmax(np.bincount(pieces.ravel())[1:]) + 1) & (shape >= 0)
    shape[island] = -0.02
    # a hole is a piece of the outside that does not reach the photo's edge
    outside, count = ndimage.label(shape < 0)
    if count > 1:
        edge = np.unique(np.concatenate([outside[0], outside[-1], outside[:, 0], outside[:, -1]]))
        shape[(shape < 0) & ~np.isin(outside, edge)] = 0.02
    return shape * radius


def paint_lesion(rng, canvas, lesion, depth, melanin, hemoglobin):
    """Add the pigment of a lesion in place; returns blends [(color, weight (y, x))] that lie over it."""
    x, y = lesion["center"]
    radius = lesion["radius"]
    change, phase = lesion["border_change"]
    angle = np.arctan2(canvas.y - np.float32(y), canvas.x - np.float32(x))
    width = np.float32(lesion["border"]) * (1 + np.float32(change) * np.cos(angle - np.float32(phase)))
    presence = rising(depth / np.maximum(width, np.float32(0.5)))
    marble = clouds(rng, canvas, 0.5 * radius, 1.8)
    pattern = np.exp(np.float32(lesion["variegation"]) * marble)
    pattern *= 1 + np.float32(lesion["center_weight"]) * (np.clip(depth, 0, radius) / np.float32(radius) - np.float32(0.35))
    for blotch in lesion["blotches"] or ():
        box, height = _patch(canvas, lesion, blotch, marble)
        pattern[box] += np.float32(blotch["strength"]) * height
    if lesion["network"]:
        pattern *= _network(rng, canvas, lesion["network"])
    if lesion["globules"]:
        _globules(rng, canvas, lesion, pattern)
    blends = []
    regression = lesion["regression"]
    if regression:
        box, height = _patch(canvas, lesion, regression, marble)
        height = height * np.float32(regression["strength"])
        pattern[box] *= 1 - np.float32(0.9) * height
        blends.append((SCAR, _on_sheet(canvas, box, np.float32(0.45) * height * presence[box])))
    if lesion["veil"]:
        box, height = _patch(canvas, lesion, lesion["veil"], marble)
        blends.append((VEIL, _on_sheet(canvas, box, np.float32(lesion["veil"]["strength"]) * height * presence[box])))
    melanin += np.float32(lesion["contrast"]) * presence * pattern
    hemoglobin += np.float32(lesion["redness"]) * presence * np.exp(np.float32(0.35) * clouds(rng, canvas, 0.6 * radius, 1.8))
    return blends


def _patch(canvas, lesion, part, marble):
    """(box, height) of an uneven spot given by its place and radius relative to the lesion."""
    (x, y), radius = lesion["center"], lesion["radius"]
    size = part["radius"] * radius
    box, height = bump(canvas, x + part["place"][0] * radius, y + part["place"][1] * radius, size, 0.9 * size)
    return box, height * rising(np.float32(0.8) * marble[box] + np.float32(0.5))


def _on_sheet(canvas, box, part):
    sheet = np.zeros(canvas.shape, np.float32)
    sheet[box] = part
    return sheet


def _network(rng, canvas, network):
    """Factor (y, x) around 1: three plane waves make a honeycomb, which a field bends and another thins out."""
    bend = clouds(rng, canvas, 30, 2.2)
    wave = np.float32(2 * np.pi / network["mesh"])
    total = np.zeros(canvas.shape, np.float32)
    for turn in (0.3, 0.3 + np.pi / 3, 0.3 + 2 * np.pi / 3):
        along = np.float32(np.cos(turn)) * canvas.x + np.float32(np.sin(turn)) * canvas.y
        total += np.cos(wave * along + np.float32(2.2 * np.cos(turn) + 1.6) * bend)
    lines = np.exp(-np.maximum(total + np.float32(1.5), 0) * np.float32(0.9))
    here = rising(bend + np.float32(0.3))
    return 1 + np.float32(network["strength"]) * here * (2 * lines - np.float32(0.9))


def _globules(rng, canvas, lesion, pattern):
    drawn = lesion["globules"]
    (x, y), radius = lesion["center"], lesion["radius"]
    cluster = _inside(rng)
    for _number in range(drawn["number"]):
        place = np.clip(np.asarray(cluster) + 0.45 * rng.standard_normal(2), -1.1, 1.1)
        size = drawn["radius"] * rng.uniform(0.6, 1.4)
        box, height = bump(canvas, x + place[0] * radius, y + place[1] * radius, size, 0.5 * size)
        pattern[box] += np.float32(drawn["strength"]) * height
