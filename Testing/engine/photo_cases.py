"""Small photo cases that several engine tests share: cards, photos of a dark disk, a stand-in that finds it, a tiny package."""

import numpy as np
import SimpleITK as sitk
import torch
from PIL import Image

from engine_cases import card, label, role
from veloxseg.contract.card import Card
from veloxseg.imaging import images
from veloxseg.inference import devices, dispatch, photo_pipeline
from veloxseg.networks.nca import NCA
from veloxseg.packages import package_writer, packages

SIZE = 64
CPU = devices.choose("cpu")
NCA_ARGUMENTS = NCA(channels=12, hidden=16, steps=3).config.arguments()
VELOXSEG_ARGUMENTS = {
    "spatial_dim": 2,
    "input_size": [SIZE, SIZE],
    "patch_size": 2,
    "in_ch": [3],
    "n_classes": 2,
    "base_ch": 8,
    "min_dim_group": [2, 4, 4, 8],
    "conv_expansion_factor": [2, 2, 1, 1],
    "attn_base_ch": 4,
    "depths": [1, 1, 1, 1],
    "min_big_window_sizes": [[8, 8], [8, 8], [8, 8], [4, 4]],
    "min_dim_head": [2, 2, 2, 4],
    "num_heads": [1, 2, 1, 2],
    "ffn_expansion_ratio": [2, 2, 1, 1],
}
SAMPLING = {"members": 3, "calls": 2, "method": "ddim", "fusion": "mean"}


def photo_role(**changes):
    return {**role("Photo", "XC", intensity={"kind": "rgb"}), "kind": "photo", **changes}


def photo_card(**changes):
    """Card of a photo model with a tiny NCA; a change to None takes a field out."""
    whole = card(
        [photo_role()],
        [label(7, "Lesion")],
        architecture={"name": "NCA", "arguments": NCA_ARGUMENTS},
        working_size=SIZE,
        sampling=SAMPLING,
        spacing_mm=None,
        window=None,
        smoothing_mm=0,
    )
    return without(whole | changes)


def veloxseg_card(**changes):
    return photo_card(**{"architecture": {"name": "VeloxSeg", "arguments": VELOXSEG_ARGUMENTS}, "sampling": None} | changes)


def without(whole):
    return {name: value for name, value in whole.items() if value is not None or name in ("spacing_mm", "window")}


def disk(rows, columns, radius, center=None):
    """bool (y, x), radius and center (y, x) in pixels; in the middle by default."""
    y, x = center or ((rows - 1) / 2, (columns - 1) / 2)
    along_y, along_x = np.ogrid[:rows, :columns]
    return (along_y - y) ** 2 + (along_x - x) ** 2 <= radius**2


def skin(inside):
    """uint8 (y, x, 3): dark where `inside`, skin elsewhere."""
    return np.where(inside[..., None], np.uint8([90, 40, 30]), np.uint8([220, 170, 150]))


def finds_the_dark(x):
    """Stand-in for VeloxSeg, logits (1, 2, y, x): background against what is darker than between skin and disk."""
    return torch.stack([20 * (x[:, 0] - 0.2), -20 * (x[:, 0] - 0.2)], dim=1)


def save(pixels, path):
    Image.fromarray(pixels).save(path)
    return path


def slicer_volume(pixels, grid=None):
    """A photo as 3D Slicer writes it: one slice of three components."""
    volume = sitk.GetImageFromArray(pixels[None], isVector=True)
    if grid is not None:
        volume.SetOrigin(grid.origin)
        volume.SetSpacing(grid.spacing)
        volume.SetDirection(grid.direction)
    return volume


def lively_nca(arguments):
    """An untrained NCA does nothing; this one draws something, and in half precision."""
    torch.manual_seed(4)
    network = NCA(**arguments)
    for rule in network.rules:
        torch.nn.init.normal_(rule.fc1.weight, std=0.3)
    return network.half().float().eval()


class Model:
    """A card and a network, as the pipeline needs them."""

    def __init__(self, the_card, network):
        self.card, self._network = Card.of(the_card), network

    def network(self, device):
        return self._network


def segment(model, path, **settings):
    return dispatch.segment(model, {"Photo": path}, photo_pipeline.Settings(**settings), CPU)


def photo_package(folder, the_card=None):
    """A real package whose example is its own answer."""
    the_card = the_card or photo_card()
    if the_card["architecture"]["name"] == "NCA":
        network = lively_nca(the_card["architecture"]["arguments"])
    else:
        torch.manual_seed(0)
        network = packages.build_network(Card.of(the_card)).half().float().eval()
    photo = skin(disk(70, 90, 20))
    path = save(photo, folder.parent / f"{folder.name}.png")
    mask = segment(Model(the_card, network), path).mask[..., 0].T > 0
    path.unlink()
    example = package_writer.Example({"Photo": photo}, mask)
    return package_writer.write(folder, network.state_dict(), the_card, example, {"LICENSE": b"Apache-2.0\n"})


def tilted_grid(rows, columns):
    return images.Grid((columns, rows, 1), (0.5, 0.5, 2.0), (10.0, -20.0, 30.0), (0, -1, 0, 1, 0, 0, 0, 0, 1))
