"""Left and right of the body in the names of labels."""

import re

OTHER = {"left": "right", "right": "left"}


def split(name: str) -> tuple[str, str | None]:
    """What a label of this name is, in small letters, and its side: "left", "right", or None without that word."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return " ".join(word for word in words if word not in OTHER), next((word for word in words if word in OTHER), None)


def difference_percent(left: float, right: float) -> float | None:
    """Left minus right in percent of their mean; None where there is neither."""
    return 200 * (left - right) / (left + right) if left + right > 0 else None
