"""The Colin27 head with AAL regions merged to 8 groups, as two left/right-symmetric heads: one for training, one for testing.

Data: Debian package `mricron-data` (Colin27 T1 `ch2`, its skull-stripped copy `ch2bet`, AAL labels `aal`), 1 mm, 181 x 217 x 181.
A symmetric head is one hemisphere joined to its own mirror image at the mid-sagittal plane. The left one never contains
a voxel of the right hemisphere and the reverse, so a score on the right head is a score on anatomy that training has never seen
(of the same person: it says nothing about a population).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from veloxseg.contract.errors import VeloxSegError

TEMPLATES = Path("/usr/share/mricron/templates")
GROUPS = ("frontal", "insula and cingulum", "limbic", "occipital", "parietal", "subcortical", "temporal", "cerebellum")
# AAL's own four-digit codes, first and last of each run
GROUP_CODES = {
    1: ((2000, 2999),),
    2: ((3000, 3999), (4000, 4099)),
    3: ((4100, 4299),),
    4: ((5000, 5999),),
    5: ((6000, 6999),),
    6: ((7000, 7999),),
    7: ((8000, 8999),),
    8: ((9000, 9999),),
}


@dataclass(frozen=True)
class Head:
    """One head on a 1 mm grid; images share one geometry, LPS axes."""

    t1: sitk.Image
    """With skull."""
    brain: sitk.Image
    """Without skull, 0 outside the brain."""
    groups: sitk.Image
    """uint8, 0 or 1-8 in the order of `GROUPS`."""


def load(side: str, templates: Path = TEMPLATES) -> Head:
    """The whole head ("both"), or the symmetric head made of its "left" or "right" hemisphere.

    Raises DATASET with the remedy when the data package isn't installed.
    """
    if not (templates / "aal.nii.gz").exists():
        raise VeloxSegError("DATASET", path=templates, reason="Colin27 and AAL are not there",
                            remedy="install them with 'apt-get install mricron-data'")  # fmt: skip
    t1, brain, aal = (
        sitk.DICOMOrient(sitk.ReadImage(str(templates / f"{name}.nii.gz")), "LPS") for name in ("ch2", "ch2bet", "aal")
    )
    groups = _from_array(group_table(templates)[sitk.GetArrayFromImage(aal)], aal)
    if side == "both":
        return Head(t1, brain, groups)
    return Head(*(symmetric(image, side) for image in (t1, brain, groups)))


def group_table(templates: Path = TEMPLATES) -> np.ndarray:
    """Group 0-8 for each AAL label value 0-255."""
    table = np.zeros(256, dtype=np.uint8)
    for line in (templates / "aal.nii.txt").read_text().splitlines():
        if not line.strip():
            continue
        value, _, code = line.split()
        for group, runs in GROUP_CODES.items():
            if any(first <= int(code) <= last for first, last in runs):
                table[int(value)] = group
    return table


def symmetric(image: sitk.Image, side: str) -> sitk.Image:
    """The hemisphere of one side and its mirror image; the mid-sagittal plane x = 0 is a plane of voxels.

    `image` has LPS axes, so x grows towards the left.
    """
    array = sitk.GetArrayFromImage(image)  # (z, y, x)
    middle = image.TransformPhysicalPointToIndex((0.0, image.GetOrigin()[1], image.GetOrigin()[2]))[0]
    if 2 * middle + 1 != array.shape[2]:
        raise ValueError("the mid-sagittal plane must be the middle plane of the volume")
    half = array[:, :, middle:] if side == "left" else array[:, :, middle::-1]
    return _from_array(np.concatenate([half[:, :, :0:-1], half], axis=2), image)


def _from_array(array: np.ndarray, like: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(like)
    return image
