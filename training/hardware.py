"""What a training computes on and in: device, processes of torchrun, half precision, threads."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist

from training.settings import Settings
from veloxseg.inference import devices


def choose_device(name: str) -> torch.device:
    """The device to train on; in a process of torchrun the GPU of its rank, and joins the others."""
    local = os.environ.get("LOCAL_RANK")
    device = devices.choose(name).torch_device
    if local is None:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(local))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def half_precision(settings: Settings, device: torch.device) -> torch.autocast:
    """What the forward pass runs in: half precision on CUDA, bfloat16 on a CPU where it is asked for, else full precision."""
    if device.type == "cpu":
        return torch.autocast("cpu", torch.bfloat16, enabled=settings.cpu_bfloat16)
    return torch.autocast(device.type, half_type(device), enabled=settings.amp and device.type == "cuda")


def half_type(device: torch.device) -> torch.dtype:
    """bfloat16 where the card computes in it, whose range needs no scaling of gradients; else float16."""
    wide = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if wide else torch.float16


def one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
