"""nnU-Net's trainer with VeloxSeg, its optimizer, schedule and losses; data, augmentation, validation and checkpoints stay."""

from __future__ import annotations

import contextlib

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import Tensor, nn
from torch.nn import functional as F

from training import schedule
from training.losses import gram_distance

CUDA = torch.device("cuda")
CLIPPED = 12.0
"""Gradient norm, as in nnU-Net's own step."""


class EpochRate:
    """Sets the learning rate of an epoch; nnU-Net steps schedules by the number of the epoch."""

    def __init__(self, optimizer: torch.optim.Optimizer, initial: float, epochs: int, warmup: int) -> None:
        self.optimizer, self.initial = optimizer, initial
        self.factor = schedule.of_run("corrected", epochs, warmup)

    def step(self, epoch: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.initial * self.factor(epoch)


class VeloxSegTrainer(nnUNetTrainer):
    """Trains plans of `VeloxSegPlanner`. Deep supervision is the network's own: every head answers at full size."""

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device: torch.device = CUDA) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.initial_lr, self.weight_decay = 5e-4, 0.01
        self.num_epochs, self.warmup_epochs = 300, 10
        self.reconstruction_weight, self.sdkt_weight = 0.5, 2.0
        self.enable_deep_supervision = False  # of nnU-Net: targets at lower resolutions

    @staticmethod
    def build_network_architecture(plans_manager, configuration_manager, num_input_channels: int, num_output_channels: int,
                                   enable_deep_supervision: bool = True) -> nn.Module:  # fmt: skip
        """The network of the plans, in training and for predictions."""
        return get_network_from_plans(
            configuration_manager.network_arch_class_name, configuration_manager.network_arch_init_kwargs,
            configuration_manager.network_arch_init_kwargs_req_import, num_input_channels, num_output_channels, allow_init=False,
        )  # fmt: skip

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """Nothing to do: the network answers with its heads in training and with one tensor of logits else."""

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, EpochRate]:
        optimizer = torch.optim.AdamW(self.network.parameters(), self.initial_lr, weight_decay=self.weight_decay)
        warmup = min(self.warmup_epochs, self.num_epochs // 2)
        return optimizer, EpochRate(optimizer, self.initial_lr, self.num_epochs, warmup)

    def train_step(self, batch: dict) -> dict:
        """One step on data (B, C, *spatial) and target (B, 1, *spatial): nnU-Net's loss of every head, and the teachers'."""
        data = batch["data"].to(self.device, non_blocking=True)
        target = batch["target"].to(self.device, non_blocking=True)
        is_cuda = self.device.type == "cuda"
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda") if is_cuda else contextlib.nullcontext():
            output = self.network(data)
        loss = self.training_loss(output, data, target)
        scaled = self.grad_scaler.scale(loss) if self.grad_scaler else loss
        scaled.backward()
        if self.grad_scaler:
            self.grad_scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIPPED)
        if self.grad_scaler:
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()
        else:
            self.optimizer.step()
        return {"loss": loss.detach().cpu().numpy()}

    def training_loss(self, output, data: Tensor, target: Tensor) -> Tensor:
        """The mean over the heads of nnU-Net's loss (regions and ignored labels included), reconstruction and SDKT."""
        segmentation = torch.stack([self.loss(logits.float(), target) for logits in output.seg]).mean()
        reconstruction = F.mse_loss(output.reconstruction.float(), data)
        sdkt = gram_distance(output.gram_seg.float(), [gram.float() for gram in output.gram_teachers])
        return segmentation + self.reconstruction_weight * reconstruction + self.sdkt_weight * sdkt
