"""What the panel says about a finished job."""

import math

from slicer.i18n import tr as _

from .Segmenter import Result


def doneText(result: Result) -> str:
    """Such as: Done in 24 s. Lesions: 7, total 83.0 ml."""
    segments = [entry for entry in result.report.get("segments", []) if entry["voxels"]]
    facts = {
        "seconds": math.ceil(result.seconds),
        "total": sum(entry["volume_ml"] for entry in segments),
    }
    if result.card.listsLesions:
        text = _("Done in {seconds} s. Lesions: {count}, total {total:.1f} ml.")
        text = text.format(count=len(result.report.get("lesions", [])), **facts)
    else:
        text = _("Done in {seconds} s. Segments: {count}, total {total:.1f} ml.").format(
            count=len(segments), **facts
        )
    if result.isReferenceGone:
        text += " " + _("The reference image was deleted meanwhile; the result keeps its grid.")
    return text


def emptyText(result: Result) -> str:
    """Nothing found is a result too: say how close it was and what may be behind it."""
    text = _("Nothing was found above the threshold {threshold:.2f}.").format(threshold=result.card.threshold)
    highest = result.report.get("highest_probability", {}).get("value")
    if highest is None:
        return text
    reasons = _(
        "The highest score was {score:.2f}. Possible reasons: nothing is there, images are swapped, or values"
        " are not in the expected unit."
    )
    return f"{text} {reasons.format(score=highest)}"
