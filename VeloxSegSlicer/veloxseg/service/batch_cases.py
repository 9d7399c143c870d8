"""The cases of a batch: which files belong together, and what keeps a case from being computed.

Only names and headers are read here, so that thousands of cases are listed in seconds and without torch.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from veloxseg.contract import names
from veloxseg.contract.card import Card, Role
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import reading
from veloxseg.service import case_lists

VOLUME_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
PHOTO_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".nrrd")
READY, INCOMPLETE, UNREADABLE = "ready", "incomplete", "unreadable"
CASE = "{case}"
LONG_PATTERN = 4
# The batch's own files beside the cases' folders.
TAKEN_NAMES = ("pause", "cancel", "settings.json", "summary.csv", "lesions.csv", "failures.csv")
MOST_WILDCARDS = 8


@dataclass(frozen=True)
class Case:
    """One case: its name, the file of each role that was found, and why it cannot be computed, "" when it can.

    size: voxels (i, j, k) of the reference image or pixels (columns, rows), None before `inspect`.
    """

    name: str
    files: Mapping[str, Path]
    state: str = READY
    problem: str = ""
    size: tuple[int, ...] | None = None


def discover(source: dict, card: Card) -> list[Case]:
    """The cases of a batch's `source` (docs/formats.md), sorted by name.

    Raises BATCH_SOURCE when the source itself cannot be used; what is wrong with one case is its `problem`.
    """
    path = Path(source["path"])
    kind = source["kind"]
    if kind == "list" and not path.is_file():
        raise _source_error(path, "there is no such file", "choose a CSV file")
    if kind != "list" and not path.is_dir():
        raise _source_error(path, "there is no such folder", "choose a folder")
    roles, endings = card.roles, endings_of(card)
    patterns = source.get("patterns", {})
    unknown = set(patterns) - {role.name for role in roles}
    if unknown:
        raise VeloxSegError("REQUEST", reason=f"the model has no image {', '.join(sorted(unknown))}")
    if kind == "folders":
        cases = [_folder_case(folder, roles, patterns, endings) for folder in path.iterdir() if _is_case_folder(folder)]
    elif kind == "names":
        cases = _cases_by_name(path, default_patterns(roles) | patterns, endings)
    else:
        cases = _listed_cases(path, [role.name for role in roles])
    if not cases:
        raise _source_error(path, "it has no cases", "choose another place or change the patterns")
    return _without_doubles(sorted(cases, key=lambda case: case.name.lower()))


def default_patterns(roles: Sequence[Role]) -> dict[str, str]:
    """Role -> pattern of file names for a folder with all cases."""
    if len(roles) == 1:
        return {roles[0].name: f"{CASE}.*"}
    return {role.name: f"{CASE}_{role.name}.*" for role in roles}


def inspect(case: Case, card: Card) -> Case:
    """The case with the size of its reference image, or unreadable; only headers are read."""
    if case.state != READY:
        return case
    sizes, is_photo = {}, card.takes_photo
    for role, path in case.files.items():
        if not path.is_file():
            return replace(case, state=UNREADABLE, problem=vanished(role))
        try:
            sizes[role] = _size(path, role, is_photo)
        except VeloxSegError as error:
            return replace(case, state=UNREADABLE, problem=error.text)
        except (OSError, UnidentifiedImageError, ValueError):
            return replace(case, state=UNREADABLE, problem=f"The {role} file cannot be read; export it again.")
    return replace(case, size=sizes[card.reference.name])


def vanished(role: str) -> str:
    """The sentence for a file that was listed."""
    return f"The {role} file is not there any more; put it back or take the case out."


def endings_of(card: Card) -> tuple[str, ...]:
    """What names of image files for this card end in, lower case."""
    return PHOTO_ENDINGS if card.takes_photo else VOLUME_ENDINGS


def stem(path: Path, endings: Sequence[str] = VOLUME_ENDINGS + PHOTO_ENDINGS) -> str:
    """Name of an image file without its ending, which may have two parts."""
    return next((path.name[: -len(ending)] for ending in endings if path.name.lower().endswith(ending)), path.name)


def _size(path: Path, role: str, is_photo: bool) -> tuple[int, ...]:
    if not is_photo or path.name.lower().endswith(tuple(reading.FORMATS)):
        return reading.header(path, role).size
    with Image.open(path) as photo:
        return photo.size


def _is_case_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _images_in(folder: Path, endings: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Relative name with slashes, and path, of every image file below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.name.lower().endswith(tuple(endings)) and not path.name.startswith(".") and path.is_file():
            yield path.relative_to(folder).as_posix(), path


def _folder_case(folder: Path, roles: Sequence[Role], patterns: Mapping[str, str], endings: Sequence[str]) -> Case:
    images = list(_images_in(folder, endings))
    found = {}
    for role in roles:
        pattern = patterns.get(role.name)
        if pattern is not None:
            matches = [path for name, path in images if _expression(pattern, endings).fullmatch(name)]
        elif len(roles) == 1 and len(images) == 1:
            matches = [images[0][1]]
        else:
            matches = [path for _, path in images if any(_has_word(stem(path), word) for word in role.patterns)]
        found[role.name] = matches
    return _case(folder.name, found)


def _has_word(name: str, pattern: str) -> bool:
    """As the panel assigns images: short patterns such as "t1" must be a word, so that "t1c" is not taken for it."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower()
    pattern = pattern.lower()
    return (len(pattern) >= LONG_PATTERN and pattern in name.lower()) or pattern in re.split(r"[^a-z0-9]+", words)


def _cases_by_name(folder: Path, patterns: Mapping[str, str], endings: Sequence[str]) -> list[Case]:
    without = [role for role, pattern in patterns.items() if CASE not in pattern]
    if without:
        raise VeloxSegError("REQUEST", reason=f"the pattern of {without[0]} has no {CASE}")
    cases: dict[str, dict[str, list[Path]]] = {}
    expressions = {role: _expression(pattern, endings) for role, pattern in patterns.items()}
    for name, path in _images_in(folder, endings):
        for role, expression in expressions.items():
            match = expression.fullmatch(name)
            if match:
                found = cases.setdefault(match["case"], {name: [] for name in patterns})
                found[role].append(path)
    return [_case(name, found) for name, found in cases.items()]


def _expression(pattern: str, endings: Sequence[str]) -> re.Pattern:
    """Regular expression of a pattern: `{case}` is a name, `*` and `?` stand for characters but not for a slash, and `.*` at the
    end for any ending of an image."""
    if pattern.count("*") > MOST_WILDCARDS:
        raise VeloxSegError("REQUEST", reason=f"the pattern {pattern[:40]!r} has more than {MOST_WILDCARDS} *")
    meanings = {CASE: r"(?P<case>[^/]+?)", "*": "[^/]*", "?": "[^/]"}
    body, any_ending, _ = pattern.rpartition(".*") if pattern.endswith(".*") else (pattern, "", "")
    parts = []
    for part in re.split(r"(\{case\}|\*|\?)", body):
        parts.append(meanings.get(part) or re.escape(part))
        if part == CASE:
            meanings[CASE] = "(?P=case)"
    if any_ending:
        parts.append("(?:" + "|".join(map(re.escape, endings)) + ")")
    return re.compile("".join(parts), re.IGNORECASE)


def _listed_cases(path: Path, roles: Sequence[str]) -> list[Case]:
    try:
        rows = case_lists.read(path)
    except case_lists.ListProblem as problem:
        raise _source_error(path, problem.reason, problem.remedy) from problem
    columns = {name.lower(): name for row in rows for name in row.cells}
    lacking = [name for name in ("case", *roles) if name.lower() not in columns]
    if rows and lacking:
        raise _source_error(path, f"it has no column {', '.join(lacking)}", f"give it the columns case, {', '.join(roles)}")
    cases = []
    for row in rows:
        entries = {role: row.cells[columns[role.lower()]] for role in roles}
        found = {role: [path.parent / entry] if entry else [] for role, entry in entries.items()}
        cases.append(_case(row.cells[columns["case"]], found))
    return cases


def _case(name: str, found: Mapping[str, Sequence[Path]]) -> Case:
    files = {role: paths[0] for role, paths in found.items() if len(paths) == 1}
    problem = _problem(name, found)
    return Case(name, files, INCOMPLETE if problem else READY, problem)


def _problem(name: str, found: Mapping[str, Sequence[Path]]) -> str:
    if names.LONE_SURROGATE.search(name):
        return "The name of the case has bytes that are not UTF-8; rename its files."
    if not names.fits_every_system(name) or name.lower() in TAKEN_NAMES:
        return "The name of the case cannot be the name of a folder; change it."
    seen: dict[Path, str] = {}
    for role, paths in found.items():
        if not paths:
            return f"No file for {role}; add it or change the pattern."
        if len(paths) > 1:
            return f"{len(paths)} files could be {role}; change the pattern so that one is left."
        unusable = names.problem(paths[0])
        if unusable:
            return f"The path of the {role} file cannot be used because {unusable}; rename it."
        if paths[0].is_dir():
            return f"The {role} entry is a folder, and one file is needed; export the series as NRRD or NIfTI first."
        if not paths[0].is_file():
            return f"The {role} file does not exist; correct the list."
        if seen.setdefault(paths[0].resolve(), role) != role:
            return f"The same file would be {seen[paths[0].resolve()]} and {role}; give each its own."
    return ""


def _without_doubles(cases: list[Case]) -> list[Case]:
    """Case names become folders, and some file systems do not tell capitals from small letters."""
    counts = Counter(names.folded(case.name) for case in cases)
    problem = "The name of the case appears twice; give each case a name of its own."
    return [replace(case, state=INCOMPLETE, problem=problem) if counts[names.folded(case.name)] > 1 else case for case in cases]


def _source_error(path: Path, reason: str, remedy: str) -> VeloxSegError:
    return VeloxSegError("BATCH_SOURCE", path=path, reason=reason, remedy=remedy)
