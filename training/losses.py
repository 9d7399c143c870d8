"""Training losses of VeloxSeg: deep supervision, reconstruction and Gram distillation (spec section 5).

L = w_seg * mean_j (CE_j + Dice_j)  +  w_rec * MSE(reconstruction, image)  +  w_sdkt * mean_m MSE(G_seg, G_m)

j runs over the segmentation outputs (4 with deep supervision, else 1), m over the teachers.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor, nn


class LossTerms(NamedTuple):
    """All terms as scalar tensors, unweighted except `total`, which is the one to call backward on."""

    total: Tensor
    cross_entropy: list[Tensor]
    dice: list[Tensor]
    reconstruction: Tensor
    sdkt: Tensor


def gram_distance(gram_seg: Tensor, gram_teachers: list[Tensor]) -> Tensor:
    """SDKT: mean over the M teachers of the mean squared difference of two (B, b, b) Gram matrices.

    Nothing is detached: the gradient flows into teachers and student alike, as in the published recipe.
    """
    return torch.stack([F.mse_loss(gram_seg, teacher) for teacher in gram_teachers]).mean()


class VeloxSegLoss(nn.Module):
    """Loss of a `TrainingOutput` against the image and its labels.

    Works without teachers: a missing reconstruction or Gram matrix gives a term of zero.
    """

    def __init__(
        self,
        segmentation_weight: float = 1.0,
        reconstruction_weight: float = 0.5,
        sdkt_weight: float = 2.0,
    ):
        super().__init__()
        self.segmentation_weight = segmentation_weight
        self.reconstruction_weight = reconstruction_weight
        self.sdkt_weight = sdkt_weight
        # Per sample and foreground class 1 - (2 sum(p t) + 1e-5) / (sum p + sum t + 1e-5), then the mean.
        self.soft_dice = DiceLoss(
            include_background=False, to_onehot_y=True, softmax=True, smooth_nr=1e-5, smooth_dr=1e-5
        )

    def forward(self, output, image: Tensor, label: Tensor) -> LossTerms:
        """Args:
        output: `TrainingOutput` (fields seg, reconstruction, gram_seg, gram_teachers).
        image: (B, sum(in_ch), H, W, D), the network input and reconstruction target.
        label: (B, 1, H, W, D), class indices of any integer (or whole float) type.
        """
        label = label.long()
        # Half precision sums over a million voxels are useless, so the losses never run in it.
        seg = [at_least_float32(logits) for logits in output.seg]
        cross_entropy = [F.cross_entropy(logits, label[:, 0]) for logits in seg]
        dice = [self.soft_dice(logits, label) for logits in seg]

        zero = seg[0].new_zeros(())
        reconstruction = sdkt = zero
        if output.reconstruction is not None:
            reconstruction = F.mse_loss(at_least_float32(output.reconstruction), at_least_float32(image))
        if output.gram_seg is not None and output.gram_teachers:
            teachers = [at_least_float32(gram) for gram in output.gram_teachers]
            sdkt = gram_distance(at_least_float32(output.gram_seg), teachers)

        segmentation = torch.stack([ce + d for ce, d in zip(cross_entropy, dice, strict=True)]).mean()
        total = (
            self.segmentation_weight * segmentation
            + self.reconstruction_weight * reconstruction
            + self.sdkt_weight * sdkt
        )
        return LossTerms(total, cross_entropy, dice, reconstruction, sdkt)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half and bfloat16 to float32; float32 and float64 stay as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
