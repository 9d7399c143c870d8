"""`veloxseg bench params`: parameters and arithmetic of the networks; those of VeloxSeg are counted two ways.

The honest count (torch's flop counter, two operations per multiply-add) stands beside the one behind the
published 1.66 M and 1.79 G, which came from the profiler thop in eval mode at batch 1. What thop counts is
written down in `ThopCount`; its oddities are repeated here only to explain the published numbers.
"""

from math import prod

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from veloxseg.networks import VeloxSeg
from veloxseg.networks.nca import NCA, PRESETS, NCAConfig
from veloxseg.networks.published import AUTOPET, inference_network

PARTS = {
    "encoder, attention branch": ("encoder.encoder_attn.",),
    "encoder, convolution branch": ("encoder.encoder_conv.",),
    "mixers": ("encoder.attn2conv_",),
    "segmentation decoder": ("decoder.",),
    "reconstruction decoders": ("rc_decoders.",),
}
TRAINING_HEADS = ("decoder.out_conv2.", "decoder.out_conv3.", "decoder.out_conv4.")
# The operators under which the layers appear; the names differ between versions of torch.
SOFTMAX = ("_softmax", "_safe_softmax")
INSTANCE_NORM = ("native_batch_norm", "_native_batch_norm_legit")
NCA_SIDES = {2: 256, 3: 128}


class ThopCount(TorchDispatchMode):
    """Sums what thop would report for the layers it knows.

    - convolution: output values x input channels per group x kernel volume. For a transposed convolution thop
    uses the
      same formula, which counts every stride twice per axis: too much by the stride's volume.
    - softmax over n values: n exponentials, n - 1 additions, n divisions.
    - instance norm: two operations per value.
    - attention's matrix products are not counted: thop only sees layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.totals = dict.fromkeys(("convolutions", "transposed convolutions", "softmax", "instance norms"), 0)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            self._count_convolution(args, output)
        elif name in SOFTMAX:
            length = output.shape[args[1]]
            self.totals["softmax"] += output.numel() // length * (3 * length - 1)
        elif name in INSTANCE_NORM:
            self.totals["instance norms"] += 2 * args[0].numel()
        return output

    def _count_convolution(self, args: tuple, output: torch.Tensor) -> None:
        image, weight, transposed, groups = args[0], args[1], args[6], args[8]
        kind = "transposed convolutions" if transposed else "convolutions"
        self.totals[kind] += output.numel() * (image.shape[1] // groups) * prod(weight.shape[2:])


def parameter_table(arguments: dict = AUTOPET) -> list[tuple[str, int, int]]:
    """(part, parameters in training, parameters at inference) and a last row of totals."""
    training = dict(VeloxSeg(**arguments).named_parameters())
    rows = []
    for part, prefixes in PARTS.items():
        keys = [key for key in training if key.startswith(prefixes)]
        used = [key for key in keys if not key.startswith(("rc_decoders.", *TRAINING_HEADS))]
        rows.append((part, _total(training, keys), _total(training, used)))
    return [*rows, ("total", sum(row[1] for row in rows), sum(row[2] for row in rows))]


def _total(parameters: dict[str, nn.Parameter], keys: list[str]) -> int:
    return sum(parameters[key].numel() for key in keys)


def flops(network: VeloxSeg) -> int:
    """Floating-point operations of one window, two per multiply-add, as torch counts them."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), _plain_attention(), counter:
        network(_window(network))
    return counter.get_total_flops()


def thop_operations(network: VeloxSeg) -> dict[str, int]:
    """What thop would count for one window, by kind of layer."""
    with torch.no_grad(), _plain_attention(), ThopCount() as counter:
        network(_window(network))
    return counter.totals


def thop_parameters(network: VeloxSeg) -> int:
    """Parameters of built-in layers only: thop leaves out channel layer norms and position tables."""
    return sum(
        parameter.numel()
        for module in network.modules()
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d)
        for parameter in module.parameters()
    )


def _plain_attention():
    """Attention as separate steps, so that its softmax and its products can be seen."""
    return sdpa_kernel(SDPBackend.MATH)


def _window(network: VeloxSeg) -> torch.Tensor:
    return torch.zeros(1, sum(network.config.in_ch), *network.config.input_size)


def nca_table() -> list[tuple[str, int, str, int]]:
    """(preset, parameters, image size, multiply-adds of one call with every cell computed) of the cellular automata.

    The sparse path, which computes firing cells only, skips half of the part behind the perception.
    """
    rows = []
    for name, arguments in PRESETS.items():
        with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
            # All arithmetic is in the steps, which are alike.
            network = NCA(**arguments | {"steps": 1})
            size = (NCA_SIDES[network.config.spatial_dim],) * network.config.spatial_dim
            image = torch.zeros(1, network.config.in_ch, *size)
            network(image, image[:, :1], torch.zeros(1, dtype=torch.long))
        parameters = sum(parameter.numel() for parameter in network.parameters())
        rows.append((name, parameters, "x".join(map(str, size)), counter.get_total_flops() // 2 * NCAConfig(**arguments).steps))
    return rows


def parameters_content(arguments: dict = AUTOPET) -> dict:
    """The same numbers as plain data (JSON)."""
    network = inference_network(arguments)
    table = [{"part": part, "training": training, "inference": inference}
             for part, training, inference in parameter_table(arguments)]  # fmt: skip
    automata = [dict(zip(("name", "parameters", "image", "macs"), row)) for row in nca_table()]
    return {
        "parameters": table,
        "flops": flops(network),
        "thop": {"parameters": thop_parameters(network), **thop_operations(network)},
        "nca": automata,
    }


def parameters_report(arguments: dict = AUTOPET) -> str:
    """The whole table as text."""
    network = inference_network(arguments)
    size = "x".join(str(n) for n in network.config.input_size)
    lines = [f"{'Parameters':<34}{'training':>12}{'inference':>12}"]
    lines += [f"  {part:<32}{training:>12,}{inference:>12,}" for part, training, inference in parameter_table(arguments)]
    operations = flops(network)
    lines += [
        "",
        f"Arithmetic of one window ({size}, batch 1)",
        f"  {'FLOPs (torch, 2 per MAC)':<34}{operations / 1e9:>12.6f} G",
        f"  {'multiply-adds (MACs)':<34}{operations / 2e9:>12.6f} G",
    ]
    counted = thop_operations(network)
    lines += [
        "",
        "What the profiler thop counts (the published 1.66 M and 1.79 G)",
        f"  {'parameters of built-in layers':<34}{thop_parameters(network):>14,}",
    ]
    lines += [f"  {kind:<34}{value:>14,}" for kind, value in counted.items()]
    lines += [
        f"  {'sum, reported as FLOPs':<34}{sum(counted.values()) / 1e9:>12.6f} G",
        "  (these are MACs, transposed convolutions are counted 8 times, attention products not at all)",
        "",
        f"{'Cellular automata (NCA)':<24}{'parameters':>12}{'image':>14}{'MACs of one call':>20}",
    ]
    lines += [
        f"  {name:<22}{parameters:>12,}{size:>14}{operations / 1e9:>18.1f} G"
        for name, parameters, size, operations in nca_table()
    ]
    return "\n".join(lines)
