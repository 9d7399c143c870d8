"""Rigid registration of two images of one person, by mutual information.

World coordinates are LPS millimeters. Moving an image changes its origin and direction and leaves its voxels alone, so
that they are interpolated only once, when the image is brought onto a grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from veloxseg.contract import limits
from veloxseg.imaging import images, intensities

SEED = 1234
BINS = 50
SAMPLES = 100_000
COARSEST_MM = 3.0
BRIGHT_PERCENTILE = 99.0
SHRINK = (4, 2, 1)
SMOOTHING_MM = (8.0, 4.0, 2.0)
ITERATIONS = 200
FIRST_STEP_MM = 2.0
LAST_STEP_MM = 0.005
# A person who stays on the table moves less; a larger answer is a registration that lost its way.
LARGEST_TRANSLATION_MM = 50.0
LARGEST_ROTATION_DEGREES = 20.0


@dataclass(frozen=True)
class Rigid:
    """Answer of a registration.

    `rotation` (3, 3) and `shift` (3,) take world positions of the moving image to the fixed image. `translation_mm` is
    the way of the fixed image's middle, `rotation_degrees` the angle about one axis, `information_*` the mutual
    information in nats before and after. `kept` says in words why the image stays where it was, or is empty; `rotation`
    and `shift` are then those of no motion.
    """

    rotation: np.ndarray
    shift: np.ndarray
    translation_mm: float
    rotation_degrees: float
    information_before: float
    information_after: float
    kept: str = ""

    def report(self) -> dict:
        """The numbers for a person, as JSON data."""
        return {
            "translation_mm": round(self.translation_mm, 2),
            "rotation_degrees": round(self.rotation_degrees, 2),
            "information_before": round(self.information_before, 4),
            "information_after": round(self.information_after, 4),
            "kept": self.kept,
        }


def register(fixed: sitk.Image, moving: sitk.Image) -> Rigid:
    """How `moving` has to move to lie on `fixed`; both 3D, of any modality and grid.

    The search starts where the headers put the images, or with their middles on each other where they hardly overlap. An
    implausible answer or one without more mutual information is not followed; see `Rigid.kept`. The same images give
    the same answer.
    """
    fixed, moving = _coarse(fixed), _coarse(moving)
    start = sitk.Euler3DTransform()
    start.SetCenter(_middle(fixed).tolist())
    if not limits.covers(images.overlap(images.grid_of(fixed), images.grid_of(moving))):
        start.SetTranslation((_middle(moving) - _middle(fixed)).tolist())
    found = sitk.Euler3DTransform(start)
    try:
        before = _information(fixed, moving, start)
        _search(fixed, moving, found)
        after = _information(fixed, moving, found)
    except RuntimeError:
        return _kept("the images could not be compared", 0.0, 0.0, math.nan, math.nan)
    return _judged(start, found, before, after)


def moved(image: sitk.Image, rigid: Rigid) -> sitk.Image:
    """The image in its new place: same voxels, other origin and direction."""
    result = sitk.Image(image)
    result.SetOrigin((rigid.rotation @ np.asarray(image.GetOrigin()) + rigid.shift).tolist())
    result.SetDirection((rigid.rotation @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    return result


def _coarse(image: sitk.Image) -> sitk.Image:
    """Not finer than a few millimeters: more voxels cost time and bring no accuracy. Empty space keeps its value."""
    grid = images.grid_of(image)
    air = intensities.air_value(sitk.GetArrayViewFromImage(image)[::2, ::2, ::2])
    size = [max(1, round(n * s / max(s, COARSEST_MM))) for n, s in zip(grid.size, grid.spacing, strict=True)]
    spacing = [n * s / m for n, s, m in zip(grid.size, grid.spacing, size, strict=True)]
    origin = grid.world(np.array([n / (2 * m) - 0.5 for n, m in zip(grid.size, size, strict=True)]))
    target = images.Grid(tuple(size), tuple(spacing), tuple(origin.tolist()), grid.direction)
    bright = float(np.percentile(sitk.GetArrayViewFromImage(image), BRIGHT_PERCENTILE))
    return sitk.Clamp(images.resample(image, target, background=air), sitk.sitkFloat32, air, bright)


def _middle(image: sitk.Image) -> np.ndarray:
    grid = images.grid_of(image)
    return grid.world((np.asarray(grid.size) - 1) / 2)


def _information(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> float:
    """Mutual information in nats with the images in this place."""
    method = _method(transform)
    method.SetMetricSamplingPercentage(_share(fixed, 1), SEED)
    return -method.MetricEvaluate(fixed, moving)


def _search(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> None:
    """Changes `transform` into the one with the most mutual information."""
    method = _method(transform)
    method.SetMetricSamplingPercentagePerLevel([_share(fixed, factor) for factor in SHRINK], SEED)
    method.SetShrinkFactorsPerLevel(SHRINK)
    method.SetSmoothingSigmasPerLevel(SMOOTHING_MM)
    method.SetOptimizerAsRegularStepGradientDescent(FIRST_STEP_MM, LAST_STEP_MM, ITERATIONS, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.Execute(fixed, moving)


def _method(transform: sitk.Transform) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetInterpolator(sitk.sitkLinear)
    # sums over several threads come out in another order each time
    method.SetNumberOfThreads(1)
    method.SetInitialTransform(transform, inPlace=True)
    return method


def _share(image: sitk.Image, shrink: int) -> float:
    """Share of the voxels to sample, so that a large image takes no longer than a small one."""
    return min(1.0, SAMPLES * shrink**3 / image.GetNumberOfPixels())


def _judged(start: sitk.Euler3DTransform, found: sitk.Euler3DTransform, before: float, after: float) -> Rigid:
    """The transform goes from fixed to moving positions; the image moves the other way."""
    matrix = np.reshape(found.GetMatrix(), (3, 3))
    center = np.asarray(found.GetCenter())
    offset = np.asarray(found.GetTranslation()) + center - matrix @ center
    degrees = math.degrees(math.acos(min(1.0, max(-1.0, (np.trace(matrix) - 1) / 2))))
    way = np.linalg.norm(np.subtract(found.GetTranslation(), start.GetTranslation()))
    if way > LARGEST_TRANSLATION_MM or degrees > LARGEST_ROTATION_DEGREES:
        reason = f"a motion by {way:.0f} mm and {degrees:.0f} degrees is not plausible"
        return _kept(reason, way, degrees, before, after)
    if after <= before:
        return _kept("no better place was found", way, degrees, before, after)
    translation = float(np.linalg.norm(found.GetTranslation()))
    return Rigid(matrix.T, -matrix.T @ offset, translation, degrees, before, after)


def _kept(reason: str, way: float, degrees: float, before: float, after: float) -> Rigid:
    return Rigid(np.eye(3), np.zeros(3), float(way), float(degrees), before, after, reason)
