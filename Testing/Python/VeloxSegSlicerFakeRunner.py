"""A runner without a network: it speaks the protocol of docs/formats.md and plays one scenario.

Call: python VeloxSegSlicerFakeRunner.py <scenario> --serve, then one request per line of stdin. The mask of a successful
scenario has label n where the reference image lies in the n-th of equal bands between its middle and its
maximum.
"""

import hashlib
import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

WAIT_STEP = 0.02
LONG = 60.0
AGREEMENT = 0.94
isDeaf = threading.Event()
NUMPY_TYPES = {
    "float": "<f4",
    "double": "<f8",
    "short": "<i2",
    "unsigned short": "<u2",
    "unsigned char": "u1",
    "uchar": "u1",
}


def send(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def sendHello() -> None:
    send(
        "hello",
        engine="0.0.fake",
        python="3",
        torch="0.0",
        device="Fake device",
        why_cpu=None,
        free_bytes=8e9,
        devices=[{"device": "cuda:0", "name": "Fake device"}, {"device": "cpu", "name": "CPU (1 thread)"}],
        protocol=1,
    )


def fail(exitCode: int, code: str, text: str) -> None:
    send("error", code=code, text=text, detail="made up by the fake runner")
    sys.exit(exitCode)


def requests():
    """Each line of stdin; with its end the process ends, whatever it is doing."""
    lines = queue.SimpleQueue()

    def listen() -> None:
        rest = b""
        while data := os.read(0, 4096):
            *complete, rest = (rest + data).split(b"\n")
            for line in complete:
                lines.put(line.decode("utf-8"))
        if not isDeaf.is_set():
            os._exit(6)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield lines.get()


class Image:
    """An uncompressed NRRD file: header fields and voxels (k, j, i)."""

    def __init__(self, fields: dict[str, str], voxels: np.ndarray) -> None:
        self.fields = fields
        self.voxels = voxels

    @classmethod
    def read(cls, path: Path) -> "Image":
        header, data = path.read_bytes().split(b"\n\n", 1)
        lines = [line for line in header.decode("ascii").splitlines()[1:] if not line.startswith("#")]
        fields = dict(line.split(": ", 1) for line in lines)
        sizes = [int(size) for size in fields["sizes"].split()]
        image = cls(fields, np.frombuffer(data, NUMPY_TYPES[fields["type"]]).reshape(sizes[::-1]))
        return image.brightness() if len(sizes) == 4 else image

    def brightness(self) -> "Image":
        """The gray image of a color picture."""
        without = {key: self.fields[key].split(" ", 1)[1] for key in ("sizes", "kinds", "space directions")}
        return Image(self.fields | without | {"dimension": "3"}, self.voxels.mean(axis=-1))

    def labels(self, voxels: np.ndarray) -> "Image":
        """Labels on the same grid."""
        return Image(self.fields | {"type": "unsigned char"}, voxels.astype(np.uint8))

    def write(self, path: Path) -> None:
        lines = ["NRRD0004", *(f"{key}: {value}" for key, value in self.fields.items())]
        path.write_bytes("\n".join(lines).encode("ascii") + b"\n\n" + self.voxels.tobytes())

    @property
    def voxelMl(self) -> float:
        return abs(float(np.linalg.det(np.array(self._vectors("space directions"))))) / 1000

    @property
    def originLps(self) -> list[float]:
        x, y, z = self._vectors("space origin")[0]
        return [-x, -y, z]

    def _vectors(self, key: str) -> list[list[float]]:
        return [[float(part) for part in vector.strip("()").split(",")] for vector in self.fields[key].split()]


class Job:
    def __init__(self, requestFile: str) -> None:
        self.folder = Path(requestFile).resolve().parent
        self.request = json.loads(Path(requestFile).read_text(encoding="utf-8"))
        self.card = json.loads((Path(self.request["model"]) / "configs" / "velox.json").read_text(encoding="utf-8"))
        role = next(role["name"] for role in self.card["roles"] if role["reference"])
        self.reference = Image.read(self.folder / self.request["inputs"][role])
        self.damage = lambda report: None

    def mask(self) -> Image:
        voxels = self.reference.voxels.astype(float)
        middle, high = (voxels.min() + voxels.max()) / 2, voxels.max()
        values = [label["value"] for label in self.card["labels"]]
        bands = np.ceil((voxels - middle) / (high - middle) * len(values)).clip(0, len(values)).astype(int)
        return self.reference.labels(np.array([0, *values])[bands])

    def probability(self, highest: float) -> Image:
        """Rises with the values, 0.5 in their middle."""
        voxels = self.reference.voxels.astype(float)
        return self.reference.labels(np.rint(255 * highest * (voxels - voxels.min()) / np.ptp(voxels)))

    def write(self, mask: Image, highest: float = 0.97) -> None:
        folder = self.folder / self.request["output"]
        folder.mkdir()
        mask.write(folder / "mask.nrrd")
        if "probability" in self.request["outputs"]:
            self.probability(1.0 if mask.voxels.any() else highest).write(folder / "probability.nrrd")
        if self.card.get("sampling"):
            share = self.probability(1.0).voxels / 255.0
            self.reference.labels(np.rint(255 * 4 * share * (1 - share))).write(folder / "uncertainty.nrrd")
        report = self.report(mask, highest)
        self.damage(report)
        (folder / "results.json").write_text(json.dumps(report), encoding="utf-8")
        files = {
            path.stem: {"path": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in folder.iterdir()
        }
        send("result", folder=str(folder), files=files, seconds=report["seconds"], device="Fake device")

    def report(self, mask: Image, highest: float) -> dict:
        counts = {label["value"]: int((mask.voxels == label["value"]).sum()) for label in self.card["labels"]}
        segments = [
            {
                "value": label["value"],
                "name": label["name"],
                "voxels": counts[label["value"]],
                "volume_ml": counts[label["value"]] * mask.voxelMl,
            }
            for label in self.card["labels"]
        ]
        lesion = {
            "label": 1,
            "voxels": segments[0]["voxels"],
            "volume_ml": segments[0]["volume_ml"],
            "diameter_mm": 20.0,
            "centroid_lps": [1.0, 2.0, 3.0],
            "score": 0.9,
            "suv_max": 8.0,
            "suv_mean": 5.0,
            "suv_peak": 7.0,
            "tlg": 40.0,
        }
        return {
            "schema_version": 1,
            "device": "Fake device",
            "seed": self.request["seed"],
            "overlap": self.request.get("overlap") or (self.card["window"] or {}).get("overlap"),
            "seconds": {"reading": 0.1, "total": 1.6},
            "versions": {"engine": "0.0.fake", "torch": "0.0"},
            "created": "2026-01-31T12:00:00Z",
            "mm_per_px": self.request.get("mm_per_px"),
            "sampling": self.card.get("sampling"),
            "agreement": AGREEMENT if self.card.get("sampling") else None,
            "notes": [],
            "segments": segments,
            "highest_probability": {"value": highest, "position_lps": self.reference.originLps},
            "lesions": [lesion] if self.card["lesions"] and segments[0]["voxels"] else [],
        }


def compute(job: Job, seconds: float) -> None:
    """Windows until the time is over; the `cancel` file ends the process between two of them."""
    total = 10
    for done in range(total + 1):
        send("progress", done=done, total=total, seconds_left=seconds * (1 - done / total))
        end = time.monotonic() + seconds / total
        while time.monotonic() < end:
            if (job.folder / "cancel").exists():
                sys.exit(6)
            time.sleep(WAIT_STEP)


def succeed(job: Job, seconds: float = 0.1) -> None:
    send("stage", name="reading", text="Reading 1 image...")
    send("stage", name="computing", text="Computing...")
    compute(job, seconds)
    send("stage", name="writing", text="Writing result...")
    job.write(job.mask())


def slow(job: Job) -> None:
    succeed(job, LONG)


def paced(job: Job) -> None:
    succeed(job, 1.5)


def garbage(job: Job) -> None:
    """Noise on stdout, half lines, bytes that are no text: all of it belongs into the log."""
    sys.stdout.buffer.write(b'not json\n{"event": \n\xff\xfe broken\n[1, 2]\n')
    sys.stdout.flush()
    text = json.dumps({"event": "stage", "name": "computing", "text": "In two pieces"}) + "\n"
    for part in (text[:10], text[10:]):
        sys.stdout.write(part)
        sys.stdout.flush()
        time.sleep(0.1)
    print("a warning of some library", file=sys.stderr)
    succeed(job)


def crash(job: Job) -> None:
    send("progress", done=1, total=10, seconds_left=None)
    os.abort()


def quietExit(job: Job) -> None:
    sys.exit(3)


def memory(job: Job) -> None:
    fail(5, "MEMORY_GPU", "The memory of Fake device is not enough for this model; choose the CPU.")


def shortMemory(job: Job) -> None:
    """The card is too small, and then even the CPU is slow: all that is tried when memory is short."""
    for code in ("RETRY_ONE_WINDOW", "RETRY_HALF", "RETRY_CPU"):
        send("note", code=code, text=f"The memory of Fake device is short ({code}).")
        time.sleep(0.2)
    succeed(job, 1.0)


def outOfMemory(job: Job) -> None:
    fail(5, "MEMORY_CPU", "The computer's memory is not enough for this image.")


def deviceLost(job: Job) -> None:
    fail(7, "DEVICE_LOST", "Fake device stopped responding.")


def defect(job: Job) -> None:
    send("stage", name="writing", text="Writing the results")
    fail(7, "UNEXPECTED", "Something unexpected happened (KeyError); report it.")


def resultAfterCancel(job: Job) -> None:
    """Does not look at the cancel file and finishes the job."""
    send("stage", name="computing", text="Computing...")
    time.sleep(1.0)
    job.write(job.mask())


def noResult(job: Job) -> None:
    sys.exit(0)


def wrongGrid(job: Job) -> None:
    mask = job.mask()
    mask.fields["space origin"] = "(1,2,3)"
    job.write(mask)


def wrongLabel(job: Job) -> None:
    job.write(job.reference.labels(np.full_like(job.reference.voxels, 99)))


def wrongChecksum(job: Job) -> None:
    job.write(job.mask())
    send(
        "result",
        folder="result",
        files={"mask": {"path": "mask.nrrd", "sha256": "0" * 64}},
        seconds={},
        device="",
    )


def damagedReport(job: Job) -> None:
    """Everything is there, but a number of the report is none."""
    job.damage = lambda report: report["highest_probability"].update(value=float("nan"))
    job.write(job.mask())


def otherCounts(job: Job) -> None:
    """The report tells of another mask than the one beside it."""
    job.damage = lambda report: report["segments"][0].update(voxels=7)
    job.write(job.mask())


def brokenResult(job: Job) -> None:
    """The list of files is no list of files."""
    job.write(job.mask())
    send("result", files=["mask.nrrd"], seconds=None)


def brokenEnd(job: Job) -> None:
    """Everything is there, but the end cannot be read."""
    job.write(job.mask())
    send("end", exit_code="zero")
    time.sleep(LONG)


def nanEnd(job: Job) -> None:
    job.write(job.mask())
    send("end", exit_code=float("nan"))
    time.sleep(LONG)


def cutEnd(job: Job) -> None:
    job.write(job.mask())
    print('{"event": "end", "exit_co', flush=True)
    time.sleep(LONG)


def brokenEvents(job: Job) -> None:
    """Messages with fields of wrong types, which say nothing about the result."""
    for fields in (
        {"event": "hello", "devices": 3},
        {"event": "hello", "devices": [{"device": "cuda:0"}], "free_bytes": "much"},
        {"event": "progress", "done": "one", "total": 10},
        {"event": "progress", "done": None, "total": 10, "seconds_left": 3},
        {"event": "progress", "done": 1, "total": 10, "seconds_left": float("nan")},
        {"event": "progress", "done": 1, "total": 10, "seconds_left": float("inf")},
        {"event": "progress", "done": 10**400, "total": 10},
        {"event": "progress"},
        {"event": "stage", "name": ["computing"], "text": None},
        {"event": "stage", "name": "computing", "text": chr(0xD800)},
        {"event": "note"},
        {"event": "note", "code": {}, "text": 1},
        {"event": ["stage"]},
    ):
        print(json.dumps(fields))
    print("[" * 100_000)
    print('{"event": ' + "[" * 100_000)
    succeed(job)


def longLines(job: Job) -> None:
    """Lines of 20 MB in small pieces, on both streams."""
    for stream in (sys.stdout, sys.stderr):
        for _ in range(20 * 2**20 // 2**12):
            stream.write("x" * 2**12)
            stream.flush()
        stream.write("\n")
        stream.flush()
    succeed(job)


def empty(job: Job) -> None:
    job.write(job.reference.labels(np.zeros_like(job.reference.voxels)), highest=0.34)


def deaf(job: Job) -> None:
    """Ignores the cancel file, the end of stdin and the friendly signals."""
    isDeaf.set()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    send("stage", name="computing", text="Not listening...")
    time.sleep(LONG)


SCENARIOS = {
    function.__name__: function
    for function in (
        succeed,
        slow,
        paced,
        garbage,
        crash,
        quietExit,
        memory,
        shortMemory,
        outOfMemory,
        deviceLost,
        defect,
        resultAfterCancel,
        noResult,
        wrongGrid,
        wrongLabel,
        wrongChecksum,
        damagedReport,
        otherCounts,
        brokenResult,
        brokenEnd,
        nanEnd,
        cutEnd,
        brokenEvents,
        longLines,
        empty,
        deaf,
    )
}


def phantom(arguments: list[str]) -> None:
    """Stands for `python -m veloxseg phantom <kind> ... --output <folder>`."""
    folder = Path(arguments[arguments.index("--output") + 1])
    for stem, spacing in (("CT", 2), ("PET", 4)) if arguments[0] == "petct" else (("T1", 2),):
        size = 48 // spacing
        voxels = np.zeros((size, size, size), np.float32)
        voxels[size // 4 : -(size // 4), size // 4 : -(size // 4), size // 4 : -(size // 4)] = 10
        start = -spacing * (size - 1) / 2
        fields = {
            "type": "float",
            "dimension": "3",
            "space": "left-posterior-superior",
            "sizes": " ".join([str(size)] * 3),
            "kinds": "domain domain domain",
            "endian": "little",
            "space directions": f"({spacing},0,0) (0,{spacing},0) (0,0,{spacing})",
            "encoding": "raw",
            "space origin": f"({start},{start},{start})",
        }
        Image(fields, voxels).write(folder / f"{stem}.nrrd")


def serve(scenario: str) -> None:
    for requestFile in requests():
        try:
            job = Job(requestFile)
            sendHello()
            SCENARIOS[scenario](job)
            exitCode = 0
        except SystemExit as end:
            exitCode = end.code
        send("end", exit_code=exitCode)


def check(finding: str) -> None:
    """Stands for `python -m veloxseg.service.check`; `finding` is its result as JSON."""
    send("hello", engine="0.0.fake", python="3", torch="0.0", device="", protocol=1)
    send("result", **json.loads(finding))


def main() -> None:
    scenario, *arguments = sys.argv[1:]
    if scenario == "phantom":
        phantom(arguments)
    elif scenario == "check":
        check(arguments[0])
    elif scenario == "silent":
        time.sleep(LONG)
    elif scenario == "noTorch":
        sys.exit("ModuleNotFoundError: No module named 'torch'")
    elif arguments == ["--serve"]:
        serve(scenario)


if __name__ == "__main__":
    main()
