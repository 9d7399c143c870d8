"""Synthetic cases for samples, tests and training: `write_case("petct", seed, folder)`.

Nothing here is a patient. Generators are imported on first use, so that listing the kinds costs nothing.
"""

import importlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Phantom:
    """One kind of synthetic case. `files`: file name -> attribute of the case that holds the SimpleITK image."""

    title: str
    module: str
    files: dict
    parameters: str | None = None  # name of a parameter set in the module; None is the default set


_PETCT_FILES = {"CT.nrrd": "ct", "PET.nrrd": "pet", "label.nrrd": "label"}
_TUMOR_FILES = {"FLAIR.nrrd": "flair", "T1.nrrd": "t1", "T1ce.nrrd": "t1ce", "T2.nrrd": "t2", "label.nrrd": "label"}

PHANTOMS = {
    "petct": Phantom("FDG PET/CT with lesions, 36 cm of the torso", "petct", _PETCT_FILES),
    "petct-torso": Phantom("FDG PET/CT with lesions, neck to thigh", "petct", _PETCT_FILES, "WHOLE_TORSO"),
    "brain-tumor-mri": Phantom("Four MRI sequences of a head with a growing tumor", "tumor", _TUMOR_FILES),
    "head-neck-petct": Phantom("FDG PET/CT of the head and neck with a primary tumor and nodes", "headneck", _PETCT_FILES),
    "dermoscopy": Phantom("Dermoscopy photo of a skin lesion", "dermoscopy", {"photo.png": "photo", "mask.png": "mask"}),
    "brain-t1": Phantom("T1-weighted head", "brain", {"T1.nrrd": "t1", "label.nrrd": "label"}),
}


def generate_case(kind: str, seed: int):
    """The case object of a kind (KeyError for an unknown kind); see the generate function of its module."""
    phantom = PHANTOMS[kind]
    module = importlib.import_module(f"{__name__}.{phantom.module}")
    if phantom.parameters is None:
        return module.generate(seed)
    return module.generate(seed, getattr(module, phantom.parameters))


def write_case(kind: str, seed: int, folder) -> dict:
    """Write one case as NRRD or PNG files plus parameters.json and return {file name: path}.

    Every file appears under its name only when complete; parameters.json is written last, so a folder that has it
    is a whole case. Raises KeyError for an unknown kind and OSError when the folder cannot be written.
    """
    import SimpleITK as sitk

    if kind not in PHANTOMS:
        raise KeyError(f"unknown phantom '{kind}', known: {', '.join(sorted(PHANTOMS))}")
    case = generate_case(kind, seed)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as scratch:
        for name, attribute in PHANTOMS[kind].files.items():
            sitk.WriteImage(getattr(case, attribute), str(Path(scratch) / name), True)
        text = json.dumps({"kind": kind, **case.parameters}, indent=1)
        (Path(scratch) / "parameters.json").write_text(text + "\n", encoding="ascii", newline="\n")
        for name in (*PHANTOMS[kind].files, "parameters.json"):
            os.replace(Path(scratch) / name, folder / name)
            written[name] = str(folder / name)
    return written
