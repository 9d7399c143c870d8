"""Geometry details: size, spacing, orientation and overlap of each image, in a table that opens on a problem."""

import qt
from slicer.i18n import tr as _

from ..common import Geometry
from ..common.Models import ModelCard
from ..widgets import PlainText, TableHeight
from . import InputOptions
from .InputImage import Images
from .Verdicts import Verdict

PROBLEMS = (InputOptions.OVERLAP, "ROLE_NONLINEAR", "ROLE_POSITION", "ROLE_SHEAR", "REGION_OUTSIDE", "MODEL_DOMAIN", "COVERAGE")


class GeometryView:
    """Fills the table of the .ui file."""

    def __init__(self, ui) -> None:
        """:param ui: the child widgets of the panel."""
        self._group, self._table = ui.geometryGroupBox, ui.geometryTable
        self._problem: tuple | None = None
        headers = (_("Image"), _("Size (voxels)"), _("Spacing (mm)"), _("Orientation"), _("Overlap"))
        tips = (
            _("The image's place in the model."),
            _("Voxels along the three axes of the image."),
            _("Edges of a voxel."),
            _("Where the axes lead: Left, Right, Posterior, Anterior, Inferior, Superior; and their angle to the body."),
            _("Part of the smaller of this image and the reference that lies in the other."),
        )
        self._table.setColumnCount(len(headers))
        for column, (header, tip) in enumerate(zip(headers, tips, strict=True)):
            item = qt.QTableWidgetItem(header)
            item.setToolTip(PlainText.toolTip(tip))
            self._table.setHorizontalHeaderItem(column, item)
        self._table.verticalHeader().hide()

    def show(self, card: ModelCard | None, images: Images, verdicts: dict[str, Verdict]) -> None:
        """Show the images that have voxels, and open once for each new problem."""
        rows = _rows(card, images) if card else []
        self._group.setVisible(bool(rows))
        self._table.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                self._table.setItem(row, column, qt.QTableWidgetItem(text))
        self._table.resizeColumnsToContents()
        TableHeight.fit(self._table)
        self._openOnProblem(verdicts)

    def open(self) -> None:
        """Show the table."""
        self._group.collapsed = False

    def _openOnProblem(self, verdicts: dict[str, Verdict]) -> None:
        found = [entry for verdict in verdicts.values() for entry in (verdict.error, verdict.advice) if entry is not None]
        problem = next(((entry.code, entry.text) for entry in found if entry.code in PROBLEMS), None)
        if problem is not None and problem != self._problem:
            self.open()
        self._problem = problem


def _rows(card: ModelCard, images: Images) -> list[tuple[str, ...]]:
    present = {name: image for name, image in images.items() if image is not None and not image.isEmpty}
    reference = present[card.reference.name].grid if card.reference.name in present else None
    rows = []
    for role in [role for role in card.roles if role.name in present]:
        image, grid = present[role.name], present[role.name].grid
        orientation = grid.orientation() if Geometry.isRectangular(grid) else _("skewed")
        if not Geometry.isFinite(grid):
            orientation = _("no number")
        if image.isMovedNonlinearly:
            orientation = _("deformed")
        overlap = _overlapText(grid, reference, role.is_reference)
        # The side of a photo's pixels is the person's to tell; Slicer takes 1 mm for it.
        spacing = "-" if role.is_photo else grid.spacingText()
        rows.append((role.title, grid.sizeText(), spacing, orientation, overlap))
    return rows


def _overlapText(grid: Geometry.WorldGrid, reference: Geometry.WorldGrid | None, isReference: bool) -> str:
    if isReference:
        return _("Reference")
    areComparable = reference is not None and Geometry.isRectangular(grid) and Geometry.isRectangular(reference)
    return f"{100 * Geometry.overlap(grid, reference):.0f} %" if areComparable else "-"
