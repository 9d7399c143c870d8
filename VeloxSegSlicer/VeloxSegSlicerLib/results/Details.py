"""How a result was made, as a short sheet."""

from html import escape

from slicer.i18n import tr as _

from veloxseg.contract.card import mark

from ..common import Names, ResultAttributes, Shapes
from ..images import InputOptions

SAMPLING = Shapes.record({"members": Shapes.whole(0)}, {"calls": Shapes.whole(0), "method": Shapes.text, "fusion": Shapes.text})


def entries(segmentationNode) -> list[tuple[str, str]]:
    """Pairs (what, value) of everything that is known about the making of a result."""

    def fact(name: str) -> str:
        return ResultAttributes.fact(segmentationNode, name)

    def content(name: str, check: Shapes.Check, default: object) -> object:
        return ResultAttributes.content(segmentationNode, name, check, default)

    images = content("InputNames", Shapes.mapOf(Shapes.text), {})
    notes = content("Notes", Shapes.listOf(Shapes.record({"text": Shapes.text})), [])
    accepted = content("Accepted", Shapes.listOf(Shapes.listOf(Shapes.text, 2)), [])
    levelMark = mark(ResultAttributes.level(segmentationNode))
    found = [
        (_("Date"), fact("Created").replace("T", " ").replace("Z", " UTC")),
        (_("Images"), ", ".join(f"{role} = {name}" for role, name in images.items())),
        (_("Reference image"), fact("Reference")),
        (_("Model"), f"{levelMark}{fact('ModelTitle')} {fact('ModelVersion')}"),
        (_("Weights (SHA-256)"), fact("WeightsSha256")),
        (_("Quality"), fact("Quality").capitalize()),
        (_("Windows"), fact("Windows")),
        (_("Overlap of windows"), fact("Overlap")),
        (_("Runs"), _runsText(content("Sampling", SAMPLING, None))),
        (_("Agreement between runs"), _percentText(ResultAttributes.number(segmentationNode, "Agreement"))),
        (_("Threshold"), _thresholdText(fact("Threshold"), fact("CurrentThreshold"))),
        (_("Scale (mm per pixel)"), fact("MmPerPx")),
        (_("Device"), fact("Device")),
        (_("Seed"), fact("Seed")),
        (_("Seconds"), _pairs(content("StageSeconds", Shapes.mapOf(Shapes.number()), {}))),
        (_("Software"), _pairs(content("Versions", Shapes.mapOf(Shapes.text), {}))),
        (_("Retries and notes"), " ".join(note["text"] for note in notes)),
        (_("Accepted warnings"), "; ".join(InputOptions.acceptedText(*pair) for pair in accepted)),
    ]
    return [(title, value) for title, value in found if value]


def text(segmentationNode) -> str:
    """The sheet as plain text, for the clipboard."""
    lines = [Names.nameOf(segmentationNode), *(f"{title}: {value}" for title, value in entries(segmentationNode))]
    return "\n".join(lines)


def html(segmentationNode) -> str:
    """The sheet as a table; every text is escaped."""
    pairs = [(escape(title), escape(value)) for title, value in entries(segmentationNode)]
    rows = [f"<tr><td><b>{title}</b>&nbsp;</td><td>{value}</td></tr>" for title, value in pairs]
    return f"<table>{''.join(rows)}</table>"


def _runsText(sampling: dict | None) -> str:
    if not sampling:
        return ""
    if not {"calls", "method", "fusion"} <= set(sampling):
        return str(sampling["members"])
    return _("{members}, {calls} calls of the network each ({method}), joined by {fusion}").format(**sampling)


def _percentText(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _thresholdText(original: str, current: str) -> str:
    if original == current:
        return original
    return _("{current}, changed by hand; the model's is {original}").format(current=current, original=original)


def _pairs(values: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
