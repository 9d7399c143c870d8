"""What the panel reads of the engine: cards, event lines, results. Runs in the test host."""

import json
import math
import shutil
from functools import cache

import numpy as np

import slicerhost

from . import damage
from .verdicts import Verdict, judge
from .workshop import Workshop

slicerhost.start()

from VeloxSegSlicerLib.common import Models  # noqa: E402  (the panel's modules need the host)
from VeloxSegSlicerLib.engine import Protocol  # noqa: E402
from VeloxSegSlicerLib.results import Lesions, ReportCheck, Results  # noqa: E402

SOUND_EVENTS = (
    {"event": "hello", "engine": "1.0", "device": "CPU", "why_cpu": None, "free_bytes": 10, "devices": [], "protocol": 1},
    {"event": "stage", "name": "computing", "text": "Computing"},
    {"event": "progress", "done": 3, "total": 10, "seconds_left": 2.5},
    {"event": "note", "code": "INPUT_NAN", "text": "Two voxels."},
    {"event": "progress", "done": 10, "total": 10, "seconds_left": 0},
    {"event": "end", "exit_code": 0},
)
OTHER_LINES = (b"", b"{", b"null", b"[]", b"\xff\xfe\x00", b"Traceback (most recent call last):", b'{"event": 3}',
               b"{" * 2000, b'{"event": "progress", "done": NaN, "total": 1e999}', b'{"event": "end", "exit_code": "0"}',
               b"9" * 5000)  # fmt: skip


def card(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """What the panel shows, the engine takes, and the other way round it says why not."""
    package = shutil.copytree(workshop.package, workshop.place / "tiny-test")
    path = package / "configs" / "velox.json"
    path.write_bytes(damage.text_of_json(json.loads(path.read_text()), rng))

    def difference(found: Models.ModelCard) -> str:
        is_sound = found.id and found.labels and found.roles and 0 <= found.threshold <= 1
        return "" if is_sound else "a card without what it needs"

    return judge(lambda: Models.readCard(package), difference, None, workshop.kept())


def events(_workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """A damaged line among sound ones, in pieces: the sound ones arrive, the bar stays between 0 and 100 and never goes back."""
    lines = [json.dumps(event).encode() for event in SOUND_EVENTS]
    place = int(rng.integers(len(lines)))
    sound = lines[place]
    ways = (
        lambda: damage.text_of_json(SOUND_EVENTS[place], rng).replace(b"\n", b" "),
        lambda: damage.data(sound, rng).replace(b"\n", b" "),
        lambda: OTHER_LINES[int(rng.integers(len(OTHER_LINES)))],
    )
    lines.insert(place, ways[int(rng.integers(len(ways)))]())
    stream = b"\n".join(lines) + b"\n"

    def do() -> tuple[list, list]:
        buffer, progress, heard, bars, rest = Protocol.LineBuffer(), Protocol.Progress(), [], [], stream
        while rest:
            size = int(rng.integers(1, 200))
            for line in buffer.feed(rest[:size]):
                event = Protocol.eventOf(line)
                if event is None or Protocol.problemOf(event):
                    continue
                heard.append(event)
                if event["event"] == "progress":
                    progress.windows(event["done"], event["total"], event.get("seconds_left"))
                elif event["event"] == "stage":
                    progress.stage(event.get("name", ""))
                bars.append(progress.percent)
                if progress.secondsLeft is not None and not math.isfinite(progress.secondsLeft):
                    raise AssertionError(f"{progress.secondsLeft} seconds left")
            rest = rest[size:]
        return heard, bars

    def difference(result: tuple[list, list]) -> str:
        heard, bars = result
        missing = [event for event in SOUND_EVENTS if event not in heard]
        if missing:
            return f"{missing[0]} was lost"
        return "" if bars == sorted(bars) and min(bars) >= 0 and max(bars) <= 100 else f"a bar of {bars}"

    return judge(do, difference, None)


@cache
def _sound_result(workshop: Workshop) -> tuple:
    """Report, mask (k, j, i) and card of a sound result."""
    answer = workshop.answer
    return answer.report, np.ascontiguousarray(answer.mask.transpose(2, 1, 0)), Models.readCard(workshop.package)


def report(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """A report that is taken can be shown and fits its mask."""
    sound, mask, model = _sound_result(workshop)
    text = damage.text_of_json(sound, rng)

    def do() -> dict:
        checked = Results.checkedReport(text, model)
        ReportCheck.checkSizes(checked, dict(zip(*map(np.ndarray.tolist, np.unique(mask, return_counts=True)), strict=True)))
        return checked

    def difference(checked: dict) -> str:
        json.dumps(checked, allow_nan=False).encode()
        Lesions.fromReport(checked)
        counts = {segment["value"]: segment.get("voxels") for segment in checked["segments"]}
        right = {segment["value"]: segment["voxels"] for segment in sound["segments"]}
        return "" if all(count in (None, right.get(value)) for value, count in counts.items()) else f"counts {counts}"

    return judge(do, difference, None)


def result_folder(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """Any byte of any file of a result that was announced: the hashes tell, so that no number can differ."""
    import SimpleITK as sitk

    from veloxseg.inference import results

    sitk.WriteImage(workshop.image, str(workshop.inputs / "t1.nrrd"))
    answer = workshop.run(workshop.request(), [])
    folder = workshop.place / "job" / "result"
    announced = results.file_table(folder)
    paths = sorted(folder.iterdir())
    path = paths[int(rng.integers(len(paths)))]
    content = path.read_bytes()
    changed = damage.data(content, rng)
    path.unlink() if rng.random() < 0.1 else path.write_bytes(changed)
    if rng.random() < 0.3:
        announced = damage.content(announced, rng)
    model = Models.readCard(workshop.package)

    def difference(found: dict) -> str:
        return "" if found == answer.report else "another report"

    return judge(lambda: Results.readReport(folder, announced, model), difference, None, workshop.kept())


KINDS = {"panel: card": card, "panel: event lines": events, "panel: report": report, "panel: result folder": result_folder}
