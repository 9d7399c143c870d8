"""Random changes of training photos: placement, light, focus, and what lies on or around the skin of real dermoscopy.

Photos are float32 (y, x, 3) from 0 to 1 and masks uint8 (y, x) of 0 and 1, square. Every function takes its own generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter


@dataclass(frozen=True)
class Ranges:
    """Largest changes; a share is the probability that a photo has the change."""

    scale: tuple[float, float] = (0.7, 1.4)
    aspect: float = 0.3
    """Of the natural logarithm of width by height: photos come in 4:3, 3:2 and stretched to squares."""
    shift: float = 0.12
    """In parts of the side."""
    gain: float = 0.25
    color_gain: float = 0.12
    """Of each color alone: a color cast."""
    offset: float = 0.08
    gamma: tuple[float, float] = (0.7, 1.45)
    saturation: tuple[float, float] = (0.5, 1.4)
    blur_share: float = 0.25
    blur: float = 0.012
    """Largest standard deviation, in parts of the side."""
    noise_share: float = 0.25
    noise: float = 0.05
    shade_share: float = 0.3
    shade: float = 0.25
    """Largest fall of the light across the photo."""
    hair_share: float = 0.25
    hairs: int = 25
    frame_share: float = 0.15
    ruler_share: float = 0.12
    bubbles_share: float = 0.1


def augmented(
    pixels: np.ndarray, mask: np.ndarray, rng: np.random.Generator, ranges: Ranges = Ranges()
) -> tuple[np.ndarray, np.ndarray]:
    """A photo uint8 (y, x, 3) and its mask uint8 (y, x) as the network and its loss take them, changed at random.

    Image (3, y, x) float32 from -1 to 1 and label (1, y, x) int64.
    """
    photo, label = placed(pixels, mask, rng, ranges)
    photo = covered(photo, rng, ranges)
    photo = focused(lit(photo, rng, ranges), rng, ranges)
    return np.ascontiguousarray(2 * photo.transpose(2, 0, 1) - 1, dtype=np.float32), label[None].astype(np.int64)


def placed(pixels: np.ndarray, mask: np.ndarray, rng: np.random.Generator, ranges: Ranges) -> tuple[np.ndarray, np.ndarray]:
    """Turned by any angle, mirrored, scaled, stretched and shifted; what comes in from outside is mirrored skin, as at inference.

    The mask is moved with the photo, so that a mirrored part of the lesion is lesion as well.
    """
    angle = rng.uniform(0, 2 * np.pi)
    scale, aspect = np.exp(rng.uniform(*np.log(ranges.scale))), np.exp(rng.uniform(-1, 1) * ranges.aspect / 2)
    stretch = np.diag([scale * aspect, scale / aspect]) @ np.diag([1.0, rng.choice((-1.0, 1.0))])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.linalg.inv(turn @ stretch)
    both = np.concatenate([pixels.astype(np.float32) / 255, mask[..., None].astype(np.float32)], axis=2)
    affine = np.c_[matrix, rng.uniform(-2, 2, 2) * ranges.shift].astype(np.float32)
    grid = F.affine_grid(torch.from_numpy(affine)[None], (1, 4, *mask.shape), align_corners=False)
    moved = F.grid_sample(torch.from_numpy(both).permute(2, 0, 1)[None], grid, padding_mode="reflection", align_corners=False)
    moved = moved[0].permute(1, 2, 0).numpy()
    return moved[..., :3], (moved[..., 3] >= 0.5).astype(np.uint8)


def lit(photo: np.ndarray, rng: np.random.Generator, ranges: Ranges) -> np.ndarray:
    """In another light: brightness, color cast, saturation, gamma, and a side that is darker than the other."""
    gray = photo.mean(axis=2, keepdims=True)
    photo = gray + (photo - gray) * np.float32(rng.uniform(*ranges.saturation))
    gain = (1 + rng.uniform(-1, 1) * ranges.gain) * (1 + rng.uniform(-1, 1, 3) * ranges.color_gain)
    photo = photo * gain.astype(np.float32) + np.float32(rng.uniform(-1, 1) * ranges.offset)
    if rng.random() < ranges.shade_share:
        y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in photo.shape[:2])
        angle = rng.uniform(0, 2 * np.pi)
        across = np.sin(angle) * y[:, None] + np.cos(angle) * x
        photo = photo * (1 + np.float32(rng.uniform(0, ranges.shade)) * across)[..., None]
    return np.clip(photo, 0, 1) ** np.float32(np.exp(rng.uniform(*np.log(ranges.gamma))))


def focused(photo: np.ndarray, rng: np.random.Generator, ranges: Ranges) -> np.ndarray:
    """Out of focus, and with the noise of a sensor."""
    if rng.random() < ranges.blur_share:
        sigma = rng.uniform(0, ranges.blur) * photo.shape[0]
        photo = gaussian_filter(photo, (sigma, sigma, 0), mode="nearest")
    if rng.random() < ranges.noise_share:
        photo = photo + np.float32(rng.uniform(0, ranges.noise)) * rng.standard_normal(photo.shape, dtype=np.float32)
    return np.clip(photo, 0, 1)


def covered(photo: np.ndarray, rng: np.random.Generator, ranges: Ranges) -> np.ndarray:
    """With hairs, a ruler, bubbles of gel and the black edge of the lens, each sometimes; the mask stays as it is."""
    if rng.random() < ranges.hair_share:
        photo = _drawn_over(photo, _hairs(rng, photo.shape[0], rng.integers(1, ranges.hairs + 1)), _hair_color(rng))
    if rng.random() < ranges.ruler_share:
        photo = _drawn_over(photo, _ruler(rng, photo.shape[0]), np.full(3, rng.uniform(0, 0.4)))
    if rng.random() < ranges.bubbles_share:
        photo = _drawn_over(photo, _bubbles(rng, photo.shape[0]), np.full(3, rng.uniform(0.8, 1)))
    if rng.random() < ranges.frame_share:
        photo = photo * _lens(rng, photo.shape[0])[..., None]
    return photo


def _drawn_over(photo: np.ndarray, cover: np.ndarray, color: np.ndarray) -> np.ndarray:
    cover = cover[..., None]
    return photo * (1 - cover) + cover * color.astype(np.float32)


def _canvas(side: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Of twice the side, so that lines may be finer than a pixel."""
    canvas = Image.new("L", (2 * side, 2 * side))
    return canvas, ImageDraw.Draw(canvas)


def _shrunk(canvas: Image.Image, opacity: float) -> np.ndarray:
    small = canvas.resize((canvas.width // 2, canvas.height // 2), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) * np.float32(opacity / 255)


def _hair_color(rng: np.random.Generator) -> np.ndarray:
    return np.array([1.0, 0.8, 0.6]) * rng.uniform(0, 0.45 if rng.random() < 0.85 else 1.1)


def _hairs(rng: np.random.Generator, side: int, count: int) -> np.ndarray:
    canvas, draw = _canvas(side)
    direction, spread = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, np.pi)
    t = np.linspace(0, 1, 12)[:, None]
    for _ in range(count):
        angle = direction + rng.uniform(-spread, spread)
        start = rng.uniform(-0.1, 1.1, 2)
        end = start + rng.uniform(0.2, 1.2) * np.array([np.cos(angle), np.sin(angle)])
        bend = (start + end) / 2 + rng.normal(0, 0.12, 2)
        points = 2 * side * ((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end)
        draw.line([tuple(point) for point in points], fill=255, width=max(1, round(rng.uniform(0.004, 0.012) * 2 * side)))
    return _shrunk(canvas, rng.uniform(0.5, 1))


def _ruler(rng: np.random.Generator, side: int) -> np.ndarray:
    canvas, draw = _canvas(side)
    step, length, edge = rng.uniform(0.02, 0.08), rng.uniform(0.02, 0.06), rng.uniform(0.02, 0.12)
    for number, place in enumerate(np.arange(rng.uniform(0, step), 1, step)):
        tick = length * (1.8 if number % 5 == 0 else 1)
        draw.line([2 * side * place, 2 * side * edge, 2 * side * place, 2 * side * (edge + tick)], fill=255, width=2)
    cover = _shrunk(canvas, rng.uniform(0.5, 1))
    return np.rot90(cover, rng.integers(4))


def _bubbles(rng: np.random.Generator, side: int) -> np.ndarray:
    canvas, draw = _canvas(side)
    for _ in range(rng.integers(1, 15)):
        (x, y), radius = 2 * side * rng.random(2), 2 * side * rng.uniform(0.005, 0.04)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=255, width=max(1, round(0.15 * radius)))
    return _shrunk(canvas, rng.uniform(0.2, 0.8))


def _lens(rng: np.random.Generator, side: int) -> np.ndarray:
    """Brightness 0 to 1 of a round (or rectangular) field in a dark frame."""
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) + np.float32(shift) for shift in rng.uniform(-0.15, 0.15, 2))
    radius = rng.uniform(0.95, 1.4)
    if rng.random() < 0.75:
        away = np.hypot(y[:, None], x)
    else:
        away = np.maximum(np.abs(y)[:, None] * rng.choice((0.0, 1.0)), np.abs(x)) * 1.2
    soft = rng.uniform(0.005, 0.15)
    dark = rng.uniform(0, 0.15)
    return dark + (1 - dark) / (1 + np.exp(np.clip((away - radius) / np.float32(soft / 4), -30, 30)))
