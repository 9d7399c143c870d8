"""VeloxSeg as nnU-Net's plans name it."""

from __future__ import annotations

from veloxseg.networks import VeloxSeg, VeloxSegConfig


def arguments(network: VeloxSegConfig) -> dict:
    """What plans hold of a network: all but its classes, which nnU-Net gives."""
    return {key: value for key, value in network.arguments().items() if key != "n_classes"}


def veloxseg(input_channels: int, num_classes: int, **arguments) -> VeloxSeg:
    """The network of plans. Its heads are always there, whatever nnU-Net says, so that weights of training fit at inference.

    Raises ValueError with one sentence for arguments that make no network, for one region alone, and for other channels than
    those that were planned for, as the second stage of a cascade has.
    """
    if sum(arguments["in_ch"]) != input_channels:
        raise ValueError(f"the plans are for {sum(arguments['in_ch'])} channel(s), and there are {input_channels}")
    return VeloxSeg(**arguments | {"deep_supervision": True, "n_classes": num_classes})
