"""The published network for PET/CT, with random weights: the measure of computers and of benchmarks."""

from .network import VeloxSeg

AUTOPET = {
    "input_size": (96, 96, 96),
    "patch_size": 4,
    "in_ch": (1, 1),
    "n_classes": 2,
    "depths": (1, 1, 1, 1),
    "conv_drop": 0.1,
}


def inference_network(arguments: dict = AUTOPET) -> VeloxSeg:
    """The network as it is used for inference, in eval mode."""
    return VeloxSeg(**{**arguments, "teachers": False, "deep_supervision": False}).eval()
