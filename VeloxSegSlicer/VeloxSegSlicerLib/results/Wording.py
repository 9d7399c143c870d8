"""What the entries of a result are called, by what its model finds."""

from dataclasses import dataclass

from slicer.i18n import tr as _

from ..common import ResultAttributes


@dataclass(frozen=True)
class Words:
    """Title of the tab, and what is said of the buttons and the table below it."""

    title: str
    table: str
    previous: str
    previousTip: str
    next: str
    nextTip: str


def wordsFor(kind: str) -> Words:
    """
    :param kind: one of the kinds of ResultAttributes; "" before there is a result.
    """
    if kind == ResultAttributes.LESIONS:
        return Words(
            _("Lesions"),
            _("Table of lesions"),
            _("Previous lesion"),
            _("Goes to the lesion above in the table (F7)."),
            _("Next lesion"),
            _("Goes to the lesion below in the table (F8)."),
        )
    if kind == ResultAttributes.REGIONS:
        return Words(
            _("Regions"),
            _("Table of regions"),
            _("Previous region"),
            _("Goes to the region above in the table (F7)."),
            _("Next region"),
            _("Goes to the region below in the table (F8)."),
        )
    return Words(
        _("Measures") if kind == ResultAttributes.PHOTO else _("Segments"),
        _("Table of segments"),
        _("Previous segment"),
        _("Goes to the segment above in the table (F7)."),
        _("Next segment"),
        _("Goes to the segment below in the table (F8)."),
    )


def counted(kind: str, count: int, totalMl: float) -> str:
    """Such as: Regions: 8, total 812.3 ml."""
    if kind == ResultAttributes.LESIONS:
        return _("Lesions: {count}, total {total:.1f} ml.").format(count=count, total=totalMl)
    if kind == ResultAttributes.REGIONS:
        return _("Regions: {count}, total {total:.1f} ml.").format(count=count, total=totalMl)
    return _("Segments: {count}, total {total:.1f} ml.").format(count=count, total=totalMl)
