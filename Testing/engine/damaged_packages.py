"""Model packages with damages of five kinds, and zips of packages."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import SimpleITK as sitk

from veloxseg import files
from veloxseg.packages import cards, package_writer, packages


def zipped(package, archive, *damages):
    """The package as a zip, after damages to the folder that its manifest may or may not know of."""
    for damage in damages:
        damage(package)
    package_writer.pack(package, archive)
    return archive


def archive_of(path, entries):
    with zipfile.ZipFile(path, "w") as target:
        for entry, content in entries:
            target.writestr(entry, content)
    return path


def change_card(package, **changes):
    content = json.loads((package / cards.CARD).read_text())
    files.write_json(package / cards.CARD, content | changes)


def with_manifest(package):
    package_writer.write_manifest(package)


def other_answer(package):
    mask = package / "example" / "mask.nii.gz"
    sitk.WriteImage(1 - sitk.ReadImage(str(mask)), str(mask))


def other_weights(package):
    with open(package / packages.WEIGHTS, "r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write(b"\x11\x22")


def cut_off(archive):
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    return archive


def five(package, folder):
    """Code of the refusal -> a damaged package, made of copies of a sound one."""

    def case(name, *damages):
        copy = Path(shutil.copytree(package, folder / name))
        return zipped(copy, folder / f"{name}.zip", *damages)

    return {
        "MODEL_FILE": cut_off(case("half")),
        "MODEL_UNSAFE": archive_of(folder / "slip.zip", [(zipfile.ZipInfo("../evil"), "x")]),
        "MODEL_SCHEMA": case("card", lambda copy: change_card(copy, threshold=2), with_manifest),
        "MODEL_CORRUPT": case("weights", other_weights),
        "MODEL_ANSWER": case("answer", other_answer, with_manifest),
    }
