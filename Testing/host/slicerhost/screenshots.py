"""Pictures of the panel and of the views, for people to look at and for tests to compare.

Compare pictures taken before and after something happened; never compare with a stored picture, because fonts and
renderers differ between computers.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_VIEW_COLORS = {
    "Red": (243, 74, 51),
    "Green": (110, 176, 75),
    "Yellow": (237, 213, 76),
}  # Slicer's bar colors
_BAR_HEIGHT = 22
_GAP = 4


def widgetPixels(widget):
    """The picture of a widget as an RGB array, whether it is shown or not."""
    import qt
    import slicer

    slicer.app.processEvents()
    for tabs in widget.findChildren(qt.QTabWidget):
        # A panel that is on no screen is not told that a tab has another width.
        qt.QApplication.sendEvent(tabs, qt.QEvent(qt.QEvent.LayoutRequest))
    image = widget.grab().toImage().convertToFormat(qt.QImage.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def _layoutManager():
    import slicer  # here, because this file is imported before the host is started

    return slicer.app.layoutManager()


def grabWidget(widget, path):
    """Saves a widget's picture as PNG."""
    Image.fromarray(widgetPixels(widget)).save(path)


def sliceViewPixels(viewName, size=None):
    """One slice view ("Red", "Green", "Yellow") as an RGB array."""
    view = _view(_layoutManager().sliceWidget(viewName), size)
    return view.pixels()


def threeDViewPixels(size=None):
    return _view(_layoutManager().threeDWidget(0), size).pixels()


def grabSliceViews(path, viewNames=("Red", "Green", "Yellow"), size=(420, 420), fit=False, annotate=True):
    """Saves the slice views side by side as PNG, with Slicer's color bar and the patient directions.

    fit: zoom to the background volume first. Without it the views show what the module set up.
    """
    pictures = []
    for name in viewNames:
        widget = _layoutManager().sliceWidget(name)
        view = _view(widget, size)
        if fit:
            view.fit()
        picture = Image.fromarray(view.pixels())
        pictures.append(_annotated(picture, name, view) if annotate else picture)
    width = sum(picture.width for picture in pictures) + _GAP * (len(pictures) - 1)
    row = Image.new("RGB", (width, max(picture.height for picture in pictures)), (40, 40, 40))
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + _GAP
    row.save(path)


def grab3DView(path, size=(420, 420), fit=True, decorate=False):
    """Saves the 3D view as PNG.

    fit: move the camera so that everything is seen; decorate: with the pink box and the axis letters.
    """
    view = _view(_layoutManager().threeDWidget(0), size)
    shown = view.node.GetBoxVisible(), view.node.GetAxisLabelsVisible()
    if not decorate:
        view.node.SetBoxVisible(False)
        view.node.SetAxisLabelsVisible(False)
    if fit:
        view.fit()
    Image.fromarray(view.pixels()).save(path)
    view.node.SetBoxVisible(shown[0])
    view.node.SetAxisLabelsVisible(shown[1])


def _view(widget, size):
    view = widget._view
    if size is not None and tuple(view.renderWindow.GetSize()) != tuple(size):
        view.renderWindow.SetSize(*size)
        if hasattr(view.logic, "ResizeSliceNode"):
            view.logic.ResizeSliceNode(*size)
    return view


def _annotated(picture, name, view):
    framed = Image.new("RGB", (picture.width, picture.height + _BAR_HEIGHT), _VIEW_COLORS.get(name, (160, 160, 160)))
    framed.paste(picture, (0, _BAR_HEIGHT))
    draw = ImageDraw.Draw(framed)
    font = ImageFont.load_default(13)
    node = view.node
    text = f"{name}   {node.GetOrientation()}   {view.logic.GetSliceOffset():.1f} mm"
    draw.text((8, _BAR_HEIGHT / 2), text, fill=(0, 0, 0), font=font, anchor="lm")
    middle = (framed.width / 2, _BAR_HEIGHT + picture.height / 2)
    places = (
        (10, middle[1], "lm"),
        (framed.width - 10, middle[1], "rm"),
        (middle[0], _BAR_HEIGHT + 8, "mt"),
        (middle[0], framed.height - 8, "mb"),
    )
    for letter, (x, y, anchor) in zip(view.edgeLetters(), places, strict=True):
        draw.text(
            (x, y),
            letter,
            fill=(255, 255, 160),
            font=font,
            anchor=anchor,
            stroke_width=1,
            stroke_fill=(0, 0, 0),
        )
    return framed
