"""What a model's card says, where it takes more than one look at it."""


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
