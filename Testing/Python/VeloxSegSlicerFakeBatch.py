"""Plays `veloxseg batch` without torch, for cases that are folders with one image each.

Call: python VeloxSegSlicerFakeBatch.py batch <settings.json> [--preview] --events. A case fails when its name contains "bad";
every case takes a moment, and a long one when its name contains "slow". Finished cases are skipped.
"""

import json
import shutil
import sys
import time
from pathlib import Path

LONG = 60.0
STEP = 0.02
EXIT_PARTLY, EXIT_CANCELLED = 8, 6


def send(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def main() -> None:
    settings = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    source, output = settings["source"], Path(settings["output"])
    send("hello", engine="0.0.fake", python="3", protocol=1)
    if source["kind"] == "list":
        rows = [line.split(",") for line in Path(source["path"]).read_text(encoding="utf-8").splitlines()]
        cases = {row[0]: {rows[0][1]: str(Path(source["path"]).parent / row[1])} for row in rows[1:]}
    else:
        cases = {folder.name: {"T1": str(next(folder.glob("*"), ""))} for folder in sorted(Path(source["path"]).iterdir())}
    if "--preview" in sys.argv:
        preview(cases, output)
        return
    sys.exit(run(cases, output, settings))


def isFinished(output: Path, name: str) -> bool:
    return (output / name / "run.json").is_file()


def preview(cases: dict, output: Path) -> None:
    entries = []
    for name, files in cases.items():
        state = "finished" if isFinished(output, name) else "ready" if files["T1"] else "incomplete"
        entries.append({"name": name, "files": files, "size": [4, 5, 6], "state": state, "text": ""})
    send("preview", cases=entries, counts={}, patterns={}, bytes=2_500_000, free_bytes=10**10, seconds=30.0)


def run(cases: dict, output: Path, settings: dict) -> int:
    counts = {"done": 0, "failed": 0, "skipped": 0, "left": 0}
    for number, (name, files) in enumerate(cases.items(), start=1):
        place = {"number": number, "total": len(cases), "name": name, "seconds_left": 90.0}
        if (output / "pause").exists():
            counts["left"] = len(cases) - number + 1
            break
        if isFinished(output, name):
            counts["skipped"] += 1
            send("case", state="skipped", text="Same model, settings and images.", **place)
            continue
        send("case", state="running", text="", **place)
        send("progress", done=0, total=2, seconds_left=None)
        end = time.monotonic() + (LONG if "slow" in name else 0.1)
        while time.monotonic() < end:
            time.sleep(STEP)
            if (output / "cancel").exists():
                return EXIT_CANCELLED
        state, text = ("failed", "The T1 image cannot be read.") if "bad" in name else ("done", "")
        if state == "done":
            write(output / name, Path(files["T1"]), settings)
        counts[state] += 1
        send("case", state=state, text=text, **place)
    send("result", folder=str(output), text="", counts=counts, seconds_per_case=12.0)
    return EXIT_PARTLY if counts["failed"] else 0


def write(folder: Path, image: Path, settings: dict) -> None:
    """The result is whatever lies beside the list of cases as mask.nrrd, for tests that load it."""
    folder.mkdir(parents=True)
    mask = Path(settings["source"]["path"]).parent / "mask.nrrd"
    if mask.is_file():
        shutil.copy(mask, folder / "segmentation.seg.nrrd")
    card = json.loads((Path(settings["model"]) / "configs" / "velox.json").read_text(encoding="utf-8"))
    results = {
        "schema_version": 1,
        "model": {"weights_sha256": card["weights_sha256"]},
        "device": "Fake device",
        "seed": settings["seed"],
        "versions": {},
        "created": "2026-01-31T12:00:00Z",
        "notes": [],
        "seconds": {"total": 1.0},
        "segments": [{"value": label["value"], "name": label["name"], "voxels": 1} for label in card["labels"]],
        "highest_probability": {"value": 0.9, "position_lps": [0, 0, 0]},
    }
    (folder / "run.json").write_text(json.dumps({"schema_version": 1, "results": results}), encoding="utf-8")


main()
