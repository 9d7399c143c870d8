"""The check of a whole results.json (docs/formats.md) before anything of it comes into the scene."""

from ..common import Shapes
from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard

_AMOUNT = Shapes.whole(0, 2**53)
_SIZE = Shapes.number(0)
_SHARE = Shapes.number(0, 1)
_POSITION = Shapes.listOf(Shapes.number(-1e6, 1e6), 3)
_SAMPLING = Shapes.record({"members": _AMOUNT}, {"calls": _AMOUNT, "method": Shapes.text, "fusion": Shapes.text})
_SUV = Shapes.orNone(Shapes.number())


def check(report: object, card: ModelCard) -> None:
    """
    :param report: the content of results.json.
    :param card: the model that it must have come from.
    :raises VeloxSegError: RESULT_DAMAGED, with the field that is wrong.
    """
    problem = _shapeFor(card)(report) or next(_disagreements(report, card), "")
    if problem:
        raise VeloxSegError("RESULT_DAMAGED", problem=problem.lstrip(".").strip())


def checkSizes(report: dict, counts: dict[int, int]) -> None:
    """
    :param report: a report that was checked.
    :param counts: label value -> voxels of the mask of the same result.
    :raises VeloxSegError: RESULT_DAMAGED where the report counts other voxels than the mask has.
    """
    for index, segment in enumerate(report["segments"]):
        told = segment.get("voxels", segment.get("area_px"))
        if told is not None and told != counts.get(segment["value"], 0):
            raise VeloxSegError("RESULT_DAMAGED", problem=f"segments[{index}] does not fit the mask")
    for label in {lesion["label"] for lesion in report.get("lesions", [])}:
        if sum(lesion["voxels"] for lesion in report["lesions"] if lesion["label"] == label) != counts.get(label, 0):
            raise VeloxSegError("RESULT_DAMAGED", problem="lesions do not fit the mask")


def _shapeFor(card: ModelCard) -> Shapes.Check:
    values = Shapes.oneOf(*(label.value for label in card.labels))
    lesions = Shapes.listOf(_lesion(values))
    required = {
        "schema_version": Shapes.oneOf(1),
        "device": Shapes.text,
        "seed": Shapes.whole(),
        "seconds": Shapes.mapOf(_SIZE),
        "versions": Shapes.mapOf(Shapes.text),
        "created": Shapes.text,
        "notes": Shapes.listOf(Shapes.record({"code": Shapes.text, "text": Shapes.text})),
        "segments": Shapes.listOf(_segment(values), len(card.labels)),
        "highest_probability": Shapes.record({"value": _SHARE, "position_lps": _POSITION}),
    }
    optional = {
        "model": Shapes.record({}, {name: Shapes.text for name in ("id", "title", "version", "weights_sha256")}),
        "reference": Shapes.oneOf(card.reference.name),
        "overlap": Shapes.orNone(_SHARE),
        "windows": _AMOUNT,
        "mirrors": Shapes.flag,
        "working_size": _AMOUNT,
        "mm_per_px": Shapes.orNone(_SIZE),
        "sampling": Shapes.orNone(_SAMPLING),
        "agreement": Shapes.orNone(_SHARE),
    }
    (required if card.lists_lesions else optional)["lesions"] = lesions
    return Shapes.record(required, optional)


def _segment(values: Shapes.Check) -> Shapes.Check:
    sizes = ("volume_ml", "perimeter_px", "diameter_px", "area_mm2", "perimeter_mm", "diameter_mm")
    counts = dict.fromkeys(("voxels", "parts", "area_px"), _AMOUNT)
    return Shapes.record({"value": values, "name": Shapes.text}, counts | dict.fromkeys(sizes, Shapes.orNone(_SIZE)))


def _lesion(values: Shapes.Check) -> Shapes.Check:
    required = {
        "label": values,
        "voxels": Shapes.whole(1, 2**53),
        "volume_ml": _SIZE,
        "diameter_mm": _SIZE,
        "centroid_lps": _POSITION,
        "score": _SHARE,
    }
    return Shapes.record(required, dict.fromkeys(("suv_max", "suv_mean", "suv_peak", "tlg"), _SUV) | {"agreement": _SHARE})


def _disagreements(report: dict, card: ModelCard):
    """What a shape alone cannot say."""
    values = [segment["value"] for segment in report["segments"]]
    if len(set(values)) != len(values):
        yield "segments name a label twice"
    weights = report.get("model", {}).get("weights_sha256")
    if weights is not None and weights != card.weights_sha256:
        yield "model.weights_sha256 is that of another model"
    if len({"suv_max" in lesion for lesion in report.get("lesions", [])}) > 1:
        yield "lesions have SUV only in part"
