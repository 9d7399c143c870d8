"""The passes over one case that a card and a person's settings ask for: members of an ensemble, and mirror images."""

from __future__ import annotations

from typing import Any

from veloxseg import diffusion
from veloxseg.contract.card import Card
from veloxseg.contract.settings import Settings
from veloxseg.inference.case import Network
from veloxseg.inference.mirrors import Mirrored


def sampling_of(card: Card, settings: Settings) -> diffusion.Sampling | None:
    """How the card's ensemble is drawn with these settings; None for a network that answers in one call."""
    if card.sampling is None:
        return None
    chosen = card.sampling if settings.members is None else {**card.sampling, "members": settings.members}
    return diffusion.Sampling(**chosen, threshold=card.threshold, seed=settings.seed)


def facts(card: Card, sampling: diffusion.Sampling | None) -> dict[str, Any] | None:
    """What results say about an ensemble: the fields of the card's `sampling` as they were used."""
    return None if sampling is None else {name: getattr(sampling, name) for name in card.sampling or ()}


def passes(card: Card, network: Network, settings: Settings) -> list[Network]:
    """One network of windows for every pass over a volume; those of the mirror image come last, with members of their own."""
    sampling = sampling_of(card, settings)
    if sampling is None:
        straight, others = [network], [network]
    else:
        straight, others = (
            [diffusion.Member(network, sampling, first + number) for number in range(sampling.members)]
            for first in (0, sampling.members)
        )
    if not settings.mirrors:
        return straight
    return [*straight, *(Mirrored(other, card.mirrored_classes) for other in others)]
