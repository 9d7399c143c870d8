"""A torso from parts: which tissue is at a position of the standard body.

The standard body is an adult without arms, in mm: x to the left, y to the back, z to the head, z = 0 at the
domes of the diaphragm. Sizes follow textbook adult values. `draw_body` draws the individual differences once,
`paint_body` then answers for any set of positions, so CT and PET see the same person on different grids.
"""

from dataclasses import dataclass, field

import numpy as np

from .fields import SmoothField
from .space import Space

TISSUES = (
    "air",
    "skin",
    "fat",
    "muscle",
    "visceral_fat",
    "lung",
    "lung_vessel",
    "airway",
    "blood",
    "myocardium",
    "liver",
    "spleen",
    "kidney",
    "renal_pelvis",
    "ureter",
    "bladder",
    "stomach",
    "stomach_content",
    "bowel",
    "bowel_content",
    "gas",
    "pancreas",
    "gallbladder",
    "marrow",
    "cortical",
    "disc",
    "canal",
    "brain",
    "gland",
    "pelvic_organ",
    "cartilage",
    "couch",
    "tonsil",
    "heart_wall",
)
CODE = {name: np.uint8(number) for number, name in enumerate(TISSUES)}

# z, half width, half depth, y of the middle: outline of the muscle, the skin lies one fat layer outside.
TRUNK = (
    (345, 50, 56, 8),
    (300, 50, 54, 6),
    (262, 54, 54, 8),
    (238, 66, 56, 10),
    (216, 108, 64, 12),
    (192, 148, 74, 12),
    (150, 158, 88, 6),
    (80, 150, 99, 2),
    (0, 146, 102, 0),
    (-80, 139, 98, 0),
    (-160, 130, 91, 0),
    (-230, 136, 90, 2),
    (-300, 152, 96, 4),
    (-370, 160, 99, 6),
    (-440, 158, 96, 8),
)
# Inner wall of the rib cage, and inner wall of the abdomen.
THORAX = (
    (206, 30, 18, 24),
    (196, 60, 36, 20),
    (172, 86, 54, 16),
    (140, 103, 66, 12),
    (100, 115, 75, 7),
    (50, 123, 81, 3),
    (0, 127, 85, 1),
    (-60, 128, 87, 0),
    (-110, 124, 86, 0),
)
ABDOMEN = (
    (30, 127, 85, 1),
    (-60, 124, 82, -3),
    (-160, 112, 74, -8),
    (-230, 110, 70, -10),
    (-300, 98, 64, -8),
    (-360, 72, 56, -4),
    (-425, 40, 40, 2),
)
# z, y of the vertebral bodies, half width, half depth, height of one vertebra with its disc.
SPINE = (
    (340, 16, 11, 9, 20),
    (240, 24, 12, 10, 21),
    (150, 44, 14, 12, 24),
    (80, 50, 16, 14, 27),
    (0, 45, 18, 16, 30),
    (-100, 32, 22, 17, 35),
    (-180, 22, 24, 18, 38),
    (-250, 28, 25, 18, 38),
    (-300, 48, 22, 16, 30),
    (-400, 66, 12, 8, 30),
)
# name, tissue, center, half axes, turn in degrees about x, y, z, squareness 0..0.9; painted in this order.
# A name that starts with "both" is painted on the left as given and mirrored on the right.
SOFT_PARTS = (
    ("both psoas", "muscle", (40, 30, -215), (19, 22, 105), (6, -8, 0), 0.2),
    ("spleen", "spleen", (92, 36, -52), (25, 42, 54), (0, 14, -20), 0.2),
    ("stomach", "stomach", (58, -28, -62), (44, 36, 58), (0, 24, 10), 0.2),
    ("stomach_lumen", "stomach_content", (58, -28, -62), (36, 28, 50), (0, 24, 10), 0.2),
    ("stomach_gas", "gas", (54, -45, -48), (26, 13, 26), (0, 20, 0), 0.0),
    ("pancreas", "pancreas", (18, -2, -112), (62, 13, 16), (0, 14, 18), 0.2),
    ("gallbladder", "gallbladder", (-52, -48, -118), (15, 20, 28), (25, 0, 0), 0.0),
    ("both kidney", "kidney", (62, 44, -128), (29, 27, 54), (8, -10, 30), 0.2),
    ("both renal_pelvis", "renal_pelvis", (51, 40, -129), (10, 8, 20), (0, -10, 30), 0.0),
    ("pelvic_organ", "pelvic_organ", (0, 8, -398), (24, 20, 22), (0, 0, 0), 0.1),
    ("bladder", "bladder", (0, -22, -366), (40, 32, 30), (0, 0, 0), 0.2),
    ("both thyroid", "gland", (17, -20, 222), (8, 9, 22), (0, 0, 0), 0.0),
    ("both parotid", "gland", (46, 6, 300), (9, 16, 20), (0, 0, 0), 0.0),
    ("both tonsil", "tonsil", (13, -8, 296), (6, 8, 11), (0, 0, 0), 0.0),
    ("both submandibular", "gland", (30, -22, 272), (9, 14, 11), (0, 0, 0), 0.0),
)
HEART_PARTS = (
    ("right_atrium", "blood", (-28, -22, 38), (26, 30, 34), (0, 0, 0), 0.0),
    ("left_atrium", "blood", (6, 12, 58), (34, 22, 24), (0, 0, 0), 0.0),
    ("right_wall", "heart_wall", (8, -50, 28), (42, 26, 38), (0, 25, 25), 0.0),
    ("right_ventricle", "blood", (8, -50, 28), (38.5, 22.5, 34.5), (0, 25, 25), 0.0),
    ("left_wall", "myocardium", (44, -28, 28), (32, 46, 34), (18, 0, -42), 0.0),
    ("left_ventricle", "blood", (41, -25, 30), (20, 37, 22), (18, 0, -42), 0.0),
)
# name, tissue, radius, points.
VESSELS = (
    (
        "aorta",
        "blood",
        13,
        (
            (6, -28, 70),
            (-8, -30, 105),
            (2, -12, 132),
            (20, 16, 132),
            (22, 30, 100),
            (20, 28, 40),
            (12, 20, -20),
            (8, 8, -100),
            (5, -2, -195),
        ),
    ),
    ("vena_cava_inf", "blood", 12, ((-20, -2, 20), (-20, 4, -60), (-16, 2, -130), (-14, -2, -200))),
    ("vena_cava_sup", "blood", 9, ((-24, -20, 70), (-24, -18, 130), (-18, -20, 165))),
    ("pulmonary", "blood", 12, ((12, -42, 62), (12, -24, 92), (38, -2, 92))),
    ("pulmonary_right", "blood", 10, ((12, -24, 92), (-40, -4, 86))),
    ("both iliac", "blood", 7, ((4, -2, -198), (30, 10, -260), (56, 2, -320), (72, -42, -385), (76, -48, -470))),
    ("both carotid", "blood", 4, ((12, -16, 150), (24, -6, 215), (28, 0, 300))),
    ("both jugular", "blood", 5, ((18, -20, 150), (32, -8, 215), (36, 4, 300))),
    ("oesophagus", "muscle", 7, ((2, 10, 220), (4, 22, 120), (10, 24, 40), (24, 0, -18))),
)
AIRWAYS = (
    ("pharynx", 8, ((0, -22, 232), (0, -18, 275), (0, -20, 330))),
    ("trachea", 8.5, ((0, -22, 232), (0, -6, 170), (0, 4, 108))),
    ("bronchus_left", 6, ((0, 4, 108), (42, 8, 84))),
    ("bronchus_right", 7, ((0, 4, 108), (-40, 8, 82))),
)
COLON = (
    (-78, -30, -282),
    (-90, -22, -185),
    (-86, -16, -140),
    (-38, -58, -172),
    (40, -58, -165),
    (88, -6, -104),
    (92, 8, -180),
    (88, 2, -262),
    (58, -16, -318),
    (12, 10, -326),
    (0, 40, -362),
    (0, 46, -415),
)
BONES = (
    ("both clavicle", 6.5, ((14, -46, 172), (70, -40, 186), (136, 6, 192))),
    ("both humerus", 20, ((138, 12, 168), (140, 10, 160))),
    ("both pubis", 8, ((78, -22, 0), (8, -52, -20))),
    ("both femur_neck", 13, ((90, 10, -376), (124, 14, -408))),
    ("both femur", 14, ((126, 14, -404), (106, 8, -700))),
)
BONE_PARTS = (
    ("sternum", (0, -80, 84), (17, 6, 76), (8, 0, 0), 0.4),
    ("both scapula", (100, 66, 124), (46, 5.5, 58), (0, 0, -30), 0.0),
    ("both ilium", (86, 24, -262), (8, 58, 56), (0, -18, -32), 0.1),
    ("both acetabulum", (88, 10, -366), (28, 32, 32), (0, 0, 0), 0.1),
    ("both ischium", (62, 36, -418), (15, 18, 36), (0, 12, 0), 0.1),
    ("both trochanter", (126, 20, -404), (17, 19, 26), (0, 0, 0), 0.0),
    ("mandible", (0, -12, 304), (46, 50, 12), (-12, 0, 0), 0.2),
)


@dataclass(frozen=True)
class Body:
    """One person: scale against the standard body, layers, jittered parts and random fields."""

    scale: tuple
    fat_mm: float
    dome_mm: tuple
    rib_phase: float
    parts: dict
    colon: tuple
    colon_radius: float
    fields: dict = field(repr=False, compare=False)


def _jitter(rng, center, half, turn, shift, stretch):
    center = tuple(np.asarray(center) + rng.uniform(-shift, shift, 3))
    half = tuple(np.asarray(half) * rng.uniform(1 - stretch, 1 + stretch, 3))
    turn = tuple(np.asarray(turn, dtype=float) + rng.uniform(-8, 8, 3))
    return center, half, turn


def draw_body(rng):
    """Draw one person from a numpy Generator."""
    low, high = (-215, -165, -720), (215, 165, 480)
    parts = {}
    for name, tissue, center, half, turn, square in SOFT_PARTS + HEART_PARTS:
        # Heart chambers must keep their walls, stomach lumen its wall: they move with one common jitter.
        amount = (0.0, 0.0) if (name, tissue, center, half, turn, square) in HEART_PARTS or "stomach" in name else (5.0, 0.12)
        sides = (1, -1) if name.startswith("both ") else (1,)
        for side in sides:
            key = name.replace("both ", "left_" if side > 0 else "right_")
            mirrored = ((side * center[0], *center[1:]), half, (turn[0], side * turn[1], side * turn[2]))
            parts[key] = (tissue, *_jitter(rng, *mirrored, *amount), square)
    parts["heart_shift"] = tuple(rng.uniform(-6, 6, 3))
    parts["heart_scale"] = float(rng.uniform(0.92, 1.12))
    bladder = list(parts["bladder"])
    bladder[2] = tuple(np.asarray(bladder[2]) * rng.uniform(0.65, 1.15))
    parts["bladder"] = tuple(bladder)
    fields = {
        "warp": SmoothField(rng, low, high, 70.0, channels=3),
        "tube": SmoothField(rng, low, high, 24.0, channels=2),
        "bowel": SmoothField(rng, low, high, 26.0, channels=2),
        "septa": SmoothField(rng, low, high, 34.0),
    }
    return Body(
        scale=(float(rng.uniform(0.90, 1.04)), float(rng.uniform(0.88, 1.08)), float(rng.uniform(0.92, 1.05))),
        fat_mm=float(rng.uniform(5, 24)),
        dome_mm=(float(rng.uniform(-6, 8)), float(rng.uniform(2, 18))),
        rib_phase=float(rng.uniform(0, 1)),
        parts=parts,
        colon=tuple(tuple(np.asarray(p) + rng.uniform(-7, 7, 3)) for p in COLON),
        colon_radius=float(rng.uniform(14, 20)),
        fields=fields,
    )


class Canvas(Space):
    """Tissue codes (k, j, i) over positions of the standard body given as three (k, j, i) arrays in mm."""

    def __init__(self, x, y, z):
        super().__init__(x, y, z)
        self.tissue = np.zeros(x.shape, np.uint8)

    def put(self, box, mask, tissue, only=None):
        """Set the tissue where mask holds; `only` restricts it to voxels of these tissues so far."""
        view = self.tissue[box]
        if only is not None:
            allowed = np.zeros(len(TISSUES), bool)
            allowed[[CODE[name] for name in only]] = True
            mask = mask & allowed[view]
        view[mask] = CODE[tissue]

    def tube(self, box, table, insets=(0.0,), square=0.45):
        """Squared radii (<= 1 inside) of tubes whose superelliptic section follows a table over z.

        One array per inset, the distance in mm by which the tube is narrower than the table.
        """
        z, wide, deep, middle = np.asarray(table, float)[::-1].T
        levels = np.arange(z[0], z[-1] + 1.0)
        index = np.clip(self.z[box] - np.float32(z[0]), 0, len(levels) - 1).astype(np.int16)
        wide, deep, middle = (np.interp(levels, z, c).astype(np.float32) for c in (wide, deep, middle))
        outside = (self.z[box] < z[0]) | (self.z[box] > z[-1])
        across, along = self.x[box] ** 2, (self.y[box] - middle[index]) ** 2
        for inset in insets:
            u = across * (np.maximum(wide - inset, 4) ** -2)[index]
            v = along * (np.maximum(deep - inset, 4) ** -2)[index]
            radius = u + v
            # Clipped, because the squircle formula has a second, false branch outside the unit square.
            np.minimum(u, 1, out=u)
            np.minimum(v, 1, out=v)
            u *= v
            u *= np.float32(square)
            radius -= u
            radius[outside] = 4
            yield radius


def _sides(name, points):
    """The points as given, and mirrored to the right when the name says "both"."""
    yield points
    if name.startswith("both "):
        yield tuple((-p[0], p[1], p[2]) for p in points)


def _dome(canvas, box, body):
    """Height of the diaphragm (mm) over x and y: two domes with deep recesses at the back and sides."""
    x, y = canvas.x[box], canvas.y[box]
    left = np.float32(body.dome_mm[0]) - 62 * (((x - 60) / 68) ** 2 + ((y + 12) / 88) ** 2)
    right = np.float32(body.dome_mm[1]) - 62 * (((x + 60) / 68) ** 2 + ((y + 12) / 88) ** 2)
    return np.maximum(np.maximum(left, right), -100)


def paint_body(canvas, body, bladder_scale=1.0):
    """Fill canvas.tissue with the person. `bladder_scale`: filling of the bladder at the time of this scan."""
    _paint_outline(canvas, body)
    _paint_abdomen(canvas, body, bladder_scale)
    _paint_chest(canvas, body)
    _paint_neck_and_head(canvas)
    _paint_bones(canvas, body)
    _paint_ureters(canvas, body)
    _paint_couch(canvas, body)


def _paint_outline(canvas, body):
    fat = body.fat_mm
    everything = canvas.box((-200, -145, TRUNK[-1][0]), (200, 145, TRUNK[0][0])) or (slice(0, 0),) * 3
    outer, fatty, inner = canvas.tube(everything, TRUNK, (-fat - 2.5, -fat, 0.0))
    canvas.put(everything, outer <= 1, "skin")
    canvas.put(everything, fatty <= 1, "fat")
    legs = []
    for side in (1, -1):
        box = canvas.box((side * 88 - 110, -110, -760), (side * 88 + 110, 110, -380))
        if box is None:
            continue
        u = (canvas.x[box] - np.float32(side * 84)) ** 2 + (canvas.y[box] - 6) ** 2
        taper = np.interp(np.arange(-760, -379), (-760, -600, -380), (52, 66, 78)).astype(np.float32)
        radius = taper[np.clip(canvas.z[box] + 760, 0, 380).astype(int)]
        below = canvas.z[box] < -380
        legs.append((box, u, radius, below))
        canvas.put(box, below & (u <= (radius + 0.7 * fat + 2.5) ** 2), "skin", only=("air",))
    for box, u, radius, below in legs:
        canvas.put(box, below & (u <= (radius + 0.7 * fat) ** 2), "fat")
        canvas.put(box, below & (u <= radius**2), "muscle")
    canvas.put(everything, inner <= 1, "muscle")
    # Thin fat planes between the muscles: the zero level of a smooth field.
    for low, high in (((-200, -130, 120), (200, 130, 345)), ((-200, -130, -720), (200, 130, -200))):
        box = canvas.box(low, high)
        if box is not None:
            view = canvas.tissue[box]
            where = np.nonzero(view == CODE["muscle"])
            septa = np.abs(body.fields["septa"](*[c[box][where] for c in (canvas.x, canvas.y, canvas.z)])) < 0.06
            view[tuple(w[septa] for w in where)] = CODE["fat"]


def _paint_abdomen(canvas, body, bladder_scale):
    box = canvas.box((-140, -110, -430), (140, 110, 40))
    if box is None:
        return
    cavity = (next(canvas.tube(box, ABDOMEN)) <= 1) & (canvas.z[box] < _dome(canvas, box, body))
    canvas.put(box, cavity, "visceral_fat", only=("muscle",))
    parts = body.parts
    bowel_box = canvas.box((-120, -90, -390), (120, 40, -100))
    if bowel_box is not None:
        view = canvas.tissue[bowel_box]
        where = np.nonzero((view == CODE["visceral_fat"]) & (canvas.y[bowel_box] < 18))
        loops = body.fields["bowel"](*[c[bowel_box][where] for c in (canvas.x, canvas.y, canvas.z)])
        for level, tissue in ((-0.15, "bowel"), (0.55, "bowel_content"), (1.7, "gas")):
            view[tuple(w[loops > level] for w in where)] = CODE[tissue]
    for piece, square_radius in canvas.capsules(body.colon, body.colon_radius):
        soft = ("visceral_fat", "bowel", "bowel_content", "gas", "muscle")
        canvas.put(piece, square_radius <= 1, "bowel", only=soft)
    for piece, square_radius in canvas.capsules(body.colon, body.colon_radius - 3.5):
        canvas.put(piece, square_radius <= 1, "bowel_content", only=("bowel",))
        pockets = body.fields["bowel"](canvas.x[piece], canvas.y[piece], canvas.z[piece], 1) > 0.7
        canvas.put(piece, (square_radius <= 0.9) & pockets, "gas", only=("bowel_content",))
    for name, tissue, center, half, turn, square in SOFT_PARTS:
        for key in (name.replace("both ", "left_"), name.replace("both ", "right_")) if name.startswith("both ") else (name,):
            tissue, center, half, turn, square = parts[key]
            if name == "bladder":
                half = tuple(np.asarray(half) * bladder_scale)
            piece, radius = canvas.ellipsoid(center, half, turn, square)
            if piece is None:
                continue
            mask = radius <= 1
            if key in ("spleen", "stomach", "stomach_lumen", "stomach_gas"):
                mask &= canvas.z[piece] < _dome(canvas, piece, body) - 3
            canvas.put(piece, mask, tissue)
    for center, half, turn in (((-60, -4, -60), (76, 84, 96), (0, -12, 0)), ((14, -42, -34), (72, 36, 44), (0, 14, 0))):
        piece, radius = canvas.ellipsoid(center, half, turn, 0.35)
        if piece is not None:
            mask = (radius <= 1) & (canvas.z[piece] < _dome(canvas, piece, body) - 3)
            mask &= next(canvas.tube(piece, ABDOMEN, (2.0,))) <= 1
            soft = ("visceral_fat", "muscle", "bowel", "bowel_content", "gas", "stomach", "stomach_content")
            canvas.put(piece, mask, "liver", only=soft)
    # Portal and liver veins: crossings of two smooth fields make branching tubes.
    _paint_tubes(canvas, body, ((-140, -90, -150), (90, 90, 20)), "liver", "blood", 0.11)


def _paint_tubes(canvas, body, limits, host, tissue, width):
    box = canvas.box(*limits)
    if box is None:
        return
    view = canvas.tissue[box]
    where = np.nonzero(view == CODE[host])
    at = [c[box][where] for c in (canvas.x, canvas.y, canvas.z)]
    distance = body.fields["tube"](*at) ** 2 + body.fields["tube"](*at, 1) ** 2
    hit = distance < width**2 if np.isscalar(width) else distance < width(*at) ** 2
    view[tuple(w[hit] for w in where)] = CODE[tissue]


def _paint_chest(canvas, body):
    box = canvas.box((-140, -100, -110), (140, 120, 215))
    if box is None:
        return
    x, y, z = canvas.x[box], canvas.y[box], canvas.z[box]
    dome = _dome(canvas, box, body)
    spine_z, spine_y = np.asarray(SPINE, float)[::-1, :2].T
    spine = np.interp(np.arange(-120, 221), spine_z, spine_y).astype(np.float32)
    spine = spine[np.clip(z + 120, 0, 340).astype(np.int16)]
    # The muscles beside the spinous processes push into the back of the cavity.
    back = ((np.abs(x) - 16) / 34) ** 2 + ((y - spine - 36) / 32) ** 2
    cavity = (next(canvas.tube(box, THORAX, square=0.35)) <= 1) & (z > dome - 4) & (back > 1)
    canvas.put(box, cavity & (z > dome), "visceral_fat", only=("muscle", "fat"))
    # The lungs leave the mediastinum free: narrow at the breast bone and the back, wide at the heart.
    shift = np.asarray(body.parts["heart_shift"])
    heart = 46 * np.exp(-(((z - 28) / 46) ** 2)) * np.exp(-(((y + 26) / 46) ** 2))
    middle = 22 + 10 * np.exp(-(((y - 46) / 22) ** 2)) - 10 * np.exp(-(((y + 76) / 20) ** 2))
    left_edge, right_edge = middle + heart + 4, middle + 0.35 * heart
    lung = cavity & (z > dome + 2) & ((x > left_edge) | (x < -right_edge))
    canvas.put(box, lung, "lung", only=("visceral_fat", "muscle", "fat"))
    scale = body.parts["heart_scale"]
    for name, *_ in HEART_PARTS:
        tissue, center, half, turn, square = body.parts[name]
        center = np.asarray((10, -20, 36)) + (np.asarray(center) - (10, -20, 36)) * scale + shift
        piece, radius = canvas.ellipsoid(center, np.asarray(half) * scale, turn, square)
        if piece is not None:
            mask = (radius <= 1) & (canvas.z[piece] > _dome(canvas, piece, body) - 2)
            canvas.put(piece, mask, tissue)
    for name, tissue, radius, points in VESSELS:
        for side in _sides(name, points):
            for piece, squared in canvas.capsules(side, radius):
                canvas.put(piece, squared <= 1, tissue)

    def caliber(px, py, pz):
        root = np.sqrt((np.abs(px) - 36) ** 2 + (py - 2) ** 2 + (pz - 84) ** 2)
        return np.clip(0.42 - 0.0026 * root, 0.13, 0.42)

    _paint_tubes(canvas, body, ((-140, -100, -110), (140, 120, 215)), "lung", "lung_vessel", caliber)
    for _name, radius, points in AIRWAYS:
        for piece, squared in canvas.capsules(points, radius + 2.0):
            canvas.put(piece, squared <= 1, "cartilage")
    for _name, radius, points in AIRWAYS:
        for piece, squared in canvas.capsules(points, radius):
            canvas.put(piece, squared <= 1, "airway")


def _paint_neck_and_head(canvas):
    layers = (
        ("skin", (75, 96, 104)),
        ("fat", (73, 94, 102)),
        ("muscle", (70, 91, 99)),
        ("cortical", (69, 90, 98)),
        ("canal", (64, 85, 91)),
        ("brain", (61, 82, 84)),
    )
    for tissue, half in layers:
        piece, radius = canvas.ellipsoid((0, -2, 412), half)
        if piece is None:
            return
        mask = radius <= 1
        if tissue in ("cortical", "canal", "brain"):
            mask &= canvas.z[piece] > 342 - 0.25 * canvas.y[piece]
        canvas.put(piece, mask, tissue)
    for _name, radius, points in AIRWAYS[:1]:
        for piece, squared in canvas.capsules(points, radius):
            canvas.put(piece, squared <= 1, "airway")
    for side in (1, -1):
        for center, half in (((18 * side, -66, 345), (14, 18, 14)), ((8 * side, -60, 362), (7, 26, 18))):
            piece, radius = canvas.ellipsoid(center, half)
            if piece is not None:
                canvas.put(piece, radius <= 1, "airway")


def _bone(canvas, piece, squared, thickness):
    """Compact bone with a marrow core that leaves a rim of about `thickness` (relative to the half axes)."""
    canvas.put(piece, squared <= 1, "cortical")
    canvas.put(piece, squared <= (1 - thickness) ** 2, "marrow")


def _paint_bones(canvas, body):
    _paint_ribs(canvas, body)
    _paint_spine(canvas)
    for name, center, half, turn, square in BONE_PARTS:
        for side in (1, -1) if name.startswith("both ") else (1,):
            piece, radius = canvas.ellipsoid(
                (side * center[0], *center[1:]), half, (turn[0], side * turn[1], side * turn[2]), square
            )
            if piece is None:
                continue
            if name == "mandible":
                inner = ((canvas.x[piece] / 38) ** 2 + ((canvas.y[piece] + 10) / 42) ** 2) < 1
                radius = np.where(inner | (canvas.y[piece] > 8), 4, radius)
            _bone(canvas, piece, radius, min(0.45, 2.4 / min(half)))
    for name, radius, points in BONES:
        if "pubis" in name:
            points = tuple((p[0], p[1], p[2] - 374) for p in points)
        for side in _sides(name, points):
            for piece, squared in canvas.capsules(side, radius):
                canvas.put(piece, squared <= 1, "cortical")
            for piece, squared in canvas.capsules(side, radius * (0.72 if radius < 16 else 0.86)):
                canvas.put(piece, squared <= 1, "marrow")
    for side in (1, -1):  # joint space and head of the femur
        for half, tissue in ((25, "cartilage"), (22.5, "cortical"), (20.5, "marrow")):
            piece, radius = canvas.ellipsoid((side * 90, 10, -376), (half,) * 3)
            if piece is not None:
                canvas.put(piece, radius <= 1, tissue)


def _paint_ribs(canvas, body):
    box = canvas.box((-150, -110, -110), (150, 125, 200))
    if box is None:
        return
    inner, outer = canvas.tube(box, THORAX, (0.0, -9.5), 0.35)
    way = (inner - 1) / np.maximum(inner - outer, 1e-3)  # 0 at the inner face of the ribs, 1 at the outer face
    # Ribs fall by a third of their way from back to front; 25 mm from rib to rib.
    phase = (canvas.z[box] - np.float32(0.42) * canvas.y[box]) / np.float32(25.0) + np.float32(body.rib_phase)
    band = np.abs(phase - np.round(phase))
    lower = np.float32(-60) + np.float32(0.6) * canvas.y[box]
    # In front the lowest ribs end and the upper ones turn into cartilage.
    reach = (canvas.z[box] > lower) & (canvas.z[box] < 192)
    shell = (outer <= 1) & (inner > 1) & reach
    cartilage = canvas.y[box] < -50 + 0.25 * np.abs(canvas.x[box])
    shell &= ~(cartilage & (np.abs(canvas.x[box]) < 14))
    canvas.put(box, shell & (band < 0.24), "cortical")
    canvas.put(box, shell & (band < 0.16) & (np.abs(way - 0.5) < 0.24), "marrow")
    canvas.put(box, shell & (band < 0.24) & cartilage, "cartilage", only=("cortical", "marrow"))


def _paint_spine(canvas):
    box = canvas.box((-60, -20, -410), (60, 120, 345))
    if box is None:
        return
    z, middle, wide, deep, height = np.asarray(SPINE, float)[::-1].T
    levels = np.arange(z[0], z[-1] + 1.0)
    index = np.clip(canvas.z[box] - np.float32(z[0]), 0, len(levels) - 1).astype(np.int16)
    # Vertebra number as the integral of 1 / height, so that discs stay at right distances.
    count = np.cumsum(1.0 / np.interp(levels, z, height)).astype(np.float32)
    middle, wide, deep = (np.interp(levels, z, c).astype(np.float32)[index] for c in (middle, wide, deep))
    part = count[index] % 1.0
    x, y = canvas.x[box], canvas.y[box] - middle
    within = (canvas.z[box] > z[0]) & (canvas.z[box] < z[-1])
    edge = np.abs(part - 0.5)
    waist = 1.0 - 0.10 * np.cos(np.pi * edge)
    radius = (x / (wide * waist)) ** 2 + (y / (deep * waist)) ** 2
    sacrum = canvas.z[box] < -262
    vertebra = within & (radius <= 1)
    canvas.put(box, vertebra, "cortical")
    canvas.put(box, vertebra & (radius < 0.80) & (edge < 0.36), "marrow")
    canvas.put(box, vertebra & (edge > 0.40) & ~sacrum, "disc")
    wings = within & sacrum & ((x / 54) ** 2 + ((y - 6) / 20) ** 2 <= 1) & (canvas.z[box] > -372)
    taper = np.abs(x) < 54 + 0.42 * (canvas.z[box] + 268)
    canvas.put(box, wings & taper, "cortical", only=("muscle", "fat", "visceral_fat", "blood"))
    inner = ((x / 51) ** 2 + ((y - 6) / 17) ** 2 <= 1) & (np.abs(x) < 51 + 0.42 * (canvas.z[box] + 268))
    canvas.put(box, wings & inner, "marrow", only=("cortical",))
    back = y - deep - 9
    ring = (x / 15) ** 2 + (back / 12.5) ** 2
    lamina = within & (ring <= 1) & (edge < 0.34) & (canvas.z[box] > -300)
    canvas.put(box, lamina, "cortical", only=("muscle", "fat", "visceral_fat", "lung", "lung_vessel"))
    spike = within & (np.abs(x) < 3.6) & (back > 8) & (back < 30) & (edge < 0.28) & (canvas.z[box] > -300)
    canvas.put(box, spike, "cortical", only=("muscle", "fat"))
    cross = within & (np.abs(x) < wide + 18) & (np.abs(back + 2) < 4.5) & (edge < 0.15)
    canvas.put(box, cross & (canvas.z[box] > -262), "cortical", only=("muscle", "fat", "visceral_fat", "lung", "lung_vessel"))
    canvas.put(box, within & ((x / 10) ** 2 + (back / 8.5) ** 2 <= 1) & (canvas.z[box] > -330), "canal")


def _paint_ureters(canvas, body):
    for side, key in ((1, "left_renal_pelvis"), (-1, "right_renal_pelvis")):
        start = body.parts[key][1]
        points = (start, (side * 36, 14, -190), (side * 36, 6, -270), (side * 46, 26, -330), (side * 18, 6, -372))
        for piece, squared in canvas.capsules(points, 2.6):
            canvas.put(piece, squared <= 1, "ureter", only=("visceral_fat", "muscle", "bowel", "fat", "bowel_content"))


def _paint_couch(canvas, body):
    box = canvas.box((-200, 60, -900), (200, 220, 900))
    if box is None:
        return
    height = 110 + body.fat_mm - (canvas.x[box] / 190) ** 2 * 30
    gap = canvas.y[box] - height
    shell = (np.abs(gap) < 2.2) & (np.abs(canvas.x[box]) < 182)
    canvas.put(box, shell, "couch", only=("air",))
