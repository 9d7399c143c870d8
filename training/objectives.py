"""What a step of training makes smaller: a network with its loss as one module, which several processes can wrap as a whole."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.losses import SegmentationLoss, VeloxSegLoss, at_least_float32, one_hot
from veloxseg import diffusion
from veloxseg.networks import fast
from veloxseg.networks.nca import NCA


class Terms(NamedTuple):
    """Scalar tensors. `total` is the one to call backward on; `parts` are not weighted, named as in metrics.jsonl."""

    total: Tensor
    parts: dict[str, Tensor]


class Objective(nn.Module):
    """`objective(image, label)` gives the `Terms` of one batch: image (B, C, *spatial), label (B, 1, *spatial) of classes.

    `form` is what computes: the fast form of VeloxSeg with the network's own weights, or the network itself.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.form = fast.training_form(network)


class Segmentation(Objective):
    """VeloxSeg or a baseline, whose answer in training is a `TrainingOutput`, and `losses.VeloxSegLoss`."""

    def __init__(self, network: nn.Module, reconstruction_weight: float, sdkt_weight: float) -> None:
        super().__init__(network)
        self.loss = VeloxSegLoss(1.0, reconstruction_weight, sdkt_weight)

    def forward(self, image: Tensor, label: Tensor) -> Terms:
        output = self.form(image)
        with torch.autocast(image.device.type, enabled=False):
            terms = self.loss(output, image, label)
        return Terms(terms.total, {"cross_entropy": terms.cross_entropy[0], "dice_loss": terms.dice[0],
                                   "reconstruction": terms.reconstruction, "sdkt": terms.sdkt})  # fmt: skip


class Classes(Objective):
    """A cellular automaton that answers with logits, and the same cross-entropy and Dice loss of its only segmentation."""

    def forward(self, image: Tensor, label: Tensor) -> Terms:
        logits = at_least_float32(self.form(image).prediction)
        with torch.autocast(image.device.type, enabled=False):
            cross_entropy, dice = SegmentationLoss.apply(logits.flatten(2), one_hot(label, logits))
        return Terms(cross_entropy + dice, {"cross_entropy": cross_entropy, "dice_loss": dice})


class Diffusion(Objective):
    """Any other cellular automaton and `diffusion.training_loss`; every class above 0 is the mask.

    Noise comes from torch's generator.
    """

    def __init__(self, network: NCA, readout_weight: float) -> None:
        super().__init__(network)
        self.readout_weight = readout_weight

    def forward(self, image: Tensor, label: Tensor) -> Terms:
        terms = diffusion.training_loss(self.form, self.form.config, image, label > 0, self.readout_weight)
        return Terms(terms.total, {"prediction": terms.prediction, "readout": terms.readout})
