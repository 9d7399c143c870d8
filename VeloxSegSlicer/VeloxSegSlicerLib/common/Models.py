"""Model packages: the card as data, and what is installed. Nothing of a package is executed."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import qt

from veloxseg.contract import limits
from veloxseg.contract.card import Card

from . import CardCheck, Shapes
from .Errors import VeloxSegError

CARD_FILE = Path("configs") / "velox.json"


@dataclass(frozen=True)
class ModelCard(Card):
    """The card of an installed package: where it lies, and whether a person brought it."""

    folder: Path
    isImported: bool = False

    @property
    def key(self) -> str:
        """What tells this version of the model from others: id and version."""
        return f"{self.id} {self.version}"

    @property
    def fullTitle(self) -> str:
        """The mark of its level, title and version."""
        return f"{self.marked_title} {self.version}"


def readCard(folder: Path) -> ModelCard:
    """Read the card of one package folder.

    :raises VeloxSegError: MODEL_CARD, with the field that is wrong.
    """
    try:
        content = Shapes.load((Path(folder) / CARD_FILE).read_bytes())
        return _cardFrom(Path(folder), content)
    except OSError as error:
        raise VeloxSegError("MODEL_CARD", folder=Path(folder).name, reason="its card cannot be read") from error
    except RecursionError as error:
        raise VeloxSegError("MODEL_CARD", folder=Path(folder).name, reason="its card is nested too deeply") from error
    except (ValueError, OverflowError) as error:
        raise VeloxSegError("MODEL_CARD", folder=Path(folder).name, reason=str(error)) from error
    except KeyError as error:
        raise VeloxSegError("MODEL_CARD", folder=Path(folder).name, reason=f"its card has no {error}") from error
    except (TypeError, AttributeError) as error:
        raise VeloxSegError("MODEL_CARD", folder=Path(folder).name, reason="its card has a field of a wrong type") from error


def importedModelsFolder() -> Path:
    """Where imported packages lie; the command line looks there too (docs/formats.md)."""
    chosen = os.environ.get("VELOXSEG_MODELS")
    base = qt.QStandardPaths.writableLocation(qt.QStandardPaths.GenericDataLocation)
    return Path(chosen) if chosen else Path(base) / "VeloxSegSlicer" / "Models"


class Catalogue:
    """The installed packages, sorted by task: shipped ones and imported ones; broken ones are kept with their error."""

    def __init__(self, root: Path, importedRoot: Path | None = None) -> None:
        """
        :param root: folder whose sub-folders are the shipped packages; it may be missing.
        :param importedRoot: the same for imported packages.
        """
        self.root = Path(root)
        self.importedRoot = Path(importedRoot) if importedRoot else None
        self.cards: list[ModelCard] = []
        self.broken: dict[Path, VeloxSegError] = {}
        self.refresh()

    @property
    def errors(self) -> list[VeloxSegError]:
        """What is wrong with the broken packages."""
        return list(self.broken.values())

    def refresh(self) -> None:
        """Look at the folders again. An imported package takes the place of a shipped one of the same version."""
        self.broken = {}
        found: dict[str, ModelCard] = {}
        for folder in _packageFolders(self.root) + _packageFolders(self.importedRoot):
            try:
                card = readCard(folder)
                found[card.key] = replace(card, isImported=folder.parent == self.importedRoot)
            except VeloxSegError as error:
                self.broken[folder] = error
        self.cards = list(found.values())
        # The newest model that is not a demo comes first within its task.
        self.cards.sort(key=lambda card: versionKey(card.version), reverse=True)
        self.cards.sort(key=lambda card: (card.task_title, card.is_demo))

    def tasks(self) -> dict[str, str]:
        """Task id -> title, in the order of the combo box."""
        return {card.task_id: card.task_title for card in self.cards}

    def models(self, taskId: str) -> list[ModelCard]:
        """The models of a task, best first."""
        return [card for card in self.cards if card.task_id == taskId]

    def card(self, modelKey: str) -> ModelCard | None:
        """The card of a key, or of an id, whose newest version is taken; None when it is not installed."""
        fitting = [card for card in self.cards if modelKey in (card.key, card.id)]
        return max(fitting, key=lambda card: versionKey(card.version), default=None)

    def isOutdated(self, card: ModelCard) -> bool:
        """Whether a newer version of the same model is installed."""
        return self.card(card.id).key != card.key


def _packageFolders(root: Path | None) -> list[Path]:
    # hidden ones are being written
    found = root.glob(f"[!.]*/{CARD_FILE.as_posix()}") if root else ()
    return sorted(cardFile.parents[1] for cardFile in found)


def _cardFrom(folder: Path, content: dict) -> ModelCard:
    if content["schema_version"] != limits.CARD_SCHEMA_VERSION:
        found, known = f"{content['schema_version']!s:.20}", limits.CARD_SCHEMA_VERSION
        raise ValueError(f"its card has format {found}, this VeloxSeg reads {known}")
    problem = CardCheck.problemOf(content)
    if problem:
        raise ValueError(f"in its card, {problem}")
    roles = content["roles"]
    if sum(role["reference"] for role in roles) != 1:
        raise ValueError("its card must name exactly one reference image")
    if len({role["name"] for role in roles}) != len(roles):
        raise ValueError("its card names an image twice")
    return ModelCard(**vars(Card.of(content)), folder=folder)


def versionKey(version: str) -> tuple[int, ...]:
    """For sorting versions by their numbers."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))
