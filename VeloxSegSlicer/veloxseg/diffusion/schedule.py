"""How much noise a mask has at each step, and how mask, noise and velocity follow from each other.

The linear schedule of denoising diffusion (Ho et al. 2020), scaled to any number of steps (specification section 5);
velocity as in Salimans and Ho 2022. x_t = signal * mask + spread * noise with signal^2 + spread^2 = 1.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Schedule:
    """The linear schedule (Ho et al. 2020): beta from 0.1 / steps to 20 / steps.

    Args:
        steps: of the whole diffusion; t runs from 0 (least noise) to steps - 1.

    Example:
        >>> schedule = Schedule(1000)
        >>> schedule.grid(4)
        [999, 749, 499, 249]
        >>> round(float(schedule.alpha_bar[0]), 4), round(float(schedule.alpha_bar[-1]), 6)
        (0.9999, 4e-05)
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        betas = torch.linspace(0.1, 20, steps, dtype=torch.float64) / steps
        self.alpha_bar = torch.cumprod(1 - betas, 0)
        """(steps,) float64 on the CPU: the square of the signal at each t."""

    def grid(self, calls: int) -> list[int]:
        """`calls` evenly spaced steps, from the last one down, with one interval left to the clean mask.

        Raises ValueError unless 1 <= calls <= steps.
        """
        if not 1 <= calls <= self.steps:
            raise ValueError(f"the number of calls must be between 1 and {self.steps}, got {calls}")
        return [-(-self.steps * left // calls) - 1 for left in range(calls, 0, -1)]

    def parts(self, t: Tensor | int, like: Tensor) -> tuple[Tensor, Tensor]:
        """(signal, spread) at the steps t of a batch (B,) or of one step, to be multiplied with `like` (B, ...)."""
        alpha_bar = self.alpha_bar[torch.as_tensor(t).cpu()].reshape(-1, *(1 for _ in range(like.ndim - 1)))
        return alpha_bar.sqrt().to(like), (1 - alpha_bar).sqrt().to(like)

    def noisy(self, mask: Tensor, noise: Tensor, t: Tensor | int) -> Tensor:
        """x_t of a mask and noise of equal shape (B, 1, *spatial)."""
        signal, spread = self.parts(t, mask)
        return signal * mask + spread * noise

    def velocity(self, mask: Tensor, noise: Tensor, t: Tensor | int) -> Tensor:
        """What a v-prediction should be, of the mask's shape."""
        signal, spread = self.parts(t, mask)
        return signal * noise - spread * mask

    def estimate(
        self, output: Tensor, noisy: Tensor, t: int, prediction: str, mask_range: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        """(mask, noise) behind a noisy mask, from a network's output of the same shape.

        The mask is clipped to its range, and the noise is what is left of x_t then: the network's own noise would carry
        its error at the first steps, which the division by a tiny signal has made huge, into all later ones.
        """
        signal, spread = self.parts(t, noisy)
        mask = signal * noisy - spread * output if prediction == "v" else (noisy - spread * output) / signal
        mask = mask.clamp(*mask_range)
        return mask, (noisy - signal * mask) / spread
