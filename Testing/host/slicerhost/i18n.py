"""slicer.i18n: English only, but a translation call with a wrong kind of argument is an error as in Slicer."""

import slicer

__all__ = ["tr", "translate"]


def translate(context, text):
    if not isinstance(context, str) or not isinstance(text, str):
        raise TypeError(f"translate() takes two texts, not {context!r} and {text!r}")
    return slicer.app.translate(context, text)


def tr(text):
    return translate("", text)
