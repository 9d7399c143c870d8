"""A checkpoint of somebody's training with a card becomes a model package: weights are read as weights, nothing is unpickled.

The package's example is drawn, never an image of a patient, and its expected mask is what the weights give it here.
"""

import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor, nn

from veloxseg import phantoms
from veloxseg.contract import names, strict_json
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError, one_line
from veloxseg.contract.settings import Settings
from veloxseg.imaging import images
from veloxseg.inference import devices, dispatch
from veloxseg.networks import fast, load_reference_checkpoint, load_weights
from veloxseg.packages import cards, package_writer, packages
from veloxseg.phantoms import shapes, tissue

EXAMPLE_COARSER = 2.0
"""Voxel size of the example in voxels of the working grid: packages are kept in git and downloaded."""
EXAMPLE_SEED = 40000
"""Of the phantom that is the example of photo models; beside the seeds that trainings use."""
NO_WEIGHTS = "0" * 64
"""Stands for a SHA-256 until there is one."""
SAVE_AGAIN = "where it comes from, save its weights alone: torch.save(model.state_dict(), 'weights.pth')"


@dataclass(frozen=True)
class Model:
    """A card and the network with its weights, as the pipeline takes them."""

    card: Card
    loaded: nn.Module

    def network(self, device: torch.device | str = "cpu") -> nn.Module:
        return self.loaded.to(device)


def convert(checkpoint: Path, card: Path, output: Path | None = None, report: packages.Report = packages.unheard) -> Path:
    """Writes a zip for `package_import` and returns it, after the checks of `packages.verify`.

    checkpoint: a state dict, or the dictionary of the published training with one as `model`. card: a whole card
    (docs/formats.md); a drawn example and the hash of the weights are added. output: the zip; `<id>-<version>.zip` in the current
    folder when not given.
    Raises CONVERT, MODEL_SCHEMA, MODEL_NEWER, MODEL_CORRUPT, PATH, OUTPUT_UNWRITABLE and DISK_FULL; nothing half-written stays.
    """
    checked = cards.checked({**_read_card(Path(card)), "weights_sha256": NO_WEIGHTS}, Path(card).name)
    content, state = checked.content, _read_weights(Path(checkpoint))
    model = Model(checked, _network(checked, state, Path(checkpoint)))
    warning = cards.warning(content["scores"])
    if warning and warning.text not in content["limits"]:
        content["limits"] = [warning.text, *content["limits"]]
    target = Path(output) if output else Path(f"{checked.package_name}.zip")
    names.check(target)
    with tempfile.TemporaryDirectory(prefix="veloxseg-") as folder:
        unpacked = Path(folder) / checked.id
        license_text = f"{checked.license}\n".encode()
        package_writer.write(unpacked, state, content, example_of(model), {"LICENSE": license_text})
        packages.verify(unpacked, report)
        package_writer.pack(unpacked, target)
    return target


def _read_card(path: Path) -> dict[str, Any]:
    names.check(path)
    try:
        content = strict_json.read(path)
    except OSError as error:
        reason = f"can't be read ({error.strerror})" if path.exists() else "doesn't exist"
        raise _refused(path, f"the card {reason}", "give the card with --card") from error
    except ValueError as error:
        raise _refused(path, f"the card is no JSON ({one_line(error)})", "correct it") from error
    if not isinstance(content, dict):
        raise _refused(path, "the card is no JSON object", "correct it")
    return content


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The weights that packages hold, in the precision that they have there."""
    names.check(path)
    try:
        state = load_reference_checkpoint(path)
    except OSError as error:
        reason = f"it can't be read ({error.strerror})" if path.exists() else "it doesn't exist"
        raise _refused(path, reason, "choose the checkpoint") from error
    except pickle.UnpicklingError as error:
        what = "numbers of numpy beside its weights" if "numpy" in str(error) else "more than weights"
        raise _refused(path, f"it holds {what}, which nothing but running its code could read", SAVE_AGAIN) from error
    except (ValueError, RuntimeError, EOFError, KeyError) as error:
        reason = one_line(error) if isinstance(error, ValueError) else "it is no intact checkpoint of PyTorch"
        raise _refused(path, reason, "choose another file") from error
    for name, values in state.items():
        if not torch.isfinite(values.half() if values.is_floating_point() else values).all():
            raise _refused(path, f"{names.shown(name)} has numbers that are not finite, or too large for half precision",
                           "choose the weights of an earlier step")  # fmt: skip
    return {name: values.half().float() if values.is_floating_point() else values for name, values in state.items()}


def _network(card: Card, state: Mapping[str, Tensor], path: Path) -> nn.Module:
    network = packages.build_network(card)
    try:
        load_weights(network, state)
    except ValueError as error:
        raise _refused(path, one_line(error), "correct the architecture's arguments in the card") from error
    return fast.convert(network.eval(), relative=True)


def _refused(path: Path, reason: str, remedy: str) -> VeloxSegError:
    return VeloxSegError("CONVERT", path=names.shown(path), reason=reason, remedy=remedy)


# ----------------------------------------------------------------------------------------------------------- example


def example_of(model: Model) -> package_writer.Example:
    """A drawn case with the mask that the model gives it."""
    if model.card.takes_photo:
        role, pixels = model.card.roles[0].name, phantoms.generate_case("dermoscopy", EXAMPLE_SEED).rgb
        mask, _ = _mask(model, {role: sitk.GetImageFromArray(pixels, isVector=True)})
        return package_writer.Example({role: pixels}, mask[..., 0].T > 0)
    inputs = drawn_inputs(model.card)
    mask, grid = _mask(model, inputs)
    return package_writer.Example(inputs, images.image_of(mask, grid))


def _mask(model: Model, inputs: Mapping[str, Any]) -> tuple[np.ndarray, images.Grid]:
    outcome = dispatch.segment(model, inputs, Settings(device="cpu"), devices.choose("cpu"), measure=False)
    return outcome.mask, outcome.grid


def drawn_inputs(card: Card) -> dict[str, sitk.Image]:
    """An image per role: a piece of a brain where values are those of MR, else a solid as large as the network's window, with
    coarse voxels."""
    if all(role.intensity.get("kind") == "zscore_foreground" for role in card.roles):
        step = tuple(card.spacing_mm or ())
        return {role.name: _piece_of_a_brain(step, number) for number, role in enumerate(card.roles)}
    spacing = [EXAMPLE_COARSER * step for step in card.spacing_mm or ()]
    size = [round(n / EXAMPLE_COARSER) for n in card.window.size] if card.window else []
    return {role.name: drawn(role.intensity, spacing, size, number) for number, role in enumerate(card.roles)}


def _piece_of_a_brain(spacing: tuple[float, ...], seed: int) -> sitk.Image:
    array = tissue.gray_rod(spacing, seed)
    return images.image_of(array, images.Grid(array.shape, spacing, (0.0, 0.0, 0.0)))


def drawn(intensity: Mapping[str, Any], spacing: list[float], size: list[int], seed: int) -> sitk.Image:
    """A solid with noise, between the limits of the role's intensities."""
    low, high = intensity.get("low", intensity.get("clip", [0.0])[0]), intensity.get("high", intensity.get("clip", [0, 100.0])[1])
    case = shapes.sample_shape(spacing, size, background=low, foreground=high)
    array = images.array_of(case.image)
    noise = np.random.default_rng(seed).normal(0, 0.02 * (high - low), array.shape)
    return rounded(images.image_of((array + noise).astype(np.float32), images.grid_of(case.image)))


def rounded(image: sitk.Image) -> sitk.Image:
    """Three significant digits of the brightest voxel are enough, and pack well."""
    array = images.array_of(image).astype(np.float32)
    step = 10.0 ** np.floor(np.log10(max(np.abs(array).max(), 1e-6)) - 2)
    return images.image_of((np.round(array / step) * step).astype(np.float32), images.grid_of(image))
