"""The steps that a package's `configs/inference.json` names, for MONAI's own tools: our pipeline, cut where MONAI cuts.

They live here and not in the package, so that a package holds no code, and running it leaves no compiled scripts in a folder
whose files are all listed. Needs MONAI, which nothing else of the engine does.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer

from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.settings import Settings
from veloxseg.imaging import images
from veloxseg.inference import members, pipeline
from veloxseg.inference.case import Prepared
from veloxseg.packages import packages

RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # MONAI's world is RAS


def network(package: str) -> torch.nn.Module:
    """The network of a package folder with its weights, in eval mode."""
    return packages.read(Path(package)).network()


class Prepare:
    """Paths in role order under "image", or a single path -> network input on the working grid.

    The reference's grid goes along as metadata, for `Mask`. MONAI's loader cannot stack images of different
    grids, and its resampling does not average thin structures.
    """

    def __init__(self, package: str) -> None:
        self.card = packages.read(Path(package)).card

    def __call__(self, data: dict) -> dict:
        paths = [data["image"]] if isinstance(data["image"], str | Path) else list(data["image"])
        names = [role.name for role in self.card.roles]
        if len(paths) != len(names):
            given = ", ".join(str(path) for path in paths)
            raise VeloxSegError("MODEL_ROLES", model=self.card.title, needed=", ".join(names), given=given)
        by_role = {name: Path(path) for name, path in zip(names, paths)}
        volumes = pipeline.read_inputs(self.card, by_role)
        prepared = pipeline.prepare(self.card, volumes)
        reference = self.card.reference.name
        grid = images.grid_of(volumes[reference])
        meta = {
            "filename_or_obj": str(by_role[reference]),
            "original_affine": _affine(grid),
            "spatial_shape": np.array(grid.size),
            "pad_values": np.array(prepared.pad_values),
        }
        return {**data, "image": MetaTensor(prepared.volume, affine=_affine(prepared.grid), meta=meta)}


class Windows(Inferer):
    """Smoothed class probabilities of one case, as a batch of one, on `device`; the windows run where the network is.

    Not MONAI's own inferer, which pads all channels of a small image with one value.
    """

    def __init__(self, package: str, overlap: float, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.card = packages.read(Path(package)).card
        self.plan, self.device = replace(self.card.window, overlap=overlap), device

    def __call__(self, inputs: MetaTensor, network: torch.nn.Module) -> torch.Tensor:
        image = inputs[0]
        prepared = Prepared(
            image.as_tensor().cpu(), _grid(image.shape[1:], image.affine), np.asarray(image.meta["pad_values"]).tolist()
        )
        where = next(itertools.chain(network.buffers(), network.parameters())).device
        passes = members.passes(self.card, network, Settings())
        return pipeline.opinions_of(self.card, passes, prepared, where, self.plan).classes[None].to(self.device)


class Mask:
    """Probabilities under "pred" -> mask with the card's label values on the reference's grid."""

    def __init__(self, package: str) -> None:
        self.card = packages.read(Path(package)).card

    def __call__(self, data: dict) -> dict:
        image = data["image"]
        target = _grid(image.meta["spatial_shape"], image.meta["original_affine"])
        classes = torch.as_tensor(data["pred"]).cpu()
        mask, _ = pipeline.mask_on(self.card, classes, _grid(image.shape[1:], image.affine), target)
        meta = {key: image.meta[key] for key in ("filename_or_obj", "original_affine", "spatial_shape")}
        return {**data, "pred": MetaTensor(torch.from_numpy(mask)[None], affine=_affine(target), meta=meta)}


def _affine(grid: images.Grid) -> torch.Tensor:
    return torch.from_numpy(RAS_LPS @ grid.to_world)


def _grid(size: Sequence[int], affine: torch.Tensor) -> images.Grid:
    lps = RAS_LPS @ np.asarray(affine, dtype=np.float64)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    return images.Grid(
        tuple(int(n) for n in size), tuple(spacing.tolist()), tuple(lps[:3, 3].tolist()), tuple(direction.ravel().tolist())
    )
