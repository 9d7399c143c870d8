"""Hyper-parameters of the neural cellular automata and the checks that a set of them must pass.

The four published variants are those of MedSegDiffNCA (arXiv 2501.02447); their structure follows from the printed
parameter counts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args, get_type_hints

from torch import Tensor

CBAM_REDUCTION = 16
TOO_FEW_DIFFUSION_STEPS = 20
"""The last beta of the schedule is 20 / diffusion_steps and must stay below 1."""


@dataclass(frozen=True)
class NCAConfig:
    """Constructor arguments of `NCA`: everything that a set of weights depends on, so that a package can store it.

    The state of a cell is, in this order: the outputs, `in_ch` image channels, the noisy mask, memory, the position (if
    used) and the time.

    Raises ValueError with one sentence when the values can't make a network.
    """

    channels: int
    """Numbers that one cell holds."""
    hidden: int
    """Hidden units of the rule."""
    levels: int = 1
    """1: the rule works at full size. 2 and more: a rule of its own on each coarser grid first."""
    cbam: bool = False
    """Channel and pixel attention before every step; whole-image pools, so that no tile can be computed alone."""
    factor: int = 4
    """Pixels per cell and axis of the next coarser level."""
    steps: int = 10
    """Steps of each level."""
    fire_rate: float = 0.5
    """Probability that a cell changes in a step, in training and at inference."""
    spatial_dim: Literal[2, 3] = 2
    in_ch: int = 3
    """Image channels: 3 of a photo, one per modality of a volume."""
    perception: Literal["full", "depthwise"] = "full"
    """What a cell sees beside itself: two full convolutions, or one that keeps the channels apart."""
    kernels: tuple[int, ...] = (3,)
    """Size of that convolution per level, coarsest first; a single one holds for all levels."""
    norm: Literal["none", "cell"] = "none"
    """cell: layer norm over the hidden units of each cell."""
    use_position: bool = False
    """A channel with the place in the image; the network then knows up from down, and tiles can't be used."""
    prediction: Literal["noise", "v", "direct", "logits"] = "v"
    """What the outputs are: the noise, the velocity, or without any diffusion the mask itself or the logits of the classes."""
    n_classes: int = 2
    """Background included; more than two need logits. There is one output less: its logits are those minus the background's."""
    diffusion_steps: int = 1000
    timestep: Literal["fraction", "integer"] = "fraction"
    """The time channel: t / diffusion_steps, or the number t."""
    mask_range: tuple[float, float] = (-1.0, 1.0)
    """The numbers that background and lesion have inside the network."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        self._check_types()
        self._check_values()
        if len(self.kernels) == 1:
            object.__setattr__(self, "kernels", self.kernels * self.levels)
        if len(self.kernels) != self.levels or any(k < 1 or k % 2 == 0 for k in self.kernels):
            raise ValueError(f"kernels must be one odd size for each of the {self.levels} levels, got {self.kernels}")

    def arguments(self) -> dict:
        """The values as plain data (JSON)."""
        return asdict(self)

    @property
    def outputs(self) -> int:
        """Channels of the prediction."""
        return self.n_classes - 1

    @property
    def diffuses(self) -> bool:
        """Whether the network takes a noisy mask and a time."""
        return self.prediction in ("noise", "v")

    @property
    def local(self) -> bool:
        """Whether a cell depends on its surroundings only, so that tiles with a halo are exact."""
        return not self.cbam and not self.use_position

    def time(self, t: Tensor) -> Tensor:
        """The value of the time channel for steps t of the diffusion."""
        return t / self.diffusion_steps if self.timestep == "fraction" else t * 1.0

    def _check_types(self) -> None:
        hints = get_type_hints(NCAConfig)
        for field in fields(self):
            name, value, hint = field.name, getattr(self, field.name), hints[field.name]
            if choices := get_args(hint) if field.type.startswith("Literal") else ():
                if value not in choices:
                    raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}")
            elif field.type.startswith("tuple"):
                numbers = int if field.type == "tuple[int, ...]" else (int, float)
                if not isinstance(value, tuple) or not all(_is(entry, numbers) for entry in value):
                    raise ValueError(f"{name} must be a list of numbers, got {value!r}")
            elif not (isinstance(value, bool) if hint is bool else _is(value, (int, float) if hint is float else int)):
                raise ValueError(f"{name} must be {'true or false' if hint is bool else 'a number'}, got {value!r}")

    def _check_values(self) -> None:
        for name in ("channels", "hidden", "levels", "steps", "in_ch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.n_classes < 2:
            raise ValueError(f"n_classes must be at least 2, got {self.n_classes}")
        if self.n_classes > 2 and self.prediction != "logits":
            raise ValueError(f"{self.n_classes} classes need the prediction logits, got {self.prediction}")
        used = self.outputs + self.in_ch + 1 + self.use_position + 1
        if self.channels <= used:
            raise ValueError(
                f"channels must be more than {used} so that a cell has memory beside its inputs, got {self.channels}"
            )
        if self.cbam and self.channels < CBAM_REDUCTION:
            raise ValueError(f"channels must be at least {CBAM_REDUCTION} for attention, got {self.channels}")
        if self.factor < 2:
            raise ValueError(f"factor must be at least 2, got {self.factor}")
        if not 0 < self.fire_rate <= 1:
            raise ValueError(f"fire_rate must be above 0 and at most 1, got {self.fire_rate}")
        if self.diffusion_steps <= TOO_FEW_DIFFUSION_STEPS:
            raise ValueError(f"diffusion_steps must be above {TOO_FEW_DIFFUSION_STEPS}, got {self.diffusion_steps}")
        if self.mask_range not in ((-1, 1), (0, 1)):
            raise ValueError(f"mask_range must be (-1, 1) or (0, 1), got {self.mask_range}")


def _is(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


_WIDE = {"channels": 64, "hidden": 512, "prediction": "noise", "use_position": True}
PUBLISHED = {
    "basic": _WIDE | {"hidden": 256},
    "cbam": _WIDE | {"cbam": True},
    "multi": _WIDE | {"levels": 2},
    "multi_cbam": _WIDE | {"levels": 2, "cbam": True},
}
"""Arguments of the four variants of the paper."""

PRESETS = PUBLISHED | {
    # The paper compares basic with a CBAM variant of twice the hidden width; this one has the width of the latter.
    "basic_wide": _WIDE,
    "compact": {"channels": 32, "hidden": 128, "levels": 2},
    "small": {"channels": 16, "hidden": 64, "levels": 2},
    "volume": {
        "channels": 16,
        "hidden": 64,
        "levels": 2,
        "spatial_dim": 3,
        "in_ch": 1,
        "perception": "depthwise",
        "kernels": (7, 3),
    },
}
"""Named sets of arguments: `NCA(**PRESETS["compact"] | {"in_ch": 1})`. The last three are made for CPUs."""
