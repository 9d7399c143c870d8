"""The card of a model package as a value: the one reader of `configs/velox.json` (docs/formats.md).

It takes contents that were checked (`packages.cards.check_card`, the panel's `CardCheck`) or made by this project's training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from veloxseg.contract import sides
from veloxseg.contract.windows_plan import WindowPlan

LEVELS = ("demo", "research")
"""What the weights have seen: synthetic images or one person, or real images of several; never for the clinic."""

# Names of Slicer's terminologies; those of DICOM have altered structures, that of Slicer organs.
NEOPLASM_CONTEXT = "Segmentation category and type - DICOM master list"
ANATOMY_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
REGION_CONTEXT = "Anatomic codes - DICOM master list"
MORPHOLOGICALLY_ALTERED = "49755003"
SIDES = {"7771000": "left", "24028007": "right"}
"""Codes of the sides of the body, which the type modifier of a label may be."""


@dataclass(frozen=True)
class Role:
    """One input image. `name` is its key, `title` stands in sentences.

    Attributes:
        modality: DICOM's word: CT, PT, MR, XC.
        kind: "scalar" for volumes, "photo".
        unit: of its values, such as HU or SUVbw; None where none is needed.
        is_reference: whether results lie on its grid.
        patterns: parts of names that images for it usually have, in small letters.
        intensity: how its values become the network's, see `imaging.intensities`.
    """

    name: str
    title: str
    modality: str
    kind: str
    unit: str | None
    is_reference: bool
    description: str
    patterns: tuple[str, ...]
    intensity: Mapping[str, Any]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Role:
        return cls(
            name=entry["name"],
            title=entry["title"],
            modality=entry["modality"],
            kind=entry["kind"],
            unit=entry["unit"],
            is_reference=entry["reference"],
            description=entry["description"],
            patterns=tuple(pattern.lower() for pattern in entry["patterns"]),
            intensity=entry.get("intensity", {}),
        )

    @property
    def is_photo(self) -> bool:
        return self.kind == "photo"

    @property
    def wants_suv(self) -> bool:
        """Whether values are SUV."""
        return "SUV" in (self.unit or "").upper()


@dataclass(frozen=True)
class Label:
    """One segment of the result.

    Attributes:
        value: in the mask.
        color: red, green, blue, each 0 to 255.
        terminology: `category`, `type`, `type_modifier`, `region`: triplets (scheme, value, meaning), the last two or None.
    """

    value: int
    name: str
    color: tuple[int, ...]
    terminology: Mapping[str, Sequence[str] | None]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Label:
        return cls(entry["value"], entry["name"], tuple(entry["color"]), entry["terminology"])

    @property
    def sided(self) -> tuple[str, str | None]:
        """What the label is, and its side of the body by the type modifier or else by a word of its name; None for none."""
        kind, side = sides.split(self.name)
        modifier = self.terminology["type_modifier"]
        return kind, SIDES.get(modifier[1]) if modifier else side

    @property
    def terminology_entry(self) -> str:
        """Slicer's serialized terminology: seven fields joined by ~, codes as scheme^value^meaning."""
        is_altered = (self.terminology["category"] or ("", ""))[1] == MORPHOLOGICALLY_ALTERED
        codes = ["^".join(self.terminology[key] or ("", "", "")) for key in ("category", "type", "type_modifier", "region")]
        return "~".join([NEOPLASM_CONTEXT if is_altered else ANATOMY_CONTEXT, *codes[:3], REGION_CONTEXT, codes[3], "^^"])


@dataclass(frozen=True)
class Card:
    """What a model says about itself; `content` is all of it, as stored.

    Attributes:
        level: one of `LEVELS`.
        network: name of the architecture, VeloxSeg or NCA.
        arguments: of that network.
        spacing_mm: of the working grid (x, y, z); None for photos.
        window: of the size of the network's input; None for photos.
        smoothing_mm: standard deviation by which class probabilities are smoothed.
        lists_lesions: whether connected components are listed one by one.
        is_single: whether the largest component alone is kept.
        takes_turns: whether a photo is also computed turned and mirrored.
        threshold: of the probability, where there is one label.
        working_size: side of the square in which the network sees a photo, in pixels; None for volumes.
        sampling: members, calls, method and fusion of an ensemble; None for networks without one.
        plausibility: code of a finding -> ignore, note or refuse.
    """

    content: dict[str, Any]
    id: str
    title: str
    version: str
    task_id: str
    task_title: str
    summary: str
    level: str
    network: str
    arguments: Mapping[str, Any]
    roles: tuple[Role, ...]
    labels: tuple[Label, ...]
    spacing_mm: tuple[float, ...] | None
    window: WindowPlan | None
    smoothing_mm: float
    lists_lesions: bool
    is_single: bool
    takes_turns: bool
    threshold: float
    working_size: int | None
    sampling: Mapping[str, Any] | None
    plausibility: Mapping[str, str]
    license: str
    weights_sha256: str

    @classmethod
    def of(cls, content: dict[str, Any]) -> Card:
        """Of a card's content. One of before there were levels says only whether its weights are a demo."""
        architecture, window = content["architecture"], content.get("window")
        spacing = content.get("spacing_mm")
        # A cellular automaton takes any size; its trainings keep theirs beside the overlap.
        size = (window or {}).get("size") or architecture["arguments"].get("input_size", ())
        return cls(
            content=content,
            id=content["id"],
            title=content["title"],
            version=content["version"],
            task_id=content["task"]["id"],
            task_title=content["task"]["title"],
            summary=content["summary"],
            level=content.get("level") or ("demo" if content["demo"] else "research"),
            network=architecture["name"],
            arguments=architecture["arguments"],
            roles=tuple(map(Role.of, content["roles"])),
            labels=tuple(map(Label.of, content["labels"])),
            spacing_mm=tuple(spacing) if spacing else None,
            window=WindowPlan(tuple(size), window["overlap"], window["blend"]) if window else None,
            smoothing_mm=float(content.get("smoothing_mm", 0)),
            lists_lesions=content["lesions"],
            is_single=content.get("single", False),
            takes_turns=content.get("turns", False),
            threshold=float(content["threshold"]),
            working_size=content.get("working_size"),
            sampling=content.get("sampling"),
            plausibility=content.get("plausibility", {}),
            license=content["license"],
            weights_sha256=content["weights_sha256"],
        )

    @property
    def reference(self) -> Role:
        """The role whose image gives the result its grid."""
        return next(role for role in self.roles if role.is_reference)

    @property
    def takes_photo(self) -> bool:
        """Whether the input is a photo."""
        return self.roles[0].is_photo

    @property
    def has_ensemble(self) -> bool:
        """Whether a result is drawn from several runs of the network."""
        return self.sampling is not None

    @property
    def is_demo(self) -> bool:
        """Whether the weights were trained on synthetic images or one person."""
        return self.level == "demo"

    @property
    def mirrored_classes(self) -> list[int]:
        """For each class, 0 among them, the one that it is in the mirror: the same structure of the other side of the body.

        A label without a side, or whose other side is no label of the card, stays itself.
        """
        sided = [label.sided for label in self.labels]
        places = {found: number for number, found in enumerate(sided, 1)}
        return [0, *(places.get((kind, sides.OTHER.get(side or "")), number) for number, (kind, side) in enumerate(sided, 1))]

    @property
    def package_name(self) -> str:
        """Name of an imported package's folder and of a package's zip: id and version."""
        return f"{self.id}-{self.version}"

    @property
    def marked_title(self) -> str:
        """The title with the mark of its level in front, where no column is too narrow for it."""
        return mark(self.level) + self.title


def mark(level: str) -> str:
    """What stands before a model's title and before the names of its results, where nothing cuts it off; "" without a level."""
    return f"[{level}] " if level else ""
