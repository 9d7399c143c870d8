"""Volumes that physicians expect of a brain tumor and that are sums of its segments."""

from slicer.i18n import tr as _

from ..common.Models import ModelCard

NECROSIS = "6574001"
EDEMA = "79654002"
NEOPLASM = ("108369006", "86049000")
"""Types of the terminology (SCT) by which the parts of a tumor are known."""

WHOLE_TUMOR = "whole"
TUMOR_CORE = "core"
ENHANCING = "enhancing"
NAMES = (WHOLE_TUMOR, TUMOR_CORE, ENHANCING)


def compositesOf(card: ModelCard) -> dict[str, list[int]]:
    """Name of a sum -> the label values in it; empty where the labels are not necrosis, edema and enhancing tumor."""
    types = {label.value: label.terminology["type"][1] for label in card.labels}
    enhancing = [value for value, code in types.items() if code in NEOPLASM]
    if not enhancing or not {NECROSIS, EDEMA} <= set(types.values()):
        return {}
    return {
        WHOLE_TUMOR: list(types),
        TUMOR_CORE: [value for value, code in types.items() if code != EDEMA],
        ENHANCING: enhancing,
    }


def title(name: str) -> str:
    """The text of a row of the table."""
    return {
        WHOLE_TUMOR: _("Whole tumor"),
        TUMOR_CORE: _("Tumor core"),
        ENHANCING: _("Enhancing tumor volume"),
    }[name]
