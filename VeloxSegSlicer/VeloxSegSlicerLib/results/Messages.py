"""What the panel says about a finished job."""

import math

from slicer.i18n import tr as _

from veloxseg.contract import errors as engine

from ..common import Geometry, ResultAttributes
from . import ResultTable, Wording
from .Result import RunResult


def doneText(result: RunResult, table: ResultTable.ResultTable) -> str:
    """Such as: Done in 24 s. Lesions: 7, total 83.0 ml."""
    text = _("Done in {seconds} s.").format(seconds=math.ceil(result.seconds)) + " " + _found(table)
    if table.kind == ResultAttributes.PHOTO and ResultAttributes.fact(result.segmentation, "Agreement"):
        text += " " + agreementText(ResultAttributes.number(result.segmentation, "Agreement"))
    if result.isReferenceGone:
        text += " " + _("The reference image was deleted meanwhile; the result keeps its grid.")
    return text


def agreementText(agreement: float) -> str:
    """Such as: Agreement between runs 94 %."""
    return _("Agreement between runs {percent:.0f} %.").format(percent=100 * agreement)


def emptyText(result: RunResult) -> str:
    """Nothing found is a result too: say how close it was and what may be behind it."""
    highest = result.report.get("highest_probability", {})
    if "value" not in highest:
        return _("Nothing was found above the threshold {threshold:.2f}.").format(threshold=result.card.threshold)
    position = Geometry.positionText(Geometry.rasFromLps(highest["position_lps"]))
    facts = {"threshold": result.card.threshold, "score": highest["value"], "position": position}
    return engine.NOTES["NOTHING_FOUND"].format(**facts)


def _found(table: ResultTable.ResultTable) -> str:
    values = table.total.values
    if table.kind == ResultAttributes.LESIONS:
        pieces = sum(len(row.numbers) for row in table.rows if row.kind == ResultTable.REST)
        text = Wording.counted(table.kind, table.lesionCount, values.get("volume_ml", 0.0))
        return text + " " + _("Smaller pieces: {count}.").format(count=pieces) if pieces else text
    if table.kind == ResultAttributes.PHOTO:
        area = _("{px:.0f} px, {share:.1f} % of the photo.").format(px=values["area_px"], share=values["share"])
        if "area_mm2" in values:
            area = _("{mm2:.1f} mm2, {share:.1f} % of the photo.").format(mm2=values["area_mm2"], share=values["share"])
        return f"{table.rows[0].name}: {area}"
    count = sum(row.kind == ResultTable.SEGMENT and row.values["voxels"] > 0 for row in table.rows)
    return Wording.counted(table.kind, count, values.get("volume_ml", 0.0))
