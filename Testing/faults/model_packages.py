"""Model packages: cards, weights, other files in them, and zips on their way in."""

import functools
import hashlib
import json
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from safetensors.torch import load, save

from veloxseg.packages import cards, package_import, package_writer, packages

from . import damage
from .verdicts import Kept, Verdict, judge
from .workshop import Workshop

EXITS = (3,)
PLAIN_NETWORK = packages.ModelPackage.network
ODD_ENTRIES = ("../evil.json", "/evil.json", "a/../../evil.json", "evil.py", "evil.so", "CON.txt", "a\\b.txt", "c:evil.txt",
               "a\nb.txt", "x" * 300 + ".txt", "LICENSE", "license", "configs/velox.json/x.txt", "a/" * 20 + "x.txt",
               "models/evil.pt", ".hidden")  # fmt: skip


def _copy(workshop: Workshop) -> Path:
    return Path(shutil.copytree(workshop.package, workshop.place / "tiny-test"))


def _segmented_with(workshop: Workshop, package: Path) -> Verdict:
    sitk.WriteImage(workshop.image, str(workshop.inputs / "t1.nrrd"))
    request = workshop.request() | {"model": str(package)}
    return judge(lambda: workshop.run(request, []), workshop.answer.difference, (2, 3), workshop.kept())


def card_alone(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """A card that is taken has to be one that makes a network, and its numbers those of the file."""
    package = _copy(workshop)
    content = json.loads((package / cards.CARD).read_text())
    text = damage.text_of_json(content, rng)
    (package / cards.CARD).write_bytes(text)

    def difference(found: packages.ModelPackage) -> str:
        packages.build_network(found.card)
        return "" if found.card.content == json.loads(text.decode("utf-8-sig")) else "the card that was read is another one"

    return judge(lambda: packages.read(package), difference, EXITS, workshop.kept())


def sealed_file(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Any file of a package: its manifest knows better."""
    package = _copy(workshop)
    paths = sorted(path for path in package.rglob("*") if path.is_file())
    path = paths[int(rng.integers(len(paths)))]
    sound = path.read_bytes()
    changed = damage.data(sound, rng)
    path.write_bytes(changed)

    def difference(_dice: float) -> str:
        if changed == sound:
            return ""
        same = path.name == packages.MANIFEST and json.loads(changed) == json.loads(sound)
        return "" if same else f"{path.name} was changed and nobody noticed"

    return judge(lambda: packages.verify(package), difference, EXITS, workshop.kept())


def weights_in_use(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Damaged weights in a package that is there already: a segmentation notices."""
    package = _copy(workshop)
    path = package / packages.WEIGHTS
    content = path.read_bytes()
    changed = damage.data(content, rng)
    path.unlink() if rng.random() < 0.1 else path.write_bytes(changed if changed != content else content[:-1])
    return _segmented_with(workshop, package)


def resealed_weights(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Weights that no network has, with the right hash on them: never loaded."""
    package = _copy(workshop)
    path = package / packages.WEIGHTS
    state = load(path.read_bytes())
    name = sorted(state)[int(rng.integers(len(state)))]
    tensor = state[name]
    ways = (
        lambda: state.update({name: tensor.float() * float("nan")}),
        lambda: state.update({name: torch.full_like(tensor, float("inf")) if tensor.is_floating_point() else tensor.float() / 0}),
        lambda: state.update({name: torch.zeros(tensor.shape, dtype=torch.complex64)}),
        lambda: state.update({name: torch.zeros([*tensor.shape, 2])}),
        lambda: state.pop(name),
        lambda: state.update({name + ".more": torch.zeros(3)}),
        lambda: state.update({"x" * 3000 + "\n": torch.zeros(3)}),
    )
    ways[int(rng.integers(len(ways)))]()
    data = save(state)
    if rng.random() < 0.2:
        data = struct.pack("<Q", int(rng.choice([0, 10**6, 2**40, 2**63]))) + data[8:]
    path.write_bytes(data)
    content = json.loads((package / cards.CARD).read_text()) | {"weights_sha256": hashlib.sha256(data).hexdigest()}
    (package / cards.CARD).write_text(json.dumps(content))
    package_writer.write_manifest(package)
    plain = PLAIN_NETWORK
    return judge(lambda: plain(packages.read(package)), lambda _: f"{name} was loaded", EXITS, workshop.kept())


@functools.cache
def _sound_zip(package: Path, path: Path) -> bytes:
    package_writer.pack(package, path)
    return path.read_bytes()


def _imported(workshop: Workshop, archive: bytes) -> Verdict:
    """An import gives the very package or leaves the one that is there."""
    models, source = workshop.place / "models", workshop.place / "given.zip"
    shutil.copytree(workshop.package, models / "tiny-test-1.0.0")
    (models / "tiny-test-1.0.0" / "README.md").write_text("the one before")
    source.write_bytes(archive)

    def difference(found: packages.ModelPackage) -> str:
        same = _contents(found.folder) == _contents(workshop.package)
        return "" if same and found.folder.parent == models else "another package than the one that was packed"

    kept, before = Kept(workshop.place / "earlier"), Kept(models)
    return judge(lambda: package_import.import_package(source, models), difference, EXITS, kept, replaced=before)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def bytes_of_a_zip(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    sound = _sound_zip(workshop.package, workshop.root / "sound.zip")
    end = len(sound) - sound.rindex(b"PK\x01\x02", 0, sound.index(b"PK\x01\x02") + 4)
    # half of them in the directory at the end, which is short
    return _imported(workshop, damage.data(sound, rng) if rng.random() < 0.5 else sound[:-end] + damage.data(sound[-end:], rng))


def entries_of_a_zip(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    path = workshop.place / "odd.zip"
    path.write_bytes(_sound_zip(workshop.package, workshop.root / "sound.zip"))
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo(ODD_ENTRIES[int(rng.integers(len(ODD_ENTRIES)))])
        if rng.random() < 0.2:
            entry = zipfile.ZipInfo("link.txt")
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, b"#!/bin/sh\n" if rng.random() < 0.3 else b"x")
    return _imported(workshop, path.read_bytes())


KINDS = {"package: card": card_alone, "package: any file": sealed_file, "package: weights in use": weights_in_use,
         "package: weights resealed": resealed_weights, "package: zip, bytes": bytes_of_a_zip,
         "package: zip, entries": entries_of_a_zip}  # fmt: skip
