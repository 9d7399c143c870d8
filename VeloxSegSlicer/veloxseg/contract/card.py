"""What a model's card says, where it takes more than one look at it."""

from veloxseg.contract import sides

SIDES = {"7771000": "left", "24028007": "right"}
"""Codes of the sides of the body, which the type modifier of a label may be."""


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
    sided = [_side(label) for label in card["labels"]]
    places = {found: number for number, found in enumerate(sided, 1)}
    return [0, *(places.get((kind, sides.OTHER.get(side)), number) for number, (kind, side) in enumerate(sided, 1))]


def _side(label: dict) -> tuple[str, str | None]:
    """What a label is, and its side by the type modifier or else by a word of its name."""
    kind, side = sides.split(label["name"])
    modifier = label["terminology"]["type_modifier"]
    return kind, SIDES.get(modifier[1]) if modifier else side
