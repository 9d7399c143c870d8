"""Tables as text for spreadsheets: what comes from names and files is never taken for a formula there."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

GUARD = "'"
"""Before a text that a spreadsheet would compute."""

_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")


def cell(value: object) -> object:
    """A value for a cell: texts that begin like a formula get a guard before them; numbers, also as text, stay."""
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return GUARD + value
    return value


def plain(text: str) -> str:
    """The text that `cell` was given."""
    bare = text.removeprefix(GUARD)
    return bare if bare != text and cell(bare) == text else text


def table(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    """CSV with a heading and LF line ends; what a row does not have is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_one_cell, columns))
    writer.writerows([_one_cell(row.get(column, "")) for column in columns] for row in rows)
    return text.getvalue()


def _one_cell(value: object) -> object:
    """A cell for a file with LF line ends; a lone CR would not be quoted there and begin a new line elsewhere."""
    guarded = cell(value)
    return re.sub(r"\r\n?", "\n", guarded) if isinstance(guarded, str) else guarded


def clipboard(lines: Iterable[Iterable[str]]) -> str:
    """Lines of cells with tabs between them, as spreadsheets paste them."""
    return "\n".join("\t".join(str(cell(re.sub(r"[\t\r\n]+", " ", text))) for text in line) for line in lines)
