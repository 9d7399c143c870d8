"""What is damaged: small sound things, made once, and one scratch folder for each fault."""

import contextlib
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from unittest import mock

import numpy as np
import SimpleITK as sitk

import engine_cases
import photo_cases
from veloxseg.imaging import images
from veloxseg.packages import packages
from veloxseg.packages.warm import Keeper
from veloxseg.service import runner

from .verdicts import Kept, Told

SIZE, SPACING, ORIGIN = (20, 18, 16), (3.0, 3.5, 4.0), (-31.0, 12.0, 7.0)


@dataclass(frozen=True)
class Answer:
    """Mask (x, y, z) with its grid and the content of results.json."""

    mask: np.ndarray
    grid: images.Grid
    report: dict

    def difference(self, other: "Answer") -> str:
        """ "" where the other has the same mask in the same place."""
        if not images.same_grid(self.grid, other.grid):
            return f"a mask on {other.grid} instead of {self.grid}"
        wrong = int((self.mask != other.mask).sum())
        return f"{wrong} voxels of the mask differ" if wrong else ""


class Workshop:
    """Sound things. `fresh` empties the scratch folder `place`, in which `earlier` is a result that has to stay."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place = root / "place"

    def fresh(self) -> None:
        """The scratch folder for the next fault."""
        shutil.rmtree(self.place, ignore_errors=True)
        for name in ("inputs", "job", "earlier"):
            (self.place / name).mkdir(parents=True)
        (self.place / "earlier" / "mask.nrrd").write_bytes(b"an earlier result")

    # Volumes

    @cached_property
    def image(self) -> sitk.Image:
        """A body without any symmetry, int16."""
        x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SIZE], indexing="ij")
        inside = (x**2 + y**2 + z**2 < 0.7) & ~((x > 0.1) & (y > 0.2)) & ~((z > 0.4) & (x < 0))
        array = np.where(inside, 900 + 100 * x + 50 * z, np.random.default_rng(0).uniform(0, 9, SIZE)).astype(np.int16)
        return images.image_of(array, images.Grid(SIZE, SPACING, ORIGIN))

    @cached_property
    def package(self) -> Path:
        """A whole package of a tiny network."""
        return engine_cases.tiny_package(self.root / "packages" / "tiny-test")

    @cached_property
    def photo_package(self) -> Path:
        """A whole package for photos."""
        return photo_cases.photo_package(self.root / "packages" / "tiny-photo")

    @property
    def inputs(self) -> Path:
        """Where the images of a job are put."""
        return self.place / "inputs"

    def request(self, file: str = "t1.nrrd") -> dict:
        """For a job on one image of `inputs`."""
        return {"schema_version": 1, "model": str(self.package), "inputs": {"T1": f"../inputs/{file}"}, "output": "result",
                "device": "cpu", "overlap": 0.25, "mirrors": False, "seed": 1, "accept": [], "suv": True,
                "outputs": ["mask", "measures"]}  # fmt: skip

    def run(self, request: dict | bytes, notes: list) -> Answer:
        """Through the door of the runner, in this process. Raises Told."""
        path = self.place / "job" / "request.json"
        path.write_bytes(request if isinstance(request, bytes) else json.dumps(request).encode("utf-8", "surrogatepass"))
        stream = io.StringIO()
        # The log may hold whatever it wants as long as a sentence arrives.
        with contextlib.redirect_stderr(io.StringIO()) as log:
            code = runner.guarded(path, runner.Events(stream), runner.Owner(), Keeper())
        events = {event["event"]: event for event in map(json.loads, stream.getvalue().splitlines())}
        path.unlink()
        if code:
            error = events.get("error", {"code": "UNEXPECTED", "text": f"no error event; {log.getvalue()[-300:]}"})
            raise Told(error["code"], error["text"] + (log.getvalue()[-600:] if error["code"] == "UNEXPECTED" else ""), code)
        answer = read_answer(Path(events["result"]["folder"]))
        notes += answer.report["notes"]
        return answer

    def right(self, image: sitk.Image) -> Answer:
        """What the door gives for an image in a plain file, which is not damaged."""
        folder = self.root / "right"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        other = Workshop(self.root / "right")
        other.__dict__["package"] = self.package
        other.fresh()
        sitk.WriteImage(image, str(other.inputs / "t1.nrrd"))
        return other.run(other.request(), [])

    @cached_property
    def answer(self) -> Answer:
        """The mask of `image`."""
        answer = self.right(self.image)
        if not answer.mask.any() or answer.report["notes"]:
            raise AssertionError("the sound image must give a mask without a note")
        return answer

    def kept(self) -> Kept:
        """Everything in the scratch folder as it is now."""
        return Kept(self.place)


def read_answer(folder: Path) -> Answer:
    """A whole result folder."""
    image = sitk.ReadImage(str(folder / "mask.nrrd"))
    report = json.loads((folder / "results.json").read_text())
    return Answer(images.array_of(image), images.grid_of(image), report)


@contextlib.contextmanager
def threshold_network() -> Iterator[None]:
    """What the network finds does not matter here; volumes get a threshold in its place, after the check of the weights."""
    plain = packages.ModelPackage.network
    found = engine_cases.thresholding([-4.0, 0.0])

    def network(package, device="cpu"):
        is_volume = package.card.spacing_mm is not None
        return (package.check_weights(), found)[1] if is_volume else plain(package, device)

    with mock.patch.object(packages.ModelPackage, "network", network):
        yield
