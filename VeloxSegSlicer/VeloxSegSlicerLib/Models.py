"""Model packages: the card as data, and what is installed. Nothing of a package is executed."""

import json
from dataclasses import dataclass
from pathlib import Path

from .Errors import VeloxSegError

CARD_FILE = Path("configs") / "velox.json"
WEIGHTS_FILE = Path("models") / "model.safetensors"
CARD_SCHEMA_VERSION = 1
NEOPLASM_CONTEXT = "Segmentation category and type - DICOM master list"
ANATOMY_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
REGION_CONTEXT = "Anatomic codes - DICOM master list"
MORPHOLOGICALLY_ALTERED = "49755003"


@dataclass(frozen=True)
class Role:
    """One input image of a model: `kind` is "scalar" or "photo", `patterns` are parts of names."""

    name: str
    title: str
    modality: str
    kind: str
    unit: str | None
    isReference: bool
    description: str
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Label:
    """One label of the result: its value in the mask, name, color (0-255) and serialized terminology."""

    value: int
    name: str
    color: tuple[int, int, int]
    terminology: str


@dataclass(frozen=True)
class ModelCard:
    """What the panel needs of a card; `content` is the whole card for showing it."""

    folder: Path
    id: str
    title: str
    version: str
    taskId: str
    taskTitle: str
    summary: str
    isDemo: bool
    listsLesions: bool
    threshold: float
    roles: tuple[Role, ...]
    labels: tuple[Label, ...]
    weightsSha256: str
    content: dict

    @property
    def reference(self) -> Role:
        """The role whose image gives the result its grid."""
        return next(role for role in self.roles if role.isReference)


def readCard(folder: Path) -> ModelCard:
    """Read the card of one package folder.

    :raises VeloxSegError: MODEL_CARD, with the field that is wrong.
    """
    try:
        content = json.loads((Path(folder) / CARD_FILE).read_text(encoding="utf-8"))
        return _cardFrom(Path(folder), content)
    except OSError as error:
        raise VeloxSegError(
            "MODEL_CARD", folder=Path(folder).name, reason="its card cannot be read"
        ) from error
    except ValueError as error:
        raise VeloxSegError("MODEL_CARD", folder=Path(folder).name, reason=str(error)) from error
    except KeyError as error:
        raise VeloxSegError(
            "MODEL_CARD", folder=Path(folder).name, reason=f"its card has no {error}"
        ) from error
    except (TypeError, AttributeError) as error:
        raise VeloxSegError(
            "MODEL_CARD", folder=Path(folder).name, reason="its card has a field of a wrong type"
        ) from error


class Catalogue:
    """The installed packages of one folder, sorted by task; broken ones are kept with their error."""

    def __init__(self, root: Path) -> None:
        """:param root: folder whose sub-folders are packages; it may be missing."""
        self.root = Path(root)
        self.cards: list[ModelCard] = []
        self.errors: list[VeloxSegError] = []
        self.refresh()

    def refresh(self) -> None:
        """Look at the folder again."""
        self.cards, self.errors = [], []
        for cardFile in sorted(self.root.glob(f"*/{CARD_FILE.as_posix()}")):
            try:
                self.cards.append(readCard(cardFile.parents[1]))
            except VeloxSegError as error:
                self.errors.append(error)
        # The newest model that is not a demo comes first within its task.
        self.cards.sort(key=lambda card: _versionKey(card.version), reverse=True)
        self.cards.sort(key=lambda card: (card.taskTitle, card.isDemo))

    def tasks(self) -> dict[str, str]:
        """Task id -> title, in the order of the combo box."""
        return {card.taskId: card.taskTitle for card in self.cards}

    def models(self, taskId: str) -> list[ModelCard]:
        """The models of a task, best first."""
        return [card for card in self.cards if card.taskId == taskId]

    def card(self, modelId: str) -> ModelCard | None:
        """The card of a model, or None when it is not installed."""
        return next((card for card in self.cards if card.id == modelId), None)


def _cardFrom(folder: Path, content: dict) -> ModelCard:
    if content["schema_version"] != CARD_SCHEMA_VERSION:
        raise ValueError(
            f"its card has format {content['schema_version']}, this VeloxSeg reads {CARD_SCHEMA_VERSION}"
        )
    roles = tuple(_roleFrom(role) for role in content["roles"])
    if sum(role.isReference for role in roles) != 1:
        raise ValueError("its card must name exactly one reference image")
    if len({role.name for role in roles}) != len(roles):
        raise ValueError("its card names an image twice")
    return ModelCard(
        folder=folder,
        id=content["id"],
        title=content["title"],
        version=content["version"],
        taskId=content["task"]["id"],
        taskTitle=content["task"]["title"],
        summary=content["summary"],
        isDemo=bool(content["demo"]),
        listsLesions=bool(content["lesions"]),
        threshold=float(content["threshold"]),
        roles=roles,
        labels=tuple(_labelFrom(label) for label in content["labels"]),
        weightsSha256=content["weights_sha256"],
        content=content,
    )


def _roleFrom(entry: dict) -> Role:
    if entry["kind"] not in ("scalar", "photo"):
        raise ValueError(f"its card has the unknown image kind '{entry['kind']}'")
    return Role(
        name=entry["name"],
        title=entry["title"],
        modality=entry["modality"],
        kind=entry["kind"],
        unit=entry["unit"],
        isReference=bool(entry["reference"]),
        description=entry["description"],
        patterns=tuple(pattern.lower() for pattern in entry["patterns"]),
    )


def _labelFrom(entry: dict) -> Label:
    return Label(
        value=int(entry["value"]),
        name=entry["name"],
        color=tuple(int(part) for part in entry["color"]),
        terminology=terminologyEntry(entry["terminology"]),
    )


def terminologyEntry(terminology: dict) -> str:
    """Slicer's serialized terminology: seven fields joined by ~, codes as scheme^value^meaning.

    :param terminology: the card's `category`, `type`, `type_modifier` and `region`, each a triplet or None.
    """
    context = NEOPLASM_CONTEXT if terminology["category"][1] == MORPHOLOGICALLY_ALTERED else ANATOMY_CONTEXT
    codes = [
        "^".join(terminology[key] or ("", "", "")) for key in ("category", "type", "type_modifier", "region")
    ]
    return "~".join([context, *codes[:3], REGION_CONTEXT, codes[3], "^^"])


def _versionKey(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))
