"""Reading checkpoints of the published training code (specification section 9)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .network import VeloxSeg

WRAPPERS = ("module._orig_mod.", "_orig_mod.module.", "module.", "_orig_mod.")
"""What training on several devices and torch.compile put before every name."""
PROFILER_LEFTOVERS = ("total_ops", "total_params")
TRAINING_ONLY = ("rc_decoders.", "decoder.out_conv2.", "decoder.out_conv3.", "decoder.out_conv4.")
POSITION_INDEX = "relative_position_index"


def load_reference_checkpoint(source: str | Path | Mapping) -> dict[str, Tensor]:
    """The plain state dict of a checkpoint file (loaded weights-only) or of a mapping already in memory.

    Unwraps a `model` entry, strips the leading `module.` and `_orig_mod.` of wrappers, one each, and drops the profiler's
    leftovers. Raises ValueError when what is left isn't a mapping of names to tensors, or two of one name.
    """
    if not isinstance(source, Mapping):
        source = torch.load(source, map_location="cpu", weights_only=True)
    if isinstance(source, Mapping) and isinstance(source.get("model"), Mapping):
        source = source["model"]
    if not isinstance(source, Mapping) or not source or not all(isinstance(v, Tensor) for v in source.values()):
        raise ValueError("this checkpoint holds no state dict (a mapping of parameter names to tensors)")
    kept = {key: value for key, value in source.items() if not str(key).endswith(PROFILER_LEFTOVERS)}
    state = {_unwrapped(str(key)): value for key, value in kept.items()}
    if len(state) < len(kept):
        raise ValueError("this checkpoint holds two parameters of one name, with and without the prefix of a wrapper")
    return state


def _unwrapped(key: str) -> str:
    return next((key.removeprefix(wrapper) for wrapper in WRAPPERS if key.startswith(wrapper)), key)


def load_weights(network: VeloxSeg, state: Mapping[str, Tensor]) -> None:
    """Loads a state dict into a network that may lack, or have more, training-only branches.

    Every parameter used at inference must be present and fit. The position index follows from the windows: it may be
    absent, and where it is present it is verified, not trusted.
    Raises ValueError naming the first keys that differ.
    """
    own = network.state_dict()
    missing = [k for k in own if k not in state and not k.startswith(TRAINING_ONLY) and not k.endswith(POSITION_INDEX)]
    unknown = [k for k in state if k not in own and not k.startswith(TRAINING_ONLY)]
    if missing or unknown:
        raise ValueError(f"the weights don't fit the network: missing {missing[:3]}, unknown {unknown[:3]}")
    for key, value in state.items():
        if key not in own:
            continue
        if own[key].shape != value.shape:
            raise ValueError(f"{key} has shape {tuple(value.shape)}, the network needs {tuple(own[key].shape)}")
        if key.endswith(POSITION_INDEX) and not torch.equal(own[key], value.to(own[key].dtype)):
            raise ValueError(f"{key} differs from the geometry of the windows")
    network.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)
