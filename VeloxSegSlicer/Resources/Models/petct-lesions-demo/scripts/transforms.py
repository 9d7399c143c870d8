"""For MONAI's tools: the package's intensities on images that are already on the
working grid."""

from pathlib import Path

import torch

from veloxseg import intensities
from veloxseg.packages import read


def normalise(image):
    """Image (C, x, y, z) in image units, channels in role order -> network input of the same shape."""
    roles = read(Path(__file__).resolve().parent.parent).card["roles"]
    channels = [intensities.apply(role["intensity"], image[c].numpy()) for c, role in enumerate(roles)]
    return torch.stack([torch.from_numpy(channel) for channel in channels])
