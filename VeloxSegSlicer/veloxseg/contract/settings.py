"""What a person may choose for one run: the fields of a request with their defaults, the same at every door."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from veloxseg.contract.errors import VeloxSegError

SMALLEST_SKEW = 1e-3
OUTPUTS = ("mask", "probability", "uncertainty", "measures")
"""What a result folder may hold; the mask is always there."""


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@dataclass(frozen=True)
class Region:
    """A box outside of which nothing is looked for: `center` and `size` in LPS mm; `axes` are three unit vectors, to which `size`
    belongs."""

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    axes: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, entry: Mapping[str, Any] | None) -> Region | None:
        """The region of a request. Raises REQUEST for axes that are no right angles."""
        if entry is None:
            return None
        axes = tuple(tuple(map(float, axis)) for axis in entry["axes"])
        products = itertools.product(enumerate(axes), repeat=2)
        if any(abs(_dot(one, other) - (i == j)) > SMALLEST_SKEW for (i, one), (j, other) in products):
            raise VeloxSegError("REQUEST", reason="the axes of the region are not three unit vectors at right angles")
        return cls(tuple(entry["center"]), tuple(entry["size"]), axes)


@dataclass(frozen=True)
class Settings:
    """The choices; None means the card's value, or no scale and no region.

    mirrors: compute the left-right mirror image of a volume, too, and take the mean. members: runs of an ensemble.
    mm_per_px: side of a photo's pixels in mm. region: nothing is looked for outside. accept_overlap: little overlap of the images
    was seen and accepted. accept: codes of `plausibility` that were, so that they are noted and not refused. suv: whether the
    PET image holds SUV; one that does not is scaled by the mean of the body, and lesions are not measured with it. outputs:
    some of `OUTPUTS`.
    """

    device: str = "auto"
    overlap: float | None = None
    mirrors: bool = False
    seed: int = 1234
    members: int | None = None
    mm_per_px: float | None = None
    region: Region | None = None
    accept_overlap: bool = False
    accept: tuple[str, ...] = ()
    suv: bool = True
    outputs: tuple[str, ...] = ("mask", "measures", "uncertainty")

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Settings:
        """The settings among the fields of a request that fits its schema. Raises REQUEST for a region that is no box."""
        chosen = {name: request[name] for name in FIELDS if name in request}
        listed: dict[str, Any] = {name: tuple(chosen[name]) for name in ("accept", "outputs") if name in chosen}
        chosen |= {**listed, "region": Region.of(chosen.get("region"))}
        return cls(**chosen)


FIELDS: dict[str, object] = {field.name: field.default for field in fields(Settings)}
"""Name -> default of every setting."""
