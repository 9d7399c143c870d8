"""Texts of others on their way into tables, messages and reports."""

import csv
import io
import re

import numpy as np

from veloxseg.contract import csv_text, names, redaction
from veloxseg.contract.errors import VeloxSegError

from . import damage
from .verdicts import Verdict, judge
from .workshop import Workshop

LETTERS = "=+-@\t\r\n;,\"' /\\|!.:()$%&<>^~_0123456789abcXYZäé\u202e\uff1d\ufffd\u200b\x07"
FORMULA = set("=+-@\uff1d\uff0b\uff0d\uff20")
PEOPLE = ("Miller^Anna", "Jürgen Groß", "O'Brien", "van der Berg", "Smith-Jones", "Li Wei")
PLACES = ("/home/{0}/scan.nii.gz", "C:\\Users\\{0}\\My Scans\\t1.nrrd", "\\\\server\\{0}\\x", "~/{0}/y.dcm", "../{0}/t1.nii",
          "file:///data/{0}/a b/c.mha", "{0}.nii.gz", "'{0}/x.nrrd'", "data/{0}")  # fmt: skip
LINES = ("cannot open {0}", "FileNotFoundError: [Errno 2] No such file or directory: {0}", "{0}", 'File "{0}", line 3, in read',
         "reading {0} and then more", "x={0};y", "({0})", "Error\n{0}\nmore", "it is {0}: 3.5 mm")  # fmt: skip


def _text(rng: np.random.Generator) -> str:
    length = int(rng.integers(1, 12))
    return "".join(LETTERS[int(number)] for number in rng.integers(0, len(LETTERS), length))


def table(_workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """No cell of a written table begins a formula, every cell can be read again, and there are as many rows as there were."""
    rows = [{"case": _text(rng), _text(rng) + "x": _text(rng), "n": float(rng.normal())} for _ in range(5)]
    columns = list(dict.fromkeys(key for row in rows for key in row))

    def difference(text: str) -> str:
        found = list(csv.reader(io.StringIO(text)))
        if len(found) != len(rows) + 1 or any(len(line) != len(columns) for line in found):
            return f"{len(found) - 1} rows instead of {len(rows)}: {rows}"
        for row, line in zip(rows, found[1:], strict=True):
            for column, cell in zip(columns, line, strict=True):
                plain = row.get(column, "")
                is_number = isinstance(plain, float) or _is_number(cell)
                if not is_number and cell.lstrip()[:1] in FORMULA and cell:
                    return f"the formula {cell!r}"
                if isinstance(plain, str) and csv_text.plain(cell) != plain.replace("\r\n", "\n").replace("\r", "\n"):
                    return f"{plain!r} came back as {csv_text.plain(cell)!r}"
        return ""

    return judge(lambda: csv_text.table(rows, columns), difference, None)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def report(_workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """No word of a person's name in a path or beside it is left in what is told to others."""
    person = PEOPLE[int(rng.integers(len(PEOPLE)))]
    line = LINES[int(rng.integers(len(LINES)))]
    is_path = rng.random() < 0.6
    text = line.format(PLACES[int(rng.integers(len(PLACES)))].format(person) if is_path else person)
    known = [] if is_path else [person]

    def difference(found: str) -> str:
        words = [word for word in person.replace("^", " ").replace("'", " ").replace("-", " ").split() if len(word) > 2]
        left = [word for word in words if re.search(rf"\b{word}\b", found, re.IGNORECASE)]
        return f"{left} is left of {text!r}: {found!r}" if left else ""

    return judge(lambda: redaction.redacted(text, known), difference, None)


def name(_workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Whatever a path is made of, there is a sentence of one line about it, or none that is needed."""
    odd = damage.HOSTILE[int(rng.integers(5, 15))]
    path = f"{_text(rng)}{odd}{_text(rng)}"

    def do() -> str:
        shown = names.shown(path)
        error = VeloxSegError("PATH", path=shown, reason=names.problem(path) or "it is odd")
        return error.text

    def difference(text: str) -> str:
        return "" if text.isprintable() and len(text) < 400 else f"no sentence: {text!r}"

    return judge(do, difference, None)


KINDS = {"text: tables": table, "text: reports": report, "text: names": name}
