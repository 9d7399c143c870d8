"""`veloxseg models`: list, verify, import and remove model packages."""

import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import tyro

from veloxseg.commands import cli_events
from veloxseg.contract import names
from veloxseg.contract.errors import VeloxSegError
from veloxseg.service import runner

COLUMNS = 5
CHECK_TEXTS = {
    "safe": "The files are safe",
    "card": "The card is complete",
    "weights": "The weights match",
    "test": "The test run gives the expected result",
}


@dataclass(frozen=True)
class Models:
    """List shipped and imported models, print a card, verify a model (hashes, schema, run on its example), import the zip or
    folder that training wrote, make such a zip of a checkpoint and a card, or remove an imported one."""

    action: tyro.conf.Positional[Literal["list", "card", "verify", "import", "convert", "remove"]] = "list"
    """What to do."""
    package: tyro.conf.Positional[str | None] = None
    """Id, id-version or folder of a package; for import a zip or folder; for convert a checkpoint, of which weights are read."""
    folder: Path | None = None
    """Folder of imported models; by default the one that the panel in 3D Slicer uses, or $VELOXSEG_MODELS."""
    replace: tyro.conf.FlagCreatePairsOff[bool] = False
    """For import: take the place of another model of the same name and version."""
    card: Path | None = None
    """For convert: the card, a JSON file (docs/formats.md)."""
    output: Path | None = None
    """For convert: the zip to write; by default id-version.zip in the current folder."""
    events: tyro.conf.FlagCreatePairsOff[bool] = False
    """For programs: one JSON object per line on stdout instead of text (docs/formats.md)."""

    def run(self) -> None:
        """Do it. Raises VeloxSegError."""
        if self.action == "list":
            _list(self.folder)
        elif self.package is None:
            raise VeloxSegError("REQUEST", reason=f"models {self.action} needs a package")
        elif self.action == "card":
            _print_card(self.package, self.folder)
        else:
            importing = partial(_import, replace=self.replace)
            converting = partial(_convert, card=self.card, output=self.output)
            action = {"verify": _verify, "import": importing, "convert": converting, "remove": _remove}[self.action]
            with cli_events.sent(self.events) as events:
                text, facts = action(self.package, self.folder, Checks(events))
                if events is None:
                    print(text)
                else:
                    events.send("result", text=text, **facts)


class Checks:
    """Tells of the checks of a package, as events or as lines."""

    def __init__(self, events: runner.Events | None) -> None:
        self._events = events

    def __call__(self, check: str, state: str) -> None:
        """A check of `CHECK_TEXTS` is running or has passed (`packages.Report`)."""
        if self._events is not None:
            self._events.send("check", name=check, state=state, text=CHECK_TEXTS[check])
        elif state == "passed":
            print(f"[x] {CHECK_TEXTS[check]}")


def _list(folder: Path | None) -> None:
    from veloxseg.packages import cards

    rows = [
        _row(package, origin)
        for origin, packages in (("shipped", cards.shipped()), ("imported", cards.imported(folder)))
        for package in packages
    ]
    widths = [max((len(row[column]) for row in rows if isinstance(row, tuple)), default=0) for column in range(COLUMNS)]
    for row in rows:
        print(row if isinstance(row, str) else "  ".join(map(str.ljust, row, widths)).rstrip())


def _row(package: Path, origin: str) -> tuple[str, ...] | str:
    """Id, version, images to give, title and origin; of a damaged package one text: its folder and what is wrong."""
    from veloxseg.packages import cards

    try:
        card = cards.read(package)
    except VeloxSegError as error:
        return f"{names.shown(package.name)}: {error.text}"
    roles = " ".join(role.name for role in card.roles)
    return card.id, card.version, roles, card.marked_title, origin


def _print_card(package: str, folder: Path | None) -> None:
    from veloxseg.packages import cards

    print(json.dumps(cards.read(cards.find(package, folder)).content, indent=2, ensure_ascii=False))


def _verify(package: str, folder: Path | None, checks: Checks) -> tuple[str, dict]:
    from veloxseg.packages import cards, packages

    found = cards.find(package, folder)
    dice = packages.verify(found, checks)
    warning = cards.warning(cards.read(found).content["scores"])
    text = f"{found.name}: intact, example Dice {dice:.3f}" + (f"\n{warning.text}" if warning else "")
    return text, {"folder": str(found), "dice": dice}


def _import(package: str, folder: Path | None, checks: Checks, replace: bool) -> tuple[str, dict]:
    from veloxseg.packages import cards, package_import

    target = folder or cards.user_folder()
    found = package_import.import_package(Path(package), target, checks, replace)
    name = found.card.package_name
    return f"{name}: imported into {target}", {"folder": str(found.folder), "name": name}


def _convert(checkpoint: str, _folder: Path | None, checks: Checks, card: Path | None, output: Path | None) -> tuple[str, dict]:
    from veloxseg.packages import package_convert

    if card is None:
        raise VeloxSegError("REQUEST", reason="models convert needs a card (--card)")
    written = package_convert.convert(Path(checkpoint), card, output, checks)
    return f"{written}: to be imported with: veloxseg models import {written}", {"file": str(written)}


def _remove(package: str, folder: Path | None, checks: Checks) -> tuple[str, dict]:
    from veloxseg import files
    from veloxseg.packages import cards

    found = cards.find(package, folder).absolute()
    if found.parent == cards.SHIPPED:
        raise VeloxSegError("MODEL_SHIPPED", model=found.name)
    freed = sum(path.stat().st_size for path in found.rglob("*") if path.is_file())
    with files.typed_output_errors(found):
        shutil.rmtree(found)
    return f"{found.name}: removed, {freed / 1e6:.1f} MB freed", {"folder": str(found), "bytes": freed}
