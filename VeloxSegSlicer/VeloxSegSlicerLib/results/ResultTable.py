"""What the table of a result holds: columns, rows and totals, as data. The widget, the CSV file and Copy all read it."""

from dataclasses import dataclass

import slicer
from slicer.i18n import tr as _

from veloxseg.contract import csv_text, sides

from ..common import Components, Geometry, Names, ResultAttributes, SegmentVoxels, Shapes
from . import Composites, Lesions, Statistics

LESION = "lesion"
REST = "smaller pieces"
SEGMENT = "segment"
SUM = "sum"
TOTAL = "total"
"""Kinds of rows: one lesion, all that are too small to list, one segment, a sum of segments, the last row."""

POSITION = "position"
_COMPOSITES = Shapes.record({}, {name: Shapes.listOf(Shapes.whole(0, 255)) for name in Composites.NAMES})


@dataclass(frozen=True)
class Column:
    """A column of measures: `key` of the values, heading and definition for people, digits, and the name in a CSV file."""

    key: str
    title: str
    toolTip: str
    decimals: int
    csvName: str

    def text(self, row: "Row") -> str:
        """What a cell shows, "" for a value that does not exist."""
        if self.key == POSITION:
            return " / ".join(map(Geometry.positionText, row.positionsRas)) if "area_px" not in row.values else ""
        value = row.values.get(self.key)
        return "" if value is None else f"{value:.{self.decimals}f}"


@dataclass(frozen=True)
class Row:
    """One row. Marks that do not apply are None. `numbers` are its lesions in the list of the result.

    `positionsRas`: one center, that of the left and of the right side, or none where a center would mislead.
    """

    kind: str
    name: str
    values: dict
    numbers: tuple[int, ...] = ()
    segmentId: str = ""
    color: tuple[float, float, float] | None = None
    positionsRas: tuple[tuple[float, float, float], ...] = ()
    isIncluded: bool | None = None
    isReviewed: bool | None = None
    isShown: bool | None = None


@dataclass(frozen=True)
class ResultTable:
    """Columns that have a value somewhere, rows in order, the totals, and a note about what is not there."""

    kind: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: Row
    farthestMm: float
    note: str

    @property
    def lesionCount(self) -> int:
        """Listed lesions that count in the totals."""
        return sum(row.kind == LESION and bool(row.isIncluded) for row in self.rows)


def tableOf(segmentationNode, lesions: list[Lesions.Lesion], smallestMl: float) -> ResultTable:
    """The table of a result as it is now.

    :param lesions: its lesions, from `Lesions.lesionsOf`.
    :param smallestMl: smaller lesions share one row.
    """
    kind = ResultAttributes.fact(segmentationNode, "Kind")
    if kind == ResultAttributes.LESIONS:
        rows = _lesionRows(segmentationNode, lesions, smallestMl)
    elif kind == ResultAttributes.PHOTO:
        rows = _photoRows(segmentationNode)
    else:
        rows = _segmentRows(segmentationNode)
    counted = [lesion for lesion in lesions if lesion.isIncluded]
    return ResultTable(
        kind,
        tuple(column for column in columns(segmentationNode) if any(column.text(row) for row in rows)),
        tuple(rows),
        _total(rows),
        Components.farthestMm([lesion.positionRas for lesion in counted if lesion.volumeMl >= smallestMl]),
        _noteOf(segmentationNode, rows),
    )


def columns(segmentationNode) -> list[Column]:
    """All columns a kind of result may have, with units in the headings."""
    isEmission = ResultAttributes.fact(segmentationNode, "HasEmission") == "yes"
    volume = _("MTV (ml)") if isEmission else _("Volume (ml)")
    volumeTip = (
        _("Metabolic tumor volume: voxels times the volume of a voxel of the reference image.")
        if isEmission
        else _("Voxels times the volume of a voxel of the reference image.")
    )
    tips = _definitions()
    titles = [
        ("volume_ml", volume, 2, "volume_ml"),
        ("asymmetry", _("Left - right (%)"), 1, "left_minus_right_percent"),
        ("area_px", _("Area (px)"), 0, "area_px"),
        ("area_mm2", _("Area (mm2)"), 1, "area_mm2"),
        ("share", _("Share (%)"), 1, "share_of_image_percent"),
        ("perimeter_px", _("Perimeter (px)"), 0, "perimeter_px"),
        ("perimeter_mm", _("Perimeter (mm)"), 1, "perimeter_mm"),
        ("suv_max", _("SUVmax (g/ml)"), 2, "suv_max_g_per_ml"),
        ("suv_mean", _("SUVmean (g/ml)"), 2, "suv_mean_g_per_ml"),
        ("suv_peak", _("SUVpeak (g/ml)"), 2, "suv_peak_g_per_ml"),
        ("tlg", _("TLG (SUV x ml)"), 1, "tlg_suv_ml"),
        ("diameter_px", _("Longest diameter (px)"), 0, "longest_diameter_px"),
        ("diameter_mm", _("Longest diameter (mm)"), 1, "longest_diameter_mm"),
        (POSITION, _("Position (mm)"), 0, ""),
        ("score", _("Score"), 2, "score"),
        ("agreement", _("Agreement (%)"), 0, "agreement_percent"),
    ]
    return [
        Column(key, title, volumeTip if key == "volume_ml" else tips[key], decimals, csvName)
        for key, title, decimals, csvName in titles
    ]


def _definitions() -> dict[str, str]:
    """Key -> what the numbers of a column mean."""
    border = _("Length of the border of all parts.")
    diameter = _("Largest distance between two points of one part.")
    return {
        "asymmetry": _("Volume of the left structure minus that of the right one, in percent of their mean."),
        "area_px": _("Pixels inside."),
        "area_mm2": _("Area by the scale that was given."),
        "share": _("Part of the whole photo."),
        "perimeter_px": border,
        "perimeter_mm": border,
        "suv_max": _("Largest SUV in the lesion, on the untouched PET voxels."),
        "suv_mean": _("Mean SUV of the lesion, on the untouched PET voxels."),
        "suv_peak": _("Highest mean SUV of a 1 ml sphere centered in the lesion."),
        "tlg": _("Total lesion glycolysis: SUVmean times volume."),
        "diameter_px": diameter,
        "diameter_mm": diameter,
        POSITION: _(
            "Center; of both sides where a structure has two, none where it would lie outside. R right, L left, A anterior,"
            " P posterior, S superior, I inferior of the image's origin, which need not be the middle of the body."
        ),
        "score": _("Mean probability of the lesion (0-1)."),
        "agreement": _(
            "How far the runs agree here; 100 % is full agreement. Agreement is not correctness: all runs can be wrong together."
        ),
    }


def _lesionRows(segmentationNode, lesions: list[Lesions.Lesion], smallestMl: float) -> list[Row]:
    rows, small = [], []
    for number, lesion in enumerate(lesions):
        if lesion.volumeMl < smallestMl:
            small.append(number)
            continue
        rows.append(
            Row(
                LESION,
                Lesions.title(segmentationNode, lesions, number),
                _shown(lesion.values),
                numbers=(number,),
                positionsRas=(lesion.positionRas,),
                isIncluded=lesion.isIncluded,
                isReviewed=lesion.isReviewed,
            )
        )
    if small:
        name = _("Smaller pieces ({count})").format(count=len(small))
        volume = sum(lesions[number].volumeMl for number in small)
        isIncluded = all(lesions[number].isIncluded for number in small)
        rows.append(Row(REST, name, {"volume_ml": volume}, tuple(small), isIncluded=isIncluded))
    return rows


def _shown(values: dict) -> dict:
    shown = dict(values)
    if "agreement" in shown:
        shown["agreement"] *= 100
    return shown


def _segmentRows(segmentationNode) -> list[Row]:
    measures = Statistics.measure(segmentationNode)
    asymmetry = _asymmetry({entry.name: entry.volumeMl for entry in measures})
    rows = []
    for entry in measures:
        values = {"volume_ml": entry.volumeMl, "voxels": entry.voxels, "asymmetry": asymmetry.get(entry.name)}
        rows.append(_segmentRow(segmentationNode, entry, values))
    volumes: dict[int, float] = {}
    for entry in measures:
        label = SegmentVoxels.labelOf(segmentationNode, entry.segmentId)
        volumes[label] = volumes.get(label, 0.0) + entry.volumeMl
    composites = ResultAttributes.content(segmentationNode, "Composites", _COMPOSITES, {})
    return rows + [
        Row(SUM, Composites.title(name), {"volume_ml": sum(volumes.get(label, 0.0) for label in labels)})
        for name, labels in composites.items()
        if name in Composites.NAMES
    ]


def _asymmetry(volumesMl: dict[str, float]) -> dict[str, float | None]:
    """Name -> difference of both sides, for structures that are there on the left and on the right."""
    found = {}
    names = {sides.split(name): name for name in volumesMl}
    for (kind, side), name in names.items():
        other = names.get((kind, sides.OTHER.get(side)))
        if side and other is not None:
            left, right = (name, other) if side == "left" else (other, name)
            found[name] = sides.difference_percent(volumesMl[left], volumesMl[right])
    return found


def _segmentRow(segmentationNode, entry: Statistics.Measure, values: dict) -> Row:
    display = segmentationNode.GetDisplayNode()
    return Row(
        SEGMENT,
        entry.name,
        values,
        segmentId=entry.segmentId,
        color=entry.color,
        positionsRas=Components.positions(SegmentVoxels.voxelsOf(segmentationNode, entry.segmentId)),
        isShown=display is not None and display.GetSegmentVisibility(entry.segmentId),
    )


def _photoRows(segmentationNode) -> list[Row]:
    return [
        _segmentRow(segmentationNode, entry, _photoValues(segmentationNode, entry))
        for entry in Statistics.measure(segmentationNode)
    ]


def _photoValues(segmentationNode, entry: Statistics.Measure) -> dict:
    voxels = SegmentVoxels.voxelsOf(segmentationNode, entry.segmentId)
    values = Components.photo(voxels.mask.reshape(voxels.mask.shape[-2:]), ResultAttributes.number(segmentationNode, "MmPerPx"))
    size = ResultAttributes.number(segmentationNode, "PhotoPixels")
    if size:
        values["share"] = 100 * values["area_px"] / size
    agreement = ResultAttributes.number(segmentationNode, "Agreement")
    if agreement is not None:
        values["agreement"] = 100 * agreement
    return values


def _total(rows: list[Row]) -> Row:
    """Sums over what is included; a maximum for SUVmax. Sums of segments are no further parts."""
    counted = [row for row in rows if row.isIncluded is not False and row.kind != SUM]
    values = {
        key: sum(row.values[key] for row in counted if key in row.values)
        for key in ("volume_ml", "tlg", "area_px", "area_mm2", "share")
        if any(key in row.values for row in counted)
    }
    highest = [row.values["suv_max"] for row in counted if "suv_max" in row.values]
    if highest:
        values["suv_max"] = max(highest)
    return Row(TOTAL, _("Total"), values)


def _noteOf(segmentationNode, rows: list[Row]) -> str:
    """What a person would miss in the table, and why it is not there."""
    isEmission = ResultAttributes.fact(segmentationNode, "HasEmission") == "yes"
    if not isEmission or not rows or any("suv_max" in row.values for row in rows):
        return ""
    if Lesions.emissionOf(segmentationNode) is None:
        return _("SUV columns are absent: the PET image is no longer in the scene.")
    return _("SUV columns are absent: SUV was not measured.")


def rowsAsText(table: ResultTable) -> list[list[str]]:
    """Heading, rows and totals as text, for Copy and the table node."""
    heading = [_("Name"), *(column.title for column in table.columns)]
    if table.kind == ResultAttributes.LESIONS:
        heading[1:1] = [_("Include"), _("Reviewed")]
    lines = [heading]
    for row in (*table.rows, table.total):
        marks = [_markText(row.isIncluded), _markText(row.isReviewed)] if table.kind == ResultAttributes.LESIONS else []
        lines.append([row.name, *marks, *(column.text(row) for column in table.columns)])
    return lines


def tableNode(segmentationNode, table: ResultTable):
    """A vtkMRMLTableNode with the table of a result, new or the one of before."""
    name = _("{result} table").format(result=Names.nameOf(segmentationNode))
    node = slicer.mrmlScene.GetFirstNodeByName(name) or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    node.RemoveAllColumns()
    heading, *lines = rowsAsText(table)
    for title in heading:
        column = node.AddColumn()
        column.SetName(title)
    for line in lines:
        number = node.AddEmptyRow()
        for position, cell in enumerate(line):
            # Slicer saves such a node as CSV.
            node.SetCellText(number, position, csv_text.cell(cell))
    return node


def _markText(mark: bool | None) -> str:
    return "" if mark is None else _("yes") if mark else _("no")
