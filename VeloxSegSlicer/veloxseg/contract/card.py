"""What a model's card says, where it takes more than one look at it."""

import re

SIDES = {"7771000": "left", "24028007": "right"}
"""Codes of the sides of the body, which the type modifier of a label may be."""
OTHER_SIDE = {"left": "right", "right": "left"}


def reference_role(card: dict) -> str:
    """Name of the role whose grid the results have."""
    return next(role["name"] for role in card["roles"] if role["reference"])


def window_size(card: dict) -> tuple[int, ...]:
    """Size of the network's input in voxels, (x, y, z)."""
    # A cellular automaton takes any size; its trainings keep theirs beside the overlap. No package has one for volumes.
    return tuple(card["window"].get("size") or card["architecture"]["arguments"]["input_size"])


def takes_photo(card: dict) -> bool:
    """Whether a card's input is a photo."""
    return card["roles"][0]["kind"] == "photo"


def mirrored_classes(card: dict) -> list[int]:
    """For each class, 0 among them, the one that it is in the mirror: the same structure of the other side of the body.

    A label without a side, or whose other side is no label of the card, stays itself.
    """
    sides = [_side(label) for label in card["labels"]]
    places = {sided: number for number, sided in enumerate(sides, 1)}
    return [0, *(places.get((kind, OTHER_SIDE.get(side)), number) for number, (kind, side) in enumerate(sides, 1))]


def _side(label: dict) -> tuple[str, str | None]:
    """What a label is, and its side by the type modifier or else by a word of its name."""
    words = re.split(r"[^a-z0-9]+", label["name"].lower())
    modifier = label["terminology"]["type_modifier"]
    by_name = next((word for word in words if word in OTHER_SIDE), None)
    return " ".join(word for word in words if word not in OTHER_SIDE), SIDES.get(modifier[1]) if modifier else by_name
