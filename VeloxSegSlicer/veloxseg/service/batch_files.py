"""What a batch writes: a folder per case and tables over all cases; and what an earlier run has left there.

Files name the case and never the files it came from, whose names may be those of patients.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from veloxseg import files
from veloxseg.contract import csv_text
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.settings import FIELDS
from veloxseg.imaging import images
from veloxseg.imaging.stored import unreadable
from veloxseg.service.batch_cases import READY, Case, vanished

RUN, FAILURE, MEASURES = "run.json", "failure.json", "measures.csv"
SEGMENTATION = "segmentation"
MAPS = {"probability": 1.0, "uncertainty": 0.25}
"""Map -> the value that 255 stands for; a variance between members is 0.25 at most."""
SUMMARY, LESIONS, FAILURES, SETTINGS = "summary.csv", "lesions.csv", "failures.csv", "settings.json"
SAME_RESULT = tuple(name for name in (*FIELDS, "format") if name not in ("device", "accept", "accept_overlap"))
"""Settings that a finished case must share to be skipped: all but where it is computed and which oddities were accepted."""
UNITS = {
    "diameter_mm": "longest_diameter_mm",
    "suv_max": "suv_max_g_per_ml",
    "suv_mean": "suv_mean_g_per_ml",
    "suv_peak": "suv_peak_g_per_ml",
    "tlg": "tlg_suv_ml",
}
PROVENANCE = ("model", "model_version", "weights_sha256", "level", "device", "seed", "overlap", "engine", "torch", "created_utc")


def fingerprint(path: Path, role: str) -> dict[str, str]:
    """Whether a file is the same as at another time: by place, size and time of change at once, by content for sure.

    Raises BATCH_CASE for a file that has vanished, or INPUT_UNREADABLE.
    """
    try:
        return {"stat": _stat(path), "sha256": files.sha256(path)}
    except FileNotFoundError as error:
        raise VeloxSegError("BATCH_CASE", problem=vanished(role)) from error
    except OSError as error:
        raise unreadable(role, error.strerror or "the file cannot be opened", detail=str(error)) from error


def _stat(path: Path) -> str:
    facts = path.stat()
    return hashlib.sha256(f"{path.absolute()}|{facts.st_size}|{facts.st_mtime_ns}".encode()).hexdigest()


def finished(folder: Path) -> dict | None:
    """The run.json of a case, None when it was never finished or the file is damaged."""
    try:
        content = json.loads((folder / RUN).read_text(encoding="utf-8"))
        # what goes into the tables, and what tells whether the case is still the same
        summary_row("", "", content["results"])
        measure_rows(content["results"])
        is_known = all(isinstance(known, dict) and {"stat", "sha256"} <= set(known) for known in content["inputs"].values())
        is_whole = is_known and isinstance(content["settings"], dict) and content["results"]["model"]["level"]
        return content if content["schema_version"] == 1 and is_whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def difference(record: dict, case: Case, settings: Mapping[str, object], weights_sha256: str) -> str:
    """Why a finished case has to be computed again: "model", "settings", "images", or "" when all of them are the same."""
    if record["results"]["model"]["weights_sha256"] != weights_sha256:
        return "model"
    if record["settings"] != {name: settings[name] for name in SAME_RESULT}:
        return "settings"
    known = record["inputs"]
    if set(known) != set(case.files) or not all(_is_same(path, known[role]) for role, path in case.files.items()):
        return "images"
    return ""


def _is_same(path: Path, known: Mapping[str, str]) -> bool:
    return _stat(path) == known["stat"] or files.sha256(path) == known["sha256"]


def earlier_failure(folder: Path) -> dict | None:
    """The failure.json of a case, None when there is none."""
    try:
        content = json.loads((folder / FAILURE).read_text(encoding="utf-8"))
        return {name: str(content[name]) for name in ("code", "text", "created")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_failure(folder: Path, error: VeloxSegError) -> None:
    """Write failure.json, beside an older result, which stays. Raises OUTPUT_UNWRITABLE, DISK_FULL."""
    with files.typed_output_errors(folder):
        folder.mkdir(exist_ok=True)
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    files.write_json(folder / FAILURE, {"code": error.code, "text": error.text, "created": created})


def refuse_foreign_content(folder: Path) -> None:
    """A case's folder that holds anything else than results is never replaced. Raises OUTPUT_UNWRITABLE."""
    if folder.exists() and not (folder.is_dir() and all(_is_ours(path) for path in folder.iterdir())):
        raise VeloxSegError("OUTPUT_UNWRITABLE", path=folder, reason="it holds files that are not results of a batch")


def _is_ours(path: Path) -> bool:
    maps = tuple(f"{name}." for name in MAPS)
    return path.name in (RUN, FAILURE, MEASURES) or path.name.startswith((f"{SEGMENTATION}.", *maps))


def write_case(folder: Path, outcome: object, card: Card, record: dict, outputs: Sequence[str], ending: str) -> None:
    """Fill an empty folder with a case's files.

    outcome: of `dispatch.segment`. record: content of run.json. ending: `seg.nrrd` or `nii.gz`.
    """
    mask = images.image_of(outcome.mask, outcome.grid)
    if ending == "seg.nrrd":
        describe_segments(mask, card)
    images.write(mask, folder / f"{SEGMENTATION}.{ending}", compress=True)
    for name in outputs:
        values = getattr(outcome, name, None)
        if values is not None:
            scaled = np.rint(np.clip(values / MAPS[name], 0, 1) * 255).astype(np.uint8)
            map_ending = "nrrd" if ending == "seg.nrrd" else ending
            images.write(images.image_of(scaled, outcome.grid), folder / f"{name}.{map_ending}", compress=True)
    write_table(folder / MEASURES, measure_rows(record["results"]))
    files.write_json(folder / RUN, record)


def describe_segments(mask: sitk.Image, card: Card) -> None:
    """Give a label image the header fields from which 3D Slicer takes names, colors and terminology of segments."""
    extent = " ".join(f"0 {size - 1}" for size in mask.GetSize())
    mask.SetMetaData("Segmentation_ContainedRepresentationNames", "Binary labelmap|")
    mask.SetMetaData("Segmentation_SourceRepresentation", "Binary labelmap")
    mask.SetMetaData("Segmentation_ReferenceImageExtentOffset", "0 0 0")
    for number, label in enumerate(card.labels):
        tags = {
            "TerminologyEntry": label.terminology_entry,
            "DICOM.SegmentAlgorithmType": "AUTOMATIC",
            "DICOM.SegmentAlgorithmName": f"{card.marked_title} {card.version}",
        }
        facts = {
            "ID": f"Segment_{label.value}",
            "Name": label.name,
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{part / 255:.6f}" for part in label.color),
            "ColorAutoGenerated": "0",
            "Extent": extent,
            "LabelValue": str(label.value),
            "Layer": "0",
            "Tags": "".join(f"{key}:{value}|" for key, value in tags.items()),
        }
        for key, value in facts.items():
            mask.SetMetaData(f"Segment{number}_{key}", value)


def provenance(results: dict) -> dict[str, object]:
    """Columns of every table that say how a row was made."""
    model, versions = results["model"], results["versions"]
    values = (
        model["title"],
        model["version"],
        model["weights_sha256"][:12],
        model["level"],
        results["device"],
        results["seed"],
        results.get("overlap", ""),
        versions["engine"],
        versions["torch"],
        results["created"],
    )
    return dict(zip(PROVENANCE, values, strict=True))


def measure_rows(results: dict) -> list[dict]:
    """One row per segment, then one per lesion. Numbers that were not measured have no column, never a zero."""
    names = {segment["value"]: segment["name"] for segment in results["segments"]}
    segments = [{"kind": "segment", **_plain(segment, skip=("value",))} for segment in results["segments"]]
    lesions = [
        {"kind": "lesion", "name": names[lesion["label"]], "number": number, **_plain(lesion, skip=("label",))}
        for number, lesion in enumerate(results.get("lesions", ()), start=1)
    ]
    return [row | provenance(results) for row in [*segments, *lesions]]


def _plain(entry: dict, skip: Sequence[str]) -> dict:
    """Numbers and words of a segment or lesion with their units in the names; positions as RAS like in 3D Slicer."""
    row = {}
    for key, value in entry.items():
        if key == "centroid_lps":
            x, y, z = value
            row |= {"position_r_mm": _number(-x), "position_a_mm": _number(-y), "position_s_mm": _number(z)}
        elif key not in skip and isinstance(value, (int, float, str)):
            row[UNITS.get(key, key)] = _number(value)
    return row


def _number(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value


def summary_row(case: str, state: str, results: dict) -> dict:
    """The row of a finished case: sizes of all segments, totals, codes of the notes, seconds."""
    row = {"case": case, "state": state}
    for segment in results["segments"]:
        sizes = {key: value for key, value in segment.items() if key in ("volume_ml", "area_px", "area_mm2")}
        row |= {f"{segment['name']} {key}": _number(value) for key, value in sizes.items()}
    if "lesions" in results:
        row |= _totals(results["lesions"])
    if results.get("agreement") is not None:
        row["agreement"] = _number(results["agreement"])
    row["notes"] = "; ".join(dict.fromkeys(note["code"] for note in results["notes"]))
    return row | {"seconds": _number(float(results["seconds"]["total"]))} | provenance(results)


def _totals(lesions: Sequence[dict]) -> dict:
    row = {"lesions": len(lesions), "total_volume_ml": _number(float(sum(lesion["volume_ml"] for lesion in lesions)))}
    if lesions and all("tlg" in lesion for lesion in lesions):
        row["total_tlg_suv_ml"] = _number(float(sum(lesion["tlg"] for lesion in lesions)))
        row["largest_suv_max_g_per_ml"] = _number(float(max(lesion["suv_max"] for lesion in lesions)))
    return row


def write_tables(output: Path, cases: Sequence[Case], failures: Mapping[str, VeloxSegError]) -> None:
    """Write summary.csv, lesions.csv and failures.csv of all `cases` from what lies in their folders, also from other runs.

    failures: of this run, by case; those that could not be written to a folder are known only here.
    """
    summary, lesions, failed = [], [], []
    for case in cases:
        failure = _failure_of(output, case, failures)
        record = finished(output / case.name) if failure is None else None
        if failure is not None:
            failed.append({"case": case.name, **failure})
            summary.append({"case": case.name, "state": "failed"})
        elif record is not None:
            summary.append(summary_row(case.name, "done", record["results"]))
            lesions += [{"case": case.name, **row} for row in measure_rows(record["results"]) if row["kind"] == "lesion"]
    write_table(output / SUMMARY, summary, ("case", "state"))
    write_table(output / LESIONS, lesions, ("case",))
    write_table(output / FAILURES, failed, ("case", "code", "text", "created"))


def _failure_of(output: Path, case: Case, failures: Mapping[str, VeloxSegError]) -> dict | None:
    if case.state != READY:
        return {"code": "BATCH_CASE", "text": case.problem, "created": ""}
    if case.name in failures:
        error = failures[case.name]
        return earlier_failure(output / case.name) or {"code": error.code, "text": error.text, "created": ""}
    return earlier_failure(output / case.name)


def write_table(path: Path, rows: Iterable[dict], columns: Sequence[str] = ()) -> None:
    """Write rows as CSV with all their columns, `columns` first, provenance last, all or nothing."""
    rows = list(rows)
    found = list(dict.fromkeys([*columns, *(key for row in rows for key in row)]))
    last = [key for key in found if key in PROVENANCE]
    files.write_text(path, csv_text.table(rows, [*(key for key in found if key not in last), *last]))
