"""Importing model packages: from a zip or folder of somebody else into the folder of models, after four checks.

`safe`: names, sizes and kinds of files; `card`: the schema; `weights`: checksums, names and shapes; `test`: the package's
example gives the expected mask. Nothing is executed, imported or unpickled, and a failure leaves everything as it was.
"""

import contextlib
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from veloxseg import files
from veloxseg.contract import names
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.packages import cards
from veloxseg.packages.cards import CARD, is_unsafe_name
from veloxseg.packages.packages import ModelPackage, Report, read, reported, unheard, verify

LARGEST_PACKAGE_BYTES = 2 << 30
MOST_FILES = 1000
# Weights and images hardly pack; a text of some megabytes may.
MOST_PACKED, SMALL_FILE_BYTES = 200, 16 << 20
# What a package is made of. A list of what is dangerous would never be complete.
SUFFIXES = {".json", ".md", ".txt", ".safetensors", ".gz", ".nii", ".nrrd", ".png", ".jpg", ".jpeg", ".csv", ".pdf", ".cff"}
NAMES_WITHOUT_SUFFIX = {"LICENSE", "NOTICE", "COPYING", "README"}
# First bytes of programs: ELF, Windows, Mach-O and scripts, whatever the name says.
PROGRAM_STARTS = (b"\x7fELF", b"MZ", b"#!", b"\xfe\xed\xfa", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
# What Python's readers of zip files and of the compressions in them raise for damaged ones.
ZIP_READING_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
    OverflowError, IndexError, OSError,
)  # fmt: skip
MOST_LEVELS = 8
CHUNK = 1 << 20


class Entry(NamedTuple):
    """One file of a package that is not here yet."""

    name: str
    size: int
    packed: int
    """Bytes in the archive."""
    is_link: bool


def import_package(source: Path, models_folder: Path, report: Report = unheard, replace: bool = False) -> ModelPackage:
    """Check a zip or folder and put it at `models_folder/<id>-<version>`.

    replace: take the place of another model of that name and version, imported or shipped.
    Raises MODEL_MISSING, MODEL_FILE, MODEL_UNSAFE, MODEL_EXISTS, the codes of `packages.verify`, OUTPUT_UNWRITABLE, DISK_FULL.
    """
    source, models_folder = Path(source), Path(models_folder)
    names.check(source)
    names.check(models_folder)
    if not source.exists():
        raise VeloxSegError("MODEL_MISSING", path=names.shown(source), near="")
    files.remove_leftovers(models_folder)
    partial = files.partial_name(models_folder / "package")
    # messages name a package by its folder
    unpacked = partial / source.stem
    try:
        with reported("safe", report), files.typed_output_errors(models_folder):
            unpacked.mkdir(parents=True)
            (_copy if source.is_dir() else _unpack)(source, unpacked)
            _refuse_programs(unpacked, source.name)
            root = _package_root(unpacked, source.name)
        verify(root, report)
        if not replace:
            _refuse_another(read(root).card, models_folder)
        return _place(root, models_folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refuse_another(card: Card, models_folder: Path) -> None:
    """Raises MODEL_EXISTS where a model of this name and version has other weights."""
    for folder in [*cards.imported(models_folder), *cards.shipped()]:
        try:
            known = cards.read(folder)
        except VeloxSegError:
            # a damaged one is no loss
            continue
        if known.package_name == card.package_name and known.weights_sha256 != card.weights_sha256:
            raise VeloxSegError("MODEL_EXISTS", model=card.package_name)


def _place(root: Path, models_folder: Path) -> ModelPackage:
    card = read(root).card
    target = models_folder / card.package_name
    with files.replacing_folder(target) as folder:
        folder.rmdir()
        root.rename(folder)
    return ModelPackage(target, card)


def _unpack(archive: Path, folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        with _zip_errors(archive):
            source = stack.enter_context(zipfile.ZipFile(archive))
            entries = [entry for entry in source.infolist() if not entry.is_dir()]
        if any(entry.flag_bits & 1 for entry in entries):
            raise VeloxSegError("MODEL_FILE", model=archive.name, reason="it is encrypted")
        check_entries(
            (
                Entry(entry.filename, entry.file_size, entry.compress_size, stat.S_ISLNK(entry.external_attr >> 16))
                for entry in entries
            ),
            archive.name,
        )
        # zipfile never gives out more bytes than an entry declares, so the declared sizes are a safe bound.
        for entry in entries:
            target = folder / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as file:
                for part in _parts(source, entry, archive):
                    file.write(part)


def _parts(source: zipfile.ZipFile, entry: zipfile.ZipInfo, archive: Path) -> Iterator[bytes]:
    with _zip_errors(archive):
        packed = source.open(entry)
    with packed:
        while True:
            with _zip_errors(archive):
                part = packed.read(CHUNK)
            if not part:
                return
            yield part


@contextlib.contextmanager
def _zip_errors(archive: Path) -> Iterator[None]:
    """What goes wrong while reading is the archive's fault; writing is another matter."""
    try:
        yield
    except ZIP_READING_ERRORS as error:
        raise VeloxSegError("MODEL_FILE", model=archive.name, reason="it is no intact zip file", detail=str(error)) from error


def _copy(source: Path, folder: Path) -> None:
    check_entries(_entries_of(source), source.name)
    shutil.copytree(source, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)


def _entries_of(folder: Path) -> Iterator[Entry]:
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            size = path.lstat().st_size
            yield Entry(path.relative_to(folder).as_posix(), size, size, path.is_symlink())


def check_entries(found: Iterable[Entry], package: str) -> None:
    """Look at names, sizes and kinds before anything is written. Raises MODEL_UNSAFE."""
    entries = list(found)
    _refuse(package, "it is too large when unpacked", len(entries) > MOST_FILES)
    _refuse(package, "it is too large when unpacked", sum(entry.size for entry in entries) > LARGEST_PACKAGE_BYTES)
    taken = {names.folded(entry.name) for entry in entries}
    _refuse(package, "it has two files of one name", len(taken) < len(entries))
    for entry in entries:
        shown = names.shown(entry.name)
        parts = PurePosixPath(entry.name).parts
        above = {names.folded("/".join(parts[:level])) for level in range(1, len(parts))}
        is_bomb = entry.size > SMALL_FILE_BYTES and entry.size > MOST_PACKED * entry.packed
        _refuse(package, f"{shown} would grow more than {MOST_PACKED} times when unpacked", is_bomb)
        _refuse(package, f"the name {shown!r} leaves the package", is_unsafe_name(entry.name))
        _refuse(package, f"{shown} is a link", entry.is_link)
        _refuse(package, f"{shown} is of a kind that packages do not have", not _is_known_kind(entry.name))
        _refuse(package, f"the name {shown!r} is not possible on every system", not _fits(parts))
        _refuse(package, f"{shown} lies in a file", bool(above & taken))


def _fits(parts: Sequence[str]) -> bool:
    return len(parts) <= MOST_LEVELS and all(map(names.fits_every_system, parts))


def _is_known_kind(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES if path.suffix else path.name in NAMES_WITHOUT_SUFFIX


def _refuse_programs(folder: Path, package: str) -> None:
    for path in (path for path in folder.rglob("*") if path.is_file()):
        with open(path, "rb") as file:
            start = file.read(max(map(len, PROGRAM_STARTS)))
        _refuse(package, f"{path.relative_to(folder).as_posix()} is a program", start.startswith(PROGRAM_STARTS))


def _refuse(package: str, reason: str, found: bool) -> None:
    if found:
        raise VeloxSegError("MODEL_UNSAFE", model=package, reason=reason)


def _package_root(folder: Path, package: str) -> Path:
    """The unpacked package: the folder itself or the one folder in it."""
    if (folder / CARD).is_file():
        return folder
    inner = [path.parent.parent for path in folder.glob(f"*/{CARD}")]
    if len(inner) != 1:
        raise VeloxSegError("MODEL_FILE", model=package, reason=f"it has no card, {CARD}")
    return inner[0]
