"""Training losses of VeloxSeg: deep supervision, reconstruction and Gram distillation (spec section 5).

L = w_seg * mean_j (CE_j + Dice_j)  +  w_rec * MSE(reconstruction, image)  +  w_sdkt * mean_m MSE(G_seg, G_m)

j runs over the segmentation outputs (4 with deep supervision, else 1), m over the teachers.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMOOTH = 1e-5  # of the Dice loss, in both halves of the fraction


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
    """Loss of a `TrainingOutput` against the image and its labels (specification section 5).

    Works without teachers: a missing reconstruction or Gram matrix gives a term of zero.

    Args:
        segmentation_weight, reconstruction_weight, sdkt_weight: of the three terms; the published ones by default.

    Example:
        >>> from veloxseg.networks import TrainingOutput
        >>> logits = torch.zeros(1, 2, 4, 4, 4)
        >>> terms = VeloxSegLoss()(TrainingOutput([logits], None, None, []), logits[:, :1], torch.ones(1, 1, 4, 4, 4))
        >>> [round(float(term), 4) for term in (terms.total, terms.cross_entropy[0], terms.dice[0])]
        [1.0265, 0.6931, 0.3333]
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

    def forward(self, output, image: Tensor, label: Tensor) -> LossTerms:
        """All terms, of which `total` is the one to call backward on.

        Args:
            output: `TrainingOutput` (fields seg, reconstruction, gram_seg, gram_teachers).
            image: (B, sum(in_ch), H, W, D), the network input and reconstruction target.
            label: (B, 1, H, W, D), class indices of any integer (or whole float) type.
        """
        # Half precision sums over a million voxels are useless, so the losses never run in it.
        seg = [at_least_float32(logits) for logits in output.seg]
        if not getattr(output, "relative", False):
            seg = [logits[:, 1:] - logits[:, :1] for logits in seg]
        target = one_hot(label, seg[0])
        terms = [SegmentationLoss.apply(logits.flatten(2), target) for logits in seg]
        cross_entropy, dice = ([pair[i] for pair in terms] for i in range(2))

        zero = seg[0].new_zeros(())
        reconstruction = sdkt = zero
        if output.reconstruction is not None:
            reconstruction = F.mse_loss(at_least_float32(output.reconstruction), at_least_float32(image))
        if output.gram_seg is not None and output.gram_teachers:
            teachers = [at_least_float32(gram) for gram in output.gram_teachers]
            sdkt = gram_distance(at_least_float32(output.gram_seg), teachers)

        segmentation = torch.stack([ce + d for ce, d in zip(cross_entropy, dice, strict=True)]).mean()
        total = self.segmentation_weight * segmentation + self.reconstruction_weight * reconstruction + self.sdkt_weight * sdkt
        return LossTerms(total, cross_entropy, dice, reconstruction, sdkt)


def one_hot(label: Tensor, like: Tensor) -> Tensor:
    """(B, K - 1, voxels): 1 where a voxel belongs to the class, as numbers of `like` (B, K - 1, *spatial)."""
    classes = torch.arange(1, like.shape[1] + 1, device=label.device).view(-1, 1)
    return (label.flatten(2) == classes).to(like.dtype)


class SegmentationLoss(torch.autograd.Function):
    """Cross-entropy and soft Dice loss of relative logits (B, K - 1, voxels), with one softmax for both and both gradients.

    The Dice loss is per sample and foreground class 1 - (2 sum(p t) + 1e-5) / (sum p + sum t + 1e-5), then the mean.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """target: (B, K - 1, voxels) of 0 and 1, see `one_hot`."""
        if logits.shape[1] == 1:
            normalizer, p = F.softplus(logits), logits.sigmoid()
        else:
            whole = F.pad(logits, (0, 0, 1, 0))
            normalizer = whole.logsumexp(1)
            p = whole.softmax(1)[:, 1:]
        cross_entropy = (normalizer.sum() - dot(logits, target).sum()) / logits[:, 0].numel()
        overlap = 2 * dot(p, target) + SMOOTH
        size = p.sum(2) + target.sum(2) + SMOOTH
        ctx.save_for_backward(p, target, overlap / size, size)
        return cross_entropy, (1 - overlap / size).mean()

    @staticmethod
    def backward(ctx, of_cross_entropy: Tensor, of_dice: Tensor) -> tuple[Tensor, None]:
        p, target, score, size = ctx.saved_tensors
        per_class = (of_dice / size.numel() / size).unsqueeze(2)
        # of the Dice loss by p, then through the softmax; in place, because memory is what these large maps cost
        by_p = torch.addcmul(score.unsqueeze(2) * per_class, target, per_class, value=-2).mul_(p)
        gradient = torch.addcmul(by_p, p, by_p.sum(1, keepdim=True), value=-1)
        share = of_cross_entropy / p[:, 0].numel()
        return gradient.addcmul_(p, share).addcmul_(target, share, value=-1), None


def dot(a: Tensor, b: Tensor) -> Tensor:
    """(B, K): sums over voxels of the product of two (B, K, voxels)."""
    # a matrix product would be faster, but over a million voxels its float32 sum is off in the fifth digit
    return (a * b).sum(2)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half and bfloat16 to float32; float32 and float64 stay as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
