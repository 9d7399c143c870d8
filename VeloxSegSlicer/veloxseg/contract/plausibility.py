"""Can these images be what the model expects? One set of rules, limits and words for every door: the panel asks, the engine notes
or refuses, training refuses.

Knows numpy and nothing else of weight, so that the panel may use it inside Slicer. Arrays are (x, y, z), axis 0 the first index
of the grid; world coordinates are millimeters, LPS or RAS as long as all images of a case agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from veloxseg.contract.card import Card, Role
from veloxseg.contract.foreground import foreground_threshold
from veloxseg.contract.windows_plan import WindowPlan

IGNORE, NOTE, REFUSE = "ignore", "note", "refuse"
DEFAULTS = {
    "PET_UNIT": REFUSE,
    "PET_SCALE": NOTE,
    "PET_LOW": NOTE,
    "CT_UNIT": NOTE,
    "CT_OFFSET": NOTE,
    "VALUES_OF_CT": REFUSE,
    "ROLES_SWAPPED": REFUSE,
    "GRID_SPACING": REFUSE,
    "GRID_EXTENT": REFUSE,
    "GRID_SLICES": NOTE,
    "MODEL_DOMAIN": NOTE,
    "MODEL_FIELD": NOTE,
    "COVERAGE": NOTE,
    "SAME_VOXELS": NOTE,
}
"""Code of each rule -> what is done where a card's `plausibility` says nothing else. What makes a result that cannot be right is
refused, what may have a reason is noted."""
NO_SUV = ("PET_UNIT", "PET_SCALE", "PET_LOW", "VALUES_OF_CT", "ROLES_SWAPPED")
"""Findings with which the PET holds no SUV, so that no SUV number is measured."""

# Limits. SUV by body weight are 1 in the mean of a body by their definition, whatever the dose.
HIGHEST_USUAL_SUV = 100.0  # 95 % of the voxels of any SUV image, and the mean of its body, lie far below; those in Bq/ml do not
HIGHEST_BODY_SUV = 2.5  # the mean of a body; 3 to 5 in kBq/ml. A brain or a tumor alone may reach it,
WHOLE_BODY_MM = 300.0  # so it counts only where every axis is longer than a head
LOWEST_BODY_SUV = 0.1  # fat and muscle have 0.3 to 0.7, legs without a tumor 0.5 in the mean; MBq/ml or a weight in g give less
BODY_PART = 0.3  # of the mean of all positive values; above this a voxel counts as body
NO_FAT_HU = -50.0  # fat has -100 HU, lung and air less: any part of a body reaches this, also a leg cut closely
FAT_HU, LEAST_FAT = (-150.0, -30.0), 0.01  # a CT stored 1024 too high has next to nothing here
SHIFTED_HU, MOST_SHIFTED = (850.0, 1250.0), 0.1  # but fat and muscle here, where a CT in HU has bone: less than a twentieth
AIR_HU = -150.0  # PET and MR go below this in noise only, which is less than their signal
SPACING_MM = (0.01, 25.0)  # finer than any scanner for animals; coarser than the slices of a scout
EXTENT_MM = (10.0, 3000.0)  # of the longest axis: a mouse has 20 mm, a person head to foot 2 m
FEWEST_SLICES = 8  # along any axis of the reference: less than the first step of the networks sees as a volume
COARSE = 2.0  # voxels so many times wider than the model's show less than it has learned from
SMALL_FIELD = 0.4  # of what the network sees at once, on two axes or more: most of its window would be filled up with air
ROUNDING_MM = 0.01  # of headers in single precision
LEAST_COVERED = 0.95  # of what the reference shows; arms beside a narrow CT are less than the rest
SAMPLES = 40  # per axis, at which an image is looked at
HIGHEST_WRITTEN_OUT = 1e9
BOX_SAMPLES = 1 << 15
EVEN_STEPS = 1.2207440846057596 ** -np.arange(1.0, 4.0)  # Roberts' R3: spread evenly in space and along each axis


@dataclass(frozen=True)
class Image:
    """What the rules look at: `size` (i, j, k), `to_world` (4, 4) from voxel indices to mm, `lowest` and `highest` finite value,
    and `sample`, the float64 values at `places(size)`."""

    size: tuple[int, int, int]
    to_world: np.ndarray
    lowest: float
    highest: float
    sample: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """(3,) mm."""
        return np.linalg.norm(self.to_world[:3, :3], axis=0)

    @property
    def extent(self) -> np.ndarray:
        """(3,) mm along the axes."""
        return self.spacing * self.size

    def percentile(self, percent: float) -> float:
        """Of the sample."""
        return float(np.percentile(self.sample, percent))

    def share(self, low: float, high: float) -> float:
        """Of the sample from `low` to `high`, 0 to 1."""
        return float(((self.sample >= low) & (self.sample <= high)).mean())

    @cached_property
    def body(self) -> float:
        """Mean of what counts as body, 0 where nothing is positive."""
        return body_mean(self.sample)

    @cached_property
    def shown(self) -> np.ndarray:
        """(n, 3) world positions of the sampled voxels that show something, of all where none stands out."""
        level = foreground_threshold(self.sample)[1]
        inside = self.sample > level
        index = np.argwhere(inside if inside.any() else np.ones_like(inside))
        voxels = np.stack([axis[index[:, n]] for n, axis in enumerate(places(self.size))], axis=1)
        return _world(self.to_world, voxels)


@dataclass(frozen=True)
class Finding:
    """One rule that an image breaks: `role` is its key and `facts` the placeholders of the sentences of `errors.ODD`."""

    code: str
    role: str
    facts: dict


def places(size: Sequence[int]) -> list[np.ndarray]:
    """Indices along each axis at which an image is looked at."""
    return [np.unique(np.rint(np.linspace(0, length - 1, min(length, SAMPLES))).astype(int)) for length in size]


def look(voxels: np.ndarray, to_world: np.ndarray) -> Image:
    """Look at an (x, y, z) array, which may be a view; values that are no numbers count as the lowest."""
    lowest, highest = float(voxels.min()), float(voxels.max())
    if not np.isfinite([lowest, highest]).all():
        finite = voxels[np.isfinite(voxels)]
        lowest, highest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return Image(voxels.shape, to_world, lowest, highest, sampled(voxels, lowest))


def sampled(voxels: np.ndarray, lowest: float) -> np.ndarray:
    """The sample of an `Image`."""
    sample = voxels[np.ix_(*places(voxels.shape))].astype(np.float64)
    return np.where(np.isfinite(sample), sample, lowest)


def body_mean(values: np.ndarray) -> float:
    """Mean of the voxels that count as body, 0 where nothing is positive. 1 for SUV by body weight of a whole body."""
    positive = values[values > 0]
    return float(positive[positive > BODY_PART * positive.mean()].mean()) if positive.size else 0.0


def is_too_high(image: Image) -> bool:
    """Whether values are too high for SUV by body weight."""
    return image.percentile(95) > HIGHEST_USUAL_SUV or image.body > HIGHEST_USUAL_SUV


def box_share(reference: Image, image: Image) -> float:
    """Share (0-1) of the reference's box that lies in another image's, to about 0.002."""
    unit = (0.5 + np.arange(BOX_SAMPLES)[:, None] * EVEN_STEPS) % 1
    return _inside(image, _world(reference.to_world, unit * np.asarray(reference.size) - 0.5), 0.0)


def covered(reference: Image, image: Image) -> float:
    """Share (0-1) of the reference that another image covers: of its box, unless all that the reference shows is covered.

    A CT is narrower than a PET, but holds the body.
    """
    # two crops of one patient end at the borders of their own voxels
    shown = _inside(image, reference.shown, float(reference.spacing.max()))
    return 1.0 if shown >= LEAST_COVERED else min(box_share(reference, image), shown)


def findings(card: Card, images: Mapping[str, Image]) -> list[Finding]:
    """What is odd about a case, in the order of the card's roles. images: by name of role; a role may be absent."""
    known = [role for role in card.roles if role.name in images]
    swapped = _swapped(known, images)
    found = [Finding("ROLES_SWAPPED", role.name, {"role": role.title, "other": other.title}) for role, other in swapped]
    explained = {role.name for pair in swapped for role in pair}
    for role in known:
        image = images[role.name]
        if role.name not in explained:
            found += _of_values(role, image)
        found += _of_grid(card, role, image)
        found += _of_others(role, known, images)
    order = [role.name for role in known]
    return sorted(found, key=lambda finding: order.index(finding.role))


def action(card: Card, code: str) -> str:
    """What a card wants done about a finding: IGNORE, NOTE or REFUSE."""
    return card.plausibility.get(code, DEFAULTS[code])


def holds_suv(found: Sequence[Finding]) -> bool:
    """Whether SUV may be measured."""
    return not any(finding.code in NO_SUV for finding in found)


def _of_values(role: Role, image: Image) -> Iterator[Finding]:
    facts = {"role": role.title, "lowest": number(image.lowest), "largest": number(image.highest), "mean": number(image.body)}
    if role.modality in ("PT", "MR") and _is_like_ct(image):
        yield Finding("VALUES_OF_CT", role.name, facts)
    elif role.wants_suv and is_too_high(image):
        yield Finding("PET_UNIT", role.name, facts)
    elif role.wants_suv and image.body > HIGHEST_BODY_SUV and image.extent.min() >= WHOLE_BODY_MM:
        yield Finding("PET_SCALE", role.name, facts)
    elif role.wants_suv and image.body < LOWEST_BODY_SUV:
        yield Finding("PET_LOW", role.name, facts)
    elif role.unit == "HU" and _is_shifted(image):
        yield Finding("CT_OFFSET", role.name, facts)
    elif role.unit == "HU" and image.percentile(0.1) > NO_FAT_HU:
        yield Finding("CT_UNIT", role.name, facts)


def _of_grid(card: Card, role: Role, image: Image) -> Iterator[Finding]:
    finest, coarsest = float(image.spacing.min()), float(image.spacing.max())
    longest = float(image.extent.max())
    facts = {"role": role.title, "slices": min(image.size)}
    if not SPACING_MM[0] <= finest <= coarsest <= SPACING_MM[1]:
        wrong = finest if finest < SPACING_MM[0] else coarsest
        yield Finding("GRID_SPACING", role.name, {**facts, "spacing": f"{wrong:.3g}"})
    elif not EXTENT_MM[0] <= longest <= EXTENT_MM[1]:
        yield Finding("GRID_EXTENT", role.name, {**facts, "extent": f"{longest:.3g}"})
    elif role.is_reference:
        if min(image.size) < FEWEST_SLICES:
            yield Finding("GRID_SLICES", role.name, facts)
        if card.spacing_mm is not None:
            yield from _of_model(card.spacing_mm, card.window, role, image)


def _of_model(spacing_mm: Sequence[float], plan: WindowPlan | None, role: Role, image: Image) -> Iterator[Finding]:
    """What the model was not made for."""
    coarsest = float(image.spacing.max())
    if coarsest > COARSE * max(spacing_mm) + ROUNDING_MM:
        facts = {"role": role.title, "spacing": f"{coarsest:.3g}", "trained": f"{max(spacing_mm):.3g}"}
        yield Finding("MODEL_DOMAIN", role.name, facts)
    if plan is not None and len(plan.size) == len(spacing_mm):
        seen, shown = np.sort(np.multiply(plan.size, spacing_mm)), np.sort(image.extent)
        if (shown < SMALL_FIELD * seen).sum() >= 2:
            facts = {"role": role.title, "extent": _by(shown[::-1]), "window": _by(seen[::-1])}
            yield Finding("MODEL_FIELD", role.name, facts)


def _by(lengths: np.ndarray) -> str:
    return " x ".join(f"{length:.0f}" for length in lengths)


def _of_others(role: Role, known: Sequence[Role], images: Mapping[str, Image]) -> Iterator[Finding]:
    for other in known[: known.index(role)]:
        if have_same_voxels(images[role.name], images[other.name]):
            yield Finding("SAME_VOXELS", role.name, {"role": role.title, "other": other.title})
    reference = next((other for other in known if other.is_reference), role)
    if role is not reference:
        share = covered(images[reference.name], images[role.name])
        if share < LEAST_COVERED:
            facts = {"role": role.title, "reference": reference.title, "percent": round(100 * share)}
            yield Finding("COVERAGE", role.name, facts)


def have_same_voxels(first: Image, second: Image) -> bool:
    """Whether two images are most likely the same: size, place, range and all sampled values."""
    return (
        first.size == second.size
        and np.allclose(first.to_world, second.to_world, atol=ROUNDING_MM)
        and (first.lowest, first.highest) == (second.lowest, second.highest)
        and np.array_equal(first.sample, second.sample)
    )


def _swapped(roles: Sequence[Role], images: Mapping[str, Image]) -> list[tuple[Role, Role]]:
    pets = [role for role in roles if role.modality == "PT" and _is_like_ct(images[role.name])]
    cts = [role for role in roles if role.modality == "CT" and not _is_like_ct(images[role.name])]
    return [(pets[0], cts[0])] if pets and cts else []


def _is_like_ct(image: Image) -> bool:
    darkest = image.percentile(1)
    return darkest <= AIR_HU and -darkest > image.percentile(95)


def _is_shifted(image: Image) -> bool:
    return image.share(*SHIFTED_HU) >= MOST_SHIFTED and image.share(*FAT_HU) < LEAST_FAT


def _inside(image: Image, world: np.ndarray, margin_mm: float) -> float:
    """Share (0-1) of positions (n, 3) that lie in an image or beside it by the margin."""
    matrix, beyond = image.to_world, 0.5 + margin_mm / image.spacing
    index = (world - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T
    return float(np.all((index > -beyond) & (index < np.asarray(image.size) - 1 + beyond), axis=1).mean())


def _world(to_world: np.ndarray, index: np.ndarray) -> np.ndarray:
    return index @ to_world[:3, :3].T + to_world[:3, 3]


def position_text(position_lps: Sequence[float]) -> str:
    """For people: whole millimeters with the letter of the side, such as "L 32, P 12, S 40"."""
    sides = zip((("L", "R"), ("P", "A"), ("S", "I")), position_lps, strict=True)
    return ", ".join(f"{positive if value >= 0 else negative} {abs(value):.0f}" for (positive, negative), value in sides)


def number(value: float) -> str:
    """For a sentence: no digits that mean nothing."""
    if abs(value) >= HIGHEST_WRITTEN_OUT:
        return f"{value:.2g}"
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
