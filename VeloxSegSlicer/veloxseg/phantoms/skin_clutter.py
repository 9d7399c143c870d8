"""What lies on or beside the lesion of a dermoscopy phantom without a label: a second nevus, red patches, ink, hairs, a
ruler, bubbles of the immersion fluid, glare and the black frame of the dermoscope.

Lengths are in units (see skin.py), arrays (y, x), colors (3, y, x) from 0 to 1. Everything is drawn first and painted later,
so that all values can be kept with the case.
"""

import numpy as np
from PIL import Image, ImageDraw

from .skin import bump, number, rising

INKS = ((0.22, 0.16, 0.45), (0.15, 0.22, 0.50), (0.12, 0.35, 0.38))
HAIRS = ((0.10, 0.07, 0.06), (0.20, 0.13, 0.09), (0.36, 0.26, 0.18), (0.72, 0.65, 0.55))


def draw_clutter(rng, parameters, half, lesion):
    """Values of everything around a lesion; absent things are None. `half`: half of the photo's sides (x, y) in units."""
    drawn = {}
    for name, draw in _DRAWN.items():
        values = draw(rng, np.asarray(half), lesion)  # drawn in any case: a changed chance leaves the others as they were
        drawn[name] = values if rng.random() < getattr(parameters, f"{name}_chance") else None
    return drawn


def _point(rng, half):
    return [float(v) for v in rng.uniform(-half, half)]


def _draw_second_nevus(rng, half, lesion):
    """A smaller nevus beside the lesion, or None where there is no room for it."""
    radius = lesion["radius"] * number(rng, 0.2, 0.5)
    for _attempt in range(12):
        place = _point(rng, half)
        if np.hypot(*np.subtract(place, lesion["center"])) > 1.7 * lesion["radius"] + radius + 6:
            return {
                "place": place,
                "radius": radius,
                "softness": radius * number(rng, 0.3, 0.9),
                "melanin": lesion["contrast"] * number(rng, 0.5, 1.1),
            }
    return None


def _draw_red_patches(rng, half, _lesion):
    return [
        {"place": _point(rng, half), "radius": number(rng, 10, 55), "hemoglobin": number(rng, 0.05, 0.28)}
        for _ in range(int(rng.integers(1, 5)))
    ]


def _draw_ink(rng, half, _lesion):
    strokes = []
    for _ in range(int(rng.integers(1, 4))):
        side = rng.choice((-1, 1), 2)
        start = half * side * rng.uniform(0.45, 1.0, 2)
        step = rng.uniform(-60, 60, 2)
        strokes.append([[float(v) for v in start + step * t + rng.uniform(-8, 8, 2)] for t in (0, 0.5, 1)])
    return {
        "strokes": strokes,
        "width": number(rng, 4, 11),
        "color": list(INKS[int(rng.integers(len(INKS)))]),
        "density": number(rng, 0.5, 0.95),
    }


def _draw_hairs(rng, half, _lesion):
    """A tuft with a common direction: many fine hairs or a few thick ones."""
    main, count = number(rng, 0, np.pi), int(np.exp(number(rng, np.log(3), np.log(45))))
    strands = []
    for _ in range(count):
        turn, length = main + 0.45 * rng.standard_normal(), number(rng, 40, 260)
        middle, along = rng.uniform(-half, half), np.array([np.cos(turn), np.sin(turn)])
        sag = np.array([-along[1], along[0]]) * 0.18 * length * rng.standard_normal()
        points = [middle - along * length / 2, middle + sag, middle + along * length / 2]
        strands.append({"points": [[float(v) for v in p] for p in points], "width": number(rng, 0.5, 1.0)})
    return {
        "strands": strands,
        "width": number(rng, 0.8, 3.0),
        "color": list(HAIRS[int(rng.choice(4, p=(0.4, 0.3, 0.2, 0.1)))]),
        "density": number(rng, 0.65, 0.97),
    }


def _draw_ruler(rng, _half, _lesion):
    return {
        "side": int(rng.integers(4)),
        "step": number(rng, 7, 16),
        "length": number(rng, 6, 12),
        "width": number(rng, 0.8, 1.6),
        "color": number(rng, 0.03, 0.2),
        "inset": number(rng, 2, 12),
    }


def _draw_bubbles(rng, half, _lesion):
    return [
        {
            "place": _point(rng, half),
            "radius": float(np.exp(number(rng, np.log(2), np.log(14)))),
            "brightness": number(rng, 0.15, 0.5),
        }
        for _ in range(int(rng.integers(2, 18)))
    ]


def _draw_glare(rng, half, _lesion):
    return [
        {
            "place": _point(rng, half),
            "radius": number(rng, 1.5, 12),
            "brightness": number(rng, 0.25, 0.8),
            "stretch": number(rng, 0.4, 1.0),
        }
        for _ in range(int(rng.integers(1, 7)))
    ]


def _draw_frame(rng, half, lesion):
    """A round black frame that reaches into the corners, or nearly to the middle of the sides, but never hides the lesion."""
    corner, side = float(np.hypot(*half)), float(max(half))
    radius, place = side + (corner - side) * number(rng, -0.05, 0.7), [float(v) for v in rng.uniform(-6, 6, 2)]
    nearest = float(np.hypot(*np.subtract(lesion["center"], place))) + 0.4 * lesion["radius"]
    return {"radius": max(radius, nearest), "place": place, "softness": number(rng, 1, 10), "darkness": number(rng, 0.0, 0.06)}


_DRAWN = {
    "second_nevus": _draw_second_nevus,
    "red_patches": _draw_red_patches,
    "ink": _draw_ink,
    "hairs": _draw_hairs,
    "ruler": _draw_ruler,
    "bubbles": _draw_bubbles,
    "glare": _draw_glare,
    "frame": _draw_frame,
}


def paint_pigment(canvas, drawn, melanin, hemoglobin):
    """Second nevus and red patches, in place: they lie in the skin."""
    nevus = drawn["second_nevus"]
    if nevus:
        box, height = bump(canvas, *nevus["place"], nevus["radius"], nevus["softness"])
        melanin[box] += np.float32(nevus["melanin"]) * height
    for patch in drawn["red_patches"] or ():
        box, height = bump(canvas, *patch["place"], patch["radius"], 1.1 * patch["radius"])
        hemoglobin[box] += np.float32(patch["hemoglobin"]) * height


def paint_over(canvas, drawn, color):
    """Ink, hairs, ruler, bubbles and glare over a (3, y, x) color, in place."""
    ink = drawn["ink"]
    if ink:
        for stroke in ink["strokes"]:
            _blend(color, _line(canvas, [_curve(stroke)], [ink["width"]]) * np.float32(ink["density"]), ink["color"])
    hairs = drawn["hairs"]
    if hairs:
        curves = [_curve(strand["points"]) for strand in hairs["strands"]]
        widths = [hairs["width"] * strand["width"] for strand in hairs["strands"]]
        _blend(color, _line(canvas, curves, widths) * np.float32(hairs["density"]), hairs["color"])
    if drawn["ruler"]:
        _blend(color, _ruler(canvas, drawn["ruler"]), [drawn["ruler"]["color"]] * 3)
    for bubble in drawn["bubbles"] or ():
        _paint_bubble(canvas, bubble, color)
    for glare in drawn["glare"] or ():
        box = canvas.box(*glare["place"], 2 * glare["radius"])
        x, y = canvas.x[:, box[1]] - np.float32(glare["place"][0]), canvas.y[box[0]] - np.float32(glare["place"][1])
        light = rising(1.2 - np.hypot(x, y / np.float32(glare["stretch"])) * np.float32(1.2 / glare["radius"]))
        color[(slice(None), *box)] += np.float32(glare["brightness"]) * light


def view_of(canvas, drawn):
    """Share (y, x) of light that the black frame lets pass."""
    frame = drawn["frame"]
    if not frame:
        return np.ones((1, 1), np.float32)
    distance = np.hypot(canvas.x - np.float32(frame["place"][0]), canvas.y - np.float32(frame["place"][1]))
    return rising((np.float32(frame["radius"]) - distance) / np.float32(frame["softness"]))


def _curve(points):
    """24 points (x, y) of the quadratic curve through three control points."""
    first, middle, last = np.asarray(points)
    t = np.linspace(0, 1, 24)[:, None]
    return (1 - t) ** 2 * first + 2 * t * (1 - t) * middle + t**2 * last


def _line(canvas, curves, widths):
    """Coverage 0-1 (y, x) of lines; thinner than a fine pixel, a line keeps its width and loses strength."""
    sheet = Image.new("L", canvas.shape[::-1])
    pen = ImageDraw.Draw(sheet)
    for curve, width in zip(curves, widths, strict=True):
        wide = width * canvas.fine
        strength = int(255 * min(wide, 1.0))
        pen.line([tuple(p) for p in canvas.pixel(curve)], strength, max(1, round(wide)), "curve")
    return np.asarray(sheet, dtype=np.float32) / 255


def _ruler(canvas, ruler):
    half = np.array(canvas.shape[::-1]) / 2 / canvas.fine
    axis, sign = divmod(ruler["side"], 2)
    edge = (half[1 - axis] - ruler["inset"]) * (2 * sign - 1)
    ticks = []
    for count, place in enumerate(np.arange(-half[axis], half[axis], ruler["step"])):
        long = ruler["length"] * (1.7 if count % 5 == 0 else 1.0)
        tick = np.array([[place, edge], [place, edge - long * (2 * sign - 1)]])
        ticks.append(tick if axis == 0 else tick[:, ::-1])
    return _line(canvas, ticks, [ruler["width"]] * len(ticks)) * np.float32(0.9)


def _paint_bubble(canvas, bubble, color):
    """A bright ring with a darker inside and one highlight."""
    (x, y), radius = bubble["place"], bubble["radius"]
    box = canvas.box(x, y, 1.3 * radius)
    distance = np.hypot(canvas.x[:, box[1]] - np.float32(x), canvas.y[box[0]] - np.float32(y)) / np.float32(radius)
    ring = np.exp(-(((distance - 1) / np.float32(0.12)) ** 2))
    color[(slice(None), *box)] *= 1 - np.float32(0.12) * rising((1 - distance) * 8)
    color[(slice(None), *box)] += np.float32(bubble["brightness"]) * ring
    box, height = bump(canvas, x - 0.35 * radius, y - 0.35 * radius, 0.15 * radius, 0.12 * radius)
    color[(slice(None), *box)] += np.float32(1.4 * bubble["brightness"]) * height


def _blend(color, weight, over):
    for plane, value in zip(color, over, strict=True):
        plane += weight * (np.float32(value) - plane)
