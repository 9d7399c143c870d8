"""Where nnU-Net's own commands find the trainer: nnUNet_extTrainer=<this folder>, with the repository on PYTHONPATH."""

from training.nnunet.trainer import VeloxSegTrainer

__all__ = ["VeloxSegTrainer"]
