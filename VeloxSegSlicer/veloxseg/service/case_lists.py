"""Lists of cases as spreadsheets save them: one reader for batches and for training."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from veloxseg.contract import csv_text

DELIMITERS = ",;\t"
BLANK = DELIMITERS + ' "\r\n'
# Excel's own way to say which delimiter follows
DECLARED = re.compile(r"sep=(.)", re.IGNORECASE)
SAVE_AGAIN = "save it as CSV UTF-8"


class ListProblem(Exception):
    """Why a list cannot be used: `reason` as half a sentence with the line, `remedy` as another."""

    def __init__(self, reason: str, remedy: str = "correct it") -> None:
        self.reason, self.remedy = reason, remedy
        super().__init__(reason)


@dataclass(frozen=True)
class ListRow:
    """One case: number of its line from 1 on, and the cells by column as the heading spells it, "" for empty ones."""

    line: int
    cells: Mapping[str, str]


def read(path: Path) -> list[ListRow]:
    """Rows below the first line that is not blank.

    Comma, semicolon or tab, whichever the heading has most of; UTF-8 or UTF-16, with or without a byte order mark; blanks about
    cells, blank lines and columns without a name count as nothing. Raises ListProblem.
    """
    lines = _lines(path)
    if not lines:
        raise ListProblem("it is empty", "give it a heading and a line for each case")
    heading = [cell.strip() for cell in lines[0][1]]
    names = [name.lower() for name in heading if name]
    for name in names:
        if names.count(name) > 1:
            raise ListProblem(f"its heading has the column {name} twice", "keep one of them")
    return [ListRow(number, _cells(heading, cells, number)) for number, cells in lines[1:]]


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Number and cells of every line that is not blank."""
    text = _text(path)
    skipped = 0
    declared = DECLARED.fullmatch(text.partition("\n")[0].strip())
    if declared:
        text, skipped = text.partition("\n")[2], 1
    heading = next((line for line in text.splitlines() if line.strip(BLANK)), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=declared[1] if declared else max(DELIMITERS, key=heading.count),
                        skipinitialspace=True)  # fmt: skip
    found = []
    try:
        for cells in reader:
            if any(cell.strip(BLANK) for cell in cells):
                found.append((reader.line_num + skipped, cells))
    except csv.Error as error:
        raise ListProblem(f"line {reader.line_num + skipped} is no CSV ({error})", SAVE_AGAIN) from error
    return found


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = data.decode(encoding)
    except OSError as error:
        raise ListProblem(f"it cannot be read ({error.strerror})", "choose a CSV file") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ListProblem(f"line {line} cannot be read as UTF-8 text", SAVE_AGAIN) from error
    if "\0" in text:
        raise ListProblem("it cannot be read as UTF-8 text", SAVE_AGAIN)
    return text


def _cells(heading: list[str], cells: list[str], line: int) -> dict[str, str]:
    texts = [csv_text.plain(cell.strip()) for cell in cells]
    if any(texts[len(heading) :]):
        raise ListProblem(f"line {line} has more cells than the heading")
    texts += [""] * (len(heading) - len(texts))
    return {name: text for name, text in zip(heading, texts) if name}
