"""A head and neck from parts: which tissue is at a position of the standard body.

The standard body is an adult, in mm: x to the left, y to the back, z to the head; z = 0 at the angle of the mandible,
y = 0 just in front of the cervical spine. Sizes follow textbook adult values. `draw_body` draws the individual
differences once, `paint_body` then answers for any set of positions, so CT and PET see the same person.
"""

from dataclasses import dataclass, field

import numpy as np

from .anatomy import Canvas
from .fields import SmoothField

# tissue: (HU mean, HU texture, HU gain with contrast agent, SUV median, SUV log-deviation between people, SUV texture)
MATERIALS = {
    "air": (-1000, 0, 0, 0.0, 0.0, 0.0),
    "skin": (10, 10, 8, 0.6, 0.2, 0.1),
    "fat": (-102, 8, 2, 0.28, 0.2, 0.12),
    "muscle": (54, 9, 10, 0.75, 0.2, 0.12),
    "tongue": (50, 12, 12, 1.2, 0.25, 0.15),
    "mouth_floor": (48, 9, 12, 1.9, 0.40, 0.15),
    "mucosa": (42, 10, 25, 1.5, 0.2, 0.12),
    "tonsil": (50, 8, 28, 3.0, 0.0, 0.10),
    "lymphoid": (48, 8, 25, 3.5, 0.35, 0.15),
    "parotid": (8, 18, 25, 2.2, 0.35, 0.10),
    "submandibular": (48, 9, 40, 2.7, 0.35, 0.10),
    "thyroid": (98, 9, 60, 1.4, 0.30, 0.10),
    "cords": (52, 7, 8, 3.0, 0.45, 0.10),
    "blood": (42, 4, 120, 1.5, 0.18, 0.04),
    "airway": (-990, 0, 0, 0.15, 0.0, 0.0),
    "mastoid": (-150, 300, 0, 0.5, 0.2, 0.1),
    "cortical": (780, 140, 0, 0.7, 0.2, 0.1),
    "marrow": (230, 60, 5, 1.5, 0.25, 0.12),
    "tooth": (1700, 200, 0, 0.4, 0.2, 0.1),
    "filling": (3000, 0, 0, 0.4, 0.2, 0.1),
    "disc": (85, 10, 3, 0.7, 0.2, 0.05),
    "cartilage": (160, 110, 0, 0.8, 0.2, 0.1),
    "fluid": (12, 4, 1, 0.8, 0.2, 0.05),
    "cord": (34, 4, 3, 1.9, 0.2, 0.08),
    "brain": (38, 4, 4, 8.5, 0.0, 0.12),
    "white_matter": (30, 3, 3, 4.0, 0.0, 0.10),
    "lung": (-840, 28, 2, 0.45, 0.2, 0.15),
    "couch": (-300, 30, 0, 0.0, 0.0, 0.0),
}
TISSUES = tuple(MATERIALS)
CODE = {name: np.uint8(number) for number, name in enumerate(TISSUES)}

# z, half width, half depth, y of the middle: outline of the neck, and the muscles behind the spine.
NECK = (
    (40, 50, 46, 34),
    (10, 54, 48, 22),
    (-15, 55, 50, 12),
    (-40, 56, 55, 8),
    (-60, 60, 57, 9),
    (-75, 72, 59, 12),
    (-90, 112, 64, 16),
    (-105, 150, 72, 18),
    (-170, 180, 90, 18),
)
NAPE = (
    (52, 30, 18, 52),
    (30, 40, 23, 44),
    (0, 46, 26, 42),
    (-40, 50, 27, 43),
    (-65, 60, 29, 46),
    (-80, 76, 29, 50),
    (-95, 108, 28, 54),
    (-110, 144, 36, 50),
    (-170, 170, 46, 50),
)
# z, y of the vertebral bodies, half width, half depth.
SPINE = ((52, 14, 10, 8), (20, 18, 11, 8), (-30, 19, 12, 8.5), (-70, 24, 13, 9), (-110, 34, 14, 10), (-170, 46, 15, 12))
VERTEBRA_MM = 18.0
# center, half axes, squareness, share of the fat layer of the neck.
OUTLINE = (
    ((0, 2, 95), (74, 94, 95), 0.1, 0.15),
    ((0, -42, 38), (62, 55, 58), 0.35, 0.5),
    ((0, -44, 4), (54, 52, 32), 0.3, 0.7),
    ((0, -98, 46), (13, 18, 22), 0.0, 0.0),
)
# name, tissue, center, half axes, turn in degrees about x, y, z, squareness; painted in this order.
# A name that starts with "both" is painted on the left as given and mirrored on the right.
SOFT_PARTS = (
    ("both masseter", "muscle", (54, -30, 20), (7, 17, 27), (10, 0, 0), 0.3),
    ("both temporalis", "muscle", (62, -24, 78), (6, 27, 34), (0, 0, 0), 0.1),
    ("both medial_pterygoid", "muscle", (35, -20, 22), (6.5, 13, 22), (0, 12, 0), 0.2),
    ("both lateral_pterygoid", "muscle", (33, -20, 50), (15, 14, 9), (0, 0, 20), 0.2),
    ("mouth_floor", "mouth_floor", (0, -46, -10), (29, 30, 7), (0, 0, 0), 0.4),
    ("tongue", "tongue", (0, -47, 12), (24, 32, 20), (-8, 0, 0), 0.3),
    ("tongue_base", "tongue", (0, -26, -1), (20, 15, 19), (0, 0, 0), 0.2),
    ("soft_palate", "mucosa", (0, -20, 33), (17, 15, 5), (25, 0, 0), 0.2),
    ("lingual_tonsil", "lymphoid", (0, -13, -3), (12, 3.5, 9), (0, 0, 0), 0.0),
    ("adenoid", "lymphoid", (0, 2, 52), (12, 4, 9), (0, 0, 0), 0.0),
    ("both parotid", "parotid", (55, -4, 22), (10, 18, 23), (0, 6, 0), 0.2),
    ("both submandibular", "submandibular", (31, -32, -10), (8.5, 14, 11), (0, 0, -15), 0.1),
    ("both sublingual", "submandibular", (13, -58, -2), (5, 14, 5), (0, 0, -15), 0.0),
    ("both thyroid", "thyroid", (16, -19, -62), (7.5, 10, 21), (0, 8, 0), 0.0),
    ("isthmus", "thyroid", (0, -33, -66), (10, 3, 7), (0, 0, 0), 0.0),
    ("oesophagus", "mucosa", (0, 3, -90), (8, 5, 42), (8, 0, 0), 0.2),
    ("larynx", "muscle", (0, -23, -36), (13, 17, 15), (0, 0, 0), 0.2),
    ("both cartilage_plate", "cartilage", (11, -25, -33), (1.9, 19, 11), (0, 0, 32), 0.4),
    ("cricoid", "cartilage", (0, -22, -48), (13, 13, 7), (0, 0, 0), 0.2),
    ("lips", "muscle", (0, -86, 18), (24, 5, 13), (0, 0, 0), 0.2),
    ("both shoulder", "muscle", (108, 6, -128), (52, 42, 26), (0, 12, 0), 0.1),
    ("both eyeball", "fluid", (31, -68, 88), (12, 12, 12), (0, 0, 0), 0.0),
)
# name, tissue, radius, points.
CORDS = (
    ("both sternomastoid", "muscle", 8.5, ((56, 24, 46), (50, 6, 0), (36, -20, -50), (16, -42, -108))),
    ("both sternomastoid_back", "muscle", 6.5, ((55, 32, 42), (52, 16, 0), (43, -10, -50), (28, -36, -108))),
    ("both scalene", "muscle", 9.5, ((24, 20, -8), (34, 22, -60), (48, 18, -120))),
    ("both levator", "muscle", 9.5, ((32, 30, 15), (42, 38, -40), (56, 46, -110))),
    ("both longus", "muscle", 5, ((8, 6, 50), (8, 9, -10), (9, 16, -90))),
    ("both strap", "muscle", 4, ((8, -40, -20), (10, -46, -60), (10, -46, -110))),
    ("both digastric", "muscle", 4.5, ((52, 14, 42), (30, -22, -14), (8, -72, -12))),
)
VESSELS = (
    ("both carotid", "blood", 3.6, ((12, -4, -140), (21, -8, -55), (25, -4, -12), (25, 2, 58))),
    ("both jugular", "blood", 5.2, ((20, -14, -140), (31, -8, -55), (33, 4, -8), (31, 10, 58))),
    ("both vertebral", "blood", 2.0, ((17, 22, -80), (16, 22, 30))),
)
# Mucosa of the given thickness surrounds each lumen: name, thickness, center, half axes, squareness.
LUMENS = (
    ("both nasal", 2.5, (7, -66, 50), (5, 28, 17), 0.4),
    ("nasopharynx", 4.0, (0, -14, 50), (15, 11, 13), 0.3),
    ("oropharynx", 4.5, (0, -7, 17), (12, 6.5, 22), 0.2),
    ("hypopharynx", 4.0, (0, -5, -14), (14, 5.5, 13), 0.3),
    ("both pyriform", 2.5, (14, -9, -26), (4, 6, 10), 0.0),
    ("vestibule", 3.0, (0, -20, -26), (7, 9, 10), 0.2),
    ("glottis", 0.0, (0, -24, -38), (1.8, 10, 7), 0.2),
    ("subglottis", 1.5, (0, -22, -50), (7.5, 8.5, 11), 0.2),
    ("both maxillary", 1.5, (29, -60, 55), (13, 16, 15), 0.3),
    ("sphenoid_sinus", 1.0, (0, -24, 72), (12, 12, 8), 0.3),
    ("both ethmoid", 1.0, (8, -52, 78), (6, 20, 9), 0.4),
)
TRACHEA = ((0, -22, -56), (0, -16, -85), (0, -2, -150))
BONES = (
    ("both ramus", 5.0, ((49, -6, 56), (50, -14, 32), (47, -14, 4))),
    ("both mandible", 6.5, ((47, -14, 4), (37, -50, -3), (16, -76, -6), (0, -80, -6))),
    ("both alveolus", 5.0, ((40, -34, 6), (30, -58, 6), (14, -73, 5), (0, -76, 5))),
    ("both maxilla", 5.0, ((29, -34, 36), (27, -56, 36), (14, -72, 36), (0, -76, 36))),
    ("both zygoma", 4.0, ((36, -74, 66), (54, -62, 62), (66, -38, 61), (63, -10, 64))),
    ("both petrous", 9.0, ((56, 14, 63), (14, -8, 66))),
    ("clivus", 7.0, ((0, -18, 64), (0, 4, 53))),
    ("both atlas", 5.0, ((10, 22, 42), (24, 24, 44))),
    ("both hyoid", 2.3, ((22, -14, -11), (16, -31, -14), (0, -38, -15))),
    ("both clavicle", 6.5, ((14, -48, -112), (70, -38, -104), (140, 0, -96))),
    ("both first_rib", 5.0, ((20, 46, -112), (56, 24, -122), (40, -30, -140))),
    ("both styloid", 2.0, ((42, 6, 52), (34, -6, 26))),
)
ARCH = ((37, -34), (34, -43), (31, -52), (26, -59), (20, -66), (12, -72), (4, -75))


@dataclass(frozen=True)
class HeadNeckBody:
    """One person: scale against the standard body, bend of the neck (mm), turn (degrees), jittered parts, random fields."""

    scale: tuple
    bend: tuple
    turn: tuple
    fat_mm: float
    parts: dict
    teeth: tuple
    fillings: tuple
    mouth_gap: float
    fields: dict = field(repr=False, compare=False)


def _sides(name):
    """(key, 1 for left or -1 for right) of a part; two of them when the name says "both"."""
    if not name.startswith("both "):
        return ((name, 1),)
    return ((name.replace("both ", "left_"), 1), (name.replace("both ", "right_"), -1))


def draw_body(rng, metal_chance):
    """Draw one person from a numpy Generator; `metal_chance` that some teeth carry metal."""
    low, high = (-190, -170, -190), (190, 190, 190)
    rows = [(n, c, h, t) for n, _tissue, c, h, t, _square in SOFT_PARTS] + [(n, c, h, (0, 0, 0)) for n, _w, c, h, _s in LUMENS]
    parts = {}
    for name, center, half, turn in rows:
        for key, side in _sides(name):
            moved = np.multiply(center, (side, 1, 1)) + rng.uniform(-1.5, 1.5, 3)
            if not name.startswith("both "):
                moved[0] *= 0.4
            parts[key] = (
                tuple(moved),
                tuple(np.asarray(half) * rng.uniform(0.88, 1.12, 3)),
                tuple(np.multiply(turn, (1, side, side)) + rng.uniform(-5, 5, 3)),
            )
    tonsil = rng.uniform(0.7, 1.25)
    for key, side in (("left_tonsil", 1), ("right_tonsil", -1)):
        parts[key] = ((side * 15.0, -11.0, 15.0), tuple(np.array((5, 8, 11)) * tonsil * rng.uniform(0.85, 1.15, 3)), (0, 0, 0))
    places = [(side * x, y, z) for side in (1, -1) for z in (16.0, 26.0) for x, y in ARCH]
    kept = rng.random(len(places)) < rng.choice((1.0, 0.95, 0.8, 0.4, 0.0), p=(0.35, 0.3, 0.2, 0.1, 0.05))
    metal = rng.random() < metal_chance
    chosen = rng.choice(len(places), int(rng.integers(1, 5)), replace=False)
    fields = {
        "warp": SmoothField(rng, low, high, 62.0, channels=3),
        "septa": SmoothField(rng, low, high, 24.0),
        "folds": SmoothField(rng, low, high, 12.0),
    }
    return HeadNeckBody(
        scale=tuple(float(v) for v in rng.uniform(0.94, 1.06) * rng.uniform((0.95, 0.95, 0.95), (1.05, 1.05, 1.05))),
        bend=tuple(float(v) for v in rng.uniform((-5, -8), (5, 8))),
        turn=tuple(float(v) for v in rng.uniform((-7, -4, -8), (7, 4, 8))),
        fat_mm=float(rng.uniform(3, 12)),
        parts=parts,
        teeth=tuple(p for p, k in zip(places, kept, strict=True) if k),
        fillings=tuple(places[n] for n in sorted(chosen)) if metal else (),
        mouth_gap=float(rng.choice((0.0, 1.5, 3.5))),
        fields=fields,
    )


class HeadCanvas(Canvas):
    """A canvas with the tissue codes of this module."""

    def put(self, box, mask, tissue, only=None):
        """Set the tissue where mask holds; `only` restricts it to voxels of these tissues so far."""
        view = self.tissue[box]
        if only is not None:
            allowed = np.zeros(len(TISSUES), bool)
            allowed[[CODE[name] for name in only]] = True
            mask = mask & allowed[view]
        view[mask] = CODE[tissue]

    def solid(self, tissue, center, half, turn=(0, 0, 0), square=0.0, only=None):
        """Paint a superquadric."""
        box, radius = self.ellipsoid(center, half, turn, square)
        if box is not None:
            self.put(box, radius <= 1, tissue, only)

    def cord(self, name, tissue, radius, points, only=None):
        """Paint a polyline of one radius, on both sides if the name says so."""
        for _key, side in _sides(name):
            for box, squared in self.capsules([(side * x, y, z) for x, y, z in points], radius):
                self.put(box, squared <= 1, tissue, only)


def paint_body(canvas, body):
    """Fill canvas.tissue with the person."""
    _paint_outline(canvas, body)
    _paint_soft_parts(canvas, body)
    _paint_lungs(canvas)
    _paint_skull(canvas, body)
    _paint_spine(canvas)
    for name, radius, points in BONES:
        canvas.cord(name, "cortical", radius, points)
    for name, radius, points in BONES:
        if radius > 3:
            canvas.cord(name, "marrow", radius - 2.2, points)
    canvas.solid("cortical", (0, -58, 37), (24, 23, 2.5), square=0.4)
    _paint_lumens(canvas, body)
    for key in ("left_tonsil", "right_tonsil"):
        canvas.solid("tonsil", *body.parts[key], only=("muscle", "mucosa", "fat", "tongue", "airway"))
    for name, tissue, radius, points in VESSELS:
        canvas.cord(name, tissue, radius, points, only=("fat", "muscle", "parotid", "submandibular", "mucosa"))
    for tooth in body.teeth:
        canvas.solid("tooth", tooth, (3.4, 3.4, 6.0), square=0.3)
    for tooth in body.fillings:
        canvas.solid("filling", tooth, (3.6, 3.6, 3.6), square=0.3)
    box = canvas.box((-128, 96, -400), (128, 130, 400))
    if box is not None:
        canvas.put(box, np.abs(canvas.y[box] - 106 + (canvas.x[box] / 60) ** 2) < 2.0, "couch", only=("air",))


def _paint_outline(canvas, body):
    whole = (slice(None),) * 3
    fat = body.fat_mm
    rings = list(canvas.tube(whole, NECK, (0.0, 2.0, 2.0 + fat), square=0.35))
    # The layers of all parts are painted from outside to inside, so that the parts merge.
    for tissue, ring, layer in (("skin", rings[0], 0.0), ("fat", rings[1], 2.0)):
        canvas.put(whole, ring <= 1, tissue)
        for center, half, square, _share in OUTLINE:
            canvas.solid(tissue, center, np.subtract(half, layer), square=square)


def _paint_soft_parts(canvas, body):
    whole = (slice(None),) * 3
    inside = next(canvas.tube(whole, NECK, (3.0 + body.fat_mm,), square=0.35)) <= 1
    canvas.put(whole, (next(canvas.tube(whole, NAPE, square=0.3)) <= 1) & inside, "muscle")
    view = canvas.tissue
    where = np.nonzero(view == CODE["muscle"])
    septa = np.abs(body.fields["septa"](*[c[where] for c in (canvas.x, canvas.y, canvas.z)])) < 0.10
    view[tuple(w[septa] for w in where)] = CODE["fat"]
    for name, tissue, radius, points in CORDS:
        canvas.cord(name, tissue, radius, points, only=("fat", "muscle"))
    for name, tissue, _center, _half, _turn, square in SOFT_PARTS:
        for key, _side in _sides(name):
            canvas.solid(tissue, *body.parts[key], square)
    for side in (1, -1):
        canvas.solid("cords", (side * 5.0, -25, -38), (4, 9, 4))


def _paint_lungs(canvas):
    for side in (1, -1):
        canvas.solid("muscle", (side * 42, 18, -142), (37, 40, 44))
        canvas.solid("lung", (side * 42, 18, -142), (31, 34, 38))


def _paint_skull(canvas, body):
    center, half = OUTLINE[0][:2]
    scalp = 5.0 + 0.15 * body.fat_mm
    box, outer = canvas.ellipsoid(center, np.subtract(half, scalp), square=0.1)
    if box is None:
        return
    y, z = canvas.y[box], canvas.z[box]
    # Height of the floor in three steps: posterior, middle and anterior fossa.
    floor = 50 + 18 / (1 + np.exp(np.clip((y - 8) / 4, -30, 30))) + 18 / (1 + np.exp(np.clip((y + 36) / 4, -30, 30)))
    canvas.put(box, (outer <= 1) & (z > floor - 5), "cortical")
    layers = [canvas.ellipsoid(center, np.subtract(half, scalp + t), square=0.1) for t in (2.2, 4.5, 7.0, 10.0, 24.0)]
    for tissue, (piece, radius), above in zip(("marrow", "cortical", "fluid", "brain"), layers, (-3.4, -1.6, 0, 2), strict=False):
        part = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(piece, box, strict=True))
        canvas.put(piece, (radius <= 1) & (canvas.z[piece] > floor[part] + above), tissue)
    view = canvas.tissue
    where = np.nonzero(view == CODE["brain"])
    x, y, z = (c[where] for c in (canvas.x, canvas.y, canvas.z))
    deep = ((x / 58) ** 2 + ((y - 2) / 76) ** 2 < 1) & (body.fields["folds"](x, y, z) > 0.1)
    view[tuple(w[deep] for w in where)] = CODE["white_matter"]
    for side in (1, -1):
        canvas.solid("mastoid", (side * 55, 20, 54), (8, 11, 15))
        canvas.cord("canal", "airway", 3.0, ((side * 80, 4, 62), (side * 50, 4, 62)))


def _paint_spine(canvas):
    z, middle, wide, deep = np.asarray(SPINE, float)[::-1].T
    box = canvas.box((-40, -10, z[0]), (40, 110, z[-1]))
    if box is None:
        return
    height = canvas.z[box]
    levels = np.arange(z[0], z[-1] + 1.0)
    index = np.clip(height - np.float32(z[0]), 0, len(levels) - 1).astype(np.int16)
    middle, wide, deep = (np.interp(levels, z, c).astype(np.float32)[index] for c in (middle, wide, deep))
    x, y = canvas.x[box], canvas.y[box] - middle
    within = (height > z[0]) & (height < z[-1])
    edge = np.abs((height / VERTEBRA_MM) % 1.0 - 0.5)
    radius = (x / wide) ** 2 + (y / deep) ** 2
    canvas.put(box, within & (radius <= 1), "cortical")
    canvas.put(box, within & (radius < 0.74) & (edge < 0.34), "marrow")
    canvas.put(box, within & (radius <= 1) & (edge > 0.40) & (height < 20), "disc")
    back = y - deep - 8
    cross = within & (np.abs(x) < wide + 8) & (np.abs(back + 3) < 5) & (edge < 0.30)
    canvas.put(box, cross, "cortical", only=("muscle", "fat"))
    canvas.put(box, cross & (np.abs(x) < wide + 6) & (np.abs(back + 3) < 3) & (edge < 0.2), "marrow", only=("cortical",))
    canvas.put(box, within & ((x / 16) ** 2 + (back / 12.5) ** 2 <= 1) & (edge < 0.36), "cortical", only=("muscle", "fat"))
    canvas.put(box, within & (np.abs(x) < 3.4) & (back > 8) & (back < 28) & (edge < 0.25), "cortical", only=("muscle", "fat"))
    canal = (x / 11) ** 2 + (back / 8.5) ** 2
    canvas.put(box, within & (canal <= 1), "fluid")
    canvas.put(box, within & ((x / 6.5) ** 2 + (back / 4.5) ** 2 <= 1), "cord")


def _paint_lumens(canvas, body):
    for inner in (False, True):
        for name, wall, _center, _half, square in LUMENS:
            for key, _side in _sides(name):
                center, half, turn = body.parts[key]
                if inner:
                    canvas.solid("airway", center, half, turn, square)
                elif wall:
                    canvas.solid("mucosa", center, np.add(half, wall), turn, square, only=("fat", "muscle", "tongue", "cortical"))
        canvas.cord("trachea", "airway" if inner else "cartilage", 8.0 if inner else 9.8, TRACHEA)
    for side in (1, -1):
        canvas.solid("mucosa", (side * 8, -62, 44), (2.6, 20, 4), square=0.2)
        canvas.solid("mucosa", (side * 8, -60, 55), (2.4, 18, 3.5), square=0.2)
    canvas.solid("mucosa", (0, -12, 26), (4, 4, 7))
    canvas.solid("mucosa", (0, -15, -14), (10, 1.8, 10), (20, 0, 0))
    if body.mouth_gap:
        canvas.solid("airway", (0, -50, 33), (21, 26, body.mouth_gap), only=("fat", "muscle", "mucosa", "tongue"))
