"""Names of nodes and segments: other programs leave them empty, or without any."""


def nameOf(named) -> str:
    """The name of a node or segment, "" when it has none."""
    return named.GetName() or ""
