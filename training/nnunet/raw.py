"""A prepared data set (see prepare.py) as a raw folder of nnU-Net 2: every layout that prepare.py reads gets there this way.

    export nnUNet_raw=/data/nnUNet_raw
    python -m training.nnunet.raw --source data/mine --number 501

Files of a case lie on one grid already, which is checked again. Labels become 1, 2, 3 and so on. Folds keep all cases of a
patient together; a given split stays: its training and validation cases are the only fold, its test cases lie in imagesTs.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from tqdm import tqdm

from training import command, records
from training.cases import LABEL, fixed_split, read_description, read_label
from veloxseg import files
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images

VARIABLE = "nnUNet_raw"
ENDING = ".nii.gz"
FOLDS = 5
SPLIT_SEED = 2026
NUMBERS = range(1, 1000)
REGIONS = {"whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing tumor": 3}
"""Of BraTS, by label (necrosis, edema, enhancing tumor), largest first; nnU-Net paints them in this order."""
REGION_ORDER = [2, 1, 3]
OWN_NAMES = {"background", "ignore"}
"""Labels that mean something to nnU-Net."""


def convert(source: Path, number: int, target: Path | None = None, name: str | None = None, regions: bool = False) -> Path:
    """Writes Dataset<number>_<name> and returns its folder; an earlier one of the same name is replaced.

    Args:
        source: folder that prepare.py wrote.
        number: of the data set in nnU-Net, 1 to 999.
        target: folder of raw data sets; the one that the environment variable nnUNet_raw names when not given.
        name: of the data set; that of its card when not given.
        regions: the three overlapping regions of BraTS instead of its labels.

    Raises:
        VeloxSegError: DATASET, DATASET_MISSING, LABEL_VALUES, the INPUT_* codes, DISK_FULL, OUTPUT_UNWRITABLE.
    """
    description = read_description(source)
    card = Card.of(description["card"])
    folder = _destination(number, target, name or card.id)
    if card.takes_photo:
        raise _refused(source, "it holds photos", "convert volumes")
    names = [label.name for label in card.labels]
    if len(set(names)) < len(names) or OWN_NAMES & {name.lower() for name in names}:
        reason = "two of its labels share a name, or one is called background or ignore"
        raise _refused(source, reason, "rename it in its dataset.json")
    if regions and [label.value for label in card.labels] != [1, 2, 3]:
        raise _refused(source, "its labels aren't 1, 2 and 3 of BraTS", "leave --regions out")
    patients = {path.parent.name: records.read(path)["patient"] for path in sorted(source.glob("cases/*/case.json"))}
    if not patients:
        raise _refused(source, "it holds no case", "run prepare.py again")
    splits, test = folds(patients, description["split"])
    for case in patients:  # everything is looked at before anything is written
        check(source / "cases" / case, card, source)
    with files.replacing_folder(folder) as partial:
        for case in tqdm(patients, desc="cases"):
            _write_case(source / "cases" / case, partial, "Ts" if case in test else "Tr", card)
        files.write_json(partial / "dataset.json", dataset_json(card, len(patients) - len(test), regions))
        files.write_json(partial / "splits_final.json", splits)
    return folder


def _destination(number: int, target: Path | None, name: str) -> Path:
    if number not in NUMBERS:
        raise _refused("The data set", f"its number is {number}", f"choose --number from {NUMBERS[0]} to {NUMBERS[-1]}")
    if target is None:
        if not os.environ.get(VARIABLE):
            raise _refused("nnU-Net's raw folder", f"the environment variable {VARIABLE} is not set", "set it or give --target")
        target = Path(os.environ[VARIABLE])
    folder = target / f"Dataset{number:03d}_{re.sub(r'[^A-Za-z0-9]+', '', name.title()) or 'Data'}"
    others = sorted(path.name for path in target.glob(f"Dataset{number:03d}_*") if path.name != folder.name)
    if others:
        raise _refused(target, f"{others[0]} has the number {number} already", "choose another --number")
    return folder


def dataset_json(card: Card, cases: int, regions: bool = False) -> dict:
    """nnU-Net's description. A CT is called so, for the normalization that nnU-Net has for it; all else is z-scored."""
    labels: dict[str, int | list[int]] = {"background": 0}
    labels |= REGIONS if regions else {label.name: number for number, label in enumerate(card.labels, 1)}
    channels = {str(n): "CT" if role.modality == "CT" else role.name for n, role in enumerate(card.roles)}
    order = {"regions_class_order": REGION_ORDER} if regions else {}
    about = {"name": card.title, "description": card.summary, "license": card.content["training"]["data_license"]}
    return {"channel_names": channels, "labels": labels, **order, "numTraining": cases, "file_ending": ENDING, **about}


def folds(patients: Mapping[str, str], given: dict | None) -> tuple[list[dict[str, list[str]]], set[str]]:
    """Contents of splits_final.json, and the test cases. patients: case -> patient. given: the data set's own split.

    Raises DATASET for fewer than two patients.
    """
    if given:
        sides = fixed_split(list(patients), given)
        return [{"train": sides["train"], "val": sorted(sides["validation"])}], set(sides["test"])
    names = np.random.default_rng(SPLIT_SEED).permutation(sorted(set(patients.values())))
    if len(names) < 2:
        raise _refused("The split", "there is one patient only", "add patients")
    parts = np.array_split(names, min(FOLDS, len(names)))
    validation = [sorted(case for case, patient in patients.items() if patient in part) for part in parts]
    return [{"train": sorted(set(patients) - set(cases)), "val": cases} for cases in validation], set()


def check(folder: Path, card: Card, source: Path) -> None:
    """Raises DATASET_MISSING for a file that isn't there, DATASET for files that don't lie on one grid, LABEL_VALUES."""
    grids = {}
    for name in (*(f"{role.name}{ENDING}" for role in card.roles), LABEL):
        if not (folder / name).is_file():
            raise VeloxSegError("DATASET_MISSING", case=folder.name, part=name.removesuffix(ENDING), name=name, source=source)
        grids[name] = images.grid_of(images.read_volume(folder / name, name.removesuffix(ENDING)))
    for name, grid in grids.items():
        if not images.same_grid(grid, grids[LABEL]):
            raise _refused(folder / name, "it lies on another grid (size, spacing, origin or direction) than its label",
                           "delete the folder of the case and run prepare.py again")  # fmt: skip
    known = {0, *(label.value for label in card.labels)}
    unknown = sorted(set(np.unique(read_label(folder)).tolist()) - known)
    if unknown:
        raise VeloxSegError("LABEL_VALUES", path=folder / LABEL, found=", ".join(f"{value:g}" for value in unknown),
                            known=", ".join(map(str, sorted(known))))  # fmt: skip


def _write_case(source: Path, target: Path, part: str, card: Card) -> None:
    for folder in (f"images{part}", f"labels{part}"):
        (target / folder).mkdir(exist_ok=True)
    for number, role in enumerate(card.roles):
        shutil.copyfile(source / f"{role.name}{ENDING}", target / f"images{part}" / f"{source.name}_{number:04d}{ENDING}")
    label = images.read_volume(source / LABEL, "label")
    classes = np.zeros(256, dtype=np.uint8)
    for number, entry in enumerate(card.labels, 1):
        classes[entry.value] = number
    mapped = sitk.GetImageFromArray(classes[sitk.GetArrayViewFromImage(label).astype(np.uint8)])
    mapped.CopyInformation(label)
    sitk.WriteImage(mapped, str(target / f"labels{part}" / f"{source.name}{ENDING}"), useCompression=True)


def _refused(path: object, reason: str, remedy: str) -> VeloxSegError:
    return VeloxSegError("DATASET", path=path, reason=reason, remedy=remedy)


if __name__ == "__main__":
    command.run(convert)
