"""Requests for the runner, and what names in them may be."""

import numpy as np
import SimpleITK as sitk

from . import damage
from .verdicts import Verdict, judge
from .workshop import Workshop

EXITS = (2, 3, 4)
ODD_NAMES = ("ä ö.nrrd", "CON.nrrd", "a\nb.nrrd", "=1+1.nrrd", "-rf.nrrd", "x" * 200 + ".nrrd", "a;b&c.nrrd", "%s%n.nrrd",
             "𝔘.nrrd", "{0}.nrrd", " a .nrrd", "$(touch x).nrrd", "a'b\"c.nrrd", "<b>.nrrd", "\udcff.nrrd")  # fmt: skip
ODD_OUTPUTS = ("../earlier", "../inputs/t1.nrrd", ".", "..", "", "/", "/proc/x", "x" * 5000, "a\0b", "a\ud800",
               "../inputs/t1.nrrd/x", "a/b/c/d", "CON", "=x", "../job/request.json", "/dev/null",
               "../earlier/mask.nrrd")  # fmt: skip


def _judged(workshop: Workshop, request: dict | bytes) -> Verdict:
    if not (workshop.inputs / "t1.nrrd").exists():
        sitk.WriteImage(workshop.image, str(workshop.inputs / "t1.nrrd"))
    return judge(lambda: workshop.run(request, []), workshop.answer.difference, EXITS, workshop.kept())


def whole_request(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    return _judged(workshop, damage.text_of_json(workshop.request(), rng))


def region(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    """A box of nonsense; one that could be is not among these."""
    box = {"center": [0.0, 0.0, 0.0], "size": [1e5, 1e5, 1e5], "axes": [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]}
    changed = damage.content(box, rng)
    if rng.random() < 0.3:
        changed = {**box, "size": [1e-9, 5.0, 5.0]}
    request = workshop.request() | {"region": changed}
    sitk.WriteImage(workshop.image, str(workshop.inputs / "t1.nrrd"))

    def difference(answer) -> str:
        # a region empties what lies outside of it and adds nothing
        added = int(((answer.mask > 0) & (workshop.answer.mask == 0)).sum())
        return f"{added} voxels more than without a region" if added > 0.02 * workshop.answer.mask.sum() else ""

    return judge(lambda: workshop.run(request, []), difference, EXITS, workshop.kept())


def output(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    return _judged(workshop, workshop.request() | {"output": str(rng.choice(np.array(ODD_OUTPUTS, dtype=object)))})


def name_of_a_file(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    name = ODD_NAMES[int(rng.integers(len(ODD_NAMES)))]
    sitk.WriteImage(workshop.image, str(workshop.inputs / "t1.nrrd"))
    (workshop.inputs / "t1.nrrd").rename(workshop.inputs / name)
    return _judged(workshop, workshop.request(name))


KINDS = {"request: any field": whole_request, "request: region": region, "request: output": output,
         "request: name of an image": name_of_a_file}  # fmt: skip
