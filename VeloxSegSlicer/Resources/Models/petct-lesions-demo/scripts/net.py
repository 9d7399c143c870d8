"""For MONAI's tools: the package's network."""

from pathlib import Path

from veloxseg.packages import read


def network():
    """The network with its weights, in eval mode."""
    return read(Path(__file__).resolve().parent.parent).network()
