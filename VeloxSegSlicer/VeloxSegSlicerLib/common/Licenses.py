"""Licenses of weights: which allow every use, and what a person has accepted on this computer."""

import hashlib

import qt

from veloxseg.contract import limits

from .Errors import VeloxSegError
from .Models import ModelCard

SETTING = "VeloxSegSlicer/AcceptedLicenses/"


def isRestrictive(card: ModelCard) -> bool:
    """Whether a person must have accepted the license before the first run. An unknown license counts as restrictive."""
    return card.license not in limits.PERMISSIVE


def text(card: ModelCard) -> str:
    """The license in full: the file of the package, and the words of the card where there is none."""
    path = card.folder / "LICENSE"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else card.license


def isAccepted(card: ModelCard) -> bool:
    """Whether the model may run: its license is permissive, or was accepted with just these words."""
    return not isRestrictive(card) or qt.QSettings().value(SETTING + card.key) == _fingerprint(card)


def accept(card: ModelCard) -> None:
    """Remember that the person accepted the license of this version of the model."""
    qt.QSettings().setValue(SETTING + card.key, _fingerprint(card))


def check(card: ModelCard) -> None:
    """
    :raises VeloxSegError: MODEL_LICENSE.
    """
    if not isAccepted(card):
        raise VeloxSegError("MODEL_LICENSE", model=card.title, license=card.license)


def _fingerprint(card: ModelCard) -> str:
    return hashlib.sha256(f"{card.content['license']}\n{text(card)}".encode()).hexdigest()
