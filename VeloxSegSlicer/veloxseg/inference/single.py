"""Models that know one object per image: what they mark beside the largest one is taken away, whatever the threshold is."""

from __future__ import annotations

import numpy as np

MARGIN = 16
"""Voxels around all parts in which they are told apart."""


def beside_largest(mask: np.ndarray) -> np.ndarray:
    """bool of the mask's shape, true nearer to another connected part of a mask bool than to the largest, in voxels.

    A probability that is set to 0 there can be cut at any threshold without bringing the other parts back.
    """
    # only models of one object need it
    from scipy import ndimage

    beside = np.zeros(mask.shape, dtype=bool)
    labels, parts = ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, mask.ndim))
    if parts < 2:
        return beside
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    # distances in all of a whole-body image would take seconds
    found = ndimage.find_objects(mask.astype(np.uint8))[0]
    box = tuple(slice(max(side.start - MARGIN, 0), side.stop + MARGIN) for side in found)
    others = mask[box] & ~largest[box]
    beside[box] = ndimage.distance_transform_edt(~others) < ndimage.distance_transform_edt(~largest[box])
    return beside
