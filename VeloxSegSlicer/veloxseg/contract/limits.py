"""Numbers that decide the same question on both sides, so that the panel refuses what the engine would, and nothing else."""

LEAST_OVERLAP = 0.5
"""Share of the smaller of two boxes, reference and another image, that both must cover."""
OVERLAP_SAMPLES = 24
"""Places along each axis at which that share is looked at."""

SPACING_TOLERANCE_MM = 1e-3
DIRECTION_TOLERANCE = 1e-3
ORIGIN_TOLERANCE_MM, ORIGIN_TOLERANCE_VOXELS = 0.1, 0.05
"""Two grids within these, at the origin within the smaller one, are the same grid."""

# Cosines between voxel axes: below the first a header is rounded, above the second an image is skewed.
SMALLEST_SHEAR, LARGEST_SHEAR = 2e-5, 0.0101

PHOTO_SIDES = (64, 6000)
"""Shortest and longest side of a photo in pixels."""

PEAK_SPHERE_ML = 1.0
"""Of SUVpeak (PERCIST)."""
DIAMETER_DIRECTIONS = 500
"""In which the outermost voxels are compared."""

CARD_SCHEMA_VERSION = 1
"""Of `configs/velox.json`."""
# SPDX names of licenses that restrict nobody's use and ask for no more than naming the authors.
PERMISSIVE = ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD", "Unlicense", "CC0-1.0", "CC-BY-4.0", "PDDL-1.0")

LARGEST_PERCENT_NAN = 50.0
"""Of an image's voxels."""


def covers(share: float) -> bool:
    """Whether an image that shares so much of the smaller box with the reference can be used without asking."""
    return share >= LEAST_OVERLAP
