"""Parts of the panel that have a .ui file of their own."""

from pathlib import Path

import slicer

from . import PlainText

FOLDER = Path(__file__).parents[2] / "Resources" / "UI"


def load(ui, container, name: str):
    """Load a part into a widget of the panel; its widgets join those of the panel under their own names.

    :param ui: the child widgets of the panel.
    :param container: a widget with a layout, which the part goes into. Slicer does not find an empty layout by name.
    :param name: file name without ".ui".
    :return: the part's top widget.
    """
    part = PlainText.load(str(FOLDER / f"{name}.ui"))
    container.layout().addWidget(part)
    for childName, child in vars(slicer.util.childWidgetVariables(part)).items():
        setattr(ui, childName, child)
    return part
