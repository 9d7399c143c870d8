"""Lists of the real images in shared/data, for `prepare.py list`: one CSV for each public set, with its given split.

    python training/real_data.py --source ../shared/data --output data/lists

Photos of the skin need no list of their own: `prepare.py isic --cases` takes the set's. `real.sh` has the commands.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _path  # noqa: F401 - started as a file

import csv
import io
import sys
from pathlib import Path

import tyro

from training.datasets.base import LABEL
from training.datasets.description import read_rows
from veloxseg import files
from veloxseg.contract.errors import VeloxSegError

# folder of the set -> name of the list, then column -> file of a case
SETS = {
    "petct_sts": ("petct-sarcoma", {"CT": "{id}/CT.nii.gz", "PET": "{id}/PET.nii.gz", LABEL: "{id}/PET_mask.nii.gz"}),
    "hippocampus_msd04": ("hippocampus-mri", {"MR": "images/{id}.nii.gz", LABEL: "labels/{id}.nii.gz"}),
}


def rows(folder: Path, columns: dict[str, str]) -> list[dict[str, str]]:
    """Rows of the list of one set: id, split and absolute paths. Raises DATASET_FILE for a missing or damaged cases.csv."""
    found = []
    for row in read_rows(folder / "cases.csv"):
        paths = {column: str((folder / name.format(id=row["id"])).resolve()) for column, name in columns.items()}
        found.append({"id": row["id"], "split": row["split"], **paths})
    return found


def main(source: Path = Path("../shared/data"), output: Path = Path("data/lists")) -> None:
    """Writes the lists.

    Args:
        source: folder with the public sets, each with a cases.csv.
        output: folder for the lists.
    """
    for folder, (name, columns) in SETS.items():
        found = rows(source / folder, columns)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
        with files.typed_output_errors(output):
            output.mkdir(parents=True, exist_ok=True)
        files.write_text(output / f"{name}.csv", text.getvalue())
        print(output / f"{name}.csv")


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except VeloxSegError as error:
        sys.exit(error.text)
